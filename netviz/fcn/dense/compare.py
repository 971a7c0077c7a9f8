"""What one dense pass saves: the same scores by a sliding window, and region by region.

Regions are boxes around the segments of an image at several scales, as R-CNN takes them from one.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from typing_extensions import Unpack

from netviz.capture import evaluation, unwrap
from netviz.capture.watch import forward
from netviz.engines import Progress
from netviz.errors import ModelError
from netviz.fcn.dense.levels import Level, run_level
from netviz.fcn.dense.measure import check_large_enough, highest
from netviz.fcn.dense.network import DenseNetwork, open_dense
from netviz.fcn.dense.result import CompareResult
from netviz.images import ImageLike, Photo, normalize, prepare, prepare_pixels, read_image
from netviz.images.preparation import resample
from netviz.models import ModelOptions, ModelSpec, load
from netviz.questions.classes import class_scores, find_class
from netviz.questions.opening import provenance

SCALES = (25, 50, 100, 200, 400, 800, 1600)
"""Felzenszwalb and Huttenlocher's k: a larger one gives larger segments."""

SIDE = 500
"""Images are segmented at this long side, in pixels: segmenting takes longer than linearly many pixels."""

MOST = 2000
"""R-CNN's number of regions for an image."""

_LEAST = 16

Boxes = NDArray[np.int64]


def propose(
    image: NDArray[np.uint8], *, scales: Sequence[int] = SCALES, most: int = MOST, least: int = _LEAST
) -> Boxes:
    """Propose regions of an image that may hold an object.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    scales : sequence of int
        Of the segmentations, Felzenszwalb and Huttenlocher's k.
    most : int
        How many at most; the largest stay.
    least : int
        Boxes with a side below this many pixels, at the size at which the image is segmented, are left out.

    Returns
    -------
    ndarray of int64, shape (R, 4)
        Top, left, bottom, right, half-open, in pixels of the image; none twice, the largest first. The whole image is
        always one of them.

    References
    ----------
    Girshick et al., "Rich feature hierarchies", CVPR 2014, takes them from selective search, which begins with these
    segmentations. Felzenszwalb and Huttenlocher, "Efficient graph-based image segmentation", IJCV 2004.
    """
    from skimage.segmentation import felzenszwalb

    height, width = image.shape[:2]
    factor = min(1.0, SIDE / max(height, width))
    small = (max(1, round(height * factor)), max(1, round(width * factor)))
    pixels = np.asarray(Image.fromarray(image).resize(small[::-1], Image.Resampling.BILINEAR))
    found = [np.array([[0, 0, *small]], dtype=np.int64)]
    for scale in scales:
        segments = felzenszwalb(pixels, scale=scale, sigma=0.8, min_size=20)
        boxes = _extents(segments)
        large = (boxes[:, 2] - boxes[:, 0] >= least) & (boxes[:, 3] - boxes[:, 1] >= least)
        found.append(boxes[large])
    down, across = height / small[0], width / small[1]
    each = np.unique(np.concatenate(found), axis=0) * np.array([down, across, down, across])
    boxes = np.rint(each).astype(np.int64)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    largest: Boxes = boxes[np.argsort(-areas, kind="stable")][:most]
    return largest


def _extents(segments: NDArray[np.integer]) -> Boxes:
    """Return the box of every segment, numbered from 0."""
    count = int(segments.max()) + 1
    axes = []
    for places in np.indices(segments.shape):
        first, last = np.full(count, places.max()), np.zeros(count, dtype=np.int64)
        np.minimum.at(first, segments.ravel(), places.ravel())
        np.maximum.at(last, segments.ravel(), places.ravel() + 1)
        axes.append((first, last))
    boxes: Boxes = np.stack([one for pair in zip(*axes, strict=True) for one in pair], axis=1)
    return boxes


def spread_evenly(boxes: Boxes, count: int) -> Boxes:
    """Return so many of the boxes, spread evenly over their order; all of them if there are fewer."""
    if count >= len(boxes):
        return boxes
    chosen: Boxes = boxes[np.linspace(0, len(boxes) - 1, count).round().astype(np.intp)]
    return chosen


