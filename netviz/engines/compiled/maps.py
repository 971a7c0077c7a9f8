"""What is looked for in maps, compiled. Each function runs on one thread and lets Python's other threads run."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from netviz.compiling import compiled
from netviz.engines.compiled.vectors import fold

_NEAR = 1 << 15
"""Bytes of a map that are read for some channels after the others, as they stay in the nearest cache."""

_fold32, _fold16, _fold8, _fold1 = fold(8, 4), fold(8, 2), fold(8, 1), fold(1, 1)


@compiled
def _reduce(
    x: NDArray[np.float32], top: int, bottom: int, left: int, right: int,
    peak: NDArray[np.float32], row: NDArray[np.int32], total: NDArray[np.float32], nonzero: NDArray[np.int32],
) -> None:  # fmt: skip
    height, width, channels = x.shape[1:]
    columns, step, pitch = right - left, 4 * channels, 4 * channels * width
    sums = np.empty(channels, np.float64)
    peak[:] = -np.inf
    row[:] = top
    nonzero[:] = 0
    rows = max(1, _NEAR // max(1, columns * step))
    for image in range(len(x)):
        sums[:] = 0
        out = image * step
        for first in range(top, bottom, rows):
            last = min(bottom, first + rows)
            start = x.ctypes.data + (image * height + first) * pitch + left * step
            at = 0
            while at < channels:
                here = 4 * at
                given = (
                    start + here, first, last, columns, step, pitch, peak.ctypes.data + out + here,
                    row.ctypes.data + out + here, sums.ctypes.data + 2 * here, nonzero.ctypes.data + out + here,
                )  # fmt: skip
                if channels - at >= 32:
                    _fold32(*given)
                    at += 32
                elif channels - at >= 16:
                    _fold16(*given)
                    at += 16
                elif channels - at >= 8:
                    _fold8(*given)
                    at += 8
                else:
                    _fold1(*given)
                    at += 1
        for channel in range(channels):
            total[image, channel] = sums[channel]


def reduced(
    x: NDArray[np.float32], part: tuple[slice, slice]
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]:
    """Return of part of each map the maximum, the first row that holds it, the sum, and the number of non-zeros."""
    shape = len(x), x.shape[-1]
    peak, total = np.empty(shape, np.float32), np.empty(shape, np.float32)
    row, nonzero = np.empty(shape, np.int32), np.empty(shape, np.int32)
    ends = [end for one, length in zip(part, x.shape[1:3], strict=True) for end in one.indices(length)[:2]]
    _reduce(x, *ends, peak, row, total, nonzero)
    # Adding 0 turns the negative zero into the positive one.
    return peak + np.float32(0), row, total, nonzero


@compiled
def scale(
    x: NDArray[np.float32], factor: NDArray[np.float32], offset: NDArray[np.float32],
    low: np.float32, high: np.float32,
) -> None:  # fmt: skip
    """Multiply each channel of values, (P, C), by a factor, add an offset, keep them between two ends; in place."""
    for at in range(x.shape[0]):
        for channel in range(x.shape[1]):
            value = x[at, channel] * factor[channel] + offset[channel]
            value = low if value < low else value
            x[at, channel] = high if value > high else value


@compiled
def _find(
    x: NDArray[np.float32], row: NDArray[np.int32], which: NDArray[np.intp], units: NDArray[np.intp],
    left: int, right: int, score: NDArray[np.float32], col: NDArray[np.int32],
) -> None:  # fmt: skip
    for at in range(len(which)):
        image, unit = which[at], units[at]
        line = row[at]
        for column in range(left, right):
            if x[image, line, column, unit] == score[at]:
                col[at] = column
                break


def first_column(
    x: NDArray[np.float32], row: NDArray[np.int32], which: NDArray[np.intp], units: NDArray[np.intp],
    score: NDArray[np.float32], columns: slice,
) -> NDArray[np.int32]:  # fmt: skip
    """Return the first column of a row at which some maps have a value."""
    col = np.zeros(len(which), np.int32)
    left, right, _ = columns.indices(x.shape[2])
    _find(x, row, which, units, left, right, score, col)
    return col


@compiled
def _windows(
    x: NDArray[np.float32], which: NDArray[np.intp], units: NDArray[np.intp],
    score: NDArray[np.float32], start: NDArray[np.int32], shares: NDArray[np.float32],
) -> None:  # fmt: skip
    height, width = x.shape[1:3]
    for at in range(len(which)):
        image, unit, value = which[at], units[at], score[at]
        for r in range(shares.shape[1]):
            line = min(start[at, 0] + r, height - 1)
            for c in range(shares.shape[2]):
                share = np.float32(0)
                if value > 0:
                    share = x[image, line, min(start[at, 1] + c, width - 1), unit] / value
                shares[at, r, c] = min(max(share, np.float32(-1)), np.float32(1))


@compiled
def _halve(shares: NDArray[np.float32], halves: NDArray[np.uint16]) -> None:
    """Round numbers in -1 … 1 to float16, ties to even, as bits."""
    bits = shares.view(np.uint32)
    # The distance between floats from 1/2 on is that between the smallest of float16: this sum rounds to it.
    small = (np.abs(shares) + np.float32(0.5)).view(np.uint32)
    for at in range(len(bits)):
        whole = bits[at] & np.uint32(0x7FFFFFFF)
        if whole < np.uint32(0x38800000):  # 2⁻¹⁴
            half = small[at] - np.uint32(0x3F000000)
        else:
            odd = (whole >> np.uint32(13)) & np.uint32(1)
            half = (whole - np.uint32(0x38000000) + np.uint32(0xFFF) + odd) >> np.uint32(13)
        halves[at] = half | ((bits[at] >> np.uint32(16)) & np.uint32(0x8000))


def window_shares(
    x: NDArray[np.float32], which: NDArray[np.intp], units: NDArray[np.intp],
    score: NDArray[np.float32], start: NDArray[np.int32], size: tuple[int, int],
) -> NDArray[np.float16]:  # fmt: skip
    """Return some maps from a first row and column on, as shares of a value."""
    shares = np.empty((len(which), *size), np.float32)
    halves = np.empty(shares.shape, np.float16)
    _windows(x, which, units, score, start, shares)
    _halve(shares.reshape(-1), halves.reshape(-1).view(np.uint16))
    return halves


@compiled
def _choose(
    wanted: NDArray[np.bool_], peak: NDArray[np.float32], row: NDArray[np.int32], x: NDArray[np.float32],
    left: int, right: int, rows: int, columns: int, numbers: NDArray[np.intp], score: NDArray[np.float32],
    places: NDArray[np.int32], start: NDArray[np.int32],
) -> None:  # fmt: skip
    height, width = x.shape[1:3]
    at = 0
    for image in range(wanted.shape[0]):
        for unit in range(wanted.shape[1]):
            if not wanted[image, unit]:
                continue
            value, line, col = peak[image, unit], row[image, unit], 0
            for column in range(left, right):
                if x[image, line, column, unit] == value:
                    col = column
                    break
            numbers[0, at], numbers[1, at], score[at] = image, unit, value
            places[0, at], places[1, at] = line, col
            start[at, 0] = max(0, min(line - rows // 2, height - rows))
            start[at, 1] = max(0, min(col - columns // 2, width - columns))
            at += 1


def first_places(
    wanted: NDArray[np.bool_], peak: NDArray[np.float32], row: NDArray[np.int32], x: NDArray[np.float32],
    columns: slice, size: tuple[int, int],
) -> tuple[NDArray[Any], ...]:  # fmt: skip
    """Return of the wanted maps image and unit, (2, P), maximum, its row and column, (2, P), and the window there.

    A window is told by its first row and column, (P, 2), and its shares of the maximum.
    """
    count = int(np.count_nonzero(wanted))
    numbers, score = np.empty((2, count), np.intp), np.empty(count, np.float32)
    places, start = np.empty((2, count), np.int32), np.empty((count, 2), np.int32)
    left, right, _ = columns.indices(x.shape[2])
    _choose(wanted, peak, row, x, left, right, *size, numbers, score, places, start)
    return numbers, score, places, start, window_shares(x, numbers[0], numbers[1], score, start, size)


@compiled
def mark(
    peak: NDArray[np.float32], images: NDArray[np.int64], groups: NDArray[np.intp], count: int,
    score: NDArray[np.float32], image: NDArray[np.int64], wanted: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Mark which maxima, (N, C), may enter a list: row ``c · count + group`` for unit ``c``, image in a group."""
    last = score.shape[1] - 1
    for n in range(peak.shape[0]):
        for c in range(peak.shape[1]):
            row = c * count + groups[n]
            worst = score[row, last]
            if peak[n, c] > worst or (peak[n, c] == worst and images[n] <= image[row, last]):
                wanted[n, c] = True


