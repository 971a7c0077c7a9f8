"""The strongest links of a unit, by expanded weights, and by typical activation where a run tells it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

from netviz.errors import LayerError, ResultError
from netviz.models import Layer, ModelSpec
from netviz.questions.links.network import Linked, Network
from netviz.questions.links.result import ClassLink, LinksResult
from netviz.questions.links.typical import RunUnits
from netviz.questions.opening import InputOptions, Opened, open_model
from netviz.questions.patches.run import PatchesRun, open_run

Floats = NDArray[np.float64]

TOP = 10
"""How many links of each kind are shown unless the user says."""


def links(
    model: ModelSpec,
    *,
    layer: str,
    unit: int,
    run: str | Path | PatchesRun | None = None,
    before: str | None = None,
    after: str | None = None,
    through: int = 0,
    top: int = TOP,
    **options: Unpack[InputOptions],
) -> LinksResult:
    """Find what a unit is built from and what it feeds, by expanded weights: no image is needed.

    The weights between two units are multiplied out over the steps between them, as long as these are linear:
    convolutions of any kind, batch normalization, sums, concatenations, mean pooling. A unit's own non-linearity is
    none of the steps: weights enter before it, and leave after it.

    Parameters
    ----------
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    layer : str
        Name, alias, glob, or ``-1`` for the last layer with maps.
    unit : int
        Which of its units; negative numbers count from the end.
    run : str, Path or PatchesRun, optional
        A run of `netviz.patches`: then links count by the source's typical activation too, and have patches.
    before, after : str, optional
        The layers whose units are told of. By default the nearest that linear steps join to the unit.
    through : int
        How many non-linearities on a way are taken as open, as if they were not there; a max pooling as the mean of
        its window. 0 for linear steps alone.
    top : int
        How many links of each kind.
    **options
        As for `netviz.load`; `size` as for `netviz.layers`.

    Returns
    -------
    LinksResult

    Raises
    ------
    LayerError
        If there is no such layer or unit, no linear steps lead to the unit or from it, or none to the layer named.
    ModelError
        If MODEL cannot be opened or cannot run.
    ResultError
        If `run` is no run of patches, or one of another network.
    ValueError
        If `through` or `top` is out of range.
    """
    for name, value, least in (("through", through, 0), ("top", top, 1)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")
    opened = open_model(model, **options)
    found = opened.layer(layer)
    if not -found.channels <= unit < found.channels:
        raise LayerError(f"layer {found.name} has no unit {unit}: its units are 0 to {found.channels - 1}")
    unit %= found.channels
    if found.arrangement is not None:
        raise LayerError(
            f"layer {found.name} ({found.alias}) of {opened.model.name} has tokens: attention joins them, or "
            "another product that is not linear; links are those of maps"
        )
    folder = None if run is None else _opened(run, opened)
    network = Network(opened, through)
    known = None if folder is None else RunUnits(folder, network.flow, network.numbers())
    value = network.value(found)
    sides = {
        "before": told(network.before, found, value, unit, before),
        "after": told(network.after, found, value, unit, after),
    }
    classes = network.classes(found, value, unit)
    if all(isinstance(one, str) for one in sides.values()) and classes is None:
        raise LayerError(f"{sides['before']}; {sides['after']}")
    return _result(network, (found, unit, layer), sides, classes, known, top)


def told(
    look: Callable[[Layer, int, int, str | None], Linked],
    layer: Layer,
    value: int,
    unit: int,
    asked: str | None,
) -> Linked | str:
    """Return a unit's links, or why there are none; of a layer that was named, raise it."""
    try:
        return look(layer, value, unit, asked)
    except LayerError as error:
        if asked is not None:
            raise
        return str(error)


def _opened(run: "str | Path | PatchesRun", opened: Opened) -> PatchesRun:
    found = run if isinstance(run, PatchesRun) else open_run(run)
    if found.facts["network"] != opened.model.name:
        raise ResultError(
            f"the run in {found.folder} is of {found.facts['network']}, not of {opened.model.name}; name a run of "
            "the same network"
        )
    return found


