"""``netviz patches``."""

import click

from .options import debug_option, model_options, run_options, size_option
from .output import Progress, say


@click.command()
@click.argument("model", default="mobilenet_v2")
@click.option(
    "--images",
    "-i",
    multiple=True,
    metavar="PATH",
    help="Image file or folder; may be given several times.  [default: scikit-image's photographs]",
)
@click.option(
    "--layer",
    "-l",
    multiple=True,
    metavar="LAYER",
    help="Layer, alias or glob; may be given several times.  [default: all convolutions]",
)
@click.option(
    "--top", type=click.IntRange(min=1), default=9, show_default=True, help="Patches that each unit keeps."
)
@click.option(
    "--per-image",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many of these may come from one image.",
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
    "--fit",
    type=click.Choice(["crop", "resize", "full"]),
    default="crop",
    show_default=True,
    help="Show the network the middle of an image, all of it squeezed to the network's size, or all of it at its own "
    "aspect.",
)
@size_option
@run_options
@click.option("--strict", is_flag=True, help="Stop at an image that cannot be read, instead of noting it.")
@click.option("-o", "--out", required=True, metavar="RUN", help="The run's folder: new or empty.")
@model_options
@debug_option
def patches(
    model: str,
    images: tuple[str, ...],
    layer: tuple[str, ...],
    top: int,
    per_image: int,
    per_class: int,
    fit: str,
    size: tuple[int, int] | None,
    batch: int,
    engine: str,
    address: str | None,
    workers: int | None,
    device: str | None,
    dtype: str,
    resume: bool,
    strict: bool,
    out: str,
    trust: bool,
    weights: str,
    seed: int,
) -> None:
    """Find the patches of images that excite each unit most, and what units do over all images.

    RUN holds images.txt, run.json (options, counts, skipped images with reasons) and for each layer an NPZ with
    `score` (units, top), `image`, `row`, `col`, `box` (units, top, 4) as top, left, bottom, right in pixels of the
    original, `mean`, `max`, `nonzero`, `quantile_levels`, `quantiles` and more. Draw it with: netviz draw RUN
    --layer LAYER.
    """
    if address is not None and engine != "ray":
        raise click.BadParameter("an address is for --engine ray", param_hint="'--address'")
    import shlex

    from netviz.questions.patches.measure import patches as find
    from netviz.questions.patches.run import open_run

    folder = find(
        model,
        out,
        images=images,
        layer=layer,
        top=top,
        per_image=per_image,
        per_class=per_class,
        fit=fit,
        size=size,
        batch=batch,
        engine=engine,
        workers=workers,
        address=address,
        device=device,
        dtype=dtype,
        resume=resume,
        strict=strict,
        trust=trust,
        weights=weights,
        seed=seed,
        progress=Progress(),
    )
    run = open_run(folder)
    counts = run.facts["images"]
    skipped = f", {counts['skipped']} skipped (see run.json)" if counts["skipped"] else ""
    layers = "1 layer" if len(run.layers) == 1 else f"{len(run.layers)} layers"
    seen = "1 image" if counts["counted"] == 1 else f"{counts['counted']} images"
    say(f"wrote {folder}: {layers}, {seen}{skipped}")
    named = run.layers[-1].alias or run.layers[-1].name
    say(f"draw it: netviz draw {shlex.quote(str(folder))} --layer {shlex.quote(named)} -o patches.png")
