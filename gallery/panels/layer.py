"""A layer: what its page shows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netviz.questions.filters.result import FiltersResult
from netviz.questions.maps.result import MapsResult
from netviz.results.survey import FieldRecord, layer_title

from ..addresses import Addresses
from ..drawing import Write
from ..loading import load_kind
from ..manifest import Photo
from ..panel import Panel
from ..words import size
from .concepts import LayerConcepts
from .filters import Filters, draw_filters
from .images import Spot, draw_spot, place_address, seen_picture
from .maps import Maps, draw_maps
from .patches import Memory, Patches, draw_patches
from .ranges import Offers, Shown, offer_places, tell_parts, value_ends
from .wall import Wall, draw_wall


@dataclass(frozen=True)
class Layer:
    """One layer; ``page`` is its address, or None where it is only listed."""

    name: str
    alias: str
    kind: str
    channels: int | None
    shape: tuple[int, ...]
    parameters: int
    calls: int
    page: str | None
    filters: Filters | None
    maps: tuple[Maps, ...]
    field: FieldRecord | None
    patches: Patches | None
    concepts: LayerConcepts | None
    wall: Wall | None

    @property
    def title(self) -> str:
        """What pages call it."""
        return layer_title(self.name, self.alias, self.kind)


def files(addresses: Addresses) -> Iterator[str]:
    """Yield the address of every file of the panel."""
    for place in addresses.paged:
        yield addresses.page(place)


def draw_layer(
    addresses: Addresses,
    place: int,
    photos: Sequence[Photo],
    detects: LayerConcepts | None,
    memory: Memory,
    write: Write,
) -> tuple[Layer, tuple[Spot, ...]]:
    """Draw one layer's pictures; one without a page is only listed.

    Returns its share of the manifest, and if it has maps what the page of each photograph shows of it: drawn here,
    where they are read.

    Parameters
    ----------
    detects : LayerConcepts or None
        What its units detect.
    """
    run = addresses.run
    layer = run.layers[place]
    page: str | None = None
    filters: Filters | None = None
    maps: list[Maps] = []
    offered: list[dict[int, Offers]] = []
    spots: list[Spot] = []
    patches = wall = None
    if layer.slug is not None:
        page = addresses.page(place)
        weights: FiltersResult | None = None
        if layer.filters is not None:
            weights = load_kind(layer.filters, FiltersResult)
            filters = draw_filters(weights, addresses, place, write)
        patches = draw_patches(addresses, place, memory, write)
        largest = None if patches is None else patches.result.max
        ends = value_ends(None if patches is None else patches.result)
        if layer.maps is not None:
            for number, (image, photo) in enumerate(zip(run.images, photos, strict=True)):
                found = load_kind(layer.maps / f"{image.stem}.npz", MapsResult)
                maps.append(draw_maps(found, addresses, place, number, photo, write))
                spots.append(draw_spot(found, addresses, place, largest))
                offered.append(offer_places(found, ends, number))
        # Where there are no maps, all photographs are taken to be of the size that the layer's shape is for.
        shape = layer.shape or ()
        whole = (shape[1], shape[2]) if len(shape) == 3 else (0, 0)
        shapes = [one.shape for one in maps] or [whole] * len(photos)
        seen = [
            Shown(photo.name, seen_picture(addresses, number, photo), shape)
            for number, (photo, shape) in enumerate(zip(photos, shapes, strict=True))
        ]
        pages = [place_address(addresses, number, place) for number in range(len(offered))]
        parts = {
            unit: tell_parts(offered, unit, ends, seen, layer.receptive_field, pages)
            for unit in addresses.units[place]
        }
        wall = draw_wall(addresses, place, photos, weights, patches, shapes, parts, write)
    drawn = Layer(
        name=layer.name,
        alias=layer.alias,
        kind=", ".join(filter(None, (layer.kind, layer.arrangement))),
        channels=layer.channels,
        shape=layer.shape or (),
        parameters=layer.parameters,
        calls=layer.calls,
        page=page,
        filters=filters,
        maps=tuple(maps),
        field=layer.receptive_field,
        patches=None if patches is None else patches.patches,
        concepts=detects,
        wall=wall,
    )
    return drawn, tuple(spots)


def find_text(layer: Layer) -> str:
    """Return what a search for a layer looks at."""
    return " ".join((layer.title, layer.name, layer.kind, size(layer.shape)))


def calls_text(calls: int) -> str:
    """Say how often a layer runs."""
    return "once per image" if calls == 1 else f"{calls:,} times per image"


PANEL = Panel(
    files=files,
    words=(find_text, calls_text),
)
