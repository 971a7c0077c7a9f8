"""``netviz minimal``."""

from typing import TYPE_CHECKING, Any

import click

from .options import fit_option, images_option, model_option, output_option, result_options, size_option
from .output import Progress, deliver, print_lines, say

if TYPE_CHECKING:
    from netviz.questions.minimal.result import MinimalSetResult


@click.command()
@click.argument("image", metavar="IMAGE", required=False)
@model_option
@click.option(
    "--class",
    "class_",
    metavar="NAME|INDEX",
    help="The class that must be the predicted one: its name or its index.  [default: whatever is predicted]",
)
@click.option(
    "--segments",
    type=click.IntRange(min=2),
    default=100,
    show_default=True,
    help="About how many segments the image is parted into, by colour and place (SLIC).",
)
@click.option(
    "--fill",
    type=click.Choice(["blur", "mean"]),
    default="blur",
    show_default=True,
    help="What a removed segment shows: the image blurred, or the image's mean colour.",
)
@images_option(
    "Instead of IMAGE: many images, file or folder; may be given several times. Gives the average share of the "
    "image that is needed, by class.",
    metavar="DIR",
)
@click.option(
    "--strict", is_flag=True, help="With --images: stop at an image that cannot serve, instead of naming it."
)
@fit_option
@output_option
@size_option
@result_options("minimal.png")
def minimal(
    image: str | None, images: tuple[str, ...], strict: bool, out: str | None, as_json: bool, **options: Any
) -> None:
    """Remove segments of an image as long as the prediction stays: what is left is its minimal image.

    Each time the segment goes without which the class score is highest. IMAGE is a file, or skimage:NAME for a
    photograph that comes with scikit-image. Only what a removal can change is computed again; the answer is that of
    full passes.

    The NPZ holds `image` and `minimal` (H, W, 3); `segments` (H, W), their numbers; `order`, `scores` and
    `predictions` (steps,). With --images it holds `share` and `class_index`, by image.
    """
    if (image is None) == (not images):
        problem = (
            "name an IMAGE, or many with --images" if image is None else "name an IMAGE or --images, not both"
        )
        raise click.UsageError(problem)
    from netviz.questions.minimal.measure import minimal as find
    from netviz.questions.minimal.measure import minimal_set as find_all

    options["progress"] = Progress()
    if image is not None:
        deliver(find(image, **options), out, "minimal.png", as_json)
        return
    result = find_all(images, strict=strict, **options)
    for name, reason in result.skipped:
        say(f"left out {name}: {reason}")
    if not as_json:
        print_lines(_table(result))
    deliver(result, out, "minimal.png", as_json)


def _table(result: "MinimalSetResult") -> list[str]:
    """Return a line for the share that each class needs, in per cent of the image."""
    names = [row["label"] or f"class {row['class_index']}" for row in result.by_class]
    width = max(map(len, [*names, "all"]))
    least, most = float(result.share.min()), float(result.share.max())
    return [
        f"{'class':{width}}  images   mean  least   most",
        *(
            f"{name:{width}}  {row['images']:6}  " + _shares(row["mean"], row["least"], row["most"])
            for name, row in zip(names, result.by_class, strict=True)
        ),
        f"{'all':{width}}  {len(result.share):6}  " + _shares(result.mean_share, least, most),
    ]


def _shares(*shares: float) -> str:
    return "  ".join(f"{100 * share:4.1f}%" for share in shares)
