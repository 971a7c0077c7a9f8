"""How well a network labels every pixel of images whose labels are known.

Also near to where labels change: the trimap's bands (Kohli, Ladicky, Torr, IJCV 2009).
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import Unpack

from netviz.capture import brief, evaluation, network_device
from netviz.capture.outputs import dense_output, named_tensors
from netviz.capture.padding import PaddedAsNeeded
from netviz.engines import Progress
from netviz.errors import ImageError, ModelError
from netviz.fcn.data import Segmentation, open_segmentation
from netviz.fcn.evaluation.result import SegmentationResult
from netviz.fcn.metrics import Confusion, metrics
from netviz.fcn.streams.measure import coarse_to_fine, stream_name
from netviz.images import normalize_batch, prepare_pixels
from netviz.models import Model, ModelOptions, ModelSpec, Preprocessing, load
from netviz.models.known.skips.network import SkipNetwork
from netviz.questions.opening import provenance
from netviz.questions.runs import default_device, default_workers

WIDTH = 20
"""The widest band that is looked at, in pixels."""


def boundary_band(labels: NDArray[np.integer], width: int = WIDTH) -> NDArray[np.int64]:
    """Return the narrowest band around the label boundaries that each pixel lies in, less 1.

    A boundary runs between neighbours in a row or column whose labels differ (void is a label too). The band of 1 is
    the pixels on both sides of it; that of r those no further than r - 1 pixels from one of these.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
    width : int
        The widest band, in pixels.

    Returns
    -------
    ndarray of int64, shape (H, W)
        0 for the band of 1, …, ``width - 1``; `width` for what lies in none of them.
    """
    from scipy.ndimage import distance_transform_edt

    edge = np.zeros(labels.shape, dtype=bool)
    for here, there, change in (
        (edge[1:], edge[:-1], labels[1:] != labels[:-1]),
        (edge[:, 1:], edge[:, :-1], labels[:, 1:] != labels[:, :-1]),
    ):
        here |= change
        there |= change
    if not edge.any():
        return np.full(labels.shape, width, dtype=np.int64)
    distance = np.ceil(distance_transform_edt(~edge) - 1e-9)
    band: NDArray[np.int64] = np.minimum(distance, width).astype(np.int64)
    return band


PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""With which numbers a network can run."""


class _Item(NamedTuple):
    """An image as the network sees it, (H, W, 3); the classes (h, w) of the file's pixels; their bands, or none."""

    pixels: Tensor
    truth: Tensor
    band: Tensor


class _Prepared(torch.utils.data.Dataset[Any]):
    """Images brought to the network, with the truth at their files' own resolution."""

    def __init__(self, data: Segmentation, preprocessing: Preprocessing, bands: bool) -> None:
        self.data, self.preprocessing, self.bands = data, preprocessing, bands

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, at: int) -> _Item | ImageError:
        try:
            pixels, truth = self.data.read(at)
        except ImageError as error:
            return error  # raised in a worker process, it would arrive with its traceback as text
        shown = prepare_pixels(pixels, self.preprocessing)[0]
        band = boundary_band(truth) if self.bands else np.zeros((0, 0), dtype=np.int64)
        return _Item(torch.from_numpy(shown), torch.from_numpy(truth), torch.from_numpy(band))


def evaluate(
    data: str | Path,
    model: ModelSpec = "fcn_camvid",
    *,
    boundary: bool = False,
    void: int | Collection[int] = (),
    device: str | None = None,
    precision: str = "float32",
    workers: int | None = None,
    progress: Progress | None = None,
    **options: Unpack[ModelOptions],
) -> SegmentationResult:
    """Measure how well each stream of a network labels the pixels of images.

    Parameters
    ----------
    data : str or Path
        A folder with ``images/``, ``labels/`` and perhaps ``classes.txt``, or in Pascal VOC's layout.
    model : str, Path, nn.Module or Model
        As for `netviz.load`: a network whose output, or each of several (a dictionary or a list), has a score for
        each class at every pixel. Its classes and the data's are matched by name where both have names, else by
        number.
    boundary : bool
        Whether the mean IU is also measured in bands of 1 to 20 pixels around label boundaries.
    void : int or collection of int
        Values of masks that count nowhere, besides 255 and classes called void.
    device : str, optional
        By default a GPU if there is one.
    precision : {"float32", "bfloat16", "float16"}
        With which numbers convolutions run.
    workers : int, optional
        Processes that read images.
    progress : callable, optional
        Told of what is done, and how many images of how many.
    **options
        As for `netviz.load`.

    Returns
    -------
    SegmentationResult

    Raises
    ------
    ModelError
        If the network labels no pixels, or has other classes than the data.
    ImageError
        If an image or its mask cannot serve.
    """
    check_precision(precision)
    where = torch.device(default_device(device))
    opened = load(model, **options)
    network = opened.runnable()
    opened.require_classifier()
    preprocessing = replace(opened.preprocessing, crop=None)
    if preprocessing.size_assumed:
        preprocessing = replace(preprocessing, resize=None)
    found = open_segmentation(data, void=void)
    home = network_device(network)
    padded = PaddedAsNeeded(network)
    with evaluation(network):
        try:
            # How many classes the network has is known once it has run.
            network.to(where)
            tables = confusions(
                network if isinstance(network, SkipNetwork) else padded,
                found,
                preprocessing,
                order=lambda count: match_classes(opened, count, found),
                device=where,
                precision=precision,
                workers=workers,
                bands=boundary,
                progress=progress,
            )
        finally:
            network.to(home)
    classes = next(iter(tables.values())).classes
    names = found.classes[:classes]
    if not found.named and len(opened.labels) == classes:
        names = opened.labels
    bands = {name: _bands(table, names) for name, table in tables.items()} if boundary else {}
    return SegmentationResult(
        metrics={name: metrics(table.result(), names) for name, table in tables.items()},
        boundary=bands,
        streams=tuple(tables),
        classes=names,
        images=len(found),
        pixels=int(next(iter(tables.values())).counts.sum()),
        network=opened.name,
        **provenance(opened, preprocessing),
        padded=padded.multiple,
        tables={name: table.result() for name, table in tables.items()},
    )


