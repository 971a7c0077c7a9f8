"""``netviz filters``."""

from typing import Any

import click

from .options import result_options, units_option
from .output import deliver


@click.command()
@click.argument("model", default="mobilenet_v2")
@click.option(
    "--layer", "-l", help="The convolution: name, alias, glob, or -1 for the last.  [default: the first]"
)
@click.option(
    "--scale",
    type=click.Choice(["each", "shared"]),
    default="each",
    show_default=True,
    help="Draw each filter by its own largest weight, or all by one scale.",
)
@click.option(
    "--sort",
    type=click.Choice(["index", "norm", "hue"]),
    default="index",
    show_default=True,
    help="Drawing order: the network's, largest norm first, or by colour.",
)
@units_option("all")
@click.option("--max", "max_units", type=click.IntRange(min=1), help="Draw at most so many filters.")
@result_options("filters.png")
def filters(out: str | None, as_json: bool, **options: Any) -> None:
    """Draw the filters of a convolution.

    The NPZ holds `weight`, exactly the parameter, of shape (O, I/groups, kh, kw).
    """
    from netviz.questions.filters.measure import filters as take_filters

    deliver(take_filters(**options), out, "filters.png", as_json)
