"""Masks of the units that a gallery shows: each on the image on which the unit is strongest."""

import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netviz.analysis.dissect_results import place
from netviz.analysis.maps import run_layers
from netviz.analysis.runs import Opened
from netviz.analysis.upsample import interpolation_matrix
from netviz.engines.concepts import Place
from netviz.images import prepare, read_image
from netviz.results import write_bytes
from netviz.results.dissect import DissectionResult
from netviz.results.dissect_run import DissectionRun
from netviz.results.patches_run import image_names

Masks = NDArray[np.bool_]


def survey_masks(
    opened: Opened,
    out: Path,
    run: DissectionRun,
    results: Sequence[DissectionResult],
    units: Sequence[Collection[int]],
    *,
    files: Mapping[str, str],
    data: str | Path | None,
) -> dict[str, Any]:
    """Keep where units are above their thresholds, each on the image on which it is strongest.

    Parameters
    ----------
    opened : Opened
        The network, as it was dissected.
    out : Path
        The survey's folder.
    run : DissectionRun
        In a folder of that.
    results : sequence of DissectionResult
        Of all of its layers.
    units : sequence of collection of int
        For each layer which units.
    files : mapping of str to str
        The survey's own images by their files' paths in its folder: what each is called.
    data : str or Path, optional
        The folder of labelled images; None if the survey's own were dissected. Such images are kept too, as the
        network saw them.

    Returns
    -------
    dict
        For ``run.json``: ``images``, and for each layer ``masks``: the file, the units, and the image of each.
    """
    seen = run.patches()
    wanted: dict[int, list[tuple[int, int]]] = {}
    for at, one in enumerate(seen.layers):
        strongest = seen.result(one).image[:, 0].tolist()
        for unit in sorted(units[at]):
            wanted.setdefault(strongest[unit], []).append((at, unit))
    found: list[dict[int, tuple[int, Masks]]] = [{} for _ in opened.layers]
    names = image_names(run.folder, wanted)
    images = []
    for number, pairs in sorted(wanted.items()):
        photo = read_image(names[number])
        prepared = prepare(photo.pixels, opened.preprocessing)
        if data is None:
            file = f"images/{Path(names[number]).name}"
            images.append({"name": files[file], "file": file})
        else:
            file = f"{run.folder.name}/images/{number:06d}.png"
            write_bytes(out / file, _png(Image.fromarray(prepared.image)))
            images.append({"name": photo.name, "file": file, "source": _typed(names[number], data)})
        layers = sorted({at for at, _ in pairs})
        maps = run_layers(opened.model, [opened.layers[at] for at in layers], prepared.tensor, photo.name)
        for at in layers:
            layer = opened.layers[at]
            mine = [unit for of, unit in pairs if of == at]
            masks = active(
                maps[layer][mine],
                results[at].threshold[mine],
                place(opened.fields[layer]),
                (prepared.image.shape[0], prepared.image.shape[1]),
            )
            found[at].update({unit: (len(images) - 1, mask) for unit, mask in zip(mine, masks, strict=True)})
    noted = []
    for layer, masks_of in zip(opened.layers, found, strict=True):
        kept = sorted(masks_of.items())
        file = f"{run.folder.name}/masks/{opened.slugs[layer]}.png"
        write_bytes(out / file, _png(_stacked([mask for _, (_, mask) in kept])))
        noted.append(
            {
                "layer": layer.name,
                "file": file,
                "units": [unit for unit, _ in kept],
                "images": [image for _, (image, _) in kept],
            }
        )
    return {"images": images, "masks": noted}


def _typed(name: str, data: str | Path) -> str:
    """Return what a command calls an image of a folder that was typed so, wherever that lies."""
    path, root = Path(name), Path(data).absolute()
    return str(Path(data) / path.relative_to(root)) if path.is_relative_to(root) else name


def active(
    maps: NDArray[np.float32], threshold: NDArray[np.float64], at: Place | None, size: tuple[int, int]
) -> Masks:
    """Return in which pixels of the network's input units are above their thresholds, as a dissection counts them.

    Parameters
    ----------
    maps : ndarray of float32, shape (units, h, w)
    threshold : ndarray of float64, shape (units,)
    at : Place or None
        Where the layer's positions look; None takes them as spread evenly.
    size : (int, int)
        Height and width of the input.

    Returns
    -------
    ndarray of bool, shape (units, H, W)
    """
    matrices = []
    for axis, pixels in enumerate(size):
        positions = maps.shape[1 + axis]
        stride = pixels / positions if at is None else at.stride[axis]
        center = (stride - 1) / 2 if at is None else at.center[axis]
        matrices.append(
            interpolation_matrix(center, stride, 1.0, positions, np.arange(pixels, dtype=np.float64))
        )
    down, across = matrices
    above: Masks = down @ maps.astype(np.float64) @ across.T > threshold[:, None, None]
    return above


def _stacked(masks: Sequence[Masks]) -> Image.Image:
    """Lay masks below one another, each in the top left corner of as much room as the largest takes."""
    height, width = (max((mask.shape[axis] for mask in masks), default=1) for axis in range(2))
    sheet = np.zeros((max(len(masks), 1), height, width), dtype=np.uint8)
    for at, mask in enumerate(masks):
        sheet[at, : mask.shape[0], : mask.shape[1]] = mask * np.uint8(255)
    return Image.fromarray(sheet.reshape(-1, width)).convert("1", dither=Image.Dither.NONE)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
