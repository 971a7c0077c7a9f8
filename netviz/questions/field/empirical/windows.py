"""The empirical field of a few units, each on the images that activate it most: ``netviz field --kind empirical``.

Of each image only the window that an occluder changes is run again.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from netviz.capture import brief, capture, channels_first, network_device, unwrap, wide
from netviz.capture.tape import Tape
from netviz.errors import ImageError, LayerError, ModelError
from netviz.geometry.field import Field, geometry
from netviz.geometry.occlusion import grid, occlude, taped
from netviz.images import Photo, prepare, read_image
from netviz.models import Layer, LayerIndex, Model, Preprocessing
from netviz.questions.duration import warn_if_long
from netviz.questions.field.empirical.average import (
    THRESHOLD,
    Alignment,
    Average,
    Floats,
    Ints,
    belonging,
    field_sizes,
    find_peaks,
    finite,
    random_colours,
)
from netviz.questions.opening import require_maps

# A field that covers less of the image than this is measured on its own, else with all units of the image at once.
_SMALL = 0.25

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class _Peak:
    """Where one unit is most active on one image."""

    activation: float
    image: int
    row: int
    col: int


@dataclass(frozen=True)
class _Setting:
    """What stays the same over all images."""

    model: Model
    network: nn.Module
    layer: Layer
    alignment: Alignment
    preprocessing: Preprocessing
    patch: int
    stride: int
    seed: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images, in pixels."""
        return self.alignment.size


def _most_active(
    setting: _Setting, units: list[int], images: Sequence[str | Path | Photo], top: int, tell: Progress
) -> tuple[dict[int, list[_Peak]], list[str]]:
    """Find, for each unit, where it is most active on the images that activate it most."""
    peaks: dict[int, list[_Peak]] = {unit: [] for unit in units}
    names: list[str] = []
    for number, source in enumerate(images):
        tell("finding the images that activate each unit", number, len(images))
        photo, image = _image(setting, source)
        names.append(photo.name)
        with _runs(setting, photo.name):
            found = find_peaks(setting.network, image, {setting.layer: units}).get(setting.layer)
        if found is None:
            raise LayerError(f"layer {setting.layer.name!r} did not run in this forward pass")
        for unit, value, row, col in zip(*(one.tolist() for one in found.some(found.active)), strict=True):
            peaks[unit].append(_Peak(value, number, row, col))
            peaks[unit] = sorted(peaks[unit], key=lambda peak: (-peak.activation, peak.image))[:top]
    tell("finding the images that activate each unit", len(images), len(images))
    return peaks, names


def _measured(
    setting: _Setting, peaks: dict[int, list[_Peak]], images: Sequence[str | Path | Photo], tell: Progress
) -> tuple[NDArray[np.float32], float]:
    """Return the mean discrepancy of each unit, (U, H, W), and how much what lies outside of the fields does."""
    average = Average(setting.alignment, len(peaks), (0, 0, *setting.size), np.float64)
    places = {unit: at for at, unit in enumerate(peaks)}
    outside: list[float] = []
    needed = sorted({peak.image for some in peaks.values() for peak in some})
    what = f"occluding for layer {setting.layer.alias}"
    on = {
        number: {unit: peak for unit, some in peaks.items() for peak in some if peak.image == number}
        for number in needed
    }
    told = False

    def foretell(seconds: float) -> None:
        nonlocal told
        if told:
            return
        told = True
        places = [
            math.prod(map(len, _starts(setting, some)))
            for one in on.values()
            for some in _together(setting, one)
        ]
        seconds *= sum(places) / max(1, next(filter(None, places), 1))
        said = f"{sum(places)} places of the patch on {len(needed)} images for {len(peaks)} units"
        warn_if_long(
            seconds,
            f"{said} take {setting.model.name}",
            "fewer --unit, a smaller --top, or a smaller --size make it less",
        )

    for done, number in enumerate(needed):
        tell(what, done, len(needed))
        photo, image = _image(setting, images[number])
        wanted = on[number]
        colours = random_colours(setting.size, setting.preprocessing, setting.seed, number)
        noise = colours.to(image.device)
        with _runs(setting, photo.name):
            tape = taped(setting.network, image, setting.layer)
            for together in _together(setting, wanted):
                which = np.array([places[unit] for unit in together], dtype=np.int64)
                positions = [(peak.row, peak.col) for peak in together.values()]
                starts = _starts(setting, together)
                changes = _changes(
                    setting, image, noise, tape, together, starts, check=done == 0, foretell=foretell
                )
                average.add(which, positions, changes, starts, setting.patch)
            for unit, peak in wanted.items():
                if peak == peaks[unit][0]:
                    outside.append(_change_outside(setting, image, noise, unit, peak))
    tell(what, len(needed), len(needed))
    known = [change for change in outside if not math.isnan(change)]
    return average.maps().astype(np.float32), max(known, default=math.nan)


