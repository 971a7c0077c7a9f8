"""The search: one file that names everything on the site, small enough to be loaded when a reader asks for it.

Units are not listed: a layer says how many it has, where their pages and their pictures are, and which numbers bear a
mark, a concept, a class or votes. So a site of tens of thousands of units takes tens of kilobytes.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from ..drawing import COLUMNS, COUNT
from ..manifest import Picture, Sprites
from ..panel import Panel
from ..terms import PAGE as GLOSSARY
from ..terms import TERMS
from ..words import counted, percent_of, size
from . import lecture
from .concepts import LayerConcepts
from .images import ImagePage
from .layer import Layer
from .overview import Manifest, Network
from .unit import MARKS, Unit
from .wall import Wall, mark_options

PAGE = "search.html"

INDEX = "static/search-index.js"
"""A script and no JSON: a page that is opened from disk may load it."""

KINDS = ("layer", "network", "concept", "class", "photograph", "mark", "term", "slide", "page")
"""Of what is listed one by one; units are a kind of their own."""

_PARTS = (
    ("components", "Components", "filtering, non-linearity, pooling, normalization, SIFT"),
    ("concepts", "Concepts", "which units detect what"),
    ("minimal", "Minimal images", "how little of a photograph it takes"),
    ("fcn", "Fully convolutional", "dense heat maps, streams, skips"),
)

_SHEET = re.compile(r"(.*-)0(\.\w+)")

Thing = list[Any]
"""Kind (by its place in `KINDS`), name, what else is said of it, address, and a picture or nothing."""


def search_index(manifest: Manifest) -> str:
    """Return the script that holds the index.

    Parameters
    ----------
    manifest : Manifest

    Returns
    -------
    str
        It sets ``netvizIndex``: ``kinds``, ``marks``, ``count`` and ``columns`` of sheets; ``things``, each of
        a kind; ``networks``, each with its ``layers`` and the ``words`` that its units bear. ASCII only.
    """
    index = {
        "kinds": KINDS,
        "marks": MARKS,
        "count": COUNT,
        "columns": COLUMNS,
        "things": [one for network in manifest.networks for one in _things(network)] + list(_site(manifest)),
        "networks": [_network(network) for network in manifest.networks],
    }
    return f"window.netvizIndex={json.dumps(index, separators=(',', ':'))};\n"


def _thing(kind: str, name: str, told: str, address: str, picture: list[Any] | None = None) -> Thing:
    return [KINDS.index(kind), name, told, address, *([picture] if picture else [])]


def _site(manifest: Manifest) -> Iterator[Thing]:
    """List what belongs to no network."""
    for term in TERMS:
        also = f" ({', '.join(term.others)})" if term.others else ""
        yield _thing("term", f"{term.name}{also}", term.text, f"{GLOSSARY}#{term.key}")
    for place, slide in enumerate(lecture.slides(manifest)):
        yield _thing(
            "slide",
            slide.title,
            f"slide {place + 1} of the lecture: {slide.first}",
            f"{lecture.PAGE}#{slide.key}",
        )
    yield _thing("page", "About this site", "how each picture is made, commands, licences", "about.html")
    yield _thing("page", "Glossary", "the words of these pages", GLOSSARY)
    yield _thing("page", "The lecture", "from one filter to an answer for every pixel", lecture.PAGE)


def _things(network: Network) -> Iterator[Thing]:
    """List what a network has beside its units."""
    home = f"index.html#{network.folder}"
    yield _thing("network", network.name, f"{counted(len(network.layers), 'layer')}, {network.origin}", home)
    for attribute, title, told in _PARTS:
        part = getattr(network, attribute)
        if part is not None:
            yield _thing("page", f"{title} of {network.name}", told, part.page)
    for layer in network.layers:
        told = ", ".join(filter(None, (layer.kind, size(layer.shape), network.name)))
        name = layer.title if layer.name in (layer.title, "") else f"{layer.title} ({layer.name})"
        yield _thing("layer", name, told, layer.page or home, _face(layer.wall))
        yield from _marked(network, layer)
    for page in network.images:
        yield _photograph(network, page)
    if network.concepts is not None:
        for place, concept in enumerate(network.concepts.concepts):
            best = concept.units[0].unit if concept.units else None
            told = f"{concept.category}, {counted(concept.detectors, 'detector')} in {network.name}"
            address = f"{network.concepts.page}#c{place + 1}"
            tile = None
            if best is not None and best.mask is not None:
                tile = _tile(best.mask.picture, best.mask.tile, best.mask.left, best.mask.top)
            yield _thing("concept", concept.name, told, address, tile)
    yield from _classes(network)


def _photograph(network: Network, page: ImagePage) -> Thing:
    told = f"a photograph that {network.name} was shown"
    if page.answers:
        told = f"{told}; its answer: {page.answers[0].name}, {percent_of(page.answers[0].probability)}"
    return _thing("photograph", page.photo.name, told, page.page, _whole(page.photo.small))


def _marked(network: Network, layer: Layer) -> Iterator[Thing]:
    """List the marks of a layer's units, with the wall narrowed to them."""
    wall = layer.wall
    if wall is None or layer.page is None:
        return
    offered = {name for name, _, _, _ in mark_options(wall, layer.concepts)}
    for name, text, marks in (
        ("dead", "dead", ("dead", "dead filter")),
        ("on", "always on", ("always on",)),
        ("duplicate", "near-duplicate", ("near-duplicate",)),
        ("border", "at the border", ("at the border",)),
    ):
        count = sum(bool({*unit.marks} & {*marks}) for unit in (*wall.units, *wall.others))
        if count:
            address = f"{layer.page}#{f'show={name}' if name in offered else 'units'}"
            yield _thing(
                "mark", text, f"{counted(count, 'unit')} of {layer.title} of {network.name}", address
            )


