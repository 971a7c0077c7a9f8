"""Occlusion: what a network gives when a patch of its image is covered, for every place of the patch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netviz.capture import capture, evaluation, unwrap
from netviz.capture.memory import joined, kept_memory
from netviz.capture.tape import Tape, record, with_values
from netviz.capture.tensors import main_tensor
from netviz.capture.watch import Key, forward
from netviz.geometry.incremental.plan import Plan, UnfollowableError, clean_values, readable
from netviz.geometry.incremental.run import run_plan
from netviz.models import Layer

TOLERANCE = 1e-4
"""Largest difference from a full pass that is accepted, as a share of the target's range on the clean image."""

FEW = 4
"""At so few places two full passes for a check would cost more than windows save."""

Box: TypeAlias = tuple[int, int, int, int]

Read: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Occlusion:
    """What was read for every place of the occluder.

    Attributes
    ----------
    tops, lefts : ndarray of int
        First row and column of the occluder, in pixels; the last may hang over the border.
    clean : Tensor of shape (…)
        What was read on the image itself.
    values : Tensor of shape (rows, columns, …)
        What was read with the occluder there.
    why_full : str
        Empty if windows were used; else why every place took a full pass.
    """

    tops: NDArray[np.int64]
    lefts: NDArray[np.int64]
    clean: Tensor
    values: Tensor
    why_full: str = ""


