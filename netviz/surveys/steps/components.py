"""A survey's components: two convolutions of a network, followed through their stages on two photographs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from netviz.capture import brief, network_device, unwrap
from netviz.capture.tape import Tape, record
from netviz.engines import Progress
from netviz.images import Photo, prepare
from netviz.models import Layer, LayerIndex, Model
from netviz.questions.contrast.measure import contrast
from netviz.questions.opening import input_preprocessing, layer_slugs
from netviz.questions.sift.measure import sift
from netviz.questions.stages.chain import Follower, key
from netviz.questions.stages.measure import stages
from netviz.results.base import Result
from netviz.results.survey import ComponentOnImage, ComponentRecord, ComponentsRecord, Verb, Which
from netviz.surveys.step import Scope, made
from netviz.surveys.steps.maps import DRAWN

LEAST = 14
"""Fewest positions along a side of the deeper convolution's maps: fewer are hard to recognise."""


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
    def layers(self) -> list[tuple[Which, Layer]]:
        """Those that there are, with what they are: ``"first"`` or ``"deeper"``."""
        both: tuple[tuple[Which, Layer | None], ...] = (("first", self.first), ("deeper", self.deeper))
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
    prepared = prepare(photo, input_preprocessing(model.preprocessing, index, size))
    try:
        tape = record(network, prepared.tensor.to(network_device(network)), keep=False)
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


def survey_components(scope: Scope, report: Progress) -> ComponentsRecord:
    """Save stages, contrast and SIFT of two convolutions on the first photographs in ``components/SLUG/``."""
    model, photos = scope.model, scope.photos()
    pair = choose_pair(model, scope.index, photos[0].photo, photos[0].size)
    names = layer_slugs([*scope.chosen, *(one for _, one in pair.layers if one not in scope.slugs)])
    places = {layer: place for place, layer in enumerate(scope.index)}
    records: list[ComponentRecord] = []
    for which, layer in pair.layers:
        units = list(scope.drawn.get(layer, range(min(DRAWN, layer.channels or 0))))
        shown: list[ComponentOnImage] = []
        for photo, place, stem, size in photos:
            done = len(records) * len(photos) + place
            report(f"{model.name}: {layer.alias or layer.name} on {photo.name}", done, 2 * len(photos))
            verbs: tuple[tuple[Verb, Callable[..., Result]], ...] = (
                ("stages", stages),
                ("contrast", partial(contrast, units=units)),
                ("sift", sift),
            )
            for verb, make in verbs:
                file, missing = made(
                    scope,
                    partial(make, photo, layer=layer.name, model=model, size=size),
                    scope.out / f"components/{names[layer]}/{stem}-{verb}.npz",
                )
                shown.append(ComponentOnImage(place, file, missing, verb=verb))
        records.append(ComponentRecord(places[layer], which, tuple(shown)))
    return ComponentsRecord(tuple(records), pair.missing)
