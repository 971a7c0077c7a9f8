"""Contrast normalization of feature maps, as differentiable functions of tensors.

A Gaussian window around every position weighs its surroundings.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from netviz.errors import LayerError
from netviz.images import Photo
from netviz.models import Layer, Model

ACROSS = ("maps", "each")

_SHORT_ONE, _SHORT_MANY = 512, 40
"""Side of a map up to which multiplying by a matrix blurs it sooner than a convolution does, on the CPU: of a single
map, and of many."""


def default_sigma(window: int) -> float:
    """Return the Gaussian's standard deviation for a window, in positions: as 1.591 is to 9 (Jarrett et al.)."""
    return 1.591 * window / 9


def check_window(window: int, sigma: float | None, across: str) -> None:
    """Reject a window that is no window.

    Raises
    ------
    ValueError
        If `window` is not odd and positive, `sigma` not positive and finite, or `across` unknown.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window must be odd and positive, not {window}")
    if sigma is not None and not 0 < sigma < float("inf"):
        raise ValueError(f"sigma must be positive, not {sigma}")
    if across not in ACROSS:
        raise ValueError(f"across must be 'maps' or 'each', not {across!r}")


class Window:
    """The Gaussian-weighted mean over a window, its weights summing to 1 also at the border."""

    def __init__(self, window: int, sigma: float | None, across: str, maps: Tensor) -> None:
        check_window(window, sigma, across)
        height, width = maps.shape[2:]
        if window > min(height, width):
            raise ValueError(
                f"window {window} is larger than the maps ({height}×{width}); choose a smaller one"
            )
        sigma = default_sigma(window) if sigma is None else sigma
        self.across = across
        self.reach = window // 2
        at = torch.arange(-self.reach, self.reach + 1, dtype=torch.float64, device="cpu")
        kernel = torch.exp(-at.square() / (2 * sigma**2))
        self.kernel = (kernel / kernel.sum()).to(maps)
        rows, columns = self._band(height), self._band(width)
        self.inside = torch.outer(rows.sum(1), columns.sum(1)).reciprocal()
        self.rows = rows / rows.sum(1, keepdim=True)
        self.columns = columns / columns.sum(1, keepdim=True)

    def _band(self, length: int) -> Tensor:
        """Return the matrix that weights a row of positions, what lies outside being left out."""
        at = torch.arange(length, device=self.kernel.device)
        distance = at[None] - at[:, None] + self.reach
        reached = (distance >= 0) & (distance <= 2 * self.reach)
        return torch.where(reached, self.kernel[distance.clamp(0, 2 * self.reach)], 0.0)

    def __call__(self, values: Tensor) -> Tensor:
        """Return the local mean of each of the maps (N, C, H, W)."""
        channels = values.shape[1]
        short = max(values.shape[2:]) <= (_SHORT_ONE if channels == 1 else _SHORT_MANY)
        # A GPU may run a convolution of one channel in reduced precision; a depthwise one it does not.
        if short or (channels == 1 and values.device.type != "cpu"):
            return self.rows @ values @ self.columns.T
        down = self.kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
        across = self.kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
        blurred = F.conv2d(values, down, padding=(self.reach, 0), groups=channels)
        return F.conv2d(blurred, across, padding=(0, self.reach), groups=channels) * self.inside


METHODS = ("lcn", "lrn")

CONSTANTS = ("paper", "pytorch")

_PIECE = {"maps": 2**21, "each": 2**18}
"""Values worked on at a time, on the CPU: they are to stay in its cache, next to what is made of them on the way."""

_BLOCK = 16
"""A CPU's depthwise convolution takes maps by so many, and is several times slower on another number."""


class Local(NamedTuple):
    """What the maps are like around each position.

    Attributes
    ----------
    mean, std : Tensor of shape (N, 1, H, W), or (N, C, H, W) where each map is by itself
        Weighted mean of the window, and root of the weighted mean of ``(x - mean)²``, where each position of the
        window has its own mean subtracted.
    floor : Tensor of shape (N, 1, 1, 1) or (N, C, 1, 1)
        The mean of `std` over the image: the least that local contrast normalization divides by.
    """

    mean: Tensor
    std: Tensor
    floor: Tensor


