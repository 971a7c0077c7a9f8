"""Opening a question: a MODEL's layers, chosen and named; an image made ready; one pass; fields."""

import math
import operator
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Unpack

from netviz.capture import (
    Tape,
    brief,
    capture,
    channels_first,
    index_layers,
    network_device,
    record,
    unwrap,
    with_values,
)
from netviz.capture.padding import larger, padding_multiple, runs
from netviz.errors import ImageError, LayerError, MissingWeightsError, ModelError, NetvizWarning
from netviz.geometry.field import Field, geometry
from netviz.images import Photo, Prepared, prepare
from netviz.images.bands import range_doubt
from netviz.models import (
    Layer,
    LayerIndex,
    Model,
    ModelOptions,
    ModelSpec,
    Preprocessing,
    index_weights,
    load,
)
from netviz.models.preprocessing import check_fit
from netviz.results.choose import several
from netviz.results.names import slug, unique_name

SHORT_SIDE = 256
"""What images are resized to, in pixels, for a network that takes any size, where many are shown to it."""


class InputOptions(ModelOptions, total=False):
    """How a MODEL is opened, and for which input: ``size`` is height and width in pixels."""

    size: tuple[int, int] | None


class ImageOptions(InputOptions, total=False):
    """How a MODEL is opened, and how an image is brought to it: ``fit`` as `Preprocessing.fitted` says."""

    fit: str


def layers(
    model: ModelSpec, *, size: tuple[int, int] | None = None, **options: Unpack[ModelOptions]
) -> LayerIndex:
    """List the layers of a network in the order in which they run.

    Parameters
    ----------
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    size : (int, int), optional
        Height and width of the input in pixels; by default the network's own.
    **options
        As for `netviz.load`.

    Returns
    -------
    LayerIndex
        Of a file whose architecture is not known: its weights, in the file's order, without shapes.

    Raises
    ------
    ModelError
        If MODEL cannot be opened, or does not run at this size.
    ValueError
        If `size` is not two whole numbers above 0.
    """
    size = check_size(size)
    model = load_structure(model, **options)
    if model.network is None:
        index = index_weights(model.weights)
        if not index:
            raise ModelError(
                f"{model.name} holds no weights of a 2-D convolution or linear layer{_others(model)}"
            )
        return index
    preprocessing = model.preprocessing
    channels = None if preprocessing.assumed else preprocessing.channels
    # A network whose modules were exchanged in the meantime is followed anew.
    key = (size, channels, preprocessing.crop, *map(id, model.network.modules()))
    if key not in model.indexes:
        try:
            model.indexes[key] = index_layers(
                model.network, size=size, channels=channels, prefer=preprocessing.crop
            )
        except ModelError as error:
            multiple = 0 if size is None else padding_multiple(model.network, preprocessing.channels, size)
            if not multiple:
                raise
            raise ModelError(
                f"{model.name} does not run at {_sides(size)} pixels: {_multiples(size, multiple)}"
            ) from error
        for doubt in model.indexes[key].doubts:
            warnings.warn(f"{model.name}: {doubt}", NetvizWarning, stacklevel=2)
    found: LayerIndex = model.indexes[key]
    return found


def check_size(size: object) -> tuple[int, int] | None:
    """Return a size, if there is one, as two numbers.

    Raises
    ------
    ValueError
        If it is not two whole numbers above 0.
    """
    if size is None:
        return None
    try:
        height, width = (operator.index(side) for side in size)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise ValueError(f"size must be (height, width) in pixels, such as (224, 224), not {size!r}")
    return height, width


def _multiples(size: Sequence[int] | None, multiple: int) -> str:
    """Say which sides a network takes, and how to give them."""
    return (
        f"its sides must be multiples of {multiple}; give --size {_sides(larger(size or (), multiple), 'x')}"
    )


def _sides(size: Sequence[int] | None, between: str = "×") -> str:
    return between.join(map(str, size or ()))


