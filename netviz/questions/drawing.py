"""From a result, or its file, to a picture file, or to the screen.

On the screen: in the notebook that asks for it, or in the system's own viewer.
"""

import base64
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from netviz.errors import OutputError
from netviz.paper.page import LEAST, Page, caption_points, lay_out, ratio, smallest_points
from netviz.paper.page import inches as length
from netviz.paper.saving import PICTURES, check_density, encode_figure, save_figure, suffix_of, title_of
from netviz.paper.style import DPI
from netviz.questions import table
from netviz.questions.dissect.picture import (
    SHOWN,
    compare,
    dissection_picture,
    is_compared,
)
from netviz.questions.dissect.result import DissectionResult
from netviz.questions.patches.draw import patches_figure
from netviz.questions.patches.result import RULES_BY, BackResult, PatchesResult
from netviz.questions.patches.run import read_back
from netviz.questions.patches.tiles import RunImages
from netviz.questions.reader import load_result, open_folder
from netviz.questions.votes.draw_set import votes_set_figure
from netviz.questions.votes.result import VotesSetResult
from netviz.results.base import Result
from netviz.results.choose import several
from netviz.results.runs import Run

# What a network computed may be NaN, infinite, or as large as numbers are: pictures tell so, NumPy need not.
_quiet = np.errstate(invalid="ignore", over="ignore")


@_quiet
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
    drawer = table.drawer(result.kind)
    if drawer is None:
        raise OutputError(
            f"there is no picture of a result of kind {result.kind!r}; kinds that can be drawn: "
            f"{', '.join(table.drawn_kinds())}"
        )
    drawn: Figure = drawer(result)
    return drawn


def draw(
    result: Result | str | Path | Sequence[Result | str | Path],
    out: str | Path,
    *,
    layer: str | None = None,
    units: int | str | Iterable[int] | None = None,
    show: str | None = None,
    beside: str | None = None,
    width: int | str | None = None,
    dpi: float | None = None,
    font_size: float | None = None,
    aspect: str | float | None = None,
    tell: Callable[[str], None] | None = None,
) -> Path:
    """Draw a result, the file of one, a layer of a run, or several dissections side by side, into a picture file.

    Parameters
    ----------
    result : Result, str or Path, or sequence of these
        A result, an NPZ file that netviz saved, or the folder of a run. Of dissections also several, to be drawn side
        by side: results, files (NPZ, or CSV of Network Dissection) and folders, these with all of their layers.
    out : str or Path
        A picture (.png, .svg, .pdf), or .npz for the result itself.
    layer : str, optional
        Which layer of a run: name, alias or glob.
    units : int, str or iterable of int, optional
        Which units of a run's layer, such as ``"0:16"``.
    show : {"concepts", "units", "matrix"}, optional
        What of a dissection: how many units detect each concept (unless said otherwise), the best units of each with
        their patches and masks, or units against concepts.
    beside : {"deconv", "guided"}, optional
        Of a run that `netviz.patches` made with ``deconv=True``: below each patch what in it made the unit answer, by
        a deconvnet or by guided backpropagation.
    width : int or str, optional
        Of a PNG in pixels, or of any picture as a length, such as ``"3.5in"`` or ``"89mm"``; letters and lines grow
        with it, unless `font_size` says how large they are.
    dpi : float, optional
        Pixels per inch, beside a width in pixels not: of a PNG, by default 100, and 300 where its width is a length;
        of the images inside an SVG or PDF, by default 200.
    font_size : float, optional
        Of captions in points, 4 to 40, at the picture's width (pixels are taken for hundredths of an inch); by
        default 9 where no width is given. Titles and labels keep their proportion to captions; maps, filters and
        photographs take what letters leave.
    aspect : str or float, optional
        Width by height, such as ``"16:9"`` for a slide. Without `width`, 7.5 inches high.
    tell : callable, optional
        Called with a line for a person, such as how many images of a run have gone.

    Returns
    -------
    Path
        The path written.

    Raises
    ------
    ResultError
        If the result cannot be read.
    LayerError
        If a run has no such layer, or several and none is named, or the layer no such unit.
    OutputError
        If the suffix of `out` is another, it cannot be written, a run's images have gone, or an option is not for
        this kind of result.
    ValueError
        If `show` is none of the values named here, or `width`, `dpi`, `font_size` or `aspect` is out of range.
    """
    check_density(width, dpi)
    page = _page(width, font_size, aspect)
    if suffix_of(out, (*PICTURES, ".npz")) != ".npz":
        told: list[str] = []
        drawn, inches = lay_out(
            lambda: picture(result, layer=layer, units=units, show=show, beside=beside, tell=told.append),
            page,
        )
        points, smallest = caption_points(drawn, inches), smallest_points(drawn, inches)
        less = "the picture holds too much for this width; draw fewer units, or give it more width"
        if page.font_size is not None and points < 0.95 * page.font_size:
            told.append(f"its captions are of {points:.2g} points, not {page.font_size:g}: {less}")
        elif page.font_size is None and page.width is not None and smallest < 0.95 * LEAST:
            told.append(f"its smallest letters are of {smallest:.2g} points: {less}")
        for line in dict.fromkeys(told):
            if tell is not None:
                tell(line)
        return save_figure(drawn, out, width=width, dpi=dpi, inches=inches)
    _check_show(show)
    sources = _sources(result)
    if len(sources) != 1:
        suffix_of(out, PICTURES)
    return _opened(sources[0], layer)[0].save(out)


