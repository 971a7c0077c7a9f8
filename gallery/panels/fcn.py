"""The FCN page: an answer for every place of whole photographs, as streams or heat maps, and what that saves."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from netviz.errors import ResultError
from netviz.fcn.dense.draw import heat_scale
from netviz.fcn.dense.result import CompareResult, DenseResult
from netviz.fcn.streams.draw import Raster, held_classes, stream_map, stream_rasters, stream_scale
from netviz.fcn.streams.result import StreamsResult
from netviz.paper.classes import class_colour, palette
from netviz.paper.raster import encode_jpeg, encode_png
from netviz.questions.units.across import axis_places, read_maps
from netviz.results.base import Result
from netviz.results.survey import FcnRecord, Missing, OnImage, StreamsOnImage

from ..addresses import Addresses
from ..drawing import QUALITY, Write, bar, over_grey, write_copy, write_figure
from ..loading import is_small, load_kind
from ..manifest import Made, Over, Photo, Picture
from ..panel import Panel, Recipe
from ..words import command, counted, joined, number, percent_of

LARGEST = 5
"""Of how many classes a photograph's page tells the share of pixels."""

_LONG = "Long, Shelhamer and Darrell, Fully convolutional networks for semantic segmentation, CVPR 2015"

STREAMS = Recipe(
    "Streams",
    "A dense network's predictions at several strides, all from one pass: each finer one adds the scores of "
    "an earlier layer. Of an edge detector its side outputs and their fusion.",
    (_LONG, "Xie and Tu, Holistically-nested edge detection, ICCV 2015"),
)

HEATS = Recipe(
    "Dense heat maps",
    "The classifier's linear layers become convolutions with the same weights, so that one pass over the "
    "whole photograph scores every crop, a stride apart; the scores are placed through the geometry of the "
    "layers.",
    (_LONG,),
)

COMPARISON = Recipe(
    "Three ways compared",
    "The dense pass, the classifier on every crop, and on regions of a segmentation that are warped to its "
    "input: timed in one run on one machine, the regions scaled to the 2000 of R-CNN.",
    ("Girshick, Donahue, Darrell and Malik, Rich feature hierarchies, CVPR 2014", _LONG),
)


@dataclass(frozen=True)
class Peak:
    """A class of a heat map: its name, its highest raw score, and where that is, in pixels of the original."""

    name: str
    score: float
    y: float
    x: float


@dataclass(frozen=True)
class Heat(Made):
    """Heat maps of a classifier, or of another network whose output has places.

    Attributes
    ----------
    peaks : tuple of Peak
        The classes drawn.
    cells : (int, int)
        Rows and columns of a map.
    stride : (float, float)
        From cell to cell, (y, x), in pixels of the original.
    cast : bool
        Whether the network was made fully convolutional for this.
    over : Over or None
        The map of the first class, to lay over the photograph.
    """

    peaks: tuple[Peak, ...] = ()
    cells: tuple[int, int] = (0, 0)
    stride: tuple[float, float] = (0.0, 0.0)
    cast: bool = False
    over: Over | None = None


@dataclass(frozen=True)
class Cost:
    """A row of the comparison: the way, how often the network ran, the seconds, and these over the dense pass's."""

    way: str
    evaluations: int
    seconds: float
    ratio: float


@dataclass(frozen=True)
class Comparison(Made):
    """Three ways to the same scores.

    Attributes
    ----------
    name : str
        The class.
    rows : tuple of Cost
        The dense pass first.
    regions : int
        How many were measured.
    correlation : float
        Between dense pass and sliding window.
    where : str
        The device and its threads.
    """

    name: str = ""
    rows: tuple[Cost, ...] = ()
    regions: int = 0
    correlation: float = 0.0
    where: str = ""


