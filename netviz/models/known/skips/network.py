"""Streams and skips (Long, Shelhamer, Darrell, CVPR 2015) on any backbone, from plain numbers.

A backbone is cut open: what runs up to the layers that are tapped gives their outputs, and rows of positions are read
between their centres, linearly.
"""

import importlib
import math
import operator
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from netviz.errors import LayerError, ModelError
from netviz.interpolation import linear_weights, rescaled
from netviz.models.torchvision_import import import_torchvision


def tapped(backbone: nn.Module, taps: dict[str, str]) -> nn.Module:
    """Return a graph of a backbone that gives a dict of some layers' outputs; what only others need is left out.

    Parameters
    ----------
    backbone : nn.Module
        Used up: the graph holds its modules, and its forward may write to what it holds while it is followed.
    taps : dict of str to str
        The names of the outputs, by the layers' dotted names.

    Raises
    ------
    ModelError
        If the backbone cannot be followed by torch.fx.
    LayerError
        If it has no such layer.
    """
    import_torchvision()
    modes = {name: module.training for name, module in backbone.named_modules()}
    try:
        graph, names = _followed(backbone.eval())
    except Exception as error:  # whatever a network's own code raises on torch.fx's stand-ins
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(
            f"{type(backbone).__name__} cannot be followed by torch.fx ({lines[0][:120]}); choose another backbone"
        ) from error
    outputs: dict[str, torch.fx.Node] = {}
    for layer, name in taps.items():
        # A module that holds others gives what the last of them gives.
        found = [node for node, known in names.items() if known == layer or known.startswith(f"{layer}.")]
        if not found:
            raise LayerError(
                f"layer {layer!r} cannot be tapped in {type(backbone).__name__}; name another (see: netviz layers)"
            )
        outputs[name] = found[-1]
    ends = [node for node in graph.graph.nodes if node.op == "output"]
    with graph.graph.inserting_after(ends[-1]):
        graph.graph.output(outputs)
    for node in ends:
        graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    _keep_outputs(graph)
    for name, module in graph.named_modules():
        module.training = modes.get(name, graph.training)
    return graph


def _followed(network: nn.Module) -> tuple[torch.fx.GraphModule, dict[torch.fx.Node, str]]:
    """Return a network as a graph, and its nodes' names as torchvision's feature extraction gives them."""
    ops: Any = import_torchvision().ops
    extraction: Any = importlib.import_module("torchvision.models.feature_extraction")
    tracer = extraction.NodePathTracer(
        autowrap_modules=(math, ops), leaf_modules=[ops.StochasticDepth, ops.FrozenBatchNorm2d]
    )
    held = [(module, dict(vars(module))) for module in network.modules()]
    traced = tracer.trace(network)
    for module, attributes in held:  # a forward may have kept fx's stand-ins in place of tensors
        vars(module).update(attributes)
    return torch.fx.GraphModule(network, traced, type(network).__name__), dict(tracer.node_to_qualname)


def _keep_outputs(graph: torch.fx.GraphModule) -> None:
    """Have no later layer write over an output."""
    outputs = next(node for node in reversed(graph.graph.nodes) if node.op == "output")
    for node in outputs.all_input_nodes:
        for user in node.users:
            if user.op == "call_module":
                module = graph.get_submodule(str(user.target))
                if getattr(module, "inplace", False):
                    module.inplace = False  # type: ignore[assignment]
            elif user.op == "call_function" and user.target is operator.iadd:
                user.target = operator.add
            elif user.op == "call_function" and user.kwargs.get("inplace"):
                user.kwargs = {**user.kwargs, "inplace": False}
    graph.recompile()


_AUTOCAST = ("cpu", "cuda")


@dataclass(frozen=True)
class Tap:
    """A layer of the backbone whose maps are scored.

    Attributes
    ----------
    layer : str
        Its dotted name.
    stride : int
        Of its positions, in pixels of the input.
    center : (float, float)
        The middle (y, x) of what its first position sees; the middle of the first pixel is 0.
    channels : int
    """

    layer: str
    stride: int
    center: tuple[float, float]
    channels: int

    @property
    def stream(self) -> str:
        """What the stream that ends here is called, such as ``16s``."""
        return f"{self.stride}s"


