"""Masks of units: each outlined on its image, some of a layer on a sheet."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netviz.errors import ImageError, ResultError
from netviz.images.labelled.labels import read_pixels
from netviz.images.read import read_image
from netviz.paper import style
from netviz.paper.raster import encode_jpeg
from netviz.paper.tiles import lay_out
from netviz.questions.patches.outlines import outline
from netviz.results.survey import ConceptsRecord, MasksRecord

from ..addresses import Addresses
from ..drawing import QUALITY, Pixels, Write, chunks, sprite_sheets
from ..manifest import Picture
from ..panel import Panel

SIDE = 144
"""Longest side of an image on a sheet in pixels."""

GAP = 3
"""Pixels between two of them."""

_KEPT = 512
"""How many images are kept from one layer to the next."""


@dataclass(frozen=True)
class Mask:
    """An image with the part outlined where a unit is above its threshold, as one tile of a sheet.

    Attributes
    ----------
    picture : Picture
        The sheet.
    tile : (int, int)
        Width and height of the image in the sheet, in pixels.
    left, top : int
        Its first pixel.
    image : str
        What the image is called: the one on which the unit is strongest.
    share : float
        Which share of the image is above the threshold.
    """

    picture: Picture
    tile: tuple[int, int]
    left: int
    top: int
    image: str
    share: float


class Images:
    """Reads the images of masks, and keeps them as small as they are drawn."""

    def __init__(self, concepts: ConceptsRecord) -> None:
        self._concepts = concepts
        self._kept: dict[int, tuple[Pixels, tuple[int, int]]] = {}

    def name(self, number: int) -> str:
        """Return what an image is called."""
        return self._concepts.images[number].name

    def __call__(self, number: int) -> tuple[Pixels, tuple[int, int]]:
        """Return an image as small as it is drawn, and its own height and width.

        Raises
        ------
        ResultError
            If it cannot be read.
        """
        if number not in self._kept:
            path = self._concepts.images[number].file
            pixels = _read(path)
            height, width = pixels.shape[:2]
            shrink = SIDE / max(height, width)
            small = max(1, round(width * shrink)), max(1, round(height * shrink))
            image = np.asarray(Image.fromarray(pixels).resize(small, Image.Resampling.LANCZOS))
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[number] = image, (height, width)
        return self._kept[number]


def files(addresses: Addresses) -> Iterator[str]:
    """Yield the address of every sheet of masks."""
    found = addresses.run.concepts
    for masks in found.masks if isinstance(found, ConceptsRecord) else ():
        for number in sprite_sheets(masks.units):
            yield _sheet(addresses, masks, number)


def _sheet(addresses: Addresses, masks: MasksRecord, number: int) -> str:
    return f"{addresses.folder}/concepts/{addresses.slugs[masks.layer]}-{number}.jpg"


def draw_masks(masks: MasksRecord, images: Images, addresses: Addresses, write: Write) -> dict[int, Mask]:
    """Draw the masks of one layer's units, one sheet after the other; return each unit's.

    Parameters
    ----------
    masks : MasksRecord
    images : Images
        Of this run.

    Raises
    ------
    ResultError
        If the masks or an image are missing or damaged.
    """
    if not masks.units:
        return {}
    stack = _stack(masks)
    found: dict[int, Mask] = {}
    for number, places in enumerate(chunks(range(len(stack)))):
        found.update(_draw(masks, stack, places, images, _sheet(addresses, masks, number), write))
    return found


def _draw(
    masks: MasksRecord,
    whole: NDArray[np.bool_],
    places: Sequence[int],
    images: Images,
    path: str,
    write: Write,
) -> dict[int, Mask]:
    """Draw some of a layer's masks, by their places."""
    units, numbers = ([values[at] for at in places] for values in (masks.units, masks.images))
    stack = whole[places[0] : places[-1] + 1]
    # As high and wide as the images take: mostly all have one aspect.
    drawn = [images(number)[0].shape for number in numbers]
    high, wide = (max(shape[axis] for shape in drawn) for axis in range(2))
    tiles = np.empty((len(stack), high, wide, 3), dtype=np.uint8)
    tiles[:] = style.rgb(style.PAPER)
    shares = []
    columns = math.ceil(math.sqrt(len(tiles)))
    boxes: list[tuple[int, int, int, int]] = []
    for tile, mask, number in zip(tiles, stack, numbers, strict=True):
        image, (height, width) = images(number)
        if height > mask.shape[0] or width > mask.shape[1]:
            raise ResultError(f"{masks.file} does not fit the images it is of; run the survey again")
        inside = mask[:height, :width]
        shares.append(float(inside.mean()))
        tall, long = image.shape[:2]
        tile[:tall, :long] = _outlined(image, inside)
        row, column = divmod(len(boxes), columns)
        boxes.append((GAP + column * (wide + GAP), GAP + row * (high + GAP), long, tall))
    sheet = lay_out(tiles, columns, GAP, style.rgb(style.PAPER), style.rgb(style.FRAME))
    write(path, encode_jpeg(sheet, QUALITY))
    picture = Picture(path, sheet.shape[1], sheet.shape[0])
    return {
        unit: Mask(picture, (long, tall), left, top, images.name(number), share)
        for unit, number, (left, top, long, tall), share in zip(units, numbers, boxes, shares, strict=True)
    }


def _outlined(image: Pixels, mask: NDArray[np.bool_]) -> Pixels:
    """Darken an image outside of a mask of another size, and draw the border between."""
    small = Image.fromarray(mask.astype(np.float32)).resize(image.shape[1::-1], Image.Resampling.BILINEAR)
    drawn: Pixels = image.copy()
    height, width = image.shape[:2]
    everywhere = np.ones((height, width), dtype=np.bool_)
    outline(drawn, (0, 0, height, width), np.asarray(small, dtype=np.float64) - 0.5, everywhere)
    return drawn


def _stack(masks: MasksRecord) -> NDArray[np.bool_]:
    """Read the masks of a layer, (units, H, W)."""
    try:
        values = read_pixels(masks.file)
    except ImageError as error:
        raise ResultError(f"cannot read {masks.file}; run the survey again") from error
    if values.dtype != np.bool_ or values.ndim != 2 or len(values) % len(masks.units):
        raise ResultError(f"{masks.file} is damaged: it holds no masks; run the survey again")
    stack: NDArray[np.bool_] = values.astype(np.bool_).reshape(len(masks.units), -1, values.shape[1])
    return stack


def _read(path: Path) -> Pixels:
    try:
        # A name from elsewhere may be that of a pipe or a device, which would never end.
        if not path.is_file():
            raise ImageError(f"no such image: {path}")
        return read_image(path).pixels
    except ImageError as error:
        raise ResultError(f"cannot read {path}; run the survey again") from error


PANEL = Panel(files=files)
