"""The record of a survey as the pages know it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from netviz.errors import ResultError
from netviz.questions.dissect.run import open_dissection
from netviz.results.survey import (
    ComponentOnImage,
    ComponentsRecord,
    ConceptsRecord,
    FcnRecord,
    HypercolumnsRecord,
    MinimalRecord,
    Missing,
    OnImage,
    PatchesRecord,
    StreamsOnImage,
    SurveyRecord,
    read_survey,
)

from .manifest import Field
from .run_concepts import RunConcepts, RunMasks, RunMinimal, RunMinimals, RunSeen
from .run_images import RunFcn, RunHypercolumns, RunOn
from .run_parts import RunComponent, RunComponents, RunPatches, RunShown


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
    """Read a survey's record."""
    record = read_survey(folder)
    folder = Path(folder)
    without = tuple(
        (name, part.missing)
        for name, part in (("concepts", record.concepts), ("minimal", record.minimal))
        if isinstance(part, Missing)
    )
    return Run(
        folder=folder,
        network=record.network,
        model=record.model,
        netviz=record.netviz,
        origin=record.origin,
        parameters=record.parameters,
        input=record.input,
        images=tuple(RunImage(one.name, one.file, one.source, one.size) for one in record.images),
        layers=tuple(
            RunLayer(
                one.name,
                one.alias,
                one.kind,
                one.channels,
                one.shape or (),
                one.parameters,
                one.calls,
                one.slug,
                one.filters,
                one.maps,
                None if one.receptive_field is None else Field(**vars(one.receptive_field)),
                one.patches,
                one.units,
                one.fields,
                one.measured,
            )
            for one in record.layers
        ),
        size=record.size,
        patches=RunPatches(record.patches.folder, record.patches.images, {}, record.patches.searched)
        if isinstance(record.patches, PatchesRecord)
        else None,
        components=RunComponents(
            tuple(RunComponent(one.layer, one.which, _shown(one.shown)) for one in record.components.layers),
            record.components.missing,
        )
        if isinstance(record.components, ComponentsRecord)
        else None,
        concepts=_concepts(record) if isinstance(record.concepts, ConceptsRecord) else None,
        minimal=RunMinimals(
            tuple(RunMinimal(one.image, one.file, one.missing) for one in record.minimal.shown),
            record.minimal.segments,
        )
        if isinstance(record.minimal, MinimalRecord)
        else None,
        without=without,
        hypercolumns=RunHypercolumns(record.hypercolumns.layers, _on(record.hypercolumns.shown))
        if isinstance(record.hypercolumns, HypercolumnsRecord)
        else RunHypercolumns((), (), record.hypercolumns.missing),
        fcn=RunFcn(
            _on(record.fcn.streams),
            _on(record.fcn.dense),
            None if record.fcn.compare is None else _on([record.fcn.compare])[0],
        )
        if isinstance(record.fcn, FcnRecord)
        else RunFcn((), (), None, record.fcn.missing),
        options=_options(record),
        form=record.form,
    )


def _on(some: Sequence[OnImage]) -> tuple[RunOn, ...]:
    return tuple(
        RunOn(one.image, one.file, one.missing, one.views, one.form)
        if isinstance(one, StreamsOnImage)
        else RunOn(one.image, one.file, one.missing)
        for one in some
    )


def _shown(some: Sequence[ComponentOnImage]) -> tuple[RunShown, ...]:
    return tuple(
        RunShown(
            image,
            {one.verb: one.file for one in some if one.image == image and one.file is not None},
            {one.verb: one.missing for one in some if one.image == image and one.file is None},
        )
        for image in dict.fromkeys(one.image for one in some)
    )


def _concepts(record: SurveyRecord) -> RunConcepts:
    found = record.concepts
    assert isinstance(found, ConceptsRecord)
    run = open_dissection(found.folder)
    if [record.layers[one.layer].name for one in found.masks] != [layer.name for layer in run.layers]:
        raise ResultError(
            f"{run.folder}: the masks of the concepts are of other layers; run the survey again"
        )
    sizes = [layer.channels for layer in run.layers]
    if any(unit >= size for one, size in zip(found.masks, sizes, strict=True) for unit in one.units) or any(
        at >= len(sizes) or unit >= sizes[at] for one in found.best for at, unit in one.units
    ):
        raise ResultError(f"{run.folder} has no such unit as run.json names; run the survey again")
    return RunConcepts(
        run,
        tuple(RunMasks(one.layer, one.file, one.units, one.images) for one in found.masks),
        tuple(RunSeen(one.name, one.file, one.source) for one in found.images),
        tuple((one.concept, one.units) for one in found.best),
        found.data,
        found.surveyed,
    )


def _options(record: SurveyRecord) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return each option that was given, as a command line spells it, with its values; none for a mere switch."""
    told = []
    for name, value in sorted(
        (field.name, getattr(record.options, field.name)) for field in fields(record.options)
    ):
        if value not in (None, False, ()):
            values = value if isinstance(value, tuple) else () if value is True else (value,)
            told.append((name, tuple(map(str, values))))
    return tuple(told)
