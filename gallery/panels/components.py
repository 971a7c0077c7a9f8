"""The components of two convolutions: what becomes of their maps, step by step, and beside SIFT."""

from collections.abc import Iterator
from dataclasses import dataclass

from netviz.questions.contrast.result import ContrastResult
from netviz.questions.sift.result import SiftResult
from netviz.questions.stages.result import StagesResult
from netviz.results.base import Result
from netviz.results.survey import ComponentOnImage, ComponentRecord, ComponentsRecord, Missing

from ..addresses import Addresses
from ..drawing import Write, write_copy, write_figure
from ..loading import is_small, load_kind
from ..manifest import Made, Photo
from ..panel import Panel, Recipe
from ..words import command, counted, sized

KINDS: dict[str, type[Result]] = {"stages": StagesResult, "contrast": ContrastResult, "sift": SiftResult}

TITLES = {
    "stages": "From the filter to the next layer",
    "contrast": "Before and after contrast normalization",
    "sift": "Beside SIFT",
}
"""Headings of the components page, by the command that makes the pictures."""

RECIPE = Recipe(
    "Components",
    "What a convolution's maps become on their way to the next one; the same maps after local contrast "
    "normalization; and SIFT beside them, at the same keypoints.",
    (
        "Jarrett, Kavukcuoglu, Ranzato and LeCun, What is the best multi-stage architecture, ICCV 2009",
        "Lowe, Distinctive image features from scale-invariant keypoints, IJCV 2004",
    ),
)

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


@dataclass(frozen=True)
class Drawing(Made):
    """One picture of the components page.

    Attributes
    ----------
    verb : str
        The command that makes it: ``"stages"``, ``"contrast"`` or ``"sift"``.
    steps, kinds : tuple of str
        Of stages: what the columns show, and of which kind each is.
    units : tuple of int
        The units drawn; none where the picture is about all of them.
    """

    verb: str = ""
    steps: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    units: tuple[int, ...] = ()


@dataclass(frozen=True)
class Component:
    """One convolution and its pictures; `which` says why it was chosen: ``"first"`` or ``"deeper"``."""

    title: str
    name: str
    page: str | None
    which: str
    drawings: tuple[Drawing, ...]

    @property
    def anchor(self) -> str:
        """Its id on the page."""
        return self.which

    def of(self, verb: str) -> tuple[Drawing, ...]:
        """Return the pictures of one kind, one for each photograph."""
        return tuple(drawing for drawing in self.drawings if drawing.verb == verb)


@dataclass(frozen=True)
class Components:
    """The components page of a network, and why a convolution is missing."""

    page: str
    layers: tuple[Component, ...]
    missing: tuple[str, ...]


def files(addresses: Addresses) -> Iterator[str]:
    """Yield the address of every file of the panel."""
    found = addresses.run.components
    if isinstance(found, Missing) or not _shown(addresses):
        return
    yield _page(addresses)
    for component in found.layers:
        for one in component.shown:
            if one.file is not None:
                yield _file(addresses, component, one, "jpg")
                if is_small(one.file):
                    yield _file(addresses, component, one, "npz")


def _shown(addresses: Addresses) -> bool:
    """Return whether there is anything to show."""
    found = addresses.run.components
    return isinstance(found, ComponentsRecord) and any(component.shown for component in found.layers)


def _page(addresses: Addresses) -> str:
    return f"{addresses.folder}/components.html"


def _file(addresses: Addresses, component: ComponentRecord, one: ComponentOnImage, suffix: str) -> str:
    name = f"{addresses.photos[one.image]}-{one.verb}.{suffix}"
    return f"{addresses.folder}/components/{component.which}/{name}"


def draw_components(addresses: Addresses, photos: tuple[Photo, ...], write: Write) -> Components | None:
    """Draw the components of one network; None where there are none."""
    found = addresses.run.components
    if isinstance(found, Missing) or not _shown(addresses):
        return None
    made = tuple(_component(one, addresses, photos, write) for one in found.layers)
    return Components(_page(addresses), made, found.missing)


def _component(
    component: ComponentRecord, addresses: Addresses, photos: tuple[Photo, ...], write: Write
) -> Component:
    drawings = tuple(
        _drawing(one, component, addresses, photos[one.image], write)
        for verb in KINDS
        for one in component.shown
        if one.verb == verb
    )
    layer = addresses.run.layers[component.layer]
    page = None if layer.slug is None else addresses.page(component.layer)
    return Component(layer.title, layer.name, page, component.which, drawings)


def _drawing(
    one: ComponentOnImage, component: ComponentRecord, addresses: Addresses, photo: Photo, write: Write
) -> Drawing:
    """Draw one result, and copy its file where that is small."""
    image, layer = addresses.run.images[one.image], addresses.run.layers[component.layer]
    words = [
        one.verb,
        image.source,
        "--model",
        addresses.run.model,
        "--layer",
        layer.name,
        *sized(image.size),
    ]
    if one.file is None:
        return Drawing(photo, None, one.missing, command(*words, run=addresses.run), verb=one.verb)
    result = load_kind(one.file, KINDS[one.verb])
    picture = write_figure(result, _file(addresses, component, one, "jpg"), write)
    units: tuple[int, ...] = ()
    steps: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    if isinstance(result, StagesResult):
        own = [column for column in result.columns if not column.what_if]
        units = tuple(result.units.tolist())
        steps, kinds = tuple(str(column.title) for column in own), tuple(str(column.kind) for column in own)
    elif isinstance(result, ContrastResult):
        units = tuple(result.units.tolist())
        words += ["--units", ",".join(map(str, units))]
    kept = write_copy(one.file, _file(addresses, component, one, "npz"), write)
    size = one.file.stat().st_size
    return Drawing(
        photo, picture, "", command(*words, run=addresses.run), kept, size, one.verb, steps, kinds, units
    )


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


def components_text(components: Components) -> str:
    """Name the layers whose components there are."""
    names = [component.title for component in components.layers]
    return " and ".join(names)


PANEL = Panel(
    folders=("components",),
    files=files,
    words=(component_title, component_lead, components_text, drawings_note, drawing_alt),
)
