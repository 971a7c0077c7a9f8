"""Manifest → pages: a pure function from what is known to the HTML of every page."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import jinja2

from . import about, explain, explain_concepts, explain_images, fields_words, units_words, wording
from .manifest import Layer, Manifest, Network
from .manifest_concepts import Concepts, Minimals
from .manifest_images import Fcn, ImagePage
from .manifest_parts import Component, Components

TEMPLATES = Path(__file__).with_name("templates")


def pages(manifest: Manifest) -> dict[str, str]:
    """Make every page of the site.

    Parameters
    ----------
    manifest : Manifest
        What the site shows.

    Returns
    -------
    dict of str to str
        The HTML by path: ``index.html``, one page per layer that has one, and each network's components, concepts
        and minimal images.
    """
    environment = make_environment()
    made = {"index.html": _render(environment, "index.html", manifest, root="")}
    made["about.html"] = _render(
        environment, "about.html", manifest, root="", recipes=about.recipes(manifest), parts_used=about.PARTS
    )
    for network in manifest.networks:
        paged = network.paged
        for place, layer in enumerate(paged):
            address = layer.page or ""
            made[address] = _render(
                environment,
                "layer.html",
                manifest,
                root="../" * address.count("/"),
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
        ):
            if part is not None and part.page is not None:
                made[part.page] = _render(
                    environment,
                    template,
                    manifest,
                    root="../" * part.page.count("/"),
                    network=network,
                    part=part,
                    titles=explain.TITLES,
                )
        for place, page in enumerate(network.images):
            made[page.page] = _render(
                environment,
                "image.html",
                manifest,
                root="../" * page.page.count("/"),
                network=network,
                part=page,
                titles=explain.TITLES,
                place=place + 1,
                previous=network.images[place - 1] if place else None,
                following=network.images[place + 1] if place + 1 < len(network.images) else None,
            )
    return made


def _render(
    environment: jinja2.Environment,
    template: str,
    manifest: Manifest,
    root: str,
    **values: Network
    | Layer
    | Component
    | Components
    | Concepts
    | Fcn
    | ImagePage
    | Minimals
    | Mapping[str, str]
    | tuple[about.Part, ...]
    | tuple[about.Recipe, ...]
    | int
    | None,
) -> str:
    """Render one template; ``root`` leads from the page to the site's folder."""
    return environment.get_template(template).render(
        manifest=manifest,
        version=manifest.version,
        networks=[network.name for network in manifest.networks],
        root=root,
        **values,
    )


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
    environment.filters.update(wording.FILTERS)
    environment.filters.update(explain.FILTERS)
    environment.filters.update(explain_concepts.FILTERS)
    environment.filters.update(units_words.FILTERS)
    environment.filters.update(fields_words.FILTERS)
    environment.filters.update(explain_images.FILTERS)
    return environment
