"""A whole network at once: the result folder that a gallery is built from."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any

from typing_extensions import Unpack

from netviz._version import __version__
from netviz.capture import followed_once, network_device
from netviz.engines import Progress
from netviz.geometry.field import Field
from netviz.images import PHOTOGRAPHS, Images, array_files, each_source, list_images, write_arrays
from netviz.images.labelled.folder import open_labelled
from netviz.models import Layer, LayerIndex, Model, ModelOptions, ModelSpec, load
from netviz.models.preprocessing import check_fit
from netviz.questions.opening import (
    SHORT_SIDE,
    chosen_layers,
    input_preprocessing,
    layer_fields,
    layers,
    require_channels,
)
from netviz.questions.runs import weights_print
from netviz.results.choose import several
from netviz.results.files import check_writable
from netviz.results.ledger import RUN, Ledger, bytes_of, digest, full_name
from netviz.results.survey import (
    AttributionRecord,
    ComponentsRecord,
    ConceptsRecord,
    DeconvRecord,
    FcnRecord,
    FieldRecord,
    FieldsRecord,
    Form,
    HypercolumnsRecord,
    ImageRecord,
    LayerRecord,
    LinksRecord,
    MeasuredRecord,
    MinimalRecord,
    Missing,
    OptimizeRecord,
    OptionsRecord,
    PatchesRecord,
    SurveyRecord,
    VotesRecord,
    write_survey,
)
from netviz.surveys.step import PAIR, Scope, Step, Work
from netviz.surveys.steps.attribution import survey_attribution
from netviz.surveys.steps.components import survey_components
from netviz.surveys.steps.concepts import survey_concepts
from netviz.surveys.steps.deconv import survey_deconv
from netviz.surveys.steps.fcn import survey_fcn
from netviz.surveys.steps.fields import survey_fields
from netviz.surveys.steps.filters import survey_filters
from netviz.surveys.steps.hypercolumns import survey_hypercolumns
from netviz.surveys.steps.images import survey_images
from netviz.surveys.steps.links import survey_links
from netviz.surveys.steps.maps import Picked, pick_units, survey_maps
from netviz.surveys.steps.measured import survey_measured
from netviz.surveys.steps.minimal import survey_minimal
from netviz.surveys.steps.optimize import survey_optimize
from netviz.surveys.steps.patches import survey_patches
from netviz.surveys.steps.votes import survey_votes

SHOWN: dict[Form, int] = {"quick": 4, "standard": 16, "full": 16}
"""How many images the network is shown on; all are searched for patches."""

STEPS = (
    Step("images", tuple[ImageRecord, ...], lambda of: len(of.shown), survey_images, quick=True),
    Step("patches", PatchesRecord | Missing, lambda of: 6 * len(of.sources), survey_patches, quick=True),
    Step("units", tuple[Picked | None, ...], lambda of: len(of.shown), pick_units, quick=True),
    Step("maps", NoneType, lambda of: 4 * len(of.shown), survey_maps, quick=True),
    Step("filters", NoneType, lambda _: 0, survey_filters, quick=True),
    Step("components", ComponentsRecord | Missing, lambda of: 40 * _pair(of), survey_components),
    Step(
        "minimal",
        MinimalRecord | Missing,
        lambda of: (600 if of.full else 150) * _pair(of) if of.model.labels else 0,
        survey_minimal,
    ),
    Step("hypercolumns", HypercolumnsRecord | Missing, lambda of: 10 * _pair(of), survey_hypercolumns),
    Step(
        "concepts",
        ConceptsRecord | Missing,
        lambda of: (20 if of.full else 10) * len(of.shown),
        survey_concepts,
    ),
    Step("fields", FieldsRecord | Missing, lambda of: (9 if of.full else 2) * len(of.chosen), survey_fields),
    Step(
        "measured",
        MeasuredRecord | Missing,
        lambda of: 250 * min(9 if of.full else 2, len(of.shown)),
        survey_measured,
    ),
    Step("votes", VotesRecord | Missing, lambda of: 20 * _pair(of) if of.model.labels else 0, survey_votes),
    Step(
        "attribution",
        AttributionRecord | Missing,
        lambda of: 20 * _pair(of) if of.model.labels else 0,
        survey_attribution,
    ),
    Step(
        "deconv",
        DeconvRecord | Missing,
        lambda of: (100 if of.full else 8) * (len(of.chosen) if of.full else 1 + len(of.chosen) // 4),
        survey_deconv,
    ),
    Step("links", LinksRecord | Missing, lambda of: (80 if of.full else 8) * len(of.chosen), survey_links),
    Step(
        "optimize",
        OptimizeRecord | Missing,
        # A forward pass takes about 0.05 s.
        lambda of: round(20 * of.optimize) if of.optimize is not None else 500 * len(of.chosen),
        survey_optimize,
    ),
    Step("fcn", FcnRecord | Missing, lambda of: 400 if of.full else 100, survey_fcn),
)
"""The steps of a survey, in their order: each may read what earlier ones have noted."""


@followed_once()
def survey(
    model: ModelSpec,
    out: str | Path,
    *,
    images: Images = (),
    only: str | Sequence[str] = (),
    data: str | Path | None = None,
    size: tuple[int, int] | None = None,
    fit: str = "crop",
    form: Form = "standard",
    optimize: float | None = 0.0,
    resume: bool = False,
    progress: Progress | None = None,
    **options: Unpack[ModelOptions],
) -> Path:
    """Gather what a gallery shows of a network's layers in a folder: filters, maps, patches, components, concepts.

    All images are searched for the nine patches that excite each unit most, at most one from each image, and for the
    five units that act most like it. The first 16 images are shown: of each layer the same 16 units are kept for
    every one of them, in order of their number: those that answer most on their own scale where their field does not
    leave the image, of different photographs, and few that act alike. The components
    are the stages of two convolutions on the first two images, their maps before and after contrast normalization,
    and SIFT beside them: the convolution that sees the image, and one of about the middle of the network (with maps
    of at least 14×14 positions and a stage after it). The concepts that units detect are measured on labelled images
    if there are any, in all layers; else they are colours, measured on the images shown, and of more than eight
    layers only every fourth (and those with components) is dissected. Of the first two images there are hypercolumns
    and, for a classifier, the minimal images, the units that vote for its prediction, dense heat maps, and what its
    five likeliest classes come from (Grad-CAM; guided backpropagation for the first); of a network with streams,
    those on the first four images; of each layer there is the effective field. What in the best patch of a layer's
    first four shown units made them answer is followed back by a deconvnet and by guided backpropagation, of more
    than eight layers in every fourth. What cannot be made is left out, and ``run.json`` says why.

    Each step is noted when it is done (``steps.json``, gone in the end): a survey that is killed goes on with
    `resume`, and leaves the same bytes. Images that all have one size are run through the network once for the
    patches and once for the maps.

    Parameters
    ----------
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    out : str or Path
        The folder: missing, empty, or that of a survey of the same network, images and options; a finished one is
        left as it is.
    images : str, Path, PIL image, ndarray, Tensor, or iterable of these
        Files, folders, ``skimage:NAME``; by default nine of scikit-image's photographs.
    only : str or sequence of str
        Names, aliases or globs of the layers; by default all convolutions and blocks of tokens.
    data : str or Path, optional
        A folder of labelled images, as for `netviz.dissect`.
    size : (int, int), optional
        Input height and width in pixels. By default the network's own; where it takes any, images are resized to
        a short side of 256.
    fit : {"crop", "resize", "full"}
        As for `netviz.maps`; ``"full"`` excludes a `size`, to which all images are brought.
    form : {"standard", "quick", "full"}
        The quick form has filters, patches, neighbours, and maps of the first four images: what a forward pass
        gives. The full form shows all units, dissects all layers, cuts photographs for minimal images into 100
        segments and not 40, averages the effective field over nine photographs and not two, follows the best
        patch of each unit back in all layers, and measures what dense evaluation saves.
    optimize : float or None
        How many seconds of one core may go into pictures of what the shown units want to see: of four layers, in the
        full form of all, the last first and what follows spread over the depth; None for as many as all these take.
        What a unit takes is reckoned beforehand from the network's arithmetic, so that no clock decides which there
        are.
    resume : bool
        Go on with an unfinished survey in `out`.
    progress : callable, optional
        Called with what is being done, how much work is done, and how much there is.
    **options
        As for `netviz.load`.

    Returns
    -------
    Path
        The folder: ``run.json`` (see `netviz.results.survey`) and the results that it names.

    Raises
    ------
    NetvizError
        If MODEL, an image, the labelled images or a layer cannot serve, or the folder cannot be written, or holds
        something else.
    ValueError
        If `form` or `fit` is none of the values named here, or one of them excludes the other options.
    """
    check_writable(Path(out) / RUN)
    check_fit(fit)
    if optimize is not None and not 0 <= optimize < math.inf:
        raise ValueError(f"optimize must be a number of seconds from 0 on, not {optimize:g}")
    if fit == "full" and size is not None:
        raise ValueError(
            "fit='full' shows images at their own aspect, and a size brings all to one: give one of them"
        )
    opened = load(model, **options)
    typed = str(model) if isinstance(model, str | Path) else None
    scope = open_scope(
        replace(opened, preprocessing=opened.preprocessing.fitted(fit)),
        out,
        images=images,
        only=only,
        data=data,
        size=size,
        form=form,
    )
    scope = replace(scope, optimize=optimize)
    asked = OptionsRecord(
        layers=several(only),
        quick=form == "quick",
        full=form == "full",
        trust=options.get("trust", False),
        weights=None if str(options.get("weights", "default")) == "default" else str(options.get("weights")),
        seed=options.get("seed") or None,
        prefix=options.get("prefix") or None,
        fit=None if fit == "crop" else fit,
        mean=_typed(options.get("mean")),
        std=_typed(options.get("std")),
        input_scale=_typed(options.get("input_scale")),
        channel_order=options.get("channel_order"),
        bands=_typed(options.get("bands")),
        labels=_typed(options.get("labels")),
        # Left out where it is what a command takes if nothing is said.
        optimize=None if {"quick": 0.0, "full": None}.get(form, "") == optimize else f"{optimize or 0:g}",
    )
    fingerprint = _fingerprint(scope, typed, asked)
    ledger = Ledger(scope.out, fingerprint, resume)
    if ledger.finished:
        return scope.out
    write_arrays(scope.arrays)
    steps = [step for step in STEPS if step.quick or form != "quick"]
    work = Work(progress or (lambda *_: None), [(step.name, step.cost(scope)) for step in steps])
    for step in STEPS:
        scope.made[step.name] = (
            ledger(step.name, step.record, partial(step.make, scope, work.part(step.name)))
            if step in steps
            else Missing("the quick form leaves this out")
        )
    known = scope.given
    record = SurveyRecord(
        kind="survey",
        netviz=__version__,
        form=scope.form,
        options=asked,
        fingerprint=fingerprint,
        network=known.name,
        model=typed or known.name,
        origin=known.origin,
        parameters=sum(value.numel() for value in known.runnable().parameters()),
        input=_input(scope),
        size=size,
        layers=_layers(scope),
        **{name: found for name, found in scope.made.items() if name in SurveyRecord.__dataclass_fields__},
    )
    write_survey(scope.out, record)
    ledger.finish()
    work.report(known.name, work.total, work.total)
    return scope.out


def _typed(value: Any) -> str | None:
    """Return an option as a command line spells it; None where it is not given, or is no file but names."""
    if value is None or isinstance(value, str | Path):
        return None if value is None else str(value)
    values = value if isinstance(value, tuple | list) else (value,)
    known = all(isinstance(one, int | float) for one in values)
    return ",".join(f"{one:g}" for one in values) if known else None


def open_scope(
    model: Model,
    out: str | Path,
    *,
    images: Images = (),
    only: str | Sequence[str] = (),
    data: str | Path | None = None,
    size: tuple[int, int] | None = None,
    form: Form = "standard",
) -> Scope:
    """Find out what a survey is of; see `survey`.

    Raises
    ------
    NetvizError
        If MODEL, the images or a layer cannot serve.
    ValueError
        If `form` is none of the values named there.
    """
    if form not in SHOWN:
        raise ValueError(f"form must be one of {', '.join(SHOWN)}, not {form!r}")
    own_size = model.preprocessing.resize is None and size is None
    brought = model.preprocessing
    if own_size:
        brought = replace(brought, resize=SHORT_SIDE)
    surveyed = replace(model, preprocessing=brought)
    index = layers(surveyed, size=size)
    require_channels(surveyed, index)
    given, only = each_source(images), several(only)
    read = list_images(given) or [f"skimage:{name}" for name in PHOTOGRAPHS]
    sources, arrays = array_files(read, Path(out))
    # Of arrays a command names the files that they are kept in.
    typed = tuple(str(one) for one in given if isinstance(one, str | Path)) + tuple(map(str, arrays))
    return Scope(
        given=model,
        model=surveyed,
        index=index,
        chosen=chosen_layers(surveyed, index, only),
        only=only,
        typed=typed,
        arrays=arrays,
        sources=sources,
        shown=sources[: SHOWN[form]],
        preprocessing=input_preprocessing(brought, index, size),
        size=size,
        own_size=own_size,
        form=form,
        data=data,
        device=str(network_device(model.runnable())),
        out=Path(out),
    )


def _fingerprint(scope: Scope, typed: str | None, asked: OptionsRecord) -> dict[str, str]:
    """Return what must be the same for a survey's folder to serve again."""
    model = scope.model
    seen: list[Any] = [
        [str(one), full_name(one), -1 if one in scope.arrays else bytes_of(full_name(one))]
        for one in scope.sources
    ]
    labelled: Any = None
    if scope.data is not None:
        labels = open_labelled(scope.data)
        files = [
            [str(path), bytes_of(str(path))]
            for number, image in enumerate(labels.images)
            for path in (image, *labels.files(number))
        ]
        labelled = [str(scope.data), labels.kind, labels.concepts, files]
    return {
        "netviz version": __version__,
        "model": digest([typed, weights_print(model), str(model.preprocessing), list(model.labels)]),
        "images": digest([seen, scope.typed, labelled]),
        "options": digest([scope.size, asdict(asked), [one.name for one in scope.chosen]]),
    }


