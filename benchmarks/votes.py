"""Votes: ablation of all units of a layer.

The score of one class of MobileNetV2 at 224 px when each unit of a layer is 0, against a full forward pass for each
unit with its channel set to 0 by a hook (a few are timed, one image each, and counted for all). Ours is the whole
answer: the recorded pass, the one that keeps what is read again, the check against two full passes, and every unit.
Times are of the processor, one thread; medians of runs in turns. Multiplications: those of a full pass over those
that each unit needs after the layer, if its change is carried as one map, and through 1×1 convolutions as one map
times a vector, up to the first non-linearity that all channels share. Where nothing is approximated that is the
floor; what exceeds it comes of running many units at once. Goal: at least 20×. The last layer meets it; layers of the
middle do not: what they leave to multiply is 4.4 and 2.9 times less than full passes, and running many at once brings
that to 7 to 9. When all values of a pass were kept, and none ran for those that are needed, the last layer's ratio
was 129, the others' about the same.
"""

import argparse
import statistics
import time
from typing import Any

import torch
from torch import Tensor, nn

from netviz.capture import record
from netviz.capture.memory import kept_memory
from netviz.errors import MissingWeightsError
from netviz.geometry.ablation import Ablator
from netviz.models import Layer, load
from netviz.questions.opening import layers

LAYERS = {"features.18.2": 1, "features.14.conv.0.2": 3, "features.14.conv.1.2": 2, "features.12.conv.1.2": 2}
"""Layers, and through how many of the convolutions and linear layers behind each a change stays small."""

LAST = "features.18.2"
TIMED = 24
RUNS = 5


def opened() -> Any:
    try:
        return load("mobilenet_v2")
    except MissingWeightsError:
        return load("mobilenet_v2", weights="none")


def full(network: nn.Module, layer: Layer, image: Tensor, units: list[int], target: int) -> list[float]:
    """Return the score without each of some units, by a full pass for each."""
    now = [0]

    def put(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        output[:, now[0]] = 0
        return output

    found = []
    handle = network.get_submodule(layer.module).register_forward_hook(put)
    try:
        with torch.no_grad(), kept_memory():
            for unit in units:
                now[0] = unit
                found.append(network(image)[0, target].item())
    finally:
        handle.remove()
    return found


def ablator(network: nn.Module, layer: Layer, image: Tensor, target: int) -> Ablator:
    tape = record(network, image, keep=())
    return Ablator(network, layer, image, lambda found: found, lambda found: found[:, target], tape=tape)


def ours(network: nn.Module, layer: Layer, image: Tensor, target: int) -> Tensor:
    one = ablator(network, layer, image, target)
    result = one.run(one.units.to("zero"))
    if result.why_full:
        raise SystemExit(f"full passes were taken: {result.why_full}")
    return result.values


def exactly(network: nn.Module, layer: Layer, image: Tensor, target: int) -> Tensor:
    """Return the same by the gradient, where the score is linear in the layer's output."""
    one = ablator(network, layer, image, target)
    return one.run(one.units.to("zero"), slope=one.slope(lambda score: score)).values


def multiplications(network: nn.Module, image: Tensor, layer: Layer) -> tuple[int, int]:
    """Return the multiplications of a full pass, and those of each unit where its change is no longer small."""
    counted: dict[str, int] = {}

    def count(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Tensor) -> None:
            weight = module.weight
            counted[name] = output[0].numel() * weight[0].numel()

        return hook

    names = [name for name, _ in network.named_modules()]
    kinds = nn.Conv2d | nn.Linear
    handles = [
        one.register_forward_hook(count(name))
        for name, one in network.named_modules()
        if isinstance(one, kinds)
    ]
    with torch.no_grad():
        network(image)
    for handle in handles:
        handle.remove()
    behind = [work for name, work in counted.items() if names.index(name) > names.index(layer.module)]
    return sum(counted.values()), sum(behind[LAYERS[layer.name] :])


def spent(function: Any) -> tuple[float, Any]:
    begin = time.process_time()
    result = function()
    return time.process_time() - begin, result


def compare(model: Any, name: str, runs: int) -> list[str]:
    network = model.runnable().eval()
    layer = layers(model).resolve(name)
    torch.manual_seed(0)
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        target = int(network(image)[0].argmax())
    units = torch.linspace(0, layer.channels - 1, TIMED).long().tolist()
    whole, left = multiplications(network, image, layer)
    ways = {"ablation": ours} | ({"by the gradient (exact)": exactly} if name == LAST else {})
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    errors: dict[str, float] = {}
    for run in range(runs + 1):
        theirs, expected = spent(lambda: full(network, layer, image, units, target))
        for way, function in ways.items():
            mine, values = spent(lambda function=function: function(network, layer, image, target))
            if run:  # the first one warms up
                found[way].append((theirs * layer.channels / len(units), mine))
            errors[way] = float((values[units] - torch.tensor(expected)).abs().max())
    rows = []
    for way, times in found.items():
        ratios = [one / other for one, other in times]
        rows.append(
            f"| {name} | {layer.channels} | {way} | {statistics.median(one for one, _ in times):.1f} s "
            f"| {statistics.median(one for _, one in times):.2f} s | {statistics.median(ratios):.0f}× "
            f"({min(ratios):.0f}–{max(ratios):.0f}) | {f'{whole / left:.1f}×' if left else 'none left'} "
            f"| {errors[way]:.0e} |"
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("layers", nargs="*", default=[*LAYERS])
    parser.add_argument("--runs", type=int, default=RUNS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = opened()
    print("| layer | units | way | full passes | netviz | ratio | multiplications | largest difference |")
    print("|---|--:|---|---|---|---|---|---|")
    for name in arguments.layers:
        for row in compare(model, name, arguments.runs):
            print(row, flush=True)


if __name__ == "__main__":
    main()
