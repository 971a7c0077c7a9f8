"""Run folders → site: draw, describe, write; one picture in memory at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from netviz._version import __version__
from netviz.errors import ResultError
from netviz.results.survey import read_survey

from .addresses import make_addresses
from .drawers import draw_network
from .drawing import bar_paths, write_bars
from .pages import pages
from .panels import lecture, search
from .panels.changed import changed_files
from .panels.changed import compare as compare_runs
from .panels.elsewhere import find_elsewhere
from .panels.overview import Manifest
from .panels.table import FOLDERS, files
from .site import SiteFolder
from .terms import PAGE as GLOSSARY

STATIC = Path(__file__).with_name("static")
"""The files that the pages share."""

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


def build(
    runs: Sequence[str | Path],
    site: str | Path,
    *,
    workers: int = 0,
    compare: bool = False,
    progress: Progress | None = None,
) -> BuildReport:
    """Build the static site of one or more networks from what a survey left behind.

    Parameters
    ----------
    runs : sequence of str or Path
        Run folders, one per network, in the order in which the site shows them.
    site : str or Path
        Missing, empty, or a site of an earlier build. Only files whose bytes differ are written, each in
        one step; only files that an earlier build wrote are removed.
    workers : int
        Processes that draw layers, the same site for any number; 0 draws in this one. A program that is run as a file
        needs ``if __name__ == "__main__":`` around what uses them.
    compare : bool
        Also hold the first network beside each of the others, unit by unit: checkpoints of one architecture.
    progress : callable, optional
        Called as ``progress(path, done, total)`` after each file.

    Returns
    -------
    BuildReport
        What was written, left and removed. The same runs give the same bytes.

    Raises
    ------
    ResultError
        If a run folder is missing, damaged or none is given, or there is nothing to compare.
    OutputError
        If `site` holds something else than a netviz site, or cannot be written.
    """
    if not runs:
        raise ResultError("no run folder given; name at least one that a survey wrote")
    networks = make_addresses([read_survey(folder) for folder in runs], FOLDERS)
    if compare and len(networks) < 2:
        raise ResultError("there is one network; name another to compare it with")
    comparisons = [compare_runs(networks[0], other) for other in networks[1:]] if compare else []
    static = sorted(STATIC.iterdir())
    expected = [path for addresses in networks for path in files(addresses)]
    expected += changed_files([one.second for one in comparisons])
    expected += ["index.html", "about.html", "notes.html", search.PAGE, search.INDEX, lecture.PAGE, GLOSSARY]
    expected += [*bar_paths(), *(f"static/{path.name}" for path in static)]
    folder = SiteFolder(site, __version__, expected)

    def write(path: str, data: bytes) -> None:
        folder.write(path, data)
        if progress is not None:
            progress(path, len(folder.made), len(expected))

    names = tuple(addresses.run.network for addresses in networks)
    drawn = tuple(
        draw_network(
            addresses,
            names,
            __version__,
            write,
            workers,
            [one for one in comparisons if addresses is one.first or addresses is one.second],
            found,
        )
        for addresses, found in zip(networks, find_elsewhere(networks), strict=True)
    )
    manifest = Manifest(__version__, drawn)
    for path, html in pages(manifest).items():
        write(path, html.encode("utf-8", "replace"))
    write(search.INDEX, search.search_index(manifest).encode())
    write_bars(write)
    for file in static:
        write(f"static/{file.name}", file.read_bytes())
    folder.finish()
    return BuildReport(
        index=folder.folder / "index.html",
        written=tuple(folder.written),
        unchanged=tuple(folder.unchanged),
        removed=tuple(folder.removed),
        bytes=folder.bytes,
    )
