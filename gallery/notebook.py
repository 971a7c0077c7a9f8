"""A result or a run as a notebook shows it: its picture, and its facts as a table."""

import base64
from typing import Any

import numpy as np

from netviz.errors import NetvizError
from netviz.paper.saving import encode_figure, title_of
from netviz.questions.drawing import picture
from netviz.results.base import Result
from netviz.results.runs import Run

from .pages import make_environment
from .words import counted, size

_LONGEST = 120
"""Most characters of a fact."""

_SHORT = 6
"""Up to how many entries are listed instead of counted."""


def display(shown: Result | Run) -> dict[str, str | bytes]:
    """Return what a notebook shows, by its MIME type.

    Parameters
    ----------
    shown : Result or Run
        Of a run, its folder is drawn.

    Returns
    -------
    dict
        ``text/html``: the picture with its facts, one element that needs nothing else; ``image/png``: the picture,
        the bytes that `netviz.draw` writes, if there is one.
    """
    png, title, problem = b"", "", ""
    try:
        figure = picture(shown if isinstance(shown, Result) else shown.folder)
        png, title = encode_figure(figure), title_of(figure)
    except NetvizError as error:
        problem = str(error)
    facts = _of_result(shown) if isinstance(shown, Result) else _of_run(shown)
    html = (
        make_environment()
        .get_template("notebook.html")
        .render(
            png=base64.b64encode(png).decode(),
            title=title or facts.get("kind", ""),
            facts=facts,
            problem=problem,
        )
    )
    return {"text/html": html, **({"image/png": png} if png else {})}


def _of_result(result: Result) -> dict[str, str]:
    facts = {name: _said(value) for name, value in result.facts().items()}
    arrays = {
        name: f"array, {size(array.shape) or 'one value'}, {array.dtype}"
        for name, array in result.arrays().items()
    }
    return {**facts, **arrays}


def _of_run(run: Run) -> dict[str, str]:
    """Tell of a run what its run.json says; reading every layer's file would take long."""
    facts = {name: _said(value) for name, value in run.facts.items() if name != "layers"}
    facts["layers"] = _said([layer.alias or layer.name for layer in run.layers])
    return {"folder": _said(str(run.folder)), **facts}


def _said(value: Any) -> str:
    """Put a fact into one line."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value is None or (isinstance(value, str | tuple | list | dict) and not value):
        return "none"
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    if isinstance(value, tuple | list):
        plain = all(isinstance(one, str | int | float) for one in value)
        return (
            ", ".join(map(_said, value))
            if plain and len(value) <= _SHORT
            else counted(len(value), "entry", "entries")
        )
    if isinstance(value, dict):
        plain = all(isinstance(one, str | int | float | None) for one in value.values())
        if not plain or len(value) > 2 * _SHORT:
            return counted(len(value), "entry", "entries")
        return ", ".join(f"{_said(name)}: {_said(one)}" for name, one in value.items())
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