def _classes(network: Network) -> Iterator[Thing]:
    """List the classes that something on the site is about, each with the best place to see it."""
    told: dict[str, tuple[str, str, list[Any] | None]] = {}

    def tell(name: str, text: str, address: str, picture: list[Any] | None = None) -> None:
        told.setdefault(name, (text, address, picture))

    for layer in network.paged:
        for unit in _units(layer.wall):
            if unit.label and unit.page:
                text = f"unit {unit.unit} of {layer.title} of {network.name} gives its score"
                tell(unit.label, text, unit.page)
    answers = [(page, one) for page in network.images for one in page.answers]
    for page, one in sorted(answers, key=lambda pair: -pair[1].probability):
        text = f"{network.name}'s answer to {page.photo.name}, {percent_of(one.probability)}"
        tell(one.name, text, page.page, _whole(page.photo.small))
    for page in network.images:
        for swatch, share in page.streams.shares if page.streams is not None else ():
            text = f"{percent_of(share)} of {page.photo.name}, by {network.name}"
            tell(swatch.name, text, f"{page.page}#streams", _whole(page.photo.small))
    for layer in network.paged:
        for unit in _units(layer.wall):
            for vote in unit.links.raised if unit.links is not None else ():
                text = f"unit {unit.unit} of {layer.title} of {network.name} votes for it"
                tell(vote.text, text, unit.page)
    for name, (text, address, picture) in told.items():
        yield _thing("class", name, text, address, picture)


def _network(network: Network) -> dict[str, Any]:
    """Return what the units of a network are found by."""
    words: dict[str, int] = {}
    layers = [
        _layer(layer, words)
        for layer in network.paged
        if layer.page and layer.wall is not None and _units(layer.wall)
    ]
    return {"name": network.name, "folder": network.folder, "layers": layers, "words": list(words)}


def _layer(layer: Layer, words: dict[str, int]) -> dict[str, Any]:
    """Return a layer's units in few bytes.

    Beside title, name, page and number of units: ``paged``, those with pages, where not all have one; ``first`` and
    ``rest``, the sheets of their pictures; ``has``, the numbers of the units for each mark; ``detects``, ``is`` and
    ``votes``, those for each word, by its place among the network's `words`, to which new ones are added.
    """
    wall = layer.wall
    page = layer.page
    if wall is None or page is None:
        raise ValueError("a layer without units is not searched for units")
    told: dict[str, Any] = {"title": layer.title, "page": page, "units": [one.unit for one in _units(wall)]}
    if told["units"] == list(range(wall.total)):
        told["units"] = wall.total
    if layer.name != layer.title:
        told["name"] = layer.name
    if wall.others:
        told["paged"] = [one.unit for one in wall.units]
    for name, sheets in (
        ("first", wall.previews or wall.filters),
        ("rest", wall.beside or wall.weights),
    ):
        sheet = _sheets(sheets)
        if sheet:
            told[name] = sheet
    groups: dict[str, dict[int, list[int]]] = {
        name: defaultdict(list) for name in ("has", "detects", "is", "votes")
    }
    for unit, kind, word in _said(wall, layer.concepts):
        place = MARKS.index(word) if kind == "has" else words.setdefault(word, len(words))
        groups[kind][place].append(unit)
    told |= {name: group for name, group in groups.items() if group}
    return told


def _said(wall: Wall, concepts: LayerConcepts | None) -> Iterator[tuple[int, str, str]]:
    """Yield of each unit what it is found by beside its number: the unit, the kind of word, and the word."""
    fits = {} if concepts is None else concepts.by_unit()
    for unit in _units(wall):
        yield from ((unit.unit, "has", mark) for mark in unit.marks)
        one = fits.get(unit.unit)
        if one is not None and one.detects:
            yield unit.unit, "detects", one.concept
        if unit.label:
            yield unit.unit, "is", unit.label
        for vote in unit.links.raised if unit.links is not None else ():
            yield unit.unit, "votes", vote.text


def _units(wall: Wall | None) -> list[Unit]:
    """Return all units of a layer by their numbers."""
    units: Iterable[Unit] = () if wall is None else (*wall.units, *wall.others)
    return sorted(units, key=lambda one: one.unit)


def _sheets(sheets: tuple[Sprites, ...]) -> list[Any] | None:
    """Return how the addresses of numbered sheets begin and end, and a tile's width and height."""
    found = _SHEET.fullmatch(sheets[0].picture.path) if sheets else None
    return None if found is None else [found[1], found[2], *sheets[0].tile]


def _face(wall: Wall | None) -> list[Any] | None:
    """Return the tile of a layer's first unit."""
    sheets = () if wall is None else wall.previews or wall.filters
    return _tile(sheets[0].picture, sheets[0].tile, 0, 0) if sheets else None


def _whole(picture: Picture) -> list[Any]:
    return [picture.path, picture.width, picture.height]


def _tile(picture: Picture, tile: tuple[int, int], left: int, top: int) -> list[Any]:
    return [picture.path, picture.width, picture.height, left, top, *tile]


PANEL = Panel()
