"""``netviz contrast``."""

from typing import Any

import click

from .options import fit_option, layer_option, model_option, result_options, size_option, units_option
from .output import deliver


def odd(ctx: click.Context, param: click.Parameter, value: int) -> int:
    """Reject an even window: it has no middle."""
    if value % 2 == 0:
        raise click.BadParameter(f"{value} is even; give an odd number such as {value + 1}")
    return value


@click.command()
@click.argument("image", metavar="IMAGE")
@layer_option()
@model_option
@click.option(
    "--method",
    type=click.Choice(["lcn", "lrn", "batch"]),
    default="lcn",
    show_default=True,
    help="Local contrast normalization, local response normalization, or the network's own batch norm as recorded "
    "(then LAYER is the batch norm or the convolution before it).",
)
@click.option(
    "--window",
    type=click.IntRange(min=1),
    callback=odd,
    default=7,
    show_default=True,
    help="Side of the Gaussian window, in positions of the map.",
)
@click.option(
    "--sigma",
    type=click.FloatRange(min=0, min_open=True),
    help="Standard deviation of the Gaussian, in positions.  [default: 1.591/9 of the window]",
)
@click.option(
    "--across",
    type=click.Choice(["maps", "each"]),
    default="maps",
    show_default=True,
    help="Let the window span all maps, or take each map by itself.",
)
@click.option(
    "--constants",
    type=click.Choice(["paper", "pytorch"]),
    default="paper",
    show_default=True,
    help="Whose constants lrn has: Krizhevsky's, or the defaults of torch.nn.LocalResponseNorm.",
)
@units_option("36 at most")
@click.option(
    "--scale",
    type=click.Choice(["shared", "each"]),
    default="shared",
    show_default=True,
    help="Draw all maps before by one scale, and all after by another, or each by its own range.",
)
@fit_option
@size_option
@result_options("contrast.png")
def contrast(out: str | None, as_json: bool, **options: Any) -> None:
    """Draw a layer's maps before and after contrast normalization.

    IMAGE is a file, or skimage:NAME for a photograph that comes with scikit-image.

    The NPZ holds `before` and `after` (C, H, W); `local_mean_before`, `local_std_before`, `local_mean_after` and
    `local_std_after` (H, W), by the same window before and after; and `image` (H', W', 3) as the network saw it.
    """
    from netviz.questions.contrast.measure import contrast as take_contrast

    deliver(take_contrast(**options), out, "contrast.png", as_json)