@_quiet
def picture(
    result: Result | str | Path | Sequence[Result | str | Path],
    *,
    layer: str | None = None,
    units: int | str | Iterable[int] | None = None,
    show: str | None = None,
    beside: str | None = None,
    tell: Callable[[str], None] | None = None,
) -> Figure:
    """Return the picture that `draw` writes, as a figure; see there for what it takes and raises."""
    _check_show(show)
    if beside is not None and beside not in RULES_BY:
        raise ValueError(f"beside must be one of {', '.join(RULES_BY)}, not {beside!r}")
    sources = _sources(result)
    if beside is not None and len(sources) != 1:
        raise OutputError("--with is for the folder of one run of netviz patches")
    if len(sources) != 1:
        return _side_by_side(sources, layer, units, show)
    source = sources[0]
    table = not isinstance(source, Result) and is_compared(Path(source), layer)
    if table and show in (None, "concepts"):
        return _side_by_side(sources, layer, units, show)
    one, folder = _opened(source, layer)
    if isinstance(one, DissectionResult):
        if beside is not None:
            raise OutputError("--with is for the folder of a run of netviz patches, not for a dissection")
        return dissection_picture(one, folder, units=units, show=show, tell=tell)
    if show is not None:
        raise OutputError(
            f"--show chooses what is drawn of a dissection, not of a result of kind {one.kind!r}"
        )
    if isinstance(one, PatchesResult) and folder is not None and (folder / "images.txt").is_file():
        images = RunImages(folder, one.image[one.image >= 0].tolist())
        return patches_figure(one, images, units=units, back=_back(one, folder, beside), tell=tell)
    if beside is not None:
        raise OutputError(
            f"--with is for the folder of a run of netviz patches, not for a result of kind {one.kind!r}"
        )
    if isinstance(one, VotesSetResult):
        return votes_set_figure(one, units=units)
    if units is not None and not isinstance(one, PatchesResult):
        raise OutputError(f"--units chooses in the folder of a run, not in a result of kind {one.kind!r}")
    return figure(one)


def _back(result: PatchesResult, folder: Path, beside: str | None) -> tuple[BackResult, str] | None:
    """Read what in a layer's patches made units answer."""
    if beside is None:
        return None
    found = read_back(folder, result)
    rule = RULES_BY[beside]
    if found is None or rule not in found.rules:
        raise OutputError(
            f"{folder} does not hold what made units of {result.layer} answer; measure it with: netviz patches MODEL "
            f"--deconv -o {folder}"
        )
    return found, rule


def _page(width: int | str | None, font_size: float | None, aspect: str | float | None) -> Page:
    """Say in inches and points for what a picture is wanted."""
    if font_size is not None and not 4 <= font_size <= 40:
        raise ValueError(f"font_size must be 4 to 40 points, not {font_size:g}")
    wide = length(width) if isinstance(width, str) else None if width is None else width / DPI
    return Page(wide, font_size, None if aspect is None else ratio(aspect))


