"""``netviz layers``."""

from typing import TYPE_CHECKING, Any

import click

from .completion import keep
from .options import debug_option, json_option, model_options, size_option
from .output import print_json, print_lines, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netviz.geometry.field import Field
    from netviz.models import Layer, LayerIndex

_MARKS = {"exact": "", "upper_bound": "≤ ", "global": "all ", "unknown": "?"}


@click.command()
@click.argument("model", default="mobilenet_v2")
@size_option
@json_option
@model_options
@debug_option
def layers(model: str, size: tuple[int, int] | None, as_json: bool, **options: Any) -> None:
    """List the layers of a network, in the order in which they run.

    Every name in the table can be given to --layer: the dotted name, the alias, a glob, or -1 for the last. In a
    shell with completion (netviz --completion) they are completed from then on.

    "sees" is the theoretical receptive field in pixels of the input, height×width, and "every" its stride: from one
    position to the next. "≤" marks an upper bound (branches that see different parts), "all" a layer of which every
    position sees the whole input, "?" one that could not be followed (--json says why). "tokens" and "windows" are
    put together to maps, "+1" are class and register tokens beside those of the image.
    """
    from netviz.questions.opening import describe_field, input_preprocessing, layer_fields, load_structure
    from netviz.questions.opening import layers as list_layers

    opened = load_structure(model, **options)
    index = list_layers(opened, size=size)
    keep(model, index)
    fields = layer_fields(opened, index)
    if opened.network is not None and opened.preprocessing.assumed:
        wanted = input_preprocessing(opened.preprocessing, index, size)
        say(f"netviz: nothing says how images are prepared: {wanted}")
    if as_json:
        print_json(
            [{**layer.describe(), "receptive_field": describe_field(fields.get(layer))} for layer in index]
        )
        return
    if opened.obstacle:
        say(f"netviz: {opened.obstacle}")
    print_lines(_table(index, fields))
    total = sum(value.numel() for value in opened.weights.values() if value.is_floating_point())
    if opened.network is not None:
        total = sum(value.numel() for value in opened.network.parameters())
    input_shape = "×".join(map(str, index.input_shape)) if index.input_shape else "unknown"
    say(f"{opened.name}: {len(index)} layers, {total:,} parameters, input {input_shape} ({opened.origin})")


def _table(index: "LayerIndex", fields: "Mapping[Layer, Field]") -> list[str]:
    head = ("alias", "name", "kind", "shape C×H×W", "parameters", "sees", "every", "calls")
    rows = [
        (
            layer.alias,
            layer.name,
            layer.kind,
            _shape(layer),
            f"{layer.parameters:,}" if layer.parameters else "",
            *_field(fields.get(layer)),
            f"{layer.call + 1} of {layer.calls}" if layer.calls > 1 else "",
        )
        for layer in index
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    right = (3, 4, 5, 6)
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [head, *rows]
    ]


def _shape(layer: "Layer") -> str:
    """Return a layer's shape as the table shows it; of tokens and windows also in which form they come."""
    if layer.shape is None:
        return "?"
    return "×".join(map(str, layer.shape)) + (f" {layer.arrangement}" if layer.arrangement else "")


def _field(field: "Field | None") -> tuple[str, str]:
    """Return a field's size and stride as the table shows them."""
    if field is None:
        return "", ""
    mark = _MARKS[field.status]
    if field.status == "unknown":
        return mark, mark
    size = "×".join(f"{length:g}" for length in field.size)
    if field.place is not None:
        return f"{mark}{size}", _step(field.place.stride)
    return f"{mark}{size}", "" if field.status == "global" else _step(field.stride)


def _step(stride: tuple[float, float]) -> str:
    down, across = stride
    return f"{down:g}" if down == across else f"{down:g}×{across:g}"
