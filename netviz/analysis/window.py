"""The Gaussian window around every position, as contrast normalization weights it."""

import torch
import torch.nn.functional as F
from torch import Tensor

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