class Refinement(nn.Module):
    """Brings scores from a coarse tap's positions to a finer one's: a transposed convolution for each class.

    At first it interpolates linearly between the coarse positions, wherever the fine ones lie between them; beyond
    the outermost ones their value stands.

    Parameters
    ----------
    coarse, fine : Tap
        The stride of the first is a multiple of the second's.
    classes : int
    learned : bool
        Whether the kernels are parameters; else they stay as they are.
    """

    kernel: Tensor

    def __init__(self, coarse: Tap, fine: Tap, classes: int, learned: bool) -> None:
        super().__init__()
        self.factor = coarse.stride // fine.stride
        # The first fine position, counted in coarse ones.
        self.phase = tuple(
            (there - here) / coarse.stride for here, there in zip(coarse.center, fine.center, strict=True)
        )
        kernels = [linear_kernel(self.factor, phase) for phase in self.phase]
        self.first = tuple(first for _, first in kernels)
        kernel = torch.from_numpy(np.outer(kernels[0][0], kernels[1][0])).float()
        kernel = kernel.expand(classes, 1, -1, -1).clone()
        if learned:
            self.kernel = nn.Parameter(kernel)
        else:
            self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, scores: Tensor, size: tuple[int, int]) -> Tensor:
        """Return scores (N, K, h, w) at the fine tap's positions, (N, K, H, W)."""
        margins, starts = [], []
        for axis in (0, 1):
            before = max(0, -math.floor(self.phase[axis]))
            last = (size[axis] - 1) / self.factor + self.phase[axis]
            after = max(0, math.floor(last) + 2 - scores.shape[2 + axis])
            margins.append((before, after))
            starts.append(before * self.factor - self.first[axis])
        scores = functional.pad(scores, (*margins[1], *margins[0]), mode="replicate")
        scores = functional.conv_transpose2d(
            scores, self.kernel, stride=self.factor, groups=self.kernel.shape[0]
        )
        return scores[..., starts[0] : starts[0] + size[0], starts[1] : starts[1] + size[1]]


class SkipNetwork(nn.Module):
    """A backbone, a 1×1 convolution that scores each tap, and their sums, coarse to fine.

    ``forward`` takes (N, C, H, W) of any size and returns a dict of the streams, the finest first (``8s``, ``16s``,
    ``32s``), each (N, K, H, W): scores at every pixel of the input.

    Parameters
    ----------
    backbone : nn.Module
        Used up, see `tapped`; what runs after the last tap is left out.
    taps : sequence of Tap
        Coarse to fine; each stride is a multiple of the next.
    classes : int
        K.
    learned : bool
        Whether the kernels between taps can be trained.

    Raises
    ------
    ModelError
        If the backbone cannot be followed by torch.fx.
    LayerError
        If a tap is none of its layers.
    """

    def __init__(
        self, backbone: nn.Module, taps: Sequence[Tap], classes: int, *, learned: bool = False
    ) -> None:
        super().__init__()
        self.taps = tuple(taps)
        self.classes = classes
        self.learned = learned
        self.backbone = tapped(backbone, {tap.layer: tap.stream for tap in taps})
        self.score = nn.ModuleDict({tap.stream: nn.Conv2d(tap.channels, classes, 1) for tap in taps})
        for conv in self.score.values():
            # The paper's start: no class is preferred, and a new skip leaves the coarser stream as it is.
            nn.init.zeros_(conv.weight)  # type: ignore[arg-type]
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        self.step = nn.ModuleDict(
            {fine.stream: Refinement(coarse, fine, classes, learned) for coarse, fine in pairwise(taps)}
        )

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams' names, coarse to fine."""
        return tuple(tap.stream for tap in self.taps)

    def coarse(self, x: Tensor) -> dict[str, Tensor]:
        """Return each stream's scores (N, K, h, w) at its own tap's positions, coarse to fine."""
        maps = self.backbone(x)
        fused: dict[str, Tensor] = {}
        before: Tensor | None = None
        for tap in self.taps:
            scores = self.score[tap.stream](maps[tap.stream])
            with _full_precision(scores):
                scores = _widened(scores)
                if before is not None:
                    scores = scores + self.step[tap.stream](before, (scores.shape[2], scores.shape[3]))
            fused[tap.stream] = before = scores
        return fused

    def forward(
        self, x: Tensor, only: Sequence[str] | None = None, grid: tuple[int, int] = (0, 1)
    ) -> dict[str, Tensor]:
        """Return the streams, (N, K, H, W) each, finest first; those of `only` if that is given.

        With a `grid` of (first, apart), the scores of every so manieth row and column alone.
        """
        size = x.shape[2], x.shape[3]
        fused = self.coarse(x)
        wanted = [tap for tap in reversed(self.taps) if only is None or tap.stream in only]
        with _full_precision(x):
            return {tap.stream: to_pixels(fused[tap.stream], tap, size, grid) for tap in wanted}


