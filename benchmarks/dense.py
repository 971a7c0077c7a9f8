"""Dense evaluation against crops and regions, and FCN-8s.

A classifier cast to a fully convolutional network, on scikit-image's astronaut at 500×500 pixels: one dense pass
(median of 3), against the same classifier run on the crop of every cell of its output (one at a time, and in batches
of 16), and on regions warped one by one as R-CNN does, 100 measured and scaled to its 2000 (proposing them is not
counted). "Multiplications" is how many times as many the crops take, counted by PyTorch: the limit for a machine that
is as busy with either. AlexNet's is low, as its first linear layer is the same work for a cell as for a crop. Below,
the forward pass of an FCN-8s with 21 classes at 500×500 pixels, all three streams at the input's resolution (median
of 5; the lecture says about 100 ms on its GPU). Weights are random, but for MobileNetV2's: times do not depend on
them.
"""

import statistics
import time

import numpy as np
import torch
from goals import least
from PIL import Image
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from netviz.fcn.casting.cast import cast
from netviz.fcn.dense.compare import dense_compare
from netviz.fcn.streams.network import FCN
from netviz.images import Photo, read_image
from netviz.models import load

SIDE, CLASSES, RUNS = 500, 21, 5
CLASSIFIERS = (("alexnet", "none"), ("mobilenet_v2", "default"), ("resnet18", "none"))
BACKBONES = (("mobilenet_v2", "default"), ("resnet18", "none"), ("vgg16", "none"))


def compared(name: str, weights: str, photo: Photo) -> str:
    found = dense_compare(photo, model=name, weights=weights, short_side="own")
    dense, single, batched, regions = found.seconds.tolist()
    rows, columns = found.dense.shape
    scaled = regions / len(found.boxes) * 2000
    model = load(name, weights=weights)
    side = (model.preprocessing.crop or (224,))[0]
    crops = rows * columns * counted(model.network, side)
    work = crops / counted(cast(model), SIDE)
    return (
        f"| {name} | {rows}×{columns} | {dense * 1000:.0f} ms | {work:.1f} × | "
        f"{single:.1f} s, {least(single / dense, 25)} | "
        f"{batched:.1f} s, {batched / dense:.1f} × | {scaled:.0f} s, {least(scaled / dense, 286, digits=0)} |"
    )


def counted(network: nn.Module, side: int) -> int:
    """Return the floating-point operations of a pass over a square image."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 3, side, side))
    return counter.get_total_flops()


def streams(name: str, weights: str, device: str) -> str:
    network = FCN(name, CLASSES, weights=weights).to(device, memory_format=torch.channels_last)
    image = torch.zeros(1, 3, SIDE, SIDE, device=device).to(memory_format=torch.channels_last)
    times = []
    with torch.inference_mode():
        for _ in range(RUNS + 1):
            begin = time.perf_counter()
            network(image)
            if device == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - begin)
    return f"| {name} | {device} | {statistics.median(times[1:]) * 1000:.0f} |"


def table() -> str:
    pixels = Image.fromarray(read_image("skimage:astronaut").pixels).resize((SIDE, SIDE))
    photo = Photo("astronaut", np.array(pixels))
    rows = [
        "| classifier | cells | dense pass | multiplications of the crops | sliding window, one at a time | "
        "in batches of 16 | 2000 regions |",
        "|---|---|---|---|---|---|---|",
        *(compared(name, weights, photo) for name, weights in CLASSIFIERS),
        "",
        "| FCN-8s on | device | ms |",
        "|---|---|---|",
    ]
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    rows += [streams(name, weights, device) for device in devices for name, weights in BACKBONES]
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
