"""A survey's neighbours: which units of a layer act alike, from what the search for patches has sampled already."""

from pathlib import Path

from netviz.engines import Units
from netviz.questions.opening import Opened
from netviz.questions.units.result import NearestResult, nearest_units, sparsity

FOLDER = "units"
"""Of the layers' results, inside the survey's."""


def survey_units(found: Units, opened: Opened, out: Path) -> None:
    """Save for each layer which units are nearest to each, as ``units/SLUG.npz``; the network does not run.

    A layer of which fewer than two positions were seen has none.

    Parameters
    ----------
    found : Units
        What the search for patches has accumulated: its sample holds all units at the same positions.
    opened : Opened
        The network that it searched.
    out : Path
        The survey's folder.
    """
    for at, one in enumerate(opened.layers):
        values = found.layers[one].sample.sorted()[1]
        if len(values) < 2:
            continue
        nearest, similarity = nearest_units(values)
        result = NearestResult(
            nearest=nearest,
            similarity=similarity,
            sparsity=sparsity(values),
            network=opened.model.name,
            layer=one.name,
            alias=one.alias,
            layer_kind=one.kind,
            channels=one.channels,
            images=found.images,
            positions=int(found.positions[at]),
            samples=len(values),
        )
        result.save(out / FOLDER / f"{opened.slugs[one]}.npz")