def grid(length: int, patch: int, stride: int) -> NDArray[np.int64]:
    """Return where a patch begins along one axis, in pixels: every `stride`, until the axis is covered to its end."""
    return np.arange(-(-max(0, length - patch) // stride) + 1, dtype=np.int64) * stride


def few(tops: NDArray[np.int64], lefts: NDArray[np.int64]) -> bool:
    """Tell whether a grid has so few places that each takes a full pass, and no value of a tape is needed."""
    return len(tops) * len(lefts) <= FEW


def covering(starts: NDArray[np.int64], patch: int, length: int) -> NDArray[np.float64]:
    """Return what each place of an occluder counts in the mean over those that cover a pixel of an axis.

    Parameters
    ----------
    starts : ndarray of int, shape (places,)
        First pixel of the occluder at each place.
    patch, length : int
        The occluder's side and the axis's length, in pixels.

    Returns
    -------
    ndarray of shape (length, places)
        Each row sums to 1, or to 0 where no place covers the pixel.
    """
    at = np.arange(length)[:, None]
    covered = (at >= starts) & (at < starts + patch)
    shares: NDArray[np.float64] = covered / np.maximum(covered.sum(axis=1, keepdims=True), 1)
    return shares


def covered_mean(
    drops: NDArray[np.float64],
    tops: NDArray[np.int64],
    lefts: NDArray[np.int64],
    patch: tuple[int, int],
    size: tuple[int, int],
) -> NDArray[np.float64]:
    """Give every pixel the mean over all places of the occluder that cover it.

    Parameters
    ----------
    drops : ndarray of shape (rows, columns)
        A number for each place.
    tops, lefts : ndarray of int
        First row and column of the occluder at each place, in pixels.
    patch, size : (int, int)
        Height and width of the occluder and of the image, in pixels.

    Returns
    -------
    ndarray of shape (H, W)
        NaN where no place covers a pixel.
    """
    rows, cols = (covering(*one) for one in zip((tops, lefts), patch, size, strict=True))
    mean: NDArray[np.float64] = np.where(
        np.logical_and.outer(rows.any(axis=1), cols.any(axis=1)), rows @ drops @ cols.T, np.nan
    )
    return mean


def occlude(
    network: nn.Module,
    image: Tensor,
    baseline: Tensor,
    tops: NDArray[np.int64],
    lefts: NDArray[np.int64],
    patch: tuple[int, int],
    read: Read,
    *,
    layer: Layer | None = None,
    focus: Box | None = None,
    tape: Tape | None = None,
    check: bool = True,
    progress: Callable[[int, int], None] | None = None,
    foretell: Callable[[float], None] | None = None,
    reserve: Callable[[int], None] | None = None,
) -> Occlusion:
    """Cover an image by a patch, at every place of a grid, and read what the network gives.

    Only what the patch can change is computed again. The answer is checked against full passes at two places; where
    the network cannot be followed, the check fails, or places are `few`, every place takes a full pass.

    Parameters
    ----------
    network : nn.Module
        Left exactly as found.
    image, baseline : Tensor of shape (1, C, H, W)
        On the network's device. Inside of the patch the baseline is seen, outside the image.
    tops, lefts : ndarray of int
        Rows and columns of the grid, in pixels, as `grid` gives them.
    patch : (int, int)
        Height and width of the patch, in pixels.
    read : callable
        Gets the target for several places, (P, …), and returns what is wanted of it, (P, …).
    layer : Layer, optional
        Whose output is the target; by default the network's own output. The network runs no further.
    focus : (int, int, int, int), optional
        Top, left, bottom, right (half-open) of the part of the layer's map that `read` gets; for a layer whose
        raw output is (N, C, H, W).
    tape : Tape, optional
        Of this network on this image, if there is one already. If it does not hold the values that are needed, the
        network runs once more; see `taped`.
    check : bool
        Whether to compare with full passes; once is enough for one network and one size of image.
    progress : callable, optional
        Called with how many places are done, and of how many.
    foretell : callable, optional
        Called before the work begins, with about how many seconds it takes, by how long the recorded pass took.
    reserve : callable, optional
        Called before values are kept, with how many bytes they take.

    Raises
    ------
    Exception
        Whatever the network raises on this image.
    """
    network = unwrap(network)
    if tape is None:
        tape = record(network, image, keep=())
    target = _target(tape, layer)
    plan: Plan | None = None
    values: Sequence[Tensor] = tape.values
    why = "there are few places" if check and few(tops, lefts) else ""
    if not why:
        try:
            if target is None:
                raise UnfollowableError("what is wanted does not come from functions of the image")
            plan = Plan(tape, target, tops, lefts, patch, focus=focus)
            values = clean_values(tape, network, image, plan.reads, reserve)
        except UnfollowableError as error:
            plan, why = None, str(error)
    with torch.no_grad(), kept_memory(), _running(network, layer) as run:
        full = _FullPasses(run, image, baseline, tops, lefts, patch, focus)
        if plan is not None:
            clean = _focused(values[plan.target], focus)
            places = {(len(tops) // 2, len(lefts) // 2), (len(tops) - 1, len(lefts) - 1)} if check else set()
            truth = {place: full.target(full.covered([place])) for place in places}
            everything = torch.cat([clean, *truth.values()])
            finite = everything[torch.isfinite(everything)]
            room = TOLERANCE * float(finite.max() - finite.min()) if finite.numel() else 0.0

            def right(values: Tensor) -> bool:
                return all(
                    torch.allclose(
                        values[place], read(result)[0], rtol=0, atol=max(room, 1e-12), equal_nan=True
                    )
                    for place, result in truth.items()
                )

            try:
                if foretell is not None:
                    foretell(plan.seconds)
                found = run_plan(plan, values, baseline, read, progress)
                if right(found):
                    return Occlusion(tops, lefts, read(clean)[0], found)
                why = "the recorded functions do not give what the network gives"
            except UnfollowableError as error:
                why = str(error)
        if foretell is not None:
            foretell(tape.seconds * len(tops) * len(lefts))
        known = target is not None and few(tops, lefts) and tape.holds((target,))
        clean = _focused(tape.values[target], focus) if known and target is not None else full.target(image)
        return Occlusion(tops, lefts, read(clean)[0], full.run(read, progress), why)


def taped(network: nn.Module, image: Tensor, layer: Layer | None = None) -> Tape:
    """Record a network on an image, for as many calls of `occlude` as are to be, with any grid.

    Parameters
    ----------
    network, image, layer
        As for `occlude`.

    Raises
    ------
    Exception
        Whatever the network raises on this image.
    """
    tape = record(network, image, keep=())
    target = _target(tape, layer)
    if target is None:
        return tape
    try:
        return with_values(tape, network, image, readable(tape, target)) or tape
    except UnfollowableError:
        return tape


def _target(tape: Tape, layer: Layer | None) -> int | None:
    """Return the number of what a layer, or the network, gives; None if it does not come from the image."""
    if layer is None:
        return tape.output
    return tape.layers.get(Key(layer.module, layer.function, layer.call))


def _focused(target: Tensor, focus: Box | None) -> Tensor:
    """Return the part of a target that is wanted."""
    if focus is None:
        return target
    top, left, bottom, right = focus
    return target[..., top:bottom, left:right]


@contextmanager
def _running(network: nn.Module, layer: Layer | None) -> Iterator[Callable[[Tensor], Tensor | None]]:
    """Yield what runs the network on images and returns its output, or that of a layer."""
    if layer is None:
        with evaluation(network):
            yield lambda images: main_tensor(forward(network, images))
        return
    with capture(network, [layer]) as run:

        def captured(images: Tensor) -> Tensor | None:
            run(images)
            return main_tensor(run[layer])

        yield captured


@dataclass(frozen=True)
class _FullPasses:
    """The plain way: the whole network for every place."""

    network: Callable[[Tensor], Tensor | None]
    image: Tensor
    baseline: Tensor
    tops: NDArray[np.int64]
    lefts: NDArray[np.int64]
    patch: tuple[int, int]
    focus: Box | None

    def covered(self, places: list[tuple[int, int]]) -> Tensor:
        """Return the image with the occluder at some places of the grid, (P, C, H, W)."""
        images = self.image.repeat(len(places), 1, 1, 1)
        for image, (row, col) in zip(images, places, strict=True):
            top, left = int(self.tops[row]), int(self.lefts[col])
            where = (..., slice(top, top + self.patch[0]), slice(left, left + self.patch[1]))
            image[where] = self.baseline[0][where]
        return images

    def target(self, images: Tensor) -> Tensor:
        """Return what the network gives, (P, …), or the focus of it."""
        found = self.network(images)
        if found is None:
            raise ValueError("the network gives no tensor")
        return _focused(found, self.focus)

    def run(self, read: Read, progress: Callable[[int, int], None] | None) -> Tensor:
        """Return what is read at every place, (rows, columns, …); one by one, as a network may look at its batch."""
        places = [(row, col) for row in range(len(self.tops)) for col in range(len(self.lefts))]

        def made() -> Iterator[Tensor]:
            for done, place in enumerate(places, start=1):
                yield read(self.target(self.covered([place])))
                if progress is not None:
                    progress(done, len(places))

        together = joined(made(), len(places))
        return together.reshape(len(self.tops), len(self.lefts), *together.shape[1:])
