"""``netviz layers``."""

from typing import TYPE_CHECKING

import click

from .options import debug_option, json_option, model_options, size_option
from .output import print_json, say

if TYPE_CHECKING:
    from netviz.models import LayerIndex


@click.command()
@click.argument("model", default="mobilenet_v2")
@size_option
@json_option
@model_options
@debug_option
def layers(
    model: str, size: tuple[int, int] | None, as_json: bool, trust: bool, weights: str, seed: int
) -> None:
    """List the layers of a network, in the order in which they run.

    Every name in the table can be given to --layer: the dotted name, the alias, a glob, or -1 for the last.
    """
    from netviz.analysis import layers as list_layers
    from netviz.models import load

    opened = load(model, trust=trust, weights=weights, seed=seed)
    index = list_layers(opened, size=size)
    if as_json:
        print_json([layer.describe() for layer in index])
        return
    if opened.obstacle:
        say(f"netviz: {opened.obstacle}")
    click.echo(_table(index))
    total = sum(value.numel() for value in opened.weights.values() if value.is_floating_point())
    if opened.network is not None:
        total = sum(value.numel() for value in opened.network.parameters())
    input_shape = "×".join(map(str, index.input_shape)) if index.input_shape else "unknown"
    say(f"{opened.name}: {len(index)} layers, {total:,} parameters, input {input_shape} ({opened.origin})")


def _table(index: "LayerIndex") -> str:
    head = ("alias", "name", "kind", "shape C×H×W", "parameters", "calls")
    rows = [
        (
            layer.alias,
            layer.name,
            layer.kind,
            "?" if layer.shape is None else "×".join(map(str, layer.shape)),
            f"{layer.parameters:,}" if layer.parameters else "",
            f"{layer.call + 1} of {layer.calls}" if layer.calls > 1 else "",
        )
        for layer in index
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    right = (3, 4)
    lines = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    ]
    return "\n".join(lines)
