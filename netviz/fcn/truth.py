"""The true class of every pixel of an image, in a network's own numbers."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netviz.errors import ImageError
from netviz.images import Photo
from netviz.images.labelled import read_pixels
from netviz.images.labelled_masks import VOID, VOID_NAMES


def read_truth(
    path: Path,
    photo: Photo,
    size: tuple[int, int],
    classes: Sequence[str] | int,
    network: str,
    void: Collection[int] = (),
) -> NDArray[np.int32]:
    """Read a mask of class numbers and bring it to the pixels of a network's input.

    Parameters
    ----------
    path : Path
        If ``classes.txt`` lies beside the mask's folder, its lines name the mask's numbers.
    photo : Photo
        The image that it labels; the mask has its size.
    size : (int, int)
        Height and width of the network's input; each of its pixels takes the label at its middle.
    classes : sequence of str, or int
        The network's classes, or how many it has where they have no names.
    network : str
        What it is called.
    void : collection of int
        Values that count nowhere, besides 255 and classes called void.

    Returns
    -------
    ndarray of int32, shape `size`
        -1 is void.

    Raises
    ------
    ImageError
        If the mask cannot be read, has another size than its image, or values that are no classes.
    """
    values = read_pixels(path)
    if values.ndim != 2 or values.dtype.kind not in "iub":
        raise ImageError(
            f"{path} is a picture in colour, no mask of class numbers; give one value to a pixel"
        )
    height, width = photo.pixels.shape[:2]
    if values.shape != (height, width):
        raise ImageError(
            f"the mask {path} is {values.shape[0]}×{values.shape[1]} pixels (height × width), but {photo.name} is "
            f"{height}×{width}; give the mask of this image"
        )
    void = {VOID, *void}
    held, where = np.unique(values, return_inverse=True)
    codes, problems = _codes(path, [int(value) for value in held], classes, void)
    if problems:
        more = ", …" if len(problems) > 4 else ""
        known = len(classes) if not isinstance(classes, int) else classes
        raise ImageError(
            f"the mask {path} holds values that are no class of {network}: {', '.join(problems[:4])}{more} (its "
            f"classes are 0…{known - 1}); let them count nowhere with --void, or give another mask"
        )
    labelled = np.array(codes, dtype=np.int32)[where.reshape(values.shape)]
    rows, cols = (
        ((np.arange(count) + 0.5) * (whole / count)).astype(np.intp)
        for count, whole in zip(size, (height, width), strict=True)
    )
    taken: NDArray[np.int32] = labelled[np.ix_(rows, cols)]
    return taken


def _codes(
    path: Path, held: Sequence[int], classes: Sequence[str] | int, void: Collection[int]
) -> tuple[list[int], list[str]]:
    """Return the network's class of each value that a mask holds, and what is unknown, in words."""
    listed = path.absolute().parent.parent / "classes.txt"
    if isinstance(classes, int) or not listed.is_file():
        count = classes if isinstance(classes, int) else len(classes)
        codes = [-1 if value in void or not 0 <= value < count else value for value in held]
        return codes, [str(value) for value in held if value not in void and not 0 <= value < count]
    try:
        lines = [line.strip().casefold() for line in listed.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot read {listed} as a list of classes; write one name a line") from error
    number = {name.casefold(): code for code, name in enumerate(classes)}
    codes, problems = [], []
    for value in held:
        name = lines[value] if 0 <= value < len(lines) else ""
        codes.append(-1 if value in void or name in VOID_NAMES else number.get(name, -1))
        if value not in void and name not in VOID_NAMES and name not in number:
            problems.append(f"{value} ({name})" if name else str(value))
    return codes, problems
