"""Manifest → the units' pages, one at a time: a network has tens of thousands."""

from collections.abc import Iterator
from typing import Any

from .manifest import Layer, Manifest, Network
from .pages import make_environment


def unit_pages(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Make the page of every unit that has one.

    Parameters
    ----------
    manifest : Manifest
        What the site shows.

    Yields
    ------
    str, str
        The page's address and its HTML; none is kept.
    """
    template = make_environment().get_template("unit.html")
    for network in manifest.networks:
        for layer in network.paged:
            for values in _units(network, layer):
                root = "../" * values["unit"].page.count("/")
                yield values["unit"].page, template.render(manifest=manifest, root=root, **values)


def _units(network: Network, layer: Layer) -> Iterator[dict[str, Any]]:
    """Yield what the template takes for each unit of a layer."""
    wall = layer.wall
    if wall is None:
        return
    concepts = {} if layer.concepts is None else layer.concepts.by_unit()
    shown = [(maps, {tile.unit: tile for tile in maps.sheet.tiles}) for maps in layer.maps]
    paged = {unit.unit for unit in wall.units}
    for at, unit in enumerate(wall.units):
        yield {
            "network": network,
            "layer": layer,
            "wall": wall,
            "unit": unit,
            "at": at,
            "previous": wall.units[at - 1] if at else None,
            "following": wall.units[at + 1] if at + 1 < len(wall.units) else None,
            "concept": concepts.get(unit.unit),
            "maps": [(maps, tiles[unit.unit]) for maps, tiles in shown if unit.unit in tiles],
            "near": [(other, alike, other in paged) for other, alike in unit.nearest],
        }
