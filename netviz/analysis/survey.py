"""A whole network at once: the result folder that a gallery is built from."""

import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netviz._version import __version__
from netviz.analysis.common import SHORT_SIDE, ModelSpec, chosen_layers, layer_slugs, layers, slug
from netviz.analysis.filters import layer_filters
from netviz.analysis.layer_fields import describe_field, layer_fields
from netviz.analysis.maps import activations
from netviz.analysis.survey_components import DRAWN, PHOTOS, Shown, survey_components
from netviz.analysis.survey_dissect import survey_concepts
from netviz.analysis.survey_minimal import survey_minimal
from netviz.analysis.survey_patches import survey_patches
from netviz.errors import OutputError
from netviz.fields.geometry import Field
from netviz.images import PHOTOGRAPHS, Photo, list_images, read_image
from netviz.images.labelled import open_labelled
from netviz.models import Layer, LayerIndex, Model, load
from netviz.results import MapsResult, write_bytes

UNITS = 16
"""How many units of each layer are shown."""

Progress = Callable[[str, int, int], None]


def survey(
    model: ModelSpec,
    out: str | Path,
    *,
    images: Iterable[str | Path] = (),
    only: Sequence[str] = (),
    data: str | Path | None = None,
    size: tuple[int, int] | None = None,
    trust: bool = False,
    weights: str | Path = "default",
    seed: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Gather what a gallery shows of a network's layers in a folder: filters, maps, patches, components, concepts.

    Of each layer the same 16 units are kept for every image: those whose largest response on any of the images is
    greatest, in order of their number. Of every unit the nine patches that excite it most are kept, at most one from
    each image. The components are the stages of two convolutions on the first two images, their maps before and after
    contrast normalization, and SIFT beside them: the convolution that sees the image, and one of about the middle of
    the network (with maps of at least 14×14 positions and a stage after it). The concepts that units
    detect are measured on labelled images if there are any, in all layers; else they are colours, measured on the
    survey's own images, and of more than eight layers only every fourth (and those with components) is dissected. Of
    a classifier's first two images there are the minimal images. What cannot be made is left out, and ``run.json``
    says why.

    Parameters
    ----------
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    out : str or Path
        The folder, which must not exist or be empty.
    images : iterable of str or Path
        Files, folders, ``skimage:NAME``; by default nine of scikit-image's photographs.
    only : sequence of str
        Names, aliases or globs of the layers; by default all convolutions.
    data : str or Path, optional
        A folder of labelled images, as for `netviz.dissect`.
    size : (int, int), optional
        Input height and width in pixels. By default the network's own; where it takes any, images are resized to
        a short side of 256.
    trust, weights, seed
        As for `netviz.load`.
    progress : callable, optional
        Called with what is being done, how many steps are done, and how many there are.

    Returns
    -------
    Path
        The folder: ``run.json``, ``images/``, ``filters/``, ``maps/``, ``patches/``, ``components/``, ``concepts/``
        and ``minimal/``.

    Raises
    ------
    NetvizError
        If MODEL, an image, the labelled images or a layer cannot serve, or the folder cannot be written.
    """
    typed = str(model) if isinstance(model, str | Path) else None
    model = load(model, trust=trust, weights=weights, seed=seed)
    model.runnable()
    own_size = model.preprocessing.resize is None and size is None
    if own_size:
        model = replace(model, preprocessing=replace(model.preprocessing, resize=SHORT_SIDE))
    index = layers(model, size=size)
    chosen = chosen_layers(model, index, only)
    given = [images] if isinstance(images, str | Path) else list(images)
    sources = list_images(given) or [f"skimage:{name}" for name in PHOTOGRAPHS]
    if data is not None:
        open_labelled(data)
    out = _fresh(Path(out))
    report = progress or (lambda *_: None)
    pairs = min(PHOTOS, len(sources))
    steps = 4 * len(sources) + 3 * pairs
    peaks: dict[Layer, NDArray[np.float32]] = {}
    names: list[str] = []
    entries = []
    sizes: list[tuple[int, int] | None] = []
    for step, source in enumerate(sources):
        photo = _named(read_image(source), names)
        report(f"{model.name}: {photo.name}", step, steps)
        image, values = activations(model, index, chosen, photo, size)
        for layer, maps in values.items():
            peak = np.nan_to_num(maps.reshape(len(maps), -1).max(axis=1), nan=-np.inf)
            peaks[layer] = np.maximum(peaks.get(layer, peak), peak)
        file = f"images/{len(names):03d}-{slug(photo.name)}.png"
        write_bytes(out / file, _png(image))
        height, width = image.shape[:2]
        # What a command has to ask for to see the image as it was seen here.
        sizes.append((height, width) if own_size else size)
        entries.append(
            {
                "name": photo.name,
                "source": str(source),
                "file": file,
                "height": height,
                "width": width,
                "size": None if sizes[-1] is None else list(sizes[-1]),
            }
        )
    slugs = layer_slugs(chosen)
    units = {layer: _strongest(peak, UNITS) for layer, peak in peaks.items()}
    for step, source in enumerate(sources):
        name = names[step]
        report(f"{model.name}: {name}", len(sources) + step, steps)
        image, values = activations(model, index, chosen, read_image(source), size)
        for layer, maps in values.items():
            _maps_result(model, layer, name, image, maps, units[layer]).save(
                out / "maps" / slugs[layer] / f"{Path(entries[step]['file']).stem}.npz"
            )
    for layer in chosen:
        if layer.kernel is not None:
            layer_filters(model, layer).save(out / "filters" / f"{slugs[layer]}.npz")
    report(f"{model.name}: patches", 2 * len(sources), steps)
    patches = survey_patches(
        model,
        out,
        sources,
        only,
        size=size,
        report=lambda what, done, _: report(what, 2 * len(sources) + done, steps),
    )
    drawn = {layer: _strongest(peak, DRAWN) for layer, peak in peaks.items()}
    shown = [
        Shown(replace(read_image(source), name=names[step]), Path(entries[step]["file"]).stem, sizes[step])
        for step, source in enumerate(sources[:PHOTOS])
    ]
    components = survey_components(
        model,
        index,
        shown,
        slugs,
        drawn,
        out,
        report=lambda what, done: report(what, 3 * len(sources) + done, steps),
    )
    minimal = survey_minimal(
        model, shown, out, report=lambda what, done: report(what, 3 * len(sources) + 2 * pairs + done, steps)
    )
    begun = 3 * len(sources) + 3 * pairs
    concepts = survey_concepts(
        model,
        out,
        chosen,
        units,
        files={entry["file"]: entry["name"] for entry in entries},
        data=data,
        also=[layer["layer"] for layer in components["layers"]],
        size=size,
        # Of labelled images there may be any number: a step is a share of them.
        report=lambda what, done, of: report(what, begun + done * len(sources) // of, steps),
    )
    fields = layer_fields(model, index)
    rows = [_row(layer, fields.get(layer), slugs.get(layer), layer in peaks) for layer in index]
    run = {
        "kind": "survey",
        "netviz": __version__,
        "network": model.name,
        "model": typed or model.name,
        "origin": model.origin,
        "parameters": sum(value.numel() for value in model.runnable().parameters()),
        "input": _input(model, index, size),
        "size": None if size is None else list(size),
        "images": entries,
        "layers": rows,
        "patches": {**patches, "images": [str(one) for one in given]},
        "components": components,
        "concepts": concepts,
        "minimal": minimal,
    }
    write_bytes(out / "run.json", json.dumps(run, indent=1, ensure_ascii=False).encode())
    report(model.name, steps, steps)
    return out


def _input(model: Model, index: LayerIndex, size: tuple[int, int] | None) -> str:
    """Say what becomes of the images, and for which size the layers' shapes hold where images differ."""
    text = str(model.preprocessing if size is None else model.preprocessing.sized(*size))
    if model.preprocessing.crop is not None or size is not None or index.input_shape is None:
        return text
    return f"{text}; layer shapes for {index.input_shape[1]}×{index.input_shape[2]} pixels"


def _named(photo: Photo, names: list[str]) -> Photo:
    """Give the photograph a name that no other has, and note it."""
    name, number = photo.name, 2
    while name in names:
        name, number = f"{photo.name} ({number})", number + 1
    names.append(name)
    return replace(photo, name=name)


def _fresh(out: Path) -> Path:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} exists already and is not empty; name a new folder")
    return out


def _strongest(peaks: NDArray[np.float32], most: int) -> NDArray[np.int64]:
    """Return the units with the largest responses, in order of their number."""
    return np.sort(np.argsort(-peaks, kind="stable")[:most])


def _png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _maps_result(
    model: Model,
    layer: Layer,
    name: str,
    image: NDArray[np.uint8],
    maps: NDArray[np.float32],
    units: NDArray[np.int64],
) -> MapsResult:
    return MapsResult(
        maps=maps[units],
        image=image,
        index=units,
        units=units,
        network=model.name,
        layer=layer.name,
        alias=layer.alias,
        layer_kind=layer.kind,
        channels=layer.channels,
        image_name=name,
        scale="each",
        sort="index",
    )


def _row(layer: Layer, field: Field | None, page: str | None, has_maps: bool) -> dict[str, Any]:
    return {
        **layer.describe(),
        "receptive_field": describe_field(field),
        "slug": page,
        "filters": page is not None and layer.kernel is not None,
        "maps": page is not None and has_maps,
    }
