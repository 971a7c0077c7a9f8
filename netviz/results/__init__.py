"""Frozen results, NumPy only: what every question returns, saved and loaded without torch."""

from netviz.results.base import Arrays, Result, load_result
from netviz.results.choose import choose_units
from netviz.results.contrast import ContrastResult
from netviz.results.dense import CompareResult, DenseResult
from netviz.results.dissect import DissectionResult
from netviz.results.dissect_csv import DissectionTable, read_table
from netviz.results.dissect_run import DissectionRun, open_dissection, report
from netviz.results.field import FieldResult
from netviz.results.files import write_bytes, write_if_changed
from netviz.results.filters import FiltersResult
from netviz.results.hypercolumn import HypercolumnResult
from netviz.results.maps import MapsResult
from netviz.results.measured import MeasuredResult
from netviz.results.minimal import MinimalResult, MinimalSetResult
from netviz.results.nearest import NearestResult
from netviz.results.occlusion import OcclusionResult
from netviz.results.patches import PatchesResult
from netviz.results.patches_run import PatchesRun, open_run
from netviz.results.segment import SegmentResult
from netviz.results.segmentation import SegmentationResult
from netviz.results.sift import MatchResult, SiftResult
from netviz.results.stages import StagesResult
from netviz.results.streams import StreamsResult
from netviz.results.units import UnitsResult

__all__ = [
    "Arrays",
    "CompareResult",
    "ContrastResult",
    "DenseResult",
    "DissectionResult",
    "DissectionRun",
    "DissectionTable",
    "FieldResult",
    "FiltersResult",
    "HypercolumnResult",
    "MapsResult",
    "MatchResult",
    "MeasuredResult",
    "MinimalResult",
    "MinimalSetResult",
    "NearestResult",
    "OcclusionResult",
    "PatchesResult",
    "PatchesRun",
    "Result",
    "SegmentResult",
    "SegmentationResult",
    "SiftResult",
    "StagesResult",
    "StreamsResult",
    "UnitsResult",
    "choose_units",
    "load_result",
    "open_dissection",
    "open_run",
    "read_table",
    "report",
    "write_bytes",
    "write_if_changed",
]
