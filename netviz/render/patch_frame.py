"""Where a field lies in a square tile: the geometry of one patch."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netviz.render import style
from netviz.render.scales import Pixels
from netviz.results import PatchesResult

_WHOLE: Final = 4
_HATCH: Final = 6
_SLIVER: Final = 0.03


class _Axis:
    """A field along one axis: what it holds of the image, and how far beyond it is shown."""

    def __init__(self, first: int, last: int, before: int, after: int) -> None:
        self.first, self.last, self.before, self.after = first, last, before, after
        self.low, self.high = float(first - before), float(last + after)
        self.length = float(last - first)
        self.both = before > 0 and after > 0

    def shorten(self, longest: float) -> None:
        """Show a field that reaches beyond on both sides no farther than there is room."""
        if not self.both:
            return
        spare = max(0.0, min(longest, self.high - self.low) - self.length)
        if spare < _SLIVER * longest:
            spare = 0.0
        before = min(float(self.before), max(spare / 2, spare - float(self.after)))
        self.low = self.first - before
        self.high = self.last + spare - before

    def place(self, zoom: float, side: int) -> tuple[float, int, int, int, int]:
        """Return the image's coordinate at the tile's edge, and in the tile begin and end of all and of the image."""
        extent = min(max(round((self.high - self.low) * zoom), 1), side)
        first = (side - extent) // 2
        origin = self.low - first / zoom
        start = min(max(round((self.first - origin) * zoom), first), first + extent - 1)
        end = min(max(round((self.last - origin) * zoom), start + 1), first + extent)
        return origin, first, first + extent, start, end


@dataclass(frozen=True)
class Frame:
    """Where a field lies in a tile.

    Attributes
    ----------
    box : tuple of int
        Top, left, bottom, right of the patch in the image.
    origin : tuple of float
        The image's coordinates (y, x) at the tile's top left corner.
    zoom : float
        Tile pixels per pixel of the image.
    side : int
        Height and width of the tile.
    drawn : tuple of int
        Top, left, bottom, right of everything that the field holds, in the tile.
    inner : tuple of int
        The same of what it holds of the image.
    """

    box: tuple[int, int, int, int]
    origin: tuple[float, float]
    zoom: float
    side: int
    drawn: tuple[int, int, int, int]
    inner: tuple[int, int, int, int]

    @property
    def beyond(self) -> bool:
        """Whether part of the field lies beyond the image."""
        return self.drawn != self.inner

    @classmethod
    def of(cls, box: NDArray[np.int64], margin: NDArray[np.int64], side: int) -> "Frame":
        """Place a field: as large as the tile allows, small ones by a whole factor, in the tile's middle.

        A field that reaches beyond the image on both sides of an axis is shown on that axis no farther than the tile
        is needed for the other: of a field larger than the image all is known when the image is seen.
        """
        # Plain numbers: there are two axes, and a network's site has a hundred thousand patches.
        ends, beyond = box.tolist(), margin.tolist()
        axes = [_Axis(ends[at], ends[at + 2], beyond[at], beyond[at + 2]) for at in range(2)]
        longest = max(one.length if one.both else one.high - one.low for one in axes)
        for one in axes:
            one.shorten(longest)
        zoom = side / longest
        if zoom >= _WHOLE:
            zoom = float(int(zoom))
        placed = [one.place(zoom, side) for one in axes]
        (y, top, bottom, inner_top, inner_bottom), (x, left, right, inner_left, inner_right) = placed
        return cls(
            box=(ends[0], ends[1], ends[2], ends[3]),
            origin=(y, x),
            zoom=zoom,
            side=side,
            drawn=(top, left, bottom, right),
            inner=(inner_top, inner_left, inner_bottom, inner_right),
        )

    def draw(self, image: Pixels) -> tuple[Pixels, NDArray[np.bool_]]:
        """Return the tile, shape (side, side, 3), and where it shows the image, shape (side, side)."""
        tile = np.empty((self.side, self.side, 3), dtype=np.uint8)
        tile[:] = style.rgb(style.PAPER)
        top, left, bottom, right = self.drawn
        tile[top:bottom, left:right] = hatching(self.side)[top:bottom, left:right]
        first, begin, last, end = self.box
        cut = image[first:last, begin:end]
        top, left, bottom, right = self.inner
        size = (right - left, bottom - top)
        if self.zoom >= _WHOLE:
            rows = np.arange(size[1]) * cut.shape[0] // size[1]
            columns = np.arange(size[0]) * cut.shape[1] // size[0]
            scaled = cut[rows][:, columns]
        else:
            # Pillow widens the filter when it reduces: every pixel of the original counts.
            scaled = np.asarray(Image.fromarray(cut).resize(size, Image.Resampling.BICUBIC))
        tile[top:bottom, left:right] = scaled
        inside = np.zeros((self.side, self.side), dtype=np.bool_)
        inside[top:bottom, left:right] = True
        return tile, inside

    def map_values(
        self, result: PatchesResult, unit: int, place: int
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return a unit's map, as shares of the score, at every pixel of the tile, and where it is known.

        A cell's value stands at its centre; between centres it is interpolated linearly. Beyond the outermost it goes
        on unchanged, for a whole cell: a box holds a little more than the field where the image was resized.
        """
        cells = result.maps[unit, place].astype(np.float64)
        ends = result.maps_box[unit, place].tolist()
        weights = []
        known = []
        for axis in range(2):
            first, last = float(ends[axis]), float(ends[axis + 2])
            at = self.origin[axis] + (np.arange(self.side) + 0.5) / self.zoom
            length = max(last - first, 1.0)
            step = length / cells.shape[axis]
            weights.append(_weights(at, first, length, cells.shape[axis]))
            known.append((at >= first - step / 2) & (at <= first + length + step / 2))
        values: NDArray[np.float64] = weights[0] @ cells @ weights[1].T
        return values, np.outer(*known)


@lru_cache(maxsize=8)
def hatching(side: int) -> Pixels:
    """Return how what lies beyond an image looks, shape (side, side, 3), read-only."""
    y, x = np.mgrid[:side, :side]
    tile = np.empty((side, side, 3), dtype=np.uint8)
    tile[:] = style.rgb(style.BEYOND)
    tile[(y + x) % _HATCH == 0] = style.rgb(style.HATCH)
    tile.flags.writeable = False
    return tile


def _weights(at: NDArray[Any], first: float, length: float, cells: int) -> NDArray[np.float64]:
    """Return how much of each cell is in the value at each place, shape (places, cells)."""
    position = np.clip((at - first) / length * cells - 0.5, 0, cells - 1)
    return np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(cells)))
