"""Patches of every unit.

Crops of scikit-image's photographs, decoded beforehand, 224 px, two cores: the time to find the 9 best positions of
every unit of every convolution in 128 of them, with mean, maximum, share of non-zero and a sample for quantiles, over
others in the same run, on the first 64. The fastest bare forward pass still computes these layers: batches of 16,
the better of channels first and channels last, batch normalization folded where the layers allow it, inference mode,
images already normalized. With memory kept, it does as netviz about memory: what is freed is kept, batches are
netviz's smaller ones. The plain eager loop is a user's: `no_grad`, channels first, batches of 16, nothing looked at;
naive hooks find the same statistics in that loop. "After batch norm" looks at the batch normalizations' outputs
instead, where folding is allowed. "Without Numba" is netviz with torch's and NumPy's reductions over netviz, both on
these 64. The better of two rounds in turn.

The second table tells what it is made of, on one thread, in processor time over the faster of the bare passes with
memory kept and without: the forward pass as netviz runs it (what stands behind a layer that is looked at is written
over it: less than a bare pass), reading each map once, which nobody who tells its maximum and mean can leave out, and
all the rest: normalizing images, candidates and their windows, samples, lists, hooks, and starting the run. Beside it
the bytes of the maps of an image, and how fast they are read, against a copy in memory of an array as large as the
largest maps of a batch, read and written.

Then whole processes over 400 files, decoding included: `netviz.patches` over a script that reads the same files with
two workers and runs that eager loop, looking at nothing. Peak memory (Linux) is that of a process of its own, with
200 and with 2000 files, the larger of two runs; the two workers that read them are not in it.
"""

import copy
import functools
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from goals import most
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from netviz.capture.memory import kept_memory
from netviz.engines import Item, Job, Tally, Units, UnitsQuery, compiled, run_local
from netviz.engines.accumulators.positions import reduced
from netviz.engines.fast import fast_copy
from netviz.images import PHOTOGRAPHS, normalize_batch, read_image
from netviz.models import Layer, Preprocessing
from netviz.models.builders import build_torchvision
from netviz.questions.opening import layers

IMAGES, FEW, BATCH, ROUNDS = 128, 64, 16, 2
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
        batch=usual(layers(network)),
    )


def usual(index: Iterable[Layer]) -> int:
    """Return netviz's batch: as `netviz.questions.runs.usual_batch`, from all layers of a network."""
    largest = max(math.prod(layer.shape or ()) for layer in index)
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


def folded(network: nn.Module, chosen: tuple[Layer, ...]) -> nn.Module:
    """Return a copy, channels last, with batch normalization folded into convolutions that are not looked at."""
    fast = copy.deepcopy(network)
    looked_at = {layer.module for layer in chosen}
    before: tuple[str, nn.Module] = "", fast
    for name, module in fast.named_modules():
        if (
            isinstance(module, nn.BatchNorm2d)
            and isinstance(before[1], nn.Conv2d)
            and before[0] not in looked_at
        ):
            fused = fuse_conv_bn_eval(before[1], module)
            before[1].weight, before[1].bias = fused.weight, fused.bias
            module.forward = nn.Identity().forward  # type: ignore[method-assign]
        before = name, module
    return fast.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


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