@dataclass(frozen=True)
class View:
    """One of several pictures of the same size that can be laid over one another.

    Attributes
    ----------
    key : str
        What kind it is: ``"image"``, ``"stream"`` or ``"changed"``.
    name, before : str
        The stream; of what it changed, the stream before it.
    picture : Picture
    share : float or None
        Of what it changed: the share of pixels with another class. Of an edge map: of pixels above one half.
    layer : str
        The layer that the stream scores, where the network tells.
    stride : int
        Of that layer, in pixels of the network's input; 0 where it is not told.
    """

    key: str
    name: str
    before: str
    picture: Picture
    share: float | None = None
    layer: str = ""
    stride: int = 0


@dataclass(frozen=True)
class Swatch:
    """A class of a legend and its colour, ``#rrggbb``."""

    name: str
    colour: str


@dataclass(frozen=True)
class Streams(Made):
    """A dense network's streams on one photograph.

    Attributes
    ----------
    views : tuple of View
        The photograph, the streams coarse to fine, and what each changed.
    form : str
        ``"classes"``, ``"edges"`` or ``"values"``.
    swatches : tuple of Swatch
        The classes that occur.
    more : int
        How many more do.
    shares : tuple of (Swatch, float)
        Of the finest stream: the classes and their shares of the pixels, the largest first.
    what : str
        Of an edge detector: what it detects.
    low, high : float
        The values at the ends of the colour scale of maps.
    bar : Picture or None
        That scale.
    """

    views: tuple[View, ...] = ()
    form: str = "classes"
    swatches: tuple[Swatch, ...] = ()
    more: int = 0
    shares: tuple[tuple[Swatch, float], ...] = ()
    what: str = ""
    low: float = 0.0
    high: float = 1.0
    bar: Picture | None = None

    @property
    def streams(self) -> tuple[View, ...]:
        """The streams alone."""
        return tuple(view for view in self.views if view.key == "stream")


@dataclass(frozen=True)
class Fcn:
    """The FCN page of a network: what there is."""

    page: str
    streams: tuple[Streams, ...]
    heats: tuple[Heat, ...]
    comparison: Comparison | None


def files(addresses: Addresses) -> Iterator[str]:
    """Yield the address of every file of the panel."""
    found = addresses.run.fcn
    if isinstance(found, Missing) or not _shown(addresses):
        return
    yield _page(addresses)
    for one in found.streams:
        if one.file is not None:
            # Of so many pixels and classes the arrays are large: the facts go onto the site.
            yield from (
                _file(addresses, one.image, name) for name in ("streams.jpg", "streams.json", "0.jpg")
            )
            yield from (_view(addresses, one, view) for view in range(1, one.views + 1))
    pairs = [("dense", heat) for heat in found.dense]
    if found.compare is not None:
        pairs.append(("compare", found.compare))
    for name, shown in pairs:
        if shown.file is not None:
            yield _file(addresses, shown.image, f"{name}.jpg")
            if name == "dense" and addresses.run.images[shown.image].part is not None:
                yield _over_file(addresses, shown.image)
            if is_small(shown.file):
                yield _file(addresses, shown.image, f"{name}.npz")


def _shown(addresses: Addresses) -> bool:
    """Return whether there is anything to show."""
    found = addresses.run.fcn
    return isinstance(found, FcnRecord) and bool(found.streams or found.dense)


def _page(addresses: Addresses) -> str:
    return f"{addresses.folder}/fcn.html"


def _file(addresses: Addresses, image: int, name: str) -> str:
    return f"{addresses.folder}/fcn/{addresses.photos[image]}-{name}"


def _over_file(addresses: Addresses, image: int) -> str:
    return _file(addresses, image, "over.jpg")


def _view(addresses: Addresses, one: StreamsOnImage, view: int) -> str:
    """Return the address of a picture of streams: classes are exact, what is shaded may be less so."""
    return _file(addresses, one.image, f"{view}.{'png' if one.form == 'classes' else 'jpg'}")


