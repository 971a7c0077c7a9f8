"""Completion in a shell: commands and options, networks, layers, photographs and files, without torch.

``netviz --completion bash`` prints what a shell's start-up file evaluates. Networks are those that can be named.
Layers are read from what ``netviz layers`` has listed before, and of the known networks from a file that comes with
netviz, which ``python -m netviz.cli.completion`` writes (``make docs``).
"""

import json
import lzma
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

import netviz as library
from netviz.errors import OutputError, closest

from .output import print_lines

SHELLS = ("bash", "zsh", "fish")

_MODELS = Path(library.__file__).parent / "models"
_KNOWN = _MODELS / "known" / "data" / "layers.json"
_BUILDERS = _MODELS / "recognition" / "data" / "builders.xz"
_MOST = 40
"""Of how many networks beside the known ones the layers are kept."""

Listing = list[list[str]]
"""For each layer, in running order: what is said of it, then the names that it answers to."""


def _shelf() -> Path:
    """Return the file in which layers are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(base) / "netviz" / "layers.json"


def _read(file: Path) -> dict[str, Listing]:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # never written, or by something else
        return {}
    return kept if isinstance(kept, dict) else {}


def _address(model: str) -> str:
    """Return under which name a MODEL is kept: a file's path from the root, anything else as it is."""
    return str(Path(model).absolute()) if Path(model).exists() else model


def keep(model: str, index: Iterable[Any]) -> None:
    """Keep a network's layers for completion, the latest listed first; where nothing can be written, nothing is kept.

    Parameters
    ----------
    model : str
        MODEL as it was typed.
    index : LayerIndex
    """
    from netviz.results.files import write_bytes

    mine = _address(model)
    kept = {mine: listing(index), **{name: one for name, one in _read(_shelf()).items() if name != mine}}
    with suppress(OutputError, OSError, RuntimeError):  # RuntimeError: there is no home
        text = json.dumps(dict(list(kept.items())[:_MOST]), ensure_ascii=False)
        write_bytes(_shelf(), text.encode())


def listing(index: Iterable[Any]) -> Listing:
    """Return of each layer what is said of it, and its names: the alias to show first."""
    rows = []
    for layer in index:
        shape = "" if layer.shape is None else " " + "×".join(map(str, layer.shape))
        rows.append([f"{layer.kind}{shape}", *dict.fromkeys(filter(None, (layer.alias, *layer.names)))])
    return rows


def layers_of(model: str) -> Listing:
    """Return the layers of a MODEL as they were kept; none where they were not."""
    known = _read(_KNOWN)
    return known[model] if model in known else _read(_shelf()).get(_address(model), [])


def networks() -> list[str]:
    """Return the networks that can be named: those that netviz knows first, then torchvision's and timm's."""
    with lzma.open(_BUILDERS) as stream:
        header = json.loads(stream.readline())
    return list(dict.fromkeys([*_read(_KNOWN), *(entry[0] for entry in header["builders"])]))


class _Value(click.types.StringParamType):
    """A value that is any text, and of which some can be named."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return what can be named; else the shell's own files, told by an item of type ``file``."""
        found = [
            CompletionItem(name, help=told)
            for name, told in self.known(ctx, incomplete)
            if name.startswith(incomplete)
        ]
        return found or [CompletionItem(incomplete, type="file")]

    def known(self, ctx: click.Context, incomplete: str) -> Iterable[tuple[str, str]]:
        """Return values, and what is said of each."""
        return ()


class _Network(_Value):
    def known(self, ctx: click.Context, incomplete: str) -> Iterable[tuple[str, str]]:
        own = _read(_KNOWN)
        for name in networks():
            # timm has a thousand: only to whom it is named.
            if not name.startswith("timm:") or incomplete.startswith("ti"):
                yield name, "known to netviz" if name in own else ""


