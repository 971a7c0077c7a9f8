"""``netviz patches``."""

from typing import Any

import click

from .options import (
    check_address,
    debug_option,
    fit_option,
    images_option,
    model_options,
    output_option,
    run_option,
    run_options,
    size_option,
)
from .output import Progress, say


def _per_image(text: str) -> int | str:
    if text == "auto":
        return text
    if not text.isdecimal() or not int(text):
        raise click.BadParameter(f"it is auto or a whole number from 1 on, not {text!r}")
    return int(text)


@click.command()
@click.argument("model", default="mobilenet_v2")
@images_option(
    "Image file or folder; may be given several times.  [default: scikit-image's photographs]",
)
@click.option(
    "--layer",
    "-l",
    multiple=True,
    metavar="LAYER",
    help="Layer, alias or glob; may be given several times.  [default: all convolutions, and blocks of tokens]",
)
@click.option(
    "--top", type=click.IntRange(min=1), default=9, show_default=True, help="Patches that each unit keeps."
)
@click.option(
    "--per-image",
    type=_per_image,
    default="auto",
    show_default=True,
    metavar="auto|N",
    help="How many of these may come from one image; auto: one, or, of fewer than 50 images, as many as "
    "have fields that overlap by less than a quarter.",
)
@click.option(
    "--per-class",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Patches that each unit keeps for each class besides, where images lie in a folder for each class or are "
    "named by it.",
)
@click.option(
    "--inside",
    is_flag=True,
    help="Keep to positions whose field lies inside the image: no patch shows padding. Layers that have none are "
    "searched everywhere, and named.",
)
@fit_option
@size_option
@run_options
@click.option(
    "--by",
    type=click.Choice(["activation", "relevance"]),
    default="activation",
    show_default=True,
    help="Order patches by what a unit gives there, or by that times the gradient of a class's score: then all "
    "values of the run are of that.",
)
@click.option(
    "--class",
    "class_",
    metavar="NAME|INDEX",
    help="For relevance: the class.  [default: each image's own, with the highest score]",
)
@output_option
@click.option(
    "--deconv",
    is_flag=True,
    help="Measure also what in patches made units answer, for: netviz draw RUN --with deconv|guided. A finished RUN "
    "of the same network gets that alone.",
)
@click.option(
    "--deconv-units",
    metavar="UNITS",
    help="For which units of each layer: 0:64 (a range as in Python) or 3,7.  [default: the first 16 not dead]",
)
@click.option("--strict", is_flag=True, help="Stop at an image that cannot be read, instead of noting it.")
@run_option
@model_options
@debug_option
def patches(address: str | None, engine: str, **options: Any) -> None:
    """Find the patches of images that excite each unit most, and what units do over all images.

    RUN holds images.txt, run.json (options, counts, skipped images with reasons) and for each layer an NPZ with
    `score` (units, top), `image`, `row`, `col`, `box` (units, top, 4) as top, left, bottom, right in pixels of the
    original, `mean`, `max`, `nonzero`, `quantile_levels`, `quantiles` and more. Draw it with: netviz draw RUN
    --layer LAYER.
    """
    check_address(address, engine)
    if options["by"] == "activation" and (options["class_"] is not None or options["output"] is not None):
        raise click.UsageError("--class and --output are for --by relevance")
    if options["by"] == "relevance" and options["dtype"] != "float32":
        raise click.UsageError("relevance is computed in float32; leave --dtype out")
    if options["deconv_units"] is not None and not options["deconv"]:
        raise click.UsageError("--deconv-units chooses what --deconv measures; give --deconv too")
    import shlex

    from netviz.questions.patches.measure import patches as find
    from netviz.questions.patches.run import open_run

    folder = find(address=address, engine=engine, **options, progress=Progress())
    run = open_run(folder)
    counts = run.facts["images"]
    skipped = f", {counts['skipped']} skipped (see run.json)" if counts["skipped"] else ""
    layers = "1 layer" if len(run.layers) == 1 else f"{len(run.layers)} layers"
    seen = "1 image" if counts["counted"] == 1 else f"{counts['counted']} images"
    say(f"wrote {folder}: {layers}, {seen}{skipped}")
    lost = [layer["name"] for layer in run.facts["layers"] if layer["inside"] is None]
    if lost:
        listed = ", ".join(lost[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
        say(f"no field lies inside the image, so all positions were searched: {listed}")
    named = run.layers[-1].alias or run.layers[-1].name
    beside = " --with deconv" if options["deconv"] else ""
    say(
        f"draw it: netviz draw {shlex.quote(str(folder))} --layer {shlex.quote(named)}{beside} -o patches.png"
    )
