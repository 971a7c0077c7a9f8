"""A whole network at once: the result folder that a gallery is built from."""

import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netviz._version import __version__
from netviz.analysis.common import ModelSpec, layers
from netviz.analysis.filters import layer_filters
from netviz.analysis.layer_fields import describe_field, layer_fields
from netviz.analysis.maps import activations
from netviz.errors import LayerError, ModelError, OutputError
from netviz.fields.geometry import Field
from netviz.images import PHOTOGRAPHS, Photo, list_images, read_image
from netviz.models import Layer, LayerIndex, Model, load
from netviz.results import MapsResult, write_bytes

UNITS = 16
"""How many units of each layer are shown."""

SHORT_SIDE = 256
"""What images are resized to, in pixels, for a network that takes any size."""

Progress = Callable[[str, int, int], None]


def survey(
    model: ModelSpec,
    out: str | Path,
    *,
    images: Iterable[str | Path] = (),
    only: Sequence[str] = (),
    size: tuple[int, int] | None = None,
    trust: bool = False,
    weights: str | Path = "default",
    seed: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Gather the filters and maps of a network's layers in a folder.

    Of each layer the same 16 units are kept for every image: those whose largest response on any of the images is
    greatest, in order of their number.

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
        The folder: ``run.json``, ``images/``, ``filters/`` and ``maps/``.

    Raises
    ------
    NetvizError
        If MODEL, an image or a layer cannot serve, or the folder cannot be written.
    """
    typed = str(model) if isinstance(model, str | Path) else None
    model = load(model, trust=trust, weights=weights, seed=seed)
    model.runnable()
    if model.preprocessing.resize is None and size is None:
        model = replace(model, preprocessing=replace(model.preprocessing, resize=SHORT_SIDE))
    index = layers(model, size=size)
    chosen = _chosen(index, only, model)
    sources = list_images(images) or [f"skimage:{name}" for name in PHOTOGRAPHS]
    out = _fresh(Path(out))
    report = progress or (lambda *_: None)
    steps = 2 * len(sources)
    peaks: dict[Layer, NDArray[np.float32]] = {}
    names: list[str] = []
    entries = []
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
        entries.append(
            {"name": photo.name, "source": str(source), "file": file, "height": height, "width": width}
        )
    slugs = _slugs(chosen)
    for step, source in enumerate(sources):
        name = names[step]
        report(f"{model.name}: {name}", len(sources) + step, steps)
        image, values = activations(model, index, chosen, read_image(source), size)
        for layer, maps in values.items():
            units = np.sort(np.argsort(-peaks[layer], kind="stable")[:UNITS])
            _maps_result(model, layer, name, image, maps, units).save(
                out / "maps" / slugs[layer] / f"{Path(entries[step]['file']).stem}.npz"
            )
    for layer in chosen:
        if layer.kernel is not None:
            layer_filters(model, layer).save(out / "filters" / f"{slugs[layer]}.npz")
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
        "images": entries,
        "layers": rows,
    }
    write_bytes(out / "run.json", json.dumps(run, indent=1, ensure_ascii=False).encode())
    report(model.name, steps, steps)
    return out


def slug(name: str) -> str:
    """Return a name as a file name: letters, digits, ``.``, ``-`` and ``_`` only, 80 characters at most."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:80] or "x"


def _input(model: Model, index: LayerIndex, size: tuple[int, int] | None) -> str:
    """Say what becomes of the images, and for which size the layers' shapes hold where images differ."""
    text = str(model.preprocessing if size is None else model.preprocessing.sized(*size))
    if model.preprocessing.crop is not None or size is not None or index.input_shape is None:
        return text
    return f"{text}; layer shapes for {index.input_shape[1]}×{index.input_shape[2]} pixels"


def _chosen(index: LayerIndex, only: Sequence[str], model: Model) -> list[Layer]:
    if not only:
        found = [layer for layer in index if layer.spatial and layer.kernel is not None]
        if not found:
            raise ModelError(f"{model.name} is not convolutional: it has no convolution with maps")
        return found
    wanted = {layer for spec in only for layer in index.resolve_all(spec)}
    found = [layer for layer in index if layer in wanted]
    flat = next((layer for layer in found if not layer.spatial), None)
    if flat is not None:
        raise LayerError(f"layer {flat.name} ({flat.alias}) of {model.name} has no maps; leave it out")
    return found


def _slugs(chosen: Sequence[Layer]) -> dict[Layer, str]:
    slugs: dict[Layer, str] = {}
    for layer in chosen:
        base, number = slug(layer.name), 2
        name = base
        while name.lower() in {taken.lower() for taken in slugs.values()}:
            name, number = f"{base}-{number}", number + 1
        slugs[layer] = name
    return slugs


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
