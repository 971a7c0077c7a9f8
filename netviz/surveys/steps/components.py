"""A survey's components: two convolutions of a network, followed through their stages on two photographs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from netviz.capture import brief, unwrap
from netviz.capture.tape import Tape, record
from netviz.images import Photo, prepare
from netviz.models import Layer, LayerIndex, Model
from netviz.questions.contrast.measure import contrast
from netviz.questions.opening import input_preprocessing, layer_slugs
from netviz.questions.sift.measure import sift
from netviz.questions.stages.chain import Follower, key
from netviz.questions.stages.measure import stages
from netviz.results.base import Result
from netviz.surveys.step import Noted, made

PHOTOS = 2
"""On how many photographs components are shown: the first ones."""


LEAST = 14
"""Fewest positions along a side of the deeper convolution's maps: fewer are hard to recognise."""


DRAWN = 12
"""How many units are drawn before and after contrast normalization."""


class Shown(NamedTuple):
    """A photograph, what its files are called, and the input height and width to ask for, if any."""

    photo: Photo
    stem: str
    size: tuple[int, int] | None


@dataclass(frozen=True)
class Pair:
    """The two convolutions.

    Attributes
    ----------
    first, deeper : Layer or None
        The first convolution that sees the image, and one of about the middle of the network.
    missing : tuple of str
        Why there is none of them.
    """

    first: Layer | None
    deeper: Layer | None
    missing: tuple[str, ...]

    @property
    def layers(self) -> list[tuple[str, Layer]]:
        """Those that there are, with what they are: ``"first"`` or ``"deeper"``."""
        both = (("first", self.first), ("deeper", self.deeper))
        return [(which, layer) for which, layer in both if layer is not None]


def choose_pair(model: Model, index: LayerIndex, photo: Photo, size: tuple[int, int] | None) -> Pair:
    """Choose the convolutions whose components a gallery shows.

    The deeper one has maps of at least 14×14 positions on this photograph, and a stage after it. Of those in the
    middle third of the network's convolutions it is one with the most kinds of stage, of these the nearest to the
    middle; where none lies there, it is the nearest.

    Parameters
    ----------
    model : Model
    index : LayerIndex
        Of the same network.
    photo : Photo
        The network runs on it once.
    size : (int, int), optional
        Input height and width in pixels, if not the network's own.
    """
    network = unwrap(model.runnable())
    prepared = prepare(photo.pixels, input_preprocessing(model.preprocessing, index, size))
    device = next((value.device for value in network.parameters()), prepared.tensor.device)
    try:
        tape = record(network, prepared.tensor.to(device), keep=False)
    except (RuntimeError, ValueError, IndexError) as error:
        return Pair(None, None, (f"{model.name} cannot be followed step by step: {brief(error)}",))
    convolutions = [
        layer
        for layer in index
        if layer.kernel is not None and layer.spatial and tape.layers.get(key(layer)) is not None
    ]
    first = next((layer for layer in convolutions if layer.kernel and layer.kernel.sees_image), None)
    deeper = _deeper(convolutions, first, tape, Follower(tape, index))
    missing = []
    if first is None:
        missing.append("no convolution reads the image itself")
    if deeper is None:
        missing.append(f"no deeper convolution has maps of {LEAST}×{LEAST} positions and a stage after it")
    return Pair(first, deeper, tuple(missing))


def _deeper(
    convolutions: Sequence[Layer], first: Layer | None, tape: Tape, follower: Follower
) -> Layer | None:
    count = len(convolutions)
    ranks = []
    for place, layer in enumerate(convolutions):
        shape = tape.shapes[tape.layers[key(layer)]]
        sides = [side for axis, side in enumerate(shape) if axis not in (0, layer.channel_axis)]
        chain = follower.follow(layer) if layer is not first and min(sides) >= LEAST else None
        if chain is None or not chain.stages:
            continue
        # Twice the distance from the middle: whole numbers.
        away = abs(2 * place + 1 - count)
        kinds = len({stage.kind for stage in chain.stages}) if 3 * away <= count else 0
        ranks.append((-kinds, away, place))
    return convolutions[min(ranks)[2]] if ranks else None


def survey_components(
    model: Model,
    index: LayerIndex,
    photos: Sequence[Shown],
    slugs: Mapping[Layer, str],
    units: Mapping[Layer, Sequence[int]],
    out: Path,
    *,
    report: Callable[[str, int], None] | None = None,
) -> Noted:
    """Make the results of a gallery's page of components and save them.

    Parameters
    ----------
    model : Model
    index : LayerIndex
        Of the same network.
    photos : sequence of Shown
        At least one.
    slugs : mapping of Layer to str
        What the folders of the surveyed layers are called.
    units : mapping of Layer to sequence of int
        Which units are drawn before and after contrast normalization; the first 12 of a layer that is not there.
    out : Path
        The survey's folder.
    report : callable, optional
        Called with what is being done and how many steps are done: one for each layer and photograph.

    Returns
    -------
    dict
        For ``run.json``. ``layers``: for each its name, which of the two it is, and what there is on each photograph:
        the file, or why there is none; ``missing``: why there is no such layer.
    """
    pair = choose_pair(model, index, photos[0].photo, photos[0].size)
    names = layer_slugs([*slugs, *(layer for _, layer in pair.layers if layer not in slugs)])
    layers: list[Noted] = []
    for which, layer in pair.layers:
        chosen = list(units.get(layer, range(min(DRAWN, layer.channels))))
        shown: list[Noted] = []
        for place, (photo, stem, size) in enumerate(photos):
            if report is not None:
                done = len(layers) * len(photos) + place
                report(f"{model.name}: {layer.alias or layer.name} on {photo.name}", done)
            makers: dict[str, Callable[[], Result]] = {
                "stages": partial(stages, photo, layer=layer.name, model=model, size=size),
                "contrast": partial(contrast, photo, layer=layer.name, model=model, units=chosen, size=size),
                "sift": partial(sift, photo, layer=layer.name, model=model, size=size),
            }
            entry: Noted = {"image": place}
            for verb, make in makers.items():
                entry[verb] = made(make, out, f"components/{names[layer]}/{stem}-{verb}.npz")
            shown.append(entry)
        layers.append({"layer": layer.name, "which": which, "shown": shown})
    return {"layers": layers, "missing": list(pair.missing)}
