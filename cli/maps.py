"""``netviz maps``."""

from typing import Any

import click

from .options import (
    fit_option,
    layer_option,
    model_option,
    result_options,
    size_option,
    take_model_options,
    units_option,
)
from .output import deliver_each


@click.command()
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@layer_option()
@model_option
@units_option("64 at most")
@click.option(
    "--sort",
    type=click.Choice(["index", "max"]),
    default="index",
    show_default=True,
    help="Drawing order: the network's, or largest maximum first.",
)
@click.option(
    "--scale",
    type=click.Choice(["each", "shared", "range"]),
    default="each",
    show_default=True,
    help="Draw each map from 0 to its largest value, all by one scale, or each from its smallest to its largest "
    "value (for maps with a large mean).",
)
@click.option(
    "--percentile",
    type=click.FloatRange(50, 100, min_open=True),
    help="Let a scale end at this percentile of the values, so that a border or a few large values leave colours for "
    "the others.  [default: 100; 99 for complex maps]",
)
@click.option(
    "--normalize",
    type=click.Choice(["lcn", "lrn"]),
    help="Normalize the contrast first: local contrast normalization, or local response normalization (see: netviz "
    "contrast).",
)
@fit_option
@size_option
@result_options("maps.png")
def maps(
    images: tuple[str, ...],
    model: str,
    normalize: str | None,
    out: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Draw the feature maps of a layer beside the image.

    IMAGE is a file, a folder, or skimage:NAME for a photograph that comes with scikit-image. With several images
    each gets its own file, with its name before the suffix: maps-chelsea.png.

    The NPZ holds `maps` (C, H, W), exactly the layer's raw output (unless --normalize is given), and `image`
    (H', W', 3) as the network saw it.
    """
    from netviz.images import list_images
    from netviz.models import load
    from netviz.questions.maps.measure import maps as take_maps

    opened = load(model, **take_model_options(options))
    sources = list_images(images)
    results = (take_maps(source, model=opened, normalize=normalize or "", **options) for source in sources)
    deliver_each(results, len(sources), out, "maps.png", as_json)
