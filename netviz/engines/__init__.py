"""Accumulators, and the engines that feed them: local and ray give the same bytes."""

from netviz.engines.accumulators.top import Top
from netviz.engines.accumulators.units import Units, UnitsQuery
from netviz.engines.batches import Batch, Files, Item, Source
from netviz.engines.checkpoint import Checkpoint
from netviz.engines.job import Accumulator, Job, Progress, Relevance, Save, Tally
from netviz.engines.local import run_local

__all__ = [
    "Accumulator",
    "Batch",
    "Checkpoint",
    "Files",
    "Item",
    "Job",
    "Progress",
    "Relevance",
    "Save",
    "Source",
    "Tally",
    "Top",
    "Units",
    "UnitsQuery",
    "run_local",
]
