"""The concepts that the units of a network detect: a page by concept, and a part of every layer's and unit's page."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from netviz.errors import ResultError
from netviz.questions.dissect.result import Detection, DissectionResult
from netviz.questions.dissect.run import DissectionRun, open_dissection
from netviz.results.survey import BestRecord, ConceptsRecord, LayerRecord, MasksRecord, Missing

from ..addresses import Addresses
from ..drawing import Write
from ..panel import Panel, Recipe
from ..words import command, counted, number, share_text, sized
from .masks import Images, Mask, draw_masks

MANY = 200
"""Images from which on a dissection is no longer called thin."""

NAMED = 12
"""How many of the concepts that are not shown are named."""

_AGAIN = "run the survey again"

RECIPE = Recipe(
    "Concepts",
    "Each unit's map is thresholded at its top quantile over all images, enlarged, and compared with the "
    "labels of every concept: the intersection over the union, counted over all images.",
    ("Bau et al., Network dissection, CVPR 2017",),
)


@dataclass(frozen=True)
class UnitConcept:
    """A unit and a concept that it detects, or else its nearest one of those that it could detect.

    Attributes
    ----------
    unit : int
    concept, category : str
        Both "" where the unit is active in too few pixels, or too many, to detect any.
    iou, ceiling : float
        Intersection over union, and the highest that areas of these sizes could have.
    detects : bool
    mask : Mask or None
        Where the unit is active.
    segment : str
        The command that draws the mask.
    """

    unit: int
    concept: str
    category: str
    iou: float
    ceiling: float
    detects: bool
    mask: Mask | None
    segment: str = ""


@dataclass(frozen=True)
class LayerConcepts:
    """What the units of a layer detect.

    Attributes
    ----------
    title, page : str
        The layer's title and address.
    total, detectors, unique_best, unique : int
        Units, how many of them detect a concept, how many concepts that makes, and the unique detectors: for each
        category the different concepts that are the best of that category for some unit, and pass.
    units : tuple of UnitConcept
        Units that are shown, with the best concept of each.
    table : str
        The address of the numbers of all units.
    dissect, segment : str
        The commands that measure them, and that draw the mask of one.
    """

    title: str
    page: str
    total: int
    detectors: int
    unique_best: int
    unique: int
    units: tuple[UnitConcept, ...]
    table: str
    dissect: str
    segment: str

    def by_unit(self) -> dict[int, UnitConcept]:
        """Return what the units that are shown detect, by their numbers."""
        return {one.unit: one for one in self.units}


@dataclass(frozen=True)
class Detector:
    """A unit on the page of concepts: its layer, where its place on the layer's page is, and how well it fits."""

    title: str
    address: str
    unit: UnitConcept


@dataclass(frozen=True)
class Concept:
    """A concept and the units that detect it.

    Attributes
    ----------
    name, category : str
        What it is called, and of which kind it is.
    images : int
        How many images have it.
    share : float
        Which share it has of the pixels of the images that its category is labelled in.
    detectors : int
        How many units detect it.
    layers : tuple of (str, str, int)
        Title, address and number of detectors of each layer that has any.
    units : tuple of Detector
        Some of them, best first; where there are none, units that come nearest.
    """

    name: str
    category: str
    images: int
    share: float
    detectors: int
    layers: tuple[tuple[str, str, int], ...]
    units: tuple[Detector, ...]


@dataclass(frozen=True)
class Concepts:
    """The page of concepts of a network.

    Attributes
    ----------
    page : str
        Its address.
    concepts : tuple of Concept
        The most detected first.
    more : tuple of str
        What concepts are called that are not among them.
    more_detected : int
        How many of these some unit detects.
    layers : tuple of LayerConcepts
        In the order in which they run.
    surveyed : int
        How many layers the network's pages tell of, dissected or not.
    images, skipped : int
        How many images were counted, and how many could not be.
    labels : str
        What kind of labels they have: ``masks``, ``voc``, ``broden`` or ``colour``.
    own : bool
        Whether they are the photographs that all pages show.
    categories : tuple of str
        Kinds of concepts.
    detect, quantile : float
        Above which intersection over union a unit detects a concept; above which quantile of its values it is active.
    command : str
        What to type for all of it.
    """

    page: str
    concepts: tuple[Concept, ...]
    more: tuple[str, ...]
    more_detected: int
    layers: tuple[LayerConcepts, ...]
    surveyed: int
    images: int
    skipped: int
    labels: str
    own: bool
    categories: tuple[str, ...]
    detect: float
    quantile: float
    command: str


