"""Occlusion by incremental inference.

One class score of a network at 224 px, patch 16, stride 8: 729 places of the occluder, for the whole answer (one
recorded pass and the check against full passes included), against `captum.attr.Occlusion` at the
`perturbations_per_eval` that suits it best. Captum's time for all places is reckoned from 25, since what a place
costs does not depend on the patch. Processor time on one thread, medians of runs in turns. "Multiplications" is how
many times as many the full passes take, counted for the windows and whole maps of the plan: the ratio if both
multiplied equally fast. "Limit" is the ratio if all of netviz's multiplications ran as fast as one large matrix
product does on this machine in the same run, and nothing else took time; Winograd's transforms, which leave out up to
three of four multiplications of a 3×3 filter, can go beyond it. MobileNetV2's goal lies at its limit: the windows of
this patch and stride leave out half of its multiplications, and its filters of 1×1 have no transform that leaves out
more.

Below, HED on an image of 300×451 pixels, its own size: 2072 places, for two threads reckoned as half of the processor
time.
"""

import argparse
import math
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from goals import least, most
from torch import Tensor, nn

from netviz.capture.tape import Node, record
from netviz.errors import MissingWeightsError
from netviz.geometry.incremental.plan import Plan
from netviz.geometry.incremental.rules import given
from netviz.geometry.occlusion import Occlusion, covered_mean, grid, occlude
from netviz.models import load

SIDE, PATCH, STRIDE = 224, 16, 8
COARSE, STEP = 64, 40
"""25 places, for Captum's time and for comparing what both find."""

BATCHES = (1, 4, 16)
RUNS = 2
GOALS = {"mobilenet_v2": 12, "vgg16": 15}
OWN_SIZE, OWN_GOAL = (300, 451), 15.0


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.process_time()
    result = function()
    return time.process_time() - begin, result


def opened(name: str) -> nn.Module:
    try:
        return load(name).runnable().eval()
    except MissingWeightsError:
        return load(name, weights="none").runnable().eval()


def best_rate() -> float:
    """Return the multiplications in a second of one large matrix product, the best of several."""
    one, two = torch.rand(2048, 1024), torch.rand(1024, 1024)
    made = torch.empty(2048, 1024)
    return one.numel() * 1024 / min(timed(lambda: torch.mm(one, two, out=made))[0] for _ in range(20))


def multiplications(plan: Plan) -> tuple[float, float]:
    """Return how many multiplications full passes and a plan take for all of its places."""
    full = shared = 0.0
    for group in plan.groups:
        for planned in group.nodes:
            count = group.count * of_node(planned.node, plan)
            full += count
            if planned.tracks is not None:
                count *= math.prod(track.size / track.length for track in planned.tracks)
            shared += count
    return full, shared


def of_node(node: Node, plan: Plan) -> int:
    """Return the multiplications of a convolution or linear layer on one image."""
    if node.name not in ("conv2d", "linear"):
        return 0
    places = math.prod(plan.shapes[node.outputs[0]][-2:]) if node.name == "conv2d" else 1
    return int(given(node)["weight"].numel() * places)


def captum(attribution: Any, image: Tensor, target: int, batch: int) -> Tensor:
    window, step = (image.shape[1], COARSE, COARSE), (image.shape[1], STEP, STEP)
    with torch.no_grad():
        found: Tensor = attribution.attribute(image, window, step, 0.0, target, perturbations_per_eval=batch)
    # Captum gives every channel the whole drop.
    return found[0, 0]


def incremental(
    network: nn.Module, image: Tensor, read: Callable[[Tensor], Tensor], patch: int, stride: int
) -> Occlusion:
    rows, cols = (grid(length, patch, stride) for length in image.shape[-2:])
    found = occlude(network, image, torch.zeros_like(image), rows, cols, (patch, patch), read)
    if found.why_full:
        raise SystemExit(f"no windows were used: {found.why_full}")
    return found


