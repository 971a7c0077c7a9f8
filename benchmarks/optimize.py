"""Pictures made by optimization.

Pictures of 128 px for units of MobileNetV2, a spectrum in decorrelated colours, moved, scaled and turned each step:
netviz optimizes all of them together and stops at the layer; the peer is the published method in plain torch as it is
usually run, one unit after the other through the whole network, a hook on the layer, each transformation by itself.
Processor time of a step for each picture, and that of 256 steps; the better of two rounds in turn. Goals: at least 5×
for an early layer, 2× for a late one.
"""

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import netviz
from netviz.models import load
from netviz.questions.optimize.basis import colour_basis

LAYERS = {"early": "features.2", "middle": "features.10", "late": "features.18.2"}
SIDE, STEPS, UNITS = 128, 256, 16
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def timed(function: Callable[[], Any]) -> float:
    began = time.process_time()
    function()
    return time.process_time() - began


def transformed(image: Tensor, random: np.random.Generator) -> Tensor:
    image = F.pad(image, (12, 12, 12, 12), value=0.5)
    image = jittered(image, 8, random)
    scale = 1 + (int(random.integers(0, 11)) - 5) / 50
    image = F.interpolate(image, scale_factor=scale, mode="bilinear")
    angle = math.radians(int(random.integers(-10, 11)))
    turn = torch.tensor([[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]])
    grid = F.affine_grid(turn[None], list(image.shape), align_corners=False)
    image = F.grid_sample(image, grid, align_corners=False)
    return jittered(image, 4, random)


def jittered(image: Tensor, by: int, random: np.random.Generator) -> Tensor:
    top, left = (int(one) for one in random.integers(0, by + 1, 2))
    return image[..., top : image.shape[2] - by + top, left : image.shape[3] - by + left]


def one_by_one(network: nn.Module, layer: str, unit: int, steps: int) -> Tensor:
    """Make a picture for one unit, as it is usually done."""
    random = np.random.default_rng(unit)
    colours = torch.from_numpy(colour_basis()).float()
    mean, std = (torch.tensor(one).view(1, 3, 1, 1) for one in (MEAN, STD))
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    scale = torch.from_numpy(1 / np.maximum(frequency, 1 / SIDE)).float()
    spectrum = (
        torch.from_numpy(random.normal(0, 0.01, (1, 3, SIDE, SIDE // 2 + 1, 2))).float().requires_grad_()
    )
    adam = torch.optim.Adam([spectrum], lr=0.05)
    kept: list[Tensor] = []
    handle = network.get_submodule(layer).register_forward_hook(
        lambda module, args, output: kept.append(output)
    )
    image = torch.empty(0)
    for _ in range(steps):
        adam.zero_grad()
        plain = torch.fft.irfft2(torch.view_as_complex(spectrum) * scale, s=(SIDE, SIDE), norm="ortho") / 4
        image = torch.sigmoid(torch.einsum("rc,nchw->nrhw", colours, plain))
        kept.clear()
        network((transformed(image, random) - mean) / std)
        (-kept[0][:, unit].mean()).backward()
        adam.step()
    handle.remove()
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=UNITS)
    parser.add_argument("--steps", type=int, default=32, help="steps that are measured")
    arguments = parser.parse_args()
    units, steps = arguments.units, arguments.steps
    model = load("mobilenet_v2")
    network = model.runnable().eval()

    def together(layer: str, count: int) -> None:
        netviz.optimize(model, layer=layer, units=range(units), steps=count, side=SIDE)

    def seconds(layer: str) -> tuple[float, float]:
        theirs = timed(lambda: one_by_one(network, layer, 0, steps)) / steps
        # What opening the network takes is in both.
        ours = timed(lambda: together(layer, steps + 1)) - timed(lambda: together(layer, 1))
        return theirs, ours / steps / units

    print("| layer | one by one, ms a step | netviz, ms a step | ratio | netviz, s for 256 steps | goal |")
    print("|---|---|---|---|---|---|")
    goals = {"early": "5×", "late": "2×"}
    for name, layer in LAYERS.items():
        together(layer, 1)
        theirs, ours = map(min, zip(*(seconds(layer) for _ in range(2)), strict=True))
        print(
            f"| {name}: {layer} | {1000 * theirs:.1f} | {1000 * ours:.1f} | {theirs / ours:.1f}× "
            f"| {256 * ours:.2f} | {goals.get(name, '')} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
