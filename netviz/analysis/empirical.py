"""The empirical receptive field: what makes a unit change, found by covering parts of images.

After Zhou, Khosla, Lapedriza, Oliva and Torralba, "Object Detectors Emerge in Deep Scene CNNs", ICLR 2015.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netviz.analysis.common import require_maps
from netviz.analysis.empirical_maps import Progress, Setting, find_peaks, measure
from netviz.capture import unwrap
from netviz.errors import ImageError, LayerError, ModelError
from netviz.fields.geometry import Field, geometry
from netviz.images import Photo
from netviz.models import Layer, LayerIndex, Model

THRESHOLD = 0.25
"""A pixel belongs to a unit's field where the mean discrepancy is at least this share of its peak."""

PLACES = 32
"""By default the occluder takes at most about so many places along each axis of a field."""

_ZHOU_PATCH, _ZHOU_STRIDE, _ZHOU_SIDE = 11, 3, 224


@dataclass(frozen=True)
class EmpiricalField:
    """What makes units of one layer change.

    Attributes
    ----------
    units : tuple of int
        The units that were measured: those asked for, without the dead and the still.
    maps : ndarray of float32, shape (len(units), H, W)
        Mean discrepancy of each unit, in units of its activation. The pixel (H // 2, W // 2) stands for the middle
        of the theoretical field at the unit's most active position; 0 where fewer than half of its images reach.
    sizes : tuple of float
        Size of each unit's field in pixels: the square root of the number of pixels whose mean discrepancy is at
        least `threshold` of the peak.
    mean, std : float
        Mean and (population) standard deviation of `sizes`; NaN if no unit was measured.
    quartiles : tuple of float
        25 %, 50 % and 75 % of `sizes`; NaN if no unit was measured.
    dead : tuple of int
        Units to which no image gives a positive activation.
    still : tuple of int
        Units that are active, but that no place of the occluder changes, such as those that a clipping function
        holds at its limit.
    images : tuple of tuple of str
        For each measured unit the names of its images, most active first: at most `top`.
    activations : tuple of tuple of float
        The activation at the most active position of each of them.
    outside : float
        Largest change of an activation, as a share of it, when everything outside of the theoretical field was
        replaced by noise, in a full pass of the most active image of each unit: zero but for rounding if the fields
        lie inside. NaN where the theoretical field reaches over the whole image, so that nothing is outside.
    theoretical : (float, float)
        Size of the theoretical field, y and x, in pixels; NaN where unknown.
    patch, stride : int
        The occluder and its step, in pixels.
    top : int
        How many images per unit were wanted.
    seed : int
        Of the random values.
    threshold : float
        See `sizes`.
    """

    units: tuple[int, ...]
    maps: NDArray[np.float32]
    sizes: tuple[float, ...]
    mean: float
    std: float
    quartiles: tuple[float, float, float]
    dead: tuple[int, ...]
    still: tuple[int, ...]
    images: tuple[tuple[str, ...], ...]
    activations: tuple[tuple[float, ...], ...]
    outside: float
    theoretical: tuple[float, float]
    patch: int
    stride: int
    top: int
    seed: int
    threshold: float = THRESHOLD


