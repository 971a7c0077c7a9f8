"""A survey's links: what units are built from, and what they feed."""

from functools import partial

from netviz.capture import brief
from netviz.engines import Progress
from netviz.errors import NetvizError
from netviz.questions.links.network import Network
from netviz.questions.links.table import TOP, links_table
from netviz.questions.opening import open_model
from netviz.results.survey import LinksRecord, Missing, OfLayer
from netviz.surveys.step import Scope, made


def survey_links(scope: Scope, report: Progress) -> LinksRecord | Missing:
    """Find the links of each layer's units with a page, ``links/SLUG.npz``; the network runs once for all.

    Patches are not kept again: those of the run in ``patches/`` are of the same layers.
    """
    try:
        opened = open_model(scope.model, size=scope.size)
        network = Network(opened, through=0)
    except NetvizError as error:
        return Missing(str(error))
    places = {layer.name: place for place, layer in enumerate(scope.index)}
    there = {layer.name: layer for layer in opened.index}
    noted = []
    for number, (layer, units) in enumerate(scope.paged.items()):
        report(f"{scope.model.name}: links of {layer.name}", number, len(scope.units))
        make = partial(links_table, network, there[layer.name], units)
        try:
            file, missing = made(scope, make, scope.out / f"links/{scope.slugs[layer]}.npz")
        except (RuntimeError, ValueError, IndexError) as error:
            file, missing = None, f"the steps of {scope.model.name} do not run alone ({brief(error)})"
        noted.append(OfLayer(places[layer.name], file, missing))
    return LinksRecord(TOP, tuple(noted)) if noted else Missing("no layer has maps")
