"""From a result, or its file, to a picture file."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

from netviz.errors import OutputError
from netviz.render.compare import compare_figure
from netviz.render.contrast import contrast_figure
from netviz.render.dense import dense_figure
from netviz.render.dissect import dissection_figure
from netviz.render.dissect_draw import SHOWN, compare, dissection_picture, is_compared, is_dissection_run
from netviz.render.field import field_figure
from netviz.render.filters import filters_figure
from netviz.render.hypercolumn import hypercolumn_figure
from netviz.render.maps import maps_figure
from netviz.render.measured import measured_figure
from netviz.render.minimal import minimal_figure
from netviz.render.minimal_set import minimal_set_figure
from netviz.render.occlusion import occlusion_figure
from netviz.render.patch_tiles import RunImages
from netviz.render.patches import patches_figure
from netviz.render.saving import PICTURES, save_figure, suffix_of
from netviz.render.segment import segment_figure
from netviz.render.segmentation import segmentation_figure
from netviz.render.sift import sift_figure
from netviz.render.sift_match import match_figure
from netviz.render.stages import stages_figure
from netviz.render.streams import streams_figure
from netviz.render.units import units_figure
from netviz.results import (
    CompareResult,
    ContrastResult,
    DenseResult,
    DissectionResult,
    FieldResult,
    FiltersResult,
    HypercolumnResult,
    MapsResult,
    MatchResult,
    MeasuredResult,
    MinimalResult,
    MinimalSetResult,
    OcclusionResult,
    PatchesResult,
    Result,
    SegmentationResult,
    SegmentResult,
    SiftResult,
    StagesResult,
    StreamsResult,
    UnitsResult,
    load_result,
    open_dissection,
    open_run,
)
from netviz.results.dissect_run import read_dissection
from netviz.results.patches_run import read_patches

FIGURES: Final[dict[type[Result], Callable[[Any], Figure]]] = {
    CompareResult: compare_figure,
    ContrastResult: contrast_figure,
    DenseResult: dense_figure,
    DissectionResult: dissection_figure,
    FieldResult: field_figure,
    FiltersResult: filters_figure,
    HypercolumnResult: hypercolumn_figure,
    MapsResult: maps_figure,
    MatchResult: match_figure,
    MeasuredResult: measured_figure,
    MinimalResult: minimal_figure,
    MinimalSetResult: minimal_set_figure,
    OcclusionResult: occlusion_figure,
    PatchesResult: patches_figure,
    SegmentationResult: segmentation_figure,
    SegmentResult: segment_figure,
    SiftResult: sift_figure,
    StagesResult: stages_figure,
    UnitsResult: units_figure,
    StreamsResult: streams_figure,
}
"""How each kind of result is drawn; a new kind adds its line."""


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


def draw(
    result: Result | str | Path | Sequence[Result | str | Path],
    out: str | Path,
    *,
    layer: str | None = None,
    units: str | Iterable[int] | None = None,
    show: str | None = None,
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
    units : str or iterable of int, optional
        Which units of a run's layer, such as ``"0:16"``.
    show : {"concepts", "units", "matrix"}, optional
        What of a dissection: how many units detect each concept (unless said otherwise), the best units of each with
        their patches and masks, or units against concepts.
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
        If `show` is none of the values named here.
    """
    if suffix_of(out, (*PICTURES, ".npz")) != ".npz":
        return save_figure(picture(result, layer=layer, units=units, show=show, tell=tell), out)
    _check_show(show)
    sources = _sources(result)
    if len(sources) != 1:
        suffix_of(out, PICTURES)
    return _opened(sources[0], layer)[0].save(out)


def picture(
    result: Result | str | Path | Sequence[Result | str | Path],
    *,
    layer: str | None = None,
    units: str | Iterable[int] | None = None,
    show: str | None = None,
    tell: Callable[[str], None] | None = None,
) -> Figure:
    """Return the picture that `draw` writes, as a figure; see there for what it takes and raises."""
    _check_show(show)
    sources = _sources(result)
    if len(sources) != 1:
        return _side_by_side(sources, layer, units, show)
    source = sources[0]
    table = not isinstance(source, Result) and is_compared(Path(source), layer)
    if table and show in (None, "concepts"):
        return _side_by_side(sources, layer, units, show)
    one, folder = _opened(source, layer)
    if isinstance(one, DissectionResult):
        return dissection_picture(one, folder, units=units, show=show, tell=tell)
    if show is not None:
        raise OutputError(
            f"--show chooses what is drawn of a dissection, not of a result of kind {one.kind!r}"
        )
    if isinstance(one, PatchesResult) and folder is not None and (folder / "images.txt").is_file():
        images = RunImages(folder, one.image[one.image >= 0].tolist())
        return patches_figure(one, images, units=units, tell=tell)
    if units is not None and not isinstance(one, PatchesResult):
        raise OutputError(f"--units chooses in the folder of a run, not in a result of kind {one.kind!r}")
    return figure(one)


def _check_show(show: str | None) -> None:
    if show is not None and show not in SHOWN:
        raise ValueError(f"show must be one of {', '.join(SHOWN)}, not {show!r}")


def _sources(result: Result | str | Path | Sequence[Result | str | Path]) -> list[Result | str | Path]:
    return [result] if isinstance(result, Result | str | Path) else list(result)


def _opened(source: Result | str | Path, layer: str | None) -> tuple[Result, Path | None]:
    """Read a result; return it with the folder of the run that it comes from."""
    if isinstance(source, Result):
        return source, None
    path = Path(source)
    if path.is_dir():
        run = open_dissection(path) if is_dissection_run(path) else open_run(path)
        return run.result(run.choose(layer)), path
    result, folder = load_result(path), path.absolute().parent.parent
    if layer is not None:
        raise OutputError(f"{path} holds one layer; --layer chooses in the folder of a run")
    if isinstance(result, PatchesResult):
        result = read_patches(path)
    if isinstance(result, DissectionResult):
        result = read_dissection(path)
    return result, folder


def _side_by_side(
    sources: Sequence[Result | str | Path],
    layer: str | None,
    units: str | Iterable[int] | None,
    show: str | None,
) -> Figure:
    """Draw dissections side by side."""
    if show not in (None, "concepts") or units is not None:
        raise OutputError(
            "side by side concepts are drawn, of all units; draw one layer of one run for others"
        )
    return compare(sources, layer)