def paint(boxes: Boxes, scores: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return, for every pixel, the score of the smallest box that holds it; NaN where there is none.

    The best score of all of them would be that of some box around nearly the whole image, nearly everywhere.

    Parameters
    ----------
    boxes : ndarray of int64, shape (R, 4)
    scores : ndarray of float32, shape (R,)
    shape : (int, int)
        Height and width of the image.
    """
    painted = np.full(shape, np.nan, dtype=np.float32)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for at in np.argsort(-areas, kind="stable"):
        top, left, bottom, right = boxes[at]
        painted[top:bottom, left:right] = scores[at]
    return painted


REGIONS = 100

BATCH = 16

REPEATS = 3

Maps = NDArray[np.float32]


def dense_compare(
    image: ImageLike,
    *,
    model: ModelSpec = "mobilenet_v2",
    class_: str | int | None = None,
    regions: int = REGIONS,
    batch: int = BATCH,
    short_side: int | str | None = None,
    output: str | int | None = None,
    progress: Progress | None = None,
    **options: Unpack[ModelOptions],
) -> CompareResult:
    """Score an image by one dense pass, by a sliding window and region by region, and measure what each takes.

    Parameters
    ----------
    image : str, Path, Photo, PIL image, ndarray or Tensor
        An image file, ``skimage:NAME``, or an image already read.
    model : str, Path, nn.Module or Model
        A classifier; as for `netviz.load`.
    class_ : str or int, optional
        The class; by default the one with the highest score anywhere.
    regions : int
        How many of the proposed regions are measured; their cost is scaled to R-CNN's 2000.
    batch : int
        Crops in a batch, where crops are batched.
    short_side, output
        As for `netviz.dense`.
    progress : callable, optional
        Called with what is being done, how many steps are done, and of how many.
    **options
        As for `netviz.load`.

    Returns
    -------
    CompareResult
        Times are of this run and this machine: one warming pass each, then the median of three dense passes, and one
        run of everything else. Preparing the whole image counts for none; warping a region counts.

    Raises
    ------
    ImageError
        If the image cannot be read, or is smaller than the network's window.
    ModelError
        If MODEL cannot be opened, run or cast, is no classifier, or has not this class.
    ValueError
        If `regions`, `batch` or `short_side` is out of range.

    References
    ----------
    Girshick et al., "Rich feature hierarchies for accurate object detection", CVPR 2014. Long, Shelhamer and Darrell,
    "Fully convolutional networks for semantic segmentation", CVPR 2015.
    """
    for name, value in (("regions", regions), ("batch", batch)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    opened = open_dense(load(model, **options), short_side, output)
    if opened.native is None or not opened.cast:
        raise ModelError(
            f"{opened.model.name} gives maps of whole images already: there are no crops to compare them with; "
            f"compare a classifier, such as mobilenet_v2"
        )
    photo = read_image(image)
    check_large_enough(opened, photo, short_side)
    asked = None if class_ is None else find_class(class_, torch.zeros(opened.channels), opened.model)
    level = run_level(opened, photo)
    chosen = highest([level], 1)[0] if asked is None else asked
    network = unwrap(opened.model.runnable())
    tell = _Telling(progress, REPEATS + 2 * _cells(level) + regions, photo.name)
    whole = prepare(photo, level.preprocessing).tensor.to(opened.device)
    dense_time = statistics.median(
        tell(_seconds(lambda: opened.run(whole, photo.name), opened)) for _ in range(REPEATS)
    )
    with torch.no_grad(), evaluation(network):
        one, one_time = _slide(network, opened, level, whole, chosen, 1, tell)
        _, batch_time = _slide(network, opened, level, whole, chosen, batch, tell)
        started = time.perf_counter()
        proposals = propose(photo.pixels, most=MOST)
        proposal_time = time.perf_counter() - started
        boxes = spread_evenly(proposals, regions)
        box_scores, region_time = _warp(network, opened, photo, boxes, chosen, tell)
    tell.end()
    deviation, correlation = _agreement(level.scores[chosen], one)
    labels = opened.model.labels
    return CompareResult(
        dense=level.scores[chosen],
        sliding=one,
        regions=paint(boxes, box_scores, (photo.pixels.shape[0], photo.pixels.shape[1])),
        boxes=boxes,
        box_scores=box_scores,
        center_y=level.center_y,
        center_x=level.center_x,
        seconds=np.array([dense_time, one_time, batch_time, region_time]),
        evaluations=np.array([1, _cells(level), _cells(level), len(boxes)], dtype=np.int64),
        image=photo.pixels,
        network=opened.model.name,
        image_name=photo.name,
        **provenance(opened.model, opened.preprocessing, photo),
        class_index=chosen,
        label=labels[chosen] if len(labels) == opened.channels else "",
        stride=level.stride,
        window=level.window,
        input_size=level.size,
        crop=opened.native,
        batch=batch,
        repeats=REPEATS,
        proposals=len(proposals),
        proposal_seconds=proposal_time,
        per_image=MOST,
        deviation=deviation,
        correlation=correlation,
        device=str(opened.device),
        threads=torch.get_num_threads(),
        output=opened.output,
    )


class _Telling:
    """Counts steps for a progress display."""

    def __init__(self, progress: Progress | None, total: int, name: str) -> None:
        self.progress, self.total, self.name = progress, total, name
        self.done = 0
        self.tell()

    def tell(self) -> None:
        if self.progress is not None:
            self.progress(f"comparing on {self.name}", min(self.done, self.total - 1), self.total)

    def __call__(self, seconds: float, steps: int = 1) -> float:
        self.done += steps
        self.tell()
        return seconds

    def end(self) -> None:
        if self.progress is not None:
            self.progress(f"comparing on {self.name}", self.total, self.total)


def _cells(level: Level) -> int:
    return len(level.center_y) * len(level.center_x)


def _seconds(work: Callable[[], object], dense: DenseNetwork) -> float:
    """Return how long something takes, on a GPU until it is done there."""
    _wait(dense)
    started = time.perf_counter()
    work()
    _wait(dense)
    return time.perf_counter() - started


def _wait(dense: DenseNetwork) -> None:
    if dense.device.type == "cuda":
        torch.cuda.synchronize(dense.device)


def _score(network: nn.Module, crops: Tensor, chosen: int) -> Tensor:
    """Return the class's score of each crop, (N,)."""
    return class_scores(forward(network, crops))[:, chosen].float().cpu()


def corners(level: Level, crop: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the first row and column of the crop of every cell, in pixels of the level's input, row by row."""
    steps = []
    for axis, count in enumerate((len(level.center_y), len(level.center_x))):
        stride = level.stride[axis] / level.window[axis + 2] * crop[axis]
        steps.append([round(at * stride) for at in range(count)])
    return [(top, left) for top in steps[0] for left in steps[1]]


def _slide(
    network: nn.Module,
    dense: DenseNetwork,
    level: Level,
    whole: Tensor,
    chosen: int,
    batch: int,
    tell: _Telling,
) -> tuple[Maps, float]:
    """Run the classifier on the crop of every cell; return the scores (h, w) and the seconds."""
    crop = dense.native or level.size
    places = corners(level, crop)
    # Padding can give the dense pass a last cell whose window hangs over the border: its crop is padded as well.
    over = [max(0, places[-1][axis] + crop[axis] - level.size[axis]) for axis in (0, 1)]
    whole = torch.nn.functional.pad(whole, (0, over[1], 0, over[0]))

    def crops() -> Iterator[Tensor]:
        for first in range(0, len(places), batch):
            part = places[first : first + batch]
            yield torch.cat([whole[..., y : y + crop[0], x : x + crop[1]] for y, x in part])

    _score(network, next(crops()), chosen)
    found, total = [], 0.0
    source = crops()
    while True:
        _wait(dense)
        started = time.perf_counter()
        some = next(source, None)
        if some is None:
            break
        found.append(_score(network, some, chosen))
        total += tell(time.perf_counter() - started, len(some))
    scores: Maps = torch.cat(found).numpy().reshape(len(level.center_y), len(level.center_x))
    return scores, total


def _warp(
    network: nn.Module, dense: DenseNetwork, photo: Photo, boxes: Boxes, chosen: int, tell: _Telling
) -> tuple[Maps, float]:
    """Warp every region to the classifier's input and run it; return the scores (R,) and the seconds."""
    crop = dense.native or (1, 1)
    preprocessing = replace(dense.preprocessing, resize=None, crop=None)
    values = prepare_pixels(photo, preprocessing)[0]  # in full depth
    found, total = [], 0.0
    for top, left, bottom, right in boxes.tolist():
        started = time.perf_counter()
        pixels = resample(values, crop, "bilinear", (top, left, bottom, right))
        found.append(_score(network, normalize(pixels, preprocessing).to(dense.device), chosen))
        total += tell(time.perf_counter() - started)
    return torch.cat(found).numpy(), total


def _agreement(dense: Maps, sliding: Maps) -> tuple[float, float]:
    """Return the mean absolute difference in standard deviations of the sliding scores, and the correlation."""
    spread = float(sliding.std(dtype=np.float64))
    if not spread > 0 or not np.isfinite(dense).all():
        return 0.0, 0.0
    difference = float(np.abs(dense.astype(np.float64) - sliding).mean()) / spread
    if not float(dense.std()) > 0:
        return difference, 0.0
    return difference, float(np.corrcoef(dense.reshape(-1), sliding.reshape(-1))[0, 1])
