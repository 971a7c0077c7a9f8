"""The theoretical fields of a network's layers, and how JSON shows them."""

import math
from typing import Any

from netviz.fields.geometry import Field, geometry
from netviz.models import Layer, LayerIndex, Model


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
        ``size``, ``stride`` and ``start`` as pairs [y, x] in pixels, None where unknown; ``status``; and
        ``reason`` where there is one.
    """
    if field is None:
        return None
    known = {name: _pair(getattr(field, name)) for name in ("size", "stride", "start")}
    return {**known, "status": field.status, **({"reason": field.reason} if field.reason else {})}


def _pair(values: tuple[float, float]) -> list[float] | None:
    if not all(math.isfinite(value) for value in values):
        return None
    return [int(value) if float(value).is_integer() else float(value) for value in values]
