"""What a survey notes of a network in ``run.json``: written by `netviz.survey`, read by the gallery.

::

    RUN/run.json                          this record
    RUN/images/NAME.png                   each image as the network saw it
    RUN/filters/SLUG.npz                  a FiltersResult for a layer
    RUN/maps/SLUG/NAME.npz                a MapsResult for a layer and each image
    RUN/patches/                          what netviz patches found for the same layers, of some with back/SLUG.npz
    RUN/units/SLUG.npz                    a NearestResult: which units of a layer act alike
    RUN/fields/SLUG.npz                   a FieldResult with the effective field of a layer
    RUN/measured/SLUG.npz                 a MeasuredResult: what changes each unit of a layer
    RUN/components/SLUG/NAME-VERB.npz     a StagesResult, ContrastResult or SiftResult
    RUN/concepts/                         what netviz dissect found, and masks/SLUG.png
    RUN/links/SLUG.npz                    a LinksTableResult: links of the shown units of a layer
    RUN/minimal/NAME.npz                  a MinimalResult
    RUN/attribution/NAME-METHOD-RANK.npz  an AttributeResult
    RUN/hypercolumns/NAME.npz             a HypercolumnResult
    RUN/fcn/NAME-WHAT.npz                 a StreamsResult, DenseResult or CompareResult

Maps, filters, fields and whatever is larger than a page may offer are kept coarse: see `netviz.results.levels`.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from netviz.errors import ResultError
from netviz.results.files import write_bytes
from netviz.results.ledger import RUN
from netviz.results.records import Count, from_json, to_json

Size: TypeAlias = tuple[Count, Count]
"""Height and width in pixels."""

Pair: TypeAlias = tuple[float, float]
"""In pixels, y and x."""

Part: TypeAlias = tuple[float, float, float, float]
"""Top, left, bottom and right of a part of a photograph, as shares of its height and width."""

Verb: TypeAlias = Literal["stages", "contrast", "sift"]
"""What is shown of a convolution on a photograph, in this order; each is a command too."""

Which: TypeAlias = Literal["first", "deeper"]
"""Which convolutions have components: the first that sees the image, and one of about the middle."""

Form: TypeAlias = Literal["quick", "standard", "full"]
"""How much a survey measures."""

SHOWN_UNITS = 16
"""How many units of each layer are shown on every photograph, where not all are."""

OFFERED = 2_000_000
"""Bytes of arrays up to which a result is kept exactly and its file offered on a page; larger ones are coarse."""

MOST_UNITS = 1 << 17
"""Units that no layer in use comes near."""

MOST_VIEWS = 64
"""Most pictures of one photograph that can be laid over one another."""


@dataclass(frozen=True)
class Missing:
    """Why a survey has no such part."""

    missing: str


@dataclass(frozen=True)
class OnImage:
    """A result on one photograph, or why there is none.

    Attributes
    ----------
    image : int
        The photograph's place among the survey's.
    file : Path or None
        The result's.
    missing : str
        Why there is none.
    """

    image: Count
    file: Path | None = None
    missing: str = ""

    def __post_init__(self) -> None:
        if self.file is None and not self.missing:
            raise ValueError("there is neither a file nor a reason why not")


@dataclass(frozen=True)
class ComponentOnImage(OnImage):
    """What a command shows of a convolution on one photograph."""

    _: KW_ONLY
    verb: Verb


@dataclass(frozen=True)
class StreamsOnImage(OnImage):
    """A dense network's streams on one photograph: of which form, and how many pictures a page makes of them."""

    form: str = ""
    views: Count = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.views > MOST_VIEWS:
            raise ValueError(f"there are {self.views} views, more than {MOST_VIEWS}")


@dataclass(frozen=True)
class AnswerRecord:
    """A class that a network answers with, and its probability: the softmax of the raw scores, in 0…1."""

    name: str
    probability: float

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"a probability is {self.probability}")


