"""The receptive field of a layer's units, up to three ways; and those of all units, measured on the same images."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from netviz.results.base import Result


@dataclass(frozen=True)
class FieldResult(Result):
    """What part of the image a layer's units can see, use, and react to.

    What was not asked for, or could not be computed, is None, and absent from the NPZ; `notes` say why.

    Attributes
    ----------
    theoretical : ndarray of float64, shape (3, 2)
        Rows size, stride, start; columns y, x; in pixels of the network's input. NaN where `status` is ``"unknown"``.
    image : ndarray of uint8, shape (H, W, 3)
        The first image as the network saw it: resized and cropped, in display colours.
    chart_layers, chart_status : ndarray of str, shape (L,)
        Every layer with maps, in running order: its alias, and the status of its field.
    chart_sizes : ndarray of float64, shape (L, 2)
        The size of its theoretical field, y and x, in pixels; NaN where unknown.
    chart_local : ndarray of float64, shape (L, 2), or None
        Of layers that see the whole image by attention, gates or statistics: the size without these, where it is
        known; else NaN.
    network, layer, alias, layer_kind : str
        The network's name; the layer's dotted name, classic alias and kind.
    channels : int
        How many units the layer has.
    units : tuple of int or None
        The units asked for; None stands for all.
    map_shape : (int, int)
        Height and width of the layer's maps, in positions.
    position : (int, int)
        Row and column, in the map, of the unit whose field is drawn.
    box : (int, int, int, int) or None
        Its theoretical field in the input: top, left, bottom, right in pixels, half open, not cut at the border.
    center : (float, float) or None
        The middle of that box, y and x; whole numbers are the centres of pixels.
    status : str
        ``"exact"``, ``"upper_bound"``, ``"global"`` or ``"unknown"``.
    reason : str
        Why the status is not exact, if there is something to say.
    input_shape : (int, int, int)
        Channels, height and width of the network's input.
    images : tuple of str
        What the images are called; the first is drawn.
    effective : ndarray of float32, shape (H, W), or None
        The mean over the images of the gradient, at each pixel of the input; see `netviz.geometry.effective`.
    gradient : str
        ``"absolute"`` or ``"positive"``: what of the gradient `effective` holds.
    effective_width : float or None
        Square root of the number of pixels above 4.55 % of the largest, in pixels.
    effective_ratio : float or None
        That width over the side of a square as large as the theoretical field.
    effective_sigma, effective_center : (float, float) or None
        Gaussian fit by moments: standard deviation and middle, y and x, in pixels.
    empirical : ndarray of float32, shape (U, H, W), or None
        The mean discrepancy of each unit of `empirical_units`; pixel (H // 2, W // 2) is the middle of the
        theoretical field at its most active position. See `netviz.questions.field.empirical.average`.
    empirical_units : tuple of int
        The units that were measured, without the dead.
    empirical_sizes : tuple of float
        The size of each, in pixels: the square root of the number of pixels above 25 % of its largest.
    empirical_images : tuple of tuple of str
        The images that each was measured on, those that activate it most, at most `top`.
    empirical_size, empirical_spread : float or None
        Mean and standard deviation of the sizes over the units, in pixels.
    empirical_quartiles : (float, float, float) or None
        25 %, 50 % and 75 % of the sizes.
    empirical_outside : float or None
        Largest relative change of an activation when everything outside of the theoretical field was replaced by
        noise: 0 but for rounding; None where nothing is outside.
    patch, stride, top : int
        The occluder's side and step, in pixels, and the number of images wanted per unit; 0 if not used.
    dead, still : tuple of int
        Units that no image activates, and units that no occluder changes: neither has an empirical field.
    notes : tuple of str
        What a person should know of this answer: what is missing, and why.
    """

    kind: ClassVar[str] = "field"
    axes: ClassVar[dict[str, str]] = {
        "theoretical": "3 2",
        "image": "height width 3",
        "chart_layers": "listed?",
        "chart_status": "listed?",
        "chart_sizes": "listed? 2",
        "chart_local": "listed? 2",
        "effective": "height width",
        "empirical": "empirical_units * *",
        "empirical_sizes": "empirical_units?",
    }
    bits: ClassVar[dict[str, int]] = {"effective": 16}
    ranges: ClassVar[dict[str, str]] = {
        "theoretical": "… or NaN",
        "chart_sizes": "0… or NaN",
        "chart_local": "0… or NaN",
        "channels": "1…",
        "units": "0:channels",
        "map_shape": "1…1e9",
        "position": "0…",
        "input_shape": "1…1e9",
        "status": "exact | upper_bound | global | unknown",
        "gradient": "absolute | positive",
        "effective": "any",
        "effective_width": "any",
        "effective_ratio": "any",
        "empirical": "any",
        "empirical_units": "0:channels",
        "empirical_sizes": "0…",
        "patch": "0…1e9",
        "stride": "0…",
        "top": "0…",
        "dead": "0:channels",
        "still": "0:channels",
    }

    theoretical: NDArray[np.float64]
    image: NDArray[np.uint8]
    chart_layers: NDArray[np.str_]
    chart_status: NDArray[np.str_]
    chart_sizes: NDArray[np.float64]
    network: str
    layer: str
    alias: str
    layer_kind: str
    channels: int
    units: tuple[int, ...] | None
    map_shape: tuple[int, int]
    position: tuple[int, int]
    box: tuple[int, int, int, int] | None
    center: tuple[float, float] | None
    status: str
    reason: str
    input_shape: tuple[int, int, int]
    images: tuple[str, ...]
    effective: NDArray[np.float32] | None = None
    gradient: str = "absolute"
    effective_width: float | None = None
    effective_ratio: float | None = None
    effective_sigma: tuple[float, float] | None = None
    effective_center: tuple[float, float] | None = None
    empirical: NDArray[np.float32] | None = None
    empirical_units: tuple[int, ...] = ()
    empirical_sizes: tuple[float, ...] = ()
    empirical_images: tuple[tuple[str, ...], ...] = ()
    empirical_size: float | None = None
    empirical_spread: float | None = None
    empirical_quartiles: tuple[float, float, float] | None = None
    empirical_outside: float | None = None
    patch: int = 0
    stride: int = 0
    top: int = 0
    dead: tuple[int, ...] = ()
    still: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    chart_local: NDArray[np.float64] | None = None

    @property
    def size(self) -> tuple[float, float]:
        """Height and width of the theoretical field, in pixels."""
        height, width = self.theoretical[0]
        return float(height), float(width)


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
    axes: ClassVar[dict[str, str]] = {
        "units": "measured?",
        "sizes": "measured?",
        "offsets": "measured? 2",
        "largest": "measured?",
        "activations": "measured?",
        "used": "measured?",
        "maps": "measured? * *",
        "theoretical": "3 2",
    }
    ranges: ClassVar[dict[str, str]] = {
        "units": "0:channels",
        "sizes": "0… or NaN",
        "offsets": "… or NaN",
        "used": "0…",
        "theoretical": "… or NaN",
        "status": "exact | upper_bound | global | unknown",
        "map_shape": "1…1e9",
        "input_shape": "1…1e9",
        "cell": "1…1e9",
        "patch": "1…1e9",
        "stride": "1…",
        "threshold": "0…1",
    }

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
