"""A survey's concepts: a dissection of its layers, and which units a gallery shows of it, with their masks.

Each mask is on the image on which the unit is strongest.
"""

import io
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netviz.engines.accumulators.concepts import Place
from netviz.errors import NetvizError, OutputError
from netviz.images import prepare, read_image
from netviz.images.labelled.folder import open_labelled
from netviz.models import Layer, Model
from netviz.questions.dissect.layer import place
from netviz.questions.dissect.measure import dissect
from netviz.questions.dissect.result import DissectionResult
from netviz.questions.dissect.run import DissectionRun, open_dissection
from netviz.questions.opening import Opened, run_layers
from netviz.questions.patches.run import image_names
from netviz.questions.places import interpolation_matrix
from netviz.questions.runs import open_network
from netviz.results.files import write_bytes
from netviz.results.ledger import TWO_PASSES, standing
from netviz.surveys.step import Noted, Report
from netviz.surveys.steps.patches import FEW

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


FOLDER = "concepts"
"""Of the dissection, inside the survey's."""


ALL = 8
"""Up to so many layers all are dissected, also where nobody gave labelled images."""


EVERY = 4
"""Of more layers, every fourth is then: on so few images more would cost more than it tells."""


BEST = 8
"""How many of the units that detect a concept are picked to be shown."""


NEAREST = 3
"""How many units are picked for a concept that none detects."""


CONCEPTS = 60
"""For how many concepts units are picked: the most detected first."""


Pick = tuple[int, list[tuple[int, int]]]


def choose_layers(layers: Sequence[Layer], *, labelled: bool, also: Collection[str]) -> list[Layer]:
    """Choose which of the surveyed layers are dissected: those with several positions, and of many every fourth.

    Parameters
    ----------
    layers : sequence of Layer
        The surveyed ones.
    labelled : bool
        Whether there are labelled images, or all are asked for: then all are.
    also : collection of str
        Dotted names of layers that are not left out.
    """
    # The length of a map is known for every layer that ran.
    spatial = [layer for layer in layers if layer.shape is None or max(layer.shape[1:]) > 1]
    if labelled or len(spatial) <= ALL:
        return spatial
    return [layer for at, layer in enumerate(spatial) if at % EVERY == 0 or layer.name in also]


def survey_concepts(
    model: Model,
    out: Path,
    layers: Sequence[Layer],
    shown: Mapping[Layer, Sequence[int]],
    *,
    files: Mapping[str, str],
    data: str | Path | None = None,
    also: Collection[str] = (),
    all_layers: bool = False,
    size: tuple[int, int] | None = None,
    report: Report | None = None,
) -> Noted:
    """Dissect surveyed layers in ``concepts/`` of the survey's folder, and keep masks of the units that are shown.

    Without labelled images it is the survey's own, as the network saw them, and the concepts are colours. A mask is
    where a unit is above its threshold, in pixels of the network's input, on the image on which it is strongest.

    Parameters
    ----------
    model : Model
    out : Path
        The survey's folder.
    layers : sequence of Layer
        The surveyed ones.
    shown : mapping of Layer to sequence of int
        Which units of each have a mask besides those that are best for a concept.
    files : mapping of str to str
        The survey's own images by their files' paths in its folder: what each is called.
    data : str or Path, optional
        A folder of labelled images, as for `netviz.dissect`.
    also : collection of str
        Dotted names of layers to dissect in any case.
    all_layers : bool
        Whether all are dissected without labelled images too.
    size : (int, int), optional
        Input height and width in pixels, if asked for.
    report : callable, optional
        Called with what is being done, how many images are done, and how many there are; each image is looked at
        twice, and counts twice.

    Returns
    -------
    dict
        For ``run.json``: the folder, the picked units of each concept, and the masks of each layer; or why there is
        none.
    """
    chosen = choose_layers(layers, labelled=all_layers or data is not None, also=also)
    if not chosen:
        return {"missing": "no layer has maps of several positions"}
    names = [layer.name or layer.alias for layer in chosen]
    folder = out / FOLDER
    device = next((str(value.device) for value in model.runnable().parameters()), None)
    try:
        count = len(files) if data is None else len(open_labelled(data).images)
        found = standing(folder, TWO_PASSES)
        if found == "other":  # an earlier survey was killed while it removed it
            shutil.rmtree(folder)
        if found != "finished":
            dissect(
                model,
                folder,
                data=out / "images" if data is None else data,
                layer=names,
                top=1,
                size=size,
                workers=0 if count <= FEW else None,
                device=device,
                resume=True,
                progress=None if report is None else _two_passes(report),
            )
        opened = open_network(model, names, fit="resize", size=size, trust=False, weights="default", seed=0)
        run = open_dissection(folder)
        results = [run.result(layer) for layer in run.layers]
        picks = pick_units(results)
        units = [set(shown.get(layer, ())) for layer in opened.layers]
        for _, pairs in picks:
            for at, unit in pairs:
                units[at].add(unit)
        return {
            "folder": FOLDER,
            "data": None if data is None else str(data),
            "surveyed": len(layers),
            "best": [{"concept": one, "units": [list(pair) for pair in pairs]} for one, pairs in picks],
            **survey_masks(opened, out, run, results, units, files=files, data=data),
        }
    except OutputError:
        raise
    except NetvizError as error:
        shutil.rmtree(folder, ignore_errors=True)
        return {"missing": str(error)}


def _two_passes(report: Report) -> Report:
    """Count the images of two passes, each of which begins at 0, as one."""
    passes = -1

    def tell(what: str, done: int, of: int) -> None:
        nonlocal passes
        passes += done == 0
        report(f"{what}: concepts", max(passes, 0) * of + done, 2 * of)

    return tell


def pick_units(results: Sequence[DissectionResult]) -> list[Pick]:
    """Pick for each concept the units to be shown: the best that detect it, or, where none does, the nearest to that.

    Parameters
    ----------
    results : sequence of DissectionResult
        Of several layers, over the same concepts.

    Returns
    -------
    list of (int, list of (int, int))
        The number of a concept, and layer and unit of each; the most detected concepts first, then by the best unit.
    """
    iou = np.concatenate([one.iou for one in results])
    owner = np.repeat(np.arange(len(results)), [len(one.iou) for one in results])
    unit = np.concatenate([np.arange(len(one.iou)) for one in results])
    best = iou.argmax(axis=1)
    detects = iou.max(axis=1) > results[0].detect
    ranked = []
    for concept in range(iou.shape[1]):
        mine = np.flatnonzero(detects & (best == concept))
        among = mine if len(mine) else np.flatnonzero(iou[:, concept] > 0)
        if len(among):
            order = among[np.argsort(-iou[among, concept], kind="stable")][: BEST if len(mine) else NEAREST]
            pairs = [(int(owner[at]), int(unit[at])) for at in order]
            ranked.append((-len(mine), -float(iou[order[0], concept]), concept, pairs))
    return [(concept, pairs) for *_, concept, pairs in sorted(ranked)[:CONCEPTS]]
