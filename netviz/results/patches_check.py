"""Whether the arrays of a patches result fit together: a file may come from anywhere."""

import numpy as np

from netviz.errors import ResultError
from netviz.results.patches import PatchesResult


def check_patches(result: PatchesResult, name: str) -> PatchesResult:
    """Return the result if it can be drawn: shapes agree, boxes lie in their images, numbers are finite.

    Parameters
    ----------
    result : PatchesResult
    name : str
        Where it comes from, for the message.

    Raises
    ------
    ResultError
        Naming the first thing that does not fit.
    """
    problem = _shapes(result) or _facts(result) or _values(result)
    if problem:
        raise ResultError(f"{name} is damaged: {problem}; run netviz patches again")
    return result


def _shapes(result: PatchesResult) -> str:
    score = result.score
    if not isinstance(score, np.ndarray) or score.ndim != 2 or 0 in score.shape:
        return "score is no table of units and places"
    units, top = score.shape
    wanted: dict[str, tuple[str, tuple[int | None, ...]]] = {
        "score": ("f", (units, top)),
        "image": ("i", (units, top)),
        "row": ("i", (units, top)),
        "col": ("i", (units, top)),
        "box": ("i", (units, top, 4)),
        "margin": ("i", (units, top, 4)),
        "size": ("i", (units, top, 2)),
        "maps": ("f", (units, top, None, None)),
        "maps_box": ("i", (units, top, 4)),
        "mean": ("f", (units,)),
        "max": ("f", (units,)),
        "nonzero": ("f", (units,)),
        "quantile_levels": ("f", (None,)),
        "quantiles": ("f", (units, None)),
        "histogram": ("i", (units, None)),
    }
    for name, (kind, shape) in wanted.items():
        array = getattr(result, name)
        if not isinstance(array, np.ndarray) or array.dtype.kind != kind or array.ndim != len(shape):
            return f"{name} has the wrong type"
        fits = all(want is None or want == have for want, have in zip(shape, array.shape, strict=True))
        if not fits or 0 in array.shape:
            return f"{name} has the shape {'×'.join(map(str, array.shape))}"
    if result.histogram.shape[1] > 256:
        return "histogram has more than 256 steps"
    if result.quantiles.shape[1] != len(result.quantile_levels):
        return "there are not as many quantiles as levels"
    return ""


def _facts(result: PatchesResult) -> str:
    for name in ("network", "layer", "alias", "layer_kind", "field_status", "input"):
        if not isinstance(getattr(result, name), str):
            return f"{name} is no text"
    for name in ("channels", "images", "positions", "quantile_samples", "per_image"):
        if type(getattr(result, name)) is not int:
            return f"{name} is no whole number"
    units = len(result.score)
    if result.channels != units:
        return f"channels is {result.channels}, but there are {units} units"
    for name in ("dead", "always_on"):
        numbers = getattr(result, name)
        if not isinstance(numbers, tuple) or any(type(n) is not int or not 0 <= n < units for n in numbers):
            return f"{name} names units that there are not"
    for name in ("field_size", "field_stride", "map_size"):
        pair = getattr(result, name)
        if pair is None and name != "map_size":
            continue
        if not isinstance(pair, tuple) or len(pair) != 2 or not all(map(_length, pair)):
            return f"{name} is no pair of numbers"
    return ""


def _values(result: PatchesResult) -> str:
    filled = result.image >= 0
    for name in ("mean", "max", "nonzero", "quantile_levels", "quantiles"):
        if not np.isfinite(getattr(result, name)).all():
            return f"{name} holds NaN or infinity"
    if not (np.isfinite(result.score[filled]).all() and np.isfinite(result.maps[filled]).all()):
        return "score or maps hold NaN or infinity"
    box, size = result.box[filled], result.size[filled]
    inside = (box[:, :2] >= 0) & (box[:, :2] < box[:, 2:]) & (box[:, 2:] <= size)
    if not inside.all():
        return "a box lies outside of its image"
    # Beyond 2³⁰ pixels sums of coordinates might overflow; no image is as large.
    for name in ("margin", "maps_box", "size"):
        if (np.abs(getattr(result, name)[filled].astype(np.int64)) > 1 << 30).any():
            return f"{name} is beyond any image"
    if (result.margin[filled] < 0).any() or (result.histogram < 0).any():
        return "margin or histogram is negative"
    ends = result.maps_box[filled]
    if not (ends[:, :2] <= ends[:, 2:]).all():
        return "maps_box ends before it begins"
    return ""


def _length(value: object) -> bool:
    return isinstance(value, float | int) and 0 <= value <= 1 << 40
