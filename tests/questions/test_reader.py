"""Damaged and hostile results: whatever is changed in a file, it is drawn and told, or refused in one line."""

import json
import resource
import sys
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netviz.errors import NetvizError, ResultError
from netviz.questions import table
from netviz.questions.drawing import draw
from netviz.questions.reader import load_result, report
from support.mutations import mutations, read, write
from support.results import small_results

SECONDS = 20
"""Of one processor; a busy machine takes longer by the clock."""

EVERY = 40
"""One of how many changes is tried every day."""

# Some kinds have several results, which differ in what is None.
NAMES = sorted(
    {kind for one in table.QUESTIONS for kind in one.results}
    | {"field_known", "contrast_batch", "attribute_unit", "links_run", "diff_known"}
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return small_results(tmp_path_factory.mktemp("small"))


def peak() -> int:
    """Return the most memory that the process ever held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def check(files: dict[str, Path], name: str, tmp_path: Path, every: int) -> None:
    path = files[name]
    arrays, facts = read(path)
    wrong: dict[str, str] = {}
    for what, changed, told in mutations(arrays, facts):
        # By name and not by number: a new field leaves the choice among the others as it was.
        if zlib.crc32(f"{name} {what}".encode()) % every:
            continue
        write(path, changed, told)
        began, before = time.process_time(), peak()
        try:
            report(path)
            if table.drawer(facts["kind"]) is not None:
                draw(path, tmp_path / "a.png")
        except NetvizError as error:
            line = str(error)
            if path.name not in line or not line.isprintable():
                wrong[what] = line
        except Exception as error:
            wrong[what] = f"{type(error).__name__}: {error}"
        spent, more = time.process_time() - began, peak() - before
        if spent > SECONDS or more > 1 << 30:
            wrong[what] = f"takes {spent:.1f} s and {more >> 20} MiB"
    write(path, arrays, facts)
    assert not wrong


def test_there_is_a_result_of_every_kind(files: dict[str, Path]) -> None:
    assert sorted(files) == NAMES
    for name, path in files.items():
        own = load_result(path).kind
        assert own == name or name in {f"{own}_{form}" for form in ("known", "batch", "unit", "run")}


@pytest.mark.parametrize("name", NAMES)
def test_some_changes_are_drawn_or_refused(name: str, files: dict[str, Path], tmp_path: Path) -> None:
    check(files, name, tmp_path, EVERY)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_any_change_is_drawn_or_refused(name: str, files: dict[str, Path], tmp_path: Path) -> None:
    check(files, name, tmp_path, 1)


def _facts_that(change: Any) -> Any:
    def save(path: Path, arrays: Any, facts: Any) -> None:
        np.savez(path, facts=np.array(change(facts)), **arrays)

    return save


def _unpacks_to_much(path: Path, arrays: Any, facts: Any) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("weight.npy", "w") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (1 << 26,)}
        )
        for _ in range(256):
            file.write(bytes(1 << 20))


def _says_it_is_large(path: Path, arrays: Any, facts: Any) -> None:
    with zipfile.ZipFile(path, "w") as archive, archive.open("weight.npy", "w") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (1 << 50,)}
        )


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (_facts_that(lambda facts: "[" * 100_000), "cannot read"),
        (_facts_that(lambda facts: "[]"), "is no netviz result"),
        (_facts_that(lambda facts: json.dumps({**facts, "kind": ["filters"]})), "is no netviz result"),
        (_facts_that(lambda facts: json.dumps({**facts, "kind": "filter"})), "is no netviz result"),
        (_facts_that(lambda facts: 3), "is no netviz result"),
        (lambda path, arrays, facts: path.write_bytes(b"\x93NUMPY"), "cannot read"),
        (_unpacks_to_much, "cannot read"),
        (_says_it_is_large, "cannot read"),
    ],
)
def test_what_is_no_result_costs_nothing(
    save: Any, message: str, files: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "a.npz"
    save(path, *read(files["filters"]))
    before = peak()
    with pytest.raises(ResultError, match=message) as caught:
        load_result(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()
    assert peak() - before < 1 << 27
