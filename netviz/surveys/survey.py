"""A whole network at once: the result folder that a gallery is built from."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from netviz._version import __version__
from netviz.geometry.field import Field
from netviz.images import PHOTOGRAPHS, list_images
from netviz.models import Layer, LayerIndex, Model, ModelSpec, load
from netviz.questions.filters.measure import layer_filters
from netviz.questions.opening import (
    SHORT_SIDE,
    chosen_layers,
    describe_field,
    input_preprocessing,
    layer_fields,
    layer_slugs,
    layers,
    require_channels,
)
from netviz.results.files import write_bytes
from netviz.results.ledger import RUN, Ledger
from netviz.surveys.more import QUICK, Scope, survey_more
from netviz.surveys.step import Noted, Work, survey_parts, survey_print
from netviz.surveys.steps.components import DRAWN
from netviz.surveys.steps.maps import Photos, patch_peaks, strongest
from netviz.surveys.steps.patches import survey_patches

FORMS = ("quick", "standard", "full")


SHOWN = {"quick": 4, "standard": 16, "full": 16}
"""How many images the network is shown on; all are searched for patches."""


UNITS = 16
"""How many units of each layer are shown on every photograph."""


Progress = Callable[[str, int, int], None]


Finish = Callable[[Path, Model, Progress], object]


def survey(
    model: ModelSpec,
    out: str | Path,
    *,
    images: Iterable[str | Path] = (),
    only: Sequence[str] = (),
    data: str | Path | None = None,
    size: tuple[int, int] | None = None,
    form: str = "standard",
    resume: bool = False,
    finish: Finish | None = None,
    trust: bool = False,
    weights: str | Path = "default",
    seed: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Gather what a gallery shows of a network's layers in a folder: filters, maps, patches, components, concepts.

    All images are searched for the nine patches that excite each unit most, at most one from each image, and for the
    five units that act most like it. The first 16 images are shown: of each layer the same 16 units are kept for
    every one of them, those whose largest response on any image is greatest, in order of their number. The components
    are the stages of two convolutions on the first two images, their maps before and after contrast normalization,
    and SIFT beside them: the convolution that sees the image, and one of about the middle of the network (with maps
    of at least 14×14 positions and a stage after it). The concepts that units detect are measured on labelled images
    if there are any, in all layers; else they are colours, measured on the images shown, and of more than eight
    layers only every fourth (and those with components) is dissected. Of the first two images there are hypercolumns
    and, for a classifier, the minimal images; of each layer there is the effective field. What cannot be made is left
    out, and ``run.json`` says why.

    Each part is noted when it is done (``steps.json``, gone in the end): a survey that is killed goes on with
    `resume`, and leaves the same bytes. Images that all have one size are run through the network once for the
    patches and once for the maps.

    Parameters
    ----------
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    out : str or Path
        The folder: missing, empty, or that of a survey of the same network, images and options; a finished one is
        left as it is.
    images : iterable of str or Path
        Files, folders, ``skimage:NAME``; by default nine of scikit-image's photographs.
    only : sequence of str
        Names, aliases or globs of the layers; by default all convolutions.
    data : str or Path, optional
        A folder of labelled images, as for `netviz.dissect`.
    size : (int, int), optional
        Input height and width in pixels. By default the network's own; where it takes any, images are resized to
        a short side of 256.
    form : {"standard", "quick", "full"}
        The quick form has filters, patches, neighbours, and maps of the first four images: what a forward pass gives.
        The full form shows all units, dissects all layers, cuts photographs for minimal images into
        100 segments and not 40, and averages the effective field over nine photographs and not two.
    resume : bool
        Go on with an unfinished survey in `out`.
    finish : callable, optional
        Called with the folder, the network and a progress function when everything else is there; it may add to
        the folder, and must do so again with the same bytes.
    trust, weights, seed
        As for `netviz.load`.
    progress : callable, optional
        Called with what is being done, how much work is done, and how much there is.

    Returns
    -------
    Path
        The folder: ``run.json``, ``images/``, ``filters/``, ``maps/``, ``patches/``, ``units/``, ``components/``,
        ``concepts/``, ``minimal/``, ``hypercolumns/`` and ``fields/``.

    Raises
    ------
    NetvizError
        If MODEL, an image, the labelled images or a layer cannot serve, or the folder cannot be written, or holds
        something else.
    ValueError
        If `form` is none of the values named here.
    """
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, not {form!r}")
    typed = str(model) if isinstance(model, str | Path) else None
    given_model = model = load(model, trust=trust, weights=weights, seed=seed)
    model.runnable()
    own = model.preprocessing.resize is None and size is None
    if own:
        model = replace(model, preprocessing=replace(model.preprocessing, resize=SHORT_SIDE))
    index = layers(model, size=size)
    require_channels(model, index)
    chosen = chosen_layers(model, index, only)
    given = [images] if isinstance(images, str | Path) else list(images)
    sources = list_images(given) or [f"skimage:{name}" for name in PHOTOGRAPHS]
    # What a command would have to be given besides the images, the labelled images and the size.
    asked = {
        "layers": list(only),
        "quick": form == "quick",
        "full": form == "full",
        "trust": trust,
        "weights": None if weights == "default" else str(weights),
        "seed": seed or None,
    }
    print_of = survey_print(
        model,
        typed=typed,
        sources=sources,
        given=given,
        data=data,
        layers=chosen,
        size=size,
        asked=asked,
        more=finish is not None,
    )
    out = Path(out)
    steps = Ledger(out, print_of, resume)
    if steps.finished:
        return out
    shown_sources = sources[: SHOWN[form]]
    work = Work(
        progress or (lambda *_: None),
        survey_parts(len(sources), len(shown_sources), chosen, form, bool(model.labels), finish is not None),
    )
    slugs = layer_slugs(chosen)
    photos = Photos(model, shown_sources, input_preprocessing(model.preprocessing, index, size))
    entries: list[Noted] = steps("images", lambda: photos.save(out, size, own, work.part("images")))
    photos.names = [entry["name"] for entry in entries]
    patches = steps(
        "patches",
        lambda: survey_patches(model, out, sources, only, size=size, report=work.part("patches")),
    )

    def pick() -> list[list[list[int]] | None]:
        # Where every image is of one size, the search for patches has seen the same pixels.
        if "folder" in patches and (size is not None or model.preprocessing.crop is not None):
            peaks = patch_peaks(out / patches["folder"], chosen)
        else:
            peaks = photos.peaks(chosen, work.part("units"))
        return [
            [strongest(peaks[layer], most) for most in (UNITS, DRAWN)] if layer in peaks else None
            for layer in chosen
        ]

    picked = {
        layer: some for layer, some in zip(chosen, steps("units", pick), strict=True) if some is not None
    }
    units = {layer: shown for layer, (shown, _) in picked.items()}
    steps("maps", lambda: photos.save_maps(out, entries, slugs, units, work.part("maps")))
    steps("filters", lambda: _save_filters(model, chosen, slugs, out))
    scope = Scope(
        index=index,
        chosen=chosen,
        slugs=slugs,
        units=units,
        drawn={layer: drawn for layer, (_, drawn) in picked.items()},
        photos=photos,
        entries=entries,
        size=size,
        form=form,
        data=data,
    )
    more = QUICK if form == "quick" else survey_more(scope, out, steps, work)
    theory = layer_fields(model, index)
    run = {
        "kind": "survey",
        "netviz": __version__,
        "form": form,
        "options": asked,
        "fingerprint": print_of,
        "network": model.name,
        "model": typed or model.name,
        "origin": model.origin,
        "parameters": sum(value.numel() for value in model.runnable().parameters()),
        "input": _input(model, index, size),
        "size": None if size is None else list(size),
        "images": entries,
        "layers": [_row(layer, theory.get(layer), slugs.get(layer), layer in units, out) for layer in index],
        "patches": {**patches, "images": [str(one) for one in given]},
        **more,
    }
    write_bytes(out / RUN, json.dumps(run, indent=1, ensure_ascii=False).encode())
    if finish is not None:
        finish(out, given_model, work.part("finish"))
    steps.finish()
    work.report(model.name, work.total, work.total)
    return out


def _input(model: Model, index: LayerIndex, size: tuple[int, int] | None) -> str:
    """Say what becomes of the images, and for which size the layers' shapes hold where images differ."""
    text = str(model.preprocessing if size is None else model.preprocessing.sized(*size))
    if model.preprocessing.crop is not None or size is not None or index.input_shape is None:
        return text
    return f"{text}; layer shapes for {index.input_shape[1]}×{index.input_shape[2]} pixels"


def _save_filters(model: Model, chosen: Sequence[Layer], slugs: Mapping[Layer, str], out: Path) -> None:
    for layer in chosen:
        if layer.kernel is not None:
            layer_filters(model, layer).save(out / "filters" / f"{slugs[layer]}.npz")


def _row(layer: Layer, field: Field | None, page: str | None, has_maps: bool, out: Path) -> Noted:
    return {
        **layer.describe(),
        "receptive_field": describe_field(field),
        "slug": page,
        "filters": page is not None and layer.kernel is not None,
        "maps": page is not None and has_maps,
        "units": page is not None and (out / "units" / f"{page}.npz").is_file(),
        "field": page is not None and (out / "fields" / f"{page}.npz").is_file(),
    }
