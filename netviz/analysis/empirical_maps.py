"""How the maps of an empirical field are made: the most active places, an occluder over each, and their mean."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netviz.capture import brief, capture, channels_first
from netviz.capture.tape import Tape, record
from netviz.errors import ImageError
from netviz.fields.geometry import Field
from netviz.fields.occlusion import grid, occlude, spread
from netviz.images import Photo, normalize, prepare, read_image
from netviz.models import Layer, Model, Preprocessing

# A field that covers less of the image than this is measured on its own, else with all units of the image at once.
_SMALL = 0.25

Progress = Callable[[str, int, int], None]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Peak:
    """Where one unit is most active on one image."""

    activation: float
    image: int
    row: int
    col: int


@dataclass(frozen=True)
class Setting:
    """What stays the same over all images."""

    model: Model
    network: nn.Module
    layer: Layer
    field: Field
    preprocessing: Preprocessing
    size: tuple[int, int]
    patch: int
    stride: int
    seed: int


def find_peaks(
    setting: Setting, units: list[int], images: Sequence[str | Path | Photo], top: int, tell: Progress
) -> tuple[dict[int, list[Peak]], list[str]]:
    """Find, for each unit, where it is most active on the images that activate it most."""
    peaks: dict[int, list[Peak]] = {unit: [] for unit in units}
    names: list[str] = []
    for number, source in enumerate(images):
        tell("finding the images that activate each unit", number, len(images))
        photo, image = _image(setting, source)
        names.append(photo.name)
        with _runs(setting, photo.name), capture(setting.network, [setting.layer]) as run:
            run(image)
            maps = channels_first(setting.layer, run[setting.layer])[0]
        values, places = maps.flatten(1).float().cpu().max(dim=1)
        for unit in units:
            value = float(values[unit])
            if math.isfinite(value) and value > 0:
                row, col = divmod(int(places[unit]), maps.shape[2])
                peaks[unit].append(Peak(value, number, row, col))
                peaks[unit] = sorted(peaks[unit], key=lambda peak: (-peak.activation, peak.image))[:top]
    tell("finding the images that activate each unit", len(images), len(images))
    return peaks, names


def measure(
    setting: Setting, peaks: dict[int, list[Peak]], images: Sequence[str | Path | Photo], tell: Progress
) -> tuple[NDArray[np.float32], float]:
    """Return the mean discrepancy of each unit, (U, H, W), and how much what lies outside of the fields does."""
    totals = {unit: np.zeros(setting.size) for unit in peaks}
    counts = {unit: np.zeros(setting.size) for unit in peaks}
    outside: list[float] = []
    needed = sorted({peak.image for some in peaks.values() for peak in some})
    what = f"occluding for layer {setting.layer.alias}"
    for done, number in enumerate(needed):
        tell(what, done, len(needed))
        photo, image = _image(setting, images[number])
        wanted = {unit: peak for unit, some in peaks.items() for peak in some if peak.image == number}
        colours = random_colours(setting.size, setting.preprocessing, setting.seed, number)
        noise = colours.to(image.device)
        with _runs(setting, photo.name):
            tape = record(setting.network, image, keep=True)
            for together in _runs_of(setting, wanted):
                maps = _discrepancies(setting, image, noise, tape, together, check=done == 0)
                for (unit, peak), values in zip(together.items(), maps, strict=True):
                    shift = _shift(setting, peak)
                    totals[unit] += _shifted(values, *shift)
                    counts[unit] += _shifted(np.ones(setting.size), *shift)
            for unit, peak in wanted.items():
                if peak == peaks[unit][0]:
                    outside.append(_change_outside(setting, image, noise, unit, peak))
    tell(what, len(needed), len(needed))
    result = np.zeros((len(peaks), *setting.size), dtype=np.float32)
    for row, (unit, some) in enumerate(peaks.items()):
        enough = counts[unit] * 2 >= len(some)
        result[row] = np.where(enough, totals[unit] / np.maximum(counts[unit], 1), 0.0)
    known = [change for change in outside if not math.isnan(change)]
    return result, max(known, default=math.nan)


def _image(setting: Setting, source: str | Path | Photo) -> tuple[Photo, Tensor]:
    """Read an image and bring it to what the network takes."""
    photo = source if isinstance(source, Photo) else read_image(source)
    device = next((value.device for value in setting.network.parameters()), torch.device("cpu"))
    return photo, prepare(photo.pixels, setting.preprocessing).tensor.to(device)


def random_colours(size: tuple[int, int], preprocessing: Preprocessing, seed: int, number: int) -> Tensor:
    """Return what occluders of one image show, (1, C, H, W): random colours, as the network takes them."""
    generator = np.random.default_rng([seed, number])
    pixels = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
    return normalize(pixels, preprocessing)


def field_middle(
    field: Field, position: tuple[int, int], map_shape: tuple[int, int], size: tuple[int, int]
) -> tuple[float, float]:
    """Return the middle (y, x) of what a position sees; of a field without a place, as far along as the position."""
    if field.status in ("global", "unknown"):
        y, x = ((at + 0.5) * size[axis] / map_shape[axis] - 0.5 for axis, at in enumerate(position))
        return y, x
    return field.center(*position)


@contextmanager
def _runs(setting: Setting, name: str) -> Iterator[None]:
    """Turn what a network raises on an image into one line."""
    try:
        yield
    except (RuntimeError, ValueError, IndexError) as error:
        height, width = setting.size
        raise ImageError(
            f"{setting.model.name} does not run on {name} at {height}×{width} pixels ({brief(error)}); "
            f"give another --size HxW"
        ) from error


def _box(setting: Setting, peak: Peak) -> tuple[int, int, int, int]:
    """Return the pixels that a unit sees at its most active position: all of them where that is not known."""
    height, width = setting.size
    if setting.field.status == "unknown":
        return 0, 0, height, width
    return setting.field.clipped(peak.row, peak.col, height, width)


def _runs_of(setting: Setting, wanted: dict[int, Peak]) -> list[dict[int, Peak]]:
    """Part the units of an image: small fields each on their own, as little need be computed; the rest together."""
    alone: list[dict[int, Peak]] = []
    rest: dict[int, Peak] = {}
    for unit, peak in wanted.items():
        top, left, bottom, right = _box(setting, peak)
        if (bottom - top) * (right - left) < _SMALL * math.prod(setting.size):
            alone.append({unit: peak})
        else:
            rest[unit] = peak
    return [*alone, *([rest] if rest else [])]


def _discrepancies(
    setting: Setting, image: Tensor, noise: Tensor, tape: Tape, wanted: dict[int, Peak], check: bool
) -> list[Floats]:
    """Return each unit's discrepancy for every pixel of one image, (H, W); outside of its field it is 0."""
    boxes = [_box(setting, peak) for peak in wanted.values()]
    tops_, lefts_, bottoms, rights = zip(*boxes, strict=True)
    reached = ((min(tops_), max(bottoms)), (min(lefts_), max(rights)))
    starts = []
    for (low, high), length in zip(reached, setting.size, strict=True):
        all_starts = grid(length, setting.patch, setting.stride)
        starts.append(all_starts[(all_starts < high) & (all_starts + setting.patch > low)])
    tops, lefts = starts
    if not len(tops) or not len(lefts):
        return [np.zeros(setting.size) for _ in wanted]
    units = list(wanted)
    rows, cols = [peak.row for peak in wanted.values()], [peak.col for peak in wanted.values()]
    focus = None
    if setting.layer.channel_axis == 1:
        focus = (min(rows), min(cols), max(rows) + 1, max(cols) + 1)
        rows, cols = [row - focus[0] for row in rows], [col - focus[1] for col in cols]

    def read(target: Tensor) -> Tensor:
        return channels_first(setting.layer, target)[:, units, rows, cols]

    patch = (setting.patch, setting.patch)
    found = occlude(
        setting.network,
        image,
        noise,
        tops,
        lefts,
        patch,
        read,
        layer=setting.layer,
        focus=focus,
        tape=tape,
        check=check,
    )
    changes = (found.values - found.clean).abs().double().cpu().numpy()
    maps = []
    for number, (top, left, bottom, right) in enumerate(boxes):
        pixels = np.nan_to_num(spread(changes[..., number], tops, lefts, patch, setting.size))
        # A patch on the field's edge covers pixels outside of it, which cannot be what changed the unit.
        inside = np.zeros(setting.size)
        inside[top:bottom, left:right] = pixels[top:bottom, left:right]
        maps.append(inside)
    return maps