def normalize(
    maps: Tensor,
    *,
    method: str = "lcn",
    window: int = 7,
    sigma: float | None = None,
    across: str = "maps",
    constants: str = "paper",
) -> Tensor:
    """Normalize the contrast of feature maps.

    Parameters
    ----------
    maps : Tensor of shape (N, C, H, W)
        Floating point, on any device.
    method : {"lcn", "lrn"}
        Local contrast normalization (see `local_contrast`), or local response normalization over five neighbouring
        maps (see `local_response`, also for other sizes).
    window, sigma, across
        For ``lcn``, as for `local_contrast`.
    constants : {"paper", "pytorch"}
        For ``lrn``, as for `local_response`.

    Returns
    -------
    Tensor of shape (N, C, H, W)
        Of the type of `maps`, and differentiable with respect to them.

    Raises
    ------
    ValueError
        If an argument is none of the values named here, or the window is larger than the maps.
    """
    if method == "lcn":
        return local_contrast(maps, window=window, sigma=sigma, across=across)
    if method == "lrn":
        return local_response(maps, constants=constants)
    raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")


def local_contrast(
    maps: Tensor, *, window: int = 7, sigma: float | None = None, across: str = "maps"
) -> Tensor:
    """Subtract the local mean and divide by the local standard deviation (Jarrett et al., ICCV 2009).

    ``v = x - mean_w(x)``, ``s = sqrt(mean_w(v²))``, ``y = v / max(c, s)``, where ``mean_w`` is the Gaussian-weighted
    mean over a window (and over all maps, for ``across="maps"``) and ``c`` the mean of ``s`` over the image. At the
    border the window keeps only what lies inside, and its weights still sum to 1. A constant input gives exactly 0.

    Parameters
    ----------
    maps : Tensor of shape (N, C, H, W)
        Floating point; half precision is computed in single. Where one value of an image is NaN or infinite, the
        whole image (for ``across="each"`` the whole map) becomes NaN.
    window : int
        Side of the window in positions, odd, at most the height and width of the maps.
    sigma : float, optional
        Standard deviation of the Gaussian, in positions; by default `default_sigma`.
    across : {"maps", "each"}
        Whether the window spans all maps, or each map is normalized by itself.

    Returns
    -------
    Tensor of shape (N, C, H, W)

    Raises
    ------
    ValueError
        If an argument is out of range, or the window larger than the maps.
    """
    values = _floating(maps)
    blur = Window(window, sigma, across, values)
    if values.requires_grad and torch.is_grad_enabled():
        return _divide(*_centre(values, blur)).to(maps.dtype)
    # One pass over main memory to make the result; everything else happens to pieces of it, in place.
    origin = values[:, :1, :1, :1] if across == "maps" else values[:, :, :1, :1]
    result = values.contiguous() - origin
    for piece in _pieces(result, across):
        _divide(*_centre(piece, blur, shifted=True), in_place=True)
    return result.to(maps.dtype)


def local_statistics(
    maps: Tensor, *, window: int = 7, sigma: float | None = None, across: str = "maps"
) -> Local:
    """Return mean and standard deviation around each position, as `local_contrast` takes them.

    Parameters
    ----------
    maps, window, sigma, across
        As for `local_contrast`.

    Returns
    -------
    Local
        In the units of `maps`.

    Raises
    ------
    ValueError
        As for `local_contrast`.
    """
    values = _floating(maps)
    blur = Window(window, sigma, across, values)
    origin = (values[:, :1, :1, :1] if across == "maps" else values[:, :, :1, :1]).detach()
    centred, scale, mean, std = _centre(values, blur)
    del centred
    floor = std.mean(dim=(2, 3), keepdim=True)
    return Local(*(one.to(maps.dtype) for one in (mean / scale + origin, std / scale, floor / scale)))


def local_response(
    maps: Tensor,
    *,
    size: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float | None = None,
    constants: str = "paper",
) -> Tensor:
    """Divide by the activity of neighbouring maps (Krizhevsky et al., 2012).

    ``y_i = x_i / (k + alpha * sum_j x_j²)^beta``, where ``j`` runs over the `size` maps around ``i``, as far as they
    exist: from ``i - size // 2`` to ``i + (size - 1) // 2``. For an odd size that is the paper's range; for an even
    one the paper's would hold one map more, and this is PyTorch's.

    Parameters
    ----------
    maps : Tensor of shape (N, C, H, W)
        Floating point; half precision is computed in single.
    size : int
        How many neighbouring maps count, the map itself included.
    alpha, beta : float
        The factor and the exponent.
    k : float, optional
        By default 2 for ``"paper"`` and 1 for ``"pytorch"``.
    constants : {"paper", "pytorch"}
        In the paper `alpha` multiplies the sum of squares; in ``torch.nn.LocalResponseNorm`` it is divided by `size`
        first.

    Returns
    -------
    Tensor of shape (N, C, H, W)

    Raises
    ------
    ValueError
        If `constants` is unknown or `size` is not positive.
    """
    if constants not in CONSTANTS:
        raise ValueError(f"constants must be 'paper' or 'pytorch', not {constants!r}")
    if size < 1:
        raise ValueError(f"size must be at least 1, not {size}")
    paper = constants == "paper"
    k = (2.0 if paper else 1.0) if k is None else k
    factor = size if paper else 1
    done = F.local_response_norm(_floating(maps), size, alpha=alpha * factor, beta=beta, k=k)
    return done.to(maps.dtype)


