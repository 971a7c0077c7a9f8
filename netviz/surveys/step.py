"""What a survey is of, and what one of its steps is: a name, what it costs, and a function that makes a record."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netviz.engines import Progress
from netviz.errors import ModelError, NetvizError, OutputError
from netviz.images import Photo, Prepared, prepare, read_image
from netviz.models import Layer, LayerIndex, Model, Preprocessing
from netviz.questions.opening import layer_slugs
from netviz.results.base import Result
from netviz.results.survey import OFFERED, ConceptsRecord, Form, ImageRecord, Missing, OnImage

PAIR = 2
"""On how many photographs components, minimal images and hypercolumns are shown: the first ones."""


class Shown(NamedTuple):
    """A photograph, its place, what its files are called, and the input height and width to ask for, if any."""

    photo: Photo
    image: int
    stem: str
    size: tuple[int, int] | None


@dataclass(frozen=True)
class Scope:
    """What a survey is of, and what its finished steps have noted.

    Attributes
    ----------
    given : Model
        The network as it was opened.
    model : Model
        The same, with the size to which the survey brings images.
    index : LayerIndex
        Its layers.
    chosen : sequence of Layer
        The surveyed ones.
    only : sequence of str
        By which names they were chosen.
    typed : tuple of str
        What was asked for as images; nothing for those that netviz takes by default.
    sources, shown : sequence of str or Path
        All images, and the first of them, on which the network is shown.
    preprocessing : Preprocessing
        How an image is brought to the network.
    size : (int, int) or None
        Input height and width in pixels, if asked for.
    own_size : bool
        Whether each image is seen at a size of its own.
    form : str
        ``"quick"``, ``"standard"`` or ``"full"``.
    data : str, Path or None
        The folder of labelled images.
    device : str
        Where the network is.
    out : Path
        The survey's folder.
    optimize : float or None
        How many seconds pictures of what units want to see may take; None for any.
    arrays : mapping of Path to Photo
        Images given as arrays, and the files of the survey in which they are kept.
    made : dict of str to record
        What each finished step has noted, by its name.
    """

    given: Model
    model: Model
    index: LayerIndex
    chosen: Sequence[Layer]
    only: Sequence[str]
    typed: tuple[str, ...]
    sources: Sequence[str | Path]
    shown: Sequence[str | Path]
    preprocessing: Preprocessing
    size: tuple[int, int] | None
    own_size: bool
    form: Form
    data: str | Path | None
    device: str
    out: Path
    optimize: float | None = 0.0
    arrays: Mapping[Path, Photo] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)
    _pixels: dict[Path, NDArray[np.uint8]] = field(default_factory=dict, init=False, repr=False)

    @property
    def full(self) -> bool:
        """Whether this is the full form."""
        return self.form == "full"

    @cached_property
    def slugs(self) -> dict[Layer, str]:
        """What the files of each surveyed layer are called."""
        return layer_slugs(self.chosen)

    @property
    def images(self) -> tuple[ImageRecord, ...]:
        """What the first step has noted of the photographs; nothing before."""
        found: tuple[ImageRecord, ...] = self.made.get("images", ())
        return found

    @property
    def pictures(self) -> dict[Path, NDArray[np.uint8]]:
        """The photographs as the network sees them, by the file that holds each; of those whose file is there."""
        if not self._pixels:
            for image in self.images:
                if not image.file.is_file():
                    continue
                with Image.open(image.file) as opened:
                    self._pixels[image.file] = np.array(opened.convert("RGB"))
        return self._pixels

    @property
    def units(self) -> dict[Layer, tuple[int, ...]]:
        """Of each layer with maps the units that are shown on every photograph."""
        return {layer: shown for layer, (shown, _) in self._picked.items()}

    @property
    def paged(self) -> dict[Layer, Sequence[int]]:
        """Of each layer with maps the units that get a page: all in the full form, else those shown or with masks."""
        if self.full:
            return {layer: range(layer.channels or 0) for layer in self.units}
        concepts, masked = self.made["concepts"], {}
        if isinstance(concepts, ConceptsRecord):
            masked = {self.index[one.layer].name: one.units for one in concepts.masks}
        return {layer: sorted({*some, *masked.get(layer.name, ())}) for layer, some in self.units.items()}

    @property
    def drawn(self) -> dict[Layer, tuple[int, ...]]:
        """Of each layer with maps the units whose components are drawn."""
        return {layer: drawn for layer, (_, drawn) in self._picked.items()}

    @property
    def _picked(self) -> dict[Layer, tuple[tuple[int, ...], tuple[int, ...]]]:
        pairs = zip(self.chosen, self.made["units"], strict=True)
        return {layer: some for layer, some in pairs if some is not None}

    def read(self, image: int) -> tuple[Photo, Prepared]:
        """Return a photograph by the name that it has in the survey, and as the network sees it."""
        photo = read_image(self.shown[image])
        if self.images:
            photo = replace(photo, name=self.images[image].name)
        return photo, prepare(photo, self.preprocessing)

    def photos(self) -> list[Shown]:
        """Return the photographs of which there are components, minimal images and hypercolumns."""
        return [
            Shown(self.read(place)[0], place, one.stem, one.size)
            for place, one in enumerate(self.images[:PAIR])
        ]


@dataclass(frozen=True)
class Step:
    """A step of a survey.

    Attributes
    ----------
    name : str
        Also that of its entry in ``run.json``, if it has one.
    record
        The type of what it notes: see `netviz.results.records`.
    cost : callable
        About how much work it is, in forward passes.
    make : callable
        Does it; called with the scope and with what to call for progress. It keeps the files that an interrupted
        survey has left, or makes them again with the same bytes.
    quick : bool
        Whether the quick form has it.
    """

    name: str
    record: Any
    cost: Callable[[Scope], int]
    make: Callable[[Scope, Progress], Any]
    quick: bool = False


def made(
    scope: Scope, make: Callable[[], Result], file: Path, *, beyond: tuple[type[NetvizError], ...] = ()
) -> tuple[Path | None, str]:
    """Make a result and save it, unless its file is there: an earlier run of the survey wrote it in one step.

    A result that is too large for a page to offer it is kept coarse.

    Parameters
    ----------
    scope : Scope
    make : callable
        Makes the result.
    file : Path
        Where it goes.
    beyond : tuple of type
        Errors that say more than that there is no such result: they are raised.

    Returns
    -------
    Path or None
        The file.
    str
        Why there is none.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    try:
        if not file.is_file():
            result = make()
            size = sum(array.nbytes for array in result.arrays().values())
            coarse = size > OFFERED
            (result.pictured() if coarse else result).save(file, coarse=coarse, pictures=scope.pictures)
    except NetvizError as error:
        if isinstance(error, (OutputError, *beyond)):
            raise
        return None, str(error)
    return file, ""


