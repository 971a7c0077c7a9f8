import numpy as np
import pytest

from netviz.paper import style
from netviz.questions.patches import outlines
from netviz.questions.patches.outlines import (
    Reading,
    machine_code,
    read_cells,
    read_pixels,
    reading_code,
    shade,
    shade_pixels,
)

LINE = np.array(style.rgb(style.OUTLINE), dtype=np.float32)


def cases():
    """Tiles, what of them shows the image, how far a map is above its threshold, and where that is known."""
    rng = np.random.default_rng(0)
    for number in range(8):
        height, width = (9, 12) if number % 2 else (11, 11)
        above = rng.normal(size=(height, width))
        if number > 5:
            # A slope: most pixels are far from the border, and one row lies on it.
            above = np.add.outer(np.arange(height) - 5.0, 0.2 * np.arange(width)) * (number - 5)
        if 3 < number < 6:
            above = np.round(above)
        known = np.ones((height, width), dtype=bool) if number % 3 else rng.random((height, width)) > 0.2
        yield (
            rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
            (1, 0, height, width - 2),
            above,
            known,
        )


def test_machine_code_would_give_the_same_bytes():
    for tile, inner, above, known in cases():
        other = tile.copy()
        shade(tile, inner, above, known, LINE)
        shade_pixels(other, inner, above, known, LINE)
        assert np.array_equal(tile, other)


@pytest.mark.slow
def test_machine_code_gives_the_same_bytes():
    pytest.importorskip("numba")
    for tile, inner, above, known in cases():
        other = tile.copy()
        shade(tile, inner, above, known, LINE)
        machine_code()(other, inner, above, known, LINE)
        assert np.array_equal(tile, other)


def readings():
    rng = np.random.default_rng(1)
    for height, width in ((1, 1), (2, 3), (9, 7)):
        cells = rng.random((height, width)).astype(np.float16)
        rows = Reading.of(0.7 * np.arange(23) - 1.5, 0, 12, height)
        yield cells, rows, Reading.of(0.4 * np.arange(23) + 2, 1, 9, width)


def read(code, cells, rows, columns):
    values = np.empty((len(rows.low), len(columns.low)))
    code(values, cells.astype(np.float64), *rows[:3], *columns[:3])
    return values


def test_machine_code_would_read_the_same_numbers(monkeypatch):
    monkeypatch.setattr(outlines, "_outlined", [0])
    for one in readings():
        assert np.array_equal(read_cells(*one), read(read_pixels, *one))


@pytest.mark.slow
def test_machine_code_reads_the_same_numbers(monkeypatch):
    pytest.importorskip("numba")
    for one in readings():
        monkeypatch.setattr(outlines, "_outlined", [0])
        found = read_cells(*one)
        assert np.array_equal(found, read(reading_code(), *one))
        monkeypatch.setattr(outlines, "_outlined", [outlines.MANY])
        assert np.array_equal(found, read_cells(*one))


def test_outside_is_darkened_and_the_border_a_line():
    tile = np.full((8, 10, 3), 200, dtype=np.uint8)
    above = np.broadcast_to(np.arange(10) - 4.5, (8, 10))
    shade(tile, (0, 0, 8, 10), above, np.ones((8, 10), dtype=bool), LINE)
    assert (tile[:, :3] == 130).all()
    assert (tile[:, 7:] == 200).all()
    # Half a pixel on either side of the border eight tenths of the line is seen.
    lit = np.rint(0.2 * 200 * 1.0 + 0.8 * LINE)
    assert np.array_equal(tile[0, 5], lit)


def test_cells_are_read_linearly_between_their_centres():
    cells = np.array([[0.0, 4.0], [8.0, 12.0]])
    rows, columns = Reading.of(np.arange(8) + 0.5, 0, 8, 2), Reading.of(np.arange(8) + 0.5, 0, 4, 2)
    values = read_cells(cells, rows, columns)
    y = np.interp(np.arange(8) + 0.5, [2, 6], [0, 8])
    x = np.interp(np.arange(8) + 0.5, [1, 3], [0, 4])
    np.testing.assert_allclose(values, y[:, None] + x)
    # It goes on for a cell beyond the last.
    assert rows.known.all()
    assert columns.known.tolist() == [True] * 5 + [False] * 3
