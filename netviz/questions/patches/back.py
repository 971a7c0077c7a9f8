"""What in a unit's patches made it answer: its value there, followed back to the image by a rule for rectifiers."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from netviz.capture import brief, capture, channels_first, duplicate
from netviz.engines import Progress
from netviz.errors import ImageError, ModelError
from netviz.images import Photo, prepare, read_image
from netviz.models import Layer
from netviz.questions.opening import Opened
from netviz.questions.patches.result import RULES, BackResult, PatchesResult
from netviz.questions.patches.run import BACK, image_names, open_run
from netviz.questions.places import original_pixels
from netviz.results.choose import choose_units
from netviz.results.runs import RunLayer

SIDE = 96
"""Pixels of a tile at most."""

AT_ONCE = 8

Maps = NDArray[np.float32]


def write_back(
    folder: Path,
    opened: Opened,
    device: str,
    *,
    units: int | str | Iterable[int] | None = None,
    rules: Sequence[str] = RULES,
    progress: Progress | None = None,
) -> list[Path]:
    """Measure it for some units of every layer of a finished run, and write it beside the run's results.

    Images are read again. A backward pass follows one patch of one unit for each image in it; several go together.

    Parameters
    ----------
    folder : Path
        The run's.
    opened : Opened
        The network and the layers, as the run had them.
    device : str
    units : int, str or iterable of int, optional
        Of each layer; by default the first 16 that are not dead.
    rules : sequence of str
        Of `RULES`.
    progress : callable, optional
        Called with what is being done, how many patches are done, and of how many.

    Raises
    ------
    ImageError
        If the network does not run on an image.
    LayerError
        If a layer has no such unit.
    ModelError
        If no gradient flows, or it meets nothing that the rules could act on.
    """
    if torch.device(device) != opened.device:
        opened = replace(opened, network=duplicate(opened.network).to(device))
    run = open_run(folder)
    results = {layer.name: run.result(layer) for layer in run.layers}
    chosen = {
        name: choose_units(units, one.channels, one.layer) or one.usual_units()
        for name, one in results.items()
    }
    total = sum(int(one.shown[chosen[name]].sum()) for name, one in results.items()) * len(rules)
    done = 0
    written = []
    for at, layer in enumerate(opened.layers):
        result = results[layer.name]
        held = next(one for one in run.layers if one.name == layer.name)

        def told(more: int, name: str = layer.name, before: int = 0) -> None:
            if progress is not None:
                progress(f"back from {name}", before + more, total)

        back = _layer(folder, result, chosen[layer.name], opened, at, rules, told)
        done += int(result.shown[chosen[layer.name]].sum()) * len(rules)
        told(0, before=done)
        written.append(back.save(folder / BACK / _file(held)))
    return written


def _file(layer: RunLayer) -> str:
    return Path(layer.file).name


def _layer(
    folder: Path,
    result: PatchesResult,
    units: list[int],
    opened: Opened,
    at: int,
    rules: Sequence[str],
    told: Callable[[int], None],
) -> BackResult:
    """Follow the shown patches of some units of one layer back."""
    top = result.image.shape[1]
    entries = sorted(
        (int(result.image[units[row], place]), row, place)
        for row, place in np.argwhere(result.shown[units]).tolist()
    )
    names = image_names(folder, {number for number, _, _ in entries})
    found: dict[tuple[int, int, int], Maps] = {}
    rectifiers, others, acts = Counter[str](), Counter[str](), False
    photos: dict[int, tuple[Photo, torch.Tensor]] = {}
    for begin in range(0, len(entries), AT_ONCE):
        some = entries[begin : begin + AT_ONCE]
        needed = {number for number, _, _ in some}
        photos = {number: one for number, one in photos.items() if number in needed}
        for number in sorted(needed - photos.keys()):
            photo = read_image(names[number])
            photos[number] = photo, prepare(photo, opened.preprocessing).tensor
        by_size: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
        for entry in some:
            height, width = photos[entry[0]][1].shape[-2:]
            by_size.setdefault((int(height), int(width)), []).append(entry)
        for size, mine in by_size.items():
            layer, _ = opened.at(size)[at]
            images = torch.cat([photos[number][1] for number, _, _ in mine])
            places = [
                (units[row], int(result.row[units[row], place]), int(result.col[units[row], place]))
                for _, row, place in mine
            ]
            for rule_at, rule in enumerate(rules):
                told(len(found))
                slopes, met = _followed(opened, layer, images.to(opened.device), places, rule)
                rectifiers, others, acts = met
                for (number, row, place), slope in zip(mine, slopes, strict=True):
                    found[rule_at, row, place] = _cut(
                        slope, result.box[units[row], place], photos[number][0], opened
                    )
    if entries and not acts:
        left = f" (but {', '.join(others)}, which keep their own derivative)" if others else ""
        raise ModelError(
            f"a deconvnet has nothing to act on in {opened.model.name}: gradients from {result.layer} meet no ReLU"
            f"{left}; leave --deconv out"
        )
    side = max((max(one.shape[:2]) for one in found.values()), default=1)
    tiles = np.full((len(rules), len(units), top, side, side, 3), 128, dtype=np.uint8)
    ends = np.zeros(tiles.shape[:3], dtype=np.float32)
    for where, one in found.items():
        ends[where] = end = float(np.abs(one).max())
        if end:
            tiles[where] = _in_bytes(_resized(one, side), end)
    return BackResult(
        tiles=tiles,
        ends=ends,
        drawn_units=np.array(units, dtype=np.int64),
        score=result.score[units],
        rules=tuple(rules),
        network=result.network,
        layer=result.layer,
        rectifiers=dict(sorted(rectifiers.items())),
        others=dict(sorted(others.items())),
        origin=result.origin,
        input=result.input,
        layer_asked=result.layer_asked,
        doubts=result.doubts,
    )


def _followed(
    opened: Opened, layer: Layer, images: torch.Tensor, places: Sequence[tuple[int, int, int]], rule: str
) -> tuple[Maps, tuple[Counter[str], Counter[str], bool]]:
    """Follow one unit at one place of each image back; return gradients, (N, H, W, C), and what they met.

    That is: calls of rectifiers and of other non-linearities before the layer, and whether the network has any.
    """
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        capture(opened.network, [layer], grad=True, any_size=True, rule=rule) as run,
    ):
        images = images.detach().clone().requires_grad_(True)
        try:
            run(images)
        except (RuntimeError, ValueError, IndexError) as error:
            raise ImageError(
                f"{opened.model.name} does not run on {len(images)} images: {brief(error)}"
            ) from error
        maps = channels_first(layer, run[layer])
        value = torch.stack(
            [maps[number, unit, row, col] for number, (unit, row, col) in enumerate(places)]
        ).sum()
        slopes = None
        if value.requires_grad:
            (slopes,) = torch.autograd.grad(value, images, allow_unused=True)
        if slopes is None:
            raise ModelError(
                f"no gradient flows from {layer.name} to the image in {opened.model.name}; leave --deconv out"
            )
        before = run.met_before(layer)
        met = before.rectifiers, before.others, bool(run.met.rectifiers)
    return slopes.permute(0, 2, 3, 1).float().cpu().numpy(), met


def _cut(slope: Maps, box: NDArray[np.int64], photo: Photo, opened: Opened) -> Maps:
    """Return the part of a gradient, (H, W, C), that lies under a patch's box, (h, w, 3), red, green and blue.

    The box is in pixels of the original, the gradient in those of the network's input: it is read between these.
    """
    order = opened.preprocessing.channel_order
    colours = slope[..., ::-1] if order == "BGR" else slope
    if colours.shape[2] != 3:
        colours = np.repeat(colours.sum(axis=2, keepdims=True), 3, axis=2)
    height, width = photo.pixels.shape[:2]
    axes = original_pixels(height, width, opened.preprocessing)
    # Zeros around it: beyond the input there is no gradient.
    image = np.pad(colours, ((1, 1), (1, 1), (0, 0)))
    for axis, pixels in enumerate(axes):
        first, last = int(box[axis]), int(box[axis + 2])
        ratio = (pixels.at[-1] - pixels.at[0]) / max(1, len(pixels.at) - 1) or 1.0
        begin = pixels.at[first] - ratio / 2
        count = max(1, round((last - first) * ratio))
        step = (last - first) * ratio / count
        places = begin + (np.arange(count) + 0.5) * step + 1
        low = np.clip(np.floor(places).astype(np.int64), 0, image.shape[axis] - 2)
        share = np.clip(places - low, 0, 1).astype(np.float32)
        image = np.moveaxis(image, axis, 0)
        parts = share.reshape(-1, *[1] * (image.ndim - 1))
        image = np.moveaxis(image[low] * (1 - parts) + image[low + 1] * parts, 0, axis)
    if max(image.shape[:2]) > SIDE:
        zoom = SIDE / max(image.shape[:2])
        image = _scaled(image, [max(1, round(side * zoom)) for side in image.shape[:2]], Image.Resampling.BOX)
    return image.astype(np.float32)


def _resized(image: Maps, side: int) -> Maps:
    return (
        image if image.shape[:2] == (side, side) else _scaled(image, (side, side), Image.Resampling.NEAREST)
    )


def _scaled(image: Maps, size: Sequence[int], method: Image.Resampling) -> Maps:
    bands = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(image[..., band], dtype=np.float32)).resize(
                (size[1], size[0]), method
            )
        )
        for band in range(3)
    ]
    return np.stack(bands, axis=-1)


def _in_bytes(image: Maps, end: float) -> NDArray[np.uint8]:
    shares = np.clip(image.astype(np.float64) / end, -1, 1)
    tile: NDArray[np.uint8] = np.rint(127.5 + 127.5 * shares).astype(np.uint8)
    return tile
