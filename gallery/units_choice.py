"""Which units of a layer have pages: all of them in a full run, else those whose maps the run has."""

from netviz.errors import ResultError
from netviz.questions.maps.result import MapsResult
from netviz.questions.reader import load_result

from .runs import Run, RunLayer

UNITS = 16
"""Units that are shown of a layer that has no maps."""

MOST = 1 << 17
"""Units that no layer in use comes near: more is a damaged run."""


def choose(run: Run, place: int) -> tuple[int, ...]:
    """Return the units of one layer that get a page, in the order of their numbers.

    Parameters
    ----------
    run : Run
        What the survey left.
    place : int
        The layer's place among the run's.

    Raises
    ------
    ResultError
        If a file of the run is missing or damaged.
    """
    layer = run.layers[place]
    masked = [masks.units for masks in run.concepts.masks if masks.layer == place] if run.concepts else []
    if layer.slug is None or not (layer.filters or layer.maps or layer.patches or masked):
        return ()
    total = layer.channels or 0
    if total > MOST:
        raise ResultError(f"{run.folder / 'run.json'} is damaged: {total} units; run the survey again")
    if run.form == "full":
        return tuple(range(total))
    shown = _mapped(run, layer) or range(min(UNITS, total))
    return tuple(sorted({*shown, *(unit for units in masked for unit in units)}))


def _mapped(run: Run, layer: RunLayer) -> list[int]:
    """Return the units whose maps the run has; none where it has none."""
    if layer.maps is None or not run.images:
        return []
    path = layer.maps / f"{run.images[0].stem}.npz"
    result = load_result(path)
    if not isinstance(result, MapsResult):
        raise ResultError(f"{path} holds {result.kind}, not {MapsResult.kind}; run the survey again")
    return [int(unit) for unit in result.units]
