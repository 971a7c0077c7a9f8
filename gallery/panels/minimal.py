"""Minimal images: how little of a photograph suffices for the prediction."""

from collections.abc import Iterator
from dataclasses import dataclass

from netviz.paper.raster import encode_jpeg
from netviz.questions.minimal.result import MinimalResult
from netviz.results.survey import Missing, OnImage

from ..addresses import Addresses
from ..drawing import QUALITY, Write, write_copy, write_figure
from ..loading import is_small, load_kind
from ..manifest import Made, Over, Photo, Picture
from ..panel import Panel, Recipe
from ..words import command, counted, number, share_text, sized

RECIPE = Recipe(
    "Minimal images",
    "Segments are removed one by one, each time the one whose loss costs the class the least, as long as it "
    "is predicted.",
    ("Zhou et al., Object detectors emerge in deep scene CNNs, ICLR 2015",),
)


@dataclass(frozen=True)
class Minimal(Made):
    """A minimal image.

    Attributes
    ----------
    name, end : str
        The class that is predicted, and the one after the last removal.
    share : float
        Which share of the image's pixels is left.
    kept, count, judged : int
        Segments that are left, out of how many, and how many images were judged.
    score, last : float
        The class's score on the whole image and on the minimal image.
    flipped : bool
        Whether the prediction changed at all.
    over : Over or None
        The minimal image alone, to lay over the photograph.
    """

    name: str = ""
    end: str = ""
    share: float = 0.0
    kept: int = 0
    count: int = 0
    judged: int = 0
    score: float = 0.0
    last: float = 0.0
    flipped: bool = False
    over: Over | None = None


@dataclass(frozen=True)
class Minimals:
    """The page of minimal images of a network."""

    page: str
    shown: tuple[Minimal, ...]
    segments: int


def files(addresses: Addresses) -> Iterator[str]:
    """Yield the address of every file of the panel."""
    found = addresses.run.minimal
    if isinstance(found, Missing) or not found.shown:
        return
    yield _page(addresses)
    for one in found.shown:
        if one.file is not None:
            yield _file(addresses, one.image, "png")
            yield _kept(addresses, one.image)
            if is_small(one.file):
                yield _file(addresses, one.image, "npz")


def _page(addresses: Addresses) -> str:
    return f"{addresses.folder}/minimal.html"


def _file(addresses: Addresses, image: int, suffix: str) -> str:
    return f"{addresses.folder}/minimal/{addresses.photos[image]}.{suffix}"


def _kept(addresses: Addresses, image: int) -> str:
    return f"{addresses.folder}/kept/{addresses.photos[image]}.jpg"


def draw_minimal(addresses: Addresses, photos: tuple[Photo, ...], write: Write) -> Minimals | None:
    """Draw the minimal images of one network; None where there are none."""
    found = addresses.run.minimal
    if isinstance(found, Missing) or not found.shown:
        return None
    shown = tuple(_minimal(one, addresses, photos[one.image], found.segments, write) for one in found.shown)
    return Minimals(_page(addresses), shown, found.segments)


def _minimal(one: OnImage, addresses: Addresses, photo: Photo, segments: int, write: Write) -> Minimal:
    image = addresses.run.images[one.image]
    words = [image.source, "--model", addresses.run.model, "--segments", str(segments), *sized(image.size)]
    typed = command("minimal", *words, run=addresses.run)
    if one.file is None:
        return Minimal(photo, None, one.missing, typed)
    result = load_kind(one.file, MinimalResult)
    last = result.score if not result.removed else float(result.scores[result.removed - 1])
    picture = write_figure(result, _file(addresses, one.image, "png"), write)
    kept = write_copy(one.file, _file(addresses, one.image, "npz"), write)
    write(_kept(addresses, one.image), encode_jpeg(result.minimal, QUALITY, optimize=True))
    alone = Picture(_kept(addresses, one.image), result.minimal.shape[1], result.minimal.shape[0])
    return Minimal(
        photo=photo,
        picture=picture,
        missing="",
        command=typed,
        name=result.name,
        end=result.end_name,
        share=result.share,
        kept=result.count - result.removed,
        count=result.count,
        judged=result.evaluations,
        score=result.score,
        last=last,
        flipped=result.flipped,
        over=Over("Minimal image", f"What suffices for {result.name}; the rest is blurred.", alone),
        data=kept,
        bytes=one.file.stat().st_size,
    )


def minimal_note(minimal: Minimal) -> str:
    """Say what a minimal image kept."""
    if not minimal.flipped:
        return (
            f"Predicted as {minimal.name}, also with every segment removed: the blurred image alone suffices."
        )
    left = (
        f"{minimal.kept:,} of {counted(minimal.count, 'segment')}, {share_text(minimal.share)} of the image"
    )
    return (
        f"Predicted as {minimal.name} (score {number(minimal.score)}), and still so (score {number(minimal.last)}) "
        f"with {left}; with one less, as {minimal.end}. To find them {counted(minimal.judged, 'image')} were judged."
    )


def minimal_alt(minimal: Minimal) -> str:
    """Describe the picture of a minimal image for those who cannot see it."""
    return (
        f"Minimal image of {minimal.name} in {minimal.photo.name}: {share_text(minimal.share)} of it, the order in "
        f"which its segments were removed, and the score after each"
    )


def minimals_text(minimals: Minimals) -> str:
    """Say on the overview what there is on the page of minimal images."""
    made = [
        f"{share_text(one.share)} of {one.photo.name} ({one.name})" for one in minimals.shown if one.picture
    ]
    return f"what suffices for the prediction: {' and '.join(made)}." if made else "none could be made."


PANEL = Panel(
    folders=("minimal", "kept"),
    files=files,
    words=(minimal_note, minimal_alt, minimals_text),
)
