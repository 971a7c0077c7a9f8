"""``netviz fcn``: train, evaluate and show fully convolutional networks with skips."""

from pathlib import Path
from typing import Any

import click

from .options import (
    debug_option,
    described_options,
    json_option,
    label_values,
    out_option,
    output_option,
    prefix_option,
    result_options,
    size,
)
from .output import Progress, deliver_each, print_json, print_lines, say, write


@click.group()
def fcn() -> None:
    """Train, evaluate and compare fully convolutional networks with skips (32s, 16s, 8s)."""


def names(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Read ``32s,16s,8s``."""
    if value is None:
        return None
    parts = tuple(part.strip() for part in value.split(",") if part.strip())
    if not parts:
        raise click.BadParameter(f"{value!r} names nothing; write names with commas between them")
    return parts


def strides(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    """Read ``32,16,8``."""
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"{value!r} is no list of strides; write 32,16,8")
    return tuple(int(part) for part in parts)


_DATA = "Images with masks: images/ and labels/ (and classes.txt), or VOC's layout."
_VOID = "Label values that count nowhere, such as 11,30; 255 and classes called void never do."


def _computing(command: Any) -> Any:
    """Add how the network runs."""
    for option in (
        described_options,
        prefix_option,
        click.option("--trust", is_flag=True, help="Run code that a checkpoint file holds."),
        click.option(
            "--workers",
            type=click.IntRange(min=0),
            help="Processes that read images.  [default: one per core, at most 8]",
        ),
        click.option(
            "--precision",
            type=click.Choice(["float32", "bfloat16", "float16"]),
            default="float32",
            show_default=True,
            help="With which numbers convolutions run.",
        ),
        click.option("--device", help="Such as cuda, mps or cpu.  [default: a CUDA GPU if there is one]"),
        click.option("--void", callback=label_values, metavar="VALUES", help=_VOID),
    ):
        command = option(command)
    return command


@fcn.command()
@click.option("--data", "-d", required=True, metavar="DIR", help=_DATA)
@click.option(
    "--val",
    metavar="DIR",
    help="Images to choose the best epoch by.  [default: a tenth of the data is held out]",
)
@click.option("-o", "--out", required=True, metavar="RUN", help="The run's folder: new or empty.")
@click.option(
    "--backbone",
    default="mobilenet_v2",
    show_default=True,
    help="A network of torchvision's, timm:NAME, or a checkpoint file of one.",
)
@click.option(
    "--recipe",
    type=click.Choice(["modern", "paper"]),
    default="modern",
    show_default=True,
    help="AdamW on crops of several images; or, as the paper, SGD on one whole image, with a summed loss.",
)
@click.option(
    "--stages",
    callback=names,
    metavar="STREAMS",
    help="Train these streams in turn, such as 32s,16s,8s.  [default with paper]",
)
@click.option("--at-once", is_flag=True, help="Train all streams at once.  [default with modern]")
@click.option("--epochs", type=click.IntRange(min=1), help="Of each stage.  [default: 60]")
@click.option("--lr", type=float, help="Learning rate.  [default: modern 5e-3, paper 1e-10]")
@click.option(
    "--backbone-rate",
    type=click.FloatRange(min=0),
    help="The backbone's learning rate, as a multiple.  [default: modern 0.1, paper 1]",
)
@click.option("--batch", type=click.IntRange(min=1), help="Images in a step.  [default: modern 8, paper 1]")
@click.option(
    "--short-side",
    type=click.IntRange(min=1),
    help="Pixels to which the short side of images is brought, here and later.  [default: their own]",
)
@click.option(
    "--crop",
    type=size,
    metavar="HxW",
    help="What is cut out of images (modern), in pixels.  [default: the median size, at most 512]",
)
@click.option(
    "--norm",
    type=click.Choice(["frozen", "running"]),
    help="Keep batch normalization's statistics, or go on measuring.  [default: modern running, paper frozen]",
)
@click.option(
    "--apart",
    type=click.IntRange(min=1),
    help="Take the loss in every so manieth row and column, anew in each step.  [default: modern 2, paper 1]",
)
@click.option(
    "--ema",
    type=click.FloatRange(0, 1),
    help="How much of the weights' average a step keeps.  [default: modern 0.99, paper 0: none]",
)
@click.option("--class-weights", is_flag=True, help="Let rare classes count more in the loss.")
@click.option(
    "--strides",
    callback=strides,
    default="32,16,8",
    show_default=True,
    help="Of the layers that are tapped, coarse to fine, in pixels.",
)
@click.option(
    "--taps",
    callback=names,
    metavar="LAYERS",
    help="Layers to tap, coarse to fine.  [default: the last of each stride]",
)
@click.option("--learned", is_flag=True, help="Train the kernels of the ×2 upsampling too.")
@click.option(
    "--weights", default="default", show_default=True, help="The backbone's: default, none or FILE."
)
@click.option("--seed", default=0, show_default=True, help="Of everything random.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted run in RUN.")
@_computing
@debug_option
def train(data: str, out: str, stages: tuple[str, ...] | None, at_once: bool, **options: Any) -> None:
    """Train a fully convolutional network with skips on images with masks.

    RUN holds best.safetensors, the epoch with the best mean IU of the finest stream on the validation images (a MODEL
    for every command), last.safetensors, log.jsonl with a line for each epoch, and run.json.
    """
    if at_once and stages:
        raise click.UsageError("--stages and --at-once exclude each other; give one of them")
    import json
    import shlex

    from netviz.fcn.training.train import train as learn

    if options["val"] is None:
        say(f"no --val: a tenth of the images, drawn by seed {options['seed']}, is held out to choose by")
    folder = learn(data, out, stages=() if at_once else stages, progress=Progress(), **options)
    found = json.loads((folder / "run.json").read_text(encoding="utf-8"))["result"]
    scores = ", ".join(f"{name} {100 * (value or 0):.1f}" for name, value in found["mean_iu"].items())
    say(f"wrote {folder}: best in epoch {found['epoch']}, mean IU {scores} % on the validation images")
    say(
        f"measure it with: netviz fcn eval --data DIR --model {shlex.quote(str(folder / 'best.safetensors'))}"
    )


@fcn.command("eval")
@click.option("--data", "-d", required=True, metavar="DIR", help=_DATA)
@click.option(
    "--model",
    default="fcn_camvid",
    show_default=True,
    help="A checkpoint of netviz fcn train, a known network, or a segmentation network of torchvision.",
)
@click.option(
    "--boundary",
    is_flag=True,
    help="Measure also within 1 to 20 pixels of where labels change.",
)
@out_option("A picture (.png, .svg, .pdf) or a result file (.npz).")
@click.option(
    "--weights",
    default="default",
    show_default=True,
    metavar="default|none|FILE",
    help="Weights of a network that is named.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of untrained weights.")
@json_option
@_computing
@debug_option
def evaluate(data: str, model: str, out: str | None, as_json: bool, **options: Any) -> None:
    """Measure how well each stream labels the pixels of images with masks.

    Pixel accuracy, mean accuracy, mean IU and frequency-weighted IU, as in the paper; classes that never occur and
    void pixels are left out.
    """
    from netviz.fcn.evaluation.measure import evaluate as measure

    result = measure(data, model, progress=Progress(), **options)
    if out is not None:
        write(result, out)
    if as_json:
        print_json(result.told())
    elif out is None:
        print_lines(result.table().split("\n"))


@fcn.command()
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
    callback=label_values,
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
@output_option
@result_options("streams.png")
def show(
    images: tuple[str, ...],
    model: str,
    truths: tuple[str, ...],
    void: tuple[int, ...],
    short_side: int | None,
    output: str | None,
    out: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Show a dense network's streams side by side: 32s, 16s and 8s, or the side outputs of hed.

    What each stream says of every pixel, what it changes, how sure it is and, with --truth, where it is wrong. IMAGE
    is a file, a folder, or skimage:NAME for a photograph that comes with scikit-image. With several images each gets
    its own file, with its name before the suffix: streams-chelsea.png.

    The NPZ holds each stream under its name, such as `32s`, `16s`, `8s` or `side1` ... `side5`, `fused`: (K, H, W),
    float32, before softmax or sigmoid, on the image's own pixels, or on those of --short-side; `added_16s`
    (K, h, w), what a stream's own layer adds at its own positions, where the network tells;
    `image` (H, W, 3); and `truth` (H, W), -1 where it is void.
    """
    from netviz.fcn.streams.measure import show as take
    from netviz.images import list_images
    from netviz.models import load

    sources = list_images(images)
    masks = _masks(truths, [str(source) for source in sources])
    opened = load(model, **options)
    results = (
        take(source, model=opened, truth=mask, void=void, short_side=short_side, output=output)
        for source, mask in zip(sources, masks, strict=True)
    )
    deliver_each(results, len(sources), out, "streams.png", as_json)


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
    for mask in truths:
        if not Path(mask).is_file():
            raise click.BadParameter(f"no such file: {mask}", param_hint="'--truth'")
    return list(truths)
