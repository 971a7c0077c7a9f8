"""The strongest links of several units of one layer, in a small table."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netviz.errors import LayerError
from netviz.models import Layer
from netviz.questions.links.measure import extreme, largest, told
from netviz.questions.links.network import Linked, Network
from netviz.questions.links.result import ClassLink, LinksTableResult, Side, in_levels

Floats = NDArray[np.float64]

TOP = 8
"""How many links of each kind a unit has."""


def links_table(network: Network, layer: Layer, units: Sequence[int], top: int = TOP) -> LinksTableResult:
    """Find what some units of a layer are built from and what they feed, as `netviz.links` does for one.

    Parameters
    ----------
    network : Network
        Opened and followed: once for all layers.
    layer : Layer
        Of its index.
    units : sequence of int
        At least one.
    top : int
        How many links of each kind.

    Raises
    ------
    LayerError
        If the layer has tokens, or no linear steps lead to any of the units or from it.
    """
    opened = network.opened
    if layer.arrangement is not None:
        raise LayerError(
            f"layer {layer.name} ({layer.alias}) of {opened.model.name} has tokens: attention joins them, or another "
            "product that is not linear"
        )
    value = network.value(layer)
    before = [told(network.before, layer, value, unit, None) for unit in units]
    after = [told(network.after, layer, value, unit, None) for unit in units]
    scores = [network.classes(layer, value, unit) for unit in units]
    if all(isinstance(one, str) for one in (*before, *after)) and not any(scores):
        raise LayerError(f"{before[0]}; {after[0]}")
    return LinksTableResult(
        table_units=np.array(units, dtype=np.int64),
        **_side("before", before, top),
        **_side("after", after, top),
        **_classes(scores, opened.model.labels, top),
        network=network.name,
        **opened.provenance(),
        layer=layer.name,
        alias=layer.alias,
        layer_kind=layer.kind,
        channels=layer.channels,
    )


def _side(name: str, found: Sequence[Linked | str], top: int) -> dict[str, Any]:
    """Return the arrays and the layers of one side."""
    sides: list[Side] = []
    missing = next((one for one in found if isinstance(one, str)), "")
    linked = {row: one for row, one in enumerate(found) if not isinstance(one, str)}
    keys = ("units", "shares", "kernels", "peaks", "sizes", "of")
    arrays: dict[str, Any] = dict.fromkeys(keys)
    if linked:
        count = min(top, max(len(one.kernels) for one in linked.values()))
        height, width = (max(one.kernels.shape[axis] for one in linked.values()) for axis in (1, 2))
        many = len(found)
        arrays = {
            "units": np.full((many, count), -1, dtype=np.int64),
            "shares": np.zeros((many, count), dtype=np.float32),
            "kernels": np.zeros((many, count, height, width), dtype=np.int8),
            "peaks": np.zeros(many, dtype=np.float32),
            "sizes": np.ones((many, 2), dtype=np.int64),
            "of": np.full(many, -1, dtype=np.int64),
        }
    for row, one in linked.items():
        if one.side not in sides:
            sides.append(one.side)
        # Weights may be as large as numbers are: then shares are NaN.
        with np.errstate(all="ignore"):
            norms = np.sqrt((one.kernels**2).sum(axis=(1, 2)))
            units = largest(norms, top)
            some = one.kernels[units]
            total = float(norms.sum())
            shares = np.where(some.sum(axis=(1, 2)) < 0, -1.0, 1.0) * norms[units] / (total or 1.0)
            arrays["shares"][row, : len(units)] = shares
        _, rows, columns = some.shape
        arrays["units"][row, : len(units)] = units
        arrays["kernels"][row, : len(units), :rows, :columns], arrays["peaks"][row] = in_levels(some)
        arrays["sizes"][row] = rows, columns
        arrays["of"][row] = sides.index(one.side)
    return {
        name: tuple(sides),
        f"{name}_missing": missing,
        **{f"{name}_{key}": array for key, array in arrays.items()},
    }


def _classes(scores: Sequence[tuple[Floats, str] | None], labels: Sequence[str], top: int) -> dict[str, Any]:
    """Return the classes that units raise and lower most."""
    there = {row: one for row, one in enumerate(scores) if one is not None}
    arrays: dict[str, Any] = dict.fromkeys(("raised", "lowered", "raised_weights", "lowered_weights"))
    named: dict[int, str] = {}
    called = "class"
    if there:
        count = min(top, max(len(weights) for weights, _ in there.values()))
        for name in ("raised", "lowered"):
            arrays[name] = np.full((len(scores), count), -1, dtype=np.int64)
            arrays[f"{name}_weights"] = np.zeros((len(scores), count), dtype=np.float32)
    for row, (weights, word) in there.items():
        called = word
        for name, sign in (("raised", 1.0), ("lowered", -1.0)):
            most = extreme(weights, sign, top)
            arrays[name][row, : len(most)] = most
            arrays[f"{name}_weights"][row, : len(most)] = weights[most]
            named |= {one: labels[one] if len(labels) == len(weights) else "" for one in most}
    classes = tuple(ClassLink(one, name) for one, name in sorted(named.items()))
    return {**arrays, "classes": classes, "called": called}
