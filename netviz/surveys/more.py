"""What a survey adds to what forward passes give: components, minimal images, hypercolumns, concepts, fields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netviz.models import Layer, LayerIndex
from netviz.results.ledger import Ledger
from netviz.surveys.step import Noted, Work
from netviz.surveys.steps.components import PHOTOS, Shown, survey_components
from netviz.surveys.steps.concepts import survey_concepts
from netviz.surveys.steps.fields import survey_fields
from netviz.surveys.steps.hypercolumns import survey_hypercolumns
from netviz.surveys.steps.maps import Photos
from netviz.surveys.steps.measured import survey_measured
from netviz.surveys.steps.minimal import survey_minimal

PARTS = ("concepts", "minimal", "hypercolumns", "fcn")
"""Parts of which a page says why they are missing."""


QUICK: Noted = {name: {"missing": "the quick form leaves this out"} for name in PARTS}
"""What ``run.json`` notes of them in the quick form."""


@dataclass(frozen=True)
class Scope:
    """What a survey is of: the layers by name of their files, the units of each, the images, and how much.

    Attributes
    ----------
    index : LayerIndex
    chosen : sequence of Layer
        The surveyed layers.
    slugs : mapping of Layer to str
        What their files are called.
    units, drawn : mapping of Layer to sequence of int
        The units that are shown on every image, and those of the components.
    photos : Photos
        The images shown.
    entries : sequence of dict
        What ``run.json`` notes of each.
    size : (int, int) or None
        Input height and width in pixels, if asked for.
    form : str
        ``"standard"`` or ``"full"``.
    data : str, Path or None
        The folder of labelled images.
    """

    index: LayerIndex
    chosen: Sequence[Layer]
    slugs: Mapping[Layer, str]
    units: Mapping[Layer, Sequence[int]]
    drawn: Mapping[Layer, Sequence[int]]
    photos: Photos
    entries: Sequence[Noted]
    size: tuple[int, int] | None
    form: str
    data: str | Path | None


def survey_more(scope: Scope, out: Path, steps: Ledger, work: Work) -> Noted:
    """Do the steps of a survey that are not part of the quick form.

    Parameters
    ----------
    scope : Scope
    out : Path
        The survey's folder.
    steps : Ledger
    work : Work

    Returns
    -------
    dict
        For ``run.json``.
    """
    model, photos = scope.photos.model, scope.photos
    shown = [
        Shown(photos.read(at)[0], Path(entry["file"]).stem, _pair(entry["size"]))
        for at, entry in enumerate(scope.entries[:PHOTOS])
    ]
    made: Noted = {}
    made["components"] = steps(
        "components",
        lambda: survey_components(
            model,
            scope.index,
            shown,
            scope.slugs,
            scope.drawn,
            out,
            report=work.steps("components", 2 * len(shown)),
        ),
    )
    made["minimal"] = steps(
        "minimal",
        lambda: survey_minimal(
            model, scope.index, shown, out, form=scope.form, report=work.steps("minimal", len(shown))
        ),
    )
    made["hypercolumns"] = steps(
        "hypercolumns",
        lambda: survey_hypercolumns(
            model, scope.index, shown, out, report=work.steps("hypercolumns", len(shown))
        ),
    )
    made["concepts"] = steps(
        "concepts",
        lambda: survey_concepts(
            model,
            out,
            scope.chosen,
            scope.units,
            files={entry["file"]: entry["name"] for entry in scope.entries},
            data=scope.data,
            also=[layer["layer"] for layer in made["components"]["layers"]],
            all_layers=scope.form == "full",
            size=scope.size,
            report=work.part("concepts"),
        ),
    )
    made["fields"] = steps(
        "fields",
        lambda: survey_fields(
            model,
            scope.chosen,
            scope.slugs,
            photos.sources,
            photos.names,
            out,
            size=scope.size,
            form=scope.form,
            report=work.part("fields"),
        ),
    )
    made["measured"] = steps(
        "measured",
        lambda: survey_measured(
            model,
            scope.chosen,
            _measured_units(scope, made["concepts"]),
            scope.slugs,
            photos.sources,
            photos.names,
            out,
            size=scope.size,
            form=scope.form,
            report=work.part("measured"),
        ),
    )
    return made


def _measured_units(scope: Scope, concepts: Noted) -> dict[Layer, Sequence[int]]:
    """Return which units have a page: all of them in the full form, else those with maps or masks."""
    if scope.form == "full":
        return {layer: range(layer.channels) for layer in scope.units}
    masked: dict[str, set[int]] = {}
    for one in concepts.get("masks", ()):
        masked.setdefault(one["layer"], set()).update(one["units"])
    return {layer: sorted({*some, *masked.get(layer.name, ())}) for layer, some in scope.units.items()}


def _pair(size: Sequence[Any] | None) -> tuple[int, int] | None:
    return None if size is None else (size[0], size[1])
