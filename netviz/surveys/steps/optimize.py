"""What the shown units of a survey want to see: as many pictures as a budget holds, told before the first is made.

The budget is in seconds, but no clock decides: what a unit takes is reckoned from the network's arithmetic, so that
the same survey has the same pictures on every machine, and after an interruption.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from netviz.capture import brief
from netviz.engines import Progress
from netviz.errors import NetvizError, OutputError
from netviz.models import Layer, LayerIndex
from netviz.questions.optimize.measure import SIDE, optimize
from netviz.questions.optimize.result import OptimizeResult
from netviz.questions.patches.run import open_run
from netviz.results.survey import Missing, OptimizedLayer, OptimizeRecord, PatchesRecord
from netviz.surveys.step import Scope, made

FOLDER: Final = "optimize"
STEPS: Final = 64
"""Steps of a picture: they give its form; four times as many its colours."""
LAYERS: Final = 4
"""Of how many layers in the standard form, spread evenly over those surveyed."""
UNITS: Final = 16
"""Of how many shown units of a layer at most, but on a GPU in the full form."""
_SIGNS: Final = 2
_RATE: Final = 40e9
"""Multiplications a second of a usual core; a step takes those of three forward passes."""
_VALUES: Final = 200e6
"""Values of layers that a core gives in a second, on the way there and back: nets of thin layers wait for these."""
_BESIDES: Final = 0.004
"""Seconds of a step for a picture that no layer takes: to make it of its spectrum, and to move it."""


def survey_optimize(scope: Scope, report: Progress) -> OptimizeRecord | Missing:
    """Make a picture for a large and one for a small value of some shown units, ``optimize/SLUG.npz``.

    A file that is there is kept.
    """
    seconds = scope.optimize
    if seconds == 0:
        return Missing("--optimize 0 leaves this out")
    patches: PatchesRecord | Missing = scope.made["patches"]
    if isinstance(patches, Missing):
        return patches
    candidates = _candidates(scope, patches)
    if not candidates:
        return Missing("no layer has maps of several positions and a unit that is not dead")
    layers = in_halves(list(candidates)) if scope.full else _spread(list(candidates), LAYERS)
    units = within(
        {layer: candidates[layer] for layer in layers},
        {layer: cost(scope.index, layer) for layer in layers},
        math.inf if seconds is None else seconds,
    )
    units = {layer: units[layer] for layer in candidates if layer in units}
    if not any(units.values()):
        first = cost(scope.index, layers[0])
        return Missing(f"the first unit takes about {first:.0f} s, more than --optimize {seconds:g}")
    places = {layer: place for place, layer in enumerate(scope.index)}
    found = []
    total, done = sum(map(len, units.values())), 0
    for layer, some in units.items():
        if not some:
            continue

        def tell(what: str, made: int, of: int, done: int = done, some: Sequence[int] = some) -> None:
            report(f"{scope.model.name}: {what}", done + made * len(some) // max(1, of), total)

        def make(layer: Layer = layer, some: Sequence[int] = some, tell: Progress = tell) -> OptimizeResult:
            result = optimize(
                scope.model,
                layer=layer.name,
                units=some,
                sign="both",
                steps=STEPS,
                run=patches.folder,
                beside="none",
                progress=tell,
            )
            return replace(result, patches=None, run="")

        try:
            file, missing = made(scope, make, scope.out / FOLDER / f"{scope.slugs[layer]}.npz")
        except OutputError:
            raise
        except (NetvizError, RuntimeError, IndexError) as error:
            file, missing = None, f"{scope.model.name} gives no gradient ({brief(error)})"
        found.append(OptimizedLayer(places[layer], file, missing, some))
        done += len(some)
    return OptimizeRecord(tuple(found), seconds, total, sum(map(len, candidates.values())))


def _candidates(scope: Scope, patches: PatchesRecord) -> dict[Layer, tuple[int, ...]]:
    """Return of each layer with maps the shown units that are not dead, the first of them."""
    run = open_run(patches.folder)
    held = {one.name: one for one in run.layers}
    most = None if scope.full and scope.device != "cpu" else UNITS
    found = {}
    for layer, shown in scope.units.items():
        if layer.name in held and math.prod((layer.shape or (0,))[1:]) > 1:
            dead = set(run.result(held[layer.name]).dead)
            alive = tuple(unit for unit in shown if unit not in dead)[:most]
            if alive:
                found[layer] = alive
    return found


def _spread(layers: Sequence[Layer], count: int) -> list[Layer]:
    """Return as many of some layers, spread evenly, the last among them."""
    if len(layers) <= count:
        return list(layers)
    return [layers[round((place + 1) * (len(layers) - 1) / count)] for place in range(count)]


def in_halves(layers: Sequence[Layer]) -> list[Layer]:
    """Return layers so that any number of the first lies spread over all: the last, that of the middle, and so on."""
    ends = len(layers) - 1
    places = [
        round(part * ends / parts)
        for parts in (2**power for power in range(ends.bit_length() + 2))
        for part in range(parts, 0, -1)
    ]
    return [layers[place] for place in dict.fromkeys([*places, *range(len(layers))])]


def cost(layers: LayerIndex, upto: Layer) -> float:
    """Return about how many seconds of a usual core the pictures of one unit of a layer take.

    Of each layer on the way the multiplications count that its parameters and its maps' positions tell, and the
    values of its maps, brought to pictures of `SIDE`.
    """
    shape = layers.input_shape or (3, SIDE, SIDE)
    products, values = 0, 0
    for one in layers:
        maps = one.shape or (0,)
        products += one.parameters * math.prod(maps[1:])
        values += math.prod(maps)
        if one == upto:
            break
    scale = min(1.0, SIDE * SIDE / max(1, math.prod(shape[1:])))
    return _SIGNS * STEPS * (scale * (3 * products / _RATE + values / _VALUES) + _BESIDES)


def within(
    candidates: dict[Layer, tuple[int, ...]], costs: dict[Layer, float], seconds: float
) -> dict[Layer, tuple[int, ...]]:
    """Return of each layer as many of its first units as a budget holds: a unit of each layer in turn.

    The turn ends with the first unit that the budget does not hold, so that a larger budget only adds.
    """
    taken: dict[Layer, int] = dict.fromkeys(candidates, 0)
    left = seconds
    for turn in range(max(map(len, candidates.values()), default=0)):
        for layer, units in candidates.items():
            if turn >= len(units):
                continue
            if costs[layer] > left:
                return {one: candidates[one][:count] for one, count in taken.items()}
            left -= costs[layer]
            taken[layer] = turn + 1
    return {one: candidates[one][:count] for one, count in taken.items()}
