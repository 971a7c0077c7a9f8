"""SIFT and a network's layer side by side, stage by stage."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netviz.render import style, words
from netviz.render.canvas import Box, Canvas, as_array
from netviz.render.scales import colourise, peak
from netviz.render.words import MINUS, TIMES
from netviz.results import SiftResult

TILE: Final = 38
GAP: Final = 4
BLOCK: Final = 4 * TILE + 3 * GAP
ROW: Final = 180
"""Pixels from one row of stages to the next."""

HEIGHT: Final = 2 * ROW + 8
"""Pixels that the strip takes."""

_ARROW: Final = 34
_LINE: Final = 13


class Stage(NamedTuple):
    """One step: its heading, its tiles (K, h, w) or (K, h, w, 3) uint8, and what it does."""

    heading: str
    tiles: NDArray[np.float32] | NDArray[np.uint8]
    notes: tuple[str, ...]


def strip_width() -> int:
    """Return the pixels that the strip takes."""
    return 4 * BLOCK + 3 * _ARROW


def draw_stages(canvas: Canvas, result: SiftResult, left: float, top: float) -> None:
    """Draw both rows of four stages each."""
    for row, (name, stages) in enumerate(
        (
            (f"SIFT, at keypoint 1: {len(result.stage_orientations)} orientations", sift_stages(result)),
            (
                f"{result.alias or result.layer}: {words.counted(result.channels, 'unit')}",
                layer_stages(result),
            ),
        )
    ):
        y = top + row * ROW
        title = words.shorten(name, strip_width(), style.CAPTION, bold=True)
        canvas.text(left, y + 11, title, style.CAPTION, weight="bold", va="baseline")
        _row(canvas, stages, left, y + 22)


def _row(canvas: Canvas, stages: Sequence[Stage], left: float, top: float) -> None:
    for number, stage in enumerate(stages):
        x = left + number * (BLOCK + _ARROW)
        heading = words.shorten(stage.heading, BLOCK + _ARROW - 6, style.LABEL)
        canvas.text(x, top + 10, heading, style.LABEL, style.INK, va="baseline")
        y = top + 17
        _tiles(canvas, stage.tiles, x, y)
        if number:
            canvas.text(
                x - _ARROW / 2,
                y + (2 * TILE + GAP) / 2,
                "→",
                style.TITLE,
                style.MUTED,
                ha="center",
                va="center",
            )
        y += 2 * TILE + GAP + 13
        for note in stage.notes:
            for line in words.wrap([note], BLOCK + _ARROW - 8, style.SMALL):
                canvas.text(x, y, line, style.SMALL, style.MUTED, va="baseline")
                y += _LINE


def _tiles(canvas: Canvas, tiles: NDArray[np.float32] | NDArray[np.uint8], left: float, top: float) -> None:
    """Lay up to eight tiles in two rows; a single one takes the height of both."""
    boxes: list[Box] = []
    limit = peak(tiles) or 1.0
    for number, tile in enumerate(tiles):
        row, column = divmod(number, 4)
        side = 2 * TILE + GAP if len(tiles) == 1 else TILE
        height, width = tile.shape[:2]
        across, down = side * min(1.0, width / height), side * min(1.0, height / width)
        middle = (BLOCK - across) / 2 if len(tiles) == 1 else (TILE - across) / 2
        box = (
            left + column * (TILE + GAP) + middle,
            top + row * (TILE + GAP) + (side - down) / 2,
            across,
            down,
        )
        boxes.append(box)
        if tile.ndim == 3:
            canvas.image(tile, box, smooth=width > across)
        else:
            colours = style.colour_map("diverging")
            canvas.image(as_array(tile), box, colours, (-limit, limit), smooth=width > across)
    canvas.frames(boxes)


def sift_stages(result: SiftResult) -> tuple[Stage, ...]:
    """Return the steps of the first keypoint's descriptor."""
    sums = result.stage_cells
    final = np.moveaxis(result.descriptors[0], -1, 0)
    return (
        Stage("patch", result.patches[:1], ("turned: its orientation points down",)),
        Stage(
            "gradients in 8 orientations",
            result.stage_orientations,
            (f"0°, 45°, … from the orientation; max {words.number(peak(result.stage_orientations))}",),
        ),
        Stage(
            "summed over 4×4 cells",
            sums,
            (f"weighted by a Gaussian; max {words.number(peak(sums))}",),
        ),
        Stage(
            "unit length, clipped at 0.2",
            final,
            (f"and unit length again; max {words.number(peak(final))}",),
        ),
    )


def layer_stages(result: SiftResult) -> tuple[Stage, ...]:
    """Return the steps of the layer."""
    down, across = (words.number(value) for value in result.field_stride)
    high, wide = (words.number(value) for value in result.field_size)
    most = "at most " if result.field_status == "upper_bound" else ""
    units = ", ".join(str(unit) for unit in result.stage_units)
    depth = [words.counted(result.convolutions, "convolution")]
    if result.poolings:
        depth.append(words.counted(result.poolings, "pooling"))
    if result.norms:
        depth.append(words.counted(result.norms, "norm"))
    rows, columns = result.stage_maps.shape[1:]
    step = f"every {down} px" if down == across else f"every {down}{TIMES}{across} px"
    return (
        Stage("image", result.image[None], ("as the network saw it",)),
        _filters(result),
        Stage(
            f"maps, {rows}{TIMES}{columns}: {step}",
            result.stage_maps,
            (
                f"after {', '.join(depth)}; a position sees {most}{high}{TIMES}{wide} px",
                f"units {units}; ±{words.number(peak(result.stage_maps))}",
            ),
        ),
        Stage(
            "after contrast normalization",
            result.stage_normalized,
            (
                f"{MINUS} local mean, ÷ local deviation, over {result.window}{TIMES}{result.window} and all units",
                f"same units; ±{words.number(peak(result.stage_normalized))}",
            ),
        ),
    )


def _filters(result: SiftResult) -> Stage:
    values = result.stage_filters.astype(np.float64)
    if not len(values):
        return Stage(
            "filters", np.zeros((0, 1, 1), dtype=np.float32), ("no convolution reads the image itself",)
        )
    high, wide = values.shape[2:]
    heading = f"filters of {result.first_conv}, {high}{TIMES}{wide}"
    if values.shape[1] != 3:
        shown = values.mean(axis=1).astype(np.float32)
        return Stage(heading, shown, ("oriented; the mean over input channels",))
    peaks = np.array([peak(one) or 1.0 for one in values])[:, None, None, None]
    pixels = colourise(np.moveaxis(values / peaks, 1, -1), "rgb")
    return Stage(heading, pixels, ("orientation and colour; grey is 0", "each by its own largest weight"))
