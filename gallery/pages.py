"""Manifest → pages: pure functions from what is known to the HTML of every page."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from .panels import glossary, lecture, search
from .panels.about import PARTS, recipes
from .panels.changed import Twin
from .panels.components import TITLES
from .panels.elsewhere import Elsewhere
from .panels.layer import Layer
from .panels.overview import Manifest
from .panels.table import PANELS
from .terms import PAGE as GLOSSARY
from .words import WORDS

TEMPLATES = Path(__file__).with_name("templates")


def pages(manifest: Manifest) -> dict[str, str]:
    """Make every page of the site, save those of units.

    Parameters
    ----------
    manifest : Manifest
        What the site shows.

    Returns
    -------
    dict of str to str
        The HTML by path: the pages of the site itself, one page per layer that has one, each network's components,
        concepts, minimal images, FCN page and what changed, and one page per photograph.
    """
    made: dict[str, str] = {}

    def add(address: str, template: str, **values: Any) -> None:
        """Render one template; ``root`` leads from the page to the site's folder."""
        made[address] = (
            make_environment()
            .get_template(template)
            .render(
                manifest=manifest,
                version=manifest.version,
                networks=[network.name for network in manifest.networks],
                root="../" * address.count("/"),
                titles=TITLES,
                **values,
            )
        )

    add("index.html", "index.html")
    add("notes.html", "notes.html")
    add("about.html", "about.html", recipes=recipes(manifest), parts_used=PARTS)
    add(search.PAGE, "search.html", index=search.INDEX)
    add(lecture.PAGE, "lecture.html", slides=lecture.slides(manifest))
    add(GLOSSARY, "glossary.html", entries=glossary.entries(manifest))
    for network in manifest.networks:
        paged = network.paged
        for place, layer in enumerate(paged):
            add(
                layer.page or "",
                "layer.html",
                network=network,
                layer=layer,
                place=place + 1,
                previous=paged[place - 1] if place else None,
                following=paged[place + 1] if place + 1 < len(paged) else None,
                component=network.component(layer),
            )
        for part, template in (
            (network.components, "components.html"),
            (network.concepts, "concepts.html"),
            (network.minimal, "minimal.html"),
            (network.fcn, "fcn.html"),
            (network.changed, "changed.html"),
        ):
            if part is not None:
                add(part.page, template, network=network, part=part)
        for place, page in enumerate(network.images):
            add(
                page.page,
                "image.html",
                network=network,
                part=page,
                place=place + 1,
                previous=network.images[place - 1] if place else None,
                following=network.images[place + 1] if place + 1 < len(network.images) else None,
            )
    return made


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
    twins : mapping of str to mapping of int to tuple of Twin
        By the address of a layer's page and the number of a unit, the same unit in other networks of the site.
    elsewhere : mapping of str to mapping of int to tuple of Elsewhere
        In the same way, the nearest units of the other networks.
    """

    version: str
    networks: tuple[str, ...]
    name: str
    folder: str
    concepts: str | None
    twins: Mapping[str, Mapping[int, tuple[Twin, ...]]] = field(default_factory=dict)
    elsewhere: Mapping[str, Mapping[int, tuple[Elsewhere, ...]]] = field(default_factory=dict)


def unit_pages(layer: Layer, setting: Setting) -> Iterator[tuple[str, str]]:
    """Make the page of every unit of a layer that has one, one at a time: a network has tens of thousands.

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
    twins = setting.twins.get(layer.page or "", {})
    elsewhere = setting.elsewhere.get(layer.page or "", {})
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
                twins=twins.get(values["unit"].unit, ()),
                elsewhere=elsewhere.get(values["unit"].unit, ()),
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
    for at, unit in enumerate(wall.units):
        yield {
            "wall": wall,
            "unit": unit,
            "at": at,
            "previous": wall.units[at - 1] if at else None,
            "following": wall.units[at + 1] if at + 1 < len(wall.units) else None,
            "concept": concepts.get(unit.unit),
            "maps": [(maps, tiles[unit.unit]) for maps, tiles in shown if unit.unit in tiles],
        }


@cache
def make_environment() -> jinja2.Environment:
    """Make the templates' environment: everything escaped, nothing undefined."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for words in (WORDS, *(panel.words for panel in PANELS)):
        environment.filters.update({word.__name__: word for word in words})
    return environment