def draw_fcn(addresses: Addresses, photos: tuple[Photo, ...], write: Write) -> Fcn | None:
    """Draw what the FCN page of one network shows; None where there is nothing to show."""
    found = addresses.run.fcn
    if isinstance(found, Missing) or not _shown(addresses):
        return None
    streams = tuple(_streams(one, addresses, photos[one.image], write) for one in found.streams)
    heats = tuple(_heat(one, addresses, photos[one.image], write) for one in found.dense)
    one = found.compare
    comparison = None if one is None else _comparison(one, addresses, photos[one.image], write)
    return Fcn(_page(addresses), streams, heats, comparison)


def _streams(one: StreamsOnImage, addresses: Addresses, photo: Photo, write: Write) -> Streams:
    words = ["show", addresses.run.images[one.image].source, "--model", addresses.run.model]
    if one.file is None:
        return Streams(photo, None, one.missing, command("fcn", *words, run=addresses.run))
    result = load_kind(one.file, StreamsResult)
    shape = result.image.shape[:2]
    if shape != tuple(result.original):
        words += ["--short-side", str(min(shape))]
    rasters = stream_rasters(result) if set(result.names) <= set(result.streams) else []
    if (len(rasters), result.form) != (one.views, one.form):
        raise ResultError(
            f"{one.file} is damaged: it has not the streams that are named; run the survey again"
        )
    kept, more = held_classes(result) if result.form == "classes" else ([], 0)
    scale = None if result.form == "classes" else stream_scale(result)
    colours = palette(result.classes)
    picture = write_figure(result, _file(addresses, one.image, "streams.jpg"), write)
    address = _file(addresses, one.image, "streams.json")
    told = json.dumps(result.summary(), indent=1, sort_keys=True, ensure_ascii=False)
    facts = told.encode("utf-8", "replace")
    write(address, facts)
    size = (shape[1], shape[0])
    seen = Picture(_file(addresses, one.image, "0.jpg"), *size)
    write(seen.path, encode_jpeg(result.image, QUALITY))
    views = [View("image", photo.name, "", seen)]
    for view, raster in enumerate(rasters, start=1):
        share, layer, stride = _told(result, raster)
        drawn = Picture(_view(addresses, one, view), *size)
        encoded = encode_png if result.form == "classes" else partial(encode_jpeg, quality=QUALITY)
        write(drawn.path, encoded(raster.pixels))
        key = "changed" if raster.before else "stream"
        views.append(View(key, raster.name, raster.before, drawn, share, layer, stride))
    return Streams(
        photo,
        picture,
        "",
        command("fcn", *words, run=addresses.run),
        address,
        len(facts),
        views=tuple(views),
        form=result.form,
        swatches=tuple(Swatch(result.classes[code], class_colour(code, colours)) for code in kept),
        more=more,
        shares=_shares(result) if result.form == "classes" else (),
        what=result.classes[0] if result.form == "edges" and result.classes else "",
        low=scale.low if scale is not None else 0.0,
        high=scale.high if scale is not None else 1.0,
        bar=None if scale is None else bar(scale.colours),
    )


def _shares(result: StreamsResult) -> tuple[tuple[Swatch, float], ...]:
    """Return the classes that the finest stream gives to most pixels, with their shares."""
    counts = np.bincount(result.predicted(result.names[-1]).ravel(), minlength=len(result.classes))
    first = [code for code in np.argsort(-counts, kind="stable").tolist() if counts[code]][:LARGEST]
    colours = palette(result.classes)
    return tuple(
        (Swatch(result.classes[code], class_colour(code, colours)), float(counts[code] / counts.sum()))
        for code in first
    )


def _told(result: StreamsResult, raster: Raster) -> tuple[float | None, str, int]:
    """Return a picture's share of pixels, and the layer that a stream scores with its stride, where there are."""
    if raster.before:
        return float(result.changed[raster.name]["share"]), "", 0
    share = float((stream_map(result, raster.name) > 0.5).mean()) if result.form == "edges" else None
    tap = result.taps.get(raster.name)
    return (share, "", 0) if tap is None else (share, str(tap["layer"]), int(tap["stride"]))


