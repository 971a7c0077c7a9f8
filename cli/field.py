"""``netviz field``."""

from typing import Any

import click

from .options import fit_option, images_option, layer_option, result_options, size_option
from .output import Progress, deliver, say


def place(text: str) -> tuple[int, int]:
    """Read ``ROW,COL``."""
    numbers = text.replace(" ", "").split(",")
    if len(numbers) != 2 or not all(number.removeprefix("-").isdecimal() for number in numbers):
        raise click.BadParameter(f"{text!r} is no position; write ROW,COL, such as 6,7")
    return int(numbers[0]), int(numbers[1])


@click.command()
@click.argument("model", default="mobilenet_v2")
@layer_option()
@click.option(
    "--unit",
    "-u",
    metavar="UNIT",
    help="One unit, or several: 3,7 or 0:16 (a range as in Python).  [default: all together; for the empirical "
    "field 8 of them]",
)
@click.option(
    "--kind",
    "-k",
    type=click.Choice(["theoretical", "effective", "empirical", "all"]),
    default="theoretical",
    show_default=True,
    help="What a unit can see; what it uses, by gradient; what changes it, by occlusion; or all three.",
)
@click.option(
    "--position",
    type=place,
    metavar="ROW,COL",
    help="Which position of the layer's map.  [default: its middle]",
)
@images_option(
    "Image file or folder; may be given several times; the first is drawn.  [default: scikit-image's "
    "photographs]",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    metavar="K",
    help="Empirical field: use the K images that activate a unit most.",
)
@click.option(
    "--gradient",
    type=click.Choice(["absolute", "positive"]),
    default="absolute",
    show_default=True,
    help="Effective field: sum the gradient's absolute values over the input's channels, or keep the positive part "
    "of their mean.",
)
@fit_option
@size_option
@result_options("field.png")
def field(out: str | None, as_json: bool, **options: Any) -> None:
    """Draw the receptive field of a layer's units on an image.

    The NPZ holds `theoretical` (rows size, stride, start; columns y, x; in pixels of the network's input) and, where
    computed, `effective` (H, W) and `empirical` (units, H, W).
    """
    from netviz.questions.field.measure import field as find_field

    result = find_field(**options, progress=Progress())
    for note in result.notes:
        say(f"netviz: {note}")
    deliver(result, out, "field.png", as_json)
