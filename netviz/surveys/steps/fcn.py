"""A survey's share of the FCN page: a dense network's streams; a classifier's heat maps, and what they save."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from netviz.capture import unwrap
from netviz.engines import Progress
from netviz.errors import ImageError, ModelError
from netviz.fcn.dense.compare import dense_compare
from netviz.fcn.dense.measure import TOP, dense
from netviz.fcn.streams.measure import show
from netviz.fcn.streams.result import StreamsResult
from netviz.images import Photo, read_image
from netviz.models.known.hed import HED
from netviz.models.known.skips.network import SkipNetwork
from netviz.questions.reader import load_result
from netviz.results.base import Result
from netviz.results.survey import FcnRecord, Missing, OnImage, StreamsOnImage
from netviz.surveys.step import Scope, made

STREAMED = 4
"""On how many photographs streams are shown: a file of them holds every class's score at every pixel."""

DENSE = 2
"""On how many photographs there are heat maps."""

REGIONS = 40
"""How many regions are measured for the comparison; their cost is scaled to R-CNN's 2000."""

SHORT_SIDE = 360
"""To what the short side of a larger photograph is brought for streams, in pixels."""


def survey_fcn(scope: Scope, report: Progress) -> FcnRecord | Missing:
    """Make what the FCN page shows, ``fcn/IMAGE-streams.npz``, ``-dense.npz`` and ``-compare.npz``.

    Of a network with streams: those, on the first four photographs. Of any other that can be made fully
    convolutional: heat maps of the three classes with the highest scores, on the first two photographs. In the full
    form also what a sliding window and regions would have cost on the first that has one, which takes longer than all
    the rest. A result that is there already is kept, times included.
    """
    if _has_streams(scope):
        return _streams(scope, report)
    return _dense(scope, report)


def _photo(scope: Scope, place: int) -> Photo:
    return replace(read_image(scope.shown[place]), name=scope.images[place].name)


def _file(scope: Scope, place: int, what: str) -> Path:
    return scope.out / f"fcn/{scope.images[place].stem}-{what}.npz"


def _has_streams(scope: Scope) -> bool:
    """Return whether a network gives a map for every class, or several such, at its input's own size."""
    if isinstance(unwrap(scope.given.runnable()), SkipNetwork | HED):
        return True
    try:
        _stream(scope, 0)
    except (ModelError, ImageError):
        return False
    return True


def _stream(scope: Scope, place: int) -> Result:
    model, photo = scope.given, _photo(scope, place)
    side = SHORT_SIDE if min(photo.pixels.shape[:2]) > SHORT_SIDE else None
    trained = model.preprocessing.resize
    # Trained on images of one size, a skip network is worse on others.
    if isinstance(trained, int) and isinstance(unwrap(model.runnable()), SkipNetwork):
        side = trained
    return show(photo, model=model, short_side=side)


def _streams(scope: Scope, report: Progress) -> FcnRecord:
    shown = []
    images = scope.images[:STREAMED]
    for place, image in enumerate(images):
        report(f"{scope.given.name}: streams on {image.name}", place, len(images))
        file, missing = made(scope, partial(_stream, scope, place), _file(scope, place, "streams"))
        form, views = "", 0
        if file is not None:
            found = load_result(file)
            if isinstance(found, StreamsResult):
                # How many pictures a page makes of it: each stream, and what each changed.
                form, views = found.form, len(found.names) + len(found.changed)
        shown.append(StreamsOnImage(place, file, missing, form, views))
    return FcnRecord(streams=tuple(shown), dense=())


def _dense(scope: Scope, report: Progress) -> FcnRecord | Missing:
    model = scope.given
    images = scope.images[:DENSE]
    steps = len(images) + scope.full
    shown = []
    for place, image in enumerate(images):
        report(f"{model.name}: dense heat maps of {image.name}", place, steps)
        heat = made(scope, partial(_heat, scope, place), _file(scope, place, "dense"))
        shown.append(OnImage(place, *heat))
    first = next((one.image for one in shown if one.file is not None), None)
    if first is None:
        return Missing(shown[0].missing)
    compare = None
    if scope.full:
        report(f"{model.name}: sliding window and regions over {images[first].name}", steps - 1, steps)
        compared = made(scope, partial(_compared, scope, first), _file(scope, first, "compare"))
        compare = OnImage(first, *compared)
    return FcnRecord(streams=(), dense=tuple(shown), compare=compare)


def _heat(scope: Scope, place: int) -> Result:
    return dense(_photo(scope, place), model=scope.given, top=TOP)


def _compared(scope: Scope, place: int) -> Result:
    return dense_compare(_photo(scope, place), model=scope.given, regions=REGIONS)