def confusions(
    network: nn.Module,
    data: Segmentation,
    preprocessing: Preprocessing,
    *,
    order: Callable[[int], Sequence[int]] | None = None,
    device: torch.device,
    precision: str = "float32",
    workers: int | None = None,
    bands: bool = False,
    progress: Progress | None = None,
) -> dict[str, Confusion]:
    """Count what each stream of a network calls the pixels of images.

    Parameters
    ----------
    network : nn.Module
        On `device`, in the mode that it shall run in.
    order : callable, optional
        From the number of its classes to the data's class number of each; by default they are the same.
    bands : bool
        Whether pixels are counted by their distance from a label boundary: tables 0…19, and 20 for the others.

    Returns
    -------
    dict of str to Confusion
        By stream, coarse to fine.
    """
    items = torch.utils.data.DataLoader(
        _Prepared(data, preprocessing, bands),
        batch_size=None,
        num_workers=default_workers(workers),
        generator=torch.Generator(),  # else the caller's random numbers would move on
    )
    tables: dict[str, Confusion] = {}
    for at, item in enumerate(items):
        if progress is not None:
            progress("evaluating", at, len(data))
        if isinstance(item, ImageError):
            raise item
        truth = item.truth.numpy()
        image = normalize_batch(item.pixels[None].to(device), preprocessing)
        image = image.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), autocast(device, precision):
            outputs = _streams(network, image, data.name(at))
        for name, scores in outputs.items():
            numbers = np.arange(scores.shape[1]) if order is None else np.asarray(order(scores.shape[1]))
            if name not in tables:
                tables[name] = Confusion(int(numbers.max()) + 1, WIDTH + 1 if bands else 1)
            if truth.max() >= tables[name].classes:
                raise ImageError(
                    f"{data.mask(at)} holds {data.classes[truth.max()]!r}, but the network has only "
                    f"{scores.shape[1]} classes; give a network trained for these labels"
                )
            called = numbers[_labels(scores, truth.shape)]
            tables[name].update(truth, called, item.band.numpy() if bands else None)
    if progress is not None:
        progress("evaluating", len(data), len(data))
    return tables


def match_classes(model: Model, count: int, data: Segmentation) -> tuple[int, ...]:
    """Return for each of a network's classes its number in the data.

    Raises
    ------
    ModelError
        If they do not fit.
    """
    if data.named and len(model.labels) == count:
        numbers = {_folded(name): number for number, name in enumerate(data.classes)}
        places = [numbers.get(_folded(name), -1) for name in model.labels]
        if sorted(places) == list(range(len(data.classes))):
            return tuple(places)
        known = {_folded(name) for name in model.labels}
        lost = [name for name in data.classes if _folded(name) not in known]
        other = [name for name, place in zip(model.labels, places, strict=True) if place < 0]
        raise ModelError(
            f"{model.name} and the data have different classes: the data name {_some(lost)}, "
            f"the network {_some(other)}; rename them in classes.txt"
        )
    if data.named and count != len(data.classes):
        raise ModelError(
            f"{model.name} has {count} classes and the data {len(data.classes)}; give data with the same classes"
        )
    return tuple(range(count))


def _folded(name: str) -> str:
    """Return a class's name as names are compared: torchvision writes ``__background__``."""
    return name.strip("_ ").casefold()


def _some(names: Sequence[str]) -> str:
    """Return the first of some names."""
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "") if names else "none more"


def check_precision(precision: str) -> None:
    """Refuse numbers that no network runs with."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Return a context in which convolutions run with other numbers, if that is asked for."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, PRECISIONS[precision])


def _streams(network: nn.Module, image: Tensor, name: str) -> dict[str, Tensor]:
    """Run a network on an image and return its streams, coarse to fine."""
    try:
        output = network(image)
    except (RuntimeError, ValueError, IndexError) as error:
        raise ImageError(f"the network does not run on {name} ({brief(error)})") from error
    if isinstance(network, SkipNetwork):
        return {stream: output[stream] for stream in network.streams}
    size = tuple(image.shape[-2:])
    found = named_tensors(output)
    main = dense_output(found, "the network", size)
    if main is None or found[main].ndim != 4 or tuple(found[main].shape[-2:]) != size:
        shape = type(output).__name__ if main is None else "×".join(map(str, found[main].shape[1:]))
        raise ModelError(
            f"the network gives {shape} for an image of {size[0]}×{size[1]}, not a score for each class at every "
            "pixel; give one trained with netviz fcn train, or a segmentation network of torchvision"
        )
    streams = {stream_name(name): one for name, one in found.items() if one.shape == found[main].shape}
    return {name: streams[name] for name in coarse_to_fine(tuple(streams))}


def _labels(scores: Tensor, size: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the best class of each pixel of the image's file, (h, w)."""
    if tuple(scores.shape[-2:]) != tuple(size):
        scores = functional.interpolate(scores.float(), size=size, mode="bilinear", align_corners=False)
    best: NDArray[np.int64] = scores[0].argmax(dim=0).cpu().numpy()
    return best


def _bands(table: Confusion, names: Sequence[str]) -> tuple[float | None, ...]:
    """Return the mean IU in the bands of 1, 2, … pixels."""
    nested = np.cumsum(table.counts[:WIDTH], axis=0)
    return tuple(metrics(counts, names)["mean_iu"] for counts in nested)
