"""Concepts that need no labels: the eleven basic colour terms, measured from pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netviz.images.labelled.labels import Concept, Labels

PROTOTYPES = {
    "black": (0, 0, 0),
    "blue": (0, 0, 255),
    "brown": (139, 69, 19),
    "grey": (128, 128, 128),
    "green": (0, 128, 0),
    "orange": (255, 165, 0),
    "pink": (255, 192, 203),
    "purple": (128, 0, 128),
    "red": (255, 0, 0),
    "white": (255, 255, 255),
    "yellow": (255, 255, 0),
}
"""The eleven basic colour terms (Berlin and Kay, 1969), each with the sRGB colour that CSS gives the name; brown,
which CSS sets nearly at red, with its ``saddlebrown``."""

COLOURLESS = 4
"""Levels of 256. Where no pixel's bands differ by more, the photograph is in black and white, but for rounding."""


@dataclass(frozen=True)
class Colours:
    """Images without labels: every pixel is named by the nearest of eleven prototypes.

    Attributes
    ----------
    images : tuple of Path
    """

    images: tuple[Path, ...]
    kind: str = "colour"
    named: bool = True

    @property
    def concepts(self) -> Sequence[Concept]:
        """The eleven colours."""
        return tuple(Concept(name, "colour") for name in PROTOTYPES)

    @property
    def categories(self) -> Sequence[str]:
        """One: colour."""
        return ("colour",)

    def files(self, number: int) -> Sequence[Path]:
        """Return nothing: the labels are the image itself."""
        return ()

    def read(self, number: int, size: tuple[int, int], shown: NDArray[np.uint8]) -> Labels:
        """Return the colours of the pixels that the network sees; none of a photograph in black and white."""
        if int(np.ptp(shown, axis=2).max(initial=0)) <= COLOURLESS:
            codes = np.full((1, *shown.shape[:2]), len(PROTOTYPES) + len(self.categories), dtype=np.int32)
        else:
            codes = name_colours(shown)[None]
        return Labels(codes, np.ones(1, dtype=bool), shown=True)


def name_colours(pixels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Name every pixel by the nearest prototype, by the distance in CIELAB (D65).

    The prototypes, in sRGB: black 0 0 0, blue 0 0 255, brown 139 69 19, grey 128 128 128, green 0 128 0,
    orange 255 165 0, pink 255 192 203, purple 128 0 128, red 255 0 0, white 255 255 255, yellow 255 255 0.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
        sRGB.

    Returns
    -------
    ndarray of int32, shape (H, W)
        Places in `PROTOTYPES`, which is in alphabetic order but for grey before green.
    """
    from skimage.color import rgb2lab

    prototypes = rgb2lab(np.array([list(PROTOTYPES.values())], dtype=np.uint8))[0]
    lab = rgb2lab(pixels)
    # |x - p|² but for |x|², which is the same for every prototype.
    distance = (prototypes**2).sum(axis=1) - 2 * (lab @ prototypes.T)
    nearest: NDArray[np.int32] = np.argmin(distance, axis=-1).astype(np.int32)
    return nearest
