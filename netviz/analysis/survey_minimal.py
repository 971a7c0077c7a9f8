"""A survey's minimal images: what of its first photographs a classifier needs."""

from collections.abc import Callable, Sequence
from pathlib import Path

from netviz.analysis.minimal import minimal
from netviz.analysis.survey_components import Noted, Shown
from netviz.errors import ModelError, NetvizError, OutputError
from netviz.models import Model

SEGMENTS = {"quick": 40, "full": 100}
"""Into how many segments a photograph is parted, about: the time it takes grows with their square."""


def survey_minimal(
    model: Model,
    photos: Sequence[Shown],
    out: Path,
    *,
    form: str = "quick",
    report: Callable[[str, int], None] | None = None,
) -> Noted:
    """Find the minimal images of some photographs and save them in ``minimal/`` of the survey's folder.

    A file that an interrupted survey has left there is kept.

    Parameters
    ----------
    model : Model
    photos : sequence of Shown
    out : Path
        The survey's folder.
    form : {"quick", "full"}
        How finely.
    report : callable, optional
        Called with what is being done and how many photographs are done.

    Returns
    -------
    dict
        For ``run.json``: of each photograph the file, or why there is none; or why the network has none at all.
    """
    if not model.labels:
        return {"missing": f"the outputs of {model.name} have no names, so there is no class to keep"}
    shown: list[Noted] = []
    for place, (photo, stem, size) in enumerate(photos):
        if report is not None:
            report(f"{model.name}: minimal image of {photo.name}", place)
        file = f"minimal/{stem}.npz"
        try:
            if not (out / file).is_file():
                minimal(photo, model=model, segments=SEGMENTS[form], size=size).save(out / file)
        except OutputError:
            raise
        except ModelError as error:
            return {"missing": str(error)}
        except NetvizError as error:
            shown.append({"image": place, "missing": str(error)})
            continue
        shown.append({"image": place, "file": file})
    return {"segments": SEGMENTS[form], "shown": shown}