def files(addresses: Addresses) -> Iterator[str]:
    """Yield the address of every file of the panel."""
    found = addresses.run.concepts
    if isinstance(found, ConceptsRecord):
        yield _page(addresses)
        for masks in found.masks:
            yield _table(addresses, masks)


def _page(addresses: Addresses) -> str:
    return f"{addresses.folder}/concepts.html"


def _table(addresses: Addresses, masks: MasksRecord) -> str:
    return f"{addresses.folder}/concepts/{addresses.slugs[masks.layer]}.csv"


def _unit(addresses: Addresses, layer: int, unit: int) -> str:
    """Return the address of a unit, or of its layer where it has no page."""
    shown = unit in addresses.units[layer]
    return addresses.unit(layer, unit) if shown else addresses.page(layer)


def draw_concepts(addresses: Addresses, write: Write) -> tuple[Concepts | None, dict[int, LayerConcepts]]:
    """Draw the masks of one network's units.

    Returns
    -------
    Concepts or None
        The page of concepts; None where there is none.
    dict of int to LayerConcepts
        What there is to say on the page of each layer, by its place among the run's.
    """
    found = addresses.run.concepts
    if isinstance(found, Missing):
        return None, {}
    run = _dissection(found, addresses.run.layers)
    results = _results(found, run)
    images = Images(found)
    masks = []
    for one, layer in zip(found.masks, run.layers, strict=True):
        masks.append(draw_masks(one, images, addresses, write))
        write(_table(addresses, one), _read_table(run, layer.file))
    detections = [result.detections() for result in results]
    ceilings = [result.ceiling() for result in results]
    layers = tuple(
        _layer(one, addresses, result, drawn)
        for one, result, drawn in zip(found.masks, results, masks, strict=True)
    )
    picked = [_concept(one, found, addresses, results, detections, ceilings, masks) for one in found.best]
    told = tuple(one for one in picked if one.units)
    detected = {
        (one.category, one.label) for each in detections for one in each if one.score > results[0].detect
    }
    names = [layer.name for layer in run.layers]
    best = {one.concept for one, seen in zip(found.best, picked, strict=True) if seen.units}
    concepts = Concepts(
        page=_page(addresses),
        concepts=told,
        more=tuple(name for at, (name, _) in enumerate(results[0].concepts) if at not in best),
        more_detected=len(detected - {(one.category, one.name) for one in told}),
        layers=layers,
        surveyed=found.surveyed,
        images=results[0].images,
        skipped=int(run.facts["images"]["skipped"]),
        labels=results[0].data,
        own=found.data is None,
        categories=results[0].categories,
        detect=results[0].detect,
        quantile=results[0].quantile,
        command=_dissect(addresses, names),
    )
    return concepts, {one.layer: layer for one, layer in zip(found.masks, layers, strict=True)}


def _dissection(found: ConceptsRecord, layers: Sequence[LayerRecord]) -> DissectionRun:
    """Open the dissection, and look whether the record tells of its layers and units."""
    run = open_dissection(found.folder)
    if [layers[one.layer].name for one in found.masks] != [layer.name for layer in run.layers]:
        raise ResultError(f"the layers of {run.folder} are others than those of run.json; {_AGAIN}")
    sizes = [layer.channels for layer in run.layers]
    units = [(at, unit) for at, one in enumerate(found.masks) for unit in one.units]
    units += [pair for one in found.best for pair in one.units]
    if any(at >= len(sizes) or unit >= sizes[at] for at, unit in units):
        raise ResultError(f"{run.folder} has no such unit as run.json names; {_AGAIN}")
    return run


