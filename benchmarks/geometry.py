"""Receptive fields of all layers.

ResNet-50 at 224 px: the theoretical fields of all its layers, from the network alone (listing the layers included),
over one bare forward pass (goal: at most 1.0, listing and fields together); the peer is TorchLens 2.36, which logs a
forward pass and derives the same table from it. Processor time, on one thread, the least of several runs in turns.
"""

import time
from collections.abc import Callable

import torch

from netviz.capture import index_layers
from netviz.geometry.field import geometry
from netviz.models.builders import build_torchvision

RUNS = 7


def seconds(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def table() -> str:
    import torchlens

    torch.set_num_threads(1)
    network = build_torchvision("resnet50", seed=0).eval()
    image = torch.randn(1, 3, 224, 224)
    index = index_layers(network)
    actions: dict[str, Callable[[], object]] = {
        "forward pass": lambda: network(image),
        "netviz, layers known": lambda: geometry(network, index),
        "netviz, listing the layers included": lambda: geometry(network, index_layers(network)),
        "TorchLens 2.36": lambda: torchlens.trace(network, image).receptive_fields(),
    }
    times: dict[str, list[float]] = {name: [] for name in actions}
    with torch.no_grad():
        for run in range(RUNS + 1):
            for name, action in actions.items():
                taken = seconds(action)
                if run:
                    times[name].append(taken)
    forward = min(times["forward pass"])
    rows = ["| | least ms | forward passes |", "|---|---|---|"]
    rows += [
        f"| {name} | {min(taken) * 1000:.0f} | {min(taken) / forward:.2f} |" for name, taken in times.items()
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