def load_structure(model: ModelSpec, **options: Unpack[ModelOptions]) -> Model:
    """Open a MODEL as `netviz.load` does, without weights where they are not on this machine, with a warning."""
    try:
        return load(model, **options)
    except MissingWeightsError:
        if options.get("weights", "default") != "default":
            raise
        without: ModelOptions = {**options, "weights": "none"}
        opened = load(model, **without)
        warnings.warn(
            NetvizWarning(f"the weights of {model} are not on this machine: what is told is its structure"),
            stacklevel=2,
        )
        return opened


def _others(model: Model) -> str:
    for key, value in model.weights.items():
        name = re.fullmatch(r"(.*?)parametrizations\.(\w+)\.original", key)
        if name:
            return (
                f": {name[1]}{name[2]} is parametrized in a way that the file does not tell; save it after "
                "torch.nn.utils.parametrize.remove_parametrizations"
            )
        if key.endswith("weight") and value.ndim in (3, 5):
            return f": {key} is {'×'.join(map(str, value.shape))}, of a {value.ndim - 2}-D convolution"
    return ""


class Provenance(TypedDict):
    """What every result tells of where it comes from; see `netviz.results.base.Result`."""

    origin: str
    input: str
    image_path: str
    layer_asked: str
    doubts: tuple[str, ...]


def provenance(
    model: Model, preprocessing: Preprocessing | None = None, photo: Photo | None = None, layer: str = ""
) -> Provenance:
    """Return what a result tells of a network, its images, the image if it is of one, and the `layer` asked for."""
    followed = (doubt for index in model.indexes.values() for doubt in index.doubts)
    prepared = () if preprocessing is None else preprocessing.doubts
    if preprocessing is not None and photo is not None:
        prepared += range_doubt(photo.values, preprocessing.black, preprocessing.scale)
    return {
        "origin": model.origin,
        "input": "" if preprocessing is None else str(preprocessing),
        "image_path": "" if photo is None else photo.path,
        "layer_asked": layer,
        "doubts": tuple(dict.fromkeys((*model.doubts, *followed, *prepared))),
    }