def _results(found: ConceptsRecord, run: DissectionRun) -> list[DissectionResult]:
    results = [run.result(layer) for layer in run.layers]
    first = results[0]
    for result in results:
        same = (result.concepts, result.categories, result.images) == (
            first.concepts,
            first.categories,
            first.images,
        )
        if not same or (result.detect, result.quantile) != (first.detect, first.quantile):
            raise ResultError(f"the layers of {run.folder} are of different dissections; {_AGAIN}")
    if any(one.concept >= len(first.concepts) for one in found.best):
        raise ResultError(f"{run.folder} has no such concept as run.json names; {_AGAIN}")
    return results


def _layer(
    masks: MasksRecord,
    addresses: Addresses,
    result: DissectionResult,
    drawn: dict[int, Mask],
) -> LayerConcepts:
    counts = result.counts()
    name = addresses.run.layers[masks.layer].name
    images = dict(zip(masks.units, masks.images, strict=True))
    shown = [unit for unit in addresses.units[masks.layer] if unit < result.channels]
    nearest = result.nearest()
    units = tuple(
        UnitConcept(
            unit,
            one.label,
            one.category,
            one.score,
            ceiling,
            one.score > result.detect,
            drawn.get(unit),
            _segment(addresses, name, unit, images[unit]) if unit in drawn else "",
        )
        for unit, (one, ceiling) in ((unit, nearest[unit]) for unit in shown)
    )
    return LayerConcepts(
        title=addresses.run.layers[masks.layer].title,
        page=addresses.page(masks.layer),
        total=result.channels,
        detectors=counts["detectors"],
        unique_best=counts["unique_best"],
        unique=counts["unique"],
        units=units,
        table=_table(addresses, masks),
        dissect=_dissect(addresses, [name]),
        segment=_segment(addresses, name, masks.units[0], masks.images[0]) if masks.units else "",
    )


def _concept(
    one: BestRecord,
    record: ConceptsRecord,
    addresses: Addresses,
    results: Sequence[DissectionResult],
    detections: Sequence[Sequence[Detection]],
    ceilings: Sequence[NDArray[np.float64]],
    masks: Sequence[dict[int, Mask]],
) -> Concept:
    first = results[0]
    name, category = first.concepts[one.concept]
    places = [masks.layer for masks in record.masks]
    mine = Counter(
        at
        for at, told in enumerate(detections)
        for one in told
        if one.score > first.detect and (one.category, one.label) == (category, name)
    )
    layers = addresses.run.layers
    units = []
    for at, unit in one.units:
        layer, best = places[at], detections[at][unit]
        iou = float(results[at].iou[unit, one.concept])
        detects = iou > first.detect and (best.category, best.label) == (category, name)
        ceiling = float(ceilings[at][unit, one.concept])
        if ceiling <= first.detect:  # picked by an earlier survey: it could not detect the concept anywhere
            continue
        shown = UnitConcept(unit, name, category, iou, ceiling, detects, masks[at].get(unit))
        units.append(Detector(layers[layer].title, _unit(addresses, layer, unit), shown))
    area = int(first.category_area[first.categories.index(category)])
    return Concept(
        name=name,
        category=category,
        images=int(first.concept_images[one.concept]),
        share=int(first.concept_area[one.concept]) / max(area, 1),
        detectors=sum(mine.values()),
        layers=tuple((layers[places[at]].title, addresses.page(places[at]), mine[at]) for at in sorted(mine)),
        units=tuple(units),
    )


def _dissect(addresses: Addresses, names: Sequence[str]) -> str:
    found = addresses.run.concepts
    # The photographs lie on the site as the network saw them: on those it was measured.
    data = found.data if isinstance(found, ConceptsRecord) else None
    asked = [word for name in names for word in ("--layer", name)]
    return command(
        "dissect",
        addresses.run.model,
        "--data",
        data or f"{addresses.folder}/images",
        *asked,
        *sized(addresses.run.size),
        "-o",
        "RUN",
        run=addresses.run,
    )


