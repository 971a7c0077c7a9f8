"""The panels of the site."""

from collections.abc import Iterator

from ..addresses import Addresses
from . import (
    attributed,
    changed,
    components,
    concepts,
    elsewhere,
    fcn,
    fields,
    filters,
    front,
    glossary,
    hypercolumns,
    images,
    journey,
    layer,
    lecture,
    links,
    maps,
    masks,
    minimal,
    optimized,
    origin,
    overview,
    patches,
    ranges,
    search,
    sights,
    unit,
    wall,
)

PANELS = (
    overview.PANEL,
    front.PANEL,
    sights.PANEL,
    origin.PANEL,
    images.PANEL,
    journey.PANEL,
    layer.PANEL,
    filters.PANEL,
    maps.PANEL,
    patches.PANEL,
    fields.PANEL,
    links.PANEL,
    optimized.PANEL,
    wall.PANEL,
    ranges.PANEL,
    unit.PANEL,
    elsewhere.PANEL,
    components.PANEL,
    concepts.PANEL,
    masks.PANEL,
    minimal.PANEL,
    hypercolumns.PANEL,
    attributed.PANEL,
    changed.PANEL,
    fcn.PANEL,
    glossary.PANEL,
    lecture.PANEL,
    search.PANEL,
)

FOLDERS = tuple(folder for panel in PANELS for folder in panel.folders)
"""Names in a network's folder that no layer's page may have."""


def files(addresses: Addresses) -> Iterator[str]:
    """Yield the address of every file of one network."""
    for panel in PANELS:
        yield from panel.files(addresses)
