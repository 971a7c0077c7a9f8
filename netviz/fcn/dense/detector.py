"""A detection network's own dense outputs: for each level of anchors, every class's score at every cell."""

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from netviz.capture import brief, evaluation, network_device, unwrap, wide
from netviz.errors import ImageError, ModelError
from netviz.fcn.dense.levels import Level, resized
from netviz.fcn.dense.network import whole
from netviz.geometry.field import Field
from netviz.images import Photo, prepare
from netviz.models import Model, Preprocessing

_PROBE = 64
"""Pixels: enough for every network that has no fixed size."""


def is_detector(model: Model) -> bool:
    """Return whether a network is built as torchvision's detection networks are: a backbone, and anchors."""
    network = model.network
    return all(hasattr(network, name) for name in ("backbone", "transform")) and (
        hasattr(network, "rpn") or hasattr(network, "anchor_generator")
    )


@dataclass(frozen=True)
class Detector:
    """A detection network ready for whole images.

    What it answers after that (boxes regressed, suppressed and scored again) is left out: its scores at the cells are
    what its head gives, before any sigmoid or softmax. Of a network in two stages they say "object".

    Attributes
    ----------
    model : Model
        Its labels are those of the cells' scores.
    channels : int
        How many.
    preprocessing : Preprocessing
        How a whole image is brought to it, at scale 1.
    """

    model: Model
    channels: int
    preprocessing: Preprocessing

    @property
    def background(self) -> tuple[int, ...]:
        """The classes that mean background."""
        return tuple(at for at, name in enumerate(self.model.labels) if name == "__background__")

    def levels(self, photo: Photo, scale: float) -> list[Level]:
        """Run the network over a photograph; return a level for each size of anchors.

        Raises
        ------
        ImageError
            If the network does not run on it.
        """
        network: Any = unwrap(self.model.runnable())
        size = resized(self.preprocessing, photo, scale)
        preprocessing = replace(self.preprocessing, resize=size, crop=None)
        image = prepare(photo, preprocessing).tensor
        with torch.no_grad(), evaluation(network):
            try:
                found = _levels(network, image.to(network_device(network)))
            except (RuntimeError, ValueError, IndexError) as error:
                raise ImageError(
                    f"{self.model.name} does not run on {photo.name} at {size[0]}×{size[1]} pixels ({brief(error)}); "
                    f"give a larger image, or another --short-side"
                ) from error
        return [self._placed(scores, anchors, photo, size, scale, preprocessing) for scores, anchors in found]

    def _placed(
        self,
        scores: Tensor,
        anchors: Tensor,
        photo: Photo,
        size: tuple[int, int],
        scale: float,
        preprocessing: Preprocessing,
    ) -> Level:
        """Place cells at the centres of their anchors, (h, w, A, 4): x, y, x', y' in edges of the input's pixels."""
        boxes = wide(anchors).numpy()
        x, y = ((boxes[..., at] + boxes[..., at + 2]).mean(axis=2) / 2 for at in (0, 1))
        rows, cols = y[:, 0], x[0]
        # The network pads the image below and to the right; cells there see nothing of it.
        inside = max(1, int((rows < size[0]).sum())), max(1, int((cols < size[1]).sum()))
        per = [original / side for original, side in zip(photo.pixels.shape[:2], size, strict=True)]
        steps = [
            float(at[1] - at[0]) if len(at) > 1 else float(side)
            for at, side in zip((rows, cols), size, strict=True)
        ]
        sides = [float((boxes[..., at + 2] - boxes[..., at]).max()) for at in (1, 0)]
        tops = [float(at[0]) - side / 2 for at, side in zip((rows, cols), sides, strict=True)]
        return Level(
            scale=scale,
            scores=scores[:, : inside[0], : inside[1]].float().cpu().numpy(),
            center_y=np.asarray(rows[: inside[0]] * per[0] - 0.5),
            center_x=np.asarray(cols[: inside[1]] * per[1] - 0.5),
            stride=(steps[0] * per[0], steps[1] * per[1]),
            window=(tops[0] * per[0], tops[1] * per[1], sides[0] * per[0], sides[1] * per[1]),
            window_of="anchor",
            placed="anchors",
            size=size,
            field=Field.unknown("the levels of a detection network"),
            preprocessing=preprocessing,
        )


def open_detector(model: Model, short_side: int | str | None) -> Detector:
    """Make a detection network ready.

    Raises
    ------
    ModelError
        If it is built in another way than torchvision's.
    ValueError
        If `short_side` is neither a positive whole number nor ``"own"``.
    """
    network: Any = unwrap(model.runnable())
    transform = network.transform
    fixed = getattr(transform, "fixed_size", None)
    side = min(fixed) if fixed else min(transform.min_size)
    if hasattr(network, "rpn"):
        model = replace(model, labels=("object",))
    preprocessing = whole(replace(model.preprocessing, resize=int(side)), None, short_side)
    detector = Detector(model, 1, preprocessing)
    try:
        black = Photo("a black image", np.zeros((int(side), int(side), 3), dtype=np.uint8))
        channels = (
            replace(detector, preprocessing=replace(preprocessing, resize=int(side) if fixed else _PROBE))
            .levels(black, 1)[0]
            .scores
        )
    except (AttributeError, TypeError, KeyError, ImageError) as error:
        raise ModelError(
            f"{model.name} is a detection network of another kind than torchvision's ({brief(error)}); use one of "
            f"those, or a network that gives maps"
        ) from error
    if len(channels) != len(model.labels):
        model = replace(model, labels=())
    return Detector(model, len(channels), preprocessing)


def _levels(network: Any, image: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return for each level its cells' scores (C, h, w) and anchors (h, w, A, 4)."""
    transform = network.transform
    mean, std = (
        torch.as_tensor(values, dtype=image.dtype, device=image.device)[:, None, None]
        for values in (transform.image_mean, transform.image_std)
    )
    multiple = int(transform.size_divisible)
    image = nn.functional.pad(
        (image - mean) / std, (0, -image.shape[-1] % multiple, 0, -image.shape[-2] % multiple)
    )
    features = network.backbone(image)
    features = [features] if isinstance(features, Tensor) else list(features.values())
    two_stages = hasattr(network, "rpn")
    generator = network.rpn.anchor_generator if two_stages else network.anchor_generator
    images = SimpleNamespace(tensors=image, image_sizes=[tuple(image.shape[-2:])])
    anchors = generator(images, features)[0]
    counts = generator.num_anchors_per_location()
    if two_stages:
        scores = torch.cat([one.permute(0, 2, 3, 1).reshape(-1, 1) for one in network.rpn.head(features)[0]])
    else:
        scores = network.head.classification_head(features)[0]
    found, first = [], 0
    for feature, count in zip(features, counts, strict=True):
        height, width = feature.shape[-2:]
        last = first + height * width * count
        # A cell's anchors differ in size and shape; it is as good as the best of them.
        best = scores[first:last].reshape(height, width, count, -1).amax(2).permute(2, 0, 1)
        found.append((best, anchors[first:last].reshape(height, width, count, 4)))
        first = last
    return found