def _input(scope: Scope) -> str:
    """Say what becomes of the images, and for which size the layers' shapes hold where images differ."""
    known, size, shape = scope.model.preprocessing, scope.size, scope.index.input_shape
    text = str(scope.preprocessing)
    if known.crop is not None or size is not None or shape is None:
        return text
    return f"{text}; layer shapes for {shape[1]}×{shape[2]} pixels"


def _layers(scope: Scope) -> tuple[LayerRecord, ...]:
    """Return every layer with the files that there are of it."""
    theory = layer_fields(scope.model, scope.index)

    def record(layer: Layer) -> LayerRecord:
        slug, field = scope.slugs.get(layer), theory.get(layer)

        def there(file: str) -> Path | None:
            return scope.out / file if slug is not None and (scope.out / file).exists() else None

        return LayerRecord(
            name=layer.name,
            alias=layer.alias,
            kind=layer.kind,
            type=layer.type,
            channels=layer.channels,
            shape=layer.shape,
            parameters=layer.parameters,
            calls=layer.calls,
            call=layer.call,
            receptive_field=None if field is None else _field(field),
            slug=slug,
            filters=there(f"filters/{slug}.npz"),
            maps=there(f"maps/{slug}"),
            patches=there(f"patches/layers/{slug}.npz"),
            units=there(f"units/{slug}.npz"),
            fields=there(f"fields/{slug}.npz"),
            measured=there(f"measured/{slug}.npz"),
            arrangement=str(layer.arrangement or ""),
            labels=() if slug is None else class_units(scope.index, layer, scope.model.labels),
        )

    return tuple(map(record, scope.index))


def class_units(index: LayerIndex, layer: Layer, labels: Sequence[str]) -> tuple[str, ...]:
    """Return what the units of a layer are called if each is a class of the network, else nothing.

    They are where it has one for each class, and so has every layer with weights that runs after it.
    """
    if len(labels) < 2 or layer.channels != len(labels):
        return ()
    every = list(index)
    after = every[every.index(layer) + 1 :]
    one_each = all(one.channels == layer.channels for one in after if one.parameters)
    return tuple(labels) if one_each else ()


def _field(field: Field) -> FieldRecord:
    """Return a receptive field with None for what is not known."""

    def known(pair: tuple[float, float]) -> tuple[float, float] | None:
        return pair if all(map(math.isfinite, pair)) else None

    return FieldRecord(known(field.size), known(field.stride), known(field.start), field.status, field.reason)


def _pair(scope: Scope) -> int:
    return min(PAIR, len(scope.shown))
