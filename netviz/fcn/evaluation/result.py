"""How well a network labels every pixel."""

from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, TypeAlias

from netviz.fcn.metrics import Metrics
from netviz.results.base import Arrays, Result

Metric: TypeAlias = Literal["pixel_accuracy", "mean_accuracy", "mean_iu", "frequency_weighted_iu"]

METRICS: Final[dict[Metric, str]] = {
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "mean_iu": "mean IU",
    "frequency_weighted_iu": "frequency weighted IU",
}
"""The four metrics, and what they are called."""

_BANDS = (1, 2, 5, 10, 20)


@dataclass(frozen=True)
class SegmentationResult(Result):
    """The four metrics of each stream, and the tables that they come from.

    Attributes
    ----------
    metrics : dict
        By stream, coarse to fine: ``pixel_accuracy``, ``mean_accuracy``, ``mean_iu`` and ``frequency_weighted_iu`` in
        0…1, and ``per_class``, the IU of each class that occurs.
    boundary : dict
        By stream the mean IU within 1, 2, … pixels of where labels change; empty if it was not asked for.
    streams, classes : tuple of str
    images : int
        How many were counted.
    pixels : int
        How many pixels have a class.
    network, origin : str
        The network's name, and where it comes from.
    input : str
        How images were brought to it.
    padded : int
        To multiples of how many pixels images' sides were continued (reflected) at most, as the network takes only
        these; its maps are cropped. 0 if they were not.
    tables : dict of ndarray of int64, shape (K, K)
        By stream, how many pixels of each true class (row) are called what (column).
    """

    kind: ClassVar[str] = "segmentation"
    axes: ClassVar[dict[str, str]] = {
        "tables": "classes classes",
    }
    ranges: ClassVar[dict[str, str]] = {
        "tables": "0…",
        "metrics": "0…1",
        "boundary": "0…1",
        "images": "0…",
        "pixels": "0…",
        "padded": "0…",
    }

    metrics: dict[str, Metrics]
    boundary: dict[str, tuple[float | None, ...]]
    streams: tuple[str, ...]
    classes: tuple[str, ...]
    images: int
    pixels: int
    network: str
    tables: Arrays
    padded: int = 0

    def fault(self) -> str:
        """Return which fact tells nothing of a stream."""
        for name in self.streams:
            if name not in self.tables:
                return f"{name!r:.60} is missing"
            if name not in self.metrics:
                return f"metrics tells nothing of {name!r:.60}"
            if self.boundary and len(self.boundary.get(name, ())) < _BANDS[-1]:
                return f"boundary tells too little of {name!r:.60}"
        return ""

    def told(self) -> dict[str, Any]:
        """Return the metrics of each stream, with its boundary curve where there is one: the command's JSON."""
        return {
            name: {**found, **({"boundary_mean_iu": list(self.boundary[name])} if self.boundary else {})}
            for name, found in self.metrics.items()
        }

    def table(self) -> str:
        """Return the metrics in percent as lines of text, a column for each stream."""
        width = max(len(name) for name in (*METRICS.values(), *self.classes, "boundary, 20 px")) + 2
        rows: list[tuple[str, list[float | None]]] = [
            (title, [self.metrics[name][key] for name in self.streams]) for key, title in METRICS.items()
        ]
        rows += [
            (f"  {name}", [self.metrics[stream]["per_class"].get(name) for stream in self.streams])
            for name in self.classes
        ]
        for radius in _BANDS if self.boundary else ():
            rows.append(
                (f"boundary, {radius} px", [self.boundary[name][radius - 1] for name in self.streams])
            )
        lines = [" " * width + "".join(f"{name:>8}" for name in self.streams)]
        for title, values in rows:
            cells = "".join(f"{'–' if one is None else format(100 * one, '.1f'):>8}" for one in values)
            lines.append(f"{title:<{width}}{cells}")
        lines.append(f"{self.images} images, {self.pixels:,} pixels, in percent; IU of each class")
        if self.padded:
            lines.append(f"images are continued (reflected) to multiples of {self.padded} pixels")
        return "\n".join(lines)
