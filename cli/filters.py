"""``netviz filters``."""

import click

from .options import debug_option, json_option, model_options, out_option
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
@click.option("--units", help="Which units to draw: 0:16 (a range as in Python) or 3,7.  [default: all]")
@click.option("--max", "max_units", type=click.IntRange(min=1), help="Draw at most so many filters.")
@out_option("Picture (.png, .svg, .pdf) or arrays (.npz).  [default: filters.png]")
@json_option
@model_options
@debug_option
def filters(
    model: str,
    layer: str | None,
    scale: str,
    sort: str,
    units: str | None,
    max_units: int | None,
    out: str | None,
    as_json: bool,
    trust: bool,
    weights: str,
    seed: int,
) -> None:
    """Draw the filters of a convolution.

    The NPZ holds `weight`, exactly the parameter, of shape (O, I/groups, kh, kw).
    """
    from netviz.questions.filters.measure import filters as take_filters

    result = take_filters(
        model,
        layer=layer,
        scale=scale,
        sort=sort,
        units=units,
        max_units=max_units,
        trust=trust,
        weights=weights,
        seed=seed,
    )
    deliver(result, out, "filters.png", as_json)
