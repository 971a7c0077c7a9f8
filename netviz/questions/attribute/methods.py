"""The methods: from gradients and maps to what each pixel, or each position of a map, has to do with a score."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from netviz.capture import Node, Tape
from netviz.capture.operations import OPERATIONS, arguments
from netviz.errors import ModelError
from netviz.models import Layer
from netviz.questions.attribute.probe import Probe


def gradcam(maps: Tensor, slopes: Tensor) -> Tensor:
    """Weigh each map by its mean gradient (Selvaraju et al., 2017).

    Parameters
    ----------
    maps, slopes : Tensor of shape (C, h, w)
        A layer's maps, and the gradient of the score with respect to them.

    Returns
    -------
    Tensor of shape (h, w)
        The positive part of the sum.
    """
    return (slopes.mean((1, 2), keepdim=True) * maps).sum(0).clamp(min=0)


def gradcam_plus(maps: Tensor, slopes: Tensor) -> Tensor:
    """Weigh each map by its positive gradients, each by its share in what raises the score (Chattopadhay et al.).

    The paper's score is the exponential of the network's, whose derivatives are powers of the gradient; a factor that
    is the same everywhere is left out.
    """
    lower = 2 * slopes**2 + maps.sum((1, 2), keepdim=True) * slopes**3
    shares = torch.where(lower == 0, 0, slopes**2 / torch.where(lower == 0, 1, lower))
    weights = (shares * slopes.clamp(min=0)).sum((1, 2), keepdim=True)
    return (weights * maps).sum(0).clamp(min=0)


def layercam(maps: Tensor, slopes: Tensor) -> Tensor:
    """Weigh every position of each map by its own positive gradient (Jiang et al., 2021)."""
    return (slopes.clamp(min=0) * maps).sum(0).clamp(min=0)


def cam(maps: Tensor, slopes: Tensor) -> Tensor:
    """Weigh each map by its weight in the score, which is behind a mean over positions (Zhou et al., 2016).

    Behind such a mean the gradient is the same at all positions: the weight, divided by how many there are. So the
    mean of the map, with the bias, is the score.
    """
    return (slopes.mean((1, 2), keepdim=True) * maps).sum(0) * maps[0].numel()


WEIGHED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cam": cam,
    "gradcam": gradcam,
    "gradcam++": gradcam_plus,
    "layercam": layercam,
}
"""Of each method that weighs a layer's maps, the function."""

_LINEAR = frozenset(
    (
        "view",
        "squeeze",
        "unsqueeze",
        "copy",
        "dropout",
        "linear",
        "convolution",
        "permutation",
        "transposition",
        "moving",
    )
)

_PARTS = frozenset(("getitem", "narrow", "slice", "select", "split", "unbind"))
"""Of what has no positions any more: the part that holds the class keeps its weights."""

_MEANS = ("adaptive_avg_pool2d", "avg_pool2d", "mean")


def require_cam(tape: Tape, start: int | None, output: int | None, network: str, layer: Layer) -> None:
    """Refuse a network that does more after a layer than a mean over its positions and one linear layer.

    Parameters
    ----------
    tape : Tape
    start, output : int or None
        The values on it that the layer and the score come from.
    network : str
        What it is called.
    layer : Layer

    Raises
    ------
    ModelError
        Saying what else it does.
    """
    found = _beyond(tape, start, output, layer.channel_axis)
    if found:
        raise ModelError(
            f"{network} has no CAM at {layer.name} ({layer.alias}): {found}, where CAM needs a mean over all "
            "positions and a linear layer; take --method gradcam: where both exist, they differ by a factor only"
        )


