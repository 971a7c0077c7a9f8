"""A survey's concepts: a dissection of its layers, and which units a gallery shows of it, with their masks.

Each mask is on the image on which the unit is strongest.
"""

import io
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netviz.engines import Progress
from netviz.engines.accumulators.concepts import Centers
from netviz.errors import NetvizError, OutputError
from netviz.images import prepare, read_image
from netviz.images.labelled.folder import open_labelled
from netviz.models import Layer
from netviz.questions.dissect.layer import layer_centers
from netviz.questions.dissect.measure import dissect
from netviz.questions.dissect.result import DissectionResult
from netviz.questions.dissect.run import DissectionRun, open_dissection
from netviz.questions.opening import Opened, run_layers
from netviz.questions.patches.run import image_names
from netviz.questions.places import interpolation_matrix
from netviz.questions.runs import open_network
from netviz.results.files import write_bytes
from netviz.results.ledger import TWO_PASSES, standing
from netviz.results.survey import BestRecord, ConceptsRecord, MasksRecord, Missing, SeenRecord
from netviz.surveys.step import Scope
from netviz.surveys.steps.patches import FEW

Masks = NDArray[np.bool_]


def survey_masks(
    scope: Scope,
    opened: Opened,
    run: DissectionRun,
    results: Sequence[DissectionResult],
    units: Sequence[Collection[int]],
) -> tuple[tuple[SeenRecord, ...], tuple[MasksRecord, ...]]:
    """Keep where units are above their thresholds, each on the image on which it is strongest.

    Labelled images are kept too, as the network saw them.

    Parameters
    ----------
    scope : Scope
    opened : Opened
        The network, as it was dissected.
    run : DissectionRun
        In a folder of the survey's.
    results : sequence of DissectionResult
        Of all of its layers.
    units : sequence of collection of int
        For each layer which units.

    Returns
    -------
    images : tuple of SeenRecord
    masks : tuple of MasksRecord
        For each layer.
    """
    seen = run.patches()
    wanted: dict[int, list[tuple[int, int]]] = {}
    for at, one in enumerate(seen.layers):
        strongest = seen.result(one).image[:, 0].tolist()
        for unit in sorted(units[at]):
            wanted.setdefault(strongest[unit], []).append((at, unit))
    found: list[dict[int, tuple[int, Masks]]] = [{} for _ in opened.layers]
    names = image_names(run.folder, wanted)
    own = {image.file.name: image for image in scope.images}
    images: list[SeenRecord] = []
    for number, pairs in sorted(wanted.items()):
        photo = read_image(names[number])
        prepared = prepare(photo, opened.preprocessing)
        if scope.data is None:
            image = own[Path(names[number]).name]
            images.append(SeenRecord(image.name, image.file))
        else:
            file = run.folder / f"images/{number:06d}.png"
            write_bytes(file, _png(Image.fromarray(prepared.image)))
            images.append(SeenRecord(photo.name, file, _typed(names[number], scope.data)))
        layers = sorted({at for at, _ in pairs})
        size = prepared.image.shape[0], prepared.image.shape[1]
        maps = run_layers(opened.model, [opened.layers[at] for at in layers], prepared.tensor, photo.name)
        for at in layers:
            layer = opened.layers[at]
            mine = [unit for of, unit in pairs if of == at]
            masks = active(
                maps[layer][mine],
                results[at].threshold[mine],
                layer_centers(opened.at(size)[at][1]),
                size,
            )
            found[at].update({unit: (len(images) - 1, mask) for unit, mask in zip(mine, masks, strict=True)})
    places = {layer.name: place for place, layer in enumerate(scope.index)}
    noted = []
    for layer, masks_of in zip(opened.layers, found, strict=True):
        kept = sorted(masks_of.items())
        file = run.folder / f"masks/{opened.slugs[layer]}.png"
        write_bytes(file, _png(_stacked([mask for _, (_, mask) in kept])))
        noted.append(
            MasksRecord(
                layer=places[layer.name],
                file=file,
                units=tuple(unit for unit, _ in kept),
                images=tuple(image for _, (image, _) in kept),
            )
        )
    return tuple(images), tuple(noted)


def _typed(name: str, data: str | Path) -> str:
    """Return what a command calls an image of a folder that was typed so, wherever that lies."""
    path, root = Path(name), Path(data).absolute()
    return str(Path(data) / path.relative_to(root)) if path.is_relative_to(root) else name


