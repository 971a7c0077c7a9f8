"""The receptive field of a layer's units: what they can see, what they use, what they react to."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import Unpack

from netviz.capture import brief
from netviz.engines import Progress
from netviz.errors import ImageError
from netviz.geometry.effective import GRADIENTS, effective_field, extent, locate
from netviz.geometry.field import Field
from netviz.images import Images, Photo, images_or_photographs, prepare, read_image
from netviz.models import Layer, LayerIndex, Model, ModelOptions, ModelSpec, Preprocessing, load
from netviz.models.preprocessing import check_fit
from netviz.questions.field.empirical.windows import empirical_field
from netviz.questions.field.result import FieldResult
from netviz.questions.opening import SHORT_SIDE, check_size, open_model, require_channels
from netviz.results.choose import choose_units

KINDS = ("theoretical", "effective", "empirical", "all")

UNITS = 8
"""How many units the empirical field is measured for if none is named."""


def field(
    model: ModelSpec = "mobilenet_v2",
    *,
    layer: str,
    unit: int | str | Iterable[int] | None = None,
    kind: str = "theoretical",
    position: tuple[int, int] | None = None,
    images: Images = (),
    top: int = 10,
    gradient: str = "absolute",
    size: tuple[int, int] | None = None,
    fit: str = "crop",
    progress: Progress | None = None,
    **options: Unpack[ModelOptions],
) -> FieldResult:
    """Find the receptive field of a layer's units.

    Parameters
    ----------
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    layer : str
        Name, alias, glob, or ``-1`` for the last layer with maps.
    unit : int, str or iterable of int, optional
        One unit, or several: ``"0:16"``, ``"3,7"``. By default the effective field is of all units together, and
        the empirical one of 8 units spread evenly over the layer.
    kind : {"theoretical", "effective", "empirical", "all"}
        What to find; the theoretical field is always there.
    position : (int, int), optional
        Row and column in the layer's map, for the theoretical and the effective field; by default the middle,
        (H // 2, W // 2). The empirical field looks where each unit is most active.
    images : str, Path, PIL image, ndarray, Tensor, or iterable of these
        Files, folders, ``skimage:NAME``; by default nine of scikit-image's photographs. The first is drawn.
    top : int
        For the empirical field: how many images per unit, those that activate it most.
    gradient : {"absolute", "positive"}
        What of the gradient the effective field holds: see `netviz.geometry.effective`.
    size : (int, int), optional
        Input height and width in pixels. By default the network's own; where it takes any, that of the first
        image, reduced to a short side of 256 at most. All images are brought to it.
    fit : {"crop", "resize", "full"}
        Show the network the middle of an image, all of it squeezed to the network's size, or all of the first image
        at its own aspect, and of others what that size shows.
    progress : callable, optional
        Called with what is being done, how many steps are done, and how many there are.
    **options
        As for `netviz.load`; `seed` also draws the occluder's colours.

    Returns
    -------
    FieldResult
        What could not be found is None in it, and its `notes` say why.

    Raises
    ------
    ImageError
        If an image cannot be read, or the network does not run on it.
    LayerError
        If the layer or a unit does not exist, the layer has no maps, or the position is outside of them.
    ModelError
        If MODEL cannot be opened or cannot run.
    ValueError
        If `kind`, `gradient` or `top` is none of the values named here.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    if gradient not in GRADIENTS:
        raise ValueError(f"gradient must be 'absolute' or 'positive', not {gradient!r}")
    if top < 1:
        raise ValueError(f"top must be at least 1, not {top}")
    size = check_size(size)
    model = load(model, **options)
    model.runnable()
    sources = images_or_photographs(images)
    first = read_image(sources[0])
    check_fit(fit)
    if fit == "full":
        wanted = model.preprocessing if size is None else model.preprocessing.sized(*size)
        size = own_size(replace(model, preprocessing=wanted.fitted(fit)), first)
        fit = "crop"
    opened = open_model(model, size=size or own_size(model, first), fit=fit)
    index = opened.index
    require_channels(opened.model, index)
    found = opened.layer(layer)
    chosen = choose_units(unit, found.channels, found.name)
    place = locate(found, (found.shape or ())[1:], position)
    shots = _Shots(
        sources,
        opened.preprocessing,
        f"{model.name}: {found.alias}",
        progress or (lambda *_: None),
    )
    result = theoretical_result(model, index, found, opened.fields, place, chosen)
    result = replace(
        result,
        image=shots.prepared(first),
        images=(first.name,),
        gradient=gradient,
        **opened.provenance(first if len(sources) == 1 else None, layer),
    )
    if kind in ("effective", "all"):
        result = _effective(result, model, found, shots)
    if kind in ("empirical", "all"):
        result = _empirical(result, model, index, found, shots, top, options.get("seed", 0))
    return result


@dataclass(frozen=True)
class _Shots:
    """The images, all of one size, read one at a time."""

    sources: list[str | Path | Photo]
    preprocessing: Preprocessing
    what: str
    progress: Progress

    def prepared(self, photo: Photo) -> Any:
        """Return a photograph as the network sees it, (H, W, 3) uint8."""
        return prepare(photo, self.preprocessing).image

    @property
    def names(self) -> tuple[str, ...]:
        """What the images are called, as `read_image` names them."""
        return tuple(
            one.name if isinstance(one, Photo) else Path(str(one).removeprefix("skimage:")).stem
            for one in self.sources
        )

    def tensors(self) -> Iterator[Tensor]:
        """Yield each image as the network takes it, (1, C, H, W)."""
        for step, source in enumerate(self.sources):
            photo = read_image(source)
            self.progress(f"{self.what}, {photo.name}", step, len(self.sources))
            yield prepare(photo, self.preprocessing).tensor
        self.progress(self.what, len(self.sources), len(self.sources))


def own_size(model: Model, photo: Photo) -> tuple[int, int] | None:
    """Return the input size of a network that keeps an image's own; None for one that has a size itself."""
    wanted = model.preprocessing
    if wanted.crop is not None:
        return None
    if wanted.resize is None:
        wanted = replace(wanted, resize=min(SHORT_SIDE, *photo.pixels.shape[:2]))
    height, width = prepare(photo, wanted).image.shape[:2]
    return height, width


def _local(fields: Sequence[Field | None]) -> NDArray[np.float64]:
    """Return the sizes of fields at their own place, NaN where there are none."""
    nothing = (np.nan, np.nan)
    sizes = [nothing if one is None or one.status in ("global", "unknown") else one.size for one in fields]
    return np.array(sizes, dtype=np.float64).reshape(-1, 2)


def theoretical_result(
    model: Model,
    index: LayerIndex,
    layer: Layer,
    fields: Mapping[Layer, Field],
    position: tuple[int, int],
    units: list[int] | None,
) -> FieldResult:
    """Return the theoretical field at a position, and the sizes of all layers for the chart."""
    own = fields[layer]
    known = own.status != "unknown"
    chart = [(one.alias, fields[one]) for one in index if one in fields]
    notes = []
    if not known:
        notes.append(f"the theoretical field of layer {layer.name} is unknown: cannot follow {own.reason}")
    channels, height, width = index.input_shape or (0, 0, 0)
    rows, columns = (layer.shape or (0, 0, 0))[1:]
    return FieldResult(
        theoretical=np.array([own.size, own.stride, own.start], dtype=np.float64),
        image=np.zeros((height, width, 3), np.uint8),
        chart_layers=np.array([alias for alias, _ in chart]),
        chart_status=np.array([one.status for _, one in chart]),
        chart_sizes=np.array([one.size for _, one in chart], dtype=np.float64),
        chart_local=_local([one.local for _, one in chart]),
        network=model.name,
        layer=layer.name,
        alias=layer.alias,
        layer_kind=layer.kind,
        channels=layer.channels,
        units=None if units is None else tuple(units),
        map_shape=(rows, columns),
        position=position,
        box=own.box(*position) if known else None,
        center=own.center(*position) if known else None,
        status=own.status,
        reason=own.reason,
        input_shape=(channels, height, width),
        images=(),
        notes=tuple(notes),
    )


def _effective(result: FieldResult, model: Model, layer: Layer, shots: _Shots) -> FieldResult:
    """Add the effective field and its measures."""
    units = result.units
    try:
        found = effective_field(
            model.runnable(),
            layer,
            shots.tensors(),
            position=result.position,
            units=units,
            gradient=result.gradient,
        )
    except (RuntimeError, IndexError) as error:
        height, width = result.input_shape[1:]
        raise ImageError(
            f"{model.name} gives no gradient on images of {height}×{width} pixels ({brief(error)}); try --size HxW"
        ) from error
    return with_effective(result, found, shots.names)


def with_effective(result: FieldResult, found: NDArray[np.float32], names: tuple[str, ...]) -> FieldResult:
    """Add an effective field, (H, W), found on images of these names, and its measures."""
    units = result.units
    measured = extent(found)
    result = replace(result, effective=found, images=names)
    if measured is None:
        which = "all units" if units is None else f"unit {', '.join(map(str, units))}"
        row, column = result.position
        reason = "NaN or infinite" if not np.isfinite(found).all() else "zero"
        note = (
            f"the effective field of {which} of layer {result.layer} at position {row},{column} is {reason} on "
            f"every image; try other --images, --unit or --position"
        )
        return replace(result, effective=None, notes=(*result.notes, note))
    side = math.sqrt(math.prod(result.size))
    return replace(
        result,
        effective_width=measured.width,
        effective_ratio=measured.width / side if side > 0 else None,
        effective_sigma=measured.sigma,
        effective_center=measured.center,
    )


def _empirical(
    result: FieldResult, model: Model, index: LayerIndex, layer: Layer, shots: _Shots, top: int, seed: int
) -> FieldResult:
    """Add the empirical field of the units that any image activates."""
    units = result.units
    if units is None:
        count = min(UNITS, layer.channels)
        units = tuple(layer.channels * one // count for one in range(count))
    found = empirical_field(
        model, index, layer, units, shots.sources, top=top, seed=seed, progress=shots.progress
    )
    notes = result.notes
    for some, single, plural in (
        (
            found.dead,
            "is dead: none of the images activates it",
            "are dead: none of the images activates them",
        ),
        (found.still, "does not change under any occluder", "do not change under any occluder"),
    ):
        if some:
            which = f"unit{'' if len(some) == 1 else 's'} {', '.join(map(str, some))} of layer {layer.name}"
            notes = (*notes, f"{which} {single if len(some) == 1 else plural}; try other --images")
    alive = bool(found.units)
    return replace(
        result,
        images=shots.names,
        empirical=found.maps if alive else None,
        empirical_units=found.units,
        empirical_sizes=found.sizes,
        empirical_images=found.images,
        empirical_size=found.mean if alive else None,
        empirical_spread=found.std if alive else None,
        empirical_quartiles=found.quartiles if alive else None,
        empirical_outside=found.outside if math.isfinite(found.outside) else None,
        patch=found.patch,
        stride=found.stride,
        top=found.top,
        dead=found.dead,
        still=found.still,
        notes=notes,
    )