def _beyond(tape: Tape, start: int | None, output: int | None, axis: int) -> str:
    if start is None or output is None:
        return "the way from there to the score cannot be followed"
    reached, way = {start}, []
    for node in tape.nodes:
        if reached.intersection(node.inputs) and start not in node.outputs:
            reached.update(node.outputs)
            way.append(node)
    needed, last = {output}, list[Node]()
    for node in reversed(way):
        if needed.intersection(node.outputs):
            needed.update(node.inputs)
            last.append(node)
    if output not in reached:
        return "the score does not come from there"
    averaged = len(tape.shapes[output]) == 4 and output in (start, *reached)
    weighted = 0
    for node in reversed(last):
        before, after = tape.shapes[node.inputs[0]], tape.shapes[node.outputs[0]]
        kind = OPERATIONS[node.name].kind if node.name in OPERATIONS else ""
        if node.name in _MEANS and len(before) == 4 and _over_positions(node, before, after, axis):
            averaged = True
        elif kind in _PARTS and len(before) == 2:
            continue
        elif kind not in _LINEAR or (len(before) == 4 and before[2:] != (1, 1) and not _pointwise(node)):
            return f"it runs {node.name} there"
        weighted += kind in ("linear", "convolution")
    if weighted > 1:
        return f"{weighted} weighted layers follow there"
    return "" if averaged else "no mean over all positions follows there"


def _over_positions(node: Node, before: torch.Size, after: torch.Size, axis: int) -> bool:
    """Return whether a mean leaves one value for each channel."""
    if node.name != "mean":
        return axis == 1 and after[2:] == (1, 1)
    over: Any = arguments(node.name, node.args, node.kwargs)["dim"]
    return isinstance(over, tuple | list) and {one % 4 for one in over} == {1, 2, 3} - {axis}


def _pointwise(node: Node) -> bool:
    """Return whether a call keeps every position by itself, and treats all alike."""
    kind = OPERATIONS[node.name].kind
    weight: Any = node.args[1] if len(node.args) > 1 else node.kwargs.get("weight")
    return kind in ("copy", "dropout") or (kind == "convolution" and tuple(weight.shape[2:]) == (1, 1))


def integrated(probe: Probe, steps: int, told: Callable[[int], None]) -> tuple[Tensor, float]:
    """Integrate the gradient from an image of zeros, in the network's own units, to the image (Sundararajan et al.).

    By the Gauss-Legendre rule with so many points.

    Returns
    -------
    Tensor of shape (C, H, W)
        Its sum is the score of the image less that of the zeros, as far as the rule is exact.
    float
        The score of the zeros.
    """
    at, weights = np.polynomial.legendre.leggauss(steps)
    image = probe.image
    shares, parts = (torch.from_numpy(one).to(image) for one in ((at + 1) / 2, weights / 2))
    total, done = torch.zeros_like(image[0]), 0
    for _, slopes in probe.slopes(shares.view(-1, 1, 1, 1) * image):
        total += (parts[done : done + len(slopes)].view(-1, 1, 1, 1) * slopes).sum(0)
        done += len(slopes)
        told(done)
    return total * image[0], float(probe.values(torch.zeros_like(image))[0])


def smoothgrad(probe: Probe, samples: int, noise: float, seed: int, told: Callable[[int], None]) -> Tensor:
    """Average the gradient over noisy copies of the image (Smilkov et al., 2017).

    Parameters
    ----------
    samples : int
    noise : float
        Standard deviation, as a share of the range of the image's values.
    seed : int
        Draws the noise, on the CPU whatever the device.

    Returns
    -------
    Tensor of shape (C, H, W)
    """
    image = probe.image
    spread = noise * float(image.max() - image.min())
    rng = np.random.default_rng(seed)
    total, done = torch.zeros_like(image[0]), 0
    while done < samples:
        count = min(samples - done, probe.at_once)
        drawn = rng.standard_normal((count, *image.shape[1:]), dtype=np.float32) * np.float32(spread)
        for _, slopes in probe.slopes(image + torch.from_numpy(drawn).to(image)):
            total += slopes.sum(0)
        done += count
        told(done)
    return total / samples
