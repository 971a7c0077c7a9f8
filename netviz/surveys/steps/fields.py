"""A survey's fields: what the middle unit of each layer could see of an image, and what it uses of that."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from netviz.capture import brief
from netviz.errors import NetvizError, OutputError
from netviz.geometry.effective import effective_fields, locate
from netviz.images import prepare, read_image
from netviz.models import Layer, LayerIndex, Model, Preprocessing
from netviz.questions.field.measure import own_size, theoretical_result, with_effective
from netviz.questions.field.result import FieldResult
from netviz.questions.opening import input_preprocessing, layer_fields, layers
from netviz.surveys.step import Noted, Report

FOLDER = "fields"
"""Of the layers' results, inside the survey's."""


PHOTOS = {"standard": 2, "full": 9}
"""Over how many photographs a gradient is averaged."""


def survey_fields(
    model: Model,
    chosen: Sequence[Layer],
    slugs: Mapping[Layer, str],
    sources: Sequence[str | Path],
    names: Sequence[str],
    out: Path,
    *,
    size: tuple[int, int] | None = None,
    form: str = "standard",
    report: Report | None = None,
) -> Noted:
    """Save of each layer the theoretical field and the effective field of all its units, ``fields/SLUG.npz``.

    Both are what `netviz.field` finds in the middle of the layer's map on the first photographs, but the network runs
    once on each photograph and not once for each layer. Files that an interrupted survey has left are kept if all
    are there.

    Parameters
    ----------
    model : Model
    chosen : sequence of Layer
        The surveyed layers.
    slugs : mapping of Layer to str
        What their files are called.
    sources, names : sequence of str or Path, sequence of str
        The photographs, and what each is called.
    out : Path
        The survey's folder.
    size : (int, int), optional
        Input height and width in pixels, if asked for.
    form : {"standard", "full"}
        On two photographs, or on nine.
    report : callable, optional
        Called with what is being done, how many photographs are done, and how many there are.

    Returns
    -------
    dict
        For ``run.json``: the folder and how many photographs; or why there are no fields.
    """
    some = list(sources[: PHOTOS[form]])
    noted: Noted = {"folder": FOLDER, "photos": len(some)}
    files = {layer: out / FOLDER / f"{slugs[layer]}.npz" for layer in chosen}
    if all(file.is_file() for file in files.values()):
        return noted
    try:
        for layer, result in _fields(model, chosen, some, names, size, report).items():
            result.save(files[layer])
    except OutputError:
        raise
    except NetvizError as error:
        return {"missing": str(error)}
    except (RuntimeError, IndexError) as error:
        return {"missing": f"{model.name} gives no gradient ({brief(error)})"}
    return noted


def _fields(
    model: Model,
    chosen: Sequence[Layer],
    sources: Sequence[str | Path],
    names: Sequence[str],
    size: tuple[int, int] | None,
    report: Report | None,
) -> dict[Layer, FieldResult]:
    index, preprocessing, pairs = at_one_size(model, chosen, sources[0], size)
    theory = layer_fields(model, index)
    images = [prepare(read_image(source).pixels, preprocessing) for source in sources]

    def tensors() -> Iterator[Tensor]:
        for step, one in enumerate(images):
            if report is not None:
                report(f"{model.name}: fields on {names[step]}", step, len(images))
            yield one.tensor

    found = effective_fields(model.runnable(), list(pairs.values()), tensors())
    results = {}
    for layer, one in pairs.items():
        result = theoretical_result(model, index, one, theory, locate(one, (one.shape or ())[1:], None), None)
        result = replace(result, image=images[0].image, images=(names[0],))
        if one in found:
            result = with_effective(result, found[one], tuple(names[: len(sources)]))
        results[layer] = result
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
