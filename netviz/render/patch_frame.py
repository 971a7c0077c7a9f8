"""Where a field lies in a square tile: the geometry of one patch."""

from collections.abc import Sequence
from dataclasses import dataclass
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
        low, high = box[:2].astype(float) - margin[:2], box[2:].astype(float) + margin[2:]
        lengths = (box[2:] - box[:2]).astype(float)
        both = (margin[:2] > 0) & (margin[2:] > 0)
        longest = float(np.where(both, lengths, high - low).max())
        for axis in np.flatnonzero(both):
            spare = max(0.0, min(longest, high[axis] - low[axis]) - lengths[axis])
            if spare < _SLIVER * longest:
                spare = 0.0
            before = min(float(margin[axis]), max(spare / 2, spare - float(margin[axis + 2])))
            low[axis] = box[axis] - before
            high[axis] = box[axis + 2] + spare - before
        zoom = side / longest
        if zoom >= _WHOLE:
            zoom = float(int(zoom))
        extent = np.clip(np.rint((high - low) * zoom), 1, side).astype(int)
        first = (side - extent) // 2
        origin = low - first / zoom
        edges = np.rint((np.concatenate((box[:2], box[2:])) - np.tile(origin, 2)) * zoom).astype(int)
        start = np.clip(edges[:2], first, first + extent - 1)
        end = np.clip(edges[2:], start + 1, first + extent)
        return cls(
            box=_four(box.tolist()),
            origin=(float(origin[0]), float(origin[1])),
            zoom=zoom,
            side=side,
            drawn=_four([*first.tolist(), *(first + extent).tolist()]),
            inner=_four([*start.tolist(), *end.tolist()]),
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


def hatching(side: int) -> Pixels:
    """Return how what lies beyond an image looks, shape (side, side, 3)."""
    y, x = np.mgrid[:side, :side]
    tile = np.empty((side, side, 3), dtype=np.uint8)
    tile[:] = style.rgb(style.BEYOND)
    tile[(y + x) % _HATCH == 0] = style.rgb(style.HATCH)
    return tile


def _weights(at: NDArray[Any], first: float, length: float, cells: int) -> NDArray[np.float64]:
    """Return how much of each cell is in the value at each place, shape (places, cells)."""
    position = np.clip((at - first) / length * cells - 0.5, 0, cells - 1)
    return np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(cells)))


def _four(numbers: Sequence[Any]) -> tuple[int, int, int, int]:
    top, left, bottom, right = (int(number) for number in numbers)
    return top, left, bottom, right
