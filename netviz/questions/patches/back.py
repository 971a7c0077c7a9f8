"""What in a unit's patches made it answer: its value there, followed back to the image by a rule for rectifiers."""

import math
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from netviz.capture import brief, capture, channels_first, network_dtype, preserved
from netviz.capture.memory import kept_memory
from netviz.engines import Progress
from netviz.engines.fast import fast_copy
from netviz.errors import ImageError, ModelError
from netviz.images import Photo, prepare, read_image
from netviz.models import Layer, Preprocessing
from netviz.questions.opening import Opened
from netviz.questions.patches.result import RULES, BackResult, PatchesResult
from netviz.questions.patches.run import BACK, image_names, open_run
from netviz.questions.places import Pixels, original_pixels
from netviz.results.choose import choose_units
from netviz.results.runs import RunLayer

SIDE = 96
"""Pixels of a tile at most."""

AT_ONCE = {"cpu": 1}
"""Images of a pass at most, by device; on a CPU more save no time, and some have no patch left to follow."""

ELSEWHERE = 8
"""On any other device."""

REMEDY = "; leave --deconv out"
"""How a message ends that says why there is none."""

TOGETHER = 8
"""Layers that a forward pass serves at most: of as many tiles are held."""

OPEN = 16
"""Among how many of an image's backward passes a place for one more patch is looked for: the last ones."""

Maps = NDArray[np.float32]

Met: TypeAlias = tuple[Counter[str], Counter[str], bool]
"""Calls of rectifiers and of other non-linearities before a layer, and whether the network has any rectifier."""


class _Sought(NamedTuple):
    """What is asked of a layer: its place among the opened ones, what the run has of it, and which of its units."""

    at: int
    held: RunLayer
    result: PatchesResult
    units: list[int]
    top: int


class _Entry(NamedTuple):
    """A patch that is followed back: its layer's place in a group, its unit's among those asked for, and its own."""

    layer: int
    row: int
    place: int


class _Tile(NamedTuple):
    """A gradient under a patch's box as bytes, and the largest absolute value, which they are shares of."""

    pixels: NDArray[np.uint8]
    end: float


