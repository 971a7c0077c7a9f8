"""How the pages explain components and patches, in plain words."""

from .manifest_parts import Component, Components, Drawing, Patches, UnitPatches
from .wording import counted, file_size, listed, number

TITLES = {
    "stages": "From the filter to the next layer",
    "contrast": "Before and after contrast normalization",
    "sift": "Beside SIFT",
}
"""Headings of the components page, by the command that makes the pictures."""

_RECTIFIED = "the non-linearity keeps what is positive of it"
_BENT = "the non-linearity weakens what is negative of it"
_BOUNDED = "the non-linearity squeezes it between two limits"
_PARTS = {
    "norm": "normalization brings every unit to a common range",
    **dict.fromkeys(("relu", "relu6"), _RECTIFIED),
    **dict.fromkeys(
        ("leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish"), _BENT
    ),
    **dict.fromkeys(("sigmoid", "hardsigmoid", "tanh", "hardtanh", "softsign", "clamp"), _BOUNDED),
    "abs": "the non-linearity drops its sign",
    "pool": "pooling tells whether the pattern was near, no longer exactly where",
    "sum": "a sum adds what came around the filter",
    "product": "a product weighs it with what came around the filter",
}
"""What each kind of stage does, in the words of the lecture."""


def component_title(component: Component) -> str:
    """Say which layer it is and why it is shown."""
    why = "the first convolution" if component.which == "first" else "about the middle of the network"
    return f"{component.title}, {why}"


def component_lead(component: Component) -> str:
    """Say how the layer was chosen."""
    if component.which == "first":
        return "The first convolution that sees the image itself: its filters are small pictures."
    return (
        "A convolution of the middle third of the network (or the nearest to it) whose maps have at least "
        "14 positions on a side and that something follows; where several do, one with the most kinds of stage."
    )


def drawings_note(drawings: tuple[Drawing, ...], component: Component) -> str:
    """Explain one kind of picture in two sentences."""
    return {"stages": _stages, "contrast": _contrast, "sift": _sift}[drawings[0].verb](drawings, component)


def _stages(drawings: tuple[Drawing, ...], component: Component) -> str:
    first = next((one for one in drawings if one.steps), None)
    if first is None:
        return "What the network does with the maps of this convolution on their way to the next one."
    chain = " \N{RIGHTWARDS ARROW} ".join(first.steps)
    parts = ["the filter answers wherever its pattern is, positive or negative"]
    parts += [_PARTS[kind] for kind in first.kinds[1:] if kind in _PARTS]
    told = list(dict.fromkeys(parts))
    story = f"{', '.join(told[:-1])}, and {told[-1]}" if len(told) > 1 else told[0]
    return f"Each row is a unit, each column a step of the network: {chain}. In turn, {story}."


def _contrast(drawings: tuple[Drawing, ...], component: Component) -> str:
    return (
        "On the left the feature maps, on the right the same maps after contrast normalization: at every position "
        "the mean of the surroundings, taken over all maps, is subtracted, and the rest is divided by their standard "
        "deviation (by its mean over the image, where that is larger). A strong edge then no longer drowns a faint "
        "one beside it, and what one map says where all others say the same is taken away."
    )


def _sift(drawings: tuple[Drawing, ...], component: Component) -> str:
    return (
        "SIFT describes a place by the same steps, made by hand: gradients in eight orientations (filtering), summed "
        "over 4 × 4 cells (pooling), brought to unit length (normalization). Below, at the same keypoints, its "
        f"descriptor stands beside what the units of {component.title} say there, before and after contrast "
        "normalization."
    )


def drawing_alt(drawing: Drawing, component: Component) -> str:
    """Describe a picture for those who cannot see it."""
    where = f"{component.title} on {drawing.photo.name}"
    if drawing.verb == "stages":
        last = drawing.steps[-1] if drawing.steps else "map"
        return f"Stages of {where}: {counted(len(drawing.units), 'unit')}, from filter to {last}"
    if drawing.verb == "contrast":
        return f"{counted(len(drawing.units), 'map')} of {where}, before and after contrast normalization"
    return f"SIFT keypoints and descriptors beside those of {where}"


def data_text(drawing: Drawing) -> str:
    """Name a file of arrays with its size."""
    return f"Its numbers ({drawing.verb}.npz, {file_size(drawing.bytes)})"


def components_text(components: Components) -> str:
    """Name the layers whose components there are."""
    names = [component.title for component in components.layers]
    return " and ".join(names)


def patches_lead(patches: Patches) -> str:
    """Say what the patches are, and out of how many photographs."""
    if patches.total == 1:
        text = "Its only unit, with the parts of the photographs that excite it most, the strongest first."
    else:
        shown = len(patches.units)
        units = f"{shown:,} of {patches.total:,} units" if shown < patches.total else f"All {shown:,} units"
        text = f"{units}, each with the parts of the photographs that excite it most, the strongest first."
    out_of = counted(patches.images, "photograph")
    if patches.images <= patches.top and patches.per_image == 1:
        who = "it has" if patches.total == 1 else "every unit has"
        honest = f"With only {out_of} these are not the best of many"
        return f"{text} {honest}: {who} one patch from each, the weakest included."
    most = f", at most {patches.per_image:,} from one of them" if patches.per_image < patches.top else ""
    return f"{text} They were found among {out_of}{most}."


def patches_note(patches: Patches) -> str:
    """Say what is drawn of a patch."""
    notes = [
        {
            "global": "A patch is the whole photograph: the unit sees all of it.",
            "unknown": "How far a unit sees is not known: a patch is all that the network saw.",
        }.get(
            patches.status, "A patch is the receptive field of the unit, cut out of the original photograph."
        )
    ]
    if patches.outlined:
        share = ", or above half of the value there where nearly all or none is" if patches.halved else ""
        notes.append(f"Bright and outlined: the map of the unit is among its highest 0.5 % of values{share}.")
    if patches.margins:
        notes.append("Grey margins: there the receptive field reaches beyond the photograph.")
    if patches.missing:
        gone = counted(patches.missing, "patch is", "patches are")
        notes.append(f"{gone} crossed out: the photograph is no longer where the survey found it.")
    return " ".join(notes)


def patches_alt(unit: UnitPatches, title: str) -> str:
    """Describe a unit's patches for those who cannot see them."""
    if not unit.names:
        return f"{title}, unit {unit.unit}: no patch"
    found = "; ".join(f"{name} {number(score)}" for name, score in zip(unit.names, unit.scores, strict=True))
    return f"{title}, unit {unit.unit}, patches from {found}"


def marked(patches: Patches) -> str:
    """Say which of the units shown are dead or always on."""
    parts = []
    for mark in ("dead", "always on"):
        units = tuple(unit.unit for unit in patches.units if unit.mark == mark)
        if units:
            what = "answer with 0 everywhere" if mark == "dead" else "never answer with 0"
            parts.append(f"{mark.capitalize()} ({what} on these photographs): {listed(units)}.")
    return " ".join(parts)


FILTERS = {
    "component_title": component_title,
    "component_lead": component_lead,
    "components_text": components_text,
    "drawings_note": drawings_note,
    "drawing_alt": drawing_alt,
    "data_text": data_text,
    "patches_lead": patches_lead,
    "patches_note": patches_note,
    "patches_alt": patches_alt,
    "marked": marked,
}
"""What the templates may call."""