class Work:
    """Counts the work of several steps as one: the whole is known beforehand, and never begins again.

    Parameters
    ----------
    report : callable
        Called with what is being done, how much work is done, and how much there is.
    parts : iterable of (str, int)
        Each step's name and its work, in about the time of one forward pass.
    """

    def __init__(self, report: Progress, parts: Iterable[tuple[str, int]]) -> None:
        self.report = report
        self.ends: dict[str, tuple[int, int]] = {}
        self.total = 0
        for name, work in parts:
            self.ends[name] = (self.total, self.total + work)
            self.total += work
        self._told = 0

    def part(self, name: str) -> Progress:
        """Return what a step is to call with its own progress."""
        begin, end = self.ends[name]

        def tell(what: str, done: int, of: int) -> None:
            # A part that counts anew in a second pass must not go back.
            share = begin + (end - begin) * min(done, of) // max(of, 1)
            self._told = max(self._told, share)
            self.report(what, self._told, self.total)

        return tell


def of_predictions(
    scope: Scope, report: Progress, make: Callable[..., Result], folder: str, what: str, purpose: str
) -> tuple[OnImage, ...] | Missing:
    """Make a result about the class predicted of each of the first photographs, ``FOLDER/IMAGE.npz``.

    A network that ends in maps gives a class to every pixel, and has none.

    Parameters
    ----------
    scope : Scope
    report : callable
        As for every step.
    make : callable
        Gets the photograph and, as keywords, the model and the input's size.
    folder : str
        Inside the survey's.
    what, purpose : str
        For messages: ``minimal image of``; what a class would be for: ``to keep``.
    """
    model = scope.model
    if not model.labels:
        return Missing(f"the outputs of {model.name} have no names, so there is no class {purpose}")
    if math.prod((list(scope.index)[-1].shape or ())[1:]) > 1:
        return Missing(f"{model.name} gives a class to every pixel, not one to the image")
    shown, photos = [], scope.photos()
    for photo, place, stem, size in photos:
        report(f"{model.name}: {what} {photo.name}", place, len(photos))
        one = partial(make, photo, model=model, size=size)
        try:
            file, missing = made(scope, one, scope.out / f"{folder}/{stem}.npz", beyond=(ModelError,))
        except ModelError as error:
            return Missing(str(error))
        shown.append(OnImage(place, file, missing))
    return tuple(shown)
