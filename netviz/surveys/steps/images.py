"""A survey's photographs, as the network saw them."""

import io
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netviz.engines import Progress
from netviz.images import Photo
from netviz.results.files import write_bytes
from netviz.results.names import slug
from netviz.results.survey import ImageRecord
from netviz.surveys.step import Scope


def survey_images(scope: Scope, report: Progress) -> tuple[ImageRecord, ...]:
    """Write every photograph as the network sees it, ``images/NUMBER-NAME.png``."""
    records: list[ImageRecord] = []
    names: list[str] = []
    for number, source in enumerate(scope.shown):
        photo, prepared = scope.read(number)
        photo = _named(photo, names)
        report(f"{scope.model.name}: {photo.name}", number, len(scope.shown))
        file = scope.out / f"images/{len(names):03d}-{slug(photo.name)}.png"
        write_bytes(file, _png(prepared.image))
        height, width = prepared.image.shape[:2]
        # What a command has to ask for to see the image as it was seen here.
        asked = (height, width) if scope.own_size else scope.size
        records.append(ImageRecord(photo.name, str(source), file, height, width, asked))
    return tuple(records)


def _named(photo: Photo, names: list[str]) -> Photo:
    """Give the photograph a name that no other has, and note it."""
    name, number = photo.name, 2
    while name in names:
        name, number = f"{photo.name} ({number})", number + 1
    names.append(name)
    return replace(photo, name=name)


def _png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
