"""``netviz segment``."""

from typing import Any

import click

from .options import fit_option, images_option, layer_option, model_option, result_options, size_option
from .output import Progress, deliver, say


def _threshold(text: str) -> str | float:
    """Read ``quantile`` or a fraction."""
    if text == "quantile":
        return text
    try:
        fraction = float(text)
    except ValueError:
        fraction = 0.0
    if not 0 < fraction <= 1:
        raise click.BadParameter(
            f"{text!r} is neither 'quantile' nor a fraction above 0 and at most 1, such as 0.5"
        )
    return fraction


@click.command()
@click.argument("image", metavar="IMAGE")
@model_option
@layer_option("Layer: name, alias, glob, or -1 for the last with maps.")
@click.option("--unit", "-u", type=int, required=True, help="Number of the unit; -1 is the last.")
@click.option(
    "--threshold",
    type=_threshold,
    default="quantile",
    show_default=True,
    metavar="quantile|FRACTION",
    help="What the map must exceed: the unit's quantile over many images, or a fraction of the map's maximum.",
)
@click.option(
    "--quantile",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.995,
    show_default=True,
    help="Which quantile.",
)
@images_option(
    "Over which images the quantile is taken: file or folder; may be given several times.  [default: "
    "scikit-image's photographs]",
)
@click.option("--run", metavar="RUN", help="Folder of a finished run of netviz patches: take its quantile.")
@fit_option
@size_option
@result_options("segment.png")
def segment(
    threshold: str | float,
    images: tuple[str, ...],
    run: str | None,
    out: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Outline the part of an image that a unit answers to.

    The unit's map is brought to the image between the centres of what its positions see, and cut at a threshold.
    IMAGE is a file, or skimage:NAME for a photograph that comes with scikit-image.

    The NPZ holds `mask` (H, W), bool, in pixels of the original image; `heat` (H, W), the map brought there (NaN
    where the network was not shown the image); `map` (h, w), the raw map; and `image`.
    """
    if threshold != "quantile" and (images or run):
        raise click.BadParameter(
            "a fraction is one of this image's maximum; leave out --images and --run",
            param_hint="'--threshold'",
        )
    if images and run:
        raise click.BadParameter(
            "the quantile comes from --images or from --run, not both", param_hint="'--run'"
        )
    from netviz.questions.segment.measure import segment as take

    result = take(threshold=threshold, images=images, run=run, **options, progress=Progress())
    for name, reason in result.skipped:
        say(f"left out {name}: {reason}")
    deliver(result, out, "segment.png", as_json)
