"""Broden's layout: index.csv lists images with the files or numbers of their labels, by category."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from netviz.errors import ImageError
from netviz.images.labelled.labels import Concept, Labels, check_aspect, read_pixels


@dataclass(frozen=True)
class Broden:
    """Images labelled in several categories, by pixel or as a whole.

    A label that occurs in two categories is a concept in each. A pixel without a label in a category that its image
    is labelled in counts as none of that category's concepts, as in Network Dissection.

    Attributes
    ----------
    folder : Path
        Its ``images/`` holds the images and the label files.
    images : tuple of Path
    given : tuple of tuple of str
        For each image what index.csv says of each category: files and numbers, separated by ``;``.
    numbers : mapping of (int, int) to int
        From a label's number and its category's to the concept's.
    concepts : tuple of Concept
    categories : tuple of str
    """

    folder: Path
    images: tuple[Path, ...]
    given: tuple[tuple[str, ...], ...]
    numbers: Mapping[tuple[int, int], int]
    concepts: tuple[Concept, ...]
    categories: tuple[str, ...]
    kind: str = "broden"
    named: bool = True

    def files(self, number: int) -> Sequence[Path]:
        """Return the files that hold an image's labels."""
        parts = [part for given in self.given[number] for part in _parts(given) if not part.isdecimal()]
        return tuple(self.folder / "images" / part for part in parts)

    def read(self, number: int, size: tuple[int, int], shown: NDArray[np.uint8]) -> Labels:
        """Return the codes of all categories that an image is labelled in."""
        planes: list[NDArray[np.int32]] = []
        first: list[bool] = []
        whole = []
        for category, given in enumerate(self.given[number]):
            seen: list[NDArray[np.int32]] = []
            for part in _parts(given):
                if part.isdecimal():
                    whole.append(self._concept(int(part), category, self.images[number]))
                else:
                    seen.append(self._plane(self.folder / "images" / part, category, size))
            # The same label twice at one pixel is there once.
            rest = len(self.concepts) + category
            for at, plane in enumerate(seen):
                for before in seen[:at]:
                    plane[plane == before] = rest
            planes += seen
            first += [at == 0 for at in range(len(seen))]
        shapes = {plane.shape for plane in planes}
        if len(shapes) > 1:
            some = " and ".join(sorted("×".join(map(str, shape)) for shape in shapes))
            raise ImageError(
                f"the label files of {self.images[number]} have different sizes: {some}; make them alike"
            )
        stacked = np.stack(planes) if planes else np.zeros((0, *shown.shape[:2]), dtype=np.int32)
        unique = np.unique(np.array(whole, dtype=np.int64))
        return Labels(stacked, np.array(first, dtype=bool), unique)

    def _plane(self, path: Path, category: int, size: tuple[int, int]) -> NDArray[np.int32]:
        pixels = read_pixels(path)
        if pixels.ndim != 3 or pixels.shape[2] < 2 or pixels.dtype != np.uint8:
            raise ImageError(f"{path} is no label file of Broden: a label is red + 256 · green")
        check_aspect(path, (pixels.shape[0], pixels.shape[1]), size)
        values = pixels[..., 0].astype(np.int64) + 256 * pixels[..., 1].astype(np.int64)
        rest = len(self.concepts) + category
        found, where = np.unique(values, return_inverse=True)
        codes = [rest if not label else self._concept(label, category, path) for label in found.tolist()]
        plane: NDArray[np.int32] = np.array(codes, dtype=np.int32)[where.reshape(values.shape)]
        return plane

    def _concept(self, label: int, category: int, path: Path) -> int:
        concept = self.numbers.get((label, category))
        if concept is None:
            raise ImageError(
                f"{path} is labelled {label} as {self.categories[category]}, which label.csv does not "
                f"list; add it there"
            )
        return concept


def open_broden(folder: Path) -> Broden:
    """Open a folder with ``index.csv``, ``label.csv`` and ``category.csv``.

    Raises
    ------
    ImageError
        If one is missing or damaged, or they do not fit together.
    """
    categories = tuple(row["name"] for row in _table(folder / "category.csv", ("name",)))
    index = _table(folder / "index.csv", ("image", *categories))
    known = {*categories, "image", "split", "ih", "iw", "sh", "sw"}
    stray = [name for name in index[0] if name and name not in known]
    if stray:
        raise ImageError(
            f"{folder / 'index.csv'} has a column {stray[0]!r} that category.csv does not list; "
            f"add it there, or drop it"
        )
    numbers: dict[tuple[int, int], int] = {}
    concepts: list[Concept] = []
    for row in _table(folder / "label.csv", ("number", "name", "category")):
        if not row["number"].isdecimal():
            raise ImageError(
                f"{folder / 'label.csv'} has a label with the number {row['number']!r}; write a whole number"
            )
        if row["number"] == "0":
            continue
        for name in (re.sub(r"\(\d+\)$", "", part) for part in _parts(row["category"])):
            if name not in categories:
                raise ImageError(
                    f"{folder / 'label.csv'} puts {row['name']!r} into the category {name!r}, which "
                    f"category.csv does not list; add it there"
                )
            key = int(row["number"]), categories.index(name)
            if key in numbers:
                raise ImageError(f"{folder / 'label.csv'} lists the label {row['number']} twice; drop one")
            numbers[key] = len(concepts)
            concepts.append(Concept(row["name"], name))
    if not concepts:
        raise ImageError(f"{folder / 'label.csv'} lists no label; get it again")
    given = tuple(tuple(row[name] for name in categories) for row in index)
    for row in index:
        for part in (row["image"], *_parts(";".join(row[name] for name in categories))):
            if PurePosixPath(part).is_absolute() or ".." in PurePosixPath(part).parts or not part:
                raise ImageError(
                    f"{folder / 'index.csv'} names {part!r}, which is no file in images/; mend that line"
                )
    images = tuple(folder / "images" / row["image"] for row in index)
    return Broden(folder, images, given, numbers, tuple(concepts), categories)


def _table(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """Read a CSV file with these columns."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = [
                {name: value or "" for name, value in row.items() if isinstance(name, str)} for row in reader
            ]
            names = reader.fieldnames or ()
    except FileNotFoundError:
        raise ImageError(
            f"no such file: {path}; Broden's layout needs index.csv, label.csv and category.csv"
        ) from None
    except (OSError, ValueError, csv.Error) as error:
        raise ImageError(
            f"cannot read {path} as CSV ({' '.join(str(error).split())[:80]}); get it again"
        ) from error
    lost = [name for name in columns if name not in names]
    if lost:
        raise ImageError(f"{path} has no column {lost[0]!r}; it has {', '.join(names) or 'none'}")
    if not rows:
        raise ImageError(f"{path} has no line but its head; get it again")
    return rows


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]