def in_turn(
    actions: dict[str, Callable[[], None]], clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Return the shortest time of each action in seconds."""
    times = dict.fromkeys(actions, float("inf"))
    for _ in range(ROUNDS):
        for name, action in actions.items():
            start = clock()
            action()
            times[name] = min(times[name], clock() - start)
    return times


def batches(images: list[np.ndarray], size: int) -> list[Tensor]:
    """Return images normalized, channels last."""
    return [normalize_batch(part, PREPROCESSING) for part in torch.from_numpy(np.stack(images)).split(size)]


def measure(name: str, kind: str, images: list[np.ndarray]) -> tuple[str, str]:
    """Return the rows of both tables."""
    network = build_torchvision(name, seed=0).eval()
    chosen = tuple(layer for layer in layers(network) if layer.kind == kind and layer.spatial)
    items = [Item(number, pixels, (224, 224)) for number, pixels in enumerate(images)]
    job, few = (units_job(network, chosen, Memory(some)) for some in (items, items[:FEW]))
    last, small = batches(images[:FEW], BATCH), batches(images[:FEW], job.batch)
    first = [part.contiguous() for part in last]
    fast = folded(network, chosen)
    plain = copy.deepcopy(fast).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    times = in_turn(
        {
            "netviz": lambda: ours(job),
            "few": lambda: ours(few),
            "kept": lambda: kept(fast, small),
            "without": lambda: without_numba(few),
            "channels last": lambda: bare(fast, last),
            "channels first": lambda: bare(plain, first),
            "eager": lambda: eager(network, first),
            "naive": lambda: naive(network, chosen, first),
        }
    )
    each = {action: taken / FEW for action, taken in times.items()}
    own = times["netviz"] / len(images)
    forward = min(each["channels last"], each["channels first"])
    what = f"{name}, {'all convolutions' if kind == 'conv' else 'after batch norm'}"
    row = (
        f"| {what} | {sum(layer.channels for layer in chosen)} | {job.batch} | {own * 1000:.1f} "
        f"| {most(own / forward, 1.1)} | {own / min(forward, each['kept']):.2f} × "
        f"| {most(own / each['eager'], 0.65 if kind == 'conv' else 0.45)} "
        f"| {each['without'] / each['few']:.2f} × | {each['naive'] / own:.1f} × |"
    )
    return row, parts(what, network, job, last, small)


def parts(what: str, network: nn.Module, job: Job, last: list[Tensor], small: list[Tensor]) -> str:
    """Return what of netviz's time goes where, on one thread."""
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    fast, runs = folded(network, job.layers), fast_copy(network, job.layers, job.shape)
    read, size = [0.0], [0]

    def look(_: nn.Module, args: object, output: Tensor) -> None:
        maps = output.permute(0, 2, 3, 1).contiguous()
        begin = time.process_time()
        reduced(maps)
        read[0] += time.process_time() - begin
        size[0] += maps.nbytes

    def reading() -> None:
        read[0], size[0] = 0.0, 0
        modules = [runs.get_submodule(layer.module) for layer in job.layers]
        handles = [module.register_forward_hook(look) for module in modules]
        kept(runs, small)
        for handle in handles:
            handle.remove()
        reads.append(read[0])

    reads: list[float] = []
    times = in_turn(
        {
            "netviz": lambda: ours(job),
            "bare": lambda: bare(fast, last),
            "kept": lambda: kept(fast, small),
            "run": lambda: kept(runs, small),
            "reading": reading,
        },
        time.process_time,
    )
    torch.set_num_threads(cores)
    each = {name: taken / FEW for name, taken in times.items()}
    own, once = times["netviz"] / len(job.source), min(reads) / FEW
    forward = min(each["bare"], each["kept"])
    rest = own - each["run"] - once
    largest = torch.zeros(max(math.prod(layer.shape or ()) for layer in job.layers) * job.batch)
    other = torch.zeros_like(largest)
    copying = min(_seconds(lambda: other.copy_(largest)) for _ in range(9))
    return (
        f"| {what} | {forward * 1000:.1f} ms "
        f"| {each['run'] / forward:.2f} | {once / forward:.2f} | {rest / forward:.2f} "
        f"| {most(own / forward, 1.1)} | {size[0] / FEW / 1e6:.0f} MB | {size[0] / min(reads) / 1e9:.0f} GB/s "
        f"| {2 * largest.nbytes / copying / 1e9:.0f} GB/s |"
    )


def _seconds(action: Callable[[], object]) -> float:
    begin = time.process_time()
    action()
    return time.process_time() - begin


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

# Not `ru_maxrss`: that begins at what the process that starts this one holds.
PEAK = """
import sys
from pathlib import Path
from netviz.questions.patches.measure import patches
patches("mobilenet_v2", sys.argv[2], images=[sys.argv[1]], weights="none", workers=2, every=1e9)
said = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(int(said["VmHWM"].split()[0]) * 1024)
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
    some, held = files(folder, count), []
    for turn in range(ROUNDS):
        run = [sys.executable, "-c", PEAK, str(some), str(folder / f"run{count}-{turn}")]
        held.append(float(subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()[-1]))
    return max(held)


def table() -> str:
    images = crops(IMAGES)
    cases = [(name, kind) for name in ("mobilenet_v2", "resnet18") for kind in ("conv", "norm")]
    rows, below = zip(*(measure(name, kind, images) for name, kind in cases), strict=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for number, pixels in enumerate(images[:100]):
            Image.fromarray(pixels).save(folder / f"{number}.jpg")
        small, large = peak(folder, 200), peak(folder, 2000)
        whole = processes(files(folder, 400))
    return "\n".join(
        [
            "| network, layers | units | batch | ms per image | over the fastest bare forward | with memory kept "
            "| over a plain eager loop | without Numba | naive hooks take |",
            "|---" * 9 + "|",
            *rows,
            "",
            "| network, layers | bare forward, one thread | forward as run | reading maps | the rest | together "
            "| maps of an image | read at | a copy |",
            "|---" * 9 + "|",
            *below,
            "",
            f"Whole processes, 400 files, mobilenet_v2, all convolutions: {most(whole, 0.6)} over a plain loop.",
            "",
            f"Peak memory of mobilenet_v2, all convolutions: {small / 1e6:.0f} MB for 200 images, "
            f"{most(large / 1e6, 1200, ' MB', 0)} for 2000; the ratio {most(large / small, 1.05)}.",
        ]
    )


if __name__ == "__main__":
    print(table())