@dataclass(frozen=True)
class Opened:
    """A network ready for images that are all brought to it in the same way.

    Attributes
    ----------
    model : Model
    network : nn.Module
        The model's, out of any wrapper for several devices.
    index : LayerIndex
        Its layers, at the size that images are brought to.
    preprocessing : Preprocessing
        How images are brought to the network.
    layers : tuple of Layer
        Those that the question is about, where it names them at once.
    asked : mapping of str to str
        As what each of these was asked for, by its dotted name.
    """

    model: Model
    network: nn.Module
    index: LayerIndex
    preprocessing: Preprocessing
    layers: tuple[Layer, ...] = ()
    asked: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def fields(self) -> dict[Layer, Field]:
        """The theoretical field of every layer with maps."""
        return layer_fields(self.model, self.index)

    @cached_property
    def _elsewhere(self) -> dict[tuple[int, int], tuple[tuple[Layer, Field], ...]]:
        return {}

    def at(self, size: tuple[int, int]) -> tuple[tuple[Layer, Field], ...]:
        """Return `layers` as they are for an input of this height and width, and their fields.

        Pooling, padding or interpolation that adapts to the input changes how many positions there are and where they
        look.

        Raises
        ------
        ModelError
            If the network does not run at this size.
        """
        if size not in self._elsewhere:
            index, fields = self.index, self.fields
            if index.input_shape is None or size != index.input_shape[1:]:
                # Of many sizes only what is asked for is kept.
                index = layers(replace(self.model), size=size)
                fields = layer_fields(self.model, index)
            named = {one.name: one for one in index}
            found = [named.get(one.name, one) for one in self.layers]
            self._elsewhere[size] = tuple(
                (one, fields.get(one, Field.unknown("the forward pass at another size"))) for one in found
            )
        return self._elsewhere[size]

    @cached_property
    def slugs(self) -> dict[Layer, str]:
        """A file name for each of `layers`."""
        return layer_slugs(self.layers)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return network_device(self.network)

    def layer(self, spec: str) -> Layer:
        """Return the layer that a name, alias, glob or number means.

        Raises
        ------
        LayerError
            If there is none, or it has no maps.
        """
        return require_maps(self.model, self.index.resolve(spec))

    def provenance(self, photo: Photo | None = None, layer: str = "") -> Provenance:
        """Return what a result tells of where it comes from, and of the `layer` as it was asked for."""
        return provenance(self.model, self.preprocessing, photo, layer)

    def prepare(self, photo: Photo) -> Prepared:
        """Return a photograph as the network takes it.

        Raises
        ------
        ModelError
            If the network takes something else than images.
        """
        require_channels(self.model, self.index)
        return prepare(photo, self.preprocessing)

    def multiple(self, size: tuple[int, int]) -> int:
        """Return to multiples of how many pixels images of this size must be brought; 0 if they need not."""
        shape = self.index.input_shape
        channels = self.model.preprocessing.channels
        if shape is None or size == shape[1:] or runs(self.network, (channels, *size)):
            return 0
        return padding_multiple(self.network, channels, size)

    def tape(self, image: Tensor, name: str) -> Tape:
        """Run the network once on a normalized image, (1, C, H, W), and return the tape; it holds the outputs.

        Raises
        ------
        ImageError
            If the network does not run on an image of this size; `name` is what the image is called.
        """
        require_memory(self.model, self.index, image, name)
        try:
            return record(self.network, image.to(self.device), keep=())
        except (RuntimeError, ValueError, IndexError) as error:
            raise ImageError(does_not_run(self.model, name, image.shape[-2:], brief(error))) from error

    def reserve(self, image: Tensor, name: str) -> Callable[[int], None]:
        """Return what refuses to keep more bytes of an image's values than there is memory for."""

        def check(count: int) -> None:
            require_memory(self.model, self.index, image, name, kept=count)

        return check

    def values(self, tape: Tape, image: Tensor, name: str, numbers: Iterable[int]) -> Tape:
        """Return the tape of an image with some of its values; the network runs once more.

        Raises
        ------
        ImageError
            If there is not memory enough.
        ModelError
            If the network does something else each time.
        """
        wanted = frozenset(numbers)
        found = with_values(tape, self.network, image.to(self.device), wanted, self.reserve(image, name))
        if found is None:
            raise ModelError(f"{self.model.name} does something else each time that it runs")
        return found


def open_model(
    model: ModelSpec,
    *,
    size: tuple[int, int] | None = None,
    fit: str = "crop",
    pad: bool = False,
    **options: Unpack[ModelOptions],
) -> Opened:
    """Open a network for images of a size, in pixels (by default its own), brought to it as `fit` says.

    With `pad` also for one that it takes only continued to multiples: its layers are then as at those.

    Raises
    ------
    ModelError
        If MODEL cannot be opened or cannot run.
    ValueError
        If `fit` is none of the ways that `Preprocessing.fitted` knows, or `size` not two whole numbers above 0.
    """
    check_fit(fit)
    size = check_size(size)
    model = load(model, **options)
    network = unwrap(model.runnable())
    try:
        index = layers(model, size=size)
    except ModelError:
        multiple = padding_multiple(network, model.preprocessing.channels, size) if pad and size else 0
        if size is None or not multiple:
            raise
        index = layers(model, size=larger(size, multiple))
    channels = model.preprocessing.channels if index.input_shape is None else index.input_shape[0]
    if model.preprocessing.assumed and channels != model.preprocessing.channels:
        # Of several candidates the forward pass tells which one it is.
        model = replace(model, preprocessing=model.preprocessing.banded(channels))
    return Opened(model, network, index, input_preprocessing(model.preprocessing, index, size).fitted(fit))


def require_maps(model: Model, layer: Layer) -> Layer:
    """Return the layer if it has maps.

    Raises
    ------
    LayerError
        If its output is no (N, C, H, W).
    """
    if not layer.spatial:
        shape = "unknown" if layer.shape is None else "×".join(map(str, layer.shape))
        reason = layer.no_maps or f"its output is {shape}"
        raise LayerError(
            f"layer {layer.name} ({layer.alias}) of {model.name} has no maps: {reason}; "
            f"choose one before it (see: netviz layers)"
        )
    return layer


