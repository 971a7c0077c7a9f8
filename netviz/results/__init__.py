"""Frozen results, NumPy only: what every question returns, saved and loaded without torch."""

from netviz.results.base import Arrays, Result, load_result, report
from netviz.results.field import FieldResult
from netviz.results.files import write_bytes, write_if_changed
from netviz.results.filters import FiltersResult
from netviz.results.maps import MapsResult
from netviz.results.occlusion import OcclusionResult

__all__ = [
    "Arrays",
    "FieldResult",
    "FiltersResult",
    "MapsResult",
    "OcclusionResult",
    "Result",
    "load_result",
    "report",
    "write_bytes",
    "write_if_changed",
]