def largest(values: Floats, top: int) -> NDArray[np.int64]:
    """Return where the largest values are, largest first, of equals the first; none that is 0."""
    ranked = np.nan_to_num(values, nan=-1.0, posinf=np.finfo(np.float64).max)
    order = np.argsort(-ranked, kind="stable")[:top]
    some = order[ranked[order] > 0]
    return (some if len(some) else order[:1]).astype(np.int64)


def _result(
    network: Network,
    about: tuple[Layer, int, str],
    sides: Mapping[str, Linked | str],
    classes: tuple[Floats, str] | None,
    known: RunUnits | None,
    top: int,
) -> LinksResult:
    layer, unit, asked = about
    opened = network.opened
    value = network.value(layer)
    arrays: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    for name in ("before", "after"):
        found = sides[name]
        facts[f"{name}_missing"] = found if isinstance(found, str) else ""
        arrays |= {
            f"{name}_{key}": one
            for key, one in _side(None if isinstance(found, str) else found, known, top, name).items()
        }
        facts[name] = arrays.pop(f"{name}_side")
    own = None if known is None else known.tell(value).patches([unit])
    weights, called_so = (None, "class") if classes is None else classes
    labels = opened.model.labels
    named = weights is not None and len(labels) == len(weights)
    raised, lowered = (
        tuple(ClassLink(one, labels[one] if named else "") for one in extreme(weights, sign, top))
        for sign in (1.0, -1.0)
    )
    channels, height, width = opened.index.input_shape or (0, 0, 0)
    return LinksResult(
        **arrays,
        **facts,
        unit_patches=None if own is None else own.pixels[0],
        unit_filled=None if own is None else own.filled[0],
        class_weights=weights,
        network=network.name,
        **opened.provenance(layer=asked),
        layer=layer.name,
        alias=layer.alias,
        layer_kind=layer.kind,
        channels=layer.channels,
        unit=unit,
        raised=raised,
        lowered=lowered,
        called=called_so,
        through=network.through,
        run="" if known is None else known.run.folder.name or str(known.run.folder),
        input_shape=(channels, height, width),
    )


def _side(found: Linked | None, known: RunUnits | None, top: int, name: str) -> dict[str, Any]:
    """Return the arrays and the `Side` of the layer before or after."""
    keys = ["units", "kernels", "norms", "sums", "by_weight", "turned", "patches", "filled", "side"]
    told: dict[str, Any] = dict.fromkeys([*keys, *(("typical", "by_typical") if name == "before" else ())])
    if found is None:
        return told
    norms = np.sqrt((found.kernels**2).sum(axis=(1, 2)))
    by_weight = by_any = largest(norms, top)
    side = found.side
    units = None if known is None else known.tell(found.place.value)
    if units is not None:
        side = side._replace(typical_of=units.layers)
    if name == "before" and units is not None and np.isfinite(units.typical).any():
        by_typical = largest(norms * np.nan_to_num(units.typical, nan=0.0), top)
        told |= {"typical": units.typical, "by_typical": by_typical}
        by_any = np.concatenate([by_weight, by_typical[~np.isin(by_typical, by_weight)]])
    told |= {
        "units": by_any,
        "kernels": found.kernels[by_any],
        "norms": norms,
        "sums": found.kernels.sum(axis=(1, 2)),
        "by_weight": by_weight,
        "side": side,
    }
    patches = None if units is None else units.patches(by_any.tolist())
    if units is not None and patches is not None:
        told |= {"turned": units.turned[by_any], "patches": patches.pixels, "filled": patches.filled}
    return told


def extreme(weights: Floats | None, sign: float, top: int) -> list[int]:
    """Return where the largest weights of a sign are, largest first."""
    if weights is None:
        return []
    signed = np.nan_to_num(sign * weights, nan=-1.0)
    order = np.argsort(-signed, kind="stable")[:top]
    return [int(one) for one in order if signed[one] > 0]