def planned(network: nn.Module, image: Tensor) -> Plan:
    tape = record(network, image, keep=False)
    assert tape.output is not None
    rows, cols = (grid(length, PATCH, STRIDE) for length in image.shape[-2:])
    return Plan(tape, tape.output, rows, cols, (PATCH, PATCH))


def compare(name: str, attributor: Any, runs: int) -> str:
    network = opened(name)
    torch.manual_seed(0)
    image = torch.randn(1, 3, SIDE, SIDE)
    with torch.no_grad():
        scores = network(image)[0]
    target = int(scores.argmax())
    attribution = attributor(network)

    def read(found: Tensor) -> Tensor:
        return found[:, target]

    full, shared = multiplications(planned(network, image))
    # One call warms up and is what is compared; then which batch suits Captum best.
    expected = captum(attribution, image, target, 4)
    coarse = incremental(network, image, read, COARSE, STEP)
    drops = (coarse.clean - coarse.values).double().numpy()
    places = coarse.tops
    found = covered_mean(drops, places, places, (COARSE, COARSE), (SIDE, SIDE))
    error = float(
        (torch.from_numpy(found) - expected).abs().nan_to_num().max() / (scores.max() - scores.min())
    )
    trials = {
        batch: timed(lambda batch=batch: captum(attribution, image, target, batch))[0] for batch in BATCHES
    }
    best = min(trials, key=trials.__getitem__)
    count, few = len(grid(SIDE, PATCH, STRIDE)) ** 2, len(places) ** 2 + 1
    theirs, ours, rates = [], [], []
    for _ in range(runs):
        theirs.append(timed(lambda: captum(attribution, image, target, best))[0] / few * count)
        ours.append(timed(lambda: incremental(network, image, read, PATCH, STRIDE))[0])
        rates.append(best_rate())
    ratios = [their / our for their, our in zip(theirs, ours, strict=True)]
    limits = [their / (shared / rate) for their, rate in zip(theirs, rates, strict=True)]
    return (
        f"| {name} | {count} | {statistics.median(theirs):.1f} s (batches of {best}) "
        f"| {statistics.median(ours):.1f} s | {full / shared:.1f}× | {statistics.median(limits):.1f}× "
        f"| {least(statistics.median(ratios), GOALS.get(name, 5))}, {min(ratios):.1f}–{max(ratios):.1f} "
        f"| {error:.0e} |"
    )


def own_size() -> str:
    """Return what HED takes at the size of a photograph."""
    network = opened("hed")
    torch.manual_seed(0)
    image = 50 * torch.randn(1, 3, *OWN_SIZE)
    plan = planned(network, image)
    full, shared = multiplications(plan)
    seconds, found = timed(lambda: incremental(network, image, lambda maps: maps.mean((2, 3)), PATCH, STRIDE))
    limit = shared / best_rate()
    return (
        f"| hed | {found.values[..., 0].numel()} | {seconds:.1f} s | {full / shared:.1f}× | {limit / 2:.1f} s "
        f"| {most(seconds / 2, OWN_GOAL, ' s', 1)} |"
    )


def table(networks: Sequence[str] = tuple(GOALS), runs: int = RUNS) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from captum.attr import Occlusion as Attribution
    except ImportError:
        return "Skipped: Captum is not installed (`pip install captum`)."
    rows = [
        f"| network | places | Captum | netviz | multiplications | limit | ratio (of {runs} runs) "
        "| difference, of the scores' range |",
        "|---" * 8 + "|",
    ]
    below = [
        "",
        "| network | places | processor time | multiplications | limit, two threads | two threads |",
        "|---" * 6 + "|",
        own_size(),
    ]
    return "\n".join([*rows, *(compare(name, Attribution, runs) for name in networks), *below])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=tuple(GOALS))
    parser.add_argument("--runs", type=int, default=RUNS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(table(arguments.networks, arguments.runs))


if __name__ == "__main__":
    main()