def write_back(
    folder: Path,
    opened: Opened,
    device: str,
    *,
    units: int | str | Iterable[int] | Mapping[str, Sequence[int]] | None = None,
    rules: Sequence[str] = RULES,
    top: int | None = None,
    side: int = SIDE,
    progress: Progress | None = None,
) -> list[Path]:
    """Measure it for some units of every layer of a finished run, and write it beside the run's results.

    Images are read again. A forward pass serves some images and all patches in them of several layers; a backward
    pass follows in each image one patch, or several whose fields have nothing in common: none changes what another
    gets.

    Parameters
    ----------
    folder : Path
        The run's.
    opened : Opened
        The network and the layers, as the run had them.
    device : str
    units : int, str, iterable of int, or mapping of str to sequence of int, optional
        Of each layer; by default the first 16 that are not dead. By dotted names those of some layers, and then no
        others.
    rules : sequence of str
        Of `RULES`.
    top : int, optional
        Of how many of a unit's patches, the best first; by default of all.
    side : int
        Pixels of a tile at most.
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
    run = open_run(folder)
    sought = []
    for at, layer in enumerate(opened.layers):
        if isinstance(units, Mapping) and layer.name not in units:
            continue
        held = next(one for one in run.layers if one.name == layer.name)
        result = run.result(held)
        asked = units[layer.name] if isinstance(units, Mapping) else units
        some = choose_units(asked, result.channels, result.layer) or result.usual_units()
        most = result.image.shape[1]
        sought.append(_Sought(at, held, result, some, most if top is None else min(top, most)))
    total = sum(int(one.result.shown[one.units, : one.top].sum()) for one in sought) * len(rules)
    done = 0

    def told(name: str, more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(f"back from {name}", done, total)

    written = []
    with preserved(opened.network), kept_memory():
        for first in range(0, len(sought), TOGETHER):
            group = sought[first : first + TOGETHER]
            own = replace(opened, network=_copy(opened, [opened.layers[one.at] for one in group], device))
            for one, back in zip(group, _group(folder, group, own, rules, side, told), strict=True):
                # Most of a tile is often grey: deflated it takes a part of the bytes.
                written.append(back.save(folder / BACK / Path(one.held.file).name, coarse=True))
    return written


def _copy(opened: Opened, layers: Sequence[Layer], device: str) -> nn.Module:
    """Return a copy through which gradients go back to the image alone, with less on their way.

    Batch normalizations take a third of the time of a way back, unless they are folded.
    """
    shape, dtype = opened.index.input_shape or (), network_dtype(opened.network)
    return fast_copy(opened.network, layers, shape, device=device, dtype=dtype, grad=True).requires_grad_(
        False
    )


def _group(
    folder: Path,
    group: Sequence[_Sought],
    opened: Opened,
    rules: Sequence[str],
    side: int,
    told: Callable[[str, int], None],
) -> list[BackResult]:
    """Follow the shown patches of some units of some layers back."""
    by_image: dict[int, list[_Entry]] = {}
    for layer, one in enumerate(group):
        for row, place in np.argwhere(one.result.shown[one.units, : one.top]).tolist():
            number = int(one.result.image[one.units[row], place])
            by_image.setdefault(number, []).append(_Entry(layer, row, place))
    names = image_names(folder, by_image)
    found: list[dict[tuple[int, int, int], _Tile]] = [{} for _ in group]
    met: dict[int, Met] = {}
    # Images with as many patches go together: each backward pass is of all of them.
    order = sorted(by_image, key=lambda number: (len(by_image[number]), number))
    boxes = {
        entry: group[entry.layer].result.box[group[entry.layer].units[entry.row], entry.place].tolist()
        for some in by_image.values()
        for entry in some
    }
    count = AT_ONCE.get(opened.device.type, ELSEWHERE)
    for begin in range(0, len(order), count):
        photos = {number: read_image(names[number]) for number in order[begin : begin + count]}
        by_size: dict[tuple[int, int], dict[int, torch.Tensor]] = {}
        for number, photo in photos.items():
            tensor = prepare(photo, opened.preprocessing).tensor
            height, width = tensor.shape[-2:]
            by_size.setdefault((int(height), int(width)), {})[number] = tensor
        for size, tensors in by_size.items():
            layers = [opened.at(size)[one.at][0] for one in group]
            entries = [
                _turns(by_image[number], boxes, photos[number], opened.preprocessing) for number in tensors
            ]
            images = torch.cat(list(tensors.values())).to(opened.device)
            for rule_at, rule in enumerate(rules):
                # However this ends, the network is left as it was found.
                with closing(_followed(opened, layers, group, images, entries, rule)) as turns:
                    for some, slopes, seen in turns:
                        met |= seen
                        told(group[some[0][1].layer].result.layer, len(some))
                        for (image, entry), slope in zip(some, slopes, strict=True):
                            one = group[entry.layer]
                            cut = _cut(slope, boxes[entry], photos[list(tensors)[image]], opened, side)
                            end = float(np.abs(cut).max())
                            tile = _Tile(_in_bytes(cut, end or 1.0), end)
                            found[entry.layer][rule_at, entry.row, entry.place] = tile
    return [
        _result(opened, one, rules, tiles, met.get(layer))
        for layer, (one, tiles) in enumerate(zip(group, found, strict=True))
    ]


def _result(
    opened: Opened,
    sought: _Sought,
    rules: Sequence[str],
    found: Mapping[tuple[int, int, int], _Tile],
    met: Met | None,
) -> BackResult:
    result, units = sought.result, sought.units
    rectifiers, others, acts = (Counter[str](), Counter[str](), True) if met is None else met
    if not acts:
        left = f" (but {', '.join(others)}, which keep their own derivative)" if others else ""
        raise ModelError(
            f"a deconvnet has nothing to act on in {opened.model.name}: gradients from {result.layer} meet no ReLU"
            f"{left}{REMEDY}"
        )
    side = max((max(one.pixels.shape[:2]) for one in found.values()), default=1)
    tiles = np.full((len(rules), len(units), sought.top, side, side, 3), 128, dtype=np.uint8)
    ends = np.zeros(tiles.shape[:3], dtype=np.float32)
    for where, (pixels, end) in found.items():
        ends[where] = end
        if end:
            tiles[where] = _resized(pixels, side)
    return BackResult(
        tiles=tiles,
        ends=ends,
        drawn_units=np.array(units, dtype=np.int64),
        score=result.score[units][:, : sought.top],
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


def _turns(
    entries: Sequence[_Entry],
    boxes: Mapping[_Entry, Sequence[int]],
    photo: Photo,
    preprocessing: Preprocessing,
) -> list[list[_Entry]]:
    """Put the patches of an image together that one backward pass can follow: where one is read, others leave zero.

    A box holds all of a field, and a gradient is read up to a pixel of the input beyond it.
    """
    height, width = photo.pixels.shape[:2]
    gaps = [math.ceil(2 / _ratio(pixels)) + 1 for pixels in original_pixels(height, width, preprocessing)]

    def apart(one: Sequence[int], other: Sequence[int]) -> bool:
        return any(
            one[axis + 2] + gap <= other[axis] or other[axis + 2] + gap <= one[axis]
            for axis, gap in enumerate(gaps)
        )

    turns: list[list[_Entry]] = []
    for entry in entries:
        box = boxes[entry]
        room = (turn for turn in turns[-OPEN:] if all(apart(box, boxes[one]) for one in turn))
        turn = next(room, None)
        if turn is None:
            turns.append([entry])
        else:
            turn.append(entry)
    return turns


def _followed(
    opened: Opened,
    layers: Sequence[Layer],
    group: Sequence[_Sought],
    images: torch.Tensor,
    entries: Sequence[Sequence[Sequence[_Entry]]],
    rule: str,
) -> Generator[tuple[list[tuple[int, _Entry]], list[Maps], dict[int, Met]], None, None]:
    """Follow the patches of each image back, those of one of its turns at a time.

    Yields which image's which patch, their gradients, (H, W, C) each, and what those of each layer met.
    """
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        # The copy is nobody else's.
        capture(opened.network, layers, grad=True, any_size=True, rule=rule, private=True) as run,
    ):
        images = images.detach().clone(memory_format=torch.channels_last).requires_grad_(True)
        try:
            run(images.clone())
        except (RuntimeError, ValueError, IndexError) as error:
            raise ImageError(
                f"{opened.model.name} does not run on {len(images)} images: {brief(error)}"
            ) from error
        needed = sorted({entry.layer for some in entries for together in some for entry in together})
        maps = {at: channels_first(layers[at], run[layers[at]]) for at in needed}
        before = {at: run.met_before(layers[at]) for at in needed}
        met = {at: (one.rectifiers, one.others, bool(run.met.rectifiers)) for at, one in before.items()}
        for turn in range(max(map(len, entries))):
            some = [
                (image, entry)
                for image, mine in enumerate(entries)
                if turn < len(mine)
                for entry in mine[turn]
            ]
            values = []
            for image, (at, row, place) in some:
                unit, result = group[at].units[row], group[at].result
                values.append(
                    maps[at][image, unit, int(result.row[unit, place]), int(result.col[unit, place])]
                )
            value, slopes = torch.stack(values).sum(), None
            if all(one.requires_grad for one in values):
                (slopes,) = torch.autograd.grad(value, images, retain_graph=True, allow_unused=True)
            if slopes is None:
                lost = next((at for at in needed if not maps[at].requires_grad), some[0][1].layer)
                raise ModelError(
                    f"no gradient flows from {layers[lost].name} to the image in {opened.model.name}{REMEDY}"
                )
            every = slopes.permute(0, 2, 3, 1).float().cpu().numpy()
            yield some, [every[image] for image, _ in some], met


def _ratio(pixels: Pixels) -> float:
    """Return how many pixels of the network's input one of the original takes."""
    return float((pixels.at[-1] - pixels.at[0]) / max(1, len(pixels.at) - 1)) or 1.0


