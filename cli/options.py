"""Options that several commands share, and how their values are read."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def size(text: str) -> tuple[int, int]:
    """Read ``HxW``, or one number for a square, in pixels."""
    numbers = text.lower().replace("×", "x").split("x")
    if len(numbers) > 2 or not all(number.isdecimal() and int(number) > 0 for number in numbers):
        raise click.BadParameter(f"{text!r} is no size; write 224x224 (height x width) or 224")
    return int(numbers[0]), int(numbers[-1])


def model_options(command: F) -> F:
    """Add how a MODEL may be opened."""
    for option in (
        click.option("--seed", default=0, show_default=True, help="Seed of untrained weights."),
        click.option(
            "--weights",
            default="default",
            show_default=True,
            metavar="default|none|FILE",
            help="Weights of a network that is named: its trained ones, none, or a checkpoint file.",
        ),
        click.option(
            "--trust",
            is_flag=True,
            help="Run code that the checkpoint file holds (pickled modules, TorchScript, exported programs).",
        ),
    ):
        command = option(command)
    return command


def model_option(command: F) -> F:
    """Add ``--model``, for commands whose arguments are images."""
    return click.option(
        "--model",
        default="mobilenet_v2",
        show_default=True,
        help="A checkpoint file, a known network (mobilenet_v2, hed, pnet, fcn_camvid), a torchvision builder, "
        "timm:NAME or module:factory.",
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
        click.option("--device", help="Such as cuda or cpu.  [default: a GPU if there is one]"),
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
            default=16,
            show_default=True,
            help="Images in one forward pass.",
        ),
    ):
        command = option(command)
    return command


def out_option(help: str) -> Callable[[F], F]:
    """Add ``-o``."""
    return click.option("-o", "--out", metavar="OUT", help=help)


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
