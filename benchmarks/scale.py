"""What a long run is made of.

MobileNetV2, all convolutions, top 9, 224 px, netviz's batches, on JPEG files of 500×375 pixels (crops of
scikit-image's photographs): the rates from which docs/scale.md reckons the time of a run of any size. One core: one
thread that reads and computes. The parts are those that workers of the engine `ray` send.
"""

import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from patches import PREPROCESSING, usual
from PIL import Image

from netviz.engines import Files, Job, Tally, Units, UnitsQuery, run_local
from netviz.engines.ray.run import run_ray
from netviz.engines.ray.tasks import Part
from netviz.images import PHOTOGRAPHS, read_image
from netviz.models.builders import build_torchvision
from netviz.questions.opening import layers

IMAGES, CLUSTER = 256, 64


def write(folder: Path, count: int) -> list[str]:
    """Write so many photographs; return their names."""
    photos = [read_image(f"skimage:{name}").pixels for name in PHOTOGRAPHS]
    rng = np.random.default_rng(0)
    names = []
    for number in range(count):
        pixels = photos[number % len(photos)]
        top, left = (int(rng.integers(0, max(1, side // 4))) for side in pixels.shape[:2])
        names.append(str(folder / f"{number:04d}.jpg"))
        Image.fromarray(pixels[top:, left:]).resize((500, 375)).save(names[-1], quality=90)
    return names


def job_of(names: list[str]) -> Job:
    network = build_torchvision("mobilenet_v2", seed=0).eval()
    index = layers(network)
    chosen = tuple(layer for layer in index if layer.kind == "conv" and layer.spatial)
    windows = tuple((min(7, layer.shape[1]), min(7, layer.shape[2])) for layer in chosen if layer.shape)
    return Job(
        network=network,
        name="mobilenet_v2",
        preprocessing=PREPROCESSING,
        shape=(3, 224, 224),
        layers=chosen,
        source=Files(tuple(names), PREPROCESSING),
        names=tuple(names),
        start=functools.partial(Units, UnitsQuery(chosen, windows, sample=1 << 10)),
        batch=usual(index),
    )


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = function()
    return time.perf_counter() - begin, result


def first_result(job: Job) -> float:
    """Return the seconds until a cluster that has to be started first hands over something counted."""
    begin, stamps = time.perf_counter(), []

    def note(_: str, done: int, __: int) -> None:
        if done:
            stamps.append(time.perf_counter() - begin)

    run_ray(job, job.start(), Tally.empty(job.chunks), workers=2, progress=note)
    return float(stamps[0])


def table() -> str:
    with tempfile.TemporaryDirectory() as folder:
        job = job_of(write(Path(folder), IMAGES))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        decoding, _ = timed(lambda: [job.source.load(number) for number in range(IMAGES)])
        whole = job.start()
        counting, _ = timed(lambda: run_local(job, whole, Tally.empty(job.chunks), workers=0))
        torch.set_num_threads(threads)
        packing, sent = timed(lambda: Part(whole).table())
        row = sent["facts"][0].as_py(), sent["state"][0].as_py()
        unpacking, part = timed(lambda: Part.read(row, job.start))
        merging, _ = timed(lambda: whole.merge(part.accumulator))
        few = job_of([str(one) for one in sorted(Path(folder).glob("*.jpg"))[:CLUSTER]])
        starting = first_result(few)
    rows = [
        ("images per second, one core, decoding and all", "r", f"{IMAGES / counting:.0f}"),
        ("decoding and resizing alone, one core", "d", f"{IMAGES / decoding:.0f} images/s"),
        ("size of one part", "s", f"{len(row[1]) / 1e6:.0f} MB"),
        (
            "packing, unpacking and merging one part",
            "m",
            f"{packing:.2f} + {unpacking:.2f} + {merging:.2f} s",
        ),
        ("start of a local cluster to the first result", "t₀", f"{starting:.0f} s"),
    ]
    lines = ["| | symbol | measured |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(one)} |" for one in rows)])


if __name__ == "__main__":
    print(table())
