"""Patches of every unit.

512 photographs (crops of scikit-image's, decoded beforehand, the same for all), 224 px, batches of 16, two cores: the
time to find the 9 best positions of every unit of every convolution, with mean, maximum, share of non-zero and a
sample for quantiles, over three others in the same run: the fastest bare forward pass that still computes these
layers (the better of channels first and channels last, batch normalization folded where the layers allow it,
inference mode, images already normalized); a user's plain eager loop (`no_grad`, channels first, nothing looked at);
and the same statistics by naive hooks in that loop, on the first 128. "After batch norm" looks at the batch
normalizations' outputs instead, where folding is allowed. The better of two rounds in turn. Peak memory is that of a
process of its own that reads files, with 200 and with 2000 images.
"""

import functools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from netviz.engines import Item, Job, Tally, Units, UnitsQuery, run_local
from netviz.engines.fast import fast_copy
from netviz.images import PHOTOGRAPHS, normalize_batch, read_image
from netviz.models import Layer, Preprocessing
from netviz.models.builders import build_torchvision
from netviz.questions.opening import layers

IMAGES, BATCH, ROUNDS, NAIVE = 512, 16, 2, 128
PREPROCESSING = Preprocessing()


class Memory:
    """Images that are decoded already."""

    def __init__(self, images: list[Item]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def load(self, number: int) -> Item:
        """Return one."""
        return self.images[number]


def crops(count: int) -> list[np.ndarray]:
    """Return so many different crops of scikit-image's photographs."""
    photos = [read_image(f"skimage:{name}").pixels for name in PHOTOGRAPHS]
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        pixels = photos[number % len(photos)]
        top, left = (int(rng.integers(0, max(1, side - 224))) for side in pixels.shape[:2])
        made.append(np.array(Image.fromarray(pixels[top : top + 256, left : left + 256]).resize((224, 224))))
    return made


def units_job(network: nn.Module, chosen: tuple[Layer, ...], source: Memory) -> Job:
    windows = tuple((min(7, layer.shape[1]), min(7, layer.shape[2])) for layer in chosen if layer.shape)
    query = UnitsQuery(chosen, windows)
    return Job(
        network=network,
        name="network",
        preprocessing=PREPROCESSING,
        shape=(3, 224, 224),
        layers=chosen,
        source=source,
        names=[str(number) for number in range(len(source))],
        start=functools.partial(Units, query),
        batch=BATCH,
    )


def ours(job: Job) -> None:
    run_local(job, job.start(), Tally.empty(job.chunks))


def bare(network: nn.Module, batches: list[Tensor]) -> None:
    with torch.inference_mode():
        for images in batches:
            network(images)


def eager(network: nn.Module, batches: list[Tensor]) -> None:
    with torch.no_grad():
        for images in batches:
            network(images)


def naive(network: nn.Module, chosen: tuple[Layer, ...], batches: list[Tensor]) -> None:
    best: dict[str, Tensor] = {}
    sums: dict[str, Tensor] = {}

    def hook(name: str) -> Callable[..., None]:
        def look(_: nn.Module, args: object, output: Tensor) -> None:
            flat = output.flatten(2)
            score, _position = flat.max(2)
            together = torch.cat([best[name], score.T], 1) if name in best else score.T
            best[name] = together.topk(min(9, together.shape[1]), 1).values
            total = torch.stack([flat.mean(2).sum(0), (flat != 0).float().mean(2).sum(0)])
            sums[name] = sums.get(name, torch.zeros(())) + total

        return look

    handles = [
        network.get_submodule(layer.module).register_forward_hook(hook(layer.name)) for layer in chosen
    ]
    eager(network, batches)
    for handle in handles:
        handle.remove()


def in_turn(actions: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Return the shortest time of each action in seconds."""
    times = dict.fromkeys(actions, float("inf"))
    for _ in range(ROUNDS):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            times[name] = min(times[name], time.perf_counter() - start)
    return times


def measure(name: str, kind: str, images: list[np.ndarray]) -> str:
    network = build_torchvision(name, seed=0).eval()
    chosen = tuple(layer for layer in layers(network) if layer.kind == kind and layer.spatial)
    source = Memory([Item(number, pixels, (224, 224)) for number, pixels in enumerate(images)])
    stacked = torch.from_numpy(np.stack(images)).split(BATCH)
    last = [normalize_batch(part, PREPROCESSING) for part in stacked]
    first = [part.contiguous() for part in last]
    fast = fast_copy(network, chosen, (3, 224, 224))
    plain = fast_copy(network, chosen, (3, 224, 224)).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    job = units_job(network, chosen, source)
    times = in_turn(
        {
            "netviz": lambda: ours(job),
            "channels last": lambda: bare(fast, last),
            "channels first": lambda: bare(plain, first),
            "eager": lambda: eager(network, first),
            "naive": lambda: naive(network, chosen, first[: NAIVE // BATCH]),
        }
    )
    forward = min(times["channels last"], times["channels first"])
    what = "all convolutions" if kind == "conv" else "after batch norm"
    units = sum(layer.channels for layer in chosen)
    ours_, naive_ = times["netviz"] / len(images), times["naive"] / NAIVE
    ratios = (f"{times['netviz'] / forward:.2f} ×", f"{times['netviz'] / times['eager']:.2f} ×")
    return (
        f"| {name}, {what} | {units} | {ours_ * 1000:.1f} | {' | '.join(ratios)} | {naive_ / ours_:.1f} × |"
    )


PEAK = """
import resource, sys
from netviz.questions.patches.measure import patches
patches("mobilenet_v2", sys.argv[2], images=[sys.argv[1]], weights="none", workers=2, every=1e9)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def peak(folder: Path, count: int) -> float:
    """Return the most memory that a run over so many files takes, in bytes."""
    some = folder / f"some{count}"
    some.mkdir()
    made = sorted(folder.glob("*.jpg"))
    for number in range(count):
        (some / f"{number:05d}.jpg").hardlink_to(made[number % len(made)])
    run = [sys.executable, "-c", PEAK, str(some), str(folder / f"run{count}")]
    return float(subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()[-1])


def table() -> str:
    images = crops(IMAGES)
    rows = [
        "| network, layers | units | ms per image | over the fastest bare forward (goal ≤ 1.10) | over a plain eager "
        "loop (goal ≤ 0.65; ≤ 0.45 after batch norm) | naive hooks take |",
        "|---|---|---|---|---|---|",
    ]
    rows += [
        measure(name, kind, images) for name in ("mobilenet_v2", "resnet18") for kind in ("conv", "norm")
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for number, pixels in enumerate(images[:100]):
            Image.fromarray(pixels).save(folder / f"{number}.jpg")
        few, many = peak(folder, 200), peak(folder, 2000)
    rows += [
        "",
        f"Peak memory of mobilenet_v2, all convolutions: {few / 1e6:.0f} MB for 200 images, {many / 1e6:.0f} MB for "
        f"2000: {many / few:.2f} × (goal within 5 %).",
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
