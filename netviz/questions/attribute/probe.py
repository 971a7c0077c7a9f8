"""One score of a network, and its gradient with respect to the image and to maps on the way."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from netviz.capture import Capture, Nonlinearities, brief, capture, channels_first
from netviz.capture.outputs import named_tensors
from netviz.capture.padding import cropped, reflected
from netviz.errors import ImageError, LayerError, ModelError
from netviz.models import Layer
from netviz.questions.classes import class_label, class_scores, find_class, scored
from netviz.questions.opening import does_not_run, require_memory
from netviz.questions.places import Shown

AT_ONCE = 8
"""Images of 224×224 pixels in one pass, fewer of larger ones."""


@dataclass
class ClassTarget:
    """The score of a class; which one is settled by the first pass.

    Attributes
    ----------
    asked, output : str, int or None
        The class and the output as a user named them.
    index, label, name, what, called : int, str
        Once settled: the class, the name of the output, what a score is, and what it is of.
    """

    asked: str | int | None = None
    output: str | int | None = None
    index: int = -1
    label: str = ""
    name: str = ""
    what: str = ""
    called: str = "class"
    predicted: bool = False
    count: int = 0
    layers: tuple[Layer, ...] = ()

    def scores(self, shown: Shown, output: Any, run: Capture) -> Tensor:
        """Return the class's raw score for each image."""
        found = _unpadded(named_tensors(output), shown)
        if self.index < 0:
            model = shown.opened.model
            scores = scored(model, found, "attribute", self.output)
            self.index = find_class(self.asked, scores.values, model)
            self.label = class_label(model, self.index)
            self.name, self.called, self.count = scores.output, scores.called, len(scores.values)
            self.predicted = self.asked is None and self.count > 1
            self.what = scores.what + _after_softmax(found[self.name])
        return class_scores(found[self.name])[:, self.index]


@dataclass
class UnitTarget:
    """A unit's value where it is largest on the image, or a whole layer; where that is is settled by the first pass.

    Attributes
    ----------
    layer : Layer
    unit : int or None
        None for the layer: half the sum of its squares, whose gradient at the layer is the layer itself.
    position : tuple of int
        Row and column, once settled.
    """

    layer: Layer
    unit: int | None
    position: tuple[int, ...] = ()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layer."""
        return (self.layer,)

    @property
    def what(self) -> str:
        """What the score is, for a caption."""
        if self.unit is None:
            return "half the sum of squares of the layer's values"
        return f"the unit's largest value, at row {self.position[0]}, column {self.position[1]} of its map"

    def scores(self, shown: Shown, output: Any, run: Capture) -> Tensor:
        """Return the unit's value for each image, at the position of the first pass."""
        maps = channels_first(self.layer, run[self.layer])
        if shown.multiple:
            maps = cropped(maps, shown.prepared.image.shape[:2], shown.multiple)
        if self.unit is None:
            return maps.square().sum((1, 2, 3)) / 2
        one = maps[:, self.unit]
        if not self.position:
            row, col = divmod(int(one[0].argmax()), one.shape[2])
            self.position = row, col
        return one[:, self.position[0], self.position[1]]


def _unpadded(found: Mapping[str, Tensor], shown: Shown) -> Mapping[str, Tensor]:
    """Return outputs whose maps end where the image does."""
    size, multiple = shown.prepared.image.shape[:2], shown.multiple
    if not multiple:
        return found
    return {name: cropped(one, size, multiple) if one.ndim == 4 else one for name, one in found.items()}


def _after_softmax(scores: Tensor) -> str:
    """Say of scores that a softmax gave them: a share falls where others rise."""
    made: Any = scores.grad_fn
    while made is not None and any(
        word in made.name() for word in ("View", "Reshape", "Squeeze", "Clone", "Slice")
    ):
        made = made.next_functions[0][0]
    return ", after the network's own softmax" if made is not None and "Softmax" in made.name() else ""


@dataclass(frozen=True)
class Passed:
    """What one pass there and back gave.

    Attributes
    ----------
    scores : Tensor of shape (N,)
    pixels : Tensor of shape (N, C, H, W) or None
        The gradient with respect to the images, as they were before they were continued; None if not asked for.
    maps : dict of Layer to (Tensor, Tensor)
        Raw outputs of layers, and the gradients with respect to them; without those that none reaches.
    """

    scores: Tensor
    pixels: Tensor | None
    maps: dict[Layer, tuple[Tensor, Tensor]]


