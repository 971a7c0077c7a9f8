"""What a unit is built from, and what it feeds."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netviz.results.base import Result

Floats = NDArray[np.float64]


class Side(NamedTuple):
    """The layer before, or the one after.

    Attributes
    ----------
    layer, alias, kind : str
        Its dotted name, classic alias and kind; ``"the image"`` for the network's input. A value that no layer gives
        is called by the function that makes it.
    channels : int
        How many units it has.
    opened : tuple of str
        The non-linearities between that are taken as open: a rectifier as nothing, a max pooling as the mean of its
        window.
    also : tuple of str
        What else linear steps join to the unit, nearest first.
    at : str
        Where weights enter the unit (before), or where they leave it (after): before and after its own non-linearity.
    cut : bool
        Whether the map is too small for the kernel, so that it is cut at the border.
    whole : bool
        Whether the kernel is one of all the map: a weight for each position of it, or, where these are all the same,
        their sum.
    phased : bool
        Whether the units' positions lie farther apart than those which they enter: these have not all the same
        kernel, and this is one of them.
    typical_of : tuple of str
        The layers of the run whose values are typical.
    labels : tuple of str
        What its units are called, where they have names: classes, or colours of the image.
    """

    layer: str
    alias: str
    kind: str
    channels: int
    opened: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    at: str = ""
    cut: bool = False
    whole: bool = False
    phased: bool = False
    typical_of: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


class ClassLink(NamedTuple):
    """A class whose score the unit changes: its number, and its name, "" where names are not known."""

    number: int
    name: str


@dataclass(frozen=True)
class LinksResult(Result):
    """The strongest links of one unit, by expanded weights (Cammarata, Olah et al., "Circuits", Distill 2020).

    A kernel is what the unit's value changes by if another one, at each position around it, is larger by 1. It goes
    through linear steps only, and is that of the inside of a map: biases and paddings do not count. What was not
    found, or not asked for, is None, and absent from the NPZ.

    Attributes
    ----------
    before_units : ndarray of int64, shape (K,)
        The units of the layer before that are shown: the strongest by weights, largest norm first, then those that
        are so by typical activation only.
    before_kernels : ndarray of float64, shape (K, kh, kw)
        Their expanded weights.
    before_norms, before_sums : ndarray of float64, shape (C,)
        For all units of the layer before, the kernel's L2 norm, and its sum.
    before_typical : ndarray of float64, shape (C,), or None
        The typical activation: the largest absolute value from the 0.01 to the 0.99 quantile of the run's sample;
        NaN where the run does not tell.
    before_by_weight, before_by_typical : ndarray of int64, shape (T,) and (T',), or None
        The strongest units by norm, and by norm times typical activation.
    before_turned : ndarray of bool, shape (K,), or None
        Units that are the more active the less the run's own is, for a scale between is negative: the run has the
        patches of its opposite.
    before_patches : ndarray of uint8, shape (K, P, side, side, 3), or None
        The patches that excite each most, out of the run.
    before_filled : ndarray of bool, shape (K, P), or None
        Whether there is such a patch.
    after_units, after_kernels, after_norms, after_sums, after_by_weight, after_turned, after_patches, after_filled
        The same of the layer after: what its units' values change by with this unit.
    unit_patches, unit_filled : ndarray or None
        The same of the unit itself: (P, side, side, 3) and (P,).
    class_weights : ndarray of float64, shape (classes,), or None
        What each class score gains if the unit is larger by 1 at every position of its map, where linear steps lead
        to the scores.
    network, layer, alias, layer_kind : str
    channels, unit : int
        Units of the layer, and which one this is about.
    before, after : Side or None
    before_missing, after_missing : str
        Why there is none; "" where there is one.
    raised, lowered : tuple of ClassLink
        The classes whose scores the unit raises and lowers most.
    called : str
        ``"class"``, or ``"channel"`` where nothing says that the network's outputs are classes.
    through : int
        How many non-linearities on a way were taken as open at most, if need was.
    run : str
        What the folder is called that typical activations and patches are out of; "" if none.
    input_shape : (int, int, int)
        Channels, height and width for which the network was followed.
    """

    kind: ClassVar[str] = "links"
    axes: ClassVar[dict[str, str]] = {
        "before_units": "sources",
        "before_kernels": "sources * *",
        "before_norms": "before_channels",
        "before_sums": "before_channels",
        "before_typical": "before_channels",
        "before_by_weight": "*",
        "before_by_typical": "*",
        "before_turned": "sources",
        "before_patches": "sources best * * 3",
        "before_filled": "sources best",
        "after_units": "targets",
        "after_kernels": "targets * *",
        "after_norms": "after_channels",
        "after_sums": "after_channels",
        "after_by_weight": "*",
        "after_turned": "targets",
        "after_patches": "targets best * * 3",
        "after_filled": "targets best",
        "unit_patches": "best * * 3",
        "unit_filled": "best",
        "class_weights": "classes",
    }
    ranges: ClassVar[dict[str, str]] = {
        "before_units": "0:before_channels",
        "before_kernels": "any",
        "before_norms": "any",
        "before_sums": "any",
        "before_typical": "any",
        "before_by_weight": "0:before_channels",
        "before_by_typical": "0:before_channels",
        "after_units": "0:after_channels",
        "after_kernels": "any",
        "after_norms": "any",
        "after_sums": "any",
        "after_by_weight": "0:after_channels",
        "class_weights": "any",
        "channels": "1…",
        "unit": "0:channels",
        "called": "class | channel",
        "through": "0…",
        "input_shape": "1…1e9",
    }

    before_units: NDArray[np.int64] | None
    before_kernels: Floats | None
    before_norms: Floats | None
    before_sums: Floats | None
    before_typical: Floats | None
    before_by_weight: NDArray[np.int64] | None
    before_by_typical: NDArray[np.int64] | None
    before_turned: NDArray[np.bool_] | None
    before_patches: NDArray[np.uint8] | None
    before_filled: NDArray[np.bool_] | None
    after_units: NDArray[np.int64] | None
    after_kernels: Floats | None
    after_norms: Floats | None
    after_sums: Floats | None
    after_by_weight: NDArray[np.int64] | None
    after_turned: NDArray[np.bool_] | None
    after_patches: NDArray[np.uint8] | None
    after_filled: NDArray[np.bool_] | None
    unit_patches: NDArray[np.uint8] | None
    unit_filled: NDArray[np.bool_] | None
    class_weights: Floats | None
    network: str
    layer: str
    alias: str
    layer_kind: str
    channels: int
    unit: int
    before: Side | None
    after: Side | None
    before_missing: str
    after_missing: str
    raised: tuple[ClassLink, ...]
    lowered: tuple[ClassLink, ...]
    called: str
    through: int
    run: str
    input_shape: tuple[int, int, int]

    def fault(self) -> str:
        """Return which of its parts do not belong together."""
        for name in ("before", "after"):
            problem = self._side_fault(name)
            if problem:
                return problem
        if (self.unit_patches is None) != (self.unit_filled is None):
            return "unit_patches and unit_filled are not both there"
        classes = 0 if self.class_weights is None else len(self.class_weights)
        if any(not 0 <= one.number < classes for one in (*self.raised, *self.lowered)):
            return "raised or lowered names a class without a weight"
        return ""

    def _side_fault(self, name: str) -> str:
        side: Side | None = getattr(self, name)
        every = ("units", "kernels", "norms", "sums", "by_weight")
        arrays = {one: getattr(self, f"{name}_{one}") for one in every}
        missing = [f"{name}_{one}" for one, array in arrays.items() if (array is None) != (side is None)]
        if missing:
            return f"{missing[0]} is {'missing' if side is not None else 'there without ' + name}"
        if side is None:
            return ""
        if len(arrays["norms"]) != side.channels or len(side.labels) not in (0, side.channels):
            return f"{name} has another number of units than {name}_norms or its labels"
        orders = [("by_weight", arrays["by_weight"])]
        orders += [("by_typical", self.before_by_typical)] if name == "before" else []
        for order, units in orders:
            if units is not None and not np.isin(units, arrays["units"]).all():
                return f"{name}_{order} names a unit without a kernel"
        patches = [getattr(self, f"{name}_{one}") for one in ("patches", "filled", "turned")]
        if len({one is None for one in patches}) > 1:
            return f"of {name}_patches, {name}_filled and {name}_turned some are missing"
        if name == "before" and (self.before_typical is None) != (self.before_by_typical is None):
            return "before_typical and before_by_typical are not both there"
        return ""

    def shares(self, side: str, typical: bool = False) -> Floats:
        """Return for each unit of the layer ``"before"`` or ``"after"`` its norm over the sum of all norms.

        With `typical` each norm counts times the typical activation, where there is one.
        """
        norms = getattr(self, f"{side}_norms")
        found = np.zeros(0) if norms is None else np.asarray(norms, dtype=np.float64)
        # What a network computed may be as large as numbers are: then shares are NaN.
        with np.errstate(all="ignore"):
            if typical and self.before_typical is not None:
                found = found * np.where(np.isnan(self.before_typical), 0.0, self.before_typical)
            total = float(found.sum())
            return found / total if total > 0 else found

    def summary(self) -> dict[str, Any]:
        """Return the facts, and the strongest links with their numbers."""
        told = {**super().summary()}
        for name, one in (("before", self.before), ("after", self.after)):
            told[name] = None if one is None else one._asdict()
        for name, side, which in (
            ("before_strongest", "before", self.before_by_weight),
            ("before_strongest_by_typical", "before", self.before_by_typical),
            ("after_strongest", "after", self.after_by_weight),
        ):
            if which is not None:
                told[name] = self._listed(side, which, typical=name.endswith("typical"))
        if self.class_weights is not None:
            told["class_links"] = {
                name: [
                    {**one._asdict(), "weight": _finite(self.class_weights[one.number])}
                    for one in getattr(self, name)
                ]
                for name in ("raised", "lowered")
            }
        return told

    def _listed(self, side: str, units: NDArray[np.int64], *, typical: bool) -> list[dict[str, Any]]:
        norms, sums = getattr(self, f"{side}_norms"), getattr(self, f"{side}_sums")
        shares = self.shares(side, typical)
        typicals = {"typical": self.before_typical} if typical and self.before_typical is not None else {}
        return [
            {
                "unit": unit,
                "norm": _finite(norms[unit]),
                "sum": _finite(sums[unit]),
                "share": _finite(shares[unit]),
                **{name: _finite(values[unit]) for name, values in typicals.items()},
            }
            for unit in units.tolist()
        ]


_LEVELS = 127

_TABLE = ("units", "shares", "kernels", "peaks", "sizes", "of")


@dataclass(frozen=True)
class LinksTableResult(Result):
    """The strongest links of several units of a layer, small: kernels in 255 levels, and no patches.

    What was not found of any unit is None, and absent from the NPZ.

    Attributes
    ----------
    table_units : ndarray of int64, shape (units,)
        Whose links these are.
    before_units : ndarray of int64, shape (units, K), or None
        For each the units of the layer before with the largest kernels, by L2 norm, largest first; -1 where no more
        have any weight.
    before_shares : ndarray of float32, shape (units, K), or None
        A kernel's norm over the sum of those of all of that layer's units, with the sign of the kernel's sum.
    before_kernels : ndarray of int8, shape (units, K, kh, kw), or None
        Expanded weights, in 127ths of `before_peaks`; those that are smaller than others fill the top left corner.
    before_peaks : ndarray of float32, shape (units,), or None
        The largest absolute weight of a unit's kernels.
    before_sizes : ndarray of int64, shape (units, 2), or None
        Rows and columns of a unit's kernels.
    before_of : ndarray of int64, shape (units,), or None
        Which of `before` the links are to; -1 where there is none.
    after_units, after_shares, after_kernels, after_peaks, after_sizes, after_of
        The same of the layer after: what its units' values change by with this unit.
    raised, lowered : ndarray of int64, shape (units, R), or None
        The classes whose scores a unit raises, and lowers, most, where linear steps lead to these; -1 where no more
        are.
    raised_weights, lowered_weights : ndarray of float32, shape (units, R), or None
        What such a score gains if the unit is larger by 1 at every position of its map.
    network, layer, alias, layer_kind : str
    channels : int
        Units of the layer.
    before, after : tuple of Side
        The layers at the other ends.
    before_missing, after_missing : str
        Why there is none for some unit; "" where all have one.
    classes : tuple of ClassLink
        Those that are raised or lowered.
    called : str
        As in `LinksResult`.
    """

    kind: ClassVar[str] = "links_table"
    axes: ClassVar[dict[str, str]] = {
        "table_units": "units",
        "raised": "units strongest",
        "lowered": "units strongest",
        "raised_weights": "units strongest",
        "lowered_weights": "units strongest",
        **{
            f"{side}_{name}": axes
            for side in ("before", "after")
            for name, axes in zip(
                _TABLE,
                (
                    f"units {side}_top",
                    f"units {side}_top",
                    f"units {side}_top * *",
                    "units",
                    "units 2",
                    "units",
                ),
                strict=True,
            )
        },
    }
    ranges: ClassVar[dict[str, str]] = {
        "table_units": "0:channels",
        "raised": "-1…",
        "lowered": "-1…",
        "raised_weights": "any",
        "lowered_weights": "any",
        **{
            f"{side}_{name}": range_
            for side in ("before", "after")
            for name, range_ in (
                ("units", "-1…"),
                ("shares", "any"),
                ("kernels", "any"),
                ("peaks", "any"),
                ("sizes", "1…"),
                ("of", "-1…"),
            )
        },
        "channels": "1…",
        "called": "class | channel",
    }

    table_units: NDArray[np.int64]
    before_units: NDArray[np.int64] | None
    before_shares: NDArray[np.float32] | None
    before_kernels: NDArray[np.int8] | None
    before_peaks: NDArray[np.float32] | None
    before_sizes: NDArray[np.int64] | None
    before_of: NDArray[np.int64] | None
    after_units: NDArray[np.int64] | None
    after_shares: NDArray[np.float32] | None
    after_kernels: NDArray[np.int8] | None
    after_peaks: NDArray[np.float32] | None
    after_sizes: NDArray[np.int64] | None
    after_of: NDArray[np.int64] | None
    raised: NDArray[np.int64] | None
    lowered: NDArray[np.int64] | None
    raised_weights: NDArray[np.float32] | None
    lowered_weights: NDArray[np.float32] | None
    network: str
    layer: str
    alias: str
    layer_kind: str
    channels: int
    before: tuple[Side, ...]
    after: tuple[Side, ...]
    before_missing: str
    after_missing: str
    classes: tuple[ClassLink, ...]
    called: str

    def fault(self) -> str:
        """Return which of its parts do not belong together."""
        for name in ("before", "after"):
            problem = self._side_fault(name)
            if problem:
                return problem
        some = (self.raised, self.lowered, self.raised_weights, self.lowered_weights)
        if len({one is None for one in some}) > 1:
            return "of raised, lowered and their weights some are missing"
        named = [-1, *(one.number for one in self.classes)]
        if any(one is not None and not np.isin(one, named).all() for one in (self.raised, self.lowered)):
            return "raised or lowered holds a class without a name"
        return ""

    def _side_fault(self, name: str) -> str:
        sides: tuple[Side, ...] = getattr(self, name)
        arrays = {one: getattr(self, f"{name}_{one}") for one in _TABLE}
        lost = [f"{name}_{one}" for one, array in arrays.items() if (array is None) == bool(sides)]
        if lost:
            return f"{lost[0]} is {'missing' if sides else 'there without ' + name}"
        if not sides:
            return ""
        if arrays["of"].max() >= len(sides):
            return f"{name}_of names no layer of {name}"
        counts = np.array([*(one.channels for one in sides), 0])
        if (arrays["units"] >= counts[arrays["of"]][:, None]).any():
            return f"{name}_units names a unit that the layer has not"
        if (arrays["sizes"] > arrays["kernels"].shape[2:]).any():
            return f"{name}_sizes is larger than {name}_kernels"
        return ""

    def kernels(self, side: str, row: int) -> Floats:
        """Return the kernels of a unit by its place, (K, kh, kw); `side` is ``"before"`` or ``"after"``."""
        found, peaks, sizes = (getattr(self, f"{side}_{one}") for one in ("kernels", "peaks", "sizes"))
        if found is None:
            return np.zeros((0, 1, 1))
        height, width = sizes[row].tolist()
        values: Floats = found[row, :, :height, :width] * (float(peaks[row]) / _LEVELS)
        return values


def in_levels(kernels: Floats) -> tuple[NDArray[np.int8], np.float32]:
    """Return kernels as levels of -127 to 127, and what the outermost is worth; NaN counts as 0."""
    most = float(np.finfo(np.float32).max)
    known = np.clip(np.nan_to_num(kernels, nan=0.0), -most, most)
    peak = float(np.abs(known).max(initial=0.0))
    levels: NDArray[np.int8] = np.rint(known / (peak or 1.0) * _LEVELS).astype(np.int8)
    return levels, np.float32(peak)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
