"""Both passes of a dissection: thresholds from all values, then every unit met with every concept.

128 crops of scikit-image's photographs, decoded beforehand, 224 px, with labels of 11 classes in blobs of some dozen
pixels: the time of the first pass, with the sample that thresholds are taken from, and that of the second, which
counts intersections at the 0.995 quantile in every pixel, each over the fastest bare forward pass of the same images
that still computes the layers (the better of channels first and channels last, batch normalization folded, inference
mode, images already normalized, batches of 16). The better of two rounds in turn.
"""

import copy
import functools

import numpy as np
import torch
from goals import most
from patches import BATCH, PREPROCESSING, Memory, bare, batches, crops, folded, in_turn, ours, usual
from torch import nn

from netviz.engines import Item, Job, Tally, Units, UnitsQuery, run_local
from netviz.engines.accumulators.concepts import Concepts, ConceptsQuery
from netviz.models import Layer, Model
from netviz.models.builders import build_torchvision
from netviz.models.model import given
from netviz.questions.dissect.layer import layer_centers, sample_size, thresholds
from netviz.questions.opening import layer_fields, layers

IMAGES, CONCEPTS = 128, 11


def labelled(images: list[np.ndarray]) -> Memory:
    """Return the images with labels: some void, the rest in blobs."""
    rng = np.random.default_rng(0)
    items = []
    for number, pixels in enumerate(images):
        coarse = rng.integers(0, CONCEPTS + 2, (14, 14)).repeat(16, 0).repeat(16, 1)
        edges = rng.integers(0, 16, 2)
        codes = np.roll(coarse, edges, (0, 1))
        codes[codes == CONCEPTS] = CONCEPTS + 1
        extra = {
            "labels": codes[None].astype(np.int32),
            "first": np.ones(1, dtype=bool),
            "whole": np.zeros(0, dtype=np.int64),
        }
        items.append(Item(number, pixels, (224, 224), extra))
    return Memory(items)


def job_of(network: nn.Module, chosen: tuple[Layer, ...], source: Memory) -> Job:
    windows = tuple((min(7, layer.shape[1]), min(7, layer.shape[2])) for layer in chosen if layer.shape)
    return Job(
        network=network,
        name="network",
        preprocessing=PREPROCESSING,
        shape=(3, 224, 224),
        layers=chosen,
        source=source,
        names=[str(number) for number in range(len(source))],
        start=functools.partial(Units, UnitsQuery(chosen, windows, sample=sample_size(chosen, len(source)))),
        batch=usual(layers(network)),
    )


def second_pass(model: Model, job: Job) -> Job:
    """Run the first pass, and return the job of the second."""
    units = job.start()
    run_local(job, units, Tally.empty(job.chunks))
    if not isinstance(units, Units):
        raise TypeError("the first pass counts units")
    fields = layer_fields(model, layers(model))
    query = ConceptsQuery(
        layers=job.layers,
        centers=tuple(layer_centers(fields[layer]) for layer in job.layers),
        thresholds=tuple(thresholds(units, at, 0.995) for at in range(len(job.layers))),
        category=np.zeros(CONCEPTS, dtype=np.int64),
        categories=1,
    )
    return Job(**{**vars(job), "start": functools.partial(Concepts, query)})


def measure(name: str, names: tuple[str, ...], images: list[np.ndarray]) -> str:
    network = build_torchvision(name, seed=0).eval()
    model = given(network, name, "")
    index = layers(model)
    chosen = tuple(index.resolve(spec) for spec in names)
    source = labelled(images)
    job = job_of(network, chosen, source)
    second = second_pass(model, job)
    last = batches(images, BATCH)
    first = [part.contiguous() for part in last]
    fast = folded(network, chosen)
    plain = copy.deepcopy(fast).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    times = in_turn(
        {
            "first": lambda: ours(job),
            "second": lambda: ours(second),
            "channels last": lambda: bare(fast, last),
            "channels first": lambda: bare(plain, first),
        }
    )
    forward = min(times["channels last"], times["channels first"])
    shapes = ", ".join("×".join(map(str, layer.shape or ())) for layer in chosen)
    passes = (
        f"{times[one] / len(images) * 1000:.1f} ms, {most(times[one] / forward, 1.5)}"
        for one in ("first", "second")
    )
    return f"| {name}: {', '.join(names)} | {shapes} | {forward / len(images) * 1000:.1f} ms | {' | '.join(passes)} |"


CASES = (
    ("mobilenet_v2", ("features.18.2",)),
    ("mobilenet_v2", ("features.3.conv.0.2", "features.9", "features.18.2")),
    ("resnet18", ("layer4",)),
    ("alexnet", ("features.11",)),
)


def table() -> str:
    images = crops(IMAGES)
    rows = [
        "| network, layers | units × map | bare forward, an image | first pass, over it | second pass, over it |",
        "|---" * 5 + "|",
    ]
    rows += [measure(name, names, images) for name, names in CASES]
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
