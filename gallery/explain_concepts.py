"""How the pages explain concepts and minimal images, in plain words."""

from markupsafe import Markup

from .manifest_concepts import Concept, Concepts, Detector, LayerConcepts, Minimal, Minimals, UnitConcept
from .wording import counted, file_size, number

MANY = 200
"""Images from which on a dissection is no longer called thin."""

NAMED = 12
"""How many of the concepts that are not shown are named."""


def concepts_lead(concepts: Concepts) -> str:
    """Say what was measured, and on what."""
    if concepts.labels == "colour":
        what = "the eleven basic colours, measured from the pixels"
    else:
        what = f"{counted(len(concepts.concepts) + len(concepts.more), 'labelled concept')}"
    return (
        f"Which units answer to which concept: {what} of {counted(concepts.images, _image(concepts))}. A unit is "
        f"active where its map, brought to the image, is among the highest {_percent(1 - concepts.quantile)} of its "
        f"values, and detects the concept that its active pixels overlap best, if their intersection over union (IoU)"
        f" is above {concepts.detect:g}."
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
    seen = f"{_percent(concept.share)} of the pixels, in {counted(concept.images, _image(concepts))}"
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
    if not unit.concept or unit.iou <= 0:
        return Markup("meets no concept")
    what = Markup("<strong>{}</strong>").format(unit.concept)
    return Markup("{} {}, IoU {}").format("detects" if unit.detects else "nearest to", what, number(unit.iou))


def layer_concepts(told: LayerConcepts) -> str:
    """Say how many of a layer's units detect something."""
    who = f"{told.detectors:,} of {counted(told.total, 'unit')}" if told.detectors else "No unit"
    verb = "detects" if told.detectors in (0, 1) else "detect"
    what = f", {counted(told.unique, 'concept')} in all" if told.unique > 1 else ""
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


def minimal_note(minimal: Minimal) -> str:
    """Say what a minimal image kept."""
    if not minimal.flipped:
        return (
            f"Predicted as {minimal.name}, also with every segment removed: the blurred image alone suffices."
        )
    left = f"{minimal.kept:,} of {counted(minimal.count, 'segment')}, {_percent(minimal.share)} of the image"
    return (
        f"Predicted as {minimal.name} (score {number(minimal.score)}), and still so (score {number(minimal.last)}) "
        f"with {left}; with one less, as {minimal.end}. To find them {counted(minimal.judged, 'image')} were judged."
    )


def minimal_alt(minimal: Minimal) -> str:
    """Describe the picture of a minimal image for those who cannot see it."""
    return (
        f"Minimal image of {minimal.name} in {minimal.photo.name}: {_percent(minimal.share)} of it, the order in "
        f"which its segments were removed, and the score after each"
    )


def minimals_text(minimals: Minimals) -> str:
    """Say on the overview what there is on the page of minimal images."""
    made = [
        f"{_percent(one.share)} of {one.photo.name} ({one.name})" for one in minimals.shown if one.picture
    ]
    return f"what suffices for the prediction: {' and '.join(made)}." if made else "none could be made."


def minimal_data(minimal: Minimal) -> str:
    """Name a file of arrays with its size."""
    return f"Its numbers (minimal.npz, {file_size(minimal.bytes)})"


def _image(concepts: Concepts) -> str:
    return "photograph" if concepts.own else "image"


def _where(unit: UnitConcept) -> str:
    if unit.mask is None:
        return "no mask"
    if not unit.mask.share:
        return f"nowhere above its threshold on {unit.mask.image}"
    return f"outlined where it is above its threshold on {unit.mask.image}, {_percent(unit.mask.share)} of it"


def _percent(share: float) -> str:
    """Write a share with two digits: 0.005 → 0.5 %."""
    value = 100 * share
    text = (
        "0"
        if not value
        else "below 0.01"
        if value < 0.01
        else f"{value:.2g}"
        if value < 99.5
        else f"{value:.0f}"
    )
    return f"{text} %"


FILTERS = {
    "concepts_lead": concepts_lead,
    "concepts_honesty": concepts_honesty,
    "concept_title": concept_title,
    "concept_lead": concept_lead,
    "more_text": more_text,
    "detector_alt": detector_alt,
    "mask_alt": mask_alt,
    "unit_text": unit_text,
    "layer_concepts": layer_concepts,
    "commands_lead": commands_lead,
    "concepts_text": concepts_text,
    "minimal_note": minimal_note,
    "minimal_alt": minimal_alt,
    "minimals_text": minimals_text,
    "minimal_data": minimal_data,
}
"""What the templates may call."""
