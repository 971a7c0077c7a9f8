"""A patches result and a run's folder made by hand: no network is needed to read or draw one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from netviz.questions.patches.result import PatchesResult

LEVELS = np.array([0.0, 0.5, 0.995, 1.0])


def coordinates(number: int, height: int = 120, width: int = 160) -> Any:
    """An image whose red is the row, whose green the column, whose blue its number times 40."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y, x, np.full_like(y, 40 * number)], axis=-1).astype(np.uint8)


def make_patches(box: Any, **changes: Any) -> PatchesResult:
    """A result with boxes of shape (units, top, 4) in images 0, 1, …, one image for each place."""
    box = np.asarray(box, dtype=np.int64)
    units, top = box.shape[:2]
    values: dict[str, Any] = {
        "score": np.tile(np.arange(top, 0, -1, dtype=np.float32), (units, 1)),
        "image": np.tile(np.arange(top), (units, 1)),
        "row": np.zeros((units, top), dtype=np.int32),
        "col": np.zeros((units, top), dtype=np.int32),
        "box": box,
        "margin": np.zeros_like(box),
        "size": np.tile(np.array([120, 160], dtype=np.int32), (units, top, 1)),
        "maps": np.ones((units, top, 3, 3), dtype=np.float16),
        "maps_box": box,
        "mean": np.full(units, 0.25, dtype=np.float32),
        "max": np.full(units, top, dtype=np.float32),
        "nonzero": np.full(units, 0.5, dtype=np.float32),
        "quantile_levels": LEVELS,
        "quantiles": np.tile(np.array([0, 0, 0.5, 2], dtype=np.float32), (units, 1)),
        "histogram": np.tile(np.arange(32), (units, 1)),
        **{f"class_{name}": None for name in ("score", "image", "row", "col", "box")},
        "network": "net",
        "layer": "features.0",
        "alias": "conv1",
        "layer_kind": "conv",
        "channels": units,
        "map_size": (6, 8),
        "field_size": (40.0, 40.0),
        "field_stride": (8.0, 8.0),
        "field_status": "exact",
        "images": top,
        "positions": 48 * top,
        "quantile_samples": 48 * top,
        "rectified": True,
        "dead": (),
        "always_on": (),
        "classes": (),
        "per_image": 1,
        "input": "as it is",
    }
    return PatchesResult(**{**values, **changes})


def facts_of(*layers: tuple[str, str, int]) -> dict[str, Any]:
    """What run.json says, for layers given by name, alias and number of units."""
    return {
        "kind": "patches",
        "netviz": "0.1.0",
        "torch": "2.0",
        "network": "net",
        "origin": "nowhere",
        "options": {"layers": [name for name, _, _ in layers], "top": 3, "fit": "crop"},
        "fingerprint": {},
        "images": {"listed": 4, "counted": 3, "skipped": 1},
        "skipped": [{"image": "/x/broken.png", "reason": "it is damaged"}],
        "classes": [],
        "layers": [
            {"name": name, "alias": alias, "kind": "conv", "channels": units, "file": f"layers/{name}.npz"}
            for name, alias, units in layers
        ],
    }


def make_run(folder: Path, count: int = 3) -> Path:
    """A run of two layers, features.0 (conv1) with 2 units and features.3 (conv2) with 20, over `count` images."""
    pictures = folder.parent / "pictures"
    pictures.mkdir()
    names = []
    for number in range(count):
        names.append(pictures / f"photo{number}.png")
        Image.fromarray(coordinates(number)).save(names[-1])
    for name, alias, units in (("features.0", "conv1", 2), ("features.3", "conv2", 20)):
        box = np.tile(np.array([10, 20, 50, 60]), (units, count, 1)) + np.arange(units)[:, None, None]
        result = make_patches(box, layer=name, alias=alias, dead=(0,) if units == 20 else ())
        result.save(folder / "layers" / f"{name}.npz")
    (folder / "images.txt").write_text("".join(f"{name}\n" for name in names))
    facts = facts_of(("features.0", "conv1", 2), ("features.3", "conv2", 20))
    (folder / "run.json").write_text(json.dumps(facts))
    return folder
