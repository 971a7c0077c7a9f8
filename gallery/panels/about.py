"""The page about the site: how each kind of picture is made, after whom, and whose parts it uses."""

from collections.abc import Callable
from dataclasses import dataclass

from ..panel import Recipe
from . import (
    attributed,
    changed,
    components,
    concepts,
    elsewhere,
    fcn,
    fields,
    filters,
    hypercolumns,
    maps,
    minimal,
    optimized,
    patches,
    ranges,
    wall,
)
from .overview import Manifest, Network


@dataclass(frozen=True)
class Part:
    """Something in the pages or pictures that others made, and its licence."""

    name: str
    use: str
    licence: str


PARTS = (
    Part(
        "Photographs of scikit-image",
        "what a network is shown where no other images are named",
        "public domain, CC0 or by permission of their authors, as listed in scikit-image's data folder",
    ),
    Part("magma", "colours of values that are not signed", "CC0 (van der Walt and Smith, with matplotlib)"),
    Part("RdBu of ColorBrewer", "colours of signed values", "Apache License 2.0 (Brewer, Harrower)"),
    Part(
        "Okabe and Ito's palette", "the first seven colours of classes", "free to use (Okabe and Ito, 2008)"
    ),
    Part("DejaVu Sans", "letters inside the pictures", "free licence of the DejaVu fonts (Bitstream Vera)"),
)
"""The pages load nothing else: their styles and scripts are netviz's own."""

_RECIPES: tuple[tuple[Recipe, Callable[[Network], bool]], ...] = (
    (filters.RECIPE, lambda network: any(layer.filters is not None for layer in network.layers)),
    (maps.RECIPE, lambda network: any(layer.maps for layer in network.layers)),
    (fields.RECIPE, lambda network: any(layer.field is not None for layer in network.layers)),
    (patches.RECIPE, lambda network: any(layer.patches is not None for layer in network.layers)),
    (
        optimized.RECIPE,
        lambda network: any(
            layer.wall and any(unit.wanted for unit in layer.wall.units) for layer in network.layers
        ),
    ),
    (
        ranges.RECIPE,
        lambda network: any(
            layer.wall and any(unit.parts for unit in layer.wall.units) for layer in network.layers
        ),
    ),
    (wall.RECIPE, lambda network: any(layer.wall and layer.wall.plane for layer in network.layers)),
    (elsewhere.RECIPE, lambda network: network.elsewhere),
    (concepts.RECIPE, lambda network: network.concepts is not None),
    (components.RECIPE, lambda network: network.components is not None),
    (minimal.RECIPE, lambda network: network.minimal is not None),
    (hypercolumns.RECIPE, lambda network: any(page.hypercolumn is not None for page in network.images)),
    (attributed.RECIPE, lambda network: any(page.attributed is not None for page in network.images)),
    (fcn.STREAMS, lambda network: network.fcn is not None and bool(network.fcn.streams)),
    (fcn.HEATS, lambda network: network.fcn is not None and bool(network.fcn.heats)),
    (changed.RECIPE, lambda network: network.changed is not None),
    (fcn.COMPARISON, lambda network: network.fcn is not None and network.fcn.comparison is not None),
)
"""Each recipe, and whether a network has what it makes."""


def recipes(manifest: Manifest) -> tuple[Recipe, ...]:
    """Return how each kind of picture is made that the site has."""
    return tuple(recipe for recipe, has in _RECIPES if any(map(has, manifest.networks)))