def to_pixels(scores: Tensor, tap: Tap, size: tuple[int, int], grid: tuple[int, int] = (0, 1)) -> Tensor:
    """Interpolate scores (N, K, h, w) between a tap's positions, at every pixel of an input of this size.

    With a `grid` of (first, apart), at every so manieth row and column alone.
    """
    first, apart = grid
    matrices = [
        linear_matrix(scores.shape[2 + axis], size[axis], tap.center[axis], tap.stride)[first::apart]
        for axis in (0, 1)
    ]
    return _read(scores, *matrices)


def to_image(scores: Tensor, tap: Tap, size: tuple[int, int], pixels: tuple[int, int]) -> Tensor:
    """Interpolate scores at every pixel of an image of `pixels`, which was resized to an input of `size`."""
    matrices = []
    for axis in (0, 1):
        ratio = pixels[axis] / size[axis]
        center = rescaled(tap.center[axis], ratio)
        matrices.append(linear_matrix(scores.shape[2 + axis], pixels[axis], center, tap.stride * ratio))
    return _read(scores, *matrices)


def _read(scores: Tensor, down: NDArray[np.float32], across: NDArray[np.float32]) -> Tensor:
    # By a function that shows where it runs: then the tape knows these for constants.
    rows, columns = (torch.as_tensor(one, dtype=scores.dtype, device=scores.device) for one in (down, across))
    return rows @ (scores.contiguous() @ columns.T)


@lru_cache(maxsize=64)
def linear_matrix(length: int, pixels: int, center: float, stride: float) -> NDArray[np.float32]:
    """Return the matrix (pixels, length) that reads a row of positions at every pixel, linearly.

    Position i lies at pixel ``center + i * stride``; beyond the outermost ones their value stands. Each row of the
    matrix sums to 1.
    """
    return linear_weights((np.arange(pixels) - center) / stride, length).astype(np.float32)


def linear_kernel(factor: int, phase: float) -> tuple[NDArray[np.float64], int]:
    """Return a transposed convolution's kernel that interpolates linearly, and where it begins.

    Parameters
    ----------
    factor : int
        Fine positions for each coarse one.
    phase : float
        Where the first fine position lies, counted in coarse ones.

    Returns
    -------
    kernel : ndarray of float64
        What a coarse position gives to the fine ones from ``first`` on, counted from ``factor`` times its own place.
    first : int
    """
    first = math.floor(-factor * (1 + phase)) + 1
    last = math.ceil(factor * (1 - phase)) - 1
    return 1 - np.abs(np.arange(first, last + 1) / factor + phase), first


def _full_precision(x: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which scores are added and interpolated with their own numbers."""
    if x.device.type in _AUTOCAST and torch.is_autocast_enabled(x.device.type):
        return torch.autocast(x.device.type, enabled=False)
    return nullcontext()


def _widened(scores: Tensor) -> Tensor:
    """Return scores in float32 where autocast made them shorter than the network's own numbers."""
    if scores.device.type in _AUTOCAST and scores.dtype in (torch.bfloat16, torch.float16):
        return scores.float()
    return scores
