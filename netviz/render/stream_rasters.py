"""The streams of a dense network as plain pictures on the image's own pixels, to be laid over one another."""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netviz.render import style
from netviz.render.classes import class_colours
from netviz.render.regions import grey, outside_pale
from netviz.render.scales import Pixels, Scale, finite_range
from netviz.results import StreamsResult

NAMED: Final = 48
"""Most classes that a legend names."""


class Raster(NamedTuple):
    """A picture of the image's size.

    Attributes
    ----------
    name : str
        The stream, or ``"16s"`` of what it changed.
    before : str
        Of what a stream changed: the stream before it; else nothing.
    pixels : ndarray of uint8, shape (H, W, 3)
    """

    name: str
    before: str
    pixels: Pixels


def stream_rasters(result: StreamsResult) -> list[Raster]:
    """Colour every stream, coarse to fine; of classes also what each changed.

    Parameters
    ----------
    result : StreamsResult

    Returns
    -------
    list of Raster
        The streams first. Classes have the colours of `class_colour`, maps those of `stream_scale`.
    """
    if result.form == "classes":
        faded = outside_pale(grey(result.image), np.zeros(result.image.shape[:2], dtype=np.bool_))
        found = [Raster(name, "", class_colours(result.predicted(name))) for name in result.names]
        for name, change in result.changed.items():
            before = str(change["from"])
            found.append(Raster(name, before, changed(result, before, name, faded)))
        return found
    scale = stream_scale(result)
    table = style.colour_table(scale.colours)
    rasters = []
    for name in result.names:
        share = (stream_map(result, name).astype(np.float64) - scale.low) / (scale.high - scale.low)
        level = np.rint(np.nan_to_num(np.clip(share, 0, 1)) * (len(table) - 1)).astype(np.intp)
        rasters.append(Raster(name, "", table[level]))
    return rasters


def changed(result: StreamsResult, before: str, after: str, faded: Pixels) -> Pixels:
    """Return a faded image with the new class where a stream has another one than the stream before it."""
    new = result.predicted(after)
    other = new != result.predicted(before)
    picture: Pixels = faded.copy()
    picture[other] = class_colours(new)[other]
    return picture


def held_classes(result: StreamsResult) -> tuple[list[int], int]:
    """Return the classes that occur in any stream or in the truth, and how many more there are.

    Of very many those with most pixels are kept, in the order of their numbers.
    """
    pictures = [result.predicted(name).ravel() for name in result.names]
    if result.truth is not None:
        pictures.append(result.truth[result.truth >= 0].astype(np.intp))
    counts = np.bincount(np.concatenate(pictures), minlength=len(result.classes))
    held = np.flatnonzero(counts).tolist()
    kept = sorted(sorted(held, key=lambda code: -counts[code])[:NAMED])
    return kept, len(held) - len(kept)


def stream_map(result: StreamsResult, name: str) -> NDArray[np.float32]:
    """Return what is drawn of a stream of one map, (H, W): the sigmoid of a logit, else the map itself."""
    values: NDArray[np.float32] = (
        result.probability(name) if result.form == "edges" else result.streams[name][0]
    )
    return values


def stream_scale(result: StreamsResult) -> Scale:
    """Return the one scale of all streams of one map each."""
    if result.form == "edges":
        return Scale(0.0, 1.0, "sequential", False)
    values: NDArray[Any] = np.concatenate([stream_map(result, name).ravel() for name in result.names])
    low, high = finite_range(values)
    if low < 0:
        limit = max(-low, high)
        return Scale(-limit, limit, "diverging", False)
    return Scale(0.0, high or 1.0, "sequential", False)