@dataclass(frozen=True)
class ImageRecord:
    """A photograph as the network saw it.

    Attributes
    ----------
    name : str
        What it is called; no other has the name.
    source : str
        What a command calls it.
    file : Path
        The picture.
    height, width : int
        In pixels, as the network saw it.
    size : (int, int) or None
        For which height and width a command must ask to see it so; None if for none.
    answers : tuple of AnswerRecord
        The classes that the network finds most likely, of a classifier whose scores are of classes; else none.
    part : (float, float, float, float) or None
        Which part of the photograph this is: top, left, bottom and right, 0 … 1; beyond that where it was continued.
        None in runs of earlier releases.
    """

    name: str
    source: str
    file: Path
    height: Count
    width: Count
    size: Size | None
    answers: tuple[AnswerRecord, ...] = ()
    part: Part | None = None

    def __post_init__(self) -> None:
        if self.part is not None:
            top, left, bottom, right = self.part
            if not (0 < bottom - top < math.inf and 0 < right - left < math.inf):
                raise ValueError(f"the part of a photograph is {self.part}")

    @property
    def stem(self) -> str:
        """What the files of its results are called."""
        return self.file.stem


@dataclass(frozen=True)
class FieldRecord:
    """A theoretical receptive field; sizes are None where they are not known."""

    size: Pair | None
    stride: Pair | None
    start: Pair | None
    status: Literal["exact", "upper_bound", "global", "unknown"]
    reason: str = ""

    def __post_init__(self) -> None:
        if self.status != "unknown" and None in (self.size, self.stride, self.start):
            raise ValueError("a receptive field that is known has no size")


@dataclass(frozen=True)
class LayerRecord:
    """A layer as ``netviz layers`` lists it, and the files that the survey has of it.

    Attributes
    ----------
    name, alias, kind, type : str
        Dotted name, classic alias, kind, class or function.
    channels : int or None
        Number of units.
    shape : tuple of int or None
        (C, H, W) or (C,), where it is known.
    parameters, calls, call : int
        Its own parameters; how often its module runs in a forward pass, and which of these this is.
    receptive_field : FieldRecord or None
        None for a layer without maps.
    slug : str or None
        What its files are called; None for a layer that was not surveyed.
    filters, maps, patches, units, fields, measured : Path or None
        A folder for maps, else a file.
    arrangement : str
        Of what its maps are put together, ``"tokens +1"`` or ``"windows"``; empty where it gives maps.
    labels : tuple of str
        What its units are called, where each is a class.
    """

    name: str
    alias: str
    kind: str
    type: str
    channels: Count | None
    shape: tuple[Count, ...] | None
    parameters: Count
    calls: Count
    call: Count
    receptive_field: FieldRecord | None
    slug: str | None
    filters: Path | None
    maps: Path | None
    patches: Path | None
    units: Path | None
    fields: Path | None
    measured: Path | None
    arrangement: str = ""
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.channels or 0) > MOST_UNITS:
            raise ValueError(f"a layer has {self.channels} units")
        if len(self.labels) not in (0, self.channels):
            raise ValueError(f"{self.channels} units of a layer have {len(self.labels)} labels")

    @property
    def title(self) -> str:
        """What pages call it: see `layer_title`."""
        return layer_title(self.name, self.alias, self.kind)


_PLAIN = r"(?:conv|deconv|convs?_?bn|conv_?\dx\d|fc|linear|proj|layer|block|stage|features?|classifier|head)?[\d_.]*"


def layer_title(name: str, alias: str, kind: str) -> str:
    """Return what pages call a layer: its alias, or a convolution's own name where that says what it is for.

    A short name does that is no word for any convolution: ``side3`` and ``score.8s`` say more than ``conv16`` and
    ``conv56``, ``features.18.0`` and ``conv5_3`` do not.

    Parameters
    ----------
    name, alias : str
        Dotted name and classic alias.
    kind : str

    Examples
    --------
    >>> layer_title("side3", "conv16", "conv"), layer_title("features.18.0", "conv52", "conv")
    ('side3', 'conv52')
    """
    parts = name.split(".")
    telling = len(parts) <= 2 and not any(re.fullmatch(_PLAIN, one, re.IGNORECASE) for one in parts)
    return name if kind == "conv" and telling else alias or name or "(the network)"


