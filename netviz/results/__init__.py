"""Frozen results, NumPy only: what every question returns, saved and loaded without torch."""

from netviz.results.base import Arrays, Result, load_result
from netviz.results.choose import choose_units
from netviz.results.contrast import ContrastResult
from netviz.results.field import FieldResult
from netviz.results.files import write_bytes, write_if_changed
from netviz.results.filters import FiltersResult
from netviz.results.maps import MapsResult
from netviz.results.minimal import MinimalResult, MinimalSetResult
from netviz.results.occlusion import OcclusionResult
from netviz.results.patches import PatchesResult
from netviz.results.patches_run import PatchesRun, open_run, report
from netviz.results.sift import MatchResult, SiftResult
from netviz.results.stages import StagesResult

__all__ = [
    "Arrays",
    "ContrastResult",
    "FieldResult",
    "FiltersResult",
    "MapsResult",
    "MatchResult",
    "MinimalResult",
    "MinimalSetResult",
    "OcclusionResult",
    "PatchesResult",
    "PatchesRun",
    "Result",
    "SiftResult",
    "StagesResult",
    "choose_units",
    "load_result",
    "open_run",
    "report",
    "write_bytes",
    "write_if_changed",
]
