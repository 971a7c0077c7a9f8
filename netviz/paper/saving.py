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

LARGEST_WIDTH: Final = 8000
LARGEST_DPI: Final = 600

PICTURES: Final = tuple(_METADATA)
"""The kinds of picture that can be written, as file suffixes."""


def save_figure(
    figure: Figure, path: str | Path, *, width: int | None = None, dpi: float | None = None
) -> Path:
    """Write a figure as PNG, SVG or PDF, in one step; the same figure gives the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : str or Path
        Its suffix (.png, .svg or .pdf) chooses the format.
    width : int, optional
        Of a PNG, in pixels; letters and lines grow with it.
    dpi : float, optional
        Instead of `width`, pixels per inch: of a PNG, by default `style.DPI`; of the images inside an SVG or PDF, by
        default `style.VECTOR_DPI`.

    Returns
    -------
    Path
        The path written.

    Raises
    ------
    OutputError
        If the suffix is another, or the file cannot be written; or `width` is given for another than a PNG.
    ValueError
        If `width` or `dpi` is out of range, or both are given.
    """
    suffix = suffix_of(path, PICTURES)
    check_density(width, dpi)
    if width is not None:
        if suffix != ".png":
            raise OutputError(f"{path} has no width in pixels: only a .png has; leave width out, or give dpi")
        # A little more, as what is left of a pixel is cut off.
        dpi = (width + 0.01) / figure.get_size_inches()[0]
    return write_bytes(path, encode_figure(figure, suffix, dpi))


def check_density(width: int | None, dpi: float | None) -> None:
    """Refuse a width and a density that no picture can have.

    Raises
    ------
    ValueError
        If one is out of range, or both are given.
    """
    if width is not None and dpi is not None:
        raise ValueError("width and dpi both say how many pixels a picture has: give one of them")
    if width is not None and not 100 <= width <= LARGEST_WIDTH:
        raise ValueError(f"width must be 100 to {LARGEST_WIDTH} pixels, not {width}")
    if dpi is not None and not 20 <= dpi <= LARGEST_DPI:
        raise ValueError(f"dpi must be 20 to {LARGEST_DPI}, not {dpi:g}")


def encode_figure(figure: Figure, suffix: str = ".png", dpi: float | None = None) -> bytes:
    """Return the bytes that `save_figure` writes under one of the suffixes `PICTURES`."""
    buffer = io.BytesIO()
    with style.style():
        figure.savefig(
            buffer,
            format=suffix[1:],
            dpi=dpi or (style.DPI if suffix == ".png" else style.VECTOR_DPI),
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
