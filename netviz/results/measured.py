"""What makes each unit of a layer change, measured for many units with the same covered images."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from netviz.results.base import Result


@dataclass(frozen=True)
class MeasuredResult(Result):
    """The empirical fields of a layer's units: small, so that all units of a network fit on a disk.

    Attributes
    ----------
    units : ndarray of int64, shape (U,)
        The units measured, in the order of their numbers.
    sizes : ndarray of float32, shape (U,)
        Square root of the number of pixels whose mean change is at least `threshold` of the largest, in pixels of
        the network's input. NaN for a unit that no image activates, or that nothing changes.
    offsets : ndarray of float32, shape (U, 2)
        From the middle of the theoretical field to the middle of these pixels, y and x; NaN as above.
    largest : ndarray of float32, shape (U,)
        The largest mean change, in units of the activation; 0 as above.
    activations : ndarray of float32, shape (U,)
        The largest activation on these images.
    used : ndarray of int16, shape (U,)
        On how many images the unit was measured: those that give it a positive activation. 0 for a dead unit.
    maps : ndarray of uint8, shape (U, rows, columns)
        Mean change in squares of `cell` pixels, as a share of `largest`, in 255ths.
    theoretical : ndarray of float64, shape (3, 2)
        Rows size, stride, start of the theoretical field; columns y, x; NaN where unknown.
    network, layer, alias, layer_kind : str
    channels : int
        Units of the layer.
    status, reason : str
        Of the theoretical field.
    map_shape, input_shape : (int, int)
        Height and width of the layer's maps, in positions, and of the network's input, in pixels.
    cell : int
        Side of a square of `maps`, in pixels.
    corner : (int, int)
        Row and column of the first pixel of `maps`, from the pixel in the middle of the theoretical field.
    patch, stride : int
        The occluder's side and step, in pixels.
    images : tuple of str
        What the images are called.
    seed : int
        Of the random colours.
    threshold : float
        See `sizes`.
    """

    kind: ClassVar[str] = "measured"

    units: NDArray[np.int64]
    sizes: NDArray[np.float32]
    offsets: NDArray[np.float32]
    largest: NDArray[np.float32]
    activations: NDArray[np.float32]
    used: NDArray[np.int16]
    maps: NDArray[np.uint8]
    theoretical: NDArray[np.float64]
    network: str
    layer: str
    alias: str
    layer_kind: str
    channels: int
    status: str
    reason: str
    map_shape: tuple[int, int]
    input_shape: tuple[int, int]
    cell: int
    corner: tuple[int, int]
    patch: int
    stride: int
    images: tuple[str, ...]
    seed: int
    threshold: float

    @property
    def dead(self) -> list[int]:
        """Units that no image activates."""
        return [int(unit) for unit in self.units[self.used == 0]]

    @property
    def still(self) -> list[int]:
        """Units that are active, but that no occluder changes."""
        return [int(unit) for unit in self.units[(self.used > 0) & np.isnan(self.sizes)]]
