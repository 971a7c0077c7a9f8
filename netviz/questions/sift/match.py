"""How well SIFT, a layer, and the layer after contrast normalization find a place again in a warped image."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

from netviz.engines import Progress
from netviz.images import ImageLike
from netviz.models import ModelSpec
from netviz.questions.contrast.normalize import check_window
from netviz.questions.opening import ImageOptions
from netviz.questions.places import Reader, contrast_normalized, open_layer, require_places, sample
from netviz.questions.sift.keypoints import DIMENSIONS, Keypoints, detect
from netviz.questions.sift.measure import require_keypoints
from netviz.questions.sift.result import Found, MatchResult
from netviz.questions.sift.warps import Warp, inside, move, warp_image, warps

METHODS = ("SIFT", "layer", "normalized")

TOLERANCE = 3.0
"""Pixels between a matched keypoint and the true place within which the match is right."""

DRAWN = ("rotation", 20.0)
"""The warp whose matches are drawn: strong enough that methods differ."""

Floats = NDArray[np.float64]


class Comparison(NamedTuple):
    """What one warp gave.

    Attributes
    ----------
    rows : list of dict
        As `MatchResult.rows`, one a method.
    matches : dict of str to ndarray of float32, shape (M, 5)
        By method: row and column in the image, in the warped image, and 1 if right.
    """

    rows: list[Found]
    matches: dict[str, NDArray[np.float32]]


class Described(NamedTuple):
    """An image's keypoints, and each method's descriptors (K, D) of them."""

    keypoints: Keypoints
    descriptors: dict[str, NDArray[np.float32]]

    def at(self, chosen: NDArray[np.bool_]) -> "Described":
        """Return some of them."""
        return Described(
            self.keypoints.at(chosen), {name: values[chosen] for name, values in self.descriptors.items()}
        )


def match(
    image: ImageLike,
    *,
    layer: str,
    model: ModelSpec = "mobilenet_v2",
    window: int = 7,
    progress: Progress | None = None,
    **options: Unpack[ImageOptions],
) -> MatchResult:
    """Warp an image in known ways and match its keypoints, by SIFT, by a layer, and by the normalized layer.

    In the image and in each warp of it SIFT finds keypoints, each place counted once; those whose true place lies
    outside the other image, or in what the warp had to fill, are left out on both sides. The network runs on each
    warped image. Two keypoints match if each is the other's nearest by Euclidean distance, and match rightly if the
    second is within 3 pixels of the first one's true place.

    Parameters
    ----------
    image : str, Path, Photo, PIL image, ndarray or Tensor
        An image file, ``skimage:NAME``, or an image already read.
    layer : str
        Name, alias, glob, or ``-1`` for the last layer with maps.
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    size : (int, int), optional
        Input height and width in pixels, if not the network's own; larger images have more keypoints.
    window : int
        Side of the contrast normalization's Gaussian window in positions of the layer, odd.
    trust, weights
        As for `netviz.load`.
    seed : int
        Draws the perspective warps, and untrained weights.
    progress : callable, optional
        Called with what is being done, how many steps are done, and of how many.
    **options
        As for `netviz.load`; `size` as for `netviz.layers`, `fit` as for `netviz.maps`.

    Returns
    -------
    MatchResult

    Raises
    ------
    ImageError
        If the image cannot be read, is too small for the network, or SIFT finds no keypoint in it.
    LayerError
        If there is no such layer, or it cannot describe a place.
    ModelError
        If MODEL cannot be opened or cannot run.
    ValueError
        If `window` is out of range.
    """
    check_window(window, None, "maps")
    seed = options.get("seed", 0)
    reader = open_layer(image, layer, model, **options)
    original = describe(reader, reader.image, window, require_keypoints(reader))
    chosen = warps((reader.image.shape[0], reader.image.shape[1]), seed)
    rows: list[Found] = []
    drawn: dict[str, NDArray[np.float32]] = {}
    warped = reader.image
    for done, warp in enumerate(chosen):
        if progress is not None:
            progress(f"matching {reader.name}", done, len(chosen))
        picture = warp_image(reader.image, warp)
        found = compare(
            original, describe(reader, picture, window), warp, (picture.shape[0], picture.shape[1])
        )
        rows += found.rows
        if (warp.kind, warp.strength) == DRAWN:
            drawn, warped = found.matches, picture
    if progress is not None:
        progress(f"matching {reader.name}", len(chosen), len(chosen))
    return MatchResult(
        image=reader.image,
        warped=warped,
        homographies=np.stack([warp.homography for warp in chosen]),
        pair_sift=drawn["SIFT"],
        pair_layer=drawn["layer"],
        pair_normalized=drawn["normalized"],
        rows=tuple(rows),
        totals=totals(rows),
        keypoints=len(original.keypoints.points),
        tolerance=TOLERANCE,
        network=reader.opened.model.name,
        layer=reader.layer.name,
        alias=reader.layer.alias,
        layer_kind=reader.layer.kind,
        channels=reader.layer.channels,
        image_name=reader.name,
        **reader.opened.provenance(reader.photo, layer),
        window=window,
        field_size=reader.field.size,
        field_stride=require_places(reader.field).stride,
        field_status=reader.field.status,
        seed=seed,
        pair_kind=DRAWN[0],
        pair_strength=DRAWN[1],
    )


def describe(
    reader: Reader, image: NDArray[np.uint8], window: int, keypoints: Keypoints | None = None
) -> Described:
    """Describe an image (H, W, 3) by all methods at its own keypoints (detected if they are not given)."""
    found = detect(image) if keypoints is None else keypoints
    maps = reader.maps(image)
    normalized = contrast_normalized(maps, window, reader.layer.name)
    return Described(
        found,
        {
            "SIFT": found.descriptors.reshape(len(found.points), DIMENSIONS),
            "layer": sample(maps, reader.field, found.points).values.T,
            "normalized": sample(normalized, reader.field, found.points).values.T,
        },
    )


def compare(first: Described, second: Described, warp: Warp, shape: tuple[int, int]) -> Comparison:
    """Match an image's keypoints with those of its warp, by each method.

    Parameters
    ----------
    first, second : Described
        Of the image and of the warped image.
    warp : Warp
    shape : (int, int)
        Height and width of both images.

    Returns
    -------
    Comparison
    """
    first = first.at(inside(move(first.keypoints.points, warp.homography), shape))
    back: Any = np.linalg.inv(warp.homography)
    second = second.at(inside(move(second.keypoints.points, back), shape))
    places = move(first.keypoints.points, warp.homography)
    apart = np.hypot(*(places[:, None] - second.keypoints.points[None]).transpose(2, 0, 1))
    near = apart <= TOLERANCE
    rows: list[Found] = []
    matches = {}
    for method in first.descriptors:
        one, other = mutual(first.descriptors[method], second.descriptors[method]).T
        right = near[one, other]
        rows.append(
            {
                "kind": warp.kind,
                "strength": warp.strength,
                "method": method,
                "keypoints": len(places),
                "keypoints_warped": len(second.keypoints.points),
                "matchable": int(near.any(axis=1).sum()),
                "matches": len(one),
                "right": int(right.sum()),
                "precision": _share(int(right.sum()), len(one)),
            }
        )
        pairs = (first.keypoints.points[one], second.keypoints.points[other], right[:, None])
        matches[method] = np.concatenate(pairs, axis=1).astype(np.float32)
    return Comparison(rows, matches)


def mutual(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return the pairs (M, 2) of rows of two arrays (K, D) and (L, D) that are each other's nearest (Euclidean).

    Of equally near ones the first counts.
    """
    if not len(first) or not len(second):
        return np.zeros((0, 2), dtype=np.intp)
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
    there, back = squares.argmin(axis=1), squares.argmin(axis=0)
    found = np.flatnonzero(back[there] == np.arange(len(one)))
    return np.stack([found, there[found]], axis=1)


def totals(rows: Sequence[Found]) -> tuple[Found, ...]:
    """Sum rows over the warps of each kind, and over all."""
    found: list[Found] = []
    for kind in (*dict.fromkeys(row["kind"] for row in rows), "all"):
        for method in METHODS:
            some = [row for row in rows if row["method"] == method and kind in (row["kind"], "all")]
            matches, right = (sum(row["matches"] for row in some), sum(row["right"] for row in some))
            found.append(
                {
                    "kind": kind,
                    "method": method,
                    "warps": len(some),
                    "matchable": sum(row["matchable"] for row in some),
                    "matches": matches,
                    "right": right,
                    "precision": _share(right, matches),
                }
            )
    return tuple(found)


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
