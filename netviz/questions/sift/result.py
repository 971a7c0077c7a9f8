"""SIFT beside a layer: descriptors at the same places, and how well either finds a place again."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import NotRequired, TypedDict

from netviz.results.base import Result


@dataclass(frozen=True)
class SiftResult(Result):
    """SIFT's descriptors of an image, and what a layer says at the same places.

    Attributes
    ----------
    keypoints : ndarray of float32, shape (K, 2)
        Row and column in pixels of `image`; the middle of the first pixel is 0, 0.
    scales : ndarray of float32, shape (K,)
        Sigma of the blur at which the keypoint was found, in pixels. The 4×4 cells of the descriptor cover a square
        12 sigma wide.
    orientations : ndarray of float32, shape (K,)
        In radians from the direction of growing rows (down) to that of growing columns (right).
    patches : ndarray of uint8, shape (K, P, P, 3)
        The descriptor's square cut out of the image, its rows along the orientation; white outside of the image.
    descriptors : ndarray of float32, shape (K, 4, 4, 8)
        Row of cells (along the orientation), column of cells, and bin: bin b counts gradients at b · 45° from the
        orientation, in the sense of `orientations`. SIFT's bytes divided by 512: the length is close to 1.
    layer_raw, layer_normalized : ndarray of float32, shape (K, C)
        The layer's output at each keypoint, raw and after local contrast normalization of its maps.
    clamped : ndarray of bool, shape (K,)
        Whether a keypoint lies outside of the layer's outermost centres, so that the map's border stands for it.
    image : ndarray of uint8, shape (H, W, 3)
        The image as the network saw it.
    stage_orientations : ndarray of float32, shape (8, P, P)
        The first keypoint's patch as gradient magnitude by orientation, each between two bins.
    stage_cells : ndarray of float32, shape (8, 4, 4)
        These, weighted by SIFT's Gaussian and summed over cells; bin, row, column.
    stage_filters : ndarray of float32, shape (F, channels, kh, kw)
        Filters of the network's first convolution, red, green, blue where it sees colour; F = 0 where none does.
    stage_units : ndarray of int, shape (U,)
        The layer's units whose maps vary most.
    stage_maps, stage_normalized : ndarray of float32, shape (U, h, w)
        Their maps, raw and after contrast normalization.
    network, layer, alias, layer_kind : str
        The network's name; the layer's dotted name, classic alias and kind.
    channels : int
        Number of the layer's units.
    image_name : str
        What the image is called.
    window : int
        Side of the contrast normalization's Gaussian window, in positions of the layer.
    found : int
        How many keypoints SIFT found, counting each place once; the drawn ones are the largest, kept apart where
        there are enough.
    field_size, field_stride : tuple of float
        The layer's receptive field and the step between its positions, (y, x) in pixels.
    field_status : str
        ``"exact"`` or ``"upper_bound"``.
    first_conv : str
        Name of the convolution whose filters are shown, or "".
    convolutions, poolings, norms : int
        How many layers of these kinds run up to this layer.
    """

    kind: ClassVar[str] = "sift"
    axes: ClassVar[dict[str, str]] = {
        "keypoints": "points 2",
        "scales": "points",
        "orientations": "points",
        "patches": "points side side 3",
        "descriptors": "points 4 4 8",
        "layer_raw": "points channels",
        "layer_normalized": "points channels",
        "clamped": "points",
        "image": "* * 3",
        "stage_orientations": "8 side side",
        "stage_cells": "8 4 4",
        "stage_filters": "*? *? *? *?",
        "stage_units": "shown",
        "stage_maps": "shown * *",
        "stage_normalized": "shown * *",
    }
    bits: ClassVar[dict[str, int]] = {"stage_maps": 8, "stage_normalized": 8}
    ranges: ClassVar[dict[str, str]] = {
        "scales": "0…1e9",
        "descriptors": "0…",
        "layer_raw": "any",
        "layer_normalized": "any",
        "stage_filters": "any",
        "stage_units": "0:channels",
        "stage_maps": "any",
        "stage_normalized": "any",
        "channels": "1…",
        "window": "1…1e9",
        "found": "0…",
        "field_size": "0…1e9",
        "field_stride": "0…1e9",
        "field_status": "exact | upper_bound | global | unknown",
        "convolutions": "0…",
        "poolings": "0…",
        "norms": "0…",
    }

    keypoints: NDArray[np.float32]
    scales: NDArray[np.float32]
    orientations: NDArray[np.float32]
    patches: NDArray[np.uint8]
    descriptors: NDArray[np.float32]
    layer_raw: NDArray[np.float32]
    layer_normalized: NDArray[np.float32]
    clamped: NDArray[np.bool_]
    image: NDArray[np.uint8]
    stage_orientations: NDArray[np.float32]
    stage_cells: NDArray[np.float32]
    stage_filters: NDArray[np.float32]
    stage_units: NDArray[np.int64]
    stage_maps: NDArray[np.float32]
    stage_normalized: NDArray[np.float32]
    network: str
    layer: str
    alias: str
    layer_kind: str
    channels: int
    image_name: str
    window: int
    found: int
    field_size: tuple[float, float]
    field_stride: tuple[float, float]
    field_status: str
    first_conv: str
    convolutions: int
    poolings: int
    norms: int


class Found(TypedDict):
    """How often a method found places again: see `MatchResult`; a total is over so many warps, of any strength."""

    kind: str
    strength: NotRequired[float]
    warps: NotRequired[int]
    method: str
    keypoints: NotRequired[int]
    keypoints_warped: NotRequired[int]
    matchable: int
    matches: int
    right: int
    precision: float | None


@dataclass(frozen=True)
class MatchResult(Result):
    """How often SIFT, a layer, and the layer after contrast normalization find a place of the image again.

    Attributes
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        The image as the network saw it.
    warped : ndarray of uint8, shape (H, W, 3)
        The warped image of the pair that is drawn.
    homographies : ndarray of float64, shape (W, 3, 3)
        For each warp, in the order of `rows`: from (x, y, 1) in the image to the same place in the warped image.
    pair_sift, pair_layer, pair_normalized : ndarray of float32, shape (M, 5)
        The drawn pair's matches: row and column in the image, row and column in the warped image, and 1 if right.
    rows : tuple of dict
        One for each warp and method: ``kind``; ``strength`` (rotation: degrees; scale: factor; illumination: from -1
        to 1; perspective: largest shift of a corner in shares of the side); ``method``; ``keypoints`` and
        ``keypoints_warped`` (those whose true place lies in the other image); ``matchable`` (keypoints with one of
        the warped image's at their true place); ``matches``; ``right``; ``precision`` (right / matches, or None).
    totals : tuple of dict
        The same summed over the warps of each kind, and over all (``kind`` is ``"all"``).
    keypoints : int
        How many keypoints the image has, counting each place once.
    tolerance : float
        Pixels within which a match is right.
    network, layer, alias, layer_kind, channels, image_name, window
        As in `SiftResult`.
    field_size, field_stride, field_status
        As in `SiftResult`.
    seed : int
        What the perspective warps were drawn with.
    pair_kind, pair_strength : str, float
        The warp of the pair that is drawn.
    """

    kind: ClassVar[str] = "match"
    axes: ClassVar[dict[str, str]] = {
        "image": "height width 3",
        "warped": "height width 3",
        "homographies": "warps 3 3",
        "pair_sift": "*? 5",
        "pair_layer": "*? 5",
        "pair_normalized": "*? 5",
    }
    ranges: ClassVar[dict[str, str]] = {
        "keypoints": "0…",
        "tolerance": "0…",
        "channels": "1…",
        "window": "1…1e9",
        "field_size": "0…1e9",
        "field_stride": "0…1e9",
        "field_status": "exact | upper_bound | global | unknown",
    }

    image: NDArray[np.uint8]
    warped: NDArray[np.uint8]
    homographies: NDArray[np.float64]
    pair_sift: NDArray[np.float32]
    pair_layer: NDArray[np.float32]
    pair_normalized: NDArray[np.float32]
    rows: tuple[Found, ...]
    totals: tuple[Found, ...]
    keypoints: int
    tolerance: float
    network: str
    layer: str
    alias: str
    layer_kind: str
    channels: int
    image_name: str
    window: int
    field_size: tuple[float, float]
    field_stride: tuple[float, float]
    field_status: str
    seed: int
    pair_kind: str
    pair_strength: float
