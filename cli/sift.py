"""``netviz sift``."""

from typing import Any

import click

from .options import fit_option, layer_option, model_option, result_options, size_option
from .output import Progress, deliver


@click.command()
@click.argument("image", metavar="IMAGE")
@layer_option()
@model_option
@click.option(
    "--match",
    is_flag=True,
    help="Warp the image and measure how well either descriptor finds its places again.",
)
@click.option(
    "--keypoints",
    type=click.IntRange(1, 30),
    help="How many keypoints to draw, the largest first, kept apart; not with --match.  [default: 12]",
)
@click.option(
    "--window",
    type=click.IntRange(min=1),
    default=7,
    show_default=True,
    help="Side of the contrast normalization's Gaussian window, in positions of the layer; odd.",
)
@fit_option
@size_option
@result_options("sift.png; with --match: match.png")
def sift(
    match: bool, keypoints: int | None, window: int, out: str | None, as_json: bool, **options: Any
) -> None:
    """Compare SIFT's descriptors of an image with a layer's.

    IMAGE is a file, or skimage:NAME for a photograph that comes with scikit-image. At SIFT's keypoints it draws the
    patch, SIFT's 4x4 cells of 8 orientations, and what the layer says there, raw and after local contrast
    normalization.

    With --match the image is rotated, scaled, lit otherwise and slanted (--seed draws the slants), SIFT finds
    keypoints in each, and they are matched by SIFT, by the layer, and by the normalized layer: mutual nearest
    neighbours, right within 3 pixels of the true place. --json prints the table.

    The NPZ holds `keypoints` (K, 2) as row and column, `scales`, `orientations`, `patches`, `descriptors`
    (K, 4, 4, 8), `layer_raw` and `layer_normalized` (K, C), and `image`; with --match the drawn pair's matches.
    """
    if window % 2 == 0:
        raise click.BadParameter(
            f"{window} is even, so the window has no middle; give {window + 1}", param_hint="'--window'"
        )
    if match and keypoints is not None:
        raise click.BadParameter(
            "--match uses every keypoint; leave --keypoints out", param_hint="'--keypoints'"
        )
    if match:
        from netviz.questions.sift.match import match as take_match

        measured = take_match(window=window, **options, progress=Progress())
        deliver(measured, out, "match.png", as_json)
        return
    from netviz.questions.sift.measure import sift as take_sift

    described = take_sift(keypoints=12 if keypoints is None else keypoints, window=window, **options)
    deliver(described, out, "sift.png", as_json)