def _heat(one: OnImage, addresses: Addresses, photo: Photo, write: Write) -> Heat:
    run = addresses.run
    typed = command("dense", run.images[one.image].source, "--model", run.model, run=run)
    if one.file is None:
        return Heat(photo, None, one.missing, typed)
    result = load_kind(one.file, DenseResult)
    peaks = []
    for at, (code, label) in enumerate(zip(result.classes.tolist(), result.labels, strict=True)):
        row, col = result.peak(at)
        score = float(result.scores[at, row, col])
        name = label or f"{result.called} {code}"
        peaks.append(Peak(name, score, float(result.center_y[row]), float(result.center_x[col])))
    cells = (len(result.center_y), len(result.center_x))
    stride = (float(result.stride[0]), float(result.stride[1]))
    picture, kept = _written("dense", result, one, one.file, addresses, write)
    size = one.file.stat().st_size
    over = _heat_over(result, one.image, peaks[0].name, addresses, write)
    return Heat(photo, picture, "", typed, kept, size, tuple(peaks), cells, stride, result.cast, over)


def _heat_over(result: DenseResult, image: int, name: str, addresses: Addresses, write: Write) -> Over | None:
    """Draw the scores of the first class on what the network saw of the photograph, which may be a part of it."""
    known = addresses.run.images[image]
    if known.part is None:
        return None
    top, left, bottom, right = known.part
    sizes = known.height, known.width
    shares = (top, bottom), (left, right)
    starts = float(result.center_y[0]), float(result.center_x[0])
    rows, columns = (
        axis_places(
            shares[axis],
            (0.0, 1.0),
            result.image.shape[axis],
            result.scores.shape[1 + axis],
            sizes[axis],
            (1.0, float(result.stride[axis]), starts[axis]),
        )
        for axis in (0, 1)
    )
    values = read_maps(result.scores[:1], rows, columns).reshape(sizes)
    scale = heat_scale(values)
    with Image.open(known.file) as opened:
        seen = np.asarray(opened.convert("RGB"))
    height = (values - scale.low) / (scale.high - scale.low)
    address = _over_file(addresses, image)
    write(address, encode_jpeg(over_grey(seen, height, scale.colours), QUALITY, optimize=True))
    text = f"Bright: where {name} scores high, the network run over the whole photograph at once."
    return Over(f"Dense heat map: {name}", text, Picture(address, sizes[1], sizes[0]))


def _comparison(one: OnImage, addresses: Addresses, photo: Photo, write: Write) -> Comparison:
    words = [addresses.run.images[one.image].source, "--model", addresses.run.model, "--compare"]
    if one.file is None:
        return Comparison(photo, None, one.missing, command("dense", *words, run=addresses.run))
    result = load_kind(one.file, CompareResult)
    rows = tuple(Cost(*row) for row in result.rows)
    regions = len(result.boxes)
    picture, kept = _written("compare", result, one, one.file, addresses, write)
    return Comparison(
        photo,
        picture,
        "",
        command("dense", *words, "--regions", str(regions), run=addresses.run),
        kept,
        one.file.stat().st_size,
        name=result.label or f"class {result.class_index}",
        rows=rows,
        regions=regions,
        correlation=float(result.correlation),
        where=f"{result.device}, {result.threads} {'thread' if result.threads == 1 else 'threads'}",
    )


def _written(
    name: str, result: Result, one: OnImage, path: Path, addresses: Addresses, write: Write
) -> tuple[Picture, str | None]:
    """Write a figure, and a copy of its file where that is small; return both addresses."""
    picture = write_figure(result, _file(addresses, one.image, f"{name}.jpg"), write)
    return picture, write_copy(path, _file(addresses, one.image, f"{name}.npz"), write)


def heat_note(heat: Heat) -> str:
    """Say what a heat map is and where its highest scores are."""
    rows, cols = heat.cells
    down, across = (number(step) for step in heat.stride)
    how = (
        "The classifier, made fully convolutional, over the whole photograph at once"
        if heat.cast
        else "The network's own map over the whole photograph"
    )
    peaks = "; ".join(
        f"{peak.name} {number(peak.score)} at {peak.x:.0f}, {peak.y:.0f}" for peak in heat.peaks
    )
    return (
        f"{how}: {rows} \N{MULTIPLICATION SIGN} {cols} cells, {down} \N{MULTIPLICATION SIGN} {across} pixels apart. "
        f"Highest raw scores (and where, x, y in pixels): {peaks}."
    )


