"""Receptive fields of all layers.

ResNet-50 at 224 px: the theoretical fields of all its layers, from the network alone (listing the layers included),
over one bare forward pass; the peer, where it is installed, is TorchLens, which logs a forward pass and derives the
same table from it. "On the meta device" is what Python and torch take for one bare pass that computes no value: the
listing and the fields each walk through the network once. Processor time, on one thread, the least of several runs
in turns.
"""

import importlib.metadata
import importlib.util
import time
from collections.abc import Callable

import torch
from goals import most

from netviz.capture import index_layers
from netviz.geometry.field import geometry
from netviz.models.builders import build_torchvision

RUNS = 15
LISTED = "netviz, listing the layers included"


def seconds(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def table() -> str:
    torch.set_num_threads(1)
    network = build_torchvision("resnet50", seed=0).eval()
    image = torch.randn(1, 3, 224, 224)
    meta, empty = build_torchvision("resnet50", meta=True).eval(), image.to("meta")
    index = index_layers(network)
    actions: dict[str, Callable[[], object]] = {
        "forward pass": lambda: network(image),
        "forward pass on the meta device": lambda: meta(empty),
        "netviz, layers known": lambda: geometry(network, index),
        LISTED: lambda: geometry(network, index_layers(network)),
    }
    if importlib.util.find_spec("torchlens") is not None:
        import torchlens

        version = importlib.metadata.version("torchlens")
        actions[f"TorchLens {version}"] = lambda: torchlens.trace(network, image).receptive_fields()
    times: dict[str, list[float]] = {name: [] for name in actions}
    with torch.no_grad():
        for run in range(RUNS + 1):
            for name, action in actions.items():
                taken = seconds(action)
                if run:
                    times[name].append(taken)
    best = {name: min(taken) for name, taken in times.items()}
    rows = ["| | least ms | forward passes |", "|---|---|---|"]
    for name, least in best.items():
        passes = least / best["forward pass"]
        told = most(passes, 1.0, "") if name == LISTED else f"{passes:.2f}"
        rows.append(f"| {name} | {least * 1000:.0f} | {told} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