@compiled
def insert(
    score: NDArray[np.float32], image: NDArray[np.int64], row: NDArray[np.int32], col: NDArray[np.int32],
    place: NDArray[np.int16], rows: NDArray[np.intp], new_score: NDArray[np.float32],
    new_image: NDArray[np.int64], new_row: NDArray[np.int32], new_col: NDArray[np.int32],
    to_place: NDArray[np.int64],
) -> None:  # fmt: skip
    """Put entries into their sorted lists, (rows, k).

    `to_place` tells for each where among ``rows · k`` places it came to lie, or -1; a later one may have taken that.
    """
    k = score.shape[1]
    for at in range(len(rows)):
        r = rows[at]
        s, i, y, x = new_score[at], new_image[at], new_row[at], new_col[at]
        to = k
        while to > 0:
            b = to - 1
            if s > score[r, b]:
                before = True
            elif s < score[r, b]:
                before = False
            elif i != image[r, b]:
                before = i < image[r, b]
            elif y != row[r, b]:
                before = y < row[r, b]
            else:
                before = x < col[r, b]
            if not before:
                break
            to = b
        to_place[at] = -1
        if to == k:
            continue
        free = place[r, k - 1]
        for b in range(k - 1, to, -1):
            score[r, b], image[r, b] = score[r, b - 1], image[r, b - 1]
            row[r, b], col[r, b] = row[r, b - 1], col[r, b - 1]
            place[r, b] = place[r, b - 1]
        score[r, to], image[r, to], row[r, to], col[r, to], place[r, to] = s, i, y, x, free
        to_place[at] = r * k + free


