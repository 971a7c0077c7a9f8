"""Hypercolumns, heat maps and streams for a run folder of the gallery's tests."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from netviz.fcn.dense.result import CompareResult, DenseResult
from netviz.fcn.streams.result import StreamsResult
from netviz.questions.attribute.result import AttributeResult
from netviz.questions.hypercolumn.result import HypercolumnResult
from netviz.results.survey import (
    AttributionOnImage,
    AttributionRecord,
    FcnRecord,
    HypercolumnsRecord,
    Missing,
    OnImage,
    OptionsRecord,
    StreamsOnImage,
    read_survey,
    write_survey,
)

SIDE = (36, 48)
SEEN = (48, 64)
NAMES = ("32s", "16s", "8s")


def make_hypercolumn(image: str, layers: Sequence[str]) -> HypercolumnResult:
    rng = np.random.default_rng(8)
    return HypercolumnResult(
        components=rng.normal(size=(3, *SIDE)).astype(np.float32), explained=np.array([0.5, 0.25, 0.0625]),
        clusters=np.arange(SIDE[0] * SIDE[1], dtype=np.int32).reshape(SIDE) % 4,
        image=rng.integers(0, 256, (*SIDE, 3), dtype=np.uint8), network="toy", image_name=image,
        layers=tuple(
            {"layer": layer, "alias": layer, "units": 8, "maps": [9, 12], "field_size": [3.0, 3.0],
             "field_stride": [4.0, 4.0], "field_status": "exact", "share": [0.5, 0.3, 0.2]}
            for layer in layers
        ),
        grid_step=(1.0, 1.0), cluster_components=16, cluster_explained=0.9, cluster_share=(0.4, 0.3, 0.2, 0.1),
        seed=0, input="own size",
    )  # fmt: skip


def make_dense(image: str, labels: Sequence[str]) -> DenseResult:
    scores = np.zeros((2, 4, 5), dtype=np.float32)
    scores[0, 1, 2], scores[1, 3, 0] = 7.5, 2.25
    return DenseResult(
        scores=scores, center_y=9.5 + 10.0 * np.arange(4), center_x=9.5 + 10.0 * np.arange(5),
        classes=np.array([5, 6]), level=np.zeros(scores.shape, dtype=np.uint8),
        image=np.random.default_rng(3).integers(0, 256, (60, 80, 3), dtype=np.uint8), network="toy",
        image_name=image, labels=(labels[0], ""), channels=10, chosen="top", cast=True, placed="geometry",
        window_of="crop", scales=(1.0,), inputs=((120, 160),), strides=((10.0, 10.0),),
        windows=((0.0, 0.0, 20.0, 20.0),), field=(31.0, 31.0), field_status="exact", input="own size", levels={},
    )  # fmt: skip


def make_attribute(image: str, label: str, method: str) -> AttributeResult:
    """A ramp from left to right by Grad-CAM; of guided backpropagation one pixel more red, one less blue."""
    height, width = SEEN
    ramp = np.tile(np.linspace(0, 3, width, dtype=np.float32), (1, height, 1))
    bands = np.zeros((1, height, width, 3), dtype=np.float32)
    bands[0, 4:20, 6:30, 0], bands[0, 30:40, 6:30, 2] = 2.0, -1.0
    cam = method == "gradcam"
    return AttributeResult(
        attribution=ramp if cam else bands.sum(axis=-1), bands=None if cam else bands,
        maps=ramp[:, ::8, ::8] if cam else None,
        image=np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8), methods=(method,),
        network="toy", image_name=image, target="class", class_index=3, label=label, predicted=False, called="class",
        output="", layer="features.3" if cam else "", alias="conv3" if cam else "", layer_kind="conv" if cam else "",
        layer_chosen=cam, channels=70 if cam else 0, unit=-1, position=(), box=(), score=4.5, score_of="raw score",
        rectifiers={} if cam else {"relu": 3},
    )  # fmt: skip


def make_compare(image: str, label: str) -> CompareResult:
    rng = np.random.default_rng(4)
    return CompareResult(
        dense=rng.normal(size=(4, 5)).astype(np.float32), sliding=rng.normal(size=(4, 5)).astype(np.float32),
        regions=np.full((60, 80), 0.5, dtype=np.float32), boxes=np.array([[0, 0, 20, 30], [10, 10, 40, 60]]),
        box_scores=np.array([0.5, 9.0], dtype=np.float32), center_y=9.5 + 10.0 * np.arange(4),
        center_x=9.5 + 10.0 * np.arange(5), seconds=np.array([0.25, 5.0, 4.0, 0.5]),
        evaluations=np.array([1, 20, 20, 2]), image=rng.integers(0, 256, (60, 80, 3), dtype=np.uint8),
        network="toy", image_name=image, class_index=7, label=label, stride=(10.0, 10.0),
        window=(0.0, 0.0, 20.0, 20.0), input_size=(120, 160), crop=(40, 40), batch=16, repeats=3, proposals=321,
        proposal_seconds=0.25, per_image=2000, deviation=0.4, correlation=0.875, device="cpu", threads=2,
    )  # fmt: skip


def make_streams(image: str, classes: Sequence[str]) -> StreamsResult:
    """Streams whose classes are known: vertical stripes, finer in every stream."""
    streams = {}
    for name, wide in zip(NAMES, (24, 12, 6), strict=True):
        code = np.broadcast_to(np.arange(SIDE[1]) // wide % len(classes), SIDE)
        streams[name] = (code == np.arange(len(classes))[:, None, None]).astype(np.float32)
    found = [value.argmax(axis=0) for value in streams.values()]
    return StreamsResult(
        streams=streams, image=np.full((*SIDE, 3), 90, dtype=np.uint8), truth=None, names=NAMES, form="classes",
        classes=tuple(classes), network="toy", origin="", image_name=image, original=(72, 96), input="resized",
        taps={},
        changed={
            after: {"from": before, "share": float((found[place] != found[place + 1]).mean())}
            for place, (before, after) in enumerate(itertools.pairwise(NAMES))
        },
        scores={}, void_share=0.0,
    )  # fmt: skip


def make_edges(image: str) -> StreamsResult:
    """The side outputs of an edge detector."""
    names = ("side2", "side1", "fused")
    ramp = np.broadcast_to(np.linspace(-4, 4, SIDE[1], dtype=np.float32), SIDE)
    return StreamsResult(
        streams={name: ramp[None] * (place + 1) for place, name in enumerate(names)},
        image=np.full((*SIDE, 3), 90, dtype=np.uint8), truth=None, names=names, form="edges", classes=("edge",),
        network="toy", origin="", image_name=image, original=SIDE, input="own size", taps={}, changed={},
        scores={}, void_share=0.0,
    )  # fmt: skip


def add_images(folder: Path, streams: bool = False, classes: Sequence[str] = ("sky", "road", "car")) -> Path:
    """Add to a run of two or more photographs hypercolumns, and heat maps and attributions, or streams.

    Of the first photograph the network saw the middle, 3 of 4 pixels down and across.
    """
    record = read_survey(folder)
    names = [image.name for image in record.images]
    layers = tuple(layer.name for layer in record.layers if layer.filters)[:2]
    stacked = make_hypercolumn(names[0], layers).save(folder / "hypercolumns" / "0.npz")
    fcn = folder / "fcn"
    if streams:
        found = FcnRecord(
            streams=(
                StreamsOnImage(
                    0, make_streams(names[0], classes).save(fcn / "0-streams.npz"), form="classes", views=5
                ),
                StreamsOnImage(1, make_edges(names[1]).save(fcn / "1-streams.npz"), form="edges", views=3),
            ),
            dense=(),
        )
    else:
        found = FcnRecord(
            streams=(),
            dense=(
                OnImage(0, make_dense(names[0], classes).save(fcn / "0-dense.npz")),
                OnImage(1, missing=f"{names[1]} is smaller than the window"),
            ),
            compare=OnImage(0, make_compare(names[0], classes[0]).save(fcn / "0-compare.npz")),
        )
    attribution: AttributionRecord | Missing = Missing("this run has none")
    if not streams:
        asked = [("gradcam", 0), ("gradcam", 1), ("guided", 0)]
        attribution = AttributionRecord(
            (
                *(
                    AttributionOnImage(
                        0,
                        make_attribute(names[0], classes[rank], method).save(
                            folder / "attribution" / f"0-{method}-{rank}.npz"
                        ),
                        rank=rank,
                        method=method,
                    )
                    for method, rank in asked
                ),
                AttributionOnImage(1, missing="no layer serves", rank=0, method="gradcam"),
            )
        )
    shown = (OnImage(0, stacked), OnImage(1, missing=f"nothing varies on {names[1]}"))
    record = replace(
        record,
        images=(replace(record.images[0], part=(0.125, 0.125, 0.875, 0.875)), *record.images[1:]),
        attribution=attribution,
        hypercolumns=HypercolumnsRecord(layers, shown),
        fcn=found,
        options=OptionsRecord(("conv*",), quick=False, full=True, trust=False, weights=None, seed=3),
    )
    write_survey(folder, record)
    return folder
