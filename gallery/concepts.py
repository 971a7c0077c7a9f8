"""What the units of a network detect: a run's dissection → sheets of masks, and what the pages have to say."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from netviz.errors import ResultError
from netviz.questions.dissect.result import Detection, DissectionResult, count_detectors

from .commands import command, sized
from .manifest_concepts import Concept, Concepts, Detector, LayerConcepts, Mask, UnitConcept
from .masks import Images, draw_masks
from .pictures import Write
from .plan import Plan
from .run_concepts import RunConcepts, RunMasks

_AGAIN = "run the survey again"


def draw_concepts(plan: Plan, write: Write) -> tuple[Concepts | None, dict[int, LayerConcepts]]:
    """Draw the masks of one network's units.

    Parameters
    ----------
    plan : Plan
        The run and its addresses.
    write : callable
        Takes each file's path and bytes as soon as it is made.

    Returns
    -------
    Concepts or None
        The page of concepts; None where there is none.
    dict of int to LayerConcepts
        What there is to say on the page of each layer, by its place among the run's.

    Raises
    ------
    ResultError
        If a file of the run is missing or damaged.
    """
    found, page = plan.run.concepts, plan.concepts
    if found is None or page is None:
        return None, {}
    results = _results(found)
    images = Images(found)
    masks = []
    for one, layer in zip(found.masks, found.run.layers, strict=True):
        masks.append(draw_masks(one, images, partial(plan.masks, one), write))
        write(plan.table(one), _table(found, layer.file))
    detections = [result.detections() for result in results]
    layers = tuple(
        _layer(one, plan, result, told, drawn)
        for one, result, told, drawn in zip(found.masks, results, detections, masks, strict=True)
    )
    told = tuple(_concept(number, pairs, plan, results, detections, masks) for number, pairs in found.best)
    detected = {
        (one.category, one.label) for each in detections for one in each if one.score > results[0].detect
    }
    names = [layer.name for layer in found.run.layers]
    concepts = Concepts(
        page=page,
        concepts=told,
        more=tuple(name for at, (name, _) in enumerate(results[0].concepts) if at not in dict(found.best)),
        more_detected=len(detected - {(one.category, one.name) for one in told}),
        layers=layers,
        surveyed=found.surveyed,
        images=results[0].images,
        skipped=int(found.run.facts["images"]["skipped"]),
        labels=results[0].data,
        own=found.data is None,
        categories=results[0].categories,
        detect=results[0].detect,
        quantile=results[0].quantile,
        command=_dissect(plan, names),
    )
    return concepts, {one.layer: layer for one, layer in zip(found.masks, layers, strict=True)}


def _results(found: RunConcepts) -> list[DissectionResult]:
    results = [found.run.result(layer) for layer in found.run.layers]
    first = results[0]
    for result in results:
        same = (result.concepts, result.categories, result.images) == (
            first.concepts,
            first.categories,
            first.images,
        )
        if not same or (result.detect, result.quantile) != (first.detect, first.quantile):
            raise ResultError(f"the layers of {found.run.folder} are of different dissections; {_AGAIN}")
    if any(number >= len(first.concepts) for number, _ in found.best):
        raise ResultError(f"{found.run.folder} has no such concept as run.json names; {_AGAIN}")
    return results


def _layer(
    masks: RunMasks,
    plan: Plan,
    result: DissectionResult,
    detections: Sequence[Detection],
    drawn: dict[int, Mask],
) -> LayerConcepts:
    counts = count_detectors(detections, result.categories, result.detect)
    name = plan.run.layers[masks.layer].name
    images = dict(zip(masks.units, masks.images, strict=True))
    shown = [unit for unit in plan.units_of(masks.layer) if unit < result.channels]
    units = tuple(
        UnitConcept(
            unit,
            one.label,
            one.category,
            one.score,
            one.score > result.detect,
            drawn.get(unit),
            _segment(plan, name, unit, images[unit]) if unit in drawn else "",
        )
        for unit, one in ((unit, detections[unit]) for unit in shown)
    )
    return LayerConcepts(
        title=plan.run.layers[masks.layer].title,
        page=plan.page_of(masks.layer),
        total=result.channels,
        detectors=counts["detectors"],
        unique=counts["unique"],
        units=units,
        table=plan.table(masks),
        dissect=_dissect(plan, [name]),
        segment=_segment(plan, name, masks.units[0], masks.images[0]) if masks.units else "",
    )


def _concept(
    number: int,
    pairs: Sequence[tuple[int, int]],
    plan: Plan,
    results: Sequence[DissectionResult],
    detections: Sequence[Sequence[Detection]],
    masks: Sequence[dict[int, Mask]],
) -> Concept:
    first = results[0]
    name, category = first.concepts[number]
    mine = Counter(
        at
        for at, told in enumerate(detections)
        for one in told
        if one.score > first.detect and (one.category, one.label) == (category, name)
    )
    places = [one.layer for one in plan.run.concepts.masks] if plan.run.concepts is not None else []
    layers = plan.run.layers
    units = []
    for at, unit in pairs:
        layer, best = places[at], detections[at][unit]
        iou = float(results[at].iou[unit, number])
        detects = iou > first.detect and (best.category, best.label) == (category, name)
        shown = UnitConcept(unit, name, category, iou, detects, masks[at].get(unit))
        units.append(Detector(layers[layer].title, plan.unit_of(layer, unit), shown))
    area = int(first.category_area[first.categories.index(category)])
    return Concept(
        name=name,
        category=category,
        images=int(first.concept_images[number]),
        share=int(first.concept_area[number]) / max(area, 1),
        detectors=sum(mine.values()),
        layers=tuple((layers[places[at]].title, plan.page_of(places[at]), mine[at]) for at in sorted(mine)),
        units=tuple(units),
    )


def _dissect(plan: Plan, names: Sequence[str]) -> str:
    found = plan.run.concepts
    # The photographs lie on the site as the network saw them: on those it was measured.
    data = f"{plan.folder}/images" if found is None or found.data is None else found.data
    asked = [word for name in names for word in ("--layer", name)]
    return command("dissect", plan.run.model, "--data", data, *asked, *sized(plan.run.size), "-o", "RUN")


def _segment(plan: Plan, name: str, unit: int, number: int) -> str:
    """Return the command that draws the mask of a unit on one of the images of masks."""
    found = plan.run.concepts
    if found is None:
        return ""
    image = found.images[number]
    own = next((one for one in plan.run.images if one.path == image.path), None)
    typed = image.source or image.name if own is None else own.typed
    asked = sized(plan.run.size if own is None else own.size)
    words = (
        "--model",
        plan.run.model,
        "--layer",
        name,
        "--unit",
        str(unit),
        "--run",
        "RUN/patches",
    )
    return command("segment", typed, *words, *asked, "-o", "mask.png")


def _table(found: RunConcepts, file: str) -> bytes:
    path = (found.run.folder / file).with_suffix(".csv")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ResultError(f"cannot read {path}: {error.strerror or error}; {_AGAIN}") from error