def empirical_field(
    model: Model,
    index: LayerIndex,
    layer: Layer,
    units: Iterable[int],
    images: Sequence[str | Path | Photo],
    *,
    top: int = 10,
    patch: int | None = None,
    stride: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> EmpiricalField:
    """Measure which part of an image makes units change.

    For each unit, the images with its largest activations are taken. An occluder of random colours is moved over
    each; the discrepancy is the absolute change of the activation at the unit's most active position (absolute, as
    random colours may raise it too). Each pixel gets the mean over the places of the occluder that cover it. These
    maps are shifted so that the middle of the theoretical field at the most active position lies in the middle, and
    averaged over the images.

    Parameters
    ----------
    model : Model
        With its network.
    index : LayerIndex
        Its layers; images are brought to ``index.input_shape``.
    layer : Layer
        One with maps.
    units : iterable of int
        From 0 to the layer's channels - 1.
    images : sequence of str, Path or Photo
        As for `netviz.images.read_image`.
    top : int
        How many images for each unit (K in the paper, 25 there). An image that gives a unit no positive activation
        is not taken, so that there may be fewer.
    patch, stride : int, optional
        Side of the occluder and its step, in pixels. By default the paper's 11 and 3 at an input of 224 pixels, in
        proportion to the input's short side; but the patch is at most a quarter of the theoretical field, so that
        small fields can be told from it, and the stride is at least a thirty-second of the field or of the image,
        whichever is smaller, so that deep layers take about 32×32 places.
    seed : int
        Draws the random colours.
    progress : callable, optional
        Called with what is being done, how many steps are done, and of how many.

    Returns
    -------
    EmpiricalField
        Dead and still units are named in it and have no map. A layer with a global or unknown theoretical field is
        centred on the place in the image that is as far along as the position is in the map.

    Raises
    ------
    ImageError
        If there is no image, one cannot be read, or the network does not run on it.
    LayerError
        If the layer has no maps, or has no such unit.
    ModelError
        If there is no network.
    ValueError
        If `top`, `patch` or `stride` is out of range.

    References
    ----------
    Zhou et al., "Object Detectors Emerge in Deep Scene CNNs", ICLR 2015, section 3.2.
    """
    network = unwrap(model.runnable())
    require_maps(model, layer)
    asked = list(dict.fromkeys(units))
    for unit in asked:
        if not 0 <= unit < layer.channels:
            raise LayerError(
                f"layer {layer.name} has no unit {unit}: its units are 0 to {layer.channels - 1}"
            )
    if top < 1:
        raise ValueError(f"top must be at least 1, not {top}")
    if index.input_shape is None:
        raise ModelError("this list of layers comes from weights alone: list the network's layers first")
    if not images:
        raise ImageError("the empirical field needs at least one image; name some with --images")
    size = (int(index.input_shape[1]), int(index.input_shape[2]))
    field = geometry(network, index)[layer]
    patch, stride = _occluder(field, size, patch, stride)
    preprocessing = model.preprocessing.sized(*size)
    setting = Setting(model, network, layer, field, preprocessing, size, patch, stride, seed)
    tell = progress or (lambda what, done, total: None)

    peaks, names = find_peaks(setting, asked, images, top, tell)
    alive = [unit for unit in asked if peaks[unit]]
    maps, outside = measure(setting, {unit: peaks[unit] for unit in alive}, images, tell)
    moved = [row for row, one in enumerate(maps) if one.any()]
    still = tuple(unit for row, unit in enumerate(alive) if row not in moved)
    alive, maps = [alive[row] for row in moved], maps[moved]
    sizes = tuple(_size(one) for one in maps)
    nothing = (math.nan, math.nan, math.nan)
    quarters = tuple(float(q) for q in np.percentile(sizes, (25, 50, 75))) if sizes else nothing
    return EmpiricalField(
        units=tuple(alive),
        maps=maps,
        sizes=sizes,
        mean=float(np.mean(sizes)) if sizes else math.nan,
        std=float(np.std(sizes)) if sizes else math.nan,
        quartiles=(quarters[0], quarters[1], quarters[2]),
        dead=tuple(unit for unit in asked if not peaks[unit]),
        still=still,
        images=tuple(tuple(names[peak.image] for peak in peaks[unit]) for unit in alive),
        activations=tuple(tuple(peak.activation for peak in peaks[unit]) for unit in alive),
        outside=outside,
        theoretical=field.size,
        patch=patch,
        stride=stride,
        top=top,
        seed=seed,
    )


def _occluder(field: Field, size: tuple[int, int], patch: int | None, stride: int | None) -> tuple[int, int]:
    """Choose patch and stride, or check those given."""
    side = min(size)
    span = side if math.isnan(field.size[0]) else min(side, *field.size)
    if patch is None:
        patch = max(1, min(round(_ZHOU_PATCH * side / _ZHOU_SIDE), round(span / 4)))
    if not 1 <= patch <= side:
        raise ValueError(f"the patch must be 1 to {side} pixels, the input's short side, not {patch}")
    if stride is None:
        stride = max(1, round(patch * _ZHOU_STRIDE / _ZHOU_PATCH), math.ceil(span / PLACES))
        stride = min(stride, patch)
    if not 1 <= stride <= patch:
        raise ValueError(f"the stride must be 1 to {patch} pixels, the side of the patch, not {stride}")
    return patch, stride


def _size(discrepancy: NDArray[np.float32]) -> float:
    """Return the side of a square as large as the part that reaches `THRESHOLD` of the peak, in pixels."""
    peak = float(discrepancy.max(initial=0.0))
    return math.sqrt(int((discrepancy >= THRESHOLD * peak).sum())) if peak > 0 else 0.0
