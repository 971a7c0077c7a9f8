"""Minimal images by incremental inference.

The whole greedy search on one photograph at 224 px, about 100 segments filled with the blurred image: every removal
judges each segment that is left. Against one forward pass for each candidate, without batching or incremental
inference; against full passes in batches of 4; and netviz's way, which computes only what a segment can change (one
recorded pass for each removal and the check against full passes included). Medians of runs in turns.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from netviz.images import normalize, prepare, read_image
from netviz.models import load
from netviz.questions.minimal.measure import filled, segmented
from netviz.questions.minimal.search import search

PHOTOGRAPHS = ("chelsea", "coffee")
SEGMENTS = 100
RUNS = 1


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = function()
    return time.perf_counter() - begin, result


def plainly(
    network: nn.Module, image: Tensor, baseline: Tensor, labels: np.ndarray[Any, Any], chosen: int
) -> tuple[list[int], int]:
    """Search with one forward pass for each candidate; return the order of removal, and how many passes it took."""
    where = torch.from_numpy(labels)
    left, order, passes = list(range(int(labels.max()) + 1)), [], 0
    with torch.no_grad():
        while left:
            scores = [network(torch.where(where == one, baseline, image))[0] for one in left]
            passes += len(left)
            best = max(range(len(left)), key=lambda at: float(scores[at][chosen]))
            order.append(left.pop(best))
            if int(scores[best].argmax()) != chosen:
                break
            image = torch.where(where == order[-1], baseline, image)
    return order, passes


def compare(name: str, segments: int, runs: int) -> str:
    model = load("mobilenet_v2")
    network = model.runnable().eval()
    prepared = prepare(read_image(f"skimage:{name}").pixels, model.preprocessing)
    labels = segmented(prepared.image, segments)
    image = prepared.tensor
    baseline = normalize(filled(prepared.image, "blur"), model.preprocessing)
    with torch.no_grad():
        chosen = int(network(image)[0].argmax())
    times: dict[str, list[float]] = {"plain": [], "batches": [], "windows": []}
    for _ in range(runs):
        seconds, (order, passes) = timed(lambda: plainly(network, image, baseline, labels, chosen))
        times["plain"].append(seconds)
        for way, incremental in (("batches", False), ("windows", True)):
            seconds, found = timed(
                lambda incremental=incremental: search(
                    network, image, baseline, labels, chosen, incremental=incremental
                )
            )
            times[way].append(seconds)
            same = list(found.order) == order
            if incremental and found.why_full:
                raise SystemExit(f"no windows were used: {found.why_full}")
    plain, batches, windows = (statistics.median(times[way]) for way in ("plain", "batches", "windows"))
    return (
        f"| {name} | {int(labels.max()) + 1} | {passes:,} | {plain:.1f} s | {batches:.1f} s ({plain / batches:.1f}×) "
        f"| {windows:.1f} s | {plain / windows:.1f}× | {'yes' if same else 'no'} |"
    )


def table(photographs: Sequence[str] = PHOTOGRAPHS, segments: int = SEGMENTS, runs: int = RUNS) -> str:
    rows = [
        "| photograph | segments | candidates | one pass each | batches of full passes | netviz | ratio "
        "| same removals |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*rows, *(compare(name, segments, runs) for name in photographs)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photographs", nargs="*", default=PHOTOGRAPHS)
    parser.add_argument("--segments", type=int, default=SEGMENTS)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(table(arguments.photographs, arguments.segments, arguments.runs))


if __name__ == "__main__":
    main()
