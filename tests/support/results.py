"""A small result of every kind, measured on a tiny network, or made by hand where that is longer."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

import netviz
from netviz.fcn.evaluation.result import SegmentationResult
from netviz.fcn.streams.result import StreamsResult
from netviz.images import Photo
from netviz.questions.links.network import Network
from netviz.questions.links.table import links_table
from netviz.questions.opening import open_model
from netviz.questions.units.result import NearestResult
from netviz.results.base import Result
from support.fields import measured
from support.images import make_compare, make_dense
from support.scenes import make_scenes, model, scene

SHARES = {"pixel_accuracy": 0.5, "mean_accuracy": 0.25, "mean_iu": 0.25, "frequency_weighted_iu": None}


def small_results(folder: Path) -> dict[str, Path]:
    """Return by a name of its own the file of a result of every kind of the table; some kinds have several."""
    pixels, _ = scene(np.random.default_rng(1), 40, 44)
    photo = Photo("scene", pixels)
    made = model()
    classifier: Any = replace(
        made, network=nn.Sequential(*made.network, nn.Flatten(), nn.Linear(5, 4)), labels=("a", "b", "c", "d")
    )
    scenes = make_scenes(folder)
    some = sorted((scenes / "images").iterdir())[:4]
    by_class = {"classes": ("x", "y"), "class_means": np.array([[1.0, 0.5]] * 5)}
    units = replace(netviz.units(made, "relu2", images=some), **by_class)
    network = Network(open_model(classifier), 0)
    found: dict[str, Result] = {
        "filters": netviz.filters(model=made, layer="conv1"),
        "maps": netviz.maps(photo, layer="conv2", model=made),
        "field": netviz.field(made, layer="conv2", images=some[:2], kind="all", top=1, unit=[0, 1]),
        "field_known": netviz.field(made, layer="conv2"),
        "measured": measured(),
        "occlusion": netviz.occlusion(photo, model=classifier, patch=10, stride=8),
        "optimize": netviz.optimize(classifier, layer="conv1", units="0,1", sign="both", side=24, steps=1),
        "attribute": netviz.attribute(photo, model=classifier, method="gradcam,gradient,guided"),
        "attribute-check": netviz.attribute_check(photo, model=classifier, method="gradcam,gradient"),
        "attribute_unit": netviz.attribute(photo, model=made, layer="conv1", unit=1, method="deconvnet"),
        "votes": netviz.votes(photo, layer="relu2", model=classifier, top=2),
        "contrast": netviz.contrast(photo, layer="conv1", model=made),
        "contrast_batch": netviz.contrast(photo, layer="conv1", model=made, method="batch"),
        "match": netviz.match(photo, layer="relu1", model=made, window=3),
        "sift": netviz.sift(photo, layer="relu1", model=made, keypoints=3, window=3),
        "stages": netviz.stages(photo, layer="conv1", model=made, units="0:3"),
        "segment": netviz.segment(photo, layer="relu1", unit=1, model=made, images=some),
        "minimal": netviz.minimal(photo, model=classifier, segments=8),
        "minimal_set": netviz.minimal_set(some, model=classifier, segments=6),
        "nearest": nearest(),
        "units": units,
        "links": netviz.links(classifier, layer="relu2", unit=1),
        "links_table": links_table(network, network.opened.layer("relu2"), [1, 3]),
        "hypercolumn": netviz.hypercolumn(photo, layers=("relu1", "relu2"), model=made),
        "diff": netviz.diff(made, model(), layer=["conv1", "conv2"], images=some, top=6),
        "diff_known": netviz.diff(made, model(), layer="conv1"),
        "dense": make_dense("scene", ("sky", "road")),
        "dense-compare": make_compare("scene", "sky"),
        "streams": streams(),
        "segmentation": segmentation(),
    }
    # Of a run, before its folder is deleted or moved, a result has patches of its own.
    convolutions = netviz.patches(made, folder / "c", images=some, layer=["conv1", "conv2"], top=2)
    found["links_run"] = netviz.links(made, layer="conv2", unit=1, run=convolutions)
    files = {name: result.save(folder / f"{name}.npz") for name, result in found.items()}
    # These two are drawn from the folder of their run.
    voted = netviz.votes_set(classifier, folder / "v", images=some, layer="relu1", workers=0, device="cpu")
    kept = netviz.patches(made, folder / "p", images=some, layer=["relu2"], top=2, deconv=True)
    seen = netviz.dissect(made, folder / "d", data=scenes, layer="relu1", top=1)
    for name, run in (("patches", kept), ("dissection", seen), ("votes_set", voted)):
        (files[name],) = (run / "layers").glob("*.npz")
    (files["back"],) = (kept / "back").glob("*.npz")
    return files


def nearest() -> NearestResult:
    return NearestResult(
        nearest=np.array([[1, 2], [0, 2], [-1, -1]]),
        similarity=np.array([[0.5, 0.25], [0.5, 0.125], [np.nan, np.nan]], dtype=np.float32),
        sparsity=np.array([0.25, 0.5, np.nan]),
        network="net", layer="conv1", alias="conv1", layer_kind="conv", channels=3, images=2, positions=90,
        samples=90,
    )  # fmt: skip


def streams() -> StreamsResult:
    """Three streams of four classes, of which each has a tap."""
    rng = np.random.default_rng(6)
    names = ("32s", "16s", "8s")
    values = {name: rng.normal(size=(4, 24, 32)).astype(np.float32) for name in names}
    values |= {
        f"added_{name}": rng.normal(size=(4, 24 // step, 32 // step)).astype(np.float32)
        for name, step in (("32s", 8), ("16s", 8), ("8s", 4))
    }
    return StreamsResult(
        streams=values, image=rng.integers(0, 256, (24, 32, 3), dtype=np.uint8),
        truth=rng.integers(-1, 4, (24, 32)).astype(np.int32), names=names, form="classes",
        classes=("sky", "road", "tree", "car"), network="net", origin="", image_name="scene", original=(24, 32),
        input="own size",
        taps={"32s": {"layer": "score", "stride": 8.0, "center": [3.5, 3.5]},
              "16s": {"layer": "pool4", "stride": 8.0, "center": [3.5, 3.5]},
              "8s": {"layer": "pool3", "stride": 4.0, "center": [1.5, 1.5]}},
        changed={"16s": {"from": "32s", "share": 0.125}, "8s": {"from": "16s", "share": 0.0625}},
        scores={name: {**SHARES, "per_class": {"sky": 0.5}} for name in names}, void_share=0.2,
    )  # fmt: skip


def segmentation() -> SegmentationResult:
    names, classes = ("32s", "8s"), ("sky", "road")
    return SegmentationResult(
        metrics={name: {**SHARES, "per_class": {"sky": 0.5}} for name in names},
        boundary={name: tuple(at / 20 for at in range(1, 21)) for name in names},
        streams=names, classes=classes, images=2, pixels=8, network="net", origin="", input="own size",
        tables={name: np.array([[4, 0], [2, 2]]) for name in names},
    )  # fmt: skip
