"""Accumulators, and the engines that feed them: local and ray give the same bytes."""

from netviz.engines.batches import Batch, Files, Item, Source
from netviz.engines.checkpoint import Checkpoint
from netviz.engines.local import run_local
from netviz.engines.runner import Accumulator, Job, Tally
from netviz.engines.top import Top
from netviz.engines.units import Units, UnitsPlan

__all__ = [
    "Accumulator",
    "Batch",
    "Checkpoint",
    "Files",
    "Item",
    "Job",
    "Source",
    "Tally",
    "Top",
    "Units",
    "UnitsPlan",
    "run_local",
]
