"""The FCN page: saved streams, heat maps and comparisons → pictures, and what the page has to say about them."""

import json
from pathlib import Path

from netviz.fcn.dense.result import CompareResult, DenseResult
from netviz.fcn.streams.draw import Raster, held_classes, stream_map, stream_rasters, stream_scale
from netviz.fcn.streams.result import StreamsResult
from netviz.paper.classes import class_colour
from netviz.paper.raster import encode_png
from netviz.results.base import Result

from .commands import command
from .drawing import DAMAGED, damaged, load_kind, write_copy, write_figure
from .manifest_images import Comparison, Cost, Fcn, Heat, Peak, Streams, Swatch, View
from .manifest_parts import Photo, Picture
from .pictures import Write, bar, jpeg
from .plan import Plan, fcn_file, fcn_page, view_file
from .run_images import RunOn


def draw_fcn(plan: Plan, photos: tuple[Photo, ...], write: Write) -> Fcn | None:
    """Draw what the FCN page of one network shows; None where an older survey noted nothing.

    Parameters
    ----------
    plan : Plan
        The run and its addresses.
    photos : tuple of Photo
        The run's.
    write : callable
        Takes each file's path and bytes as soon as it is made.

    Raises
    ------
    ResultError
        If a file of the run is missing or damaged.
    """
    found = plan.run.fcn
    if found is None:
        return None
    streams = tuple(_streams(one, plan, photos[one.image], write) for one in found.streams)
    heats = tuple(_heat(one, plan, photos[one.image], write) for one in found.dense)
    one = found.compare
    comparison = None if one is None else _comparison(one, plan, photos[one.image], write)
    return Fcn(fcn_page(plan), streams, heats, comparison, found.missing)


def _streams(one: RunOn, plan: Plan, photo: Photo, write: Write) -> Streams:
    words = ["show", plan.run.images[one.image].typed, "--model", plan.run.model]
    if one.path is None:
        return Streams(photo, None, one.missing, command("fcn", *words))
    result = load_kind(one.path, StreamsResult)
    try:
        shape = result.image.shape[:2]
        if shape != tuple(result.original):
            words += ["--short-side", str(min(shape))]
        rasters = stream_rasters(result)
        if (len(rasters), result.form) != (one.views, one.form):
            raise ValueError("not the pictures that were announced")
        kept, more = held_classes(result) if result.form == "classes" else ([], 0)
        scale = None if result.form == "classes" else stream_scale(result)
        told = [_told(result, raster) for raster in rasters]
        facts = json.dumps(result.summary(), indent=1, sort_keys=True, ensure_ascii=False).encode(
            "utf-8", "replace"
        )
    except DAMAGED as error:
        raise damaged(one.path) from error
    picture = write_figure(result, one.path, fcn_file(plan, one.image, "streams.jpg"), write)
    address = fcn_file(plan, one.image, "streams.json")
    write(address, facts)
    size = (shape[1], shape[0])
    seen = Picture(fcn_file(plan, one.image, "0.jpg"), *size)
    write(seen.path, jpeg(result.image))
    views = [View("image", photo.name, "", seen)]
    for number, (raster, (share, layer, stride)) in enumerate(zip(rasters, told, strict=True), start=1):
        drawn = Picture(view_file(plan, one, number), *size)
        write(drawn.path, encode_png(raster.pixels) if result.form == "classes" else jpeg(raster.pixels))
        key = "changed" if raster.before else "stream"
        views.append(View(key, raster.name, raster.before, drawn, share, layer, stride))
    return Streams(
        photo,
        picture,
        "",
        command("fcn", *words),
        address,
        len(facts),
        views=tuple(views),
        form=result.form,
        swatches=tuple(Swatch(result.classes[code], class_colour(code)) for code in kept),
        more=more,
        what=result.classes[0] if result.form == "edges" and result.classes else "",
        low=scale.low if scale is not None else 0.0,
        high=scale.high if scale is not None else 1.0,
        bar=None if scale is None else bar(scale.colours),
    )


def _told(result: StreamsResult, raster: Raster) -> tuple[float | None, str, int]:
    """Return a picture's share of pixels, and the layer that a stream scores with its stride, where there are."""
    if raster.before:
        return float(result.changed[raster.name]["share"]), "", 0
    share = float((stream_map(result, raster.name) > 0.5).mean()) if result.form == "edges" else None
    tap = result.taps.get(raster.name)
    return (share, "", 0) if tap is None else (share, str(tap["layer"]), int(tap["stride"]))


def _heat(one: RunOn, plan: Plan, photo: Photo, write: Write) -> Heat:
    typed = command("dense", plan.run.images[one.image].typed, "--model", plan.run.model)
    if one.path is None:
        return Heat(photo, None, one.missing, typed)
    result = load_kind(one.path, DenseResult)
    try:
        peaks = []
        for number, (code, label) in enumerate(zip(result.classes.tolist(), result.labels, strict=True)):
            row, col = result.peak(number)
            score = float(result.scores[number, row, col])
            name = label or f"class {code}"
            peaks.append(Peak(name, score, float(result.center_y[row]), float(result.center_x[col])))
        cells = (len(result.center_y), len(result.center_x))
        stride = (float(result.stride[0]), float(result.stride[1]))
    except DAMAGED as error:
        raise damaged(one.path) from error
    picture, kept = _written("dense", result, one, one.path, plan, write)
    size = one.path.stat().st_size
    return Heat(photo, picture, "", typed, kept, size, tuple(peaks), cells, stride, result.cast)


def _comparison(one: RunOn, plan: Plan, photo: Photo, write: Write) -> Comparison:
    words = [plan.run.images[one.image].typed, "--model", plan.run.model, "--compare"]
    if one.path is None:
        return Comparison(photo, None, one.missing, command("dense", *words))
    result = load_kind(one.path, CompareResult)
    try:
        rows = tuple(Cost(*row) for row in result.rows)
        regions = len(result.boxes)
    except DAMAGED as error:
        raise damaged(one.path) from error
    picture, kept = _written("compare", result, one, one.path, plan, write)
    return Comparison(
        photo,
        picture,
        "",
        command("dense", *words, "--regions", str(regions)),
        kept,
        one.path.stat().st_size,
        name=result.label or f"class {result.class_index}",
        rows=rows,
        regions=regions,
        correlation=float(result.correlation),
        where=f"{result.device}, {result.threads} {'thread' if result.threads == 1 else 'threads'}",
    )


def _written(
    name: str, result: Result, one: RunOn, path: Path, plan: Plan, write: Write
) -> tuple[Picture, str | None]:
    """Write a figure, and a copy of its file where that is small; return both addresses."""
    picture = write_figure(result, path, fcn_file(plan, one.image, f"{name}.jpg"), write)
    return picture, write_copy(path, fcn_file(plan, one.image, f"{name}.npz"), plan, write)
