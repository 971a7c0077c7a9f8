"""The greedy search for a minimal image: which segment may go next, until the prediction changes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netviz.capture import evaluation, unwrap
from netviz.capture.memory import joined, kept_memory
from netviz.capture.tape import Tape, record
from netviz.capture.tensors import main_tensor
from netviz.capture.watch import forward
from netviz.geometry.incremental.plan import UnfollowableError, clean_values, readable
from netviz.geometry.incremental.regions import Clean, RegionPlan
from netviz.geometry.occlusion import TOLERANCE
from netviz.questions.classes import class_scores

BATCH = 4
"""Images in one forward pass: on processors, larger batches leave the cache and take longer."""

AGAIN = 0.9
"""A plan is made anew when fewer than this share of its segments are left."""

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Removals:
    """What the search found.

    Attributes
    ----------
    order : tuple of int
        Segments in the order in which they went; the last one changed the prediction if `flipped`.
    scores : tuple of float
        The class's score after each removal.
    predictions : tuple of int
        The class with the highest score after each removal.
    flipped : bool
        Whether the prediction changed before the segments were used up.
    evaluations : int
        How many images with one segment less were judged.
    why_full : str
        Empty if only what changes was computed; else why every candidate took a full pass.
    """

    order: tuple[int, ...]
    scores: tuple[float, ...]
    predictions: tuple[int, ...]
    flipped: bool
    evaluations: int
    why_full: str


class Judge(Protocol):
    """Tells the scores of an image with one more segment removed, for several segments."""

    def __call__(self, image: Tensor, segments: Sequence[int]) -> Tensor:
        """Return the scores of all classes, (len(segments), classes)."""


def search(
    network: nn.Module,
    image: Tensor,
    baseline: Tensor,
    labels: Labels,
    chosen: int,
    *,
    incremental: bool = True,
    tape: Tape | None = None,
    progress: Callable[[int, int], None] | None = None,
    foretell: Callable[[float], None] | None = None,
    reserve: Callable[[int], None] | None = None,
) -> Removals:
    """Remove segments, each time the one without which the class score is highest, until the prediction changes.

    Parameters
    ----------
    network : nn.Module
        A classifier that predicts `chosen` for the image; left exactly as found.
    image, baseline : Tensor of shape (1, C, H, W)
        On the network's device. A removed segment shows the baseline.
    labels : ndarray of int64, shape (H, W)
        The segment of every pixel, 0 … S - 1, none of them empty.
    chosen : int
        The class.
    incremental : bool
        Compute only what a removal can change, checked once against full passes; else, or where the network cannot be
        followed, every candidate takes a full pass, in batches.
    tape : Tape, optional
        Of this network on this image, if there is one already.
    progress : callable, optional
        Called with how many segments are gone, and of how many.
    foretell : callable, optional
        Called before the work begins, with about how many seconds it takes if every segment goes, by how long one
        recorded pass took.
    reserve : callable, optional
        Called before values are kept, with how many bytes they take.

    Returns
    -------
    Removals
        Of equal scores the lowest segment goes.
    """
    network = unwrap(network)
    full = FullPasses(network, baseline, labels)
    judge: Judge = full
    left = list(range(int(labels.max()) + 1))
    where = torch.from_numpy(labels).to(image.device)
    order: list[int] = []
    scores: list[float] = []
    predictions: list[int] = []
    evaluations, why, total = 0, "" if incremental else "it was asked for", len(left)
    tape = tape or record(network, image, keep=())
    windows = Windows(network, baseline, labels, tape, foretell, reserve) if incremental else None
    with torch.no_grad(), kept_memory(), evaluation(network):
        if windows is not None:
            judge = windows
            why = _problem(judge, full, image, left)
            judge = full if why else judge
        if why and foretell is not None:
            foretell(tape.seconds * total * (total + 1) / 2)
        while left:
            found = judge(image, left)
            evaluations += len(left)
            best = int(found[:, chosen].argmax())
            order.append(left.pop(best))
            scores.append(float(found[best, chosen]))
            predictions.append(int(found[best].argmax()))
            if progress is not None:
                progress(len(order), total)
            if predictions[-1] != chosen:
                break
            image = torch.where(where == order[-1], baseline, image)
    flipped = bool(predictions) and predictions[-1] != chosen
    if progress is not None and left:
        progress(total, total)
    return Removals(tuple(order), tuple(scores), tuple(predictions), flipped, evaluations, why)


@dataclass
class FullPasses:
    """Judges by running the whole network, some candidates at a time."""

    network: nn.Module
    baseline: Tensor
    labels: Labels
    batch: int = BATCH

    def __call__(self, image: Tensor, segments: Sequence[int]) -> Tensor:
        """Return the scores of all classes, (len(segments), classes)."""
        where = torch.from_numpy(self.labels).to(image.device)
        batch = self.batch

        def made() -> Iterator[Tensor]:
            for first in range(0, len(segments), batch):
                some = segments[first : first + batch]
                without = torch.cat([torch.where(where == one, self.baseline, image) for one in some])
                yield self._scores(without)

        return joined(made(), len(segments))

    def _scores(self, images: Tensor) -> Tensor:
        """Return scores, one image at a time if the network takes no batches."""
        try:
            scores = class_scores(_main(self.network, images))
        except (RuntimeError, ValueError, IndexError):
            if len(images) == 1:
                raise
            scores = None
        if scores is None or len(scores) != len(images):
            self.batch = 1
            return torch.cat([class_scores(_main(self.network, one[None])) for one in images])
        return scores


@dataclass
class Windows:
    """Judges by computing again only what a segment can change.

    The image is recorded once: of what a removal changes, the new values are computed in the same way.
    """

    network: nn.Module
    baseline: Tensor
    labels: Labels
    tape: Tape
    foretell: Callable[[float], None] | None = None
    reserve: Callable[[int], None] | None = None
    plan: RegionPlan | None = None
    clean: Clean | None = None
    left: list[int] = field(default_factory=list)

    def __call__(self, image: Tensor, segments: Sequence[int]) -> Tensor:
        """Return the scores of all classes, (len(segments), classes).

        After the first call the image is that of the call before, without the segment that is missing now.
        """
        if self.plan is None or self.clean is None:
            tape = self.tape
            if tape.output is None:
                raise UnfollowableError("the output does not come from functions of the image")
            self.plan = RegionPlan(tape, tape.output, self.labels, segments)
            # Later plans are of fewer segments, and take windows from other values.
            numbers = readable(tape, tape.output)
            self.clean = Clean(clean_values(tape, self.network, image, numbers, self.reserve), self.baseline)
            if self.foretell is not None:
                # The first removal looks at all segments, the last at one.
                self.foretell(self.plan.seconds * (len(segments) + 1) / 2)
        for gone in sorted(set(self.left) - set(segments)):
            self.clean.replace(self.plan.only([gone]))
        self.left = list(segments)
        if len(segments) < AGAIN * len(self.plan.regions):
            self.plan = self.plan.only(segments)
        found = self.clean.judge(self.plan, class_scores)
        places = {segment: place for place, segment in enumerate(self.plan.regions.tolist())}
        return found[[places[segment] for segment in segments]]


def _problem(judge: Judge, full: FullPasses, image: Tensor, segments: list[int]) -> str:
    """Say why a network's windows cannot be trusted, after a look at the first, a middle and the last segment."""
    some = sorted({segments[0], segments[len(segments) // 2], segments[-1]})
    truth = full(image, some)
    finite = truth[torch.isfinite(truth)]
    room = TOLERANCE * float(finite.max() - finite.min()) if finite.numel() else 0.0
    try:
        found = judge(image, segments)[some]
    except UnfollowableError as error:
        return str(error)
    if found.shape != truth.shape or not torch.allclose(
        found, truth, rtol=0, atol=max(room, 1e-12), equal_nan=True
    ):
        return "the recorded functions do not give what the network gives"
    return ""


def _main(network: nn.Module, images: Tensor) -> Tensor:
    found = main_tensor(forward(network, images))
    if found is None:
        raise ValueError("the network gives no tensor")
    return found