@dataclass(frozen=True)
class PatchesRecord:
    """The run of patches.

    Attributes
    ----------
    folder : Path
    images : tuple of str
        What a command was given; nothing for the photographs that netviz takes by default.
    searched : int
        How many images were counted.
    """

    folder: Path
    images: tuple[str, ...]
    searched: Count


@dataclass(frozen=True)
class ComponentRecord:
    """A convolution's components: its place among the layers, why it was chosen, and what is shown of it."""

    layer: Count
    which: Which
    shown: tuple[ComponentOnImage, ...]


@dataclass(frozen=True)
class ComponentsRecord:
    """The convolutions whose components there are, and why there is no other."""

    layers: tuple[ComponentRecord, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class MinimalRecord:
    """Minimal images, and into about how many segments the photographs were cut."""

    segments: Count
    shown: tuple[OnImage, ...]


@dataclass(frozen=True)
class HypercolumnsRecord:
    """Hypercolumns, and the dotted names of the layers that are stacked."""

    layers: tuple[str, ...]
    shown: tuple[OnImage, ...]


@dataclass(frozen=True)
class SeenRecord:
    """An image of masks, as the network saw it, and what a command calls it, if it is none of the photographs."""

    name: str
    file: Path
    source: str | None = None


@dataclass(frozen=True)
class MasksRecord:
    """Where some units of one layer are above their thresholds.

    Attributes
    ----------
    layer : int
        Its place among the survey's.
    file : Path
        A picture of black and white: the masks below one another.
    units, images : tuple of int
        Of each mask the unit, and the place among the images of masks.
    """

    layer: Count
    file: Path
    units: tuple[Count, ...]
    images: tuple[Count, ...]

    def __post_init__(self) -> None:
        if len(self.units) != len(self.images) or len(set(self.units)) != len(self.units):
            raise ValueError("the masks do not fit their units or images")


@dataclass(frozen=True)
class BestRecord:
    """A concept's number, and the units that are shown of it: place among the dissected layers, and unit."""

    concept: Count
    units: tuple[tuple[Count, Count], ...]


@dataclass(frozen=True)
class ConceptsRecord:
    """The dissection.

    Attributes
    ----------
    folder : Path
    data : str or None
        What a command calls the labelled images; None where they are the survey's own.
    surveyed : int
        How many layers the survey has, dissected or not.
    best : tuple of BestRecord
        Concepts in the order in which they are told.
    images : tuple of SeenRecord
        Those of the masks.
    masks : tuple of MasksRecord
        For each dissected layer.
    """

    folder: Path
    data: str | None
    surveyed: Count
    best: tuple[BestRecord, ...]
    images: tuple[SeenRecord, ...]
    masks: tuple[MasksRecord, ...]

    def __post_init__(self) -> None:
        if any(image >= len(self.images) for one in self.masks for image in one.images):
            raise ValueError("the masks do not fit their images")
        _once((one.concept for one in self.best), "a concept is told twice")


@dataclass(frozen=True)
class FieldsRecord:
    """The effective fields of the layers, and over how many photographs they are averaged."""

    folder: Path
    photos: Count


@dataclass(frozen=True)
class MeasuredRecord:
    """The measured fields of the units, on how many photographs and in how many forward passes."""

    folder: Path
    photos: Count
    passes: Count


@dataclass(frozen=True)
class FcnRecord:
    """A dense network's streams; or a classifier's heat maps, and what the dense pass saves."""

    streams: tuple[StreamsOnImage, ...]
    dense: tuple[OnImage, ...]
    compare: OnImage | None = None


@dataclass(frozen=True)
class VotesRecord:
    """Which units of the last layer with maps carry the predicted class, on the first photographs."""

    shown: tuple[OnImage, ...]


@dataclass(frozen=True)
class AttributionOnImage(OnImage):
    """What each place of one photograph has to do with a class, by one method.

    Attributes
    ----------
    rank : int
        The class's place among those that the network finds most likely on it, 0 for the first.
    method : str
    """

    _: KW_ONLY
    rank: Count
    method: str


@dataclass(frozen=True)
class AttributionRecord:
    """Attributions to the likeliest classes of the first photographs."""

    shown: tuple[AttributionOnImage, ...]


@dataclass(frozen=True)
class DeconvRecord:
    """What in the best patches of the shown units made them answer: a `BackResult` for each of some layers.

    Attributes
    ----------
    folder : Path
        Inside the run of patches; its files are called as those of the layers.
    layers : tuple of int
        Places among the survey's layers.
    patches : int
        Of how many of a unit's patches.
    """

    folder: Path
    layers: tuple[Count, ...]
    patches: Count


@dataclass(frozen=True)
class OfLayer:
    """A result of one layer, by its place among the survey's, or why there is none."""

    layer: Count
    file: Path | None = None
    missing: str = ""

    def __post_init__(self) -> None:
        if self.file is None and not self.missing:
            raise ValueError("there is neither a file nor a reason why not")


@dataclass(frozen=True)
class LinksRecord:
    """Links of the shown units, of each layer with maps: a `LinksTableResult`, of so many links of a kind at most."""

    top: Count
    layers: tuple[OfLayer, ...]


@dataclass(frozen=True)
class OptionsRecord:
    """What a command would have to be given besides the images, the labelled images and the size."""

    layers: tuple[str, ...]
    quick: bool
    full: bool
    trust: bool
    weights: str | None
    seed: int | None
    prefix: str | None = None
    mean: str | None = None
    std: str | None = None
    input_scale: str | None = None
    channel_order: str | None = None
    bands: str | None = None
    labels: str | None = None
    fit: str | None = None
    optimize: str | None = None


@dataclass(frozen=True)
class OptimizedLayer(OfLayer):
    """What some units of a layer want to see: an `OptimizeResult`, or why there is none."""

    units: tuple[Count, ...] = ()


@dataclass(frozen=True)
class OptimizeRecord:
    """What shown units want to see.

    Attributes
    ----------
    layers : tuple of OptimizedLayer
    seconds : float or None
        The budget, reckoned for a usual core; None for none.
    units : int
        Of how many units there are pictures.
    candidates : int
        Of how many of all layers there could be.
    """

    layers: tuple[OptimizedLayer, ...]
    seconds: float | None
    units: Count
    candidates: Count


@dataclass(frozen=True)
class SurveyRecord:
    """Everything that a survey notes.

    Attributes
    ----------
    kind, netviz : str
        ``"survey"``, and the version that made it.
    form : str
        How much was measured; in the full form all units of a layer are shown.
    options : OptionsRecord
    fingerprint : dict of str to str
    network, model, origin : str
        The network's name, what a command calls it, where its weights come from.
    parameters : int
    input : str
        What becomes of an image.
    size : (int, int) or None
        Input height and width in pixels, if asked for.
    images : tuple of ImageRecord
        The photographs that the network is shown on.
    layers : tuple of LayerRecord
        In the order in which they run.
    patches, components, minimal, hypercolumns, concepts, fields, measured, fcn, votes, attribution, deconv, links,
    optimize
        The parts, or why there is none.
    """

    kind: Literal["survey"]
    netviz: str
    form: Form
    options: OptionsRecord
    fingerprint: dict[str, str]
    network: str
    model: str
    origin: str
    parameters: Count
    input: str
    size: Size | None
    images: tuple[ImageRecord, ...]
    layers: tuple[LayerRecord, ...]
    patches: PatchesRecord | Missing
    components: ComponentsRecord | Missing
    minimal: MinimalRecord | Missing
    hypercolumns: HypercolumnsRecord | Missing
    concepts: ConceptsRecord | Missing
    fields: FieldsRecord | Missing
    measured: MeasuredRecord | Missing
    fcn: FcnRecord | Missing
    votes: VotesRecord | Missing = Missing("this run was made before there were any")
    attribution: AttributionRecord | Missing = Missing("this run was made before there were any")
    deconv: DeconvRecord | Missing = Missing("this run was made before there were any")
    links: LinksRecord | Missing = Missing("this run was made before there were any")
    optimize: OptimizeRecord | Missing = Missing("this run was made before there were any")

    def __post_init__(self) -> None:
        if isinstance(self.components, ComponentsRecord):
            _once((one.which for one in self.components.layers), "two layers are the same of the components")
            for one in self.components.layers:
                if one.layer >= len(self.layers):
                    raise ValueError(f"there is no layer {one.layer} to have components")
                for verb in get_args(Verb):
                    self._require_images([shown for shown in one.shown if shown.verb == verb])
        for part in (self.minimal, self.hypercolumns, self.votes):
            if not isinstance(part, Missing):
                self._require_images(part.shown)
        if isinstance(self.attribution, AttributionRecord):
            asked = sorted({(one.rank, one.method) for one in self.attribution.shown})
            for rank, method in asked:
                self._require_images(
                    [one for one in self.attribution.shown if (one.rank, one.method) == (rank, method)]
                )
        if isinstance(self.fcn, FcnRecord):
            for some in (self.fcn.streams, self.fcn.dense, (self.fcn.compare,) if self.fcn.compare else ()):
                self._require_images(some)
        if isinstance(self.deconv, DeconvRecord):
            self._require_pages(self.deconv.layers, "patches that are followed back")
        if isinstance(self.links, LinksRecord):
            self._require_pages([one.layer for one in self.links.layers], "links")
            _once((one.layer for one in self.links.layers), "a layer has links twice")
        if isinstance(self.optimize, OptimizeRecord):
            self._require_pages(
                [one.layer for one in self.optimize.layers], "pictures of what units want to see"
            )
            _once(
                (one.layer for one in self.optimize.layers),
                "a layer has pictures of what units want to see twice",
            )
        if isinstance(self.concepts, ConceptsRecord):
            self._require_pages([masks.layer for masks in self.concepts.masks], "concepts")

    def _require_pages(self, layers: Iterable[int], what: str) -> None:
        for layer in layers:
            if layer >= len(self.layers) or self.layers[layer].slug is None:
                raise ValueError(f"there is no layer {layer} with a page, to have {what}")

    def _require_images(self, some: Sequence[OnImage]) -> None:
        for one in some:
            if one.image >= len(self.images):
                raise ValueError(f"there is no image {one.image}")
        _once((one.image for one in some), "an image has the same result twice")


def _once(values: Iterable[Any], message: str) -> None:
    if any(number > 1 for number in Counter(values).values()):
        raise ValueError(message)


def write_survey(folder: Path, record: SurveyRecord) -> None:
    """Write a survey's ``run.json``.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    text = json.dumps(to_json(record, folder), indent=1, ensure_ascii=False)
    write_bytes(folder / RUN, text.encode())


def read_survey(folder: str | Path) -> SurveyRecord:
    """Read a survey's ``run.json``; the files that it names are not opened.

    Raises
    ------
    ResultError
        If it is missing or damaged, or names a file outside the folder.
    """
    folder = Path(folder)
    path = folder / RUN
    try:
        record: SurveyRecord = from_json(SurveyRecord, json.loads(path.read_text(encoding="utf-8")), folder)
    except (FileNotFoundError, NotADirectoryError):
        raise ResultError(f"{folder} holds no run.json; name a folder that a survey wrote") from None
    except RecursionError:
        raise ResultError(f"{path} is damaged: nested too deep; run the survey again") from None
    except (OSError, ValueError) as error:
        raise ResultError(f"{path} is damaged: {error}; run the survey again") from error
    return record
