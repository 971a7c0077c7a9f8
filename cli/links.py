"""``netviz links``."""

from typing import Any

import click

from .options import layer_option, result_options, size_option
from .output import deliver


@click.command()
@click.argument("model", default="mobilenet_v2")
@layer_option("The unit's layer: name, alias, glob, or -1 for the last with maps.")
@click.option("--unit", "-u", type=int, required=True, help="Number of the unit; -1 is the last.")
@click.option(
    "--run",
    metavar="RUN",
    help="A run of netviz patches: shows patches of every unit, and links by typical activation too.",
)
@click.option(
    "--from",
    "before",
    metavar="LAYER",
    help="From which layer's units it is built.  [default: the nearest that linear steps join to it]",
)
@click.option(
    "--to",
    "after",
    metavar="LAYER",
    help="Which layer's units it feeds.  [default: the nearest that linear steps join to it]",
)
@click.option(
    "--through",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="How many non-linearities on a way are taken as open, as if they were not there.",
)
@click.option(
    "--top", type=click.IntRange(min=1), default=10, show_default=True, help="How many links of each kind."
)
@size_option
@result_options("links.png")
def links(out: str | None, as_json: bool, **options: Any) -> None:
    """Tell what a unit is built from and what it feeds, by its weights: no image is needed.

    The weights between units are multiplied out over what lies between them, as long as it is linear: convolutions,
    batch normalization, sums, concatenations, mean pooling. Of a unit that linear steps join to the class scores, the
    classes that it raises and lowers are told.

    The NPZ holds `before_norms` and `before_sums` (C,) of all units of the layer before, `before_units` (K,) and
    `before_kernels` (K, kh, kw) of those shown, the same of the layer `after`, and `class_weights` (classes,).
    """
    from netviz.questions.links.measure import links as find

    deliver(find(**options), out, "links.png", as_json)
