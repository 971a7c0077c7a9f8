"""The parts of ``run.json`` that tell of single photographs: hypercolumns, heat maps, streams."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .checks import inside, text, whole

VIEWS = 64
"""Most pictures of one photograph that can be laid over one another."""


@dataclass(frozen=True)
class RunOn:
    """A result on one photograph.

    Attributes
    ----------
    image : int
        Which photograph of the run.
    path : Path or None
        Its file.
    missing : str
        Why there is none.
    views : int
        Of streams: how many pictures are made of it.
    form : str
        Of streams: of ``"classes"``, or of another kind.
    """

    image: int
    path: Path | None
    missing: str
    views: int = 0
    form: str = ""


@dataclass(frozen=True)
class RunHypercolumns:
    """The hypercolumns: the dotted names of the layers that are stacked, and what there is; or why there are none."""

    layers: tuple[str, ...]
    shown: tuple[RunOn, ...]
    missing: str = ""


@dataclass(frozen=True)
class RunFcn:
    """What the FCN page shows.

    Attributes
    ----------
    streams, dense : tuple of RunOn
        A dense network's streams, or a classifier's heat maps.
    compare : RunOn or None
        What the dense pass saves.
    missing : str
        Why there is nothing.
    """

    streams: tuple[RunOn, ...]
    dense: tuple[RunOn, ...]
    compare: RunOn | None
    missing: str = ""


def read_hypercolumns(folder: Path, facts: dict[str, Any], images: int) -> RunHypercolumns | None:
    """Read ``hypercolumns``; None where an older survey noted none.

    Parameters
    ----------
    folder : Path
        The run's folder.
    facts : dict
        What ``run.json`` holds.
    images : int
        How many images the run has.
    """
    entry = facts.get("hypercolumns")
    if entry is None:
        return None
    if "missing" in entry:
        return RunHypercolumns((), (), text(entry, "missing"))
    layers = tuple(text({"layers": one}, "layers") for one in entry["layers"])
    return RunHypercolumns(layers, _all(folder, entry["shown"], images))


def read_fcn(folder: Path, facts: dict[str, Any], images: int) -> RunFcn | None:
    """Read ``fcn``; None where an older survey noted none."""
    entry = facts.get("fcn")
    if entry is None:
        return None
    found: dict[str, tuple[RunOn, ...]] = {}
    missing = text(entry, "missing") if "missing" in entry else ""
    for name in ("streams", "dense"):
        one = entry.get(name, {"shown": []})
        missing = text(one, "missing") if "missing" in one else missing
        found[name] = () if "missing" in one else _all(folder, one["shown"], images)
    compare = None if entry.get("compare") is None else _on(folder, entry["compare"], images)
    return RunFcn(found["streams"], found["dense"], compare, missing)


def read_options(facts: dict[str, Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Read ``options``, how the survey was asked for; empty where an older one noted nothing.

    Returns
    -------
    tuple of (str, tuple of str)
        Each option that was given, as a command line spells it, with its values; none where it is a mere switch.
    """
    noted = facts.get("options", {})
    found = []
    for name, value in sorted(noted.items()):
        if value is None or value is False or value in ("", []):
            continue
        values = value if isinstance(value, list) else [] if value is True else [value]
        found.append((text({"options": name}, "options"), tuple(str(one) for one in values)))
    return tuple(found)


def _all(folder: Path, entries: list[dict[str, Any]], images: int) -> tuple[RunOn, ...]:
    found = tuple(_on(folder, one, images) for one in entries)
    if len({one.image for one in found}) != len(found):
        raise ValueError("an image has the same result twice")
    return found


def _on(folder: Path, entry: dict[str, Any], images: int) -> RunOn:
    image = whole(entry["image"], "image")
    if image >= images:
        raise ValueError(f"there is no image {image}")
    if "file" in entry:
        views = whole(entry["views"], "views") if "views" in entry else 0
        if views > VIEWS:
            raise ValueError(f"'views' is {views}, more than {VIEWS}")
        form = text(entry, "form") if "form" in entry else ""
        return RunOn(image, inside(folder, text(entry, "file")), "", views, form)
    return RunOn(image, None, text(entry, "missing"))
