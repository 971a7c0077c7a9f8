"""``netviz hypercolumn``."""

from typing import Any

import click

from .options import fit_option, model_option, result_options, size_option
from .output import deliver


@click.command()
@click.argument("image", metavar="IMAGE")
@click.option(
    "--layers",
    "-l",
    required=True,
    metavar="L1,L2,...",
    help="The layers: names, aliases or globs, separated by commas.",
)
@model_option
@click.option(
    "--clusters",
    "-k",
    type=click.IntRange(2, 24),
    default=8,
    show_default=True,
    help="How many clusters the places are parted into.",
)
@fit_option
@size_option
@result_options("hypercolumn.png")
def hypercolumn(out: str | None, as_json: bool, **options: Any) -> None:
    """Stack maps of several depths at every place of an image, as PCA colours and as clusters.

    Maps are read between the centres of what their positions see; each layer is scaled to the same summed variance,
    so that wide ones do not dominate. IMAGE is a file, or skimage:NAME for a photograph that comes with scikit-image.
    The seed also starts the clusters.

    The NPZ holds `components` (3, H, W), float32; `explained` (3), each one's share of the variance; `clusters`
    (H, W), numbered from the largest; and `image` (H', W', 3) as the network saw it.
    """
    from netviz.questions.hypercolumn.measure import hypercolumn as take

    deliver(take(**options), out, "hypercolumn.png", as_json)
