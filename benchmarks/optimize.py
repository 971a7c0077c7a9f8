"""Pictures made by optimization.

Pictures of 128 px for units of MobileNetV2, a spectrum in decorrelated colours, moved, scaled and turned each step:
netviz optimizes all of them together and stops at the layer; the peer is the published method in plain torch as it is
usually run, one unit after the other through the whole network, a hook on the layer, each transformation by itself.
Processor time of a step for each picture, and that of 256 steps; the better of two rounds in turn. Goals: at least 5×
for an early layer, 2× for a late one.

With ``--against IMAGES`` (a folder of photographs, or a run of netviz patches on them) it measures instead for how
many of 100 units the picture as it is saved exceeds the best of all photographs. Goal: 95 %. What ends in ReLU6
cannot exceed 6: there the values before it are judged, and what follows is told beside them.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import netviz
from netviz.models import load
from netviz.questions.optimize.basis import colour_basis
from netviz.questions.patches.run import open_run

LAYERS = {"early": "features.2", "middle": "features.10", "late": "features.18.2"}
SIDE, STEPS, UNITS = 128, 256, 16
DEPTHS = {"features.4.conv.3": 32, "features.10": 33, "features.18.1": 35, "features.18.2": 8}
"""Of how many units pictures are held against photographs: 100, and some after the last layer's ReLU6."""
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


def against(images: str, model: Any, steps: int, keep: Path | None) -> None:
    """Print for which share of units the picture exceeds the best photograph."""
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(images)
        if not (run / "run.json").is_file():
            run = netviz.patches(model, Path(scratch) / "run", images=images, layer=list(DEPTHS))
        print(
            "| layer | units | exceed the best photograph | reach it | median multiple | lowest | CPU s | s |"
        )
        print("|---|--:|--:|--:|--:|--:|--:|--:|")
        for layer, count in DEPTHS.items():
            held = open_run(run)
            seen = held.result(held.choose(layer))
            alive = np.setdiff1d(np.arange(seen.channels), seen.dead)
            units = alive[np.linspace(0, len(alive) - 1, min(count, len(alive))).round().astype(int)].tolist()
            began, wall = time.process_time(), time.perf_counter()
            state = None if keep is None else keep / f"{layer}.state.npz"
            found = netviz.optimize(
                model, layer=layer, units=units, steps=steps, side=SIDE, run=run, state=state
            )
            took = time.process_time() - began, time.perf_counter() - wall
            assert found.reference is not None
            # A unit whose values are all below 0 has no multiple: it is compared all the same.
            value, best = found.activation[:, 0], found.reference[:, 1]
            multiple = value[best > 0] / best[best > 0]
            print(
                f"| {layer} | {len(units)} | {100 * (value > best).mean():.0f} % "
                f"| {100 * (value >= best - 0.005 * np.abs(best)).mean():.0f} % | {np.median(multiple):.2f} "
                f"| {multiple.min():.2f} | {took[0]:.0f} | {took[1]:.0f} |",
                flush=True,
            )
            if keep is not None:
                found.save(keep / f"{layer}.npz")
                netviz.draw(found, keep / f"{layer}.png")
                (keep / f"{layer}.state.npz").unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=UNITS)
    parser.add_argument("--steps", type=int, help=f"that are measured (32), or made with --against ({STEPS})")
    parser.add_argument("--against", metavar="IMAGES|RUN", help="compare with photographs instead")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="with --against: keep pictures there, go on with what was interrupted",
    )
    arguments = parser.parse_args()
    units, steps = arguments.units, arguments.steps or 32
    model = load("mobilenet_v2")
    if arguments.against is not None:
        against(arguments.against, model, arguments.steps or STEPS, arguments.keep)
        return
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