def active(
    maps: NDArray[np.float32], threshold: NDArray[np.float64], at: Centers | None, size: tuple[int, int]
) -> Masks:
    """Return in which pixels of the network's input units are above their thresholds, as a dissection counts them.

    Parameters
    ----------
    maps : ndarray of float32, shape (units, h, w)
    threshold : ndarray of float64, shape (units,)
    at : Centers or None
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


def survey_concepts(scope: Scope, report: Progress) -> ConceptsRecord | Missing:
    """Dissect surveyed layers in ``concepts/``, and keep masks of the units that are shown.

    Without labelled images it is the survey's own, as the network saw them, and the concepts are colours. A mask is
    where a unit is above its threshold, in pixels of the network's input, on the image on which it is strongest; of
    the units that are shown on every photograph, and of those that are best for a concept.
    """
    components = scope.made["components"]
    also = [scope.index[one.layer].name for one in components.layers]
    chosen = choose_layers(scope.chosen, labelled=scope.full or scope.data is not None, also=also)
    if not chosen:
        return Missing("no layer has maps of several positions")
    names = [layer.name or layer.alias for layer in chosen]
    folder, data = scope.out / "concepts", scope.data
    try:
        count = len(scope.images) if data is None else len(open_labelled(data).images)
        found = standing(folder, TWO_PASSES)
        if found == "other":  # an earlier survey was killed while it removed it
            shutil.rmtree(folder)
        if found != "finished":
            dissect(
                scope.model,
                folder,
                data=scope.out / "images" if data is None else data,
                layer=names,
                top=1,
                size=scope.size,
                workers=0 if count <= FEW else None,
                device=scope.device,
                resume=True,
                progress=_two_passes(report),
            )
        opened = open_network(
            scope.model, names, fit="resize", size=scope.size, trust=False, weights="default", seed=0
        )
        run = open_dissection(folder)
        results = [run.result(layer) for layer in run.layers]
        picks = pick_units(results)
        units = [set(scope.units.get(layer, ())) for layer in opened.layers]
        for _, pairs in picks:
            for at, unit in pairs:
                units[at].add(unit)
        images, masks = survey_masks(scope, opened, run, results, units)
    except OutputError:
        raise
    except NetvizError as error:
        shutil.rmtree(folder, ignore_errors=True)
        return Missing(str(error))
    return ConceptsRecord(
        folder=folder,
        data=None if data is None else str(data),
        surveyed=len(scope.chosen),
        best=tuple(BestRecord(concept, tuple(pairs)) for concept, pairs in picks),
        images=images,
        masks=masks,
    )


def _two_passes(report: Progress) -> Progress:
    """Count the images of two passes, each of which begins at 0, as one."""
    passes = -1

    def tell(what: str, done: int, of: int) -> None:
        nonlocal passes
        passes += done == 0
        report(f"{what}: concepts", max(passes, 0) * of + done, 2 * of)

    return tell


def pick_units(results: Sequence[DissectionResult]) -> list[Pick]:
    """Pick for each concept the units to be shown: the best that detect it, or, where none does, the nearest to that.

    Units that could not detect it wherever they are active (`DissectionResult.ceiling`) are no nearer than others; a
    concept that no unit could detect is left out.

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
    able = np.concatenate([one.ceiling() for one in results]) > results[0].detect
    owner = np.repeat(np.arange(len(results)), [len(one.iou) for one in results])
    unit = np.concatenate([np.arange(len(one.iou)) for one in results])
    best = iou.argmax(axis=1)
    detects = iou.max(axis=1) > results[0].detect
    ranked = []
    for concept in range(iou.shape[1]):
        mine = np.flatnonzero(detects & (best == concept))
        among = mine if len(mine) else np.flatnonzero((iou[:, concept] > 0) & able[:, concept])
        if len(among):
            order = among[np.argsort(-iou[among, concept], kind="stable")][: BEST if len(mine) else NEAREST]
            pairs = [(int(owner[at]), int(unit[at])) for at in order]
            ranked.append((-len(mine), -float(iou[order[0], concept]), concept, pairs))
    return [(concept, pairs) for *_, concept, pairs in sorted(ranked)[:CONCEPTS]]
