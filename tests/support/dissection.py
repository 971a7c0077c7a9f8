"""Dissections made by hand, and what their pictures say: no network is needed to draw one."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from netviz.questions.dissect.result import DissectionResult
from support.patches import make_run


def dissection(iou, concepts=None, **changes):
    """A result of which only what is drawn is of interest."""
    iou = np.asarray(iou, dtype=np.float64)
    units, count = iou.shape
    concepts = concepts or tuple((f"thing {at}", ("object", "part")[at % 2]) for at in range(count))
    categories = tuple(dict.fromkeys(category for _, category in concepts))
    of = np.array([[category == one for _, category in concepts] for one in categories])
    values = {
        "iou": iou,
        "intersection": np.zeros((units, count), dtype=np.int64),
        "unit_area": np.zeros((units, len(categories)), dtype=np.int64),
        "concept_area": np.full(count, 100),
        "concept_images": np.full(count, 3),
        "category_area": np.full(len(categories), 1000),
        "threshold": np.full(units, 0.5),
        "best": np.where(of, iou[:, None], -1).argmax(axis=2),
        "concepts": tuple(concepts),
        "categories": categories,
        "network": "net",
        "layer": "features.0",
        "alias": "conv1",
        "layer_kind": "conv",
        "channels": units,
        "map_size": (6, 8),
        "field_size": (40.0, 40.0),
        "field_stride": (8.0, 8.0),
        "field_status": "exact",
        "placed": "by field",
        "quantile": 0.995,
        "quantile_samples": 144,
        "positions": 144,
        "quantile_error": 0.0,
        "detect": 0.04,
        "images": 3,
        "data": "masks",
        "resolution": "every pixel",
        "input": "as it is",
    }
    return DissectionResult(**{**values, **changes})


def random(units, count, high=0.2, seed=0):
    rng = np.random.default_rng(seed)
    return dissection(rng.random((units, count)) ** 4 * high)


def said(drawn):
    return [text.get_text() for text in drawn.axes[0].texts]


def bars(drawn):
    """Middle, left end, length and colour of every bar, and the names that stand at the same height."""
    names = {}
    for text in drawn.axes[0].texts:
        if text.get_ha() == "right":
            names.setdefault(round(text.get_position()[1], 3), []).append(text)
    found = []
    for bar in drawn.axes[0].patches:
        middle = round(bar.get_y() + bar.get_height() / 2, 3)
        name = max(
            (one for one in names[middle] if one.get_position()[0] <= bar.get_x()),
            key=lambda one: one.get_position()[0],
        )
        found.append((name.get_text(), bar.get_x(), bar.get_width(), bar.get_facecolor()))
    return found


def counted(result):
    """How many units detect each concept, by the rule itself."""
    best = result.iou.argmax(axis=1)
    return Counter(
        result.concepts[at] for unit, at in enumerate(best) if result.iou[unit, at] > result.detect
    )


def check_layout(drawn):
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()
    width, height = canvas.get_width_height()
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in drawn.axes[0].texts if text.get_text()]
    assert all(box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height for box in boxes)
    boxes += [bar.get_window_extent() for bar in drawn.axes[0].patches if bar.get_width() > 0]
    boxes += [image.get_window_extent().padded(-0.5) for image in drawn.axes[0].images]
    edges = np.array([box.extents for box in boxes])
    low, high = edges[:, None, :2], edges[:, None, 2:]
    over = (low < high.swapaxes(0, 1)).all(-1) & (low.swapaxes(0, 1) < high).all(-1)
    assert not (over & ~np.eye(len(edges), dtype=bool)).any()


def make_dissection_run(folder):
    """A run of two layers, features.0 (conv1) with 2 units and features.3 (conv2) with 20, and its patches."""
    folder.mkdir()
    patches = make_run(folder / "patches")
    for name, alias, units in (("features.0", "conv1", 2), ("features.3", "conv2", 20)):
        result = replace(random(units, 5, seed=units), layer=name, alias=alias)
        result.save(folder / "layers" / f"{name}.npz")
    facts = json.loads((patches / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**facts, "kind": "dissection", "data": "masks"}))
    (folder / "images.txt").write_text((patches / "images.txt").read_text())
    return folder
