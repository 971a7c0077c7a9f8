"""How a picture is shown to the network while it is optimized: moved, scaled and turned a little, each step anew."""

import math
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_JITTER: Final = (8, 4)
"""By how many pixels a picture is shifted before and after it is turned, in all: half to each side."""
_SCALES: Final = tuple(1 + (step - 5) / 50 for step in range(11))
_ANGLES: Final = tuple(range(-10, 11))
_GREY: Final = 0.5
"""What is seen beyond the picture."""
_PARTS: Final = 8
"""How many parts of a picture each step of `parts` shows."""


def whole(pictures: Tensor, seed: int, step: int) -> Tensor:
    """Return pictures, (N, C, H, W) in 0…1, shifted, scaled and turned: all of a step alike.

    References
    ----------
    Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017.
    """
    random = np.random.default_rng([seed, step])
    first, last = (random.integers(-jitter // 2, jitter // 2 + 1, 2) for jitter in _JITTER)
    scale = float(random.choice(_SCALES))
    angle = math.radians(float(random.choice(_ANGLES)))
    side = np.array([pictures.shape[-1], pictures.shape[-2]])
    # Where a pixel of the view comes from, first in pixels, then in units of half the picture.
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) / scale
    move = turn @ last + first
    way = np.concatenate([turn * side / side[:, None], (2 * move / side)[:, None]], axis=1)
    return _seen(pictures, way[None])


def parts(pictures: Tensor, seed: int, step: int) -> Tensor:
    """Return parts of each picture, enlarged, with a little noise: (N · 8, C, H, W), a picture's one after the other.

    References
    ----------
    Fel et al., "Unlocking Feature Visualization for Deep Networks with MAgnitude Constrained Optimization",
    NeurIPS 2023.
    """
    random = np.random.default_rng([seed, step])
    share = random.uniform(0.5, 1.0, _PARTS)
    centre = np.clip(random.normal(0, 0.3, (_PARTS, 2)), share[:, None] - 1, 1 - share[:, None])
    turn = share[:, None, None] * np.eye(2)
    ways = np.concatenate([turn, centre[..., None]], axis=2)
    seen = _seen(pictures, ways)
    spread = torch.from_numpy(random.standard_normal((_PARTS, *seen.shape[1:]), dtype=np.float32)) * 0.05
    return (seen + spread.repeat(len(pictures), 1, 1, 1)).clamp(0, 1)


def _seen(pictures: Tensor, ways: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Tensor:
    """Return each picture as each affine map (V, 2, 3) shows it, (N · V, C, H, W)."""
    size = [len(ways), *pictures.shape[1:]]
    grid = F.affine_grid(torch.from_numpy(ways).to(pictures), size, align_corners=False)
    repeated = pictures.repeat_interleave(len(ways), dim=0) if len(ways) > 1 else pictures
    grids = grid.repeat(len(pictures), 1, 1, 1)
    return F.grid_sample(repeated - _GREY, grids, padding_mode="zeros", align_corners=False) + _GREY
