"""Records: what JSON keeps of them, and what is refused, each in one line that names the entry."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from netviz.results.records import Count, from_json, to_json


@dataclass(frozen=True)
class Missing:
    missing: str


@dataclass(frozen=True)
class Part:
    file: Path
    pairs: tuple[tuple[Count, float], ...]
    which: Literal["first", "deeper"]
    note: str = ""

    def __post_init__(self) -> None:
        if len(self.pairs) > 2:
            raise ValueError("there are three pairs")


@dataclass(frozen=True)
class Whole:
    name: str
    trust: bool
    seed: int | None
    shape: tuple[Count, ...]
    prints: dict[str, str]
    part: Part | Missing
    parts: tuple[Part, ...]


FOLDER = Path("run")
PART = Part(FOLDER / "maps/0.npz", ((1, 2.0), (0, 0.5)), "deeper")
WHOLE = Whole("é", False, -3, (1, 2, 3), {"model": "ab"}, PART, (PART, Part(FOLDER / "a", (), "first", "x")))
FACTS = {
    "name": "é",
    "trust": False,
    "seed": -3,
    "shape": [1, 2, 3],
    "prints": {"model": "ab"},
    "part": {"file": "maps/0.npz", "pairs": [[1, 2], [0, 0.5]], "which": "deeper"},
    "parts": [
        {"file": "maps/0.npz", "pairs": [[1, 2], [0, 0.5]], "which": "deeper"},
        {"file": "a", "pairs": [], "which": "first", "note": "x"},
    ],
}


def test_a_record_comes_back_as_it_was():
    assert to_json(WHOLE, FOLDER) == FACTS
    assert from_json(Whole, json.loads(json.dumps(FACTS)), FOLDER) == WHOLE
    without = {**FACTS, "seed": None, "part": {"missing": "no maps"}, "unknown": 7}
    found = from_json(Whole, without, FOLDER)
    assert (found.seed, found.part) == (None, Missing("no maps"))


PART_FACTS = FACTS["part"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 7}, "name is 7, no text"),
        ({"name": None}, "name is None, no text"),
        ({"name": ["a\nb"]}, "name is ['a\\nb'], no text"),
        ({"trust": 1}, "trust is 1, no true or false"),
        ({"seed": True}, "seed is True, no whole number"),
        ({"seed": 1.5}, "seed is 1.5, no whole number"),
        ({"shape": "x"}, "shape is 'x', no list of whole numbers"),
        ({"shape": [1, -2]}, "shape[1] is -2, no whole number"),
        ({"prints": {"model": 3}}, "prints['model'] is 3, no text"),
        ({"prints": []}, "prints is [], no object"),
        ({"part": 3}, "part is 3, no object"),
        ({"part": {"missing": 3}}, "part.missing is 3, no text"),
        ({"part": {}}, "part.file is missing"),
        (
            {"parts": [PART_FACTS, {**PART_FACTS, "file": "../a"}]},
            "parts[1].file is '../a', no path inside the folder",
        ),
        ({"part": {**PART_FACTS, "which": "last"}}, "part.which is 'last', none of first, deeper"),
        (
            {"part": {**PART_FACTS, "pairs": [[1, 2, 3]]}},
            "part.pairs[0] is [1, 2, 3], no list of 2 whole numbers",
        ),
        ({"part": {**PART_FACTS, "pairs": [[1, float("nan")]]}}, "part.pairs[0][1] is nan, no number"),
        ({"part": {**PART_FACTS, "pairs": [[1, 2]] * 3}}, "part: there are three pairs"),
        ({"name": "x" * 100, "trust": "y" * 100}, f"trust is '{'y' * 59}…, no true or false"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        from_json(Whole, {**FACTS, **change}, FOLDER)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["name", "trust", "seed", "shape", "prints", "part", "parts"])
def test_no_entry_may_be_missing(name):
    with pytest.raises(ValueError, match=f"^{name} is missing$"):
        from_json(Whole, {key: value for key, value in FACTS.items() if key != name}, FOLDER)


@pytest.mark.parametrize(
    "path", ["", ".", "a/../b", "/etc/passwd", "C:\\x", "a//b", "a\\..\\b", "a\0b", "a/"]
)
def test_a_path_stays_inside(path):
    with pytest.raises(ValueError, match="no path inside the folder"):
        from_json(Path, path, FOLDER, "file")
