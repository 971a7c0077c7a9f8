"""Layers of torchvision's classification builders.

Not a race but a table: what `netviz layers` finds in each builder at its smallest legal input (torchvision's own
figure, at least 32; 224 for transformers). `make slow` checks every row against hooks and the outputs against the
network's own. A layer counts as one for each call; "with maps" are those whose output is (N, C, H, W).
"""

import time

from netviz.capture import index_layers
from netviz.models.builders import build_torchvision, classification_names, default_weights


def smallest(name: str) -> tuple[int, int]:
    if name == "maxvit_t" or name.startswith("vit"):
        return 224, 224
    height, width = default_weights(name).meta["min_size"]
    return max(height, 32), max(width, 32)


def table() -> str:
    rows = [
        "| builder | input | layers | with maps | convolutions | functions | called again | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in classification_names():
        size = smallest(name)
        network = build_torchvision(name, meta=True)
        start = time.perf_counter()
        index = index_layers(network, size=size)
        taken = time.perf_counter() - start
        counts = (
            len(index),
            sum(layer.spatial for layer in index),
            sum(layer.kind == "conv" for layer in index),
            sum(layer.function is not None for layer in index),
            sum(layer.call > 0 for layer in index),
        )
        cells = " | ".join(map(str, counts))
        rows.append(f"| {name} | {size[0]}×{size[1]} | {cells} | {taken:.2f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
