"""``netviz fcn show``."""

from pathlib import Path

import click

from .dissect import numbers
from .options import debug_option, json_option, model_options, out_option
from .output import out_for, print_json, say


@click.command()
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@click.option(
    "--model",
    default="fcn_camvid",
    show_default=True,
    help="A network with a map for every class at its input's size: a known one (fcn_camvid, hed), a checkpoint "
    "file, a torchvision builder for segmentation, or module:factory.",
)
@click.option(
    "--truth",
    "truths",
    multiple=True,
    metavar="MASK",
    help="Mask of class numbers, of the image's size; one for each image in the same order, or a folder that holds "
    "them under the images' names.",
)
@click.option(
    "--void",
    callback=numbers,
    metavar="VALUES",
    help="Values of the mask that count nowhere, such as 11,30; 255 and classes called void never do.",
)
@click.option(
    "--short-side",
    type=click.IntRange(min=1),
    metavar="N",
    help="Resize the image first, to this many pixels on its short side.  [default: its own size; what netviz fcn "
    "train made sees it as it was trained, and is read at the image's own pixels]",
)
@out_option("Picture (.png, .svg, .pdf) or arrays (.npz).  [default: streams.png]")
@json_option
@model_options
@debug_option
def show(
    images: tuple[str, ...],
    model: str,
    truths: tuple[str, ...],
    void: tuple[int, ...],
    short_side: int | None,
    out: str | None,
    as_json: bool,
    trust: bool,
    weights: str,
    seed: int,
) -> None:
    """Show a dense network's streams side by side: 32s, 16s and 8s, or the side outputs of hed.

    What each stream says of every pixel, what it changes, how sure it is and, with --truth, where it is wrong. IMAGE
    is a file, a folder, or skimage:NAME for a photograph that comes with scikit-image. With several images each gets
    its own file, with its name before the suffix: streams-chelsea.png.

    The NPZ holds each stream under its name, such as `32s`, `16s`, `8s` or `side1` ... `side5`, `fused`: (K, H, W),
    float32, before softmax or sigmoid, on the pixels of the network's input, which are the image's own unless
    --short-side is given; `added_16s` (K, h, w), what a stream's own layer adds at its own positions, where the
    network tells; `image` (H, W, 3); and `truth` (H, W), -1 where it is void.
    """
    from netviz.fcn.streams.measure import show as take
    from netviz.images import list_images
    from netviz.models import load
    from netviz.questions.drawing import draw

    sources = list_images(images)
    masks = _masks(truths, [str(source) for source in sources])
    opened = load(model, trust=trust, weights=weights, seed=seed)
    facts = []
    taken: set[str] = set()
    for source, mask in zip(sources, masks, strict=True):
        result = take(source, model=opened, truth=mask, void=void, short_side=short_side)
        facts.append(result.summary())
        if out is None and as_json:
            continue
        name, number = result.image_name, 2
        while name in taken:
            name, number = f"{result.image_name}-{number}", number + 1
        taken.add(name)
        say(f"wrote {draw(result, out_for(out, 'streams.png', name, len(sources) > 1))}")
    if as_json:
        print_json(facts if len(sources) > 1 else facts[0])


def _masks(truths: tuple[str, ...], sources: list[str]) -> list[str | None]:
    """Return the mask of each image."""
    if not truths:
        return [None] * len(sources)
    if len(truths) == 1 and Path(truths[0]).is_dir():
        return [str(Path(truths[0]) / f"{Path(source).stem}.png") for source in sources]
    if len(truths) != len(sources):
        raise click.BadParameter(
            f"{len(truths)} for {len(sources)} images; give one for each, in the same order, or a folder of them",
            param_hint="'--truth'",
        )
    return list(truths)