def _image(setting: _Setting, source: str | Path | Photo) -> tuple[Photo, Tensor]:
    """Read an image and bring it to what the network takes."""
    photo = source if isinstance(source, Photo) else read_image(source)
    device = network_device(setting.network)
    return photo, prepare(photo, setting.preprocessing).tensor.to(device)


@contextmanager
def _runs(setting: _Setting, name: str) -> Iterator[None]:
    """Turn what a network raises on an image into one line."""
    try:
        yield
    except (RuntimeError, ValueError, IndexError) as error:
        height, width = setting.size
        raise ImageError(
            f"{setting.model.name} does not run on {name} at {height}×{width} pixels ({brief(error)}); "
            f"give another --size HxW"
        ) from error


def _together(setting: _Setting, wanted: dict[int, _Peak]) -> list[dict[int, _Peak]]:
    """Part the units of an image: small fields each on their own, as little need be computed; the rest together."""
    alone: list[dict[int, _Peak]] = []
    rest: dict[int, _Peak] = {}
    for unit, peak in wanted.items():
        top, left, bottom, right = setting.alignment.box(peak.row, peak.col)
        if (bottom - top) * (right - left) < _SMALL * math.prod(setting.size):
            alone.append({unit: peak})
        else:
            rest[unit] = peak
    return [*alone, *([rest] if rest else [])]


def _starts(setting: _Setting, wanted: dict[int, _Peak]) -> tuple[Ints, Ints]:
    """Return first rows and columns of the occluder at which it covers what any of the units sees."""
    boxes = [setting.alignment.box(peak.row, peak.col) for peak in wanted.values()]
    tops, lefts, bottoms, rights = zip(*boxes, strict=True)
    reached = ((min(tops), max(bottoms)), (min(lefts), max(rights)))
    rows, cols = (
        every[(every < high) & (every + setting.patch > low)]
        for (low, high), every in zip(
            reached, (grid(length, setting.patch, setting.stride) for length in setting.size), strict=True
        )
    )
    return rows, cols


def _changes(
    setting: _Setting,
    image: Tensor,
    noise: Tensor,
    tape: Tape,
    wanted: dict[int, _Peak],
    starts: tuple[Ints, Ints],
    check: bool,
    foretell: Callable[[float], None],
) -> Floats:
    """Return each unit's discrepancy for every place of the occluder, (U, rows, columns)."""
    if not all(map(len, starts)):
        return np.zeros((len(wanted), *map(len, starts)))
    units = list(wanted)
    rows, cols = [peak.row for peak in wanted.values()], [peak.col for peak in wanted.values()]
    focus = None
    if setting.layer.channel_axis == 1 and setting.layer.arrangement is None:
        focus = (min(rows), min(cols), max(rows) + 1, max(cols) + 1)
        rows, cols = [row - focus[0] for row in rows], [col - focus[1] for col in cols]

    def read(target: Tensor) -> Tensor:
        return channels_first(setting.layer, target)[:, units, rows, cols]

    found = occlude(
        setting.network,
        image,
        noise,
        *starts,
        (setting.patch, setting.patch),
        read,
        layer=setting.layer,
        focus=focus,
        tape=tape,
        check=check,
        foretell=foretell,
    )
    changes = wide((found.values - found.clean).abs()).numpy()
    return finite(np.moveaxis(changes, 2, 0))


def _change_outside(setting: _Setting, image: Tensor, noise: Tensor, unit: int, peak: _Peak) -> float:
    """Return how much of its activation a unit changes by when all outside of its field becomes noise."""
    top, left, bottom, right = setting.alignment.box(peak.row, peak.col)
    if (bottom - top, right - left) == setting.size:
        return math.nan
    changed = noise.clone()
    changed[..., top:bottom, left:right] = image[..., top:bottom, left:right]
    with capture(setting.network, [setting.layer]) as run:
        run(changed)
        value = float(channels_first(setting.layer, run[setting.layer])[0, unit, peak.row, peak.col])
    return abs(value - peak.activation) / peak.activation


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

    For each unit, the images with its largest activations are taken, and the discrepancy averaged over them as
    `netviz.questions.field.empirical.average` says.

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
    rows, columns = (layer.shape or (0, 1, 1))[1:]
    alignment = Alignment(field, (rows, columns), size)
    setting = _Setting(
        model, network, layer, alignment, model.preprocessing.sized(*size), patch, stride, seed
    )
    tell = progress or (lambda what, done, total: None)

    peaks, names = _most_active(setting, asked, images, top, tell)
    alive = [unit for unit in asked if peaks[unit]]
    maps, outside = _measured(setting, {unit: peaks[unit] for unit in alive}, images, tell)
    moved = [row for row, one in enumerate(maps) if one.any()]
    still = tuple(unit for row, unit in enumerate(alive) if row not in moved)
    alive, maps = [alive[row] for row in moved], maps[moved]
    sizes = tuple(map(float, field_sizes(belonging(maps))))
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
