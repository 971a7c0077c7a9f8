"""The table of questions: names only, so that reading it imports nothing.

A new question is a folder beside this file (or in ``fcn/``), a line here, and a command: ``netviz.NAME``, the list of
commands, loading, drawing and reporting of results, the types of ``netviz`` and the docs are read from here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Question:
    """One question, and where its parts stand.

    Attributes
    ----------
    room : str
        The module or package that holds it.
    command : str
        ``netviz COMMAND``, a file of that name in ``cli/``; empty where another question's command asks it too.
    functions : mapping of str to str
        For each ``netviz.NAME`` the file of the room in which it stands.
    results : mapping of str to str
        For each kind of result its class in ``result.py``, and what draws it, if anything does, as ``file.name``.
    runs : mapping of str to str
        For each kind of run's folder the function that opens it, as ``file.name``.
    files : mapping of str to str
        For each suffix of files of others the function that reads them, as ``file.name``.
    """

    room: str
    command: str
    functions: Mapping[str, str] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)
    runs: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


_Q = "netviz.questions"

QUESTIONS = (
    Question(_Q, "layers", {"layers": "opening"}),
    Question(
        f"{_Q}.filters", "filters", {"filters": "measure"}, {"filters": "FiltersResult draw.filters_figure"}
    ),
    Question(f"{_Q}.maps", "maps", {"maps": "measure"}, {"maps": "MapsResult draw.maps_figure"}),
    Question(
        f"{_Q}.field",
        "field",
        {"field": "measure"},
        {
            "field": "FieldResult draw.field_figure",
            "measured": "MeasuredResult draw_measured.measured_figure",
        },
    ),
    Question(
        f"{_Q}.occlusion",
        "occlusion",
        {"occlusion": "measure"},
        {"occlusion": "OcclusionResult draw.occlusion_figure"},
    ),
    Question(
        f"{_Q}.attribute",
        "attribute",
        {"attribute": "measure", "attribute_check": "check"},
        {
            "attribute": "AttributeResult draw.attribute_figure",
            "attribute-check": "CheckResult draw_check.check_figure",
        },
    ),
    Question(
        f"{_Q}.votes",
        "votes",
        {"votes": "measure", "votes_set": "over"},
        {
            "votes": "VotesResult draw.votes_figure",
            "votes_set": "VotesSetResult draw_set.votes_set_figure",
        },
        {"votes": "run.open_votes"},
    ),
    Question(
        f"{_Q}.contrast",
        "contrast",
        {"contrast": "measure", "normalize": "normalize"},
        {"contrast": "ContrastResult draw.contrast_figure"},
    ),
    Question(
        f"{_Q}.sift",
        "sift",
        {"match": "match", "sift": "measure"},
        {"match": "MatchResult draw_match.match_figure", "sift": "SiftResult draw.sift_figure"},
    ),
    Question(f"{_Q}.stages", "stages", {"stages": "measure"}, {"stages": "StagesResult draw.stages_figure"}),
    Question(
        f"{_Q}.patches",
        "patches",
        {"patches": "measure"},
        {"patches": "PatchesResult draw.patches_figure", "back": "BackResult"},
        {"patches": "run.open_run"},
    ),
    Question(
        f"{_Q}.dissect",
        "dissect",
        {"dissect": "measure"},
        {"dissection": "DissectionResult draw.dissection_figure"},
        {"dissection": "run.open_dissection"},
        {".csv": "csv.read_table"},
    ),
    Question(
        f"{_Q}.segment", "segment", {"segment": "measure"}, {"segment": "SegmentResult draw.segment_figure"}
    ),
    Question(
        f"{_Q}.minimal",
        "minimal",
        {"minimal": "measure", "minimal_set": "measure"},
        {
            "minimal": "MinimalResult draw.minimal_figure",
            "minimal_set": "MinimalSetResult draw.minimal_set_figure",
        },
    ),
    Question(
        f"{_Q}.optimize",
        "optimize",
        {"optimize": "measure"},
        {"optimize": "OptimizeResult draw.optimize_figure"},
    ),
    Question(
        f"{_Q}.units",
        "units",
        {"units": "measure"},
        {"nearest": "NearestResult", "units": "UnitsResult draw.units_figure"},
    ),
    Question(
        f"{_Q}.links",
        "links",
        {"links": "measure"},
        {"links": "LinksResult draw.links_figure", "links_table": "LinksTableResult"},
    ),
    Question(f"{_Q}.diff", "diff", {"diff": "measure"}, {"diff": "DiffResult draw.diff_figure"}),
    Question(
        f"{_Q}.hypercolumn",
        "hypercolumn",
        {"hypercolumn": "measure"},
        {"hypercolumn": "HypercolumnResult draw.hypercolumn_figure"},
    ),
    Question(
        "netviz.fcn.dense",
        "dense",
        {"dense": "measure", "dense_compare": "compare"},
        {
            "dense-compare": "CompareResult draw_compare.compare_figure",
            "dense": "DenseResult draw.dense_figure",
        },
    ),
    Question("netviz.fcn.streams", "fcn", {}, {"streams": "StreamsResult draw.streams_figure"}),
    Question(
        "netviz.fcn.evaluation", "", {}, {"segmentation": "SegmentationResult draw.segmentation_figure"}
    ),
)
"""All questions, in the order in which ``netviz --help`` lists their commands."""


def functions() -> dict[str, str]:
    """Return for each ``netviz.NAME`` the module in which it stands."""
    return {name: f"{one.room}.{file}" for one in QUESTIONS for name, file in one.functions.items()}


def commands() -> list[str]:
    """Return the questions' commands."""
    return [one.command for one in QUESTIONS if one.command]


def result_class(kind: str) -> Any:
    """Return the class of a kind of result; None where the table has no such kind."""
    for room, told in _results(kind):
        return _found(room, f"result.{told.split()[0]}")
    return None


def drawer(kind: str) -> Callable[[Any], Any] | None:
    """Return the function that draws a kind of result as a figure; None where there is none."""
    for room, told in _results(kind):
        _, *drawers = told.split()
        return _found(room, drawers[0]) if drawers else None
    return None


def drawn_kinds() -> list[str]:
    """Return the kinds of result that can be drawn."""
    return sorted(kind for one in QUESTIONS for kind, told in one.results.items() if " " in told)


def run_opener(kind: str) -> Any:
    """Return the function that opens the folder of a kind of run; None where there is no such kind."""
    return next((_found(one.room, one.runs[kind]) for one in QUESTIONS if kind in one.runs), None)


def file_reader(suffix: str) -> Any:
    """Return the function that reads files of others with this suffix; None where there is none."""
    return next((_found(one.room, one.files[suffix]) for one in QUESTIONS if suffix in one.files), None)


def _results(kind: str) -> Iterator[tuple[str, str]]:
    return ((one.room, one.results[kind]) for one in QUESTIONS if kind in one.results)


def _found(room: str, place: str) -> Any:
    file, name = place.rsplit(".", 1)
    return getattr(import_module(f"{room}.{file}"), name)
