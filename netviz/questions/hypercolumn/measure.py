"""Deep jet: maps of several depths on one grid, as principal components and as clusters (k-means, repeatable)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

from netviz.errors import LayerError
from netviz.geometry.field import Field
from netviz.images import ImageLike, normalize
from netviz.interpolation import rescaled
from netviz.models import Layer, ModelSpec
from netviz.questions.hypercolumn.result import HypercolumnResult
from netviz.questions.opening import ImageOptions, chosen_layers, open_model, run_layers
from netviz.questions.places import interpolation, open_layer, require_places

STARTS = 4

Floats = NDArray[np.float64]


def k_means(points: Floats, count: int, seed: int) -> tuple[NDArray[np.int32], list[float]]:
    """Divide points into clusters by k-means (SciPy's) from four k-means++ starts; the one of least inertia is kept.

    Parameters
    ----------
    points : ndarray of shape (P, D)
    count : int
        How many clusters; fewer come out where there are fewer different points.
    seed : int

    Returns
    -------
    labels : ndarray of int32, shape (P,)
        Clusters are numbered from the largest to the smallest.
    shares : list of float
        Each cluster's share of the points.

    References
    ----------
    Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
    """
    from scipy.cluster.vq import kmeans, vq

    random = np.random.default_rng(seed)
    points = np.ascontiguousarray(points)
    best, labels = np.inf, np.zeros(len(points), dtype=np.int32)
    for _ in range(STARTS):
        # SciPy's own starts are not for fewer different points than clusters; its steps go on while anything moves.
        centres, _ = kmeans(points, _start(points, count, random), thresh=1e-12, check_finite=False)
        found, away = vq(points, centres, check_finite=False)
        spread = float((away**2).sum())
        # Another start must be better by more than rounding, so that the choice is the same everywhere.
        if spread < best * (1 - 1e-9) or not np.isfinite(best):
            best, labels = spread, found
    sizes = np.bincount(labels)
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] > 0]
    number = np.zeros(len(sizes), dtype=np.int32)
    number[order] = np.arange(len(order))
    return number[labels], (sizes[order] / len(points)).tolist()


def _start(points: Floats, count: int, random: np.random.Generator) -> Floats:
    """Draw centres among the points, each with a chance that grows with its squared distance from those before."""
    chosen = [points[int(random.integers(len(points)))]]
    far = ((points - chosen[0]) ** 2).sum(axis=1)
    while len(chosen) < count and far.sum() > 0:
        sums = np.cumsum(far)
        place = int(np.searchsorted(sums, random.random() * sums[-1], side="right"))
        chosen.append(points[min(place, len(points) - 1)])
        far = np.minimum(far, ((points - chosen[-1]) ** 2).sum(axis=1))
    return np.array(chosen)


LARGEST_GRID = 256
"""Places along the longer side of the grid, at most."""

MOST_UNITS = 8192
"""Units of all layers together, at most: the covariance has this number squared."""

MOST_CLUSTERS = 24

CLUSTER_COMPONENTS = 16
"""Principal components in which clusters are looked for, at most."""


def hypercolumn(
    image: ImageLike,
    *,
    layers: str | Sequence[str],
    model: ModelSpec = "mobilenet_v2",
    clusters: int = 8,
    **options: Unpack[ImageOptions],
) -> HypercolumnResult:
    """Stack the maps of several depths at every place of an image and look at what varies most.

    Each layer's maps are read, at every pixel of the network's input, linearly between the centres of what their
    positions see (on a grid of at most 256 places a side where the input is larger). Each layer is divided by the
    root of its units' summed variance: units keep their strength among each other, and a layer with many units or
    large values counts no more than another. The principal components come from the covariance of all units, which
    interpolation lets us sum up on the small maps themselves: no array of all units at all places is ever made.

    Parameters
    ----------
    image : str, Path, Photo, PIL image, ndarray or Tensor
        An image file, ``skimage:NAME``, or an image already read.
    layers : str or sequence of str
        Names, aliases or globs; in a str separated by commas.
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    clusters : int
        2 to 24: by k-means, in the first 16 components.
    **options
        As for `netviz.load`; `size` as for `netviz.layers`, `fit` as for `netviz.maps`; `seed` also starts the
        clusters.

    Returns
    -------
    HypercolumnResult

    Raises
    ------
    ImageError
        If the image cannot be read, or the network does not run on it.
    LayerError
        If a layer does not exist, has no maps or no place in the image, all are constant, or have too many units.
    ModelError
        If MODEL cannot be opened or cannot run.
    ValueError
        If `clusters` is out of range, or no layer is named.

    References
    ----------
    Hariharan et al., "Hypercolumns for Object Segmentation and Fine-grained Localization", CVPR 2015. Long,
    Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015 (the deep jet).
    """
    if not 2 <= clusters <= MOST_CLUSTERS:
        raise ValueError(f"clusters must be 2 to {MOST_CLUSTERS}, not {clusters}")
    names = [name.strip() for name in (layers.split(",") if isinstance(layers, str) else layers)]
    if not any(names):
        raise ValueError("name at least one layer, such as layers='relu2,relu10'")
    seed = options.get("seed", 0)
    opened = open_model(model, **options)
    wanted = chosen_layers(opened.model, opened.index, [name for name in names if name])
    reader = open_layer(
        image, wanted[0].name, opened.model, size=options.get("size"), fit=options.get("fit", "crop")
    )
    opened = reader.opened
    chosen = chosen_layers(opened.model, opened.index, [layer.name for layer in wanted])
    units = sum(layer.channels for layer in chosen)
    if units > MOST_UNITS:
        raise LayerError(
            f"these {len(chosen)} layers of {opened.model.name} have {units:,} units together, more than "
            f"{MOST_UNITS:,}; name fewer layers"
        )
    fields, name = opened.fields, f"{opened.model.name} on {reader.name}"
    values = run_layers(opened.model, chosen, normalize(reader.values, opened.preprocessing), reader.name)
    rows, cols = (_places(side, max(reader.image.shape[:2])) for side in reader.image.shape[:2])
    depths = [_depth(layer, fields[layer], values[layer], rows, cols, name) for layer in chosen]
    if not any(depth.maps.any() for depth in depths):
        raise LayerError(
            f"these layers of {opened.model.name} are constant on {reader.name}, so nothing varies; name others"
        )
    shares, directions = principal(depths, max(3, CLUSTER_COMPONENTS))
    scores = project(depths, directions)
    found, sizes = k_means(scores.reshape(len(scores), -1).T, clusters, seed)
    first = np.zeros((3, len(rows), len(cols)), dtype=np.float32)
    first[: len(scores)] = scores[:3]
    explained = np.zeros(3)
    explained[: len(shares)] = shares[:3]
    parts = _parts(depths, directions)
    return HypercolumnResult(
        components=first,
        explained=explained,
        clusters=found.reshape(len(rows), len(cols)),
        image=reader.image,
        network=opened.model.name,
        image_name=reader.name,
        layers=tuple(
            {
                "layer": layer.name,
                "alias": layer.alias,
                "units": layer.channels,
                "maps": list(values[layer].shape[1:]),
                "field_size": list(fields[layer].size),
                "field_stride": list(require_places(fields[layer]).stride),
                "field_status": fields[layer].status,
                "share": part,
            }
            for layer, part in zip(chosen, parts, strict=True)
        ),
        grid_step=(reader.image.shape[0] / len(rows), reader.image.shape[1] / len(cols)),
        cluster_components=len(scores),
        cluster_explained=float(shares.sum()),
        cluster_share=tuple(sizes),
        seed=seed,
        **opened.provenance(reader.photo),
    )


class Depth(NamedTuple):
    """One layer's maps, made ready to be stacked with others.

    Attributes
    ----------
    maps : ndarray of float64, shape (C, h, w)
        Less each unit's mean over the grid, divided by the root of the units' summed variance over the grid.
    down, across : ndarray of float64, shapes (H, h) and (W, w)
        Bring maps to the grid: ``down @ maps @ across.T``.
    """

    maps: Floats
    down: Floats
    across: Floats


def standardised(maps: NDArray[np.floating], down: Floats, across: Floats) -> Depth:
    """Centre a layer's units and scale the layer to a summed variance of 1 over the grid; 0 stays 0.

    Mean and variance over the grid come from the maps, for each place is a weighted mean of positions.
    """
    values = maps.astype(np.float64)
    mean = np.einsum("chw,h,w->c", values, down.mean(axis=0), across.mean(axis=0))
    values = values - mean[:, None, None]
    spread = np.einsum("chw,chw->", _gram(values, down, down, across, across), values)
    total = spread / (len(down) * len(across))
    # What rounding leaves of a constant layer is no variance.
    floor = (1e-7 * float(np.abs(maps).max(initial=0.0))) ** 2 * len(values)
    return Depth(values / np.sqrt(total) if total > floor else np.zeros_like(values), down, across)


def covariance(depths: Sequence[Depth]) -> Floats:
    """Return the covariance of all units over the grid, (C, C), layers in the order given.

    Of two layers with maps A, B it is A (D'D ⊗ E'E) B', where D and E interpolate rows and columns: the grid itself
    never appears.
    """
    places = len(depths[0].down) * len(depths[0].across)
    edges = np.cumsum([0, *(len(depth.maps) for depth in depths)])
    matrix = np.zeros((edges[-1], edges[-1]))
    for here, one in enumerate(depths):
        for there, other in enumerate(depths[: here + 1]):
            # The layer with the smaller maps decides the length of the sums.
            small, large = (one, other) if one.maps[0].size <= other.maps[0].size else (other, one)
            moved = _gram(large.maps, small.down, large.down, small.across, large.across)
            block = small.maps.reshape(len(small.maps), -1) @ moved.reshape(len(moved), -1).T / places
            block = block if small is one else block.T
            matrix[edges[here] : edges[here + 1], edges[there] : edges[there + 1]] = block
            matrix[edges[there] : edges[there + 1], edges[here] : edges[here + 1]] = block.T
    return matrix


def principal(depths: Sequence[Depth], count: int) -> tuple[Floats, Floats]:
    """Return shares of the variance, (D,), and unit directions, (D, C), of the largest; `count` at most.

    Directions in which nothing varies are left out. The largest weight of each is positive.
    """
    from scipy.linalg import eigh

    matrix = covariance(depths)
    last = len(matrix) - 1
    values, vectors = eigh(matrix, subset_by_index=[max(0, last + 1 - count), last])
    values, vectors = values[::-1], vectors.T[::-1]
    total = float(np.trace(matrix))
    kept = values > 1e-9 * total
    values, vectors = values[kept], vectors[kept]
    largest = vectors[np.arange(len(vectors)), np.abs(vectors).argmax(axis=1)]
    return values / total, vectors * np.sign(largest)[:, None]


def project(depths: Sequence[Depth], directions: Floats) -> Floats:
    """Return the hypercolumns along directions (D, C): (D, H, W)."""
    found = np.zeros((len(directions), len(depths[0].down), len(depths[0].across)))
    edge = 0
    for depth in depths:
        weights = directions[:, edge : edge + len(depth.maps)]
        edge += len(depth.maps)
        # Weighted sums of maps are taken before they are brought to the grid: both are linear.
        found += depth.down @ np.tensordot(weights, depth.maps, axes=1) @ depth.across.T
    return found


def _gram(maps: Floats, down_to: Floats, down: Floats, across_to: Floats, across: Floats) -> Floats:
    """Return maps (C, h, w) as another grid of positions meets them, summed over all places, (C, h', w')."""
    moved: Floats = np.matmul(down_to.T @ down, maps) @ (across.T @ across_to)
    return moved


def _depth(
    layer: Layer, field: Field, maps: NDArray[np.float32], rows: Floats, cols: Floats, where: str
) -> Depth:
    name = f"{layer.name} ({layer.alias})"
    if not np.isfinite(maps).all():
        raise LayerError(f"layer {name} of {where} gives NaN or infinity; leave it out")
    require_places(field, f"{name} of {where}")
    down, across = interpolation(field, (maps.shape[1], maps.shape[2]), rows, cols)
    return standardised(maps, down, across)


def _places(pixels: int, longest: int) -> Floats:
    """Return the middles of equal parts of a side, in pixels; each a pixel where the image is small enough."""
    count = pixels if longest <= LARGEST_GRID else max(1, round(pixels * LARGEST_GRID / longest))
    return rescaled(np.arange(count, dtype=np.float64), pixels / count)


def _parts(depths: Sequence[Depth], directions: Floats) -> list[list[float]]:
    """Return each layer's part of the first three directions' squared weights."""
    edges = np.cumsum([0, *(len(depth.maps) for depth in depths)])
    squares = np.zeros((3, int(edges[-1])))
    squares[: len(directions)] = directions[:3] ** 2
    return [squares[:, low:high].sum(axis=1).tolist() for low, high in pairwise(edges)]