def chosen_layers(model: Model, index: LayerIndex, only: str | Sequence[str]) -> list[Layer]:
    """Return the layers that names, aliases or globs mean, in running order.

    If there are none: all convolutions, and of a network of tokens its blocks.

    Raises
    ------
    LayerError
        If a name means no layer, or one without maps.
    ModelError
        If only weights could be read, or the network has no convolution.
    """
    model.runnable()
    if not only:
        found = [layer for layer in index if layer.spatial and layer.kernel is not None]
        if found:
            blocks = set(_token_blocks(index))
            found = [layer for layer in index if layer in found or layer in blocks]
        if not found:
            raise ModelError(f"{model.name} is not convolutional: it has no convolution with maps")
        return found
    wanted = {layer for spec in several(only) for layer in index.resolve_all(spec)}
    found = [layer for layer in index if layer in wanted]
    flat = next((layer for layer in found if not layer.spatial), None)
    if flat is not None:
        reason = f" ({flat.no_maps})" if flat.no_maps else ""
        raise LayerError(
            f"layer {flat.name} ({flat.alias}) of {model.name} has no maps{reason}; leave it out"
        )
    return found


def _token_blocks(index: LayerIndex) -> list[Layer]:
    """Return the outermost blocks that give tokens, or maps with their channels last, and hold no convolution."""
    convolutions = [layer.module for layer in index if layer.kernel is not None]
    found = [
        layer
        for layer in index
        if layer.kind == "block"
        and layer.spatial
        and (layer.arrangement is not None or layer.channel_axis == 3)
        and not any(name.startswith(f"{layer.module}.") for name in convolutions)
    ]
    outer = tuple(f"{layer.module}." for layer in found)
    return [layer for layer in found if not layer.module.startswith(outer)]


def layer_slugs(chosen: Sequence[Layer]) -> dict[Layer, str]:
    """Return a file name for each layer, different also where a file system does not see capitals."""
    taken: set[str] = set()
    return {layer: unique_name(slug(layer.name), taken) for layer in chosen}


def layer_fields(model: Model, index: LayerIndex) -> dict[Layer, Field]:
    """Return the theoretical field of every layer with maps; none where only weights could be read.

    Raises
    ------
    ModelError
        If the network does not run.
    """
    return {} if model.network is None else geometry(model.network, index)


def describe_field(field: Field | None) -> dict[str, Any] | None:
    """Return a field as the JSON of ``netviz layers`` shows it; None for a layer without maps.

    Returns
    -------
    dict or None
        ``size``, ``stride`` and ``start`` as pairs [y, x] in pixels, None where unknown; ``status``; ``reason`` where
        there is one, and ``local``, the same for what a position sees at its own place, where all see the whole
        image.
    """
    if field is None:
        return None
    known = {name: _pair(getattr(field, name)) for name in ("size", "stride", "start")}
    reason = {"reason": field.reason} if field.reason else {}
    local = {"local": describe_field(field.local)} if field.local else {}
    return {**known, "status": field.status, **reason, **local}


def _pair(values: tuple[float, float]) -> list[float] | None:
    if not all(math.isfinite(value) for value in values):
        return None
    return [int(value) if float(value).is_integer() else float(value) for value in values]


def require_channels(model: Model, index: LayerIndex) -> None:
    """Refuse a network that takes something else than images.

    Raises
    ------
    ModelError
        Saying how many channels it takes.
    """
    if index.input_shape is not None and index.input_shape[0] != model.preprocessing.channels:
        raise ModelError(
            f"{model.name} takes {index.input_shape[0]} channels, and what is said of it is for "
            f"{model.preprocessing.channels}: give --mean and --std with a value for each"
        )


