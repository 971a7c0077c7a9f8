"""Occlusion by incremental inference.

One class score of a network at 224 px, patch 16, stride 8: 729 places of the occluder, for the whole answer (one
recorded pass and the check against full passes included), against `captum.attr.Occlusion` at the
`perturbations_per_eval` that suits it best, tried in the same process; medians of runs in turns. Goal: at least 5×.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from netviz.errors import MissingWeightsError
from netviz.geometry.occlusion import covered_mean, grid, occlude
from netviz.models import load

SIDE, PATCH, STRIDE = 224, 16, 8
BATCHES = (1, 4, 16, 32)
RUNS = 3
NETWORKS = ("mobilenet_v2", "vgg16")


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = function()
    return time.perf_counter() - begin, result


def opened(name: str) -> nn.Module:
    try:
        return load(name).runnable().eval()
    except MissingWeightsError:
        return load(name, weights="none").runnable().eval()


def captum(attribution: Any, image: Tensor, target: int, batch: int, patch: int, stride: int) -> Tensor:
    window = (image.shape[1], patch, patch)
    with torch.no_grad():
        found: Tensor = attribution.attribute(
            image, window, (image.shape[1], stride, stride), 0.0, target, perturbations_per_eval=batch
        )
    # Captum gives every channel the whole drop.
    return found[0, 0]


def incremental(network: nn.Module, image: Tensor, target: int) -> Tensor:
    places = grid(SIDE, PATCH, STRIDE)
    found = occlude(
        network,
        image,
        torch.zeros_like(image),
        places,
        places,
        (PATCH, PATCH),
        lambda scores: scores[:, target],
    )
    if found.why_full:
        raise SystemExit(f"no windows were used: {found.why_full}")
    drops = (found.clean - found.values).double().numpy()
    return torch.from_numpy(covered_mean(drops, places, places, (PATCH, PATCH), (SIDE, SIDE)))


def compare(name: str, attributor: Any, runs: int) -> str:
    network = opened(name)
    torch.manual_seed(0)
    image = torch.randn(1, 3, SIDE, SIDE)
    with torch.no_grad():
        scores = network(image)[0]
    target = int(scores.argmax())
    attribution = attributor(network)
    # Which batch suits Captum best, on 49 places (what they cost does not depend on the patch); one call warms up.
    captum(attribution, image, target, 4, 64, 64)
    trials = {
        batch: timed(lambda batch=batch: captum(attribution, image, target, batch, 32, 32))[0]
        for batch in BATCHES
    }
    best = min(trials, key=trials.__getitem__)
    theirs, ours = [], []
    for _ in range(runs):
        seconds, expected = timed(lambda: captum(attribution, image, target, best, PATCH, STRIDE))
        theirs.append(seconds)
        seconds, found = timed(lambda: incremental(network, image, target))
        ours.append(seconds)
    error = float((found - expected).abs().max() / (scores.max() - scores.min()))
    ratios = [their / our for their, our in zip(theirs, ours, strict=True)]
    return (
        f"| {name} | {len(grid(SIDE, PATCH, STRIDE)) ** 2} | {statistics.median(theirs):.1f} s (batches of {best}) "
        f"| {statistics.median(ours):.1f} s | {statistics.median(ratios):.1f}× "
        f"({min(ratios):.1f}–{max(ratios):.1f}) | {error:.0e} |"
    )


def table(networks: Sequence[str] = NETWORKS, runs: int = RUNS) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from captum.attr import Occlusion
    except ImportError:
        return "Skipped: Captum is not installed (`pip install captum`)."
    rows = [
        f"| network | places | Captum | netviz | ratio (of {runs} runs) | difference, of the scores' range |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*rows, *(compare(name, Occlusion, runs) for name in networks)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(table(arguments.networks, arguments.runs))


if __name__ == "__main__":
    main()
