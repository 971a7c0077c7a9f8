"""``netviz maps``."""

import click

from .options import debug_option, json_option, model_option, model_options, out_option, size_option
from .output import out_for, print_json, say


@click.command()
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@click.option("--layer", "-l", required=True, help="The layer: name, alias, glob, or -1 for the last.")
@model_option
@click.option(
    "--units", help="Which units to draw: 0:16 (a range as in Python) or 3,7.  [default: 64 at most]"
)
@click.option(
    "--sort",
    type=click.Choice(["index", "max"]),
    default="index",
    show_default=True,
    help="Drawing order: the network's, or largest maximum first.",
)
@click.option(
    "--scale",
    type=click.Choice(["each", "shared"]),
    default="each",
    show_default=True,
    help="Draw each map by its own range, or all by one scale.",
)
@click.option(
    "--normalize",
    type=click.Choice(["lcn", "lrn"]),
    help="Normalize the contrast first: local contrast normalization, or local response normalization (see: netviz "
    "contrast).",
)
@size_option
@out_option("Picture (.png, .svg, .pdf) or arrays (.npz).  [default: maps.png]")
@json_option
@model_options
@debug_option
def maps(
    images: tuple[str, ...],
    layer: str,
    model: str,
    units: str | None,
    sort: str,
    scale: str,
    normalize: str | None,
    size: tuple[int, int] | None,
    out: str | None,
    as_json: bool,
    trust: bool,
    weights: str,
    seed: int,
) -> None:
    """Draw the feature maps of a layer beside the image.

    IMAGE is a file, a folder, or skimage:NAME for a photograph that comes with scikit-image. With several images
    each gets its own file, with its name before the suffix: maps-chelsea.png.

    The NPZ holds `maps` (C, H, W), exactly the layer's raw output (unless --normalize is given), and `image`
    (H', W', 3) as the network saw it.
    """
    from netviz.images import list_images
    from netviz.models import load
    from netviz.questions.drawing import draw
    from netviz.questions.maps.measure import maps as take_maps

    opened = load(model, trust=trust, weights=weights, seed=seed)
    sources = list_images(images)
    facts = []
    taken: set[str] = set()
    for source in sources:
        result = take_maps(
            source,
            layer=layer,
            model=opened,
            units=units,
            sort=sort,
            scale=scale,
            normalize=normalize or "",
            size=size,
        )
        facts.append(result.summary())
        if out is None and as_json:
            continue
        name, number = result.image_name, 2
        while name in taken:
            name, number = f"{result.image_name}-{number}", number + 1
        taken.add(name)
        say(f"wrote {draw(result, out_for(out, 'maps.png', name, len(sources) > 1))}")
    if as_json:
        print_json(facts if len(sources) > 1 else facts[0])
