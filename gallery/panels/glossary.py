"""The glossary: each term, and where on this site what it means can be seen."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ..panel import Panel
from ..terms import TERMS, Term, linked, term
from .images import ImagePage
from .layer import Layer
from .overview import Manifest, Network
from .unit import Unit

Seen = tuple[str, str]
"""What a link says, and where it leads."""


@dataclass(frozen=True)
class Entry:
    """A term, and where it can be seen: one place for each network that has one."""

    term: Term
    seen: tuple[Seen, ...]


def entries(manifest: Manifest) -> tuple[Entry, ...]:
    """Return the terms in the order of their names, with places of the site where each can be seen."""
    told = []
    for one in sorted(TERMS, key=lambda one: one.name.casefold()):
        find = _SEEN[one.key]
        found = (find(network) for network in manifest.networks)
        told.append(Entry(one, tuple(place for place in found if place is not None)))
    return tuple(told)


def glossary_also(one: Term) -> str:
    """Name what else a term is called, as far as that says more."""
    more = [other for other in one.others if other not in (f"{one.name}s", one.key)]
    return ", ".join(more)


def glossary_mentions(one: Term) -> list[str]:
    """Return the names of other terms, for links from this one's text."""
    own = {one.name, f"{one.name}s", *one.others}
    names = {name for other in TERMS for name in (other.name, f"{other.name}s") if other is not one}
    return sorted(names - own)


def _network(network: Network) -> Seen:
    return network.name, f"index.html#{network.folder}"


def _layers(network: Network, has: Callable[[Layer], object], anchor: str = "") -> Seen | None:
    """Return the first layer that has something: where that is a filter, one that can be seen as a picture."""
    layer = next((one for one in network.paged if has(one)), None)
    return None if layer is None else (f"{layer.title} of {network.name}", f"{layer.page}{anchor}")


def _units(network: Network, has: Callable[[Unit, Layer], object], anchor: str = "") -> Seen | None:
    """Return the first unit with a page that has something, from the middle of the network on."""
    paged = network.paged
    middle = len(paged) // 2
    for layer in (*paged[middle:], *paged[:middle]):
        for unit in layer.wall.units if layer.wall is not None else ():
            if has(unit, layer):
                return f"unit {unit.unit} of {layer.title}, {network.name}", f"{unit.page}{anchor}"
    return None


def _images(network: Network, has: Callable[[ImagePage], object], anchor: str = "") -> Seen | None:
    found = next((one for one in network.images if has(one)), None)
    return None if found is None else (f"{found.photo.name} in {network.name}", f"{found.page}{anchor}")


def _part(network: Network, name: str, anchor: str = "") -> Seen | None:
    part = getattr(network, name)
    return None if part is None else (f"{_PARTS[name]} of {network.name}", f"{part.page}{anchor}")


def _marked(network: Network, mark: str) -> Seen | None:
    """Return the wall of the layer with the most units of a mark."""
    best: tuple[int, Layer] | None = None
    for layer in network.paged:
        units = () if layer.wall is None else (*layer.wall.units, *layer.wall.others)
        count = sum(mark in unit.marks for unit in units)
        if count and (best is None or count > best[0]):
            best = count, layer
    if best is None:
        return None
    return f"{best[1].title} of {network.name} ({best[0]:,})", f"{best[1].page}#units"


def _either(*ways: Callable[[Network], Seen | None]) -> Callable[[Network], Seen | None]:
    def find(network: Network) -> Seen | None:
        return next((found for found in (way(network) for way in ways) if found is not None), None)

    return find


_PARTS = {
    "components": "components",
    "concepts": "concepts",
    "minimal": "minimal images",
    "fcn": "fully convolutional pass",
}


def _layer_with(has: Callable[[Layer], object], anchor: str = "") -> Callable[[Network], Seen | None]:
    return partial(_layers, has=has, anchor=anchor)


def _unit_with(has: Callable[[Unit, Layer], object], anchor: str = "") -> Callable[[Network], Seen | None]:
    return partial(_units, has=has, anchor=anchor)


def _image_with(has: Callable[[ImagePage], object], anchor: str = "") -> Callable[[Network], Seen | None]:
    return partial(_images, has=has, anchor=anchor)


def _part_of(name: str, anchor: str = "") -> Callable[[Network], Seen | None]:
    return partial(_part, name=name, anchor=anchor)


def _mark(mark: str) -> Callable[[Network], Seen | None]:
    return partial(_marked, mark=mark)


