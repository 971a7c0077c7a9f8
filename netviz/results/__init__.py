"""The base of all results: saved and loaded without torch, files that are never half there, folders of runs."""

from netviz.results.base import Arrays, Result
from netviz.results.choose import choose_units
from netviz.results.files import write_bytes, write_if_changed

__all__ = ["Arrays", "Result", "choose_units", "write_bytes", "write_if_changed"]
