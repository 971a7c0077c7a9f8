import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

import netviz
from netviz.errors import OutputError, ResultError
from netviz.questions.dissect.run import DissectionRun
from netviz.questions.filters.result import FiltersResult
from netviz.questions.maps.result import MapsResult
from netviz.questions.reader import load_result
from netviz.results.files import write_bytes, write_if_changed

RNG = np.random.default_rng(0)


def filters_result(**changes):
    values = {
        "weight": RNG.normal(size=(4, 3, 2, 2)).astype(np.float32),
        "units": np.arange(4),
        "network": "net",
        "layer": "features.0",
        "alias": "conv1",
        "groups": 1,
        "transposed": False,
        "sees_image": True,
        "channel_order": "RGB",
        "scale": "each",
        "sort": "index",
        "dead": (2,),
        "duplicates": ((3, 0),),
    }
    return FiltersResult(**{**values, **changes})


def maps_result():
    return MapsResult(
        maps=RNG.normal(size=(5, 2, 3)).astype(np.float32),
        image=RNG.integers(0, 256, (7, 6, 3), dtype=np.uint8),
        index=np.array([2, 4, 6, 8, 10]),
        units=np.array([10, 4]),
        network="é \n <b>",
        layer="x",
        alias="conv1",
        layer_kind="conv",
        channels=12,
        image_name="a",
        scale="each",
        sort="max",
    )


@pytest.mark.parametrize("make", [filters_result, maps_result])
def test_saved_and_loaded_is_the_same(make, tmp_path):
    result = make()
    again = load_result(result.save(tmp_path / "r.npz"))
    assert type(again) is type(result)
    assert again.facts() == result.facts()
    for name, array in result.arrays().items():
        found = again.arrays()[name]
        assert found.dtype == array.dtype
        assert np.array_equal(found, array)
    assert netviz.report(again) == netviz.report(tmp_path / "r.npz")


def test_a_plain_numpy_user_can_read_it(tmp_path):
    result = filters_result()
    result.save(tmp_path / "r.npz")
    with np.load(tmp_path / "r.npz") as saved:
        assert set(saved.files) == {"weight", "units", "facts"}
        facts = json.loads(str(saved["facts"]))
    assert facts["kind"] == "filters"
    assert facts["duplicates"] == [[3, 0]]


def test_same_result_same_bytes_whatever_the_clock(tmp_path):
    result = filters_result()
    first = result.save(tmp_path / "a.npz").read_bytes()
    assert result.save(tmp_path / "b.npz").read_bytes() == first
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_drawn_maps_follow_the_units():
    result = maps_result()
    assert np.array_equal(result.drawn, result.maps[[4, 1]])


def damaged(folder: Path) -> dict[str, Path]:
    good = filters_result().save(folder / "good.npz")
    cut = folder / "cut.npz"
    cut.write_bytes(good.read_bytes()[:-200])
    text = folder / "text.npz"
    text.write_text("hello")
    np.savez(folder / "foreign.npz", weight=np.zeros(3))
    np.savez(folder / "unknown.npz", facts=np.array(json.dumps({"kind": "?", "netviz": "1"})))
    np.savez(folder / "part.npz", facts=np.array(json.dumps({"kind": "filters", "netviz": "1"})))
    np.savez(folder / "pickled.npz", facts=np.array([{"kind": "filters"}], dtype=object))
    (folder / "empty.npz").touch()
    names = ("cut", "text", "foreign", "unknown", "part", "pickled", "empty", "missing")
    return {**{name: folder / f"{name}.npz" for name in names}, "folder": folder}


@pytest.mark.parametrize(
    "kind", ["cut", "text", "foreign", "unknown", "part", "pickled", "empty", "missing", "folder"]
)
def test_what_is_no_result_is_told_in_one_line(kind, tmp_path):
    path = damaged(tmp_path)[kind]
    with pytest.raises(ResultError) as error:
        load_result(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    target = write_bytes(tmp_path / "new" / "a.bin", b"first")
    assert target.read_bytes() == b"first"

    def full(self, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match=r"a\.bin: No space left"):
        write_bytes(target, b"second")
    assert target.read_bytes() == b"first"
    assert [path.name for path in target.parent.iterdir()] == ["a.bin"]


def test_permissions_are_those_of_any_new_file(tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    mode = write_bytes(tmp_path / "a", b"").stat().st_mode
    assert mode == plain.stat().st_mode


def test_unchanged_files_are_left_alone(tmp_path):
    path = tmp_path / "a"
    assert write_if_changed(path, b"one")
    before = path.stat().st_mtime_ns, path.stat().st_ino
    assert not write_if_changed(path, b"one")
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    assert write_if_changed(path, b"two")


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="choose another place"):
        write_bytes(tmp_path / "file" / "a", b"")


def test_shows_itself_in_one_line():
    told = repr(maps_result())
    assert told == (
        r"<MapsResult kind='maps' network='é \n <b>' layer='x' maps=(5, 2, 3) image=(7, 6, 3) index=(5,) units=(2,)>"
    )
    run = DissectionRun(Path("a"), {"network": "net", "skipped": ["b"] * 1000}, ())
    assert repr(run) == "<DissectionRun folder='a' network='net' layers=0>"
