"""Images with labels for their pixels: what is known of them, however they are laid out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from netviz.errors import ImageError
from netviz.images.read import MAX_PIXELS

Codes = NDArray[np.int32]


class Concept(NamedTuple):
    """A labelled thing that a unit may detect."""

    name: str
    category: str


@dataclass(frozen=True)
class Labels:
    """What is known of one image's pixels.

    A code is the number of a concept; with L concepts and C categories, ``L + c`` is a pixel that is none of the
    concepts of category c, and ``L + C`` one of which nothing is known (void).

    Attributes
    ----------
    codes : ndarray of int32, shape (P, h, w)
        A plane for each category that is labelled, and further ones where pixels have several concepts of one.
    first : ndarray of bool, shape (P,)
        Whether a plane is the first of its category.
    whole : ndarray of int64, shape (M,)
        Concepts of all of the image.
    shown : bool
        Whether the codes are of the pixels that the network is shown; else they are of the whole file's image.
    """

    codes: Codes
    first: NDArray[np.bool_]
    whole: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    shown: bool = False


class LabelSet(Protocol):
    """Images and their labels; it is sent to worker processes, so it holds names, not pixels.

    Attributes
    ----------
    kind : str
        Which layout.
    named : bool
        Whether the data name the concepts; if not, their number is only a limit.
    images : tuple of Path
    concepts : tuple of Concept
    categories : tuple of str
    """

    @property
    def kind(self) -> str:
        """Which layout it is."""

    @property
    def named(self) -> bool:
        """Whether the data name the concepts; if not, their number is only a limit."""

    @property
    def images(self) -> Sequence[Path]:
        """The image files."""

    @property
    def concepts(self) -> Sequence[Concept]:
        """What may be labelled."""

    @property
    def categories(self) -> Sequence[str]:
        """The kinds of concepts."""

    def files(self, number: int) -> Sequence[Path]:
        """Return the files that hold an image's labels."""

    def read(self, number: int, size: tuple[int, int], shown: NDArray[np.uint8]) -> Labels:
        """Return the labels of an image.

        Parameters
        ----------
        number : int
            Which image.
        size : (int, int)
            Height and width of the image file, in pixels.
        shown : ndarray of uint8, shape (H, W, 3)
            The image as the network sees it.

        Raises
        ------
        ImageError
            If the labels are missing, damaged, or do not fit.
        """


def read_mask(path: Path, size: tuple[int, int]) -> NDArray[np.int64]:
    """Read a mask of whole numbers, (h, w), for an image of this height and width.

    It may be smaller or larger than the image where it has the same aspect, to within one of its pixels.

    Raises
    ------
    ImageError
        If it cannot be read, is no mask, or has another aspect.
    """
    values = read_numbers(path)
    check_aspect(path, (values.shape[0], values.shape[1]), size)
    return values


def read_numbers(path: Path) -> NDArray[np.int64]:
    """Read a mask of whole numbers, (h, w), of any size.

    Raises
    ------
    ImageError
        If it cannot be read, or is no mask.
    """
    values = read_pixels(path)
    if values.ndim != 2 or values.dtype.kind not in "iub":
        raise ImageError(
            f"{path} is a picture in colour, no mask of class numbers; give one value to a pixel"
        )
    return values.astype(np.int64)


def read_pixels(path: Path) -> NDArray[np.generic]:
    """Read a PNG's own numbers, without its palette.

    Raises
    ------
    ImageError
        If it cannot be read.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(
                    f"{path} is {image.width}×{image.height} pixels, more than netviz decodes; scale it down"
                )
            return np.array(image)
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"no such label file: {path}; add it, or leave the image out") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path} is no image that Pillow can read; labels are PNG files") from None
    except Exception as error:  # Pillow raises what it likes on damaged files
        raise ImageError(f"{path} is damaged ({' '.join(str(error).split())[:80]}); get it again") from error


def check_aspect(path: Path, mask: tuple[int, int], image: tuple[int, int]) -> None:
    """Refuse a mask whose aspect is not its image's.

    Raises
    ------
    ImageError
        If so.
    """
    (height, width), (rows, cols) = image, mask
    # By how much one side would be off, in pixels of the mask or of the image, whichever are larger.
    if not rows or not cols or abs(rows * width - cols * height) > max(width, height, rows, cols):
        raise ImageError(
            f"{path} is {rows}×{cols} pixels (height × width), but its image is {height}×{width}: another aspect; "
            f"make the mask anew"
        )
