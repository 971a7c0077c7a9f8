"""A survey's hypercolumns: what an early, a middle and a late layer together say of the first photographs."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from netviz.models import Layer, LayerIndex, Model
from netviz.questions.hypercolumn.measure import MOST_UNITS, hypercolumn
from netviz.questions.opening import layer_fields
from netviz.surveys.step import Noted, made
from netviz.surveys.steps.components import Shown

DEPTHS = (1 / 8, 1 / 2, 7 / 8)
"""Where in the network the stacked layers lie, as shares of its convolutions."""


_PLACED = ("exact", "upper_bound")


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
        and fields[layer].status in _PLACED
        and (layer.shape is None or max(layer.shape[1:]) > 1)
    ]
    if not placed:
        return []
    places = dict.fromkeys(min(int(depth * len(placed)), len(placed) - 1) for depth in DEPTHS)
    chosen = [placed[place] for place in places]
    while len(chosen) > 1 and sum(layer.channels or 0 for layer in chosen) > MOST_UNITS:
        chosen.pop()
    return chosen


def survey_hypercolumns(
    model: Model,
    index: LayerIndex,
    photos: Sequence[Shown],
    out: Path,
    *,
    report: Callable[[str, int], None] | None = None,
) -> Noted:
    """Make hypercolumns of some photographs and save them in ``hypercolumns/`` of the survey's folder.

    A file that is there already is kept.

    Parameters
    ----------
    model : Model
    index : LayerIndex
        Of the same network.
    photos : sequence of Shown
    out : Path
        The survey's folder.
    report : callable, optional
        Called with what is being done and how many photographs are done.

    Returns
    -------
    dict
        For ``run.json``: the layers, and of each photograph the file, or why there is none; or why there are none at
        all.
    """
    layers = choose_depths(model, index)
    if not layers:
        return {"missing": f"no convolution of {model.name} has maps with a place in the image"}
    names = [layer.name for layer in layers]
    shown: list[Noted] = []
    for place, (photo, stem, size) in enumerate(photos):
        if report is not None:
            report(f"{model.name}: hypercolumns of {photo.name}", place)
        make = partial(hypercolumn, photo, layers=names, model=model, size=size)
        shown.append({"image": place, **made(make, out, f"hypercolumns/{stem}.npz")})
    return {"layers": names, "shown": shown}
