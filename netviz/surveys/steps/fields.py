"""A survey's fields: what the middle unit of each layer could see of an image, and what it uses of that."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from netviz.capture import brief
from netviz.engines import Progress
from netviz.errors import NetvizError, OutputError
from netviz.geometry.effective import effective_fields, locate
from netviz.images import prepare, read_image
from netviz.models import Layer, LayerIndex, Model, Preprocessing
from netviz.questions.field.measure import own_size, theoretical_result, with_effective
from netviz.questions.field.result import FieldResult
from netviz.questions.opening import input_preprocessing, layer_fields, layers, provenance
from netviz.results.survey import FieldsRecord, Missing
from netviz.surveys.step import Scope

PHOTOS = {"standard": 2, "full": 9}
"""Over how many photographs a gradient is averaged."""


def survey_fields(scope: Scope, report: Progress) -> FieldsRecord | Missing:
    """Save of each layer the theoretical field and the effective field of all its units, ``fields/SLUG.npz``.

    Both are what `netviz.field` finds in the middle of the layer's map on the first photographs, but the network runs
    once on each photograph and not once for each layer.
    """
    folder = scope.out / "fields"
    record = FieldsRecord(folder, min(PHOTOS[scope.form], len(scope.shown)))
    files = {layer: folder / f"{slug}.npz" for layer, slug in scope.slugs.items()}
    if all(file.is_file() for file in files.values()):
        return record
    try:
        for layer, result in _fields(scope, record.photos, report).items():
            result.save(files[layer], coarse=True, pictures=scope.pictures)
    except OutputError:
        raise
    except NetvizError as error:
        return Missing(str(error))
    except (RuntimeError, IndexError) as error:
        return Missing(f"{scope.model.name} gives no gradient ({brief(error)})")
    return record


def _fields(scope: Scope, photos: int, report: Progress) -> dict[Layer, FieldResult]:
    model, names = scope.model, tuple(image.name for image in scope.images[:photos])
    index, preprocessing, pairs = at_one_size(model, scope.chosen, scope.shown[0], scope.size)
    theory = layer_fields(model, index)
    images = [prepare(read_image(source), preprocessing) for source in scope.shown[:photos]]

    def tensors() -> Iterator[Tensor]:
        for step, one in enumerate(images):
            report(f"{model.name}: fields on {names[step]}", step, len(images))
            yield one.tensor

    found = effective_fields(model.runnable(), list(pairs.values()), tensors())
    results = {}
    for layer, one in pairs.items():
        result = theoretical_result(model, index, one, theory, locate(one, (one.shape or ())[1:], None), None)
        result = replace(result, image=images[0].image, images=names[:1], **provenance(model, preprocessing))
        results[layer] = with_effective(result, found[one], names) if one in found else result
    return results


def at_one_size(
    model: Model, chosen: Sequence[Layer], first: str | Path, size: tuple[int, int] | None
) -> tuple[LayerIndex, Preprocessing, dict[Layer, Layer]]:
    """Return how images are all brought to one size, that of the first unless asked for, and the layers there.

    Returns
    -------
    LayerIndex
        Of the network at this size.
    Preprocessing
    dict of Layer to Layer
        Of the chosen layers those with maps, as they are in this index: at another size they have other shapes.
    """
    index = layers(model, size=size or own_size(model, read_image(first)))
    height, width = (index.input_shape or (0, 0, 0))[1:]
    preprocessing = input_preprocessing(model.preprocessing, index, (height, width))
    there = {(one.module, one.function, one.call): one for one in index}
    sized = {layer: there.get((layer.module, layer.function, layer.call)) for layer in chosen}
    return (
        index,
        preprocessing,
        {layer: one for layer, one in sized.items() if one is not None and one.spatial},
    )
