"""Every message that tells of something wrong, in one page: read out of the source, so that none is missing.

A message stands in the source as text with values in it. Here each value is shown by its name, ``{path}``; one that
is worked out on the spot by ``{…}``.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import netviz as library
from netviz import errors

from . import __path__ as _commands

_SHOWN = {
    **{
        name: (one.__doc__ or "").partition("\n")[0]
        for name, one in vars(errors).items()
        if isinstance(one, type) and issubclass(one, errors.NetvizError)
    },
    "BadParameter": "The value of an option or argument that cannot be; exit status 2.",
    "UsageError": "Options that do not go together, or are missing; exit status 2.",
    "NetvizWarning": "What makes an answer doubtful. Nothing ends: the line is told on stderr.",
}
"""For each class of error what it tells of, in the order of the page."""


def messages() -> str:
    """Return docs/messages.md: each class of error, and its messages room by room."""
    found = sorted({one for folder in _folders() for one in _in_folder(*folder)})
    parts = [
        "# Messages",
        "",
        "Every message that tells of something wrong, read out of the source (`make docs`); a test holds this page",
        "to it. A message is one line: what is wrong, with which value, and what to do. `{path}` stands for a value.",
        "`--debug` shows where in the code a message comes from.",
        "",
    ]
    for kind, about in _SHOWN.items():
        mine = [(room, text) for one, room, text in found if one == kind]
        if mine:
            parts += [f"## {kind}", "", about, ""]
            for room in dict.fromkeys(room for room, _ in mine):
                parts += [f"In `{room}`:", ""]
                parts += [f"- {_escaped(text)}" for where, text in mine if where == room]
                parts += [""]
    return "\n".join(parts)


def _escaped(text: str) -> str:
    """Return a message so that Markdown leaves it as it is."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _folders() -> Iterator[tuple[Path, str]]:
    root = Path(library.__file__).parent
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and folder.name not in ("cli", "gallery", "__pycache__"):
            yield folder, f"netviz/{folder.name}"
    cli = Path(next(iter(_commands)))
    yield cli, "cli"
    yield (root if (root / "gallery").is_dir() else cli.parent) / "gallery", "gallery"


def _in_folder(folder: Path, room: str) -> Iterator[tuple[str, str, str]]:
    """Yield class, room and text of each message in the files of a folder; of large rooms the room within."""
    for file in sorted(folder.rglob("*.py")):
        inside = file.relative_to(folder).parts[:-1]
        where = f"{room}/{inside[0]}" if inside and room in ("netviz/questions", "netviz/fcn") else room
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for kind, message in _made(tree):
            text = " ".join(_text(message, tree).split())
            if any(letter.isalpha() for letter in text.replace("{…}", "")) and not _only_a_value(text):
                yield kind, where, text


def _only_a_value(text: str) -> bool:
    return text.startswith("{") and text.find("}") == len(text) - 1


def _made(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield each error and warning that is made, with the expression of its message."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = _name(node.func)
        if name in _SHOWN:
            yield name, node.args[0]
        elif name == "warn" and len(node.args) > 1 and _name(node.args[1]) == "NetvizWarning":
            yield "NetvizWarning", node.args[0]


def _name(node: ast.expr) -> str:
    """Return the last part of a dotted name, or nothing."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _text(node: ast.expr, tree: ast.AST) -> str:
    """Return a message as a reader of the page sees it."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, tree) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        value = node.value
        if isinstance(value, ast.IfExp):
            return _text(value, tree)
        shown = _value(value)
        return f"'{shown}'" if node.conversion == ord("r") else shown
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left, tree) + _text(node.right, tree)
    if isinstance(node, ast.IfExp):
        return f"{{{_text(node.body, tree)} | {_text(node.orelse, tree)}}}" if _said(node) else "{…}"
    return _value(node)


def _value(node: ast.expr) -> str:
    """Return a value by the name that it has in the source; what is called ``name`` by what it is the name of."""
    name = _name(node)
    if isinstance(node, ast.Attribute) and name in ("name", "__name__"):
        name = "type" if name == "__name__" else _name(node.value).replace("self", "") or name
    return f"{{{name.strip('_').replace('_', ' ') or '…'}}}"


def _said(node: ast.IfExp) -> bool:
    """Whether both ways are text, short enough to stand side by side."""
    ways = (node.body, node.orelse)
    return all(isinstance(way, ast.Constant) and isinstance(way.value, str) and way.value for way in ways)