@dataclass
class Probe:
    """Runs a network forth and back for one target.

    Attributes
    ----------
    shown : Shown
        The network and the image.
    target : Target
    met : Nonlinearities
        What gradients could meet in the last pass: of a unit what ran before its layer had.
    rectified : bool
        Whether the network has a rectifier anywhere.
    at_once : int
        How many images a pass takes; 1 once the network has refused several.
    """

    shown: Shown
    target: ClassTarget | UnitTarget
    met: Nonlinearities = field(default_factory=Nonlinearities)
    at_once: int = 0
    rectified: bool = False

    def __post_init__(self) -> None:
        """Take fewer images at once where they are large."""
        if not self.at_once:
            height, width = self.shown.prepared.image.shape[:2]
            self.at_once = max(1, min(AT_ONCE, AT_ONCE * 224 * 224 // (height * width)))
        opened, name = self.shown.opened, self.shown.photo.name
        require_memory(opened.model, opened.index, self.image, name, everything=True)

    @property
    def image(self) -> Tensor:
        """The normalized image, (1, C, H, W), on the network's device."""
        return self.shown.prepared.tensor.to(self.shown.opened.device)

    @contextmanager
    def _running(self, layers: Iterable[Layer], rule: str) -> Iterator[Capture]:
        network = self.shown.opened.network
        watched = tuple(dict.fromkeys((*self.target.layers, *layers)))
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            capture(network, watched, grad=True, any_size=bool(self.shown.multiple), rule=rule) as run,
        ):
            yield run
        unit = self.target.layer if isinstance(self.target, UnitTarget) else None
        self.met, self.rectified = run.met_before(unit) if unit else run.met, bool(run.met.rectifiers)

    def there_and_back(
        self,
        images: Tensor,
        *,
        layers: Sequence[Layer] = (),
        rule: str = "gradient",
        pixels: bool = True,
    ) -> Passed:
        """Run the network on images, (N, C, H, W), and follow the gradient of their scores back.

        Raises
        ------
        ImageError
            If the network does not run on them.
        ModelError
            If no gradient flows, or there is no such class.
        """
        shown = self.shown
        name, model = shown.photo.name, shown.opened.model
        with self._running(layers, rule) as run:
            # Also where only layers are asked for: a network may be frozen.
            images = images.detach().clone().requires_grad_(True)
            try:
                output = run(reflected(images, shown.multiple) if shown.multiple else images)
            except (RuntimeError, ValueError, IndexError) as error:
                raise ImageError(does_not_run(model, name, images.shape[-2:], brief(error))) from error
            scores = self.target.scores(shown, output, run)
            kept = {layer: run[layer] for layer in layers if layer in dict(run.items())}
            found = self._slopes(scores, [*([images] if pixels else []), *kept.values()])
        slopes = found.pop(0) if pixels else None
        if pixels and slopes is None:
            raise ModelError(self._why_none())
        maps = {
            layer: (one.detach(), slope)
            for (layer, one), slope in zip(kept.items(), found, strict=True)
            if slope is not None
        }
        return Passed(scores.detach(), slopes, maps)

    def _slopes(self, scores: Tensor, sources: list[Tensor]) -> list[Tensor | None]:
        """Return the gradient of all scores together with respect to each source; None where none flows."""
        if not scores.requires_grad:
            raise ModelError(self._why_none())
        try:
            found = torch.autograd.grad(scores.sum(), sources, allow_unused=True)
        except (RuntimeError, NotImplementedError) as error:
            raise ModelError(
                f"no gradient flows through {self.shown.opened.model.name}: {brief(error)}; "
                "netviz occlusion needs none"
            ) from error
        return list(found)

    def _why_none(self) -> str:
        model = self.shown.opened.model
        quantized = any(getattr(value, "is_quantized", False) for value in model.weights.values())
        why = (
            "it is quantized"
            if quantized
            else "it shuts gradients off (no_grad, inference_mode or detach in its forward pass)"
        )
        return f"no gradient flows from the score to the image in {model.name}: {why}; netviz occlusion needs none"

    def values(self, images: Tensor) -> Tensor:
        """Return the scores of images, (N, C, H, W), without gradients."""
        return torch.cat(list(self._batches(images, lambda some: self._forward(some))))

    def _forward(self, images: Tensor) -> Tensor:
        shown = self.shown
        with capture(shown.opened.network, self.target.layers, any_size=bool(shown.multiple)) as run:
            output = run(reflected(images, shown.multiple) if shown.multiple else images)
            return self.target.scores(shown, output, run)

    def slopes(self, images: Tensor, rule: str = "gradient") -> Iterator[tuple[Tensor, Tensor]]:
        """Yield scores and gradients of images, (N, C, H, W), a batch at a time."""
        for passed in self._batches(images, lambda some: self.there_and_back(some, rule=rule)):
            if passed.pixels is not None:
                yield passed.scores, passed.pixels

    def _batches(self, images: Tensor, run: Any) -> Iterator[Any]:
        at = 0
        while at < len(images):
            some = images[at : at + self.at_once]
            try:
                yield run(some)
            except (ImageError, RuntimeError, LayerError):
                if self.at_once == 1 or len(some) == 1:
                    raise
                self.at_once = 1  # a network for one image alone
                continue
            at += len(some)


def counted(calls: Counter[str]) -> dict[str, int]:
    """Return how often each function was called, by name."""
    return dict(sorted(calls.items()))
