"""A survey's concepts and minimal images made by hand."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from netviz.questions.dissect.csv import write_table
from netviz.questions.dissect.result import DissectionResult
from netviz.questions.minimal.result import MinimalResult
from netviz.results.survey import (
    BestRecord,
    ConceptsRecord,
    MasksRecord,
    MinimalRecord,
    OnImage,
    SeenRecord,
    read_survey,
    write_survey,
)

NAMES = ("red", "blue", "grey")


def make_dissection(iou: Any, names: Sequence[str], **facts: Any) -> DissectionResult:
    """A result of these shares, over concepts of the category "colour"; its counts are those of 10,000 pixels."""
    iou = np.asarray(iou, dtype=np.float64)
    units, concepts = iou.shape
    values: dict[str, Any] = {
        "iou": iou,
        "intersection": np.rint(iou * 100).astype(np.int64),
        "unit_area": np.full((units, 1), 50),
        "concept_area": np.arange(concepts) * 200 + 100,
        "concept_images": np.ones(concepts, dtype=np.int64),
        "category_area": np.array([10_000]),
        "threshold": np.full(units, 0.5),
        "best": iou.argmax(axis=1)[:, None],
        "concepts": tuple((name, "colour") for name in names),
        "categories": ("colour",),
        "network": "toy",
        "layer_kind": "conv",
        "channels": units,
        "map_size": (24, 32),
        "field_size": (3.0, 3.0),
        "field_stride": (2.0, 2.0),
        "field_status": "exact",
        "placed": "by field",
        "quantile": 0.995,
        "quantile_samples": 1536,
        "positions": 1536,
        "quantile_error": 0.0,
        "detect": 0.04,
        "images": 2,
        "data": "colour",
        "resolution": "every pixel",
        "input": "as it is",
    }
    return DissectionResult(**{**values, **facts})


def make_minimal(image: Any, label: str, name: str) -> MinimalResult:
    """Of sixteen stripes of an image, 48 by 64 pixels, six are left."""
    segments = np.tile(np.arange(64) // 4, (48, 1)).astype(np.int64)
    order = np.array([4, 0, 9, 15, 3, 2, 7, 8, 1, 11, 12])
    kept = ~np.isin(segments, order[:10])
    filling = np.full_like(image, 99)
    return MinimalResult(
        image=image, minimal=np.where(kept[..., None], image, filling), filling=filling, segments=segments,
        order=order,
        scores=np.linspace(9, 4, 11), predictions=np.array([7] * 10 + [3]), network="toy", image_name=name,
        class_index=7, label=label, score=8.5, score_of="raw output", fill="blur", blur=4.8, asked=40, count=16,
        removed=10, share=float(kept.mean()), flipped=True, end_index=3, end_label="lynx", evaluations=121,
        full_passes="",
    )  # fmt: skip


SHARES = {
    1: [[0.01 * unit, 0, 0] for unit in range(8)],
    3: [[0.001, 0.03 * (unit == 2), 0] for unit in range(8)],
}
"""IoU of the units of two layers with three concepts: units 5, 6, 7 of the first detect one, none another."""


def mask_of(unit: int) -> Any:
    """A quarter of an image of 48 by 64 pixels, another for each unit; unit 3 has nothing."""
    mask = np.zeros((48, 64), dtype=bool)
    if unit != 3:
        mask[12:36, 2 * unit : 2 * unit + 32] = True
    return mask


def add_concepts(folder: Path, names: Sequence[str] = NAMES, label: str = "tabby") -> Path:
    """Add to a run of two photographs what two layers of eight units detect, and one minimal image."""
    record = read_survey(folder)
    layers = []
    masks = []
    for at, shares in SHARES.items():
        layer = record.layers[at]
        result = make_dissection(shares, names[:3], layer=layer.name, alias=layer.alias)
        file = f"layers/layer{at}.npz"
        result.save(folder / "concepts" / file).with_suffix(".csv").write_bytes(write_table(result))
        layers.append({"name": layer.name, "alias": layer.alias, "kind": "conv", "channels": 8, "file": file})
        units = tuple(range(8)) if at == 1 else tuple(range(6))
        stack = np.concatenate([mask_of(unit) for unit in units])
        path = folder / "concepts" / "masks" / f"layer{at}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(stack.astype(np.uint8) * 255).convert("1", dither=Image.Dither.NONE).save(path)
        masks.append(MasksRecord(at, path, units, tuple(unit % 2 for unit in units)))
    run = {
        "kind": "dissection",
        "netviz": "0.1.0",
        "torch": "2.0",
        "network": "toy",
        "origin": "nowhere",
        "options": {},
        "fingerprint": {},
        "images": {"listed": 2, "counted": 2, "skipped": 0},
        "skipped": [],
        "layers": layers,
    }
    (folder / "concepts" / "run.json").write_text(json.dumps(run), encoding="utf-8")
    concepts = ConceptsRecord(
        folder=folder / "concepts",
        data=None,
        surveyed=4,
        best=(BestRecord(0, ((0, 7), (0, 6), (0, 5))), BestRecord(1, ((1, 2),))),
        images=tuple(SeenRecord(one.name, one.file) for one in record.images[:2]),
        masks=tuple(masks),
    )
    first = record.images[0]
    image = np.asarray(Image.open(first.file).convert("RGB"))
    file = make_minimal(image, label, first.name).save(folder / "minimal" / "0.npz")
    shown = (OnImage(0, file), OnImage(1, missing="coffee has fewer pixels <b>than segments</b>"))
    write_survey(folder, replace(record, concepts=concepts, minimal=MinimalRecord(40, shown)))
    return folder