@compiled
def put(held: NDArray[Any], places: NDArray[np.int64], given: NDArray[Any]) -> None:
    """Copy each row of what is given, (P, B), to its place in what is held, (R, B), in their order; none to -1."""
    for at in range(len(places)):
        if places[at] >= 0:
            for byte in range(given.shape[1]):
                held[places[at], byte] = given[at, byte]


@compiled
def rows_of(held: NDArray[np.float32], places: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return some rows, (P, B), of what is held, (R, B)."""
    found = np.empty((len(places), held.shape[1]), np.float32)
    for at in range(len(places)):
        for byte in range(held.shape[1]):
            found[at, byte] = held[places[at], byte]
    return found


@compiled
def take_in(
    peak: NDArray[np.float32], nonzero: NDArray[np.int32],
    known_peak: NDArray[np.float32], known_nonzero: NDArray[np.int64],
) -> None:  # fmt: skip
    """Bring maxima and numbers of non-zeros of units, (C,), forward by those of images, (N, C)."""
    for image in range(peak.shape[0]):
        for unit in range(peak.shape[1]):
            known_peak[unit] = max(known_peak[unit], peak[image, unit])
            known_nonzero[unit] += nonzero[image, unit]


@compiled
def _count_hot(
    x: NDArray[np.float32], limit: NDArray[np.float32], above: NDArray[np.int64], below: NDArray[np.int64],
    left: NDArray[np.int64], right: NDArray[np.int64], counts: NDArray[np.int64],
) -> None:  # fmt: skip
    for image in range(len(x)):
        for down in range(len(above)):
            found = 0
            for across in range(len(left)):
                a, b = x[image, above[down], left[across]], x[image, above[down], right[across]]
                c, d = x[image, below[down], left[across]], x[image, below[down], right[across]]
                for unit in range(len(limit)):
                    found += max(max(a[unit], b[unit]), max(c[unit], d[unit])) > limit[unit]
            counts[image, down] = found


@compiled
def _gather_hot(
    x: NDArray[np.float32], limit: NDArray[np.float32], above: NDArray[np.int64], below: NDArray[np.int64],
    left: NDArray[np.int64], right: NDArray[np.int64], numbers: NDArray[np.int64], corners: NDArray[np.float32],
) -> None:  # fmt: skip
    at = 0
    for image in range(len(x)):
        for down in range(len(above)):
            for across in range(len(left)):
                a, b = x[image, above[down], left[across]], x[image, above[down], right[across]]
                c, d = x[image, below[down], left[across]], x[image, below[down], right[across]]
                for unit in range(len(limit)):
                    if max(max(a[unit], b[unit]), max(c[unit], d[unit])) > limit[unit]:
                        numbers[0, at], numbers[1, at] = image, unit
                        numbers[2, at], numbers[3, at] = down, across
                        corners[0, at], corners[1, at] = a[unit], b[unit]
                        corners[2, at], corners[3, at] = c[unit], d[unit]
                        at += 1


def hot_cells(
    x: NDArray[np.float32], limit: NDArray[np.float32], rows: tuple[NDArray[np.int64], NDArray[np.int64]],
    columns: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:  # fmt: skip
    """Return the cells with a corner above their unit's limit: image, unit, down and across, (4, B), and the corners.

    `rows` and `columns` are the positions before and after each cell.
    """
    counts = np.empty((len(x), len(rows[0])), np.int64)
    _count_hot(x, limit, *rows, *columns, counts)
    found = int(counts.sum())
    numbers, corners = np.empty((4, found), np.int64), np.empty((4, found), np.float32)
    _gather_hot(x, limit, *rows, *columns, numbers, corners)
    return numbers, corners


@compiled
def add_exactly(limbs: NDArray[np.int64], values: NDArray[np.float32]) -> None:
    """Add float32 numbers, (N, size), to sums in limbs of 32 bits, (size, limbs); the lowest bit is 2⁻¹⁴⁹."""
    bits = values.view(np.int32)
    for n in range(values.shape[0]):
        for at in range(values.shape[1]):
            word = np.int64(bits[n, at])
            exponent = (word >> 23) & 255
            whole = word & 0x7FFFFF
            if exponent:
                whole |= 0x800000
                exponent -= 1
            if word < 0:
                whole = -whole
            limb, shift = exponent >> 5, exponent & 31
            whole <<= shift
            limbs[at, limb] += whole & 0xFFFFFFFF
            limbs[at, limb + 1] += whole >> 32


def hashes_of(seeds: NDArray[np.uint64], positions: int) -> NDArray[np.uint64]:
    """Return the pseudo-random numbers of all positions of some images, one image after the other."""
    hashes = np.empty(len(seeds) * positions, np.uint64)
    _hashes(seeds, positions, hashes)
    return hashes


@compiled
def _hashes(seeds: NDArray[np.uint64], positions: int, hashes: NDArray[np.uint64]) -> None:
    for image in range(len(seeds)):
        for at in range(positions):
            value = (np.uint64(at) + seeds[image] + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
            value ^= value >> np.uint64(30)
            value *= np.uint64(0xBF58476D1CE4E5B9)
            value ^= value >> np.uint64(27)
            value *= np.uint64(0x94D049BB133111EB)
            hashes[image * positions + at] = value ^ (value >> np.uint64(31))
