"""The patches that excite the units of one layer most, and the units' statistics.

A file may come from anywhere: whether its arrays fit together is looked at when it is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from netviz.results.base import Result

_USUAL: Final = 16


@dataclass(frozen=True)
class PatchesResult(Result):
    """For every unit of a layer, the positions where it was strongest, over many images.

    Attributes
    ----------
    score : ndarray of float32, shape (units, top)
        The unit's value there, best first; minus infinity where there were not enough images.
    image : ndarray of int64, shape (units, top)
        Which image: a line of the run's ``images.txt``, counted from 0; -1 where there is none.
    row, col : ndarray of int32, shape (units, top)
        Position in the map.
    box : ndarray of int64, shape (units, top, 4)
        Top, left, bottom, right (half-open) of what the unit saw, in pixels of the original file: its receptive
        field, clipped to what the network was shown.
    margin : ndarray of int64, shape (units, top, 4)
        How far the field reaches beyond the box on each side, in the same pixels: nothing was there.
    size : ndarray of int32, shape (units, top, 2)
        Height and width of the original.
    maps : ndarray of float16, shape (units, top, rows, columns)
        The unit's map around the position, as shares of the score, in 256ths.
    maps_box : ndarray of int64, shape (units, top, 4)
        Where the first cell of `maps` begins and its last ends, in pixels of the original: top, left, bottom, right.
    mean, max, nonzero : ndarray of float32, shape (units,)
        Mean and largest value, and share of values that are not 0, over all positions of all images.
    quantile_levels : ndarray of float64, shape (Q,)
    quantiles : ndarray of float32, shape (units, Q)
        From a random sample of positions; see `quantile_samples`.
    histogram : ndarray of int64, shape (units, bins)
        Of the same sample, in equal steps from the lowest to the highest quantile.
    class_score, class_image, class_row, class_col, class_box : ndarray or None
        The same for each class, shape (units, classes, k) and (units, classes, k, 4).
    network, layer, alias, layer_kind : str
        The network's name; the layer's dotted name, classic alias and kind.
    channels : int
        How many units the layer has.
    map_size : (int, int)
        Rows and columns of its maps.
    field_size, field_stride : (float, float) or None
        The receptive field in pixels of the network's input, (y, x); None where it is not known.
    field_status : str
        ``exact``, ``upper_bound``, ``global`` or ``unknown``; without a field, boxes are all that the network saw.
    images : int
        How many images were counted.
    positions : int
        How many positions of the map that made.
    quantile_samples : int
        How many of them are in the sample: the share of values below the quantile q differs from q by
        ``sqrt(q (1 - q) / samples)`` (standard deviation), by nothing if these are all.
    rectified : bool
        Whether no value in the sample is negative: only then are units spoken of that are always on.
    dead, always_on : tuple of int
        Units that were never different from 0; units of a rectified layer that always were.
    classes : tuple of str
        Their names, if patches were kept for each.
    per_image : int
        How many patches of a unit may come from one image.
    input : str
        What becomes of an image.
    apart : bool
        Whether several patches of a unit come from one image only where their fields overlap by less than a quarter
        of the smaller.
    inside : bool or None
        Whether only positions were kept whose field lies inside the image; None if that was asked for, but the layer
        has none.
    outside : float or None
        Share of all `shown` patches whose field does not lie inside the image; None where no field is known, or it
        is the whole image.
    by : str
        What is ordered, and what all values are of: ``"activation"``, what the layer gives, or ``"relevance"``, that
        times the gradient of a class's score with respect to it.
    by_class : str
        Of which class; empty for activation.
    """

    kind: ClassVar[str] = "patches"
    axes: ClassVar[dict[str, str]] = {
        "score": "channels top",
        "image": "channels top",
        "row": "channels top",
        "col": "channels top",
        "box": "channels top 4",
        "margin": "channels top 4",
        "size": "channels top 2",
        "maps": "channels top * *",
        "maps_box": "channels top 4",
        "mean": "channels",
        "max": "channels",
        "nonzero": "channels",
        "quantile_levels": "levels",
        "quantiles": "channels levels",
        "histogram": "channels *",
        "class_score": "channels classes kept",
        "class_image": "channels classes kept",
        "class_row": "channels classes kept",
        "class_col": "channels classes kept",
        "class_box": "channels classes kept 4",
    }
    ranges: ClassVar[dict[str, str]] = {
        "score": "any",
        "image": "-1…",
        "row": "-1…",
        "col": "-1…",
        "maps": "any",
        "nonzero": "0…1",
        "quantile_levels": "0…1",
        "histogram": "0…",
        "class_score": "any",
        "class_image": "-1…",
        "map_size": "0…1e9",
        "field_size": "0…1e9",
        "field_stride": "0…1e9",
        "field_status": "exact | upper_bound | global | unknown",
        "images": "0…",
        "positions": "0…",
        "quantile_samples": "0…",
        "dead": "0:channels",
        "always_on": "0:channels",
        "per_image": "0…",
        "outside": "0…1",
        "by": "activation | relevance",
    }

    score: NDArray[np.float32]
    image: NDArray[np.int64]
    row: NDArray[np.int32]
    col: NDArray[np.int32]
    box: NDArray[np.int64]
    margin: NDArray[np.int64]
    size: NDArray[np.int32]
    maps: NDArray[np.float16]
    maps_box: NDArray[np.int64]
    mean: NDArray[np.float32]
    max: NDArray[np.float32]
    nonzero: NDArray[np.float32]
    quantile_levels: NDArray[np.float64]
    quantiles: NDArray[np.float32]
    histogram: NDArray[np.int64]
    class_score: NDArray[np.float32] | None
    class_image: NDArray[np.int64] | None
    class_row: NDArray[np.int32] | None
    class_col: NDArray[np.int32] | None
    class_box: NDArray[np.int64] | None
    network: str
    layer: str
    alias: str
    layer_kind: str
    channels: int
    map_size: tuple[int, int]
    field_size: tuple[float, float] | None
    field_stride: tuple[float, float] | None
    field_status: str
    images: int
    positions: int
    quantile_samples: int
    rectified: bool
    dead: tuple[int, ...]
    always_on: tuple[int, ...]
    classes: tuple[str, ...]
    per_image: int
    apart: bool = False
    inside: bool | None = False
    outside: float | None = None
    by: str = "activation"
    by_class: str = ""

    @property
    def shown(self) -> NDArray[np.bool_]:
        """Where a patch excites its unit, shape (units, top): none of a dead one, none of 0 in a rectified layer."""
        filled: NDArray[np.bool_] = self.image >= 0
        filled[list(self.dead)] = False
        return filled & (self.score != 0) if self.rectified else filled

    @property
    def at_edge(self) -> NDArray[np.bool_]:
        """Which patches lie on the outermost ring of positions of their map and see padding, shape (units, top).

        Its share in what a unit sees is largest there. A map of one or two rows, or columns, has no ring; without a
        field every position of the ring counts.
        """
        found: NDArray[np.bool_] = np.zeros(self.image.shape, dtype=bool)
        for axis, position in enumerate((self.row, self.col)):
            low, high = self.box[..., axis], self.box[..., axis + 2]
            before, after = self.margin[..., axis], self.margin[..., axis + 2]
            if self.map_size[axis] < 3:
                continue
            if self.field_status in ("exact", "upper_bound") and self.field_size and self.field_stride:
                # Images may differ in size, and their maps with them: the field's centre tells how far its end is.
                extent = high + after - (low - before)
                step = extent * self.field_stride[axis] / self.field_size[axis]
                centre = (high + after + low - before) / 2
                near = (before > 0) & (centre - low < step) | (after > 0) & (high - centre < step)
            else:
                near = (position == 0) | (position == self.map_size[axis] - 1)
            np.logical_or(found, near, out=found)
        filled: NDArray[np.bool_] = found & (self.image >= 0)
        return filled

    @property
    def only_at_edge(self) -> NDArray[np.bool_]:
        """Which units have patches, all of them `at_edge`, shape (units,)."""
        shown = self.shown
        found: NDArray[np.bool_] = np.any(shown, axis=1) & ~np.any(shown & ~self.at_edge, axis=1)
        return found

    @property
    def leaves(self) -> NDArray[np.bool_]:
        """Of which patches the field reaches beyond the image, shape (units, top).

        Along an axis where it is longer than half of the image, so that it would at most positions, or where it is
        not known, those `at_edge` count: most of what moves a unit lies in the middle of its field.
        """
        if self.field_status not in ("exact", "upper_bound") or not self.field_size or not self.field_stride:
            return self.at_edge
        sizes = zip(self.field_size, self.map_size, self.field_stride, strict=True)
        longer = [2 * size > count * stride for size, count, stride in sizes]
        beyond = self.margin > 0
        found = np.zeros(self.image.shape, dtype=bool)
        for axis in (0, 1):
            if not longer[axis]:
                found |= beyond[..., axis] | beyond[..., axis + 2]
        return found | self.at_edge if any(longer) else found

    def usual_units(self) -> list[int]:
        """Return which units are shown if no one says: the first 16 that are not dead."""
        dead = set(self.dead)
        living = [unit for unit in range(self.channels) if unit not in dead][:_USUAL]
        return living or list(range(self.channels))[:_USUAL]

    def beyond(self, units: Sequence[int] | None = None) -> tuple[int, int] | None:
        """Return of how many shown patches the field does not lie inside the image, and how many there are.

        None where there are none, no field is known, or it is the whole image. `units` are by default all.
        """
        chosen = slice(None) if units is None else list(units)
        margin = self.margin[chosen][self.shown[chosen]]
        if self.field_status not in ("exact", "upper_bound") or not len(margin):
            return None
        return int((margin > 0).any(axis=-1).sum()), len(margin)

    def fault(self) -> str:
        """Return which of the patches that are there cannot be cut out and drawn."""
        if self.histogram.shape[1] > 256:
            return "histogram has more than 256 steps"
        filled = self.image >= 0
        for name in ("score", "maps"):
            if not np.isfinite(getattr(self, name)[filled]).all():
                return f"{name} holds NaN or infinity"
        box, size = self.box[filled], self.size[filled]
        inside = (box[:, :2] >= 0) & (box[:, :2] < box[:, 2:]) & (box[:, 2:] <= size)
        if not inside.all():
            return "a box lies outside of its image"
        # Beyond 2³⁰ pixels sums of coordinates might overflow; no image is as large.
        for name in ("margin", "maps_box", "size"):
            if (np.abs(getattr(self, name)[filled].astype(np.int64)) > 1 << 30).any():
                return f"{name} is beyond any image"
        if (self.margin[filled] < 0).any():
            return "margin is negative"
        ends = self.maps_box[filled]
        if not (ends[:, :2] <= ends[:, 2:]).all():
            return "maps_box ends before it begins"
        return ""


RULES: Final = ("deconvnet", "guided")
"""How gradients were followed back from units to their patches."""

RULES_BY: Final = {"deconv": "deconvnet", "guided": "guided"}
"""What commands call these rules."""


@dataclass(frozen=True)
class BackResult(Result):
    """What in each of some units' patches made the unit answer: its gradient there, followed back by a rule.

    Attributes
    ----------
    tiles : ndarray of uint8, shape (rules, units, top, side, side, 3)
        Over the patch's box, whatever its aspect: 128 is 0, brighter raises the unit; each tile by its own largest
        absolute value. Three bands are red, green and blue; others are summed up to greys.
    ends : ndarray of float32, shape (rules, units, top)
        That value, per unit of the network's own input; 0 where no gradient reaches the image, or there is no patch.
    drawn_units : ndarray of int64, shape (units,)
        Which units of the layer.
    score : ndarray of float32, shape (units, top)
        Their values in the run's patches, the best first and as many as were measured: what tells that these are the
        patches meant.
    rules : tuple of str
        Of `RULES`.
    network, layer : str
        What they are called.
    rectifiers, others : dict of str to int
        Calls of functions that followed the rule before the layer, and of other non-linearities, which keep their own
        derivative.
    """

    kind: ClassVar[str] = "back"
    axes: ClassVar[dict[str, str]] = {
        "tiles": "rules units top side side 3",
        "ends": "rules units top",
        "drawn_units": "units",
        "score": "units top",
    }
    ranges: ClassVar[dict[str, str]] = {
        "ends": "any",
        "drawn_units": "0…",
        "score": "any",
        "rectifiers": "0…",
        "others": "0…",
    }

    tiles: NDArray[np.uint8]
    ends: NDArray[np.float32]
    drawn_units: NDArray[np.int64]
    score: NDArray[np.float32]
    rules: tuple[str, ...]
    network: str
    layer: str
    rectifiers: dict[str, int]
    others: dict[str, int]

    def fault(self) -> str:
        """Return which rule is unknown."""
        odd = [one for one in self.rules if one not in RULES]
        return f"rules holds {odd[0]!r:.60}, none of {', '.join(RULES)}" if odd else ""

    def of(self, rule: str, unit: int, place: int) -> NDArray[np.uint8] | None:
        """Return the tile, (side, side, 3), of a unit's patch; None if it was not measured."""
        rows = np.flatnonzero(self.drawn_units == unit)
        if not len(rows) or rule not in self.rules or place >= self.score.shape[1]:
            return None
        found: NDArray[np.uint8] = self.tiles[self.rules.index(rule), rows[0], place]
        return found
