"""``netviz dense``."""

from typing import Any

import click

from .options import model_option, output_option, result_options
from .output import Progress, deliver


def scales(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[float, ...]:
    """Read ``S,S,…``: sizes relative to the image's, each above 0."""
    if text is None:
        return ()
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(0 < scale < float("inf") for scale in found):
        raise click.BadParameter(
            f"{text!r} is no list of sizes; write positive numbers, such as 1,0.7,0.5 (1 is the image as it is)"
        )
    return found


def short_side(ctx: click.Context, param: click.Parameter, text: str | None) -> int | str | None:
    """Read a number of pixels, or ``own``."""
    if text is None or text == "own":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise click.BadParameter(f"{text!r} is no length; write a number of pixels, such as 448, or own")
    return int(text)


@click.command()
@click.argument("image", metavar="IMAGE")
@model_option
@click.option(
    "--class",
    "class_",
    multiple=True,
    metavar="NAME|INDEX",
    help="A class, by its name or its index; may be given several times.  [default: those with the highest scores]",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    metavar="K",
    help="Without --class: the K classes with the highest score anywhere in the image.",
)
@click.option(
    "--pyramid",
    callback=scales,
    metavar="S,S,…",
    help="Look at the image at these sizes, relative to the one that it would otherwise have, and take the maximum "
    "over them.",
)
@click.option(
    "--short-side",
    callback=short_side,
    metavar="PIXELS|own",
    help="Bring the image's short side to so many pixels, or keep its own size.  [default: for a classifier twice "
    "its input, 448 for most; for other networks what they were trained with]",
)
@output_option
@click.option(
    "--compare",
    is_flag=True,
    help="One class (the first) by one dense pass, by the classifier on every crop, and region by region as R-CNN "
    "does it: pictures, times and ratios.",
)
@click.option(
    "--regions",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="With --compare: how many regions are measured; their cost is scaled to 2000.",
)
@result_options("dense.png")
def dense(
    class_: tuple[str, ...],
    top: int,
    pyramid: tuple[float, ...],
    compare: bool,
    regions: int,
    out: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Run a network over a whole image and draw where in it each class scores how high.

    IMAGE is a file, or skimage:NAME for a photograph that comes with scikit-image. A classifier is made fully
    convolutional: one pass gives its scores on every crop of its input's size. A network that gives maps
    (segmentation, hed, pnet) is taken as it is; of a detection network the maximum of its head over the anchors.

    The classifier sees the whole image with a short side of twice its own input's, so that a window is half as high
    as the image; an image smaller than one window is refused unless --short-side says to enlarge it.

    The NPZ holds the raw `scores` (K, h, w), `center_y` (h) and `center_x` (w), where the cells look in pixels of the
    original, and `classes` (K), the classes' numbers; their names are the fact `labels`. With --pyramid `scores` is
    the maximum, and `scores_0`, `center_y_0`, `center_x_0` and so on hold each size. With --compare it holds `dense`
    and `sliding` (h, w), `regions` (H, W), `boxes` (R, 4), `box_scores` (R), `seconds` and `evaluations`.
    """
    if compare:
        if pyramid:
            raise click.UsageError("--compare looks at one size of the image; leave --pyramid out")
        if len(class_) > 1:
            raise click.UsageError("--compare takes one --class")
        from netviz.fcn.dense.compare import dense_compare

        one = class_[0] if class_ else None
        compared = dense_compare(class_=one, regions=regions, **options, progress=Progress())
        deliver(compared, out, "dense.png", as_json)
        return
    from netviz.fcn.dense.measure import dense as run_dense

    result = run_dense(class_=class_, top=top, pyramid=pyramid, **options, progress=Progress())
    deliver(result, out, "dense.png", as_json)
