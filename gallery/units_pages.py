"""A layer of the manifest → its units' pages, one at a time: a network has tens of thousands."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .manifest import Layer
from .pages import make_environment


@dataclass(frozen=True)
class Setting:
    """What units' pages tell besides what their layer knows.

    Attributes
    ----------
    version : str
        netviz's.
    networks : tuple of str
        What the networks of the site are called.
    name, folder : str
        The units' own network, and its folder.
    concepts : str or None
        The address of its page of concepts.
    """

    version: str
    networks: tuple[str, ...]
    name: str
    folder: str
    concepts: str | None


def unit_pages(layer: Layer, setting: Setting) -> Iterator[tuple[str, str]]:
    """Make the page of every unit of a layer that has one.

    Parameters
    ----------
    layer : Layer
    setting : Setting

    Yields
    ------
    str, str
        The page's address and its HTML; none is kept.
    """
    template = make_environment().get_template("unit.html")
    for values in _units(layer):
        address = values["unit"].page
        yield (
            address,
            template.render(
                version=setting.version,
                networks=setting.networks,
                network=setting,
                layer=layer,
                root="../" * address.count("/"),
                **values,
            ),
        )


def _units(layer: Layer) -> Iterator[dict[str, Any]]:
    """Yield what the template takes for each unit of a layer."""
    wall = layer.wall
    if wall is None:
        return
    concepts = {} if layer.concepts is None else layer.concepts.by_unit()
    shown = [(maps, {tile.unit: tile for tile in maps.sheet.tiles}) for maps in layer.maps]
    paged = {unit.unit for unit in wall.units}
    for at, unit in enumerate(wall.units):
        yield {
            "wall": wall,
            "unit": unit,
            "at": at,
            "previous": wall.units[at - 1] if at else None,
            "following": wall.units[at + 1] if at + 1 < len(wall.units) else None,
            "concept": concepts.get(unit.unit),
            "maps": [(maps, tiles[unit.unit]) for maps, tiles in shown if unit.unit in tiles],
            "near": [(other, alike, other in paged) for other, alike in unit.nearest],
        }
