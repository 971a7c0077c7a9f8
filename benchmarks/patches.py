"""Patches of every unit.

512 photographs (crops of scikit-image's, decoded beforehand, the same for all), 224 px, two cores: the time to find
the 9 best positions of every unit of every convolution, with mean, maximum, share of non-zero and a sample for
quantiles, over others in the same run: the fastest bare forward pass that still computes these layers, in batches of
16 (the better of channels first and channels last, batch normalization folded where the layers allow it, inference
mode, images already normalized); the same with what netviz does for the forward pass itself (freed memory is kept,
its smaller batches); a user's plain eager loop (`no_grad`, channels first, batches of 16, nothing looked at); and the
same statistics by naive hooks in that loop, on the first 128. "After batch norm" looks at the batch normalizations'
outputs instead, where folding is allowed. "Without Numba" is netviz with torch's and NumPy's reductions. The better
of two rounds in turn. Then whole processes over 800 files, decoding included: `netviz.patches` over a script that
reads the same files with two workers and runs that eager loop, looking at nothing. Peak memory is that of a process
of its own that reads files, with 200 and with 2000 images.
"""

import functools
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from netviz.capture.memory import kept_memory
from netviz.engines import Item, Job, Tally, Units, UnitsQuery, compiled, run_local
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
        batch=usual(chosen),
    )


def usual(chosen: tuple[Layer, ...]) -> int:
    """Return netviz's batch: as `netviz.questions.runs.usual_batch`, from the layers looked at."""
    largest = max(math.prod(layer.shape or ()) for layer in chosen)
    return max(1, min((1 << 23) // largest, 16))


def ours(job: Job) -> None:
    run_local(job, job.start(), Tally.empty(job.chunks))


def without_numba(job: Job) -> None:
    with mock.patch.object(compiled, "available", return_value=False):
        compiled.kernels.cache_clear()
        ours(job)
    compiled.kernels.cache_clear()


def kept(network: nn.Module, images: list[Tensor]) -> None:
    with kept_memory():
        bare(network, images)


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
    small = [
        normalize_batch(part, PREPROCESSING) for part in torch.from_numpy(np.stack(images)).split(job.batch)
    ]
    times = in_turn(
        {
            "netviz": lambda: ours(job),
            "kept": lambda: kept(fast, small),
            "without": lambda: without_numba(job),
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
    peers = (forward, min(forward, times["kept"]), times["eager"], times["without"])
    ratios = [f"{times['netviz'] / peer:.2f} ×" for peer in peers]
    return (
        f"| {name}, {what} | {units} | {job.batch} | {ours_ * 1000:.1f} | {' | '.join(ratios)} | "
        f"{naive_ / ours_:.1f} × |"
    )


LOOP = """
import sys
from pathlib import Path
import torch, torchvision
from PIL import Image
from torchvision.transforms import v2
class Folder(torch.utils.data.Dataset):
    def __init__(self): self.paths = sorted(Path(sys.argv[1]).glob("*.jpg"))
    def __len__(self): return len(self.paths)
    def __getitem__(self, at):
        image = Image.open(self.paths[at]).convert("RGB").resize((256, 256)).crop((16, 16, 240, 240))
        return (torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255 - 0.45) / 0.225
import numpy as np
network = torchvision.models.mobilenet_v2().eval()
with torch.no_grad():
    for images in torch.utils.data.DataLoader(Folder(), 16, num_workers=2): network(images)
"""


def processes(folder: Path) -> float:
    """Return the time of netviz over that of a plain loop, both as whole processes on the same files."""
    times: dict[str, float] = {}
    for turn in range(ROUNDS):
        commands = {
            "netviz": [sys.executable, "-c", PEAK, str(folder), str(folder / f"turn{turn}")],
            "loop": [sys.executable, "-c", TORCHVISION + LOOP, str(folder)],
        }
        for name, command in commands.items():
            begin = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times[name] = min(times.get(name, math.inf), time.perf_counter() - begin)
    return times["netviz"] / times["loop"]


# torchvision's compiled operators do not load beside a torch of another build.
TORCHVISION = """
from netviz.models.torchvision_import import import_torchvision
import_torchvision()
"""

PEAK = """
import resource, sys
from netviz.questions.patches.measure import patches
patches("mobilenet_v2", sys.argv[2], images=[sys.argv[1]], weights="none", workers=2, every=1e9)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def files(folder: Path, count: int) -> Path:
    """Return a folder of so many files."""
    some = folder / f"some{count}"
    some.mkdir()
    made = sorted(folder.glob("*.jpg"))
    for number in range(count):
        (some / f"{number:05d}.jpg").hardlink_to(made[number % len(made)])
    return some


def peak(folder: Path, count: int) -> float:
    """Return the most memory that a run over so many files takes, in bytes."""
    some = files(folder, count)
    run = [sys.executable, "-c", PEAK, str(some), str(folder / f"run{count}")]
    return float(subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()[-1])


def table() -> str:
    images = crops(IMAGES)
    rows = [
        "| network, layers | units | batch | ms per image | over the fastest bare forward (goal ≤ 1.10) | with "
        "memory kept | over a plain eager loop (goal ≤ 0.65; ≤ 0.45 after batch norm) | "
        "without Numba | naive hooks take |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    rows += [
        measure(name, kind, images) for name in ("mobilenet_v2", "resnet18") for kind in ("conv", "norm")
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for number, pixels in enumerate(images[:100]):
            Image.fromarray(pixels).save(folder / f"{number}.jpg")
        few, many = peak(folder, 200), peak(folder, 2000)
        whole = processes(files(folder, 800))
    rows += [
        "",
        f"Whole processes, 800 files, mobilenet_v2, all convolutions: {whole:.2f} × a plain loop (goal ≤ 0.6).",
        "",
        f"Peak memory of mobilenet_v2, all convolutions: {few / 1e6:.0f} MB for 200 images, {many / 1e6:.0f} MB for "
        f"2000: {many / few:.2f} × (goals: within 5 %; 1.2 GB).",
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
