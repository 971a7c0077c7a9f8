"""The CSV files of Network Dissection: a line for each unit, best first."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from netviz.errors import ResultError
from netviz.questions.dissect.result import IOU, Detection, DissectionResult, count_detectors

PARTS = ("label", "truth", "activation", "intersect", "iou")
"""What is told of each category: ``object-label``, ``object-truth`` and so on."""


class InCategory(NamedTuple):
    """A unit's best concept of one category.

    Attributes
    ----------
    label : str
    truth, activation, intersect : int
        Pixels of the concept, of the unit in images that the category is labelled in, and of both.
    iou : float
    """

    label: str
    truth: int
    activation: int
    intersect: int
    iou: float


@dataclass(frozen=True)
class DissectionTable:
    """What a CSV file of Network Dissection holds.

    Attributes
    ----------
    detections : tuple of Detection
        In the file's order; units are counted from 0, in the file from 1.
    categories : tuple of str
    best : tuple of dict of str to InCategory
        For each of the same units its best concept of each category.
    """

    detections: tuple[Detection, ...]
    categories: tuple[str, ...]
    best: tuple[dict[str, InCategory], ...]

    def counts(self, iou: float = IOU) -> dict[str, Any]:
        """Return the number of detectors and of the concepts that they detect: see `count_detectors`."""
        in_categories = (
            Detection(one.unit, category, found.label, found.iou)
            for one, best in zip(self.detections, self.best, strict=True)
            for category, found in best.items()
        )
        return count_detectors(
            self.detections, in_categories if self.categories else None, self.categories, iou
        )

    def summary(self, iou: float = IOU) -> dict[str, Any]:
        """Return what ``netviz report`` tells of it."""
        return {**self.counts(iou), "kind": "dissection", "categories": list(self.categories), "detect": iou}


def write_table(result: DissectionResult) -> bytes:
    """Return a result as CSV in the columns of Network Dissection.

    ``unit`` is counted from 1, as there; lines are sorted by ``score``, highest first. Numbers are written so that
    reading them gives the same numbers.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    columns = [f"{category}-{part}" for category in result.categories for part in PARTS]
    writer.writerow(["unit", "category", "label", "score", *columns])
    for one in sorted(result.detections(), key=lambda one: (-one.score, one.unit)):
        line: list[Any] = [one.unit + 1, one.category, one.label, one.score]
        for category, concept in enumerate(result.best[one.unit].tolist()):
            if concept < 0:
                line += [""] * len(PARTS)
                continue
            line += [
                result.concepts[concept][0],
                int(result.concept_area[concept]),
                int(result.unit_area[one.unit, category]),
                int(result.intersection[one.unit, concept]),
                float(result.iou[one.unit, concept]),
            ]
        writer.writerow(line)
    return text.getvalue().encode()


def read_table(path: str | Path) -> DissectionTable:
    """Read a CSV file of Network Dissection, netviz's own or another's.

    The columns ``label`` and ``score`` must be there, or those of categories; others may be missing, in any order.

    Raises
    ------
    ResultError
        If it is none.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
            names = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = names
    except FileNotFoundError:
        raise ResultError(f"no such file: {path}") from None
    except (OSError, ValueError, csv.Error) as error:
        raise ResultError(
            f"cannot read {path} as CSV ({' '.join(str(error).split())[:80]}); give what netviz dissect wrote"
        ) from error
    categories = tuple(
        name.removesuffix("-iou")
        for name in names
        if name.endswith("-iou") and f"{name.removesuffix('-iou')}-label" in names
    )
    if not categories and not {"label", "score"} <= set(names):
        some = ", ".join(names[:6]) or "none"
        raise ResultError(
            f"{path} is no table of Network Dissection: it lacks label and score; its columns: {some}"
        )
    detections, best = [], []
    for number, row in enumerate(rows, start=1):
        values = {
            str(name).strip(): (value or "").strip() for name, value in row.items() if isinstance(name, str)
        }
        try:
            found = {category: _category(values, category) for category in categories}
            detections.append(_detection(values, found, number))
        except ValueError as error:
            raise ResultError(f"{path} has a damaged line {number + 1} ({error}); get it again") from None
        best.append(found)
    if not detections:
        raise ResultError(f"{path} lists no unit; run netviz dissect again")
    return DissectionTable(tuple(detections), categories, tuple(best))


def _category(values: dict[str, str], category: str) -> InCategory:
    truth, activation, intersect = (
        int(_number(values.get(f"{category}-{part}", ""))) for part in ("truth", "activation", "intersect")
    )
    iou = _number(values.get(f"{category}-iou", ""))
    return InCategory(values.get(f"{category}-label", ""), truth, activation, intersect, iou)


def _detection(values: dict[str, str], found: dict[str, InCategory], number: int) -> Detection:
    unit = int(_number(values["unit"])) - 1 if values.get("unit") else number - 1
    if "score" in values and "label" in values:
        return Detection(unit, values.get("category", ""), values["label"], _number(values["score"]))
    category = max(found, key=lambda name: found[name].iou)
    return Detection(unit, category, found[category].label, found[category].iou)


def _number(text: str) -> float:
    """Read a number; nothing, and what NumPy writes for 0 / 0, is 0."""
    value = float(text or 0)
    if math.isinf(value):
        raise ValueError(f"{text!r} is no number of pixels")
    return 0.0 if math.isnan(value) else value
