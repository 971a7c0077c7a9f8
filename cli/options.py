"""Options that several commands share, and how their values are read."""

import functools
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import click

from .output import PAGE, check_output, say

F = TypeVar("F", bound=Callable[..., Any])


def size(text: str) -> tuple[int, int]:
    """Read ``HxW``, or one number for a square, in pixels."""
    numbers = text.lower().replace("×", "x").split("x")
    if len(numbers) > 2 or not all(number.isdecimal() and int(number) > 0 for number in numbers):
        raise click.BadParameter(f"{text!r} is no size; write 224x224 (height x width) or 224")
    return int(numbers[0]), int(numbers[-1])


def label_values(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...]:
    """Read values of masks, such as ``11,255``."""
    parts = [part.strip() for part in (value or "").split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts):
        raise click.BadParameter(f"{value!r} is no list of label values; write 11 or 11,255")
    return tuple(sorted({int(part) for part in parts}))


def numbers(text: str) -> tuple[float, ...]:
    """Read ``0.5`` or ``0.485,0.456,0.406``."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(abs(number) <= 1e9 for number in found):
        raise click.BadParameter(f"{text!r} is neither a number nor a list of them; write 0.5 or 0.4,0.5,0.6")
    return found


def positive_numbers(text: str) -> tuple[float, ...]:
    """Read numbers above 0."""
    found = numbers(text)
    if min(found) <= 0:
        raise click.BadParameter(f"{text!r} is not above 0; a standard deviation is")
    return found


def value_range(text: str) -> tuple[float, ...]:
    """Read ``1``, ``255`` or ``-1,1``."""
    found = numbers(text)
    if len(found) > 2 or not (0.0, *found)[-2] < found[-1]:
        raise click.BadParameter(
            f"{text!r} is no range of values; write 1, 255, or the least and the largest: -1,1"
        )
    return found


def shown_bands(text: str) -> tuple[int, ...]:
    """Read ``4`` or ``3,2,1``."""
    parts = text.split(",")
    if len(parts) not in (1, 3) or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"{text!r} is neither one band nor three, counted from 1; write 3,2,1")
    return tuple(map(int, parts))


def _tell_saved(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Say in the end, if all went well, what was saved beside the weights."""
    if value is not None:

        def tell() -> None:
            from netviz.models.described.sidecar import sidecar

            if sys.exc_info()[0] is None:
                say(f"wrote {sidecar(value)}, which is read with these weights from now on")

        ctx.call_on_close(tell)
    return value


MODEL_OPTIONS = (
    "trust", "weights", "seed", "prefix", "mean", "std", "input_scale", "channel_order", "labels", "bands",
    "save_model",
)  # fmt: skip
"""What `model_options` adds."""


def take_model_options(options: dict[str, Any]) -> dict[str, Any]:
    """Take the keywords of `netviz.load` out of a command's options, and return them."""
    return {name: options.pop(name) for name in MODEL_OPTIONS if name in options}


def model_options(command: F) -> F:
    """Add how a MODEL may be opened: the keywords of `netviz.load`."""
    return opening_options(described_options(command))


def described_options(command: F) -> F:
    """Add what may be said of a MODEL: how it wants its images, and what its classes are called."""
    for option in (
        click.option(
            "--save-model",
            metavar="WEIGHTS",
            callback=_tell_saved,
            help="Keep --mean, --std, --input-scale, --channel-order, --labels and --bands in WEIGHTS.netviz.json, "
            "beside MODEL's file of weights, where they are read from then on.",
        ),
        click.option(
            "--bands",
            type=shown_bands,
            metavar="N|R,G,B",
            help="Of a network that takes neither 1 nor 3 channels, which bands are shown, from 1: 3,2,1.  [default: "
            "the three that vary most, of two the first]",
        ),
        click.option(
            "--labels",
            metavar="FILE",
            help="The classes' names: a line for each, or JSON (a list, or {index: name}).",
        ),
        click.option(
            "--channel-order",
            type=click.Choice(["rgb", "bgr"]),
            help="The order in which the network takes its channels.  [default: its own, else rgb]",
        ),
        click.option(
            "--input-scale",
            type=value_range,
            metavar="1|255|MIN,MAX",
            help="What a white pixel is worth before --mean and --std, or a black and a white one.  [default: the "
            "network's own, else 1]",
        ),
        click.option(
            "--std",
            type=positive_numbers,
            metavar="NUMBERS",
            help="What values are divided by after that, likewise.  [default: the network's own]",
        ),
        click.option(
            "--mean",
            type=numbers,
            metavar="NUMBERS",
            help="What is subtracted from an image's values: one number, or one for each channel: "
            "0.485,0.456,0.406.  [default: the network's own]",
        ),
    ):
        command = option(command)
    return command


