"""Run folders → site: draw, describe, write; one picture in memory at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from netviz._version import __version__
from netviz.errors import ResultError

from .layers import draw_network
from .manifest import Manifest
from .pages import pages
from .pictures import bar_paths, write_bars
from .plan import STATIC, make_plans
from .runs import read_run
from .site import SiteFolder
from .units_pages import unit_pages

Progress = Callable[[str, int, int], None]
"""Called with what was just made, how many files are done, and how many there will be."""


@dataclass(frozen=True)
class BuildReport:
    """What a build did.

    Attributes
    ----------
    index : Path
        The page to open.
    written, unchanged, removed : tuple of str
        Paths inside the site: written, left alone because their bytes are the same, and removed because
        an earlier build had them and this one does not.
    bytes : int
        Size of the whole site.
    """

    index: Path
    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]
    bytes: int


def build(runs: Sequence[str | Path], site: str | Path, *, progress: Progress | None = None) -> BuildReport:
    """Build the static site of one or more networks from what a survey left behind.

    Parameters
    ----------
    runs : sequence of str or Path
        Run folders, one per network, in the order in which the site shows them.
    site : str or Path
        Missing, empty, or a site of an earlier build. Only files whose bytes differ are written, each in
        one step; only files that an earlier build wrote are removed.
    progress : callable, optional
        Called as ``progress(path, done, total)`` after each file.

    Returns
    -------
    BuildReport
        What was written, left and removed. The same runs give the same bytes.

    Raises
    ------
    ResultError
        If a run folder is missing, damaged or none is given.
    OutputError
        If `site` holds something else than a netviz site, or cannot be written.
    """
    if not runs:
        raise ResultError("no run folder given; name at least one that a survey wrote")
    plans = make_plans([read_run(folder) for folder in runs])
    expected = [path for plan in plans for path in plan.paths()]
    expected += ["index.html", "about.html", *bar_paths(), *(f"static/{name}" for name in STATIC)]
    folder = SiteFolder(site, __version__, expected)

    def write(path: str, data: bytes) -> None:
        folder.write(path, data)
        if progress is not None:
            progress(path, len(folder.made), len(expected))

    networks = tuple(draw_network(plan, write) for plan in plans)
    manifest = Manifest(__version__, networks)
    for path, html in chain(pages(manifest).items(), unit_pages(manifest)):
        write(path, html.encode("utf-8", "replace"))
    write_bars(write)
    source = Path(__file__).with_name("static")
    for name in STATIC:
        write(f"static/{name}", (source / name).read_bytes())
    folder.finish()
    return BuildReport(
        index=folder.folder / "index.html",
        written=tuple(folder.written),
        unchanged=tuple(folder.unchanged),
        removed=tuple(folder.removed),
        bytes=folder.bytes,
    )