def _floating(maps: Tensor) -> Tensor:
    """Return the maps in at least single precision."""
    if maps.ndim != 4 or not maps.is_floating_point():
        raise ValueError(f"maps must be floating point (N, C, H, W), not {tuple(maps.shape)} of {maps.dtype}")
    return maps.float() if maps.dtype in (torch.float16, torch.bfloat16) else maps


def _pieces(maps: Tensor, across: str) -> Sequence[Tensor]:
    """Return views of parts that can be normalized one by one."""
    if maps.device.type != "cpu" or not maps.numel():
        return [maps]
    if across == "each":
        maps = maps.view(1, -1, *maps.shape[2:])
    axis = 1 if across == "each" else 0
    total = maps.shape[axis]
    count = max(1, _PIECE[across] * total // maps.numel())
    if across == "each":
        count = max(_BLOCK, count - count % _BLOCK)
    return [maps.narrow(axis, first, min(count, total - first)) for first in range(0, total, count)]


def _centre(maps: Tensor, blur: Window, shifted: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the maps less their local mean, in units of their own; those units; the local mean and deviation.

    With `shifted` the maps already have a value of each image subtracted, and are overwritten.
    """
    together = blur.across == "maps"
    every = (1, 2, 3) if together else (2, 3)
    if not shifted:
        # Nothing depends on where zero is, nor on the unit. Counted from one of its own values a constant is exactly
        # 0 and a large offset costs no precision; in a unit near its largest value no square is lost.
        maps = maps - (maps[:, :1, :1, :1] if together else maps[:, :, :1, :1]).detach()
    known = maps.detach()
    scale = _power(torch.maximum(known.amax(every, keepdim=True), -known.amin(every, keepdim=True)))
    maps = maps.mul_(scale) if shifted else maps * scale
    # All maps have the same window: their mean at each position is all that needs to be blurred.
    mean = blur(maps.mean(1, keepdim=True) if together else maps)
    maps = maps.sub_(mean) if shifted else maps - mean
    square = maps.square()
    variance = blur(square.mean(1, keepdim=True) if together else square)
    return maps, scale, mean, variance.sqrt_() if shifted else _root(variance)


def _divide(centred: Tensor, scale: Tensor, mean: Tensor, std: Tensor, in_place: bool = False) -> Tensor:
    """Divide by the deviation, or by its mean where that is larger."""
    floor = std.mean(dim=(2, 3), keepdim=True)
    # Where nothing differs all is 0 already; this divisor leaves it so, and its gradient 0 too.
    divisor = torch.maximum(std, floor.masked_fill(floor == 0, float("inf")))
    return centred.div_(divisor) if in_place else centred / divisor


def _power(peak: Tensor) -> Tensor:
    """Return the power of two that brings a number near 1: multiplying by it rounds nothing."""
    exponent = torch.frexp(peak).exponent.clamp(-120, 120)
    return torch.ldexp(torch.ones_like(peak), -exponent)


def _root(variance: Tensor) -> Tensor:
    """Return the square root, with gradient 0 instead of infinity at 0."""
    positive = variance > 0
    return torch.where(positive, torch.where(positive, variance, 1.0).sqrt(), 0.0)


def check_contrast(
    values: NDArray[np.float32], layer: Layer, model: Model, photo: Photo, window: int
) -> None:
    """Reject maps whose contrast cannot be normalized.

    Raises
    ------
    LayerError
        If the window does not fit into them, or a value is NaN or infinite.
    """
    height, width = values.shape[1:]
    if window > min(height, width):
        raise LayerError(
            f"window {window} is larger than the maps of {layer.name} ({layer.alias}), {height}×{width}; "
            f"choose a smaller window, a layer before it, or a larger --size"
        )
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise LayerError(
            f"layer {layer.name} ({layer.alias}) of {model.name} gives NaN or infinity on {photo.name} ({bad} of "
            f"{values.size} values), which no normalization mends; choose a layer before it"
        )