def _check_show(show: str | None) -> None:
    if show is not None and show not in SHOWN:
        raise ValueError(f"show must be one of {', '.join(SHOWN)}, not {show!r}")


def _sources(result: Result | str | Path | Sequence[Result | str | Path]) -> list[Result | str | Path]:
    return list(several(result))


def _opened(source: Result | str | Path, layer: str | None) -> tuple[Result, Path | None]:
    """Read a result; return it with the folder of the run that it comes from."""
    if isinstance(source, Result):
        return source, None
    path = Path(source)
    if path.is_dir():
        run = open_folder(path)
        return run.result(run.choose(layer)), path
    result, folder = load_result(path), path.absolute().parent.parent
    if layer is not None:
        raise OutputError(f"{path} holds one layer; --layer chooses in the folder of a run")
    return result, folder


def _side_by_side(
    sources: Sequence[Result | str | Path],
    layer: str | None,
    units: int | str | Iterable[int] | None,
    show: str | None,
) -> Figure:
    """Draw dissections side by side."""
    if show not in (None, "concepts") or units is not None:
        raise OutputError(
            "side by side concepts are drawn, of all units; draw one layer of one run for others"
        )
    return compare(sources, layer)


def show(
    result: Result | Run | str | Path | Sequence[Result | str | Path],
    *,
    layer: str | None = None,
    units: int | str | Iterable[int] | None = None,
    show: str | None = None,
    tell: Callable[[str], None] | None = None,
) -> Path | None:
    """Show the picture of a result: in a notebook below the cell, elsewhere in the system's viewer of images.

    Parameters
    ----------
    result : Result, Run, str or Path, or sequence of these
        As in `draw`, or an opened run.
    layer, units, show, tell : optional
        As in `draw`.

    Returns
    -------
    Path or None
        The PNG that was opened, in a new folder for temporary files, which stays there because the viewer reads it
        when it likes; None in a notebook. The viewer is not waited for.

    Raises
    ------
    OutputError
        If there is no screen or no viewer, or as in `draw`.
    ResultError, LayerError, ValueError
        As in `draw`.

    Examples
    --------
    >>> netviz.show(netviz.maps("photo.jpg", layer="conv3"))  # doctest: +SKIP
    """
    options: dict[str, Any] = {"layer": layer, "units": units, "show": show, "tell": tell}
    source = result.folder if isinstance(result, Run) else result
    notebook = _notebook()
    if notebook is not None:
        if isinstance(result, Result | Run) and all(value is None for value in options.values()):
            notebook(result)
        else:
            # IPython itself draws a figure only after pyplot has been imported.
            figure = picture(source, **options)
            png = base64.b64encode(encode_figure(figure)).decode()
            notebook({"image/png": png, "text/plain": title_of(figure)}, raw=True)
        return None
    viewer = _viewer()
    figure = picture(source, **options)
    name = f"{source.kind}.png" if isinstance(source, Result) else "netviz.png"
    path = save_figure(figure, Path(tempfile.mkdtemp(prefix="netviz-")) / name)
    viewer(path)
    return path


def _notebook() -> Callable[..., object] | None:
    """Return IPython's display where its output is a notebook; its terminal shows no pictures."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is None:
        return None
    display: Callable[..., object] = ipython.display.display
    return display


def _viewer() -> Callable[[Path], object]:
    """Return what opens a file with the program that the user chose for it."""
    if sys.platform == "win32":
        return os.startfile
    if sys.platform == "darwin":
        return lambda path: _start("open", path)
    opener = shutil.which("xdg-open") or shutil.which("wslview")
    # Without a screen xdg-open would take over the terminal with a browser of text.
    if opener is None or not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
        raise OutputError(
            f"no picture can be shown here: there is {'no xdg-open' if opener is None else 'no screen'}; "
            "write it to a file with netviz.draw(result, 'FILE.png')"
        )
    return lambda path: _start(opener, path)


def _start(command: str, path: Path) -> None:
    """Start a program that outlives this one and keeps quiet."""
    subprocess.Popen(
        [command, str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