def opening_options(command: F) -> F:
    """Add which weights a MODEL has."""
    for option in (
        click.option("--seed", default=0, show_default=True, help="Seed of untrained weights."),
        click.option(
            "--weights",
            default="default",
            show_default=True,
            metavar="default|none|FILE",
            help="Weights of a network that is named: its trained ones, none, or a checkpoint file.",
        ),
        prefix_option,
        click.option(
            "--trust",
            is_flag=True,
            help="Run code that the checkpoint file holds (pickled modules, TorchScript, exported programs).",
        ),
    ):
        command = option(command)
    return command


def prefix_option(command: F) -> F:
    """Add ``--prefix``: which part of a file the network is."""
    return click.option(
        "--prefix",
        default="",
        metavar="TEXT",
        help="Which part of a checkpoint file is the network, by the beginning of its names, such as ema.",
    )(command)


def model_option(command: F) -> F:
    """Add ``--model``, for commands whose arguments are images."""
    return click.option(
        "--model",
        default="mobilenet_v2",
        show_default=True,
        help="A checkpoint or ONNX file, a folder of transformers, a known network (mobilenet_v2, hed, pnet, "
        "fcn_camvid), a torchvision builder, timm:NAME, hf:OWNER/NAME, module:factory or FILE.py:factory.",
    )(command)


def layer_option(help: str = "The layer: name, alias, glob, or -1 for the last.") -> Callable[[F], F]:
    """Add ``--layer``, for commands that need one."""
    return click.option("--layer", "-l", required=True, help=help)


def units_option(default: str) -> Callable[[F], F]:
    """Add ``--units``: which of a layer's units are drawn."""
    return click.option(
        "--units",
        help=f"Which units to draw: 0:16 (a range as in Python) or 3,7.  [default: {default}]",
    )


def images_option(help: str, metavar: str = "PATH") -> Callable[[F], F]:
    """Add ``--images``, for questions over many images."""
    return click.option("--images", "-i", multiple=True, metavar=metavar, help=help)


def fit_option(command: F) -> F:
    """Add ``--fit``: how images of any aspect are brought to the network."""
    return click.option(
        "--fit",
        type=click.Choice(["crop", "resize", "full"]),
        default="crop",
        show_default=True,
        help="Show the network the middle of an image, all of it squeezed to the network's size, or all of it at its "
        "own aspect.",
    )(command)


def output_option(command: F) -> F:
    """Add ``--output``: which output of a network that returns several."""
    return click.option(
        "--output",
        metavar="NAME|INDEX",
        help="Of a network that returns several tensors, the one that holds the scores.  [default: found by axes and "
        "names, see docs/models.md]",
    )(command)


def size_option(command: F) -> F:
    """Add ``--size``."""
    return click.option(
        "--size", type=size, metavar="HxW", help="Input height and width in pixels, if not the network's own."
    )(command)


def run_options(command: F) -> F:
    """Add how a question over many images is run: engine, workers, device, resume."""
    for option in (
        click.option("--resume", is_flag=True, help="Go on with an interrupted run in RUN."),
        click.option(
            "--dtype",
            type=click.Choice(["float32", "bfloat16"]),
            default="float32",
            show_default=True,
            help="With which numbers the network runs.",
        ),
        click.option("--device", help="Such as cuda, mps or cpu.  [default: a CUDA GPU if there is one]"),
        click.option(
            "--workers",
            type=click.IntRange(min=0),
            help="Processes that read images; for ray how many networks work at once.  [default: one per core]",
        ),
        click.option(
            "--address",
            help="Address of a running cluster, such as auto.  [default: start one here; ray only]",
        ),
        click.option(
            "--engine",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="This machine, or a Ray cluster (needs the extra ray).",
        ),
        click.option(
            "--batch",
            type=click.IntRange(min=1),
            help="Images in one forward pass.  [default: up to 16, fewer where maps are large]",
        ),
    ):
        command = option(command)
    return command


