"""A survey's patches and neighbours: one search through all of its images for what excites each unit.

The same forward passes tell which units act alike, from the positions that the search samples.
"""

import shutil
from functools import partial
from pathlib import Path

from netviz.engines import Progress, Units
from netviz.errors import NetvizError, OutputError
from netviz.questions.opening import Opened
from netviz.questions.patches.measure import patches
from netviz.questions.patches.run import open_run
from netviz.questions.units.result import NearestResult, correlation, nearest_of, plane, sparsity
from netviz.results.ledger import standing
from netviz.results.survey import Missing, PatchesRecord
from netviz.surveys.step import Scope

TOP = 9
"""Patches that each unit keeps; of few images several come from one, where their fields overlap little."""

FEW = 64
"""Up to so many images, reading them takes less time than starting processes for it."""


def survey_patches(scope: Scope, report: Progress) -> PatchesRecord | Missing:
    """Find the patches that excite each unit of the surveyed layers most, in ``patches/``; and ``units/SLUG.npz``.

    What an interrupted survey has left there goes on.
    """
    folder, units = scope.out / "patches", scope.out / "units"
    try:
        found = standing(folder)
        if found == "other":  # an earlier survey was killed while it removed it
            shutil.rmtree(folder)
        if found != "finished":
            patches(
                scope.model,
                folder,
                images=scope.sources,
                layer=scope.only,
                top=TOP,
                size=scope.size,
                workers=0 if len(scope.sources) <= FEW else None,
                device=scope.device,
                resume=True,
                progress=report,
                look=partial(save_neighbours, units),
            )
    except OutputError:
        raise
    except NetvizError as error:
        for some in (folder, units):
            shutil.rmtree(some, ignore_errors=True)
        return Missing(str(error))
    return PatchesRecord(folder, scope.typed, open_run(folder).facts["images"]["counted"])


def save_neighbours(folder: Path, found: Units, opened: Opened) -> None:
    """Save for each layer which units are nearest to each; the network does not run.

    A layer of which fewer than two positions were seen has none.

    Parameters
    ----------
    folder : Path
    found : Units
        What the search for patches has accumulated: its sample holds all units at the same positions.
    opened : Opened
        The network that it searched.
    """
    for at, one in enumerate(opened.layers):
        values = found.layers[one].sample.sorted()[1]
        if len(values) < 2:
            continue
        related = correlation(values)
        nearest, similarity = nearest_of(related)
        places, share = plane(related)
        result = NearestResult(
            nearest=nearest,
            similarity=similarity,
            sparsity=sparsity(values),
            network=opened.model.name,
            **opened.provenance(),
            layer=one.name,
            alias=one.alias,
            layer_kind=one.kind,
            channels=one.channels,
            images=found.images,
            positions=int(found.positions[at]),
            samples=len(values),
            places=places,
            places_share=share,
        )
        result.save(folder / f"{opened.slugs[one]}.npz")
