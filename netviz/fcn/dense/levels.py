"""One pass of a network over a whole image, its cells placed on the original."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from netviz.errors import ImageError
from netviz.fcn.dense.network import DenseNetwork
from netviz.geometry.field import Field
from netviz.images import Photo, placement, prepare
from netviz.interpolation import rescaled
from netviz.models import Preprocessing
from netviz.questions.places import interpolation_matrix

Floats = NDArray[np.float64]

Maps = NDArray[np.float32]


@dataclass(frozen=True)
class Level:
    """What one pass gave; places and lengths are in pixels of the original, whose first pixel's middle is 0.

    Attributes
    ----------
    scale : float
        The input's size relative to that at scale 1.
    scores : ndarray of float32, shape (C, h, w)
    center_y, center_x : ndarray of float64, shapes (h,) and (w,)
    stride : (float, float)
    window : (float, float, float, float)
        Of cell 0, 0: top, left, height, width; top and left are edges, those of the image 0.
    window_of, placed : str
        As in `DenseResult`.
    size : (int, int)
        Height and width of the input.
    field : Field
    preprocessing : Preprocessing
    padded : int
        As in `DenseNetwork`.
    """

    scale: float
    scores: Maps
    center_y: Floats
    center_x: Floats
    stride: tuple[float, float]
    window: tuple[float, float, float, float]
    window_of: str
    placed: str
    size: tuple[int, int]
    field: Field
    preprocessing: Preprocessing
    padded: int = 0


def resized(preprocessing: Preprocessing, photo: Photo, scale: float = 1.0) -> tuple[int, int]:
    """Return the height and width at which a network sees a photograph at this scale."""
    rows, columns = photo.pixels.shape[:2]
    height, width = placement(rows, columns, preprocessing)[0]
    return max(1, round(height * scale)), max(1, round(width * scale))


def run_level(dense: DenseNetwork, photo: Photo, scale: float = 1.0) -> Level:
    """Run the network once over a photograph.

    Raises
    ------
    ImageError
        If the photograph is smaller than the network's window at this scale, or the network does not run on it.
    """
    size = resized(dense.preprocessing, photo, scale)
    check_window(dense, photo, size, scale)
    preprocessing = replace(dense.preprocessing, resize=size, crop=None)
    image = prepare(photo, preprocessing).tensor
    try:
        scores = dense.run(image, photo.name, scale).numpy()
    except ImageError:
        padded = dense.continued(size)
        if padded is None:
            raise
        dense = padded
        scores = dense.run(image, photo.name, scale).numpy()
    field = dense.field(size)
    cells = (int(scores.shape[-2]), int(scores.shape[-1]))
    placed = _placed(dense, field, cells, size)
    starts, strides, sides, centers = zip(
        *(_axis(dense, field, placed, cells, size, axis) for axis in (0, 1)), strict=True
    )
    # Lengths and edges of pixels scale by the sizes alone; middles of pixels lie half a pixel from their edges.
    per = [original / side for original, side in zip(photo.pixels.shape[:2], size, strict=True)]
    y, x = (rescaled(at, ratio) for at, ratio in zip(centers, per, strict=True))
    window_of = "crop" if dense.native else "field" if field.status in ("exact", "upper_bound") else "image"
    return Level(
        scale=scale,
        scores=scores,
        center_y=y,
        center_x=x,
        stride=(strides[0] * per[0], strides[1] * per[1]),
        window=(starts[0] * per[0], starts[1] * per[1], sides[0] * per[0], sides[1] * per[1]),
        window_of=window_of,
        placed=placed,
        size=size,
        field=field,
        preprocessing=preprocessing,
        padded=dense.padded,
    )


def check_window(dense: DenseNetwork, photo: Photo, size: tuple[int, int], scale: float) -> None:
    """Refuse an image that does not fill the network's window.

    Raises
    ------
    ImageError
        Saying how to mend it.
    """
    if dense.native is None or all(side >= least for side, least in zip(size, dense.native, strict=True)):
        return
    window = "×".join(map(str, dense.native))
    if scale != 1:
        raise ImageError(
            f"at scale {scale:g} {dense.model.name} sees {photo.name} as {size[0]}×{size[1]}, smaller than its "
            f"window of {window}; leave that scale out"
        )
    raise ImageError(
        f"{photo.name} is {size[0]}×{size[1]}, smaller than the window of {dense.model.name}, {window}; give a "
        f"larger image, or enlarge it with --short-side {max(dense.native)}"
    )


def _placed(dense: DenseNetwork, field: Field, cells: tuple[int, int], size: tuple[int, int]) -> str:
    if cells == size and dense.native is None:
        return "pixels"
    if field.status in ("exact", "upper_bound") and all(field.stride):
        return "geometry"
    return "window" if dense.native else "spread"


def _axis(
    dense: DenseNetwork, field: Field, placed: str, cells: tuple[int, int], size: tuple[int, int], axis: int
) -> tuple[float, float, float, Floats]:
    """Return, along an axis of the input, the first window's edge, the stride, a window's side and the centres."""
    count, side = cells[axis], size[axis]
    each = np.arange(count, dtype=np.float64)
    stride = side / count
    centers = (each + 0.5) * stride - 0.5
    if placed == "geometry":
        stride = field.stride[axis]
        centers = field.start[axis] + each * stride + (field.size[axis] - 1) / 2
    if dense.native is not None:
        # Cell i is the classifier's score of the crop that begins i strides on: a shift of the image shifts the map.
        if placed == "window":
            stride = dense.steps()[axis]
            centers = each * stride + (dense.native[axis] - 1) / 2
        return 0.0, stride, float(dense.native[axis]), centers
    if field.status not in ("exact", "upper_bound"):
        return 0.0, stride, float(side), centers
    return float(centers[0] - (field.size[axis] - 1) / 2), stride, float(field.size[axis]), centers


def merged(levels: list[Level], chosen: list[int]) -> tuple[Maps, NDArray[np.uint8]]:
    """Return the highest score of the chosen classes over all levels, on the finest one's grid.

    A coarse level is read between its cells' centres, and has no say further than half a cell outside of them.

    Returns
    -------
    scores : ndarray of float32, shape (K, h, w)
    level : ndarray of uint8, shape (K, h, w)
        Which level gave it.
    """
    fine = levels[finest(levels)]
    best = np.full((len(chosen), len(fine.center_y), len(fine.center_x)), -np.inf, dtype=np.float32)
    level = np.zeros(best.shape, dtype=np.uint8)
    for number, one in enumerate(levels):
        if one is fine:
            values = one.scores[chosen]
        else:
            down, across = (
                interpolation_matrix(places[0], stride, 1.0, len(places), at)
                for places, stride, at in (
                    (one.center_y, one.stride[0], fine.center_y),
                    (one.center_x, one.stride[1], fine.center_x),
                )
            )
            values = (down @ one.scores[chosen].astype(np.float64) @ across.T).astype(np.float32)
            inside = np.logical_and.outer(
                _within(fine.center_y, one.center_y, one.stride[0]),
                _within(fine.center_x, one.center_x, one.stride[1]),
            )
            values = np.where(inside, values, -np.inf)
        # NaN must not hide behind a number of another level.
        higher = (values > best) | np.isnan(values)
        best[higher] = values[higher]
        level[higher] = number
    return best, level


def _within(places: Floats, centers: Floats, stride: float) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (places >= centers[0] - stride / 2) & (places <= centers[-1] + stride / 2)
    return inside


def finest(levels: list[Level]) -> int:
    """Return the level with the smallest stride on the original."""
    return min(range(len(levels)), key=lambda number: levels[number].stride)
