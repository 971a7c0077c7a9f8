"""From dissections (results, files, folders of runs) to the picture that was asked for."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure

from netviz.errors import OutputError
from netviz.questions.dissect.csv import read_table
from netviz.questions.dissect.draw import Counts, dissection_figure
from netviz.questions.dissect.draw_compare import comparison_figure
from netviz.questions.dissect.draw_matrix import dissection_matrix_figure
from netviz.questions.dissect.draw_units import dissection_units_figure
from netviz.questions.dissect.result import DissectionResult
from netviz.questions.dissect.run import open_dissection, read_dissection
from netviz.questions.patches.run import open_run
from netviz.questions.patches.tiles import RunImages
from netviz.results.base import Result

SHOWN: Final = ("concepts", "units", "matrix")
"""What can be shown of a dissection."""


def is_dissection_run(path: Path) -> bool:
    """Return whether a path is the folder of a dissection: only such holds a run of patches inside."""
    return (path / "patches").is_dir()


def is_compared(path: Path, layer: str | None) -> bool:
    """Return whether a file or folder is drawn as columns side by side: a table, or a run of several layers."""
    if path.suffix.lower() == ".csv":
        return True
    return layer is None and is_dissection_run(path) and len(open_dissection(path).layers) > 1


def compare(sources: Sequence[Result | str | Path], layer: str | None = None) -> Figure:
    """Draw dissections side by side.

    Parameters
    ----------
    sources : sequence of Result, str or Path
        Results, NPZ files, tables of Network Dissection, and folders of runs, each with all of its layers.
    layer : str, optional
        Which layer of each run.

    Raises
    ------
    ResultError
        If one cannot be read.
    LayerError
        If a run has no such layer.
    OutputError
        If one is no dissection, or they do not fit on the paper.
    """
    columns: list[Counts] = []
    for source in sources:
        if isinstance(source, DissectionResult):
            columns.append(Counts.of(source))
        elif isinstance(source, Result):
            raise OutputError(
                f"side by side only dissections are drawn, no result of kind {source.kind!r}; draw it alone"
            )
        elif Path(source).suffix.lower() == ".csv":
            columns.append(Counts.of_table(read_table(source), str(source)))
        elif Path(source).is_dir():
            run = open_dissection(source)
            layers = run.layers if layer is None else (run.choose(layer),)
            columns += [Counts.of(run.result(one), str(source)) for one in layers]
        else:
            columns.append(Counts.of(read_dissection(source), str(source)))
    return comparison_figure(columns)


def dissection_picture(
    result: DissectionResult,
    folder: Path | None,
    *,
    units: int | str | Iterable[int] | None = None,
    show: str | None = None,
    tell: Callable[[str], None] | None = None,
) -> Figure:
    """Draw what is asked for of one layer.

    Parameters
    ----------
    result : DissectionResult
    folder : Path or None
        The run's, where the patches are.
    units : int, str or iterable of int, optional
    show : {"concepts", "units", "matrix"}, optional
    tell : callable, optional

    Raises
    ------
    ResultError
        If the patches are damaged.
    LayerError
        If a unit does not exist.
    OutputError
        If there are no patches, none of their images can be read, or units are asked for where none are drawn.
    """
    if show == "matrix":
        return dissection_matrix_figure(result, units=units)
    if show == "units":
        if folder is None or not is_dissection_run(folder):
            raise OutputError(
                "the patches of a dissection are in the folder of its run; draw that folder, or the .npz in it"
            )
        run = open_run(folder / "patches")
        patches = run.result(run.choose(result.layer))
        images = RunImages(run.folder, patches.image[patches.image >= 0].tolist())
        return dissection_units_figure(result, patches, images, units=units, tell=tell)
    if units is not None:
        raise OutputError(
            "bars count all units of a layer; --units chooses for --show units and --show matrix"
        )
    return dissection_figure(result)
