"""Reading a run folder: what a survey of one network left behind.

::

    RUN/run.json                          the network, its images, every layer in execution order
    RUN/images/NAME.png                   each image as the network saw it
    RUN/filters/SLUG.npz                  a FiltersResult, for a layer with "filters"
    RUN/maps/SLUG/NAME.npz                a MapsResult, for a layer with "maps" and each image
    RUN/patches/                          what netviz patches found for the same layers, if noted under "patches"
    RUN/units/SLUG.npz                    a NearestResult: which units act alike, for a layer with patches
    RUN/fields/SLUG.npz                   a FieldResult with the effective field, for a layer with a page
    RUN/measured/SLUG.npz                 a MeasuredResult: what changes each unit, for a layer with a page
    RUN/components/SLUG/NAME-VERB.npz     a StagesResult, ContrastResult or SiftResult, as noted under "components"
    RUN/concepts/                         what netviz dissect found, and masks/SLUG.png, as noted under "concepts"
    RUN/minimal/NAME.npz                  a MinimalResult, as noted under "minimal"
    RUN/hypercolumns/NAME.npz             a HypercolumnResult, as noted under "hypercolumns"
    RUN/fcn/NAME-WHAT.npz                 a StreamsResult, DenseResult or CompareResult, as noted under "fcn"

Nothing in ``run.json`` is believed: a path that would leave the folder is refused here.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netviz.errors import ResultError

from .checks import count, inside, pair, size, text, whole
from .manifest import Field
from .run_concepts import RunConcepts, RunMinimals, read_concepts, read_minimal, read_missing
from .run_images import RunFcn, RunHypercolumns, read_fcn, read_hypercolumns, read_options
from .run_parts import RunComponents, RunPatches, read_components, read_patches_entry

STATUSES = ("exact", "upper_bound", "global", "unknown")
"""What a receptive field may be."""

FORMS = ("quick", "standard", "full")
"""Whether some units of each layer are shown, or all."""


@dataclass(frozen=True)
class RunImage:
    """One photograph: what it is called, where it lies, what a command would call it and at which size, if noted."""

    name: str
    path: Path
    source: str | None
    size: tuple[int, int] | None = None

    @property
    def typed(self) -> str:
        """What a command calls the photograph: as the run noted it, else as its name suggests."""
        if self.source is not None:
            return self.source
        return self.name if "." in self.name else f"{self.name}.png"

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
    patches : Path or None
        What excites its units, where the survey looked.
    units : Path or None
        Which of its units are alike, where the survey looked.
    fields, measured : Path or None
        Its effective field, and what was measured of its units' fields, where the survey did.
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
    patches: Path | None = None
    units: Path | None = None
    fields: Path | None = None
    measured: Path | None = None

    @property
    def title(self) -> str:
        """The alias, or the dotted name of a layer that has none."""
        return self.alias or self.name or "(the network)"


@dataclass(frozen=True)
class Run:
    """One network's run folder.

    `model` is what a command calls the network, its name unless noted; `without` names parts that there are none of,
    each with the reason; `form` is ``"quick"``, ``"standard"`` or ``"full"``: in the last all
    units of a layer are shown.
    """

    folder: Path
    network: str
    model: str
    netviz: str
    origin: str
    parameters: int
    input: str
    images: tuple[RunImage, ...]
    layers: tuple[RunLayer, ...]
    size: tuple[int, int] | None = None
    patches: RunPatches | None = None
    components: RunComponents | None = None
    concepts: RunConcepts | None = None
    minimal: RunMinimals | None = None
    without: tuple[tuple[str, str], ...] = ()
    hypercolumns: RunHypercolumns | None = None
    fcn: RunFcn | None = None
    options: tuple[tuple[str, tuple[str, ...]], ...] = ()
    form: str = "quick"


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
        patches = read_patches_entry(folder, facts)
        layers = tuple(_layer(folder, entry, patches) for entry in facts["layers"])
        images = tuple(_image(folder, entry) for entry in facts["images"])
        return Run(
            folder=folder,
            network=text(facts, "network"),
            model=text(facts, "model" if "model" in facts else "network"),
            netviz=text(facts, "netviz"),
            origin=text(facts, "origin"),
            parameters=count(facts, "parameters"),
            input=text(facts, "input"),
            images=images,
            layers=layers,
            size=size(facts),
            patches=patches,
            components=read_components(folder, facts, [layer.name for layer in layers], len(images)),
            concepts=read_concepts(folder, facts, [layer.name if layer.slug else None for layer in layers]),
            minimal=read_minimal(folder, facts, len(images)),
            without=read_missing(facts),
            hypercolumns=read_hypercolumns(folder, facts, len(images)),
            fcn=read_fcn(folder, facts, len(images)),
            options=read_options(facts),
            form=_form(facts),
        )
    except (FileNotFoundError, NotADirectoryError):
        raise ResultError(f"{folder} holds no run.json; name a folder that a survey wrote") from None
    except KeyError as error:
        raise ResultError(f"{path} is damaged: {error} is missing; run the survey again") from error
    except RecursionError:
        raise ResultError(f"{path} is damaged: nested too deep; run the survey again") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ResultError(f"{path} is damaged: {error}; run the survey again") from error


def _form(facts: dict[str, Any]) -> str:
    """Read ``form``: whether all units are shown."""
    form = text(facts, "form") if "form" in facts else "quick"
    if form not in FORMS:
        raise ValueError(f"'form' is {form[:60]!r}, none of {', '.join(FORMS)}")
    return form


def _image(folder: Path, entry: dict[str, Any]) -> RunImage:
    """Read one entry of ``images``."""
    path = inside(folder, text(entry, "file"))
    source = text(entry, "source") if "source" in entry else None
    return RunImage(text(entry, "name"), path, source, size(entry))


def _layer(folder: Path, entry: dict[str, Any], patches: RunPatches | None) -> RunLayer:
    """Read one entry of ``layers``."""
    slug = None if entry["slug"] is None else text(entry, "slug")
    has_filters, has_maps = (slug is not None and entry[key] is True for key in ("filters", "maps"))
    return RunLayer(
        name=text(entry, "name"),
        alias=text(entry, "alias"),
        kind=text(entry, "kind"),
        channels=None if entry["channels"] is None else count(entry, "channels"),
        shape=tuple(whole(size, "shape") for size in entry["shape"] or ()),
        parameters=count(entry, "parameters"),
        calls=count(entry, "calls"),
        slug=slug,
        filters=inside(folder, f"filters/{slug}.npz") if has_filters else None,
        maps=inside(folder, f"maps/{slug}") if has_maps else None,
        field=None if entry.get("receptive_field") is None else _field(entry["receptive_field"]),
        patches=None if patches is None or slug is None else patches.files.get(text(entry, "name")),
        units=None if slug is None else _present(inside(folder, f"units/{slug}.npz")),
        fields=None if slug is None else _present(inside(folder, f"fields/{slug}.npz")),
        measured=None if slug is None else _present(inside(folder, f"measured/{slug}.npz")),
    )


def _present(path: Path) -> Path | None:
    """Return a file that a run may have."""
    return path if path.is_file() else None


def _field(entry: dict[str, Any]) -> Field:
    """Read a layer's ``receptive_field``."""
    status = text(entry, "status")
    if status not in STATUSES:
        raise ValueError(f"'status' is {status[:60]!r}, none of {', '.join(STATUSES)}")
    size, stride, start = (pair(entry, key) for key in ("size", "stride", "start"))
    if status != "unknown" and (size is None or stride is None or start is None):
        raise ValueError("a receptive field that is known has no size")
    return Field(size, stride, start, status, text(entry, "reason") if "reason" in entry else "")
