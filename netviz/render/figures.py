"""From a result, or its file, to a picture file."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

from netviz.errors import OutputError
from netviz.render import style
from netviz.render.field import field_figure
from netviz.render.filters import filters_figure
from netviz.render.maps import maps_figure
from netviz.render.occlusion import occlusion_figure
from netviz.results import (
    FieldResult,
    FiltersResult,
    MapsResult,
    OcclusionResult,
    Result,
    load_result,
    write_bytes,
)

FIGURES: Final[dict[type[Result], Callable[[Any], Figure]]] = {
    FieldResult: field_figure,
    FiltersResult: filters_figure,
    MapsResult: maps_figure,
    OcclusionResult: occlusion_figure,
}
"""How each kind of result is drawn; a new kind adds its line."""

# Everything that would carry a date or a version into the file is left out.
_METADATA: Final[dict[str, dict[str, None]]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
PICTURES: Final = tuple(_METADATA)
"""The kinds of picture that can be written, as file suffixes."""


def figure(result: Result) -> Figure:
    """Draw a result.

    Parameters
    ----------
    result : Result
        What any of netviz's questions returned.

    Returns
    -------
    matplotlib.figure.Figure
        Made without pyplot: it belongs to nobody else and opens no window.

    Raises
    ------
    OutputError
        If there is no picture for this kind of result.
    """
    drawer = FIGURES.get(type(result))
    if drawer is None:
        known = ", ".join(sorted(cls.kind for cls in FIGURES))
        raise OutputError(
            f"there is no picture of a result of kind {result.kind!r}; kinds that can be drawn: {known}"
        )
    return drawer(result)


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, SVG or PDF, in one step; the same figure gives the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : str or Path
        Its suffix (.png, .svg or .pdf) chooses the format.

    Returns
    -------
    Path
        The path written.

    Raises
    ------
    OutputError
        If the suffix is another, or the file cannot be written.
    """
    suffix = _suffix(path, PICTURES)
    buffer = io.BytesIO()
    with style.style():
        figure.savefig(
            buffer,
            format=suffix[1:],
            dpi=style.DPI if suffix == ".png" else style.VECTOR_DPI,
            metadata=_METADATA[suffix],
        )
    return write_bytes(path, buffer.getvalue())


def draw(result: Result | str | Path, out: str | Path) -> Path:
    """Draw a result, or the file of one, into a picture file.

    Parameters
    ----------
    result : Result, str or Path
        A result, or an NPZ file that netviz saved.
    out : str or Path
        A picture (.png, .svg, .pdf), or .npz for the result itself.

    Returns
    -------
    Path
        The path written.

    Raises
    ------
    ResultError
        If the result cannot be read.
    OutputError
        If the suffix of `out` is another, or it cannot be written.
    """
    suffix = _suffix(out, (*PICTURES, ".npz"))
    if not isinstance(result, Result):
        result = load_result(result)
    return result.save(out) if suffix == ".npz" else save_figure(figure(result), out)


def _suffix(path: str | Path, allowed: tuple[str, ...]) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in allowed:
        named = f"the suffix {suffix!r}" if suffix else "no suffix"
        raise OutputError(f"cannot write {path}: it has {named}; use one of {' '.join(allowed)}")
    return suffix