def run_layers(
    model: Model,
    wanted: list[Layer],
    image: Tensor,
    name: str,
    part: Callable[[Layer, Tensor], Tensor] | None = None,
) -> dict[Layer, NDArray[np.float32]]:
    """Run the network once on a normalized image, (1, C, H, W); return each wanted layer's raw output, (C, H, W).

    With `part`, which gets each of these, only what it returns.

    Raises
    ------
    ImageError
        If the network does not run on it; `name` is what the image is called.
    """
    network = model.runnable()
    require_memory(model, next(iter(model.indexes.values()), None), image, name)
    size = (int(image.shape[-2]), int(image.shape[-1]))
    there = {layer: layer for layer in wanted}
    if any(layer.arrangement is not None and layer.arrangement.size != size for layer in wanted):
        named = {one.name: one for one in layers(replace(model), size=size)}
        there = {layer: named.get(layer.name, layer) for layer in wanted}

    def keep(layer: Layer, output: Tensor) -> Tensor:
        maps = channels_first(there[layer], output)[0]
        # A copy: what the network does next may overwrite its output.
        return (maps if part is None else part(layer, maps)).clone()

    with capture(network, wanted, reduce=keep, any_size=True) as run:
        try:
            run(image.to(network_device(network)))
        except (RuntimeError, ValueError, IndexError) as error:
            raise ImageError(does_not_run(model, name, image.shape[-2:], brief(error))) from error
        return {layer: output.float().cpu().numpy() for layer, output in run.items()}


def require_memory(
    model: Model,
    index: LayerIndex | None,
    image: Tensor,
    name: str,
    *,
    everything: bool = False,
    kept: int = 0,
    option: str = "--size HxW",
) -> None:
    """Refuse an image, (1, C, H, W), of which a network on a processor makes more than fits into memory.

    Parameters
    ----------
    index : LayerIndex or None
        The network's layers, at any size of input.
    everything : bool
        Every layer's output is kept, as for gradients. In any case the largest counts four times: as input, as
        output, and for what a convolution needs beside them.
    kept : int
        How many bytes of values are kept beside these.
    option : str
        What the command has for a smaller image.

    Raises
    ------
    ImageError
        Saying how much it needs and how much there is.
    """
    if index is None or index.input_shape is None or network_device(model.runnable()).type != "cpu":
        return
    shapes = [layer.shape for layer in index if layer.shape is not None]
    values = [math.prod(shape) for shape in shapes] or [0]
    grown = math.prod(image.shape[-2:]) / math.prod(index.input_shape[1:])
    needed = kept + image.element_size() * grown * (
        (sum(values) if everything else 0) + _AT_ONCE * max(values)
    )
    free = free_memory() if needed > _ALWAYS else math.inf
    if needed > _SHARE * free:
        raise ImageError(
            f"{model.name} on {name} at {_sides(image.shape[-2:])} pixels needs about {needed / 1e9:.1f} GB of "
            f"memory, and {free / 1e9:.1f} GB are free; give a smaller {option}"
        )


_AT_ONCE = 4
_SHARE = 0.8
"""How much of what is free an image may take: others take memory, too."""

_ALWAYS = 1 << 28
"""So many bytes are there without a look."""


def free_memory() -> float:
    """Return how many bytes this process may still take; infinity where nothing tells."""
    free = [math.inf]
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limit, used = ((group / f"memory.{name}").read_text(encoding="ascii") for name in ("max", "current"))
        free.append(int(limit) - int(used))
    return min(free)


def does_not_run(model: Model, name: str, size: Sequence[int], problem: str) -> str:
    """Say that a network does not run on an image of this height and width."""
    multiple = padding_multiple(model.runnable(), model.preprocessing.channels, size)
    remedy = _multiples(size, multiple) if multiple else "give a larger image, or --size HxW"
    return f"{model.name} does not run on {name} at {_sides(size)} pixels ({problem}); {remedy}"


def input_preprocessing(
    preprocessing: Preprocessing, index: LayerIndex, size: tuple[int, int] | None
) -> Preprocessing:
    """Return the preprocessing for the size asked for, or else for the one that the network was found to take."""
    if size is not None:
        return preprocessing.sized(*size)
    if preprocessing.crop is not None and index.input_shape is not None:
        return preprocessing.sized(*index.input_shape[1:])
    return preprocessing
