"""Hypercolumns: what several layers together say of every place of a photograph."""

from collections.abc import Iterator
from dataclasses import dataclass

from netviz.paper.classes import class_colours
from netviz.paper.raster import encode_jpeg, encode_png
from netviz.questions.hypercolumn.result import HypercolumnResult
from netviz.results.survey import HypercolumnsRecord, Missing, OnImage

from ..addresses import Addresses
from ..drawing import QUALITY, Write, write_copy, write_figure
from ..loading import is_small, load_kind
from ..manifest import Made, Over, Photo, Picture
from ..panel import Panel, Recipe
from ..words import command, counted, joined, percent_of, sized

RECIPE = Recipe(
    "Hypercolumns",
    "The maps of several depths stacked at every pixel; their first three principal components as red, green "
    "and blue, and clusters by k-means.",
    (
        "Hariharan et al., Hypercolumns for object segmentation, CVPR 2015",
        "Long, Shelhamer and Darrell, Fully convolutional networks for semantic segmentation, CVPR 2015",
    ),
)


@dataclass(frozen=True)
class Hypercolumn(Made):
    """What several layers together say of a photograph.

    Attributes
    ----------
    layers : tuple of (str, str or None)
        The title and the page of each.
    explained : tuple of float
        Share of the variance in each of the three components, in 0…1.
    clusters : int
        How many there are.
    over : tuple of Over
        Both of them, to lay over the photograph.
    """

    layers: tuple[tuple[str, str | None], ...] = ()
    explained: tuple[float, ...] = ()
    clusters: int = 0
    over: tuple[Over, ...] = ()


def files(addresses: Addresses) -> Iterator[str]:
    """Yield the address of every file of the panel."""
    found = addresses.run.hypercolumns
    for one in found.shown if isinstance(found, HypercolumnsRecord) else ():
        if one.file is not None:
            yield _file(addresses, one.image, "jpg")
            yield _colours(addresses, one.image)
            yield _clusters(addresses, one.image)
            if is_small(one.file):
                yield _file(addresses, one.image, "npz")


def _file(addresses: Addresses, image: int, suffix: str) -> str:
    return f"{addresses.folder}/hypercolumns/{addresses.photos[image]}.{suffix}"


def _colours(addresses: Addresses, image: int) -> str:
    return f"{addresses.folder}/colours/{addresses.photos[image]}.jpg"


def _clusters(addresses: Addresses, image: int) -> str:
    return f"{addresses.folder}/clusters/{addresses.photos[image]}.png"


def draw_hypercolumns(
    addresses: Addresses, photos: tuple[Photo, ...], write: Write
) -> dict[int, Hypercolumn]:
    """Draw the hypercolumns of one network's photographs.

    Returns
    -------
    dict of int to Hypercolumn
        By the photograph's place among the run's.
    """
    found = addresses.run.hypercolumns
    if isinstance(found, Missing):
        return {}
    layers = addresses.run.layers
    titles = {
        layers[place].name: (layers[place].title, addresses.page(place) if addresses.slugs[place] else None)
        for place in reversed(range(len(layers)))
    }
    stacked = tuple(titles.get(name, (name, None)) for name in found.layers)
    return {
        one.image: _hypercolumn(one, addresses, photos[one.image], found.layers, stacked, write)
        for one in found.shown
    }


def _hypercolumn(
    one: OnImage,
    addresses: Addresses,
    photo: Photo,
    names: tuple[str, ...],
    stacked: tuple[tuple[str, str | None], ...],
    write: Write,
) -> Hypercolumn:
    """Draw the hypercolumns of one photograph, and copy their file where that is small."""
    image = addresses.run.images[one.image]
    words = [image.source, "--model", addresses.run.model, "--layers", ",".join(names), *sized(image.size)]
    typed = command("hypercolumn", *words, run=addresses.run)
    if one.file is None:
        return Hypercolumn(photo, None, one.missing, typed, layers=stacked)
    result = load_kind(one.file, HypercolumnResult)
    explained = tuple(result.explained.tolist())
    clusters = int(result.clusters.max()) + 1
    picture = write_figure(result, _file(addresses, one.image, "jpg"), write)
    kept = write_copy(one.file, _file(addresses, one.image, "npz"), write)
    size = one.file.stat().st_size
    over = _over(result, addresses, one.image, write)
    return Hypercolumn(photo, picture, "", typed, kept, size, stacked, explained, clusters, over)


def _over(result: HypercolumnResult, addresses: Addresses, image: int, write: Write) -> tuple[Over, ...]:
    """Write the components as colours, and the clusters, a pixel for each place."""
    colours, clusters = _colours(addresses, image), _clusters(addresses, image)
    write(colours, encode_jpeg(result.colours(), QUALITY, optimize=True))
    write(clusters, encode_png(class_colours(result.clusters)))
    rows, columns = result.clusters.shape
    return (
        Over(
            "Hypercolumn",
            "As colours: places of like colour look alike to the network.",
            Picture(colours, columns, rows),
        ),
        Over("Clusters", "Hypercolumns in groups, each of one colour.", Picture(clusters, columns, rows)),
    )


def hypercolumn_note(column: Hypercolumn) -> str:
    """Say what was stacked and how much the colours hold."""
    stacked = joined([title for title, _ in column.layers])
    shares = ", ".join(percent_of(share) for share in column.explained)
    told = (
        f"What {stacked} together say of every place: places of like colour look alike to the network. Red, green "
        f"and blue are the first three principal components ({shares} of the variance)"
    )
    return f"{told}; beside them {counted(column.clusters, 'cluster')}."


PANEL = Panel(folders=("hypercolumns", "colours", "clusters"), files=files, words=(hypercolumn_note,))
