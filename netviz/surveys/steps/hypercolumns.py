"""A survey's hypercolumns: what an early, a middle and a late layer together say of the first photographs."""

from functools import partial

from netviz.engines import Progress
from netviz.models import Layer, LayerIndex, Model
from netviz.questions.hypercolumn.measure import MOST_UNITS, hypercolumn
from netviz.questions.opening import layer_fields
from netviz.results.survey import HypercolumnsRecord, Missing, OnImage
from netviz.surveys.step import Scope, made

DEPTHS = (1 / 8, 1 / 2, 7 / 8)
"""Where in the network the stacked layers lie, as shares of its convolutions."""


def choose_depths(model: Model, index: LayerIndex) -> list[Layer]:
    """Choose the layers that are stacked: convolutions at about 1/8, 1/2 and 7/8 of the network's depth.

    Only convolutions whose maps have a place in the image and more than one position count; where they have too many
    units together, the late ones are left out.

    Parameters
    ----------
    model : Model
    index : LayerIndex
        Of the same network.

    Returns
    -------
    list of Layer
        In running order, none twice; empty where there is no such convolution.
    """
    fields = layer_fields(model, index)
    placed = [
        layer
        for layer in index
        if layer.kernel is not None
        and layer.spatial
        and layer in fields
        and fields[layer].place is not None
        and (layer.shape is None or max(layer.shape[1:]) > 1)
    ]
    if not placed:
        return []
    places = dict.fromkeys(min(int(depth * len(placed)), len(placed) - 1) for depth in DEPTHS)
    chosen = [placed[place] for place in places]
    while len(chosen) > 1 and sum(layer.channels or 0 for layer in chosen) > MOST_UNITS:
        chosen.pop()
    return chosen


def survey_hypercolumns(scope: Scope, report: Progress) -> HypercolumnsRecord | Missing:
    """Make hypercolumns of the first photographs, ``hypercolumns/IMAGE.npz``."""
    model = scope.model
    names = tuple(layer.name for layer in choose_depths(model, scope.index))
    if not names:
        return Missing(f"no convolution of {model.name} has maps with a place in the image")
    shown, photos = [], scope.photos()
    for photo, place, stem, size in photos:
        report(f"{model.name}: hypercolumns of {photo.name}", place, len(photos))
        make = partial(hypercolumn, photo, layers=names, model=model, size=size)
        shown.append(OnImage(place, *made(scope, make, scope.out / f"hypercolumns/{stem}.npz")))
    return HypercolumnsRecord(names, tuple(shown))
