"""``netviz votes``."""

from typing import Any

import click

from .options import fit_option, model_option, output_option, result_options, size_option
from .output import Progress, deliver


@click.command()
@click.argument("image", metavar="IMAGE")
@model_option
@click.option(
    "--class",
    "class_",
    metavar="NAME|INDEX",
    help="The class that is voted for: its name or its index.  [default: the predicted one]",
)
@click.option(
    "--layer",
    "-l",
    help="Whose units: name, alias, glob, or -1 for the last.  [default: the last before the scores with maps larger "
    "than 1×1]",
)
@click.option(
    "--to",
    type=click.Choice(["zero", "mean"]),
    default="zero",
    show_default=True,
    help="What a unit is put to, to see what the score becomes: 0, or the mean over its map.",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=6,
    show_default=True,
    help="How many units are shown for the class, and how many against it, at most.",
)
@fit_option
@output_option
@size_option
@result_options("votes.png")
def votes(out: str | None, as_json: bool, **options: Any) -> None:
    """Tell which units of a layer carry a class score: each one's share, and the score without it.

    IMAGE is a file, or skimage:NAME for a photograph that comes with scikit-image. A share is activation times
    gradient of the score, summed over the unit's map; where the score is linear in the layer's output, as before a
    global average, shares are exact. The score without a unit is measured: only what comes after the layer runs
    again, and the answer is that of full passes.

    The NPZ holds `share` and `ablated` (C,), the score without each unit; `units`, the ones shown, with `maps` and
    `contributions` (K, h, w), `peaks` and `boxes`; and `image`.
    """
    from netviz.questions.votes.measure import votes as count

    deliver(count(**options, progress=Progress()), out, "votes.png", as_json)
