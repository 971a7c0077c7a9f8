"""Photographs made by hand."""

import numpy as np

from netviz.images import Photo


def noise(height: int = 20, width: int = 24, seed: int = 0) -> Photo:
    """Random colours."""
    rng = np.random.default_rng(seed)
    return Photo("noise", rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