def _cut(slope: Maps, box: Sequence[int], photo: Photo, opened: Opened, most: int) -> Maps:
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
        first, last = box[axis], box[axis + 2]
        ratio = _ratio(pixels)
        begin = pixels.at[first] - ratio / 2
        count = max(1, round((last - first) * ratio))
        step = (last - first) * ratio / count
        places = begin + (np.arange(count) + 0.5) * step + 1
        low = np.clip(np.floor(places).astype(np.int64), 0, image.shape[axis] - 2)
        share = np.clip(places - low, 0, 1).astype(np.float32)
        image = np.moveaxis(image, axis, 0)
        parts = share.reshape(-1, *[1] * (image.ndim - 1))
        image = np.moveaxis(image[low] * (1 - parts) + image[low + 1] * parts, 0, axis)
    if max(image.shape[:2]) > most:
        zoom = most / max(image.shape[:2])
        image = _reduced(image, [max(1, round(side * zoom)) for side in image.shape[:2]])
    return image.astype(np.float32)


def _resized(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST))


def _reduced(image: Maps, size: Sequence[int]) -> Maps:
    bands = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(image[..., band], dtype=np.float32)).resize(
                (size[1], size[0]), Image.Resampling.BOX
            )
        )
        for band in range(3)
    ]
    return np.stack(bands, axis=-1)


def _in_bytes(image: Maps, end: float) -> NDArray[np.uint8]:
    shares = np.clip(image.astype(np.float64) / end, -1, 1)
    tile: NDArray[np.uint8] = np.rint(127.5 + 127.5 * shares).astype(np.uint8)
    return tile