_FILTERS = _layer_with(lambda one: one.filters, "#filters")
_MAPS = _layer_with(lambda one: one.maps, "#maps")
_PATCHES = _unit_with(lambda unit, _: unit.patches, "#patches")
_FIELD = _either(
    _unit_with(lambda unit, _: unit.fields, "#fields"),
    _unit_with(lambda unit, _: unit.spot, "#field"),
    _layer_with(lambda one: one.field),
)
_VALUES = _unit_with(lambda unit, _: unit.numbers, "#values")
_LINKS = _unit_with(lambda unit, _: unit.links and (unit.links.before or unit.links.after), "#links")
_VOTES = _unit_with(lambda unit, _: unit.links and unit.links.raised, "#links")
_BACK = _unit_with(lambda unit, _: unit.back, "#patches")
_ANSWERS = _image_with(lambda one: one.answers)
_STREAMS = _image_with(lambda one: one.streams and one.streams.picture, "#streams")
_HEAT = _image_with(lambda one: one.heat and one.heat.picture, "#dense")
_COLUMN = _image_with(lambda one: one.hypercolumn and one.hypercolumn.picture, "#hypercolumn")
_COMPONENTS = _part_of("components")
_CONCEPTS = _part_of("concepts")
_FCN = _part_of("fcn")


def _compared(network: Network) -> Seen | None:
    return _part(network, "fcn", "#three") if network.fcn is not None and network.fcn.comparison else None


def _detector(network: Network) -> Seen | None:
    """Return the first unit that detects a concept."""
    concepts = network.concepts
    for concept in concepts.concepts if concepts is not None else ():
        for one in concept.units:
            if one.unit.detects:
                return f"unit {one.unit.unit} of {one.title}, {network.name}", one.address
    return None


_SEEN: dict[str, Callable[[Network], Seen | None]] = {
    "network": _network,
    "layer": _layer_with(bool),
    "unit": _PATCHES,
    "map": _MAPS,
    "filter": _FILTERS,
    "convolution": _FILTERS,
    "depthwise": _layer_with(lambda one: one.filters and one.filters.groups > 1, "#filters"),
    "stage": _COMPONENTS,
    "non-linearity": _either(_layer_with(lambda one: "relu" in one.kind.casefold()), _COMPONENTS),
    "pooling": _either(_layer_with(lambda one: "pool" in one.kind.casefold()), _COMPONENTS),
    "padding": _mark("at the border"),
    "batch-normalization": _either(_layer_with(lambda one: "norm" in one.kind.casefold()), _COMPONENTS),
    "contrast-normalization": _COMPONENTS,
    "sift": _COMPONENTS,
    "patch": _PATCHES,
    "receptive-field": _FIELD,
    "theoretical-field": _FIELD,
    "effective-field": _unit_with(lambda unit, _: unit.fields and unit.fields.ellipse, "#fields"),
    "measured-field": _unit_with(lambda unit, _: unit.fields and unit.fields.region, "#fields"),
    "stride": _layer_with(lambda one: one.field and one.field.stride and max(one.field.stride) > 1),
    "position": _either(_image_with(lambda one: one.glimpses, "#by-layer"), _MAPS),
    "quantile": _VALUES,
    "histogram": _VALUES,
    "sparsity": _VALUES,
    "dead-unit": _mark("dead"),
    "dead-filter": _mark("dead filter"),
    "always-on": _mark("always on"),
    "near-duplicate": _mark("near-duplicate"),
    "at-the-border": _mark("at the border"),
    "alike": _unit_with(lambda unit, _: unit.nearest, "#near"),
    "concept": _CONCEPTS,
    "iou": _CONCEPTS,
    "ceiling": _CONCEPTS,
    "detector": _detector,
    "links": _LINKS,
    "votes": _either(_VOTES, _image_with(lambda one: one.votes, "#votes")),
    "class": _either(_ANSWERS, _unit_with(lambda unit, _: unit.label), _VOTES),
    "score": _ANSWERS,
    "attribution": _either(
        _image_with(lambda one: one.attributed, "#over"), _BACK, _image_with(lambda one: one.votes, "#votes")
    ),
    "deconvnet": _BACK,
    "guided-backpropagation": _BACK,
    "optimized-picture": _unit_with(lambda unit, _: unit.wanted, "#wanted"),
    "minimal-image": _part_of("minimal"),
    "hypercolumn": _COLUMN,
    "principal-components": _COLUMN,
    "sliding-window": _either(_compared, _FCN),
    "region": _compared,
    "fully-convolutional": _FCN,
    "heat-map": _HEAT,
    "upsampling": _STREAMS,
    "skip": _STREAMS,
    "stream": _STREAMS,
}

PANEL = Panel(words=(term, linked, glossary_also, glossary_mentions))
