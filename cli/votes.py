"""``netviz votes``."""

from typing import Any

import click
from click.core import ParameterSource

from .options import (
    check_address,
    debug_option,
    fit_option,
    images_option,
    json_option,
    model_option,
    model_options,
    output_option,
    page_options,
    run_options,
    size_option,
)
from .output import Progress, check_output, deliver, say

_OF_RUNS = ("batch", "engine", "address", "workers", "device", "dtype", "resume", "strict")
_OF_ONE = ("class_", "top", "as_json")


@click.command()
@click.argument("image", metavar="IMAGE", required=False)
@model_option
@click.option(
    "--class",
    "class_",
    metavar="NAME|INDEX",
    help="The class that is voted for: its name or its index.  [default: the predicted one]",
)
@click.option(
    "--layer",
    "-l",
    help="Whose units: name, alias, glob, or -1 for the last.  [default: the last before the scores with maps larger "
    "than 1×1]",
)
@click.option(
    "--to",
    type=click.Choice(["zero", "mean"]),
    default="zero",
    show_default=True,
    help="What a unit is put to, to see what the score becomes: 0, or the mean over its map.",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=6,
    show_default=True,
    help="How many units are shown for the class, and how many against it, at most.",
)
@images_option(
    "Instead of IMAGE: many images, file or folder; may be given several times. Gives how each class score changes "
    "without each unit, in the mean.",
    metavar="DIR",
)
@fit_option
@output_option
@size_option
@run_options
@click.option(
    "--strict",
    is_flag=True,
    help="With --images: stop at an image that cannot be read, instead of noting it.",
)
@click.option(
    "-o",
    "--out",
    metavar="OUT",
    help="Picture (.png, .svg, .pdf) or arrays (.npz); with --images the run's folder, new or empty.  [default: "
    "votes.png]",
)
@page_options
@json_option
@model_options
@debug_option
def votes(
    image: str | None,
    images: tuple[str, ...],
    out: str | None,
    as_json: bool,
    address: str | None,
    engine: str,
    **options: Any,
) -> None:
    """Tell which units of a layer carry a class score: each one's share, and the score without it.

    IMAGE is a file, or skimage:NAME for a photograph that comes with scikit-image. A share is activation times
    gradient of the score, summed over the unit's map; where the score is linear in the layer's output, as before a
    global average, shares are exact. The score without a unit is measured: only what comes after the layer runs
    again, and the answer is that of full passes.

    The NPZ holds `share` and `ablated` (C,), the score without each unit; `units`, the ones shown, with `maps` and
    `contributions` (K, h, w), `peaks` and `boxes`; and `image`.

    With --images OUT is a folder, with images.txt, run.json and an NPZ that holds `change` (C, classes), the mean
    change of each class score without each unit, and `score` (classes,). Draw it with: netviz draw OUT
    """
    if (image is None) == (not images):
        problem = (
            "name an IMAGE, or many with --images" if image is None else "name an IMAGE or --images, not both"
        )
        raise click.UsageError(problem)
    ctx = click.get_current_context()
    for name in _OF_RUNS if image is not None else _OF_ONE:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            said = next(one.opts[-1] for one in ctx.command.params if one.name == name)
            where = "many images: give --images" if image is not None else "one IMAGE"
            raise click.UsageError(f"{said} is for {where}")
    if image is not None:
        for name in _OF_RUNS[3:]:
            options.pop(name, None)
        options.pop("batch")
        if out is not None or not as_json:
            check_output(out or "votes.png")
        from netviz.questions.votes.measure import votes as count

        deliver(count(image, **options, progress=Progress()), out, "votes.png", as_json)
        return
    for name in _OF_ONE[:2]:
        options.pop(name)
    if out is None:
        raise click.UsageError("with --images give the run's folder: -o OUT")
    check_address(address, engine)
    _count_all(options.pop("model"), out, images=images, address=address, engine=engine, **options)


def _count_all(model: str, out: str, **options: Any) -> None:
    """Run over many images, and say what was written."""
    import shlex

    from netviz.questions.votes.over import votes_set
    from netviz.questions.votes.run import open_votes

    folder = votes_set(model, out, **options, progress=Progress())
    run = open_votes(folder)
    counts = run.facts["images"]
    skipped = f", {counts['skipped']} skipped (see run.json)" if counts["skipped"] else ""
    seen = "1 image" if counts["counted"] == 1 else f"{counts['counted']} images"
    layer = run.layers[0]
    say(f"wrote {folder}: {layer.channels} units of {layer.name} ({layer.alias}), {seen}{skipped}")
    say(f"draw it: netviz draw {shlex.quote(str(folder))} -o votes.png")
