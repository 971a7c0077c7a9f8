"""What in a survey's patches made the shown units answer, by a deconvnet and by guided backpropagation."""

import shutil

from netviz.capture import brief
from netviz.engines import Progress
from netviz.errors import NetvizError, OutputError
from netviz.questions.patches.back import REMEDY, write_back
from netviz.questions.patches.run import BACK, open_run
from netviz.questions.runs import open_network
from netviz.results.survey import ComponentsRecord, DeconvRecord, Missing
from netviz.surveys.step import Scope
from netviz.surveys.steps.concepts import choose_layers

PATCHES = 1
"""How many of a unit's patches, as many as its page shows: a backward pass for each and each rule takes about two
forward passes."""

FIRST = 4
"""Of how many of a layer's shown units, but in the full form: of a large network each pass takes long."""

SIDE = 64
"""Pixels of a tile at most."""


def survey_deconv(scope: Scope, report: Progress) -> DeconvRecord | Missing:
    """Follow the best patches of shown units back, ``patches/back/SLUG.npz``, as `netviz.patches` does.

    Of many layers that is done for those that have concepts where nobody gave labels; in the full form for all.
    Files are kept if all are there.
    """
    patches = scope.made["patches"]
    if isinstance(patches, Missing):
        return patches
    units = deconv_units(scope)
    if not units:
        return Missing("no layer has maps of several positions")
    run, top = open_run(patches.folder), PATCHES
    folder = patches.folder / BACK
    files = [folder / run.path(one).name for one in run.layers if one.name in units]
    places = {layer.name: place for place, layer in enumerate(scope.index)}
    record = DeconvRecord(folder, tuple(places[name] for name in units), top)
    if all(file.is_file() for file in files):
        return record
    try:
        opened = open_network(scope.model, scope.only, fit="crop", size=scope.size)
        write_back(patches.folder, opened, scope.device, units=units, top=top, side=SIDE, progress=report)
    except OutputError:
        raise
    except NetvizError as error:
        shutil.rmtree(folder, ignore_errors=True)
        return Missing(str(error).removesuffix(REMEDY))
    except (RuntimeError, IndexError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        return Missing(f"{scope.model.name} gives no gradient ({brief(error)})")
    return record


def deconv_units(scope: Scope) -> dict[str, tuple[int, ...]]:
    """Return the shown units, or the first of them, of each layer whose patches are followed back, by its name."""
    components = scope.made["components"]
    also = (
        [scope.index[one.layer].name for one in components.layers]
        if isinstance(components, ComponentsRecord)
        else []
    )
    chosen = choose_layers(scope.chosen, labelled=scope.full, also=also)
    most = None if scope.full else FIRST
    return {layer.name: scope.units[layer][:most] for layer in chosen if layer in scope.units}