def _segment(addresses: Addresses, name: str, unit: int, number: int) -> str:
    """Return the command that draws the mask of a unit on one of the images of masks."""
    found = addresses.run.concepts
    if isinstance(found, Missing):
        return ""
    image = found.images[number]
    own = next((one for one in addresses.run.images if one.file == image.file), None)
    typed = image.source or image.name if own is None else own.source
    asked = sized(addresses.run.size if own is None else own.size)
    words = (
        "--model",
        addresses.run.model,
        "--layer",
        name,
        "--unit",
        str(unit),
        "--run",
        "RUN/patches",
    )
    return command("segment", typed, *words, *asked, "-o", "mask.png", run=addresses.run)


def _read_table(run: DissectionRun, file: str) -> bytes:
    path = (run.folder / file).with_suffix(".csv")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ResultError(f"cannot read {path}: {error.strerror or error}; {_AGAIN}") from error


def concepts_lead(concepts: Concepts) -> str:
    """Say what was measured, and on what."""
    if concepts.labels == "colour":
        what = "the eleven basic colours, measured from the pixels"
    else:
        what = f"{counted(len(concepts.concepts) + len(concepts.more), 'labelled concept')}"
    return (
        f"Which units answer to which concept: {what} of {counted(concepts.images, _image(concepts))}. A unit is "
        f"active where its map, brought to the image, is among the highest {share_text(1 - concepts.quantile)} of "
        f"its values, and detects the concept that its active pixels overlap best, if their intersection over union "
        f"(IoU) is above {concepts.detect:g}. The highest IoU that is possible is the smaller of both areas over the "
        f"larger; a unit for which that is no higher cannot detect the concept, and nothing is told of the two."
    )


def concepts_honesty(concepts: Concepts) -> str:
    """Say how much it stands on."""
    told = []
    if concepts.images < MANY:
        of = counted(concepts.images, _image(concepts))
        told.append(
            f"All of this stands on {of}: how a unit fares on so few says little of how it would on many, and a unit "
            f"that likes one thing in one of them seems to detect its colour."
            if concepts.labels == "colour"
            else f"All of this stands on {of}: on so few a unit may fit a concept by chance."
        )
    if concepts.own:
        told.append(
            "With labelled images (netviz gallery --data DIR) the concepts would be things, not colours."
        )
    if len(concepts.layers) < concepts.surveyed:
        why = (
            "; with labelled images it is in all"
            if concepts.own
            else ": the others have maps of one position"
        )
        told.append(
            f"Measured in {len(concepts.layers):,} of the {concepts.surveyed:,} layers shown here{why}."
        )
    if concepts.skipped:
        told.append(
            f"{counted(concepts.skipped, 'more image was', 'more images were')} left out as unreadable."
        )
    return " ".join(told)


def concept_title(concept: Concept, concepts: Concepts) -> str:
    """Name a concept, with its kind where there are several."""
    return f"{concept.name} ({concept.category})" if len(concepts.categories) > 1 else concept.name


def concept_lead(concept: Concept, concepts: Concepts) -> str:
    """Say how many units detect a concept, and how much of it there is."""
    seen = f"{share_text(concept.share)} of the pixels, in {counted(concept.images, _image(concepts))}"
    if concept.detectors:
        who = f"{counted(concept.detectors, 'unit detects', 'units detect')} it"
        shown = len(concept.units)
        best = f"; the best {shown:,} are shown" if shown < concept.detectors else ""
        return f"{who}{best}. The concept itself: {seen}."
    nearest = "These come" if len(concept.units) > 1 else "This one comes"
    return (
        f"No unit detects it: none has it as its best concept with an IoU above {concepts.detect:g}. {nearest} "
        f"nearest. The concept itself: {seen}."
    )


