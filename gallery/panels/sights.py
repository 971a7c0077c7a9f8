"""What can be seen on a site: a picture and a sentence for each thing, in the lecture's order, and where more is."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from ..manifest import Sprites
from ..panel import Panel
from .fields import UnitFields
from .front import FINE, SHELF, Piece, Shown, strength, whole
from .layer import Layer
from .optimized import GAP
from .overview import Manifest, Network
from .unit import Unit

FILTERS = 18
"""Filters that are shown at most."""

FEW = 6
"""Pictures made by optimization that are shown at most."""


@dataclass(frozen=True)
class Sight:
    """A thing that can be seen.

    Attributes
    ----------
    key : str
        Its name in the page's address.
    title, text : str
        What it is called, and one sentence.
    page : str
        Where it is.
    network : Network
        Whose pictures these are.
    pieces : tuple of Piece
    crisp : bool
        Whether a pixel is a number.
    unit : (Layer, Unit) or None
        The unit whose fields are drawn.
    """

    key: str
    title: str
    text: str
    page: str
    network: Network
    pieces: tuple[Piece, ...] = ()
    crisp: bool = False
    unit: tuple[Layer, Unit] | None = None


def _filters(network: Network) -> Sight | None:
    layer = next((one for one in network.paged if one.filters and one.filters.sheet.layout == "rgb"), None)
    if layer is None or layer.filters is None:
        return None
    sheet = layer.filters.sheet
    return Sight(
        "filters",
        "Filters",
        f"The weights of {layer.title} are small pictures: what each unit looks for in the image.",
        layer.page or "",
        network,
        tuple(
            Piece(
                sheet.picture, tile.left, tile.top, sheet.tile, f"Filter of {layer.title}, unit {tile.unit}"
            )
            for tile in sheet.tiles[:FILTERS]
        ),
        crisp=True,
    )


def _contrast(network: Network) -> Sight | None:
    if not network.front.contrast or network.components is None:
        return None
    return Sight(
        "contrast",
        "Feature maps, before and after contrast normalization",
        "A map tells where a unit answers; normalized, a strong edge no longer drowns a faint one.",
        network.components.page,
        network,
        network.front.contrast,
        crisp=True,
    )


def _patches(network: Network) -> Sight | None:
    # Not of the first layers, where a patch shows too little to be recognized.
    deeper = network.front.shelf[len(network.front.shelf) // 3 :]
    shown = max(deeper, key=lambda one: strength(one.unit), default=None)
    if shown is None or shown.unit.patches is None or shown.layer.patches is None:
        return None
    patches = shown.unit.patches
    sheet = shown.layer.patches.sheets[patches.sheet]
    name = f"{shown.layer.title}, unit {shown.unit.unit}"
    return Sight(
        "patches",
        "The strongest patches",
        f"The parts of photographs that excite {name} most; bright is where it answers.",
        shown.unit.page,
        network,
        (Piece(sheet.picture, patches.left, patches.top, sheet.tile, f"All patches of {name}"),),
    )


def _fields(network: Network) -> Sight | None:
    some = [
        (shown.layer, shown.unit)
        for shown in network.front.shelf
        if shown.unit.fields is not None and shown.unit.fields.photo is not None
    ]
    if not some:
        return None
    # Of the middle of the network: neither a few pixels nor all of the photograph, and inside of it where one is.
    measured = [one for one in some if one[1].fields and one[1].fields.size is not None] or some
    inside = [one for one in measured if one[1].fields and _holds(one[1].fields)] or measured
    layer, unit = inside[len(inside) // 2]
    return Sight(
        "fields",
        "Receptive fields",
        f"What {layer.title}, unit {unit.unit} can see of the photograph, what counts, and what changes it.",
        f"{unit.page}#fields",
        network,
        unit=(layer, unit),
    )


def _holds(fields: UnitFields) -> bool:
    """Return whether a photograph holds all that a unit sees there, and something beside it."""
    if fields.photo is None or fields.box is None:
        return False
    seen, (left, top, right, bottom) = fields.photo.picture, fields.box
    return 0 <= left < right <= seen.width and 0 <= top < bottom <= seen.height


def _concepts(network: Network) -> Sight | None:
    if network.concepts is None:
        return None
    found = [
        (concept, one)
        for concept in network.concepts.concepts
        if concept.detectors
        for one in concept.units[:1]
        if one.unit.mask is not None
    ]
    pieces = tuple(
        Piece(
            one.unit.mask.picture,
            one.unit.mask.left,
            one.unit.mask.top,
            one.unit.mask.tile,
            f"Mask of unit {one.unit.unit} of {one.title} on {one.unit.mask.image}",
            f"{concept.name}: {one.title}, unit {one.unit.unit}",
            one.address,
        )
        for concept, one in found[:3]
        if one.unit.mask is not None
    )
    if not pieces:
        return None
    return Sight(
        "concepts",
        "Concepts",
        "Some units answer where one thing is, and nowhere else.",
        network.concepts.page,
        network,
        pieces,
    )


def _dense(network: Network) -> Sight | None:
    heats = () if network.fcn is None else network.fcn.heats
    heat = next((one for one in heats if one.picture is not None), None)
    if network.fcn is None or heat is None or heat.picture is None:
        return None
    return Sight(
        "dense",
        "Fully convolutional",
        "The classifier at every place of a photograph, in one pass.",
        network.fcn.page,
        network,
        (whole(heat.picture, f"Heat maps of classes on {heat.photo.name}"),),
    )


def _streams(network: Network) -> Sight | None:
    found = () if network.fcn is None else network.fcn.streams
    streams = next((one for one in found if one.streams), None)
    if network.fcn is None or streams is None:
        return None
    views = [view for view in streams.views if view.key == "image"][:1]
    views += list(streams.streams)
    last = views[-1]
    shown = views if len(views) <= 4 else [*views[:3], last]
    edges = streams.form != "classes"
    return Sight(
        "streams",
        "From coarse to fine" if edges else f"FCN {', '.join(view.name for view in streams.streams)}",
        "Skip layers add what earlier layers know: where exactly things end.",
        network.fcn.page,
        network,
        tuple(
            whole(view.picture, f"{view.name} of {streams.photo.name}", view.name)
            if view.key == "stream"
            else whole(
                view.picture, f"Photograph {streams.photo.name}, of which streams follow", "the photograph"
            )
            for view in shown
        ),
    )


def _why(network: Network) -> Sight | None:
    units = [(layer, unit) for layer in network.paged if layer.wall for unit in layer.wall.units]
    known = [one for one in units if one[1].back is not None]
    # Of the middle of the network: of a patch of few pixels it is the filter once more, of a whole photograph little.
    deep = [one for one in known if one[1].back and min(one[1].back.shape) > FINE] or known
    some = deep[len(deep) // 2] if deep else None
    if some is None or some[1].back is None:
        return None
    layer, unit = some
    back = some[1].back
    return Sight(
        "why",
        "Why it answered",
        f"What in its best patch made {layer.title}, unit {unit.unit} answer; its page tells what it is built from "
        "and what it votes for.",
        unit.page,
        network,
        tuple(
            Piece(
                back.sheet.picture,
                tile.left,
                tile.top,
                back.sheet.tile,
                f"{rule} of the best patch of {layer.title}, unit {unit.unit}",
                rule,
                shape=back.shape,
            )
            for rule, tile in back.tiles
        ),
        crisp=True,
    )


def _optimized(network: Network) -> Sight | None:
    layers = [(layer, _wanted(layer)) for layer in network.paged]
    layer, units = next(((layer, some) for layer, some in reversed(layers) if some), (None, []))
    if layer is None:
        return None
    return Sight(
        "optimized",
        "What units want to see",
        f"Pictures for which units of {layer.title} answer as much as they can, made from the weights alone.",
        f"{units[0].page}#wanted",
        network,
        tuple(
            Piece(
                unit.wanted.sheet.picture,
                unit.wanted.left,
                unit.wanted.top,
                _half(unit.wanted.sheet),
                f"Picture made by optimization for {layer.title}, unit {unit.unit}",
                f"unit {unit.unit}",
                unit.page,
            )
            for unit in units[:FEW]
            if unit.wanted is not None
        ),
    )


def _wanted(layer: Layer) -> list[Unit]:
    """Return the units that have a picture which reaches what photographs do."""
    units = layer.wall.units if layer.wall else ()
    return [unit for unit in units if unit.wanted is not None and not unit.wanted.short[0]]


def _half(sheet: Sprites) -> tuple[int, int]:
    """Return the width and height of the first of two pictures in a tile."""
    wide, high = sheet.tile
    return (wide - GAP) // 2, high


KINDS: tuple[Callable[[Network], Sight | None], ...] = (
    _filters,
    _contrast,
    _patches,
    _fields,
    _concepts,
    _dense,
    _streams,
    _why,
    _optimized,
)
"""In the lecture's order."""


