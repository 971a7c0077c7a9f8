"""``netviz attribute``."""

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
    help="The class whose score is asked about: its name or its index.  [default: the predicted one]",
)
@click.option(
    "--method",
    metavar="NAMES",
    default="",
    help="One, or several with commas between: cam, gradcam, gradcam++, layercam (they weigh a layer's maps); "
    "gradient, guided, deconvnet, integrated, smoothgrad (they tell of pixels).  [default: gradcam; for a unit or a "
    "layer guided]",
)
@click.option(
    "-l",
    "--layer",
    metavar="LAYER",
    help="Whose maps are weighed: name, alias, glob or -1; with --unit the layer of the unit.  [default: the last "
    "with maps larger than 1×1 on which the score depends]",
)
@click.option(
    "-u",
    "--unit",
    metavar="UNIT|all",
    help="A unit of --layer in place of a class, by its value where it is largest; all: the whole layer.",
)
@click.option(
    "--steps",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Of integrated gradients: at how many points between zeros and the image the gradient is taken.",
)
@click.option(
    "--samples",
    type=click.IntRange(1, 10_000),
    default=25,
    show_default=True,
    help="Of SmoothGrad: how many noisy images.",
)
@click.option(
    "--noise",
    type=click.FloatRange(0, 10, min_open=True),
    default=0.15,
    show_default=True,
    help="Of SmoothGrad: the noise's standard deviation, as a share of the range of the network's input.",
)
@click.option(
    "--check",
    is_flag=True,
    help="Draw how far the methods can be trusted: the score as the most important pixels go and come, beside "
    "occlusion and a random order, and what is left of each method when weights are shuffled.",
)
@fit_option
@output_option
@size_option
@result_options("attribute.png")
def attribute(
    method: str, unit: str | None, check: bool, out: str | None, as_json: bool, **options: Any
) -> None:
    """Tell what in an image a class score, a unit or a layer comes from.

    IMAGE is a file, or skimage:NAME for a photograph that comes with scikit-image. Maps of a layer are placed where
    their positions look.

    The NPZ holds `attribution` (methods, H, W), in pixels of the network's input; `bands` (methods, H, W, C), of
    those methods that tell of pixels, for each band of the input; `maps` (methods, h, w), of the others, as the layer
    has them; and `image`. With --check it holds `deletion` and `insertion` (orders, steps), at `shares`, and
    `correlation` (methods, stages).
    """
    from netviz.questions.attribute.result import chosen_methods

    try:
        methods = chosen_methods(method, options["layer"], unit, options["class_"])
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if check and unit is not None:
        raise click.UsageError("--check is of a class's score; leave --unit out")
    if check:
        from netviz.questions.attribute.check import attribute_check

        found = attribute_check(method=methods, **options, progress=Progress())
        deliver(found, out, "attribute.png", as_json)
        return
    from netviz.questions.attribute.measure import attribute as measure

    result = measure(method=methods, unit=unit, **options, progress=Progress())
    deliver(result, out, "attribute.png", as_json)
