"""A result's picture on the screen: in the notebook that asks for it, or in the system's own viewer."""

import base64
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from netviz.errors import OutputError
from netviz.render.figures import picture
from netviz.render.saving import encode_figure, save_figure, title_of
from netviz.results import Result
from netviz.results.runs import Run


def show(
    result: Result | Run | str | Path | Sequence[Result | str | Path],
    *,
    layer: str | None = None,
    units: str | Iterable[int] | None = None,
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