class _Layer(_Value):
    """One layer, or several with commas between them."""

    def known(self, ctx: click.Context, incomplete: str) -> Iterable[tuple[str, str]]:
        before = incomplete[: incomplete.rfind(",") + 1]
        for model in _models(ctx):
            for told, *names in layers_of(model):
                yield from ((before + name, told) for name in names)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [one for one in super().shell_complete(ctx, param, incomplete) if one.type != "file"]


class _Photograph(_Value):
    def known(self, ctx: click.Context, incomplete: str) -> Iterable[tuple[str, str]]:
        if "skimage:".startswith(incomplete[:8]) and incomplete:
            from netviz.images.read import PHOTOGRAPHS

            yield from ((f"skimage:{name}", "comes with scikit-image") for name in PHOTOGRAPHS)


class _Choice(click.Choice):  # type: ignore[type-arg]
    """A choice that names the closest of its values when what was typed is none of them."""

    def fail(
        self, message: str, param: click.Parameter | None = None, ctx: click.Context | None = None
    ) -> Any:
        """Add the closest value to click's own sentence."""
        typed = message.partition("'")[2].partition("'")[0]
        super().fail(message.rstrip(".") + (closest(typed, map(str, self.choices), 1) or "."), param, ctx)


def _models(ctx: click.Context) -> list[str]:
    """Return the networks that a command was given so far, else its own default."""
    first = next((param for param in ctx.command.params if isinstance(param, click.Argument)), None)
    if first is not None and first.name in ("model", "models") and ctx.args:
        return ctx.args  # before an option without a value, click leaves arguments as they are
    for name in ("model", "models", "backbone"):
        given = ctx.params.get(name)
        if given:
            return [given] if isinstance(given, str) else list(given)
    return []


_TYPES: Mapping[str, type[_Value]] = {
    **dict.fromkeys(("model", "models", "backbone"), _Network),
    **dict.fromkeys(("layer", "layers", "before", "after"), _Layer),
    **dict.fromkeys(("image", "images"), _Photograph),
    **dict.fromkeys(
        ("out", "weights", "labels", "data", "val", "void", "results", "runs", "run", "save_model", "truths"),
        _Value,
    ),
}
"""What completes the value of an argument or option, by its name."""


def know_values(command: click.Command) -> None:
    """Have each text among a command's arguments and options completed by what it names, and each choice suggest."""
    if isinstance(command, click.Group):
        for one in command.commands.values():
            know_values(one)
    for param in command.params:
        if type(param.type) is click.Choice:
            param.type = _Choice(param.type.choices, param.type.case_sensitive)
        elif isinstance(param.type, click.types.StringParamType) and param.name in _TYPES:
            param.type = _TYPES[param.name]()


def completion_option(command: click.Group) -> click.Group:
    """Add ``--completion``, which prints a shell's script and ends."""

    def show(ctx: click.Context, param: click.Parameter, shell: str | None) -> None:
        if shell is not None and not ctx.resilient_parsing:
            found = get_completion_class(shell)
            if found is not None:
                print_lines(found(command, {}, "netviz", "_NETVIZ_COMPLETE").source().splitlines())
            ctx.exit()

    return click.option(
        "--completion",
        type=click.Choice(SHELLS),
        is_eager=True,
        expose_value=False,
        callback=show,
        help="Print what completes commands, networks and layers in a shell; for bash: "
        'eval "$(netviz --completion bash)".',
    )(command)


def known_layers(names: Iterable[str]) -> str:
    """Return the file of the known networks' layers: JSON, a line for each layer."""
    from netviz.questions.opening import layers

    found = []
    for name in names:
        rows = (json.dumps(row, ensure_ascii=False) for row in listing(layers(name, weights="none")))
        found.append(json.dumps(name) + ": [\n" + ",\n".join(rows) + "\n]")
    return "{\n" + ",\n".join(found) + "\n}\n"


if __name__ == "__main__":
    from netviz.models.known.networks import KNOWN, PACKAGED_BUILDERS

    Path(sys.argv[1]).write_text(known_layers([*PACKAGED_BUILDERS, *KNOWN]), encoding="utf-8")