def check_address(address: str | None, engine: str) -> None:
    """Refuse the address of a cluster for an engine that has none."""
    if address is not None and engine != "ray":
        raise click.BadParameter("an address is for --engine ray", param_hint="'--address'")


def run_option(command: F) -> F:
    """Add ``-o``, for commands that write the folder of a run."""
    return click.option("-o", "--out", required=True, metavar="RUN", help="The run's folder: new or empty.")(
        command
    )


def out_option(help: str, default: str | None = None) -> Callable[[F], F]:
    """Add ``-o``, a file that can be written before the command begins; without it `default`, unless ``--json``."""

    def add(command: F) -> F:
        @functools.wraps(command)
        def checked(*args: Any, **options: Any) -> Any:
            out = options["out"] or (None if options.get("as_json") else default)
            if out is not None:
                check_output(out)
            return command(*args, **options)

        return click.option("-o", "--out", metavar="OUT", help=help)(page_options(cast(F, checked)))

    return add


def picture_width(text: str) -> int | str:
    """Read a width in pixels (``1200``) or as a length (``3.5in``, ``89mm``)."""
    if text.isdecimal():
        if not 100 <= int(text) <= 8000:
            raise click.BadParameter(f"{text} is not in the range 100 to 8000 pixels")
        return int(text)
    from netviz.paper.page import inches

    try:
        inches(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return text


def picture_aspect(text: str) -> float:
    """Read an aspect, such as ``16:9``."""
    from netviz.paper.page import ratio

    try:
        return ratio(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def page_options(command: F) -> F:
    """Add for which page a picture is, which `deliver` looks at when it writes one."""

    def note(ctx: click.Context, param: click.Parameter, value: float | str | None) -> None:
        if value is not None:
            if value != value:
                raise click.BadParameter("nan is no number; give one, such as 200")
            told = ctx.find_root().meta.setdefault(PAGE, {})
            told[param.name] = value
            if "dpi" in told and isinstance(told.get("width"), int):
                raise click.UsageError(
                    "--width and --dpi both say how many pixels a picture has; give one of them, or the width as a "
                    "length"
                )

    for option in (
        click.option(
            "--aspect",
            type=picture_aspect,
            metavar="W:H",
            expose_value=False,
            callback=note,
            help="Width by height, such as 16:9 for a slide; 7.5 inches high unless --width says otherwise.  "
            "[default: what the picture needs]",
        ),
        click.option(
            "--font-size",
            type=click.FloatRange(4, 40),
            metavar="POINTS",
            expose_value=False,
            callback=note,
            help="Of captions, at the picture's width; what is drawn takes what letters leave.  [default: 9, or as "
            "the width makes it]",
        ),
        click.option(
            "--dpi",
            type=click.FloatRange(20, 600),
            expose_value=False,
            callback=note,
            help="Pixels per inch of a PNG, or of the images inside an SVG or PDF.  [default: 100, 300 for a width "
            "that is a length, and 200]",
        ),
        click.option(
            "--width",
            type=picture_width,
            metavar="PIXELS|LENGTH",
            expose_value=False,
            callback=note,
            help="Width of a PNG in pixels (1200), or of any picture as a length (3.5in, 89mm); letters and lines "
            "grow with it; where the smallest would have less than 6 points, what is drawn gives way.  "
            "[default: what the picture needs]",
        ),
    ):
        command = option(command)
    return command


def result_options(default: str) -> Callable[[F], F]:
    """Add what every command has that makes a picture: ``-o``, ``--json``, a MODEL's options and ``--debug``."""

    def add(command: F) -> F:
        for option in (
            debug_option,
            model_options,
            json_option,
            out_option(f"Picture (.png, .svg, .pdf) or arrays (.npz).  [default: {default}]", default),
        ):
            command = option(command)
        return command

    return add


def json_option(command: F) -> F:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON on stdout.")(command)


def debug_option(command: F) -> F:
    """Add ``--debug``, which `netviz.cli.main` looks at when a command fails."""

    def note(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            ctx.find_root().meta["netviz.debug"] = True

    return click.option(
        "--debug", is_flag=True, expose_value=False, callback=note, help="Show the traceback of an error."
    )(command)
