"""Figures as files: the same figure gives the same bytes."""

import io
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure

from netviz.errors import OutputError
from netviz.paper import style
from netviz.results.files import write_bytes

# Everything that would carry a date or a version into the file is left out.
_METADATA: Final[dict[str, dict[str, None]]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}

PICTURES: Final = tuple(_METADATA)
"""The kinds of picture that can be written, as file suffixes."""


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
    return write_bytes(path, encode_figure(figure, suffix_of(path, PICTURES)))


def encode_figure(figure: Figure, suffix: str = ".png") -> bytes:
    """Return the bytes that `save_figure` writes under one of the suffixes `PICTURES`."""
    buffer = io.BytesIO()
    with style.style():
        figure.savefig(
            buffer,
            format=suffix[1:],
            dpi=style.DPI if suffix == ".png" else style.VECTOR_DPI,
            metadata=_METADATA[suffix],
        )
    return buffer.getvalue()


def title_of(figure: Figure) -> str:
    """Return what stands above a picture in its largest letters, as one line."""
    texts = [text for axes in figure.axes for text in axes.texts]
    return " ".join(text.get_text() for text in texts if text.get_fontsize() == style.TITLE)


def suffix_of(path: str | Path, allowed: tuple[str, ...]) -> str:
    """Return a path's suffix in small letters.

    Raises
    ------
    OutputError
        If it is none of those allowed.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in allowed:
        named = f"the suffix {suffix!r}" if suffix else "no suffix"
        raise OutputError(f"cannot write {path}: it has {named}; use one of {' '.join(allowed)}")
    return suffix