def more_text(concepts: Concepts) -> str:
    """Say how many concepts are not on the page."""
    if not concepts.more:
        return ""
    names = ", ".join(concepts.more[:NAMED])
    rest = f" and {len(concepts.more) - NAMED:,} more" if len(concepts.more) > NAMED else ""
    if concepts.more_detected:
        some = f"units detect {concepts.more_detected:,} of them; the tables above have the numbers"
        return f"Not shown: {names}{rest}; {some}."
    return f"Not shown: {names}{rest}. No unit detects {'it' if len(concepts.more) == 1 else 'them'}."


def detector_alt(detector: Detector, concept: Concept, concepts: Concepts) -> str:
    """Describe a mask on the page of concepts for those who cannot see it."""
    title = concept_title(concept, concepts)
    return f"{title}: {detector.title}, unit {detector.unit.unit}, {_where(detector.unit)}"


def mask_alt(unit: UnitConcept, title: str) -> str:
    """Describe a mask on a layer's page for those who cannot see it."""
    return f"{title}, unit {unit.unit}, {_where(unit)}"


def unit_text(unit: UnitConcept) -> Markup:
    """Say what a unit's best concept is."""
    if not unit.concept:
        return Markup("could detect none: with its share of active pixels no IoU could be above {}").format(
            number(unit.ceiling)
        )
    if unit.iou <= 0:
        return Markup("meets no concept that it could detect")
    what = Markup("<strong>{}</strong>").format(unit.concept)
    fit = Markup("{}, IoU {} of at most {}").format(what, number(unit.iou), number(unit.ceiling))
    return Markup("detects {}").format(fit) if unit.detects else Markup("nearest to {}").format(fit)


def concept_heading(unit: UnitConcept) -> str:
    """Head what there is to say of a unit's concept."""
    if unit.detects:
        return "What it detects"
    return "Nearest colour" if unit.category == "colour" else "Nearest concept"


def layer_concepts(told: LayerConcepts) -> str:
    """Say how many of a layer's units detect something."""
    who = f"{told.detectors:,} of {counted(told.total, 'unit')}" if told.detectors else "No unit"
    verb = "detects" if told.detectors in (0, 1) else "detect"
    what = f", {counted(told.unique_best, 'concept')} in all" if told.unique_best > 1 else ""
    return f"{who} {verb} a concept{what}"


def commands_lead(concepts: Concepts) -> str:
    """Say of the commands where to type them, and what the second one draws."""
    if concepts.own:
        return "The concepts, typed in the folder of this site, and then the mask of the first unit:"
    return (
        "The concepts, and then the mask of the first unit: drawn alone, of that part of the image which the network "
        "is shown when it is not squeezed to its size."
    )


def concepts_text(concepts: Concepts) -> str:
    """Say on the overview what there is on the page of concepts."""
    detected = sum(1 for concept in concepts.concepts if concept.detectors) + concepts.more_detected
    whole = len(concepts.concepts) + len(concepts.more)
    what = "colours" if concepts.labels == "colour" else "labelled concepts"
    return (
        f"units detect {detected:,} of {whole:,} {what}, as measured on "
        f"{counted(concepts.images, _image(concepts))} in {counted(len(concepts.layers), 'layer')}."
    )


def _image(concepts: Concepts) -> str:
    return "photograph" if concepts.own else "image"


def _where(unit: UnitConcept) -> str:
    if unit.mask is None:
        return "no mask"
    if not unit.mask.share:
        return f"nowhere above its threshold on {unit.mask.image}"
    return (
        f"outlined where it is above its threshold on {unit.mask.image}, {share_text(unit.mask.share)} of it"
    )


def concept_kind(concept: UnitConcept) -> str:
    """Name the kind of a concept, where it is not plain from the concept itself."""
    return "" if concept.category in ("", "colour", concept.concept) else f" ({concept.category})"


PANEL = Panel(
    folders=("concepts",),
    files=files,
    words=(
        concepts_lead,
        concepts_honesty,
        concept_title,
        concept_lead,
        more_text,
        detector_alt,
        mask_alt,
        unit_text,
        concept_heading,
        layer_concepts,
        commands_lead,
        concepts_text,
        concept_kind,
    ),
)
