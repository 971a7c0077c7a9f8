"""``netviz occlusion``."""

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
    help="The class whose score is measured: its name or its index.  [default: the predicted one]",
)
@click.option(
    "--patch",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Side of the square patch, in pixels of the network's input.",
)
@click.option(
    "--stride", type=click.IntRange(min=1), default=8, show_default=True, help="Step of the patch, in pixels."
)
@click.option(
    "--fill",
    type=click.Choice(["mean", "noise", "zero"]),
    default="mean",
    show_default=True,
    help="What the patch shows: the image's mean colour, random colours (drawn by --seed), or 0 in the network's "
    "own units.",
)
@fit_option
@output_option
@size_option
@result_options("occlusion.png")
def occlusion(patch: int, stride: int, out: str | None, as_json: bool, **options: Any) -> None:
    """Cover an image patch by patch and draw how a class score falls.

    IMAGE is a file, or skimage:NAME for a photograph that comes with scikit-image. Only what a patch can change is
    computed again; the answer is that of full passes.

    The NPZ holds `map` (H, W): for every pixel, the drop of the score averaged over the patches that cover it;
    `drops` (rows, columns), the drop for each place of the patch, which begins at `tops` and `lefts`; and `image`.
    """
    from netviz.questions.occlusion.measure import occlusion as take_occlusion

    if stride > patch:
        raise click.BadParameter(
            f"{stride} leaves pixels between patches of {patch} uncovered; give at most {patch}",
            param_hint="'--stride'",
        )
    result = take_occlusion(patch=patch, stride=stride, **options, progress=Progress())
    deliver(result, out, "occlusion.png", as_json)