def streams_note(streams: Streams) -> str:
    """Say what the streams of a photograph are."""
    names = [view.name for view in streams.streams]
    listed = joined(names)
    if streams.form == "edges":
        what = streams.what or "edge"
        return (
            f"{listed}, coarse to fine: how likely each pixel is {'an' if what[:1] in 'aeiou' else 'a'} {what}, by "
            "the depth of the layer that says so; the last one weighs all of them."
        )
    if streams.form == "values":
        return f"{listed}: what the network gives for every pixel."
    if len(names) == 1:
        return f"{listed}: at every pixel the class with the highest score."
    return (
        f"{listed}: at every pixel the class with the highest score, each stream finer than the one before."
    )


def edges_text(streams: Streams) -> str:
    """Say what an edge detector answers with."""
    last = streams.streams[-1]
    return (
        f"It names nothing: it answers with {streams.what or 'edge'}s. {percent_of(last.share or 0.0)} of the pixels "
        f"are above 0.5 in {last.name}, its last output."
    )


def view_title(view: View) -> str:
    """Name a picture that can be compared."""
    if view.key == "image":
        return "photograph"
    return f"changed by {view.name}" if view.key == "changed" else view.name


def view_note(view: View, streams: Streams) -> str:
    """Say what a picture shows, in few words."""
    if view.key == "image":
        return "as the network saw it"
    if view.key == "changed":
        return f"{percent_of(view.share or 0.0)} of the pixels change class from {view.before}"
    if streams.form == "edges":
        return f"{percent_of(view.share or 0.0)} of the pixels above 0.5"
    return f"adds {view.layer}, stride {view.stride}" if view.layer else "highest class"


def view_alt(view: View, streams: Streams, photo: str) -> str:
    """Describe a picture for those who cannot see it."""
    if view.key == "image":
        return f"Photograph {photo}"
    if view.key == "changed":
        return f"{photo} faded, in colour where {view.name} has another class than {view.before}"
    what = {"classes": "class of every pixel", "edges": "edges", "values": "values"}[streams.form]
    return f"{what.capitalize()} of {photo} by {view.name}"


def cost_text(seconds: float) -> str:
    """Write a time in seconds."""
    return f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.3g}"


def ratio_text(cost: Cost) -> str:
    """Write how many times the dense pass's time a way takes."""
    return f"{cost.ratio:,.0f}" if cost.ratio >= 100 else f"{cost.ratio:.1f}"


def comparison_note(comparison: Comparison) -> str:
    """Say what is compared and how it was measured."""
    return (
        f"The score of {comparison.name} over {comparison.photo.name} by one dense pass, by the classifier on every "
        f"crop, and region by region, as R-CNN does it ({counted(comparison.regions, 'region')} measured). Dense and "
        f"sliding scores correlate by {comparison.correlation:.3f}. Measured on {comparison.where}."
    )


def fcn_text(fcn: Fcn) -> str:
    """Say what the FCN page holds."""
    parts = []
    if fcn.streams:
        names = [view.name for view in fcn.streams[0].streams]
        parts.append(f"the streams {', '.join(names)} side by side" if len(names) > 1 else "its dense output")
    if fcn.heats:
        parts.append("the classifier over whole photographs")
    if fcn.comparison is not None and fcn.comparison.rows:
        parts.append("what that saves against a sliding window and regions")
    return ", ".join(parts)


PANEL = Panel(
    folders=("fcn",),
    files=files,
    words=(
        heat_note,
        streams_note,
        edges_text,
        view_title,
        view_note,
        view_alt,
        cost_text,
        ratio_text,
        comparison_note,
        fcn_text,
    ),
)
