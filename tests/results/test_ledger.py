"""Long work: what its folder holds, and whether it may go on there."""

import pytest

from netviz.errors import ImageError, OutputError, ResultError
from netviz.results.files import write_bytes
from netviz.results.ledger import (
    RUN,
    STATE,
    STEPS,
    TWO_PASSES,
    Ledger,
    Start,
    bytes_of,
    digest,
    full_name,
    require_same,
    run_folder,
    standing,
)


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ([], "new"),
        ([".state.npz.abc.part"], "new"),
        (["patches/.state.npz.abc.part"], "new"),
        ([STATE], "unfinished"),
        (["patches/state.npz", "patches/run.json"], "unfinished"),
        ([STATE, RUN], "unfinished"),
        ([RUN, "layers/0.npz"], "finished"),
        (["diary.txt"], "other"),
        ([".diary.txt.abc.part"], "other"),
        (["photos/.state.npz.abc.part"], "other"),
        (["layers/0.npz"], "other"),
    ],
)
def test_what_a_folder_holds(tmp_path, files, wanted):
    folder = tmp_path / "run"
    assert standing(folder, TWO_PASSES) == "new"
    folder.mkdir()
    for file in files:
        write_bytes(folder / file, b"x")
    assert standing(folder, TWO_PASSES) == wanted


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "run").touch()
    assert standing(tmp_path / "run") == "other"
    with pytest.raises(OutputError, match="is not empty; name a new folder"):
        run_folder(tmp_path / "run", resume=False)


def test_a_run_goes_on_only_if_asked_and_loses_what_was_half_written(tmp_path):
    assert run_folder(tmp_path / "new", resume=True) == tmp_path / "new"
    for name in (STATE, ".state.npz.abc.part", "layers/.0.npz.abc.part"):
        write_bytes(tmp_path / name, b"x")
    with pytest.raises(OutputError, match="go on with --resume, or name a new folder"):
        run_folder(tmp_path, resume=False)
    run_folder(tmp_path, resume=True)
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["layers", STATE]
    (tmp_path / STATE).rename(tmp_path / RUN)
    with pytest.raises(OutputError, match="holds no unfinished run"):
        run_folder(tmp_path, resume=True)


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "parts"])
def test_a_failed_start_leaves_nothing(tmp_path, there):
    folder = tmp_path / "runs" / "run"
    if there != "nothing":
        folder.mkdir(parents=True)
    if there == "parts":
        write_bytes(folder / "patches" / ".state.npz.abc.part", b"x")
        run_folder(folder, False, TWO_PASSES)
    kept = []

    def fail(error):
        with Start(folder, lambda: bool(kept)):
            write_bytes(folder / "patches" / STATE, b"x")
            raise error("it is damaged")

    def work(error):
        with pytest.raises(error):
            fail(error)

    work(ImageError)
    assert sorted(tmp_path.rglob("*")) == ([] if there == "nothing" else [tmp_path / "runs", folder])
    work(KeyboardInterrupt)
    assert (folder / "patches" / STATE).is_file()
    (folder / "patches" / STATE).unlink()
    kept.append(1)
    work(ImageError)
    assert (folder / "patches" / STATE).is_file()
    kept.clear()
    work(ImageError)
    assert (folder / "patches" / STATE).is_file()


def test_a_survey_whose_first_step_fails_leaves_nothing(tmp_path):
    def fail():
        write_bytes(tmp_path / "runs" / "run" / "images" / "0.png", b"x")
        raise ImageError("it is damaged")

    for name, left in (("images", []), ("maps", ["images", "images/0.png", STEPS])):
        ledger = Ledger(tmp_path / "runs" / "run", {"model": "a"}, resume=False)
        if name == "maps":
            ledger("images", int, lambda: 3)
        with pytest.raises(ImageError):
            ledger(name, int, fail)
        assert (tmp_path / "runs").exists() == bool(left)
        found = (tmp_path / "runs" / "run").rglob("*")
        assert sorted(one.relative_to(tmp_path / "runs" / "run").as_posix() for one in found) == left


def test_other_work_is_named(tmp_path):
    mine = {"model": "a", "images": "b"}
    require_same(tmp_path, {"images": "b", "model": "a"}, mine)
    with pytest.raises(ResultError, match="begun with other images and options; resume with the same"):
        require_same(tmp_path, {"model": "a", "options": "c"}, mine)


def test_steps_are_done_once(tmp_path):
    made = []

    def step():
        made.append(1)
        return {"units": (1, 2)}

    kind = dict[str, tuple[int, ...]]
    first = Ledger(tmp_path / "run", {"model": "a"}, resume=False)
    assert first("maps", kind, step) == first("maps", kind, step) == {"units": (1, 2)}
    again = Ledger(tmp_path / "run", {"model": "a"}, resume=True)
    assert again("maps", kind, step) == {"units": (1, 2)}
    assert made == [1]
    with pytest.raises(OutputError, match=r"steps.json is damaged: maps is \{'units': \[1, 2\]\}, no text"):
        again("maps", str, step)
    with pytest.raises(OutputError, match="go on with --resume, or remove it"):
        Ledger(tmp_path / "run", {"model": "a"}, resume=False)
    with pytest.raises(OutputError, match="a survey with other model; remove it"):
        Ledger(tmp_path / "run", {"model": "b"}, resume=True)
    write_bytes(tmp_path / "run" / RUN, b'{"kind": "survey", "fingerprint": {"model": "a"}}')
    again.finish()
    assert not (tmp_path / "run" / STEPS).exists()
    assert Ledger(tmp_path / "run", {"model": "a"}, resume=False).finished


def test_fingerprints(tmp_path):
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})
    (tmp_path / "a.png").write_bytes(b"123")
    assert (bytes_of(str(tmp_path / "a.png")), bytes_of("skimage:coffee")) == (3, -1)
    assert full_name("skimage:coffee") == "skimage:coffee"
    assert full_name(tmp_path / "a.png") == str(tmp_path / "a.png")
    for name in ("a\nb.png", "a\udcff.png"):
        with pytest.raises(ImageError, match="rename it"):
            full_name(name)
