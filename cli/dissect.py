"""``netviz dissect``."""

from typing import Any

import click

from .options import (
    check_address,
    debug_option,
    label_values,
    model_options,
    run_option,
    run_options,
    size_option,
)
from .output import Progress, say


@click.command()
@click.argument("model", default="mobilenet_v2")
@click.option(
    "--data",
    "-d",
    required=True,
    metavar="DIR",
    help="Labelled images: images/ with labels/ (and classes.txt), VOC's or Broden's layout; of images alone the "
    "colours are measured.",
)
@click.option(
    "--layer",
    "-l",
    multiple=True,
    required=True,
    metavar="LAYER",
    help="Layer, alias or glob; may be given several times.",
)
@click.option(
    "--quantile",
    type=click.FloatRange(0, 1),
    default=0.995,
    show_default=True,
    help="A unit is active above this quantile of its values.",
)
@click.option(
    "--iou",
    type=click.FloatRange(0, 1),
    default=0.04,
    show_default=True,
    help="Above which intersection over union a unit detects a concept.",
)
@click.option(
    "--void",
    callback=label_values,
    metavar="VALUES",
    help="Label values that count nowhere, such as 11,30; 255 and classes called void never do.",
)
@click.option(
    "--top", type=click.IntRange(min=1), default=9, show_default=True, help="Patches that each unit keeps."
)
@click.option(
    "--fit",
    type=click.Choice(["resize", "crop", "full"]),
    default="resize",
    show_default=True,
    help="Show the network all of an image squeezed to its size, the image's middle, or all of it at its own aspect.",
)
@size_option
@run_options
@click.option(
    "--strict",
    is_flag=True,
    help="Stop at an image that cannot be read or whose labels do not fit, instead of noting it.",
)
@run_option
@model_options
@debug_option
def dissect(address: str | None, engine: str, **options: Any) -> None:
    """Measure which labelled concepts the units of some layers detect (Network Dissection).

    A unit is active in a pixel of the network's input where its map, interpolated between the centres of its
    positions, is above its threshold; its IoU with a concept is that of these pixels with the labelled ones, over all
    images. RUN holds images.txt, run.json, for each layer an NPZ with `iou` (units, concepts), `threshold`, `best`
    and more, the same as CSV, and in patches/ the units' top patches. Print it with: netviz report RUN
    """
    check_address(address, engine)
    import shlex

    from netviz.questions.dissect.measure import dissect as measure
    from netviz.questions.dissect.run import open_dissection

    folder = measure(address=address, engine=engine, **options, progress=Progress())
    facts = open_dissection(folder).summary()
    counts = facts["images"]
    skipped = f", {counts['skipped']} skipped (see run.json)" if counts["skipped"] else ""
    seen = "1 image" if counts["counted"] == 1 else f"{counts['counted']} images"
    say(f"wrote {folder}: {len(facts['layers'])} layer{'s'[: len(facts['layers']) > 1]}, {seen}{skipped}")
    for one in facts["layers"]:
        called = f"{one['name']} ({one['alias']})"
        say(
            f"{called}: {one['detectors']} of {one['units']} units detect {one['unique_best']} different concepts; "
            f"{one['unique']} unique detectors over all categories"
        )
        if one["placed"] == "evenly":
            say(
                f"{called}: where its positions look is {one['field_status']}; they were spread evenly over the input"
            )
    say(f"print it: netviz report {shlex.quote(str(folder))}")
