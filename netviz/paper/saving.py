"""Figures as files: the same figure gives the same bytes."""

import io
import re
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

from netviz.errors import OutputError
from netviz.paper import page, style
from netviz.results.files import write_bytes

# Everything that would carry a date or a version into the file is left out.
_METADATA: Final[dict[str, dict[str, None]]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}

PRINT_DPI: Final = 300
"""Pixels per inch of a PNG whose width is a length."""
LARGEST_WIDTH: Final = 8000
LARGEST_DPI: Final = 600

PICTURES: Final = tuple(_METADATA)
"""The kinds of picture that can be written, as file suffixes."""


def save_figure(
    figure: Figure,
    path: str | Path,
    *,
    width: int | str | None = None,
    dpi: float | None = None,
    inches: float | None = None,
) -> Path:
    """Write a figure as PNG, SVG or PDF, in one step; the same figure gives the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : str or Path
        Its suffix (.png, .svg or .pdf) chooses the format.
    width : int or str, optional
        Of a PNG in pixels, or of any picture as a length (``"3.5in"``, ``"89mm"``); letters and lines grow with it.
    dpi : float, optional
        Pixels per inch: of a PNG, by default `style.DPI`, and `PRINT_DPI` where the width is a length; of the images
        inside an SVG or PDF, by default `style.VECTOR_DPI`.
    inches : float, optional
        How wide it is to be where `width` is not a length: by default as the figure is.

    Returns
    -------
    Path
        The path written.

    Raises
    ------
    OutputError
        If the suffix is another, or the file cannot be written; or a `width` in pixels is given for no PNG.
    ValueError
        If `width` or `dpi` is out of range, or pixels and a density are both given.
    """
    suffix = suffix_of(path, PICTURES)
    check_density(width, dpi)
    own = float(figure.get_size_inches()[0])
    if isinstance(width, str):
        inches, dpi = page.inches(width), dpi or (PRINT_DPI if suffix == ".png" else None)
    elif width is not None:
        if suffix != ".png":
            raise OutputError(
                f"{path} has no width in pixels: only a .png has; give the width as a length, such as 3.5in, or dpi"
            )
        # A little more, as what is left of a pixel is cut off.
        return write_bytes(path, encode_figure(figure, suffix, (width + 0.01) / own))
    return write_bytes(path, encode_figure(figure, suffix, dpi, (inches or own) / own))


def check_density(width: int | str | None, dpi: float | None) -> None:
    """Refuse a width and a density that no picture can have.

    Raises
    ------
    ValueError
        If one is out of range, or pixels and a density are both given.
    """
    if isinstance(width, str):
        page.inches(width)
    elif width is not None:
        if dpi is not None:
            raise ValueError("width and dpi both say how many pixels a picture has: give one of them")
        if not 100 <= width <= LARGEST_WIDTH:
            raise ValueError(f"width must be 100 to {LARGEST_WIDTH} pixels, not {width}")
    if dpi is not None and not 20 <= dpi <= LARGEST_DPI:
        raise ValueError(f"dpi must be 20 to {LARGEST_DPI}, not {dpi:g}")


def encode_figure(
    figure: Figure, suffix: str = ".png", dpi: float | None = None, enlarged: float = 1.0
) -> bytes:
    """Return the bytes that `save_figure` writes under one of the suffixes `PICTURES`.

    `enlarged` is by how much the picture, with its letters and lines, is larger than the figure.
    """
    buffer = io.BytesIO()
    with style.style():
        if suffix == ".pdf" and enlarged != 1:
            _print_pdf(figure, buffer, (dpi or style.VECTOR_DPI) * enlarged, enlarged)
            return buffer.getvalue()
        figure.savefig(
            buffer,
            format=suffix[1:],
            dpi=(dpi or (style.DPI if suffix == ".png" else style.VECTOR_DPI)) * enlarged,
            metadata=_METADATA[suffix],
        )
    if suffix == ".svg" and enlarged != 1:
        return _enlarge_svg(buffer.getvalue().decode(), enlarged).encode()
    return buffer.getvalue()


def _print_pdf(figure: Figure, buffer: io.BytesIO, dpi: float, enlarged: float) -> None:
    """Write a PDF as Matplotlib does, on a page that is larger by a factor, as all on it."""
    wide, high = figure.get_size_inches()
    before, figure.dpi = figure.dpi, 72
    # With parts of fontTools that only a PDF needs. These have no types.
    pdf: Any = import_module("matplotlib.backends.backend_pdf")
    mixed: Any = import_module("matplotlib.backends.backend_mixed")
    file = pdf.PdfFile(buffer, metadata=_METADATA[".pdf"])
    try:
        file.newPage(wide * enlarged, high * enlarged)
        # What is drawn counts from the figure's own edges.
        file.width, file.height = wide, high
        file.output(enlarged, 0, 0, enlarged, 0, 0, pdf.Op.concat_matrix)
        renderer = mixed.MixedModeRenderer(figure, wide, high, dpi, pdf.RendererPdf(file, dpi, high, wide))
        figure.draw(renderer)
        renderer.finalize()
        file.finalize()
    finally:
        file.close()
        figure.dpi = before


def _enlarge_svg(text: str, enlarged: float) -> str:
    """Write another size at the top of an SVG; what is in it counts in units of its own."""
    root = text.index("<svg ")
    end = text.index(">", root)
    sized = re.sub(
        r'\b(width|height)="([\d.]+)pt"',
        lambda found: f'{found[1]}="{float(found[2]) * enlarged:.6g}pt"',
        text[root:end],
    )
    return text[:root] + sized + text[end:]


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
