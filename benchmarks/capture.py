"""Capturing every convolution.

One image, 224 px, on the CPU: the network with all its convolutions' outputs kept, over the bare forward pass of the
same network; the peers are torchvision's `create_feature_extractor` (which keeps references, so that in-place
operations overwrite what it hands out) and forward hooks that copy. Listing the layers (`LayerIndex`) is timed
against the same forward pass.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from netviz.capture import capture, index_layers
from netviz.models.builders import build_torchvision
from netviz.models.torchvision_import import import_torchvision

RUNS = 21
COLUMNS = ("netviz capture", "hooks that copy", "feature extractor", "netviz layers")
NETWORKS = ("mobilenet_v2", "resnet18", "vgg16")


def alternate(actions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median time of each action, in seconds, run in turn."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for run in range(RUNS + 1):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            if run:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


def hooked(network: nn.Module, image: torch.Tensor) -> dict[str, torch.Tensor]:
    kept: dict[str, torch.Tensor] = {}
    handles = [
        module.register_forward_hook(lambda _, args, output, name=name: kept.update({name: output.clone()}))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    network(image)
    for handle in handles:
        handle.remove()
    return kept


def measure(name: str) -> dict[str, float]:
    import_torchvision()
    from torchvision.models.feature_extraction import create_feature_extractor

    network = build_torchvision(name, seed=0).eval()
    image = torch.randn(1, 3, 224, 224)
    index = index_layers(network)
    convolutions = [layer for layer in index if layer.kind == "conv"]
    peers: dict[str, Callable[[], object]] = {}
    try:
        extractor = create_feature_extractor(network, [layer.name for layer in convolutions])
        peers["feature extractor"] = lambda: extractor(image)
    except ValueError:
        pass  # it treats torchvision's own blocks as leaves and does not reach the convolutions in them

    def kept() -> None:
        with capture(network, convolutions) as run:
            run(image)

    with torch.no_grad():
        return alternate(
            {
                "forward": lambda: network(image),
                "netviz capture": kept,
                "hooks that copy": lambda: hooked(network, image),
                "netviz layers": lambda: index_layers(network),
                **peers,
            }
        )


def table() -> str:
    rows = [
        f"| network | forward, ms | {' | '.join(COLUMNS)} |",
        "|---|---|---|---|---|---|",
    ]
    for name in NETWORKS:
        times = measure(name)
        forward = times.pop("forward")
        ratios = " | ".join(
            f"{times[one] / forward:.2f} ×" if one in times else "no access" for one in COLUMNS
        )
        rows.append(f"| {name} | {forward * 1000:.0f} | {ratios} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