def sights(manifest: Manifest) -> list[Sight]:
    """Return what can be seen, each of the first network that has it; streams rather of one that names classes."""
    found = []
    for kind in KINDS:
        networks: Sequence[Network] = manifest.networks
        if kind is _streams:
            networks = sorted(networks, key=lambda one: not _names_classes(one))
        sight = next(filter(None, map(kind, networks)), None)
        if sight is not None:
            found.append(sight)
    return found


def _names_classes(network: Network) -> bool:
    return network.fcn is not None and any(one.form == "classes" for one in network.fcn.streams)


def shelf(manifest: Manifest) -> list[tuple[Network, Shown]]:
    """Return the striking units of the site, network by network: as many of each as fit."""
    shelves = [list(network.front.shelf) for network in manifest.networks]
    counts = [0] * len(shelves)
    for at in islice(_turns([len(one) for one in shelves]), SHELF):
        counts[at] += 1
    return [
        (network, shown)
        for network, units, count in zip(manifest.networks, shelves, counts, strict=True)
        for shown in units[:count]
    ]


def _turns(lengths: Sequence[int]) -> Iterator[int]:
    """Yield the places of lists in turn, each as often as it is long."""
    for turn in range(max(lengths, default=0)):
        yield from (at for at, length in enumerate(lengths) if turn < length)


PANEL = Panel(words=(sights, shelf))
