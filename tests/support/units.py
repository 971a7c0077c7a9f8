"""A result about units made by hand."""

from typing import Any

import numpy as np

from netviz.questions.units.result import UnitsResult


def make_units(correlation: Any, **changes: Any) -> UnitsResult:
    """A result of a rectified layer, without classes and without groups unless `changes` says so."""
    table = np.asarray(correlation, dtype=np.float32)
    units = len(table)
    values: dict[str, Any] = {
        "selectivity": np.full(units, np.nan),
        "class_means": np.zeros((units, 0)),
        "sparsity": np.linspace(0.1, 0.9, units),
        "zeros": np.zeros(units),
        "correlation": table,
        "order": np.arange(units),
        "common": np.eye(units, dtype=np.float32),
        "classes": (),
        "alike": (),
        "redundant": 0,
        "rectified": True,
        "network": "net",
        "layer": "features.0",
        "alias": "relu1",
        "layer_kind": "relu",
        "channels": units,
        "top": 3,
        "images": 20,
        "positions": 4000,
        "samples": 1000,
        "skipped": (),
    }
    return UnitsResult(**{**values, **changes})
