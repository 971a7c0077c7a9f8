"""A convolution's filters as tiles of one small size, however many inputs they have."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netviz.render import style
from netviz.render.scales import Pixels, Scale, colourise, peak
from netviz.render.tiles import enlarge, lay_out
from netviz.render.words import TIMES
from netviz.results import StagesResult

_STRONGEST = 16
_LEAST_ZOOM = 3


@dataclass(frozen=True)
class FilterTiles:
    """The drawn filters.

    Attributes
    ----------
    pixels : tuple of ndarray of uint8, shape (height, width, 3)
        One tile for each drawn unit, in colours.
    peaks : tuple of float
        Each filter's largest absolute weight: the high end of its own scale.
    scale : Scale
    note : str
        What of a filter a tile shows.
    """

    pixels: tuple[Pixels, ...]
    peaks: tuple[float, ...]
    scale: Scale
    note: str


def filter_tiles(result: StagesResult, side: int) -> FilterTiles:
    """Draw each filter in at most `side` by `side` pixels, where its weights can be seen at all.

    An RGB filter is one colour tile. Else its inputs stand in a grid, row by row: all of them where each weight gets
    three pixels, else the 16 with the largest norms, strongest first.
    """
    filters = result.filters.astype(np.float64)
    _, inputs, height, width = filters.shape
    peaks = tuple(peak(one) for one in filters)
    shares = filters / np.array([one or 1.0 for one in peaks]).reshape(-1, 1, 1, 1)
    longest = max(height, width)
    size = f"{height}{TIMES}{width}"
    if result.sees_image and inputs == 3:
        if result.channel_order == "BGR":
            shares = shares[:, ::-1]
        colours = colourise(np.moveaxis(shares, 1, -1), "rgb")
        zoom = max(1, side // longest)
        return FilterTiles(
            tuple(enlarge(colours, zoom)), peaks, Scale(-1.0, 1.0, "rgb", True), f"{size}, RGB"
        )
    gap = 0 if longest == 1 or inputs == 1 else 2
    room = max(1, (side + gap) // (_LEAST_ZOOM * longest + gap))
    shown = inputs if inputs <= room**2 else min(_STRONGEST, inputs)
    columns = math.ceil(math.sqrt(shown))
    zoom = max(1, ((side + gap) // columns - gap) // longest)
    tiles = tuple(_grid(one, shown, columns, zoom, gap) for one in shares)
    each = " of each group" if result.groups > 1 else ""
    if inputs == 1:
        note = f"{size}, one input"
    elif shown == inputs:
        note = f"{size}, all {inputs} inputs{each}"
    else:
        note = f"{size}, {shown} strongest of {inputs} inputs{each}"
    return FilterTiles(tiles, peaks, Scale(-1.0, 1.0, "diverging", True), note)


def _grid(shares: NDArray[np.float64], shown: int, columns: int, zoom: int, gap: int) -> Pixels:
    """Lay one filter's inputs out; the strongest first where not all are shown."""
    if shown < len(shares):
        norms = np.nan_to_num(np.linalg.norm(shares.reshape(len(shares), -1), axis=1))
        shares = shares[np.argsort(-norms, kind="stable")[:shown]]
    tiles = enlarge(colourise(shares, "diverging"), zoom)
    paper = style.rgb(style.PAPER if gap else style.FRAME)
    sheet = lay_out(tiles, columns, gap, paper, paper)
    return sheet[gap : len(sheet) - gap, gap : sheet.shape[1] - gap] if gap else sheet
