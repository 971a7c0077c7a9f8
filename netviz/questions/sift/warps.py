"""Warps of an image with exactly known places: turned, scaled, lit otherwise, seen at a slant."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netviz.questions.sift.keypoints import blur

ROTATIONS = (10.0, 20.0, 30.0, 45.0, 60.0, 90.0)

SCALES = (0.6, 0.75, 0.9, 1.1, 1.3, 1.6)

LIGHTS = (-1.0, -0.6, -0.3, 0.3, 0.6, 1.0)

SLANTS = (0.02, 0.05, 0.1, 0.15, 0.2)

Floats = NDArray[np.float64]

Pixels = NDArray[np.uint8]


class Warp(NamedTuple):
    """One way to change an image.

    Attributes
    ----------
    kind : str
        ``"rotation"``, ``"scale"``, ``"illumination"`` or ``"perspective"``.
    strength : float
        Degrees, counter-clockwise as seen; factor; from dark to bright (see `relight`); the largest shift of a corner
        along each axis, as share of the image's side.
    homography : ndarray of float64, shape (3, 3)
        From (x, y, 1) in the image to the same place in the warped image, in pixels; the middle of the first pixel
        is 0, 0.
    """

    kind: str
    strength: float
    homography: Floats


def warps(shape: tuple[int, int], seed: int = 0) -> tuple[Warp, ...]:
    """Return the warps of the experiment for images of a height and width, about their middle.

    Parameters
    ----------
    shape : (int, int)
    seed : int
        Draws the corners of the perspective warps.
    """
    still = np.eye(3)
    random = np.random.default_rng(seed)
    return (
        *(Warp("rotation", angle, rotation(angle, shape)) for angle in ROTATIONS),
        *(Warp("scale", factor, scaling(factor, shape)) for factor in SCALES),
        *(Warp("illumination", light, still) for light in LIGHTS),
        *(Warp("perspective", share, perspective(share, shape, random)) for share in SLANTS),
    )


def rotation(degrees: float, shape: tuple[int, int]) -> Floats:
    """Return a turn about the image's middle, counter-clockwise as seen."""
    angle = math.radians(degrees)
    # Exact for quarter turns, so that pixels fall on pixels.
    cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
    return _about_middle(np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]), shape)


def scaling(factor: float, shape: tuple[int, int]) -> Floats:
    """Return an enlargement about the image's middle."""
    return _about_middle(np.diag([factor, factor, 1.0]), shape)


def perspective(share: float, shape: tuple[int, int], random: np.random.Generator) -> Floats:
    """Return a homography that moves each corner by at most a share of the image's sides, along either axis."""
    height, width = shape
    corners = np.array([(0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)], dtype=np.float64)
    moved = corners + random.uniform(-share, share, (4, 2)) * (width, height)
    return _through(corners, moved)


def relight(image: Pixels, degree: float) -> Pixels:
    """Change the light: degree -1 is dark (gamma 2, gain 0.71, offset -0.08), 0 nothing, 1 bright (0.5, 1.41, 0.08).

    Values v from 0 to 1 become ``gain * v**gamma + offset``, cut at 0 and 1.
    """
    values = 2 ** (degree / 2) * (image / 255) ** (2**-degree) + 0.08 * degree
    return np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)


def warp_image(image: Pixels, warp: Warp) -> Pixels:
    """Return the warped image, of the same shape; what lies outside of the original is filled by its reflection.

    Resampled by cubic interpolation, after a blur where the image shrinks.
    """
    from skimage import transform

    if warp.kind == "illumination":
        return relight(image, warp.strength)
    height, width = image.shape[:2]
    factor = _growth(warp.homography, ((width - 1) / 2, (height - 1) / 2))
    values = image.astype(np.float64)
    if factor < 1:
        values = blur(values, (1 / factor - 1) / 2)
    resample: Any = transform.warp
    # skimage moves (x, y), from the warped image to the original.
    found: Floats = resample(
        values, np.linalg.inv(warp.homography), order=3, mode="symmetric", preserve_range=True, clip=True
    )
    pixels: Pixels = np.rint(found).clip(0, 255).astype(np.uint8)
    return pixels


def move(points: NDArray[np.floating], homography: Floats) -> Floats:
    """Return where points (K, 2), row and column, come to lie."""
    lifted = np.concatenate([points[:, ::-1], np.ones((len(points), 1))], axis=1) @ homography.T
    moved: Floats = lifted[:, 1::-1] / lifted[:, 2:]
    return moved


def inside(points: Floats, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Say which points (K, 2) lie between the middles of the outermost pixels."""
    within: NDArray[np.bool_] = np.all((points >= 0) & (points <= np.array(shape) - 1), axis=1)
    return within


def _about_middle(matrix: Floats, shape: tuple[int, int]) -> Floats:
    to_middle = np.eye(3)
    to_middle[:2, 2] = -(shape[1] - 1) / 2, -(shape[0] - 1) / 2
    return np.linalg.inv(to_middle) @ matrix @ to_middle


def _through(corners: Floats, moved: Floats) -> Floats:
    """Return the homography that takes four points (x, y) to four others."""
    rows, values = [], []
    for (x, y), (u, v) in zip(corners, moved, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.append(np.linalg.solve(np.array(rows), np.array(values)), 1.0).reshape(3, 3)


def _growth(homography: Floats, place: tuple[float, float]) -> float:
    """Return by how much lengths grow at a place (x, y), as the root of how much areas do."""
    depth = float(homography[2] @ (*place, 1.0))
    return math.sqrt(abs(float(np.linalg.det(homography))) / abs(depth) ** 3)