def _change_outside(setting: Setting, image: Tensor, noise: Tensor, unit: int, peak: Peak) -> float:
    """Return how much of its activation a unit changes by when all outside of its field becomes noise."""
    top, left, bottom, right = _box(setting, peak)
    if (bottom - top, right - left) == setting.size:
        return math.nan
    changed = noise.clone()
    changed[..., top:bottom, left:right] = image[..., top:bottom, left:right]
    with capture(setting.network, [setting.layer]) as run:
        run(changed)
        value = float(channels_first(setting.layer, run[setting.layer])[0, unit, peak.row, peak.col])
    return abs(value - peak.activation) / peak.activation


def _shift(setting: Setting, peak: Peak) -> tuple[int, int]:
    """Return by how many pixels the middle of a unit's field must move to lie in the middle of the map."""
    height, width = setting.size
    shape = (setting.layer.shape or (0, 1, 1))[1:]
    center = field_middle(setting.field, (peak.row, peak.col), (shape[0], shape[1]), setting.size)
    return height // 2 - round(center[0]), width // 2 - round(center[1])


def _shifted(values: Floats, down: int, right: int) -> Floats:
    """Move a map; what enters is 0."""
    height, width = values.shape
    moved = np.zeros_like(values)
    source = values[max(0, -down) : max(0, height - down), max(0, -right) : max(0, width - right)]
    source = source[:height, :width]
    moved[max(0, down) : max(0, down) + source.shape[0], max(0, right) : max(0, right) + source.shape[1]] = (
        source
    )
    return moved
