"""What a run of patches knows of a network's units: their typical activations, and their patches.

A run may hold a convolution where weights leave after its normalization and non-linearity: these act on each unit by
itself, so that its units are the same, and its quantiles can be followed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netviz.capture import Node
from netviz.capture.operations import names
from netviz.capture.tensors import tensors_in
from netviz.errors import ResultError
from netviz.geometry.incremental.rules import replaced
from netviz.questions.links.expand import widened
from netviz.questions.links.linear import POOLING, SAME, Flow, can_open
from netviz.questions.patches.result import PatchesResult
from netviz.questions.patches.run import PatchesRun
from netviz.questions.patches.tiles import RunImages, cut_tiles

Floats = NDArray[np.float64]

LEVELS = (0.01, 0.99)
"""Between which quantiles a unit's activation is typical."""

BEST = 9
"""How many patches of a unit are kept."""

SIDE = 56
"""Height and width of a patch in pixels."""


@dataclass(frozen=True)
class Patches:
    """Patches of some units: pixels (K, P, side, side, 3), and which of them there are, (K, P)."""

    pixels: NDArray[np.uint8]
    filled: NDArray[np.bool_]


@dataclass(frozen=True)
class Told:
    """What a run tells of a value's units.

    Attributes
    ----------
    values : Tensor of shape (Q, units)
        At the quantiles, as the value has them; NaN where the run does not tell.
    sources : tuple of (int, int) or None
        For each unit which of the run's layers has it, and as which unit.
    run : RunUnits
    """

    values: Tensor
    sources: tuple[tuple[int, int] | None, ...]
    run: "RunUnits"

    @property
    def typical(self) -> Floats:
        """The largest absolute value between the 0.01 and 0.99 quantiles, shape (units,)."""
        found: Floats = self.values.abs().amax(dim=0).numpy()
        return found

    @property
    def turned(self) -> NDArray[np.bool_]:
        """Units that are the less active the more the run's own is."""
        found: NDArray[np.bool_] = (self.values[-1] < self.values[0]).numpy()
        return found

    @property
    def layers(self) -> tuple[str, ...]:
        """The run's layers that have any of the units."""
        numbers = dict.fromkeys(one[0] for one in self.sources if one is not None)
        return tuple(self.run.run.layers[number].name for number in numbers)

    def patches(self, units: Sequence[int]) -> Patches | None:
        """Cut out the patches of some units; None where the run has none of them."""
        if not any(self.sources[unit] is not None for unit in units):
            return None
        pixels = np.full((len(units), BEST, SIDE, SIDE, 3), 255, dtype=np.uint8)
        filled = np.zeros(pixels.shape[:2], dtype=np.bool_)
        for number in sorted({one[0] for unit in units if (one := self.sources[unit]) is not None}):
            rows = [row for row, unit in enumerate(units) if (self.sources[unit] or (-1, 0))[0] == number]
            own = [(self.sources[units[row]] or (0, 0))[1] for row in rows]
            tiles = self.run.tiles(number, own)
            count = tiles[0].shape[1]
            pixels[rows, :count], filled[rows, :count] = tiles
        return Patches(pixels, filled)


class RunUnits:
    """A run of patches, asked for the units of a network's values.

    Parameters
    ----------
    run : PatchesRun
    flow : Flow
        Of the network.
    numbers : mapping of str to int
        The value that each of its layers gave, by the layer's name.

    Raises
    ------
    ResultError
        If the run has another number of units of a layer.
    """

    def __init__(self, run: PatchesRun, flow: Flow, numbers: Mapping[str, int]) -> None:
        self.run, self._flow = run, flow
        self._places = {
            numbers[layer.name]: place for place, layer in enumerate(run.layers) if layer.name in numbers
        }
        for value, place in self._places.items():
            layer, shape = run.layers[place], flow.tape.shapes[value]
            if layer.channels not in shape:
                raise ResultError(
                    f"{run.folder} has {layer.channels} units of {layer.name}, and the network's output there is "
                    f"{'×'.join(map(str, shape))}; name a run of the same network"
                )
        self._results: dict[int, PatchesResult] = {}

    def tell(self, value: int) -> Told:
        """Return what the run tells of a value's units."""
        channels = int(self._flow.tape.shapes[value][1])
        found = self._found(value)
        for node in self._flow.readers.get(value, ()):
            # Or the run has them after their own non-linearity alone, which changes what is typical, not the patches.
            if found is None and can_open(node) and self._flow.own(node) == value:
                after = self._places.get(node.outputs[0])
                if after is not None:
                    sources = tuple((after, unit) for unit in range(channels))
                    return Told(torch.full((2, channels), torch.nan, dtype=torch.float64), sources, self)
        if found is None:
            return Told(torch.full((2, channels), torch.nan, dtype=torch.float64), (None,) * channels, self)
        return Told(*found, self)

    def tiles(self, number: int, units: Sequence[int]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return patches of one of the run's layers, and which there are; images that cannot be read have none."""
        result = self._result(number)
        used = result.image[list(units), :BEST]
        images = RunImages(self.run.folder, used[used >= 0].tolist())
        tiles = cut_tiles(result, images, units, SIDE, top=BEST, mean=False)
        return tiles.pixels, tiles.filled & ~tiles.missing

    def _result(self, number: int) -> PatchesResult:
        if number not in self._results:
            self._results[number] = self.run.result(self.run.layers[number])
        return self._results[number]

    def _found(self, value: int) -> tuple[Tensor, tuple[tuple[int, int] | None, ...]] | None:
        """Return a value's quantiles and sources, from the nearest layers before it that the run has."""
        place = self._places.get(value)
        if place is not None:
            result = self._result(place)
            levels = result.quantile_levels
            between = (levels >= LEVELS[0] - 1e-9) & (levels <= LEVELS[1] + 1e-9)
            values = torch.from_numpy(result.quantiles[:, between].T.astype(np.float64))
            return values, tuple((place, unit) for unit in range(result.channels))
        node = self._flow.makers.get(value)
        parts = self._flow.parts(node)
        if parts:
            return self._joined(parts, int(self._flow.tape.shapes[value][1]))
        source = self._flow.own(node)
        found = None if node is None or source is None else self._found(source)
        if node is None or found is None:
            return None
        return _passed(node, found[0]), found[1]

    def _joined(
        self, parts: Sequence[tuple[int, int, int]], channels: int
    ) -> tuple[Tensor, tuple[tuple[int, int] | None, ...]] | None:
        told = [(first, count, self._found(number)) for number, first, count in parts]
        some = [found for _, _, found in told if found is not None]
        if not some:
            return None
        values = torch.full((len(some[0][0]), channels), torch.nan, dtype=torch.float64)
        sources: list[tuple[int, int] | None] = [None] * channels
        for first, count, found in told:
            if found is not None and len(found[0]) == len(values):
                values[:, first : first + count] = found[0]
                sources[first : first + count] = found[1]
        return values, tuple(sources)


def _passed(node: Node, values: Tensor) -> Tensor:
    """Return what becomes of values (Q, units) by a function of each unit by itself.

    A pooling, and a gate, are left out: what they do depends on more than one value.
    """
    if node.name in SAME or node.name in POOLING or node.name in names("padding") or len(node.inputs) > 1:
        return values
    args, kwargs = widened(node.args), widened(node.kwargs)
    given = {node.inputs[0]: values[..., None, None].clone()}
    (found, *_) = tensors_in(node.function(*replaced(args, given), **replaced(kwargs, given)))
    return found[..., 0, 0]
