"""Reading a run folder: what a survey of one network left behind.

::

    RUN/run.json                          the network, its images, every layer in execution order
    RUN/images/NAME.png                   each image as the network saw it
    RUN/filters/SLUG.npz                  a FiltersResult, for a layer with "filters"
    RUN/maps/SLUG/NAME.npz                a MapsResult, for a layer with "maps" and each image

Nothing in ``run.json`` is believed: a path that would leave the folder is refused here.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netviz.errors import ResultError

from .manifest import Field

STATUSES = ("exact", "upper_bound", "global", "unknown")
"""What a receptive field may be."""


@dataclass(frozen=True)
class RunImage:
    """One photograph: what it is called, where it lies, and what a command would call it, if noted."""

    name: str
    path: Path
    source: str | None

    @property
    def stem(self) -> str:
        """The name that the image's results go by inside the run folder."""
        return self.path.stem


@dataclass(frozen=True)
class RunLayer:
    """One layer as ``netviz layers`` lists it; without a slug it has no page.

    Attributes
    ----------
    name, alias, kind : str
        Dotted name, classic alias, kind.
    channels : int or None
        Number of units.
    shape : tuple of int
        (C, H, W), (C,), or empty where it is not known.
    parameters, calls : int
        Its own parameters; how often it runs in one forward pass.
    slug : str or None
        What its files are called.
    filters, maps : Path or None
        The filters' file and the folder of maps, where the survey made them.
    field : Field or None
        Its theoretical receptive field, where the survey noted one.
    """

    name: str
    alias: str
    kind: str
    channels: int | None
    shape: tuple[int, ...]
    parameters: int
    calls: int
    slug: str | None
    filters: Path | None
    maps: Path | None
    field: Field | None = None


@dataclass(frozen=True)
class Run:
    """One network's run folder; `model` is what a command calls the network, its name unless noted."""

    folder: Path
    network: str
    model: str
    netviz: str
    origin: str
    parameters: int
    input: str
    images: tuple[RunImage, ...]
    layers: tuple[RunLayer, ...]


def read_run(folder: str | Path) -> Run:
    """Read a run folder's ``run.json``.

    Parameters
    ----------
    folder : str or Path
        A folder that a survey wrote.

    Returns
    -------
    Run
        With every path inside the folder; the files themselves are not opened.

    Raises
    ------
    ResultError
        If ``run.json`` is missing, damaged, or names a file outside the folder.
    """
    folder = Path(folder)
    path = folder / "run.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["kind"] != "survey":
            raise ValueError(f"its kind is {facts['kind']!r}, not 'survey'")
        return Run(
            folder=folder,
            network=_text(facts, "network"),
            model=_text(facts, "model" if "model" in facts else "network"),
            netviz=_text(facts, "netviz"),
            origin=_text(facts, "origin"),
            parameters=_count(facts, "parameters"),
            input=_text(facts, "input"),
            images=tuple(_image(folder, entry) for entry in facts["images"]),
            layers=tuple(_layer(folder, entry) for entry in facts["layers"]),
        )
    except (FileNotFoundError, NotADirectoryError):
        raise ResultError(f"{folder} holds no run.json; name a folder that a survey wrote") from None
    except KeyError as error:
        raise ResultError(f"{path} is damaged: {error} is missing; run the survey again") from error
    except RecursionError:
        raise ResultError(f"{path} is damaged: nested too deep; run the survey again") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ResultError(f"{path} is damaged: {error}; run the survey again") from error


def _image(folder: Path, entry: dict[str, Any]) -> RunImage:
    """Read one entry of ``images``."""
    path = _inside(folder, _text(entry, "file"))
    return RunImage(_text(entry, "name"), path, _text(entry, "source") if "source" in entry else None)


def _layer(folder: Path, entry: dict[str, Any]) -> RunLayer:
    """Read one entry of ``layers``."""
    slug = None if entry["slug"] is None else _text(entry, "slug")
    has_filters, has_maps = (slug is not None and entry[key] is True for key in ("filters", "maps"))
    return RunLayer(
        name=_text(entry, "name"),
        alias=_text(entry, "alias"),
        kind=_text(entry, "kind"),
        channels=None if entry["channels"] is None else _count(entry, "channels"),
        shape=tuple(_whole(size, "shape") for size in entry["shape"] or ()),
        parameters=_count(entry, "parameters"),
        calls=_count(entry, "calls"),
        slug=slug,
        filters=_inside(folder, f"filters/{slug}.npz") if has_filters else None,
        maps=_inside(folder, f"maps/{slug}") if has_maps else None,
        field=None if entry.get("receptive_field") is None else _field(entry["receptive_field"]),
    )


def _field(entry: dict[str, Any]) -> Field:
    """Read a layer's ``receptive_field``."""
    status = _text(entry, "status")
    if status not in STATUSES:
        raise ValueError(f"'status' is {status[:60]!r}, none of {', '.join(STATUSES)}")
    size, stride, start = (_pair(entry, key) for key in ("size", "stride", "start"))
    if status != "unknown" and (size is None or stride is None or start is None):
        raise ValueError("a receptive field that is known has no size")
    return Field(size, stride, start, status, _text(entry, "reason") if "reason" in entry else "")


def _pair(entry: dict[str, Any], key: str) -> tuple[float, float] | None:
    """Return two finite numbers, y and x, or None."""
    value = entry[key]
    if value is None:
        return None
    numbers = [float(one) for one in value if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(value) != 2 or len(numbers) != 2 or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{key!r} is {str(value)[:60]}, no pair of numbers")
    return numbers[0], numbers[1]


def _text(entry: dict[str, Any], key: str) -> str:
    """Return a value that has to be text."""
    value = entry[key]
    if not isinstance(value, str):
        raise ValueError(f"{key!r} is no text")
    return value


def _count(entry: dict[str, Any], key: str) -> int:
    """Return a value that has to be a whole number, at least 0."""
    return _whole(entry[key], key)


def _whole(value: object, key: str) -> int:
    """Check a whole number, at least 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{key!r} is {value!r}, no whole number")
    return value


def _inside(folder: Path, name: str) -> Path:
    """Join a name from ``run.json`` to the folder, refusing one that would leave it."""
    parts = name.replace("\\", "/").split("/")
    if any(part in ("", ".", "..") or ":" in part or "\0" in part for part in parts):
        raise ValueError(f"{name[:60]!r} is no path inside the folder")
    return folder.joinpath(*parts)
