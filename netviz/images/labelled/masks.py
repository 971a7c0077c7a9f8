"""One category of labels: a mask for each image, whose values are numbers of classes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netviz.errors import ImageError
from netviz.images.folder import list_images
from netviz.images.labelled.labels import Concept, Labels, read_mask

VOID_NAMES = ("void", "unlabelled", "unlabeled", "ignore", "ignored")
"""Classes with such a name are no concepts; their pixels count nowhere."""

VOID = 255
"""The value that means "not scored" in index masks."""

VOC = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
"""Pascal VOC's classes, by index."""


@dataclass(frozen=True)
class IndexMasks:
    """One category: a mask for each image, whose values are numbers of classes.

    Attributes
    ----------
    kind : str
    images, masks : tuple of Path
    codes : mapping of int to int
        From a mask's values to codes; a value that is not there is unknown.
    concepts : tuple of Concept
    categories : tuple of str
    named : bool
        Whether classes.txt names them.
    """

    kind: str
    images: tuple[Path, ...]
    masks: tuple[Path, ...]
    codes: Mapping[int, int]
    concepts: tuple[Concept, ...]
    categories: tuple[str, ...] = ("class",)
    named: bool = True

    def files(self, number: int) -> Sequence[Path]:
        """Return the mask's path."""
        return (self.masks[number],)

    def read(self, number: int, size: tuple[int, int], shown: NDArray[np.uint8]) -> Labels:
        """Return the codes of a mask's pixels."""
        path = self.masks[number]
        if not path.is_file():
            raise ImageError(
                f"{self.images[number]} has no label mask: no such file {path}; add it, or leave the image out"
            )
        values = read_mask(path, size)
        table = np.full(int(max(values.max(), *self.codes, 0)) + 1, -1, dtype=np.int32)
        table[list(self.codes)] = list(self.codes.values())
        codes = table[values]
        if codes.min() < 0:
            unknown = np.unique(values[codes < 0])
            raise ImageError(
                f"{path} holds unknown label values: {', '.join(map(str, unknown[:8]))}"
                f"{', …' if len(unknown) > 8 else ''}; "
                f"name them in classes.txt, or make them void with --void"
            )
        return Labels(codes[None], np.ones(1, dtype=bool))


def open_masks(folder: Path, void: Collection[int]) -> IndexMasks:
    """Open a folder with ``images/``, ``labels/`` and perhaps ``classes.txt``.

    Raises
    ------
    ImageError
        If there are no images, or no classes.
    """
    images = (
        tuple(Path(str(one)) for one in list_images([folder / "images"]))
        if (folder / "images").is_dir()
        else ()
    )
    if not images:
        raise ImageError(f"{folder} has labels/ but no images/; put the images there")
    masks = tuple(
        (folder / "labels" / one.relative_to(folder / "images")).with_suffix(".png") for one in images
    )
    names = folder / "classes.txt"
    if names.is_file():
        try:
            classes = [line.strip() for line in names.read_text(encoding="utf-8").splitlines()]
        except (OSError, ValueError) as error:
            raise ImageError(f"cannot read {names} as a list of classes; write one name a line") from error
        while classes and not classes[-1]:
            classes.pop()
        empty = next((number for number, name in enumerate(classes) if not name), None)
        if empty is not None or not classes:
            raise ImageError(
                f"{names} names no class in line {(empty or 0) + 1}; write one name a line, by index"
            )
    else:
        classes = [f"class {number}" for number in range(VOID)]
    return replace(_indexed("masks", images, masks, classes, void), named=names.is_file())


def open_voc(folder: Path, void: Collection[int]) -> IndexMasks:
    """Open a folder in Pascal VOC's layout: the images that its lists for segmentation name.

    Raises
    ------
    ImageError
        If it lists none.
    """
    lists = sorted((folder / "ImageSets" / "Segmentation").glob("*.txt"))
    try:
        stems = sorted(
            {line.strip() for one in lists for line in one.read_text(encoding="utf-8").splitlines()} - {""}
        )
    except (OSError, ValueError) as error:
        raise ImageError(
            f"cannot read the lists in {folder / 'ImageSets' / 'Segmentation'}; a list is text, a name in each line"
        ) from error
    if not lists:
        stems = sorted(path.stem for path in (folder / "SegmentationClass").glob("*.png"))
    if not stems:
        raise ImageError(f"{folder} lists no images; see ImageSets/Segmentation")
    images = tuple(folder / "JPEGImages" / f"{stem}.jpg" for stem in stems)
    masks = tuple(folder / "SegmentationClass" / f"{stem}.png" for stem in stems)
    return _indexed("voc", images, masks, VOC, void)


def _indexed(
    kind: str,
    images: tuple[Path, ...],
    masks: tuple[Path, ...],
    classes: Sequence[str],
    void: Collection[int],
) -> IndexMasks:
    """Return the masks, with the classes that are concepts numbered, and the rest void."""
    empty = {number for number, name in enumerate(classes) if name.casefold() in VOID_NAMES} | {VOID, *void}
    kept = [number for number in range(len(classes)) if number not in empty]
    if not kept:
        raise ImageError(f"all {len(classes)} classes are void; choose other values for --void")
    twice = next((name for at, name in enumerate(classes) if name in classes[:at] and at in kept), None)
    if twice is not None:
        raise ImageError(f"two classes are called {twice!r}; give each a name of its own")
    codes = {value: code for code, value in enumerate(kept)} | dict.fromkeys(empty, len(kept) + 1)
    return IndexMasks(kind, images, masks, codes, tuple(Concept(classes[number], "class") for number in kept))
