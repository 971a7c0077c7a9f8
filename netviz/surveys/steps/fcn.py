"""A survey's share of the FCN page: a dense network's streams; a classifier's heat maps, and what they save."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from netviz.capture import unwrap
from netviz.errors import ImageError, ModelError, ResultError
from netviz.fcn.dense.compare import dense_compare
from netviz.fcn.dense.measure import TOP, dense
from netviz.fcn.streams.measure import show
from netviz.fcn.streams.result import StreamsResult
from netviz.images import Photo, read_image
from netviz.models import Model, ModelSpec, load
from netviz.models.known.hed import HED
from netviz.models.known.skips.network import SkipNetwork
from netviz.questions.reader import load_result
from netviz.results.base import Result
from netviz.results.files import write_bytes
from netviz.surveys.step import Noted, Report, made

STREAMED = 4
"""On how many photographs streams are shown: a file of them holds every class's score at every pixel."""


DENSE = 2
"""On how many photographs there are heat maps."""


REGIONS = 40
"""How many regions are measured for the comparison; their cost is scaled to R-CNN's 2000."""


SHORT_SIDE = 360
"""To what the short side of a larger photograph is brought for streams, in pixels."""


def survey_fcn(
    run: str | Path,
    model: ModelSpec,
    *,
    photos: int | None = None,
    compare: bool = True,
    trust: bool = False,
    weights: str | Path = "default",
    seed: int = 0,
    progress: Report | None = None,
) -> Path:
    """Add to a survey what its FCN page shows, on the survey's own first photographs.

    Of a network with streams: those, on four photographs. Of any other that can be made fully convolutional: heat
    maps of the three classes with the highest scores, on two photographs, and on the first of them what a sliding
    window and regions would have cost. A result that is there already is kept, times included. What cannot be made
    is left out, and ``run.json`` says why.

    Parameters
    ----------
    run : str or Path
        A folder that `netviz.survey` wrote.
    model : str, Path, nn.Module or Model
        The same network, as for `netviz.load`.
    photos : int, optional
        On how many photographs instead.
    compare : bool
        Whether to measure the sliding window and the regions, which takes longer than all the rest.
    trust, weights, seed
        As for `netviz.load`.
    progress : callable, optional
        Called with what is being done, how many steps are done, and how many there are.

    Returns
    -------
    Path
        The folder, with ``fcn/`` and an entry ``fcn`` in ``run.json``.

    Raises
    ------
    NetvizError
        If MODEL cannot be opened, or the folder is no survey or cannot be written.
    """
    out = Path(run)
    facts = _facts(out)
    opened = load(model, trust=trust, weights=weights, seed=seed)
    images = [_Image(place, one) for place, one in enumerate(facts["images"])]
    report = progress or (lambda *_: None)
    if images and has_streams(opened, images[0]):
        chosen = images[: STREAMED if photos is None else photos]
        noted: Noted = {"streams": _streams(opened, chosen, out, report)}
    else:
        chosen = images[: DENSE if photos is None else photos]
        noted = _dense(opened, chosen, out, report, compare)
    facts["fcn"] = noted
    write_bytes(out / "run.json", json.dumps(facts, indent=1, ensure_ascii=False).encode())
    return out


class _Image(NamedTuple):
    """A photograph of the survey: its place among them and its entry."""

    place: int
    entry: Noted

    @property
    def stem(self) -> str:
        return Path(str(self.entry["file"])).stem

    def read(self) -> Photo:
        return replace(read_image(self.entry["source"]), name=str(self.entry["name"]))


def has_streams(model: Model, image: _Image) -> bool:
    """Return whether a network gives a map for every class, or several such, at its input's own size."""
    if isinstance(unwrap(model.runnable()), SkipNetwork | HED):
        return True
    try:
        _stream(model, image)
    except (ModelError, ImageError):
        return False
    return True


def _stream(model: Model, image: _Image) -> Result:
    photo = image.read()
    side = SHORT_SIDE if min(photo.pixels.shape[:2]) > SHORT_SIDE else None
    trained = model.preprocessing.resize
    # Trained on images of one size, a skip network is worse on others.
    if isinstance(trained, int) and isinstance(unwrap(model.runnable()), SkipNetwork):
        side = trained
    return show(photo, model=model, short_side=side)


def _streams(model: Model, images: Sequence[_Image], out: Path, report: Report) -> Noted:
    shown = []
    for done, image in enumerate(images):
        report(f"{model.name}: streams on {image.entry['name']}", done, len(images))
        noted = made(partial(_stream, model, image), out, f"fcn/{image.stem}-streams.npz")
        found = load_result(out / noted["file"]) if "file" in noted else None
        if isinstance(found, StreamsResult):
            # How many pictures a page makes of it: each stream, and what each changed.
            noted.update(form=found.form, views=len(found.names) + len(found.changed))
        shown.append({"image": image.place, **noted})
    return {"shown": shown}


def _dense(model: Model, images: Sequence[_Image], out: Path, report: Report, compare: bool) -> Noted:
    shown: list[Noted] = []
    steps = len(images) + compare
    for done, image in enumerate(images):
        report(f"{model.name}: dense heat maps of {image.entry['name']}", done, steps)
        heat = made(partial(_heat, model, image), out, f"fcn/{image.stem}-dense.npz")
        shown.append({"image": image.place, **heat})
    noted: Noted = {"dense": {"shown": shown}}
    first = next((one for one in shown if "file" in one), None)
    if first is None:
        reasons = [one["missing"] for one in shown]
        return {"dense": {"missing": reasons[0] if reasons else "the survey has no photograph"}}
    if compare:
        image = images[shown.index(first)]
        report(f"{model.name}: sliding window and regions over {image.entry['name']}", steps - 1, steps)
        compared = made(partial(_compared, model, image), out, f"fcn/{image.stem}-compare.npz")
        noted["compare"] = {"image": image.place, **compared}
    return noted


def _heat(model: Model, image: _Image) -> Result:
    return dense(image.read(), model=model, top=TOP)


def _compared(model: Model, image: _Image) -> Result:
    return dense_compare(image.read(), model=model, regions=REGIONS)


def _facts(out: Path) -> Noted:
    path = out / "run.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["kind"] != "survey" or not all(
            {"name", "source", "file"} <= set(one) for one in facts["images"]
        ):
            raise ValueError("no survey")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultError(f"{path} is no survey; run netviz gallery again") from error
    found: Noted = facts
    return found
