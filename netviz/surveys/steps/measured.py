"""A survey's measured fields: what makes each unit change when parts of the first photographs are covered."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from netviz.capture import brief, network_device
from netviz.capture.tape import record
from netviz.engines import Progress
from netviz.errors import NetvizError, OutputError
from netviz.geometry.field import Field
from netviz.images import prepare, read_image
from netviz.models import Layer, LayerIndex, Model, Preprocessing
from netviz.questions.field.empirical.average import Alignment, find_peaks, random_colours
from netviz.questions.field.empirical.passes import (
    Occluder,
    Shot,
    choose_occluders,
    find_changes,
    finest,
    measured_result,
)
from netviz.questions.field.measure import own_size
from netviz.questions.field.result import MeasuredResult
from netviz.questions.opening import layer_fields
from netviz.results.survey import MeasuredRecord, Missing
from netviz.surveys.step import Scope
from netviz.surveys.steps.fields import PHOTOS, at_one_size

HEAVY = 5e9
"""Multiply-adds of a forward pass above which the standard form measures on one photograph."""

SEED = 0
"""Draws the random colours, as `netviz.field` does by default."""

AREA = 224 * 224
"""Pixels of the image where a network takes any size: each photograph is run hundreds of times."""


def survey_measured(scope: Scope, report: Progress) -> MeasuredRecord | Missing:
    """Measure the empirical field of many units at once, and save those of each layer in ``measured/SLUG.npz``.

    Photographs that a network takes at any size are brought to that of the first, and to the area of 224×224 pixels
    at most: fields are as large there. Each is covered by occluders of four sizes, one for every depth of the
    network: as many as 740 forward passes of a square image would show, of which most are run on windows. Each is
    read at the position of every unit of the layers that the size is for. The first photographs are taken, whichever
    units they activate: `netviz.field` would search for those that activate a unit most. Files are kept if all are
    there.
    """
    model, folder, units = scope.model, scope.out / "measured", scope.paged
    try:
        index, preprocessing, there = at_one_size(
            model,
            [layer for layer in scope.chosen if units.get(layer)],
            scope.shown[0],
            scope.size or _moderate(own_size(model, read_image(scope.shown[0]))),
        )
        if not there:
            return Missing("no layer has maps")
        theory = layer_fields(model, index)
        shape = index.input_shape or (0, 0, 0)
        hidden = Hidden(
            model, preprocessing, (shape[1], shape[2]), {one: list(units[own]) for own, one in there.items()}
        )
        parts = list(finest(choose_occluders(hidden.size), {one: theory[one] for one in there.values()}))
        heavy = scope.form == "standard" and _multiply_adds(index) > HEAVY
        some = list(scope.shown[: 1 if heavy else PHOTOS[scope.form]])
        names = [image.name for image in scope.images[: len(some)]]
        passes = len(some) * sum(occluder.passes for occluder, _ in parts)
        files = {one: folder / f"{scope.slugs[own]}.npz" for own, one in there.items()}
        if not all(file.is_file() for file in files.values()):
            shots = _shots(hidden, parts, some, names, passes, report)
            for occluder, mine in parts:
                for layer in mine:
                    if shots[layer]:
                        found = _result(hidden, layer, theory[layer], occluder, shots[layer], names)
                        found.save(files[layer])
    except OutputError:
        raise
    except NetvizError as error:
        return Missing(str(error))
    except (RuntimeError, ValueError, IndexError) as error:
        return Missing(f"{model.name} does not run on covered photographs ({brief(error)})")
    return MeasuredRecord(folder, len(some), passes)


def _moderate(size: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return a size of the same proportions that has at most `AREA` pixels."""
    if size is None or math.prod(size) <= AREA:
        return size
    factor = math.sqrt(AREA / math.prod(size))
    return round(size[0] * factor), round(size[1] * factor)


def _multiply_adds(index: LayerIndex) -> int:
    """Return about how many multiply-adds the convolutions of a forward pass take."""
    return sum(one.parameters * math.prod((one.shape or ())[1:]) for one in index if one.kernel is not None)


@dataclass(frozen=True)
class Hidden:
    """What is covered and read: the network, how images come to it and at which size, and the units of each layer."""

    model: Model
    preprocessing: Preprocessing
    size: tuple[int, int]
    units: Mapping[Layer, Sequence[int]]


def _shots(
    hidden: Hidden,
    parts: Sequence[tuple[Occluder, list[Layer]]],
    sources: Sequence[str | Path],
    names: Sequence[str],
    passes: int,
    report: Progress,
) -> dict[Layer, list[Shot]]:
    """Cover each image by each occluder; return how much the units of each layer change."""
    network = hidden.model.runnable()
    device = network_device(network)
    shots: dict[Layer, list[Shot]] = {layer: [] for layer in hidden.units}
    done = 0

    def tell(name: str, more: int) -> None:
        nonlocal done
        done += more
        report(f"{hidden.model.name}: covering parts of {name}", done, passes)

    for number, source in enumerate(sources):
        image = prepare(read_image(source), hidden.preprocessing).tensor.to(device)
        colours = random_colours(hidden.size, hidden.preprocessing, SEED, number).to(device)
        found = find_peaks(network, image, hidden.units)
        tape = record(network, image, keep=False)
        for occluder, layers in parts:
            # A network that looks at its image may leave a layer out.
            peaks = {layer: found[layer] for layer in layers if layer in found}
            if not peaks:
                continue
            changes = find_changes(
                network, image, colours, peaks, occluder, partial(tell, names[number]), tape
            )
            for layer, values in changes.items():
                shots[layer].append(Shot(peaks[layer], values))
    return shots


def _result(
    hidden: Hidden,
    layer: Layer,
    field: Field,
    occluder: Occluder,
    shots: Sequence[Shot],
    names: Sequence[str],
) -> MeasuredResult:
    rows, columns = (layer.shape or (0, 0, 0))[1:]
    facts = {
        "network": hidden.model.name,
        "layer": layer.name,
        "alias": layer.alias,
        "layer_kind": layer.kind,
        "channels": layer.channels,
        "images": tuple(names),
        "seed": SEED,
    }
    return measured_result(Alignment(field, (rows, columns), hidden.size), occluder, shots, facts)
