"""Fields of a layer's units for a run folder of the gallery's tests."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from netviz.questions.field.result import FieldResult, MeasuredResult
from netviz.questions.patches.result import PatchesResult
from netviz.questions.reader import load_result
from netviz.results.base import Result
from netviz.results.survey import FieldRecord, read_survey, write_survey

FIELD = FieldRecord((9.0, 9.0), (2.0, 2.0), (-4.0, -4.0), "exact")


def effective(**changes: Any) -> FieldResult:
    """A layer of 8 units with maps of 24 by 32; its effective field is 5 px wide, and wider than high."""
    values: dict[str, Any] = {
        "theoretical": np.array([[9, 9], [2, 2], [-4, -4]], dtype=np.float64),
        "image": np.zeros((48, 64, 3), dtype=np.uint8),
        "chart_layers": np.array(["conv1"]),
        "chart_status": np.array(["exact"]),
        "chart_sizes": np.array([[9.0, 9.0]]),
        "network": "toy",
        "layer": "features.0",
        "alias": "conv1",
        "layer_kind": "conv",
        "channels": 8,
        "units": None,
        "map_shape": (24, 32),
        "position": (12, 16),
        "box": (20, 28, 29, 37),
        "center": (24.0, 32.0),
        "status": "exact",
        "reason": "",
        "input_shape": (3, 48, 64),
        "images": ("cat", "coffee"),
        "effective": np.zeros((48, 64), dtype=np.float32),
        "effective_width": 5.0,
        "effective_ratio": 5 / 9,
        "effective_sigma": (1.0, 4.0),
        "effective_center": (24.5, 31.0),
    }
    return FieldResult(**{**values, **changes})


def measured(**changes: Any) -> MeasuredResult:
    """Unit 2 is dead, unit 3 still, unit 5 was not measured; the others are changed by a 3 by 2 square."""
    units = np.array([0, 1, 2, 3, 4, 6, 7])
    maps = np.zeros((7, 11, 11), dtype=np.uint8)
    maps[:, 5:8, 4:6] = 255
    maps[:, 0, 0] = 63
    used = np.array([2, 2, 0, 2, 1, 2, 2], dtype=np.int16)
    sizes = np.where((units == 2) | (units == 3), np.nan, math.sqrt(6)).astype(np.float32)
    maps[2:4] = 0
    values: dict[str, Any] = {
        "units": units,
        "sizes": sizes,
        "offsets": np.zeros((7, 2), dtype=np.float32),
        "largest": np.ones(7, dtype=np.float32),
        "activations": np.ones(7, dtype=np.float32),
        "used": used,
        "maps": maps,
        "theoretical": np.array([[9, 9], [2, 2], [-4, -4]], dtype=np.float64),
        "network": "toy",
        "layer": "features.0",
        "alias": "conv1",
        "layer_kind": "conv",
        "channels": 8,
        "status": "exact",
        "reason": "",
        "map_shape": (24, 32),
        "input_shape": (48, 64),
        "cell": 1,
        "corner": (-5, -5),
        "patch": 2,
        "stride": 1,
        "images": ("cat", "coffee"),
        "seed": 0,
        "threshold": 0.25,
    }
    return MeasuredResult(**{**values, **changes})


def place_units(folder: Path, field: Any = FIELD) -> Path:
    """Give the first convolution a theoretical field; unit u is strongest at row 8, column 5 + u, of its map."""
    change_first(folder, receptive_field=field)
    file = folder / "patches" / "layers" / "layer1.npz"
    patches = load_result(file)
    assert isinstance(patches, PatchesResult)
    values = {name: getattr(patches, name) for name in vars(patches)}
    values.update(row=np.full((8, 2), 8, dtype=np.int32), map_size=(24, 32))
    values.update(col=np.tile(np.arange(5, 13, dtype=np.int32)[:, None], (1, 2)))
    PatchesResult(**values).save(file)
    return folder


def add_fields(folder: Path) -> Path:
    """Add all three fields of the units of the first convolution."""
    place_units(folder)
    return add_results(folder, fields=effective(), measured=measured())


def add_results(folder: Path, **results: Result) -> Path:
    """Add results of the first convolution, by their entries in the record: ``units``, ``fields``, ``measured``."""
    change_first(folder, **{name: one.save(folder / name / "layer1.npz") for name, one in results.items()})
    return folder


def change_first(folder: Path, **changes: Any) -> None:
    """Change what the run tells of the first convolution."""
    record = read_survey(folder)
    layers = list(record.layers)
    layers[1] = replace(layers[1], **changes)
    write_survey(folder, replace(record, layers=tuple(layers)))
