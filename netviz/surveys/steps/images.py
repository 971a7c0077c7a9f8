"""A survey's photographs, as the network saw them, and what it answers."""

import io
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from netviz.capture import evaluation, network_device
from netviz.capture.outputs import named_tensors
from netviz.engines import Progress
from netviz.errors import ModelError
from netviz.images import Photo, Prepared
from netviz.models import Model
from netviz.questions.classes import scored
from netviz.results.files import write_bytes
from netviz.results.names import slug
from netviz.results.survey import AnswerRecord, ImageRecord, Part
from netviz.surveys.step import Scope

TOLD = 5
"""How many classes are told of each photograph."""


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
        records.append(
            ImageRecord(
                photo.name,
                str(source),
                file,
                height,
                width,
                asked,
                answers(scope.model, prepared.tensor),
                part_seen(prepared),
            )
        )
    return tuple(records)


def part_seen(prepared: Prepared) -> Part:
    """Return which part of its file's image a network sees: top, left, bottom and right, as shares of its sides."""
    (top, left), (rows, columns) = prepared.offset, prepared.resized
    height, width = prepared.image.shape[:2]
    return (top / rows, left / columns, (top + height) / rows, (left + width) / columns)


def answers(model: Model, image: Tensor) -> tuple[AnswerRecord, ...]:
    """Return the classes that a network finds most likely, the first one first.

    Parameters
    ----------
    model : Model
    image : Tensor of shape (1, C, H, W)
        Normalized.

    Returns
    -------
    tuple of AnswerRecord
        None of a network that gives no score for each class, or a map of them, or that does not run on this image.
    """
    return tuple(
        AnswerRecord((model.labels[number] if model.labels else "") or f"class {number}", probability)
        for number, probability in likeliest(model, image)
    )


def likeliest(model: Model, image: Tensor) -> tuple[tuple[int, float], ...]:
    """Return the numbers of the classes that a network finds most likely, with their probabilities; as `answers`."""
    network = model.runnable()
    try:
        with evaluation(network), torch.no_grad():
            found = named_tensors(network(image.to(network_device(network))))
        scores = scored(model, found, "an answer")
    except (ModelError, RuntimeError, ValueError, IndexError, AssertionError):
        # What follows in the survey says what is amiss, where anything is.
        return ()
    values = scores.values.double().cpu()
    if scores.called != "class" or found[scores.output].flatten(1).shape[1] != len(values) or len(values) < 2:
        return ()
    if not bool(values.isfinite().all()):
        return ()
    likely = values if _is_probability(values) else values.softmax(0)
    first = likely.argsort(descending=True, stable=True)[:TOLD].tolist()
    return tuple((number, round(min(float(likely[number]), 1.0), 6)) for number in first)


def _is_probability(values: Tensor) -> bool:
    """Return whether a network's scores went through a softmax already."""
    return bool((values >= 0).all()) and abs(float(values.sum()) - 1) < 1e-3


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
