"""The command ``netviz`` and what becomes of its errors."""

import io
import os
import sys
import traceback
import warnings
from functools import partial
from importlib import import_module
from typing import Any

import click

from netviz._version import __version__
from netviz.errors import NetvizError, NetvizWarning
from netviz.questions.table import commands

from .completion import completion_option, know_values
from .output import say


@completion_option
@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="netviz")
def netviz() -> None:
    """See inside a trained convolutional network.

    MODEL is a checkpoint file (.pt, .pth, .safetensors, TorchScript, .pt2), an ONNX file, a folder of transformers or
    timm (config.json and model.safetensors), a known network (mobilenet_v2, hed, pnet), a torchvision builder,
    timm:NAME, hf:OWNER/NAME, or module.path:factory or FILE.py:factory in Python.

    Exit status: 0 done, 1 an error told in one line, 2 wrong usage.
    """


for verb in (*commands(), "gallery", "draw", "report", "doctor"):
    netviz.add_command(getattr(import_module(f"{__package__}.{verb}"), verb))
know_values(netviz)


def run(args: list[str] | None = None) -> None:
    """Run the command line and exit with its status: no traceback unless ``--debug`` asks for it."""
    debug = "--debug" in (sys.argv[1:] if args is None else args)
    if not debug:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # read once, when torch is imported
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", NetvizWarning)
            warnings.showwarning = partial(_show, debug)
            netviz.main(args, standalone_mode=False)
        status = 0
    except click.exceptions.Exit as error:
        status = error.exit_code
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        _say_lines(shown.getvalue())
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        status = _tell("interrupted", debug, 130)
    except BrokenPipeError:
        # The reader of stdout has gone (netviz … | head): nothing is wrong, and nothing more can be said there.
        sys.stderr.close()
        status = 0
    except NetvizError as error:
        status = _tell(str(error), debug, 1)
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        if isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY):
            told = "this does not fit into memory; a smaller --size, or fewer units or layers, make it less"
        else:
            told = f"unexpected {type(error).__name__}: {text} (please report it, with --debug)"
        status = _tell(told, debug, 1)
    sys.exit(status)


_NO_MEMORY = ("can't allocate memory", "out of memory")
"""How torch says on a processor, and on a GPU, that there is none left; both are plain errors of the run."""


def _show(
    debug: bool, message: Warning | str, category: type[Warning], file: str, line: int, *_: Any, **more: Any
) -> None:
    """Tell a warning; one of another library, which speaks of code and not of what was asked, in debugging alone."""
    if issubclass(category, NetvizWarning):
        say(f"netviz: {message}")
    elif debug:
        _say_lines(warnings.formatwarning(message, category, file, line))


def _tell(message: str, debug: bool, status: int) -> Any:
    if debug:
        _say_lines(traceback.format_exc())
    say(f"netviz: {message}")
    return status


def _say_lines(text: str) -> None:
    for line in text.rstrip("\n").split("\n"):
        say(line)
