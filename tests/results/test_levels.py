"""Arrays as levels: what they leave of an array, and how files of them are read."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import netviz
from netviz.errors import ResultError
from netviz.questions.maps.result import MapsResult
from netviz.questions.reader import load_result
from netviz.results.levels import has_levels, packed, unpacked

RNG = np.random.default_rng(3)
RECTIFIED = np.maximum(RNG.normal(size=(5, 9, 11)), 0)


@pytest.mark.parametrize(("bits", "levels"), [(8, 252), (16, 65532)])
@pytest.mark.parametrize(
    "values",
    [
        RNG.uniform(-1, 1, size=(5, 9, 11)),
        RECTIFIED.clip(0, 1),
        RNG.uniform(-3, -1, size=(2, 7, 7)),
        RNG.uniform(-1, 9, size=(4, 3, 5, 5)),
        RNG.uniform(-1, 1, size=(6, 7)),
        np.zeros((3, 4, 4)),
        np.full((2, 3, 3), 1e-40),
        np.array([[[0, 2e38], [-3e38, 1]]]),
        np.ones((1, 1, 1)),
    ],
)
def test_within_half_a_level(values, bits, levels):
    values = values.astype(np.float32)
    found = packed(values, bits)
    assert found is not None
    read = unpacked(*found)
    assert read.dtype == np.float32
    assert read.shape == values.shape
    exact, kept = (
        one.reshape(len(one) if one.ndim > 2 else 1, -1).astype(np.float64) for one in (values, read)
    )
    low, high = np.minimum(exact.min(axis=1), 0), np.maximum(exact.max(axis=1), 0)
    # Half a level, and as much again where the ends have levels of their own.
    assert (np.abs(exact - kept).max(axis=1) <= (high - low) / levels + 1e-45).all()
    assert (kept[exact == 0] == 0).all()
    assert np.array_equal(kept.max(axis=1)[high > 0], exact.max(axis=1)[high > 0])
    assert np.array_equal(kept.min(axis=1)[low < 0], exact.min(axis=1)[low < 0])


def test_a_border_that_stands_out_leaves_levels_to_the_rest():
    values = RNG.uniform(-1, 1, size=(2, 40, 40)).astype(np.float32)
    values[0, 0, :9] = 50
    values[1, :9, -1] = -20
    found = packed(values, 8)
    assert found is not None
    read = unpacked(*found)
    inside = np.abs(values) <= 1
    assert np.abs(read - values)[inside].max() < 3 / 189
    assert np.array_equal(read[~inside], values[~inside])


def test_levels_are_fine_up_to_where_a_scale_ends():
    values = np.linspace(0, 8, 81, dtype=np.float32).reshape(1, 9, 9)
    found = packed(values, 8, np.array([1.0]))
    assert found is not None
    read = unpacked(*found)
    assert np.abs(read - values)[values <= 1].max() < 1 / 400
    assert ((read > 1) == (values > 1)).all()
    assert read.max() == 8
    assert np.abs(read - values).max() <= 7 / 31


@pytest.mark.parametrize(
    "values",
    [
        np.array([[[1.0, np.nan]]], dtype=np.float32),
        np.array([[[1.0, -np.inf]]], dtype=np.float32),
        np.ones((2, 3, 4)),
        np.ones(4, dtype=np.float32),
        np.ones((2, 0, 3), dtype=np.float32),
        np.ones((2, 3, 4), dtype=np.int64),
    ],
)
def test_what_levels_cannot_tell_stays(values):
    assert packed(values, 8) is None


def maps(image, **changes):
    values = {
        "maps": RECTIFIED.astype(np.float32),
        "image": image,
        "index": np.arange(5),
        "units": np.arange(5),
        "network": "net",
        "layer": "x",
        "alias": "conv1",
        "layer_kind": "conv",
        "channels": 5,
        "image_name": "a",
        "scale": "each",
        "sort": "index",
    }
    return MapsResult(**{**values, **changes})


@pytest.fixture
def run(tmp_path):
    """A folder with a picture, and a coarse result that lies beside it."""
    image = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    picture = tmp_path / "images/a.png"
    picture.parent.mkdir()
    Image.fromarray(image).save(picture)
    maps(image).save(tmp_path / "maps/x/a.npz", coarse=True, pictures={picture: image})
    return tmp_path, image


def test_results_in_several_folders_read_their_picture_once(run, monkeypatch):
    folder, image = run
    picture = folder / "images/a.png"
    maps(image).save(folder / "maps/y/a.npz", coarse=True, pictures={picture: image})
    opened, own = [], Image.open
    monkeypatch.setattr(Image, "open", lambda path: opened.append(path) or own(path))
    for layer in "xy":
        assert np.array_equal(load_result(folder / f"maps/{layer}/a.npz").image, image)
    assert len(opened) == 1


def test_a_coarse_file_is_read_as_any_other_and_says_what_it_is(run):
    folder, image = run
    path = folder / "maps/x/a.npz"
    with zipfile.ZipFile(path) as archive:
        assert set(archive.namelist()) == {
            "maps.npy",
            "maps.ends.npy",
            "index.npy",
            "units.npy",
            "facts.npy",
        }
    assert has_levels(path)
    read = load_result(path)
    assert np.array_equal(read.image, image)
    assert np.abs(read.maps - RECTIFIED).max() < RECTIFIED.max() / 252
    assert netviz.report(path)["coarse"] == ("maps",)
    again = load_result(read.save(folder / "again.npz"))
    assert again.coarse == ("maps",)
    assert np.array_equal(again.maps, read.maps)
    assert not has_levels(folder / "again.npz")


def test_another_picture_in_its_place_is_seen(run):
    folder, image = run
    load_result(folder / "maps/x/a.npz")
    Image.fromarray(image[:10]).save(folder / "images/a.png")
    assert load_result(folder / "maps/x/a.npz").image.shape == (10, 30, 3)


def test_exact_files_say_nothing_and_name_no_picture(tmp_path):
    path = maps(np.zeros((3, 3, 3), dtype=np.uint8)).save(tmp_path / "a.npz")
    assert not has_levels(path)
    assert "coarse" not in netviz.report(path)
    assert np.array_equal(load_result(path).maps, RECTIFIED.astype(np.float32))
    assert not has_levels(tmp_path / "none.npz")


def test_maps_with_nan_stay_exact(tmp_path):
    values = np.array([[[1.0, np.nan]]], dtype=np.float32)
    one = maps(np.zeros((3, 3, 3), np.uint8), maps=values, index=np.arange(1), units=np.arange(1))
    read = load_result(one.save(tmp_path / "a.npz", coarse=True))
    assert read.coarse == ()
    assert np.array_equal(read.maps, values, equal_nan=True)


def changed(path: Path, **changes) -> Path:
    with np.load(path) as held:
        arrays = {name: held[name] for name in held.files}
    np.savez(path, **{name: one for name, one in {**arrays, **changes}.items() if one is not None})
    return path


ENDS = np.tile(np.array([0.0, 0.0, 1.0, 1.0]), (5, 1))


@pytest.mark.parametrize(
    "changes",
    [
        {"maps": np.zeros((1, 5, 9, 11), dtype=np.int64)},
        {"maps": np.zeros((3, 5, 9, 11), dtype=np.uint8)},
        {"maps": np.zeros((1, 4, 9, 11), dtype=np.uint8)},
        {"maps": np.zeros((1, 0, 9, 11), dtype=np.uint8)},
        {"maps": np.zeros((), dtype=np.uint8)},
        {"maps.ends": ENDS[:, :3]},
        {"maps.ends": ENDS[:, ::-1]},
        {"maps.ends": ENDS + 0.5},
        {"maps.ends": np.where(ENDS == 1, np.inf, 0.0)},
        {"maps.ends": ENDS * 1e300},
        {"maps.ends": ENDS.astype(str)},
    ],
)
def test_levels_that_do_not_fit_are_one_line(run, changes):
    path = changed(run[0] / "maps/x/a.npz", **changes)
    with pytest.raises(ResultError, match=r"a\.npz is damaged: maps .*; measure it again"):
        load_result(path)


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        ('"../../images/b.png"', "is missing or no picture"),
        ('"../../../secret/images/../a.png"', "lies in no picture beside it"),
        ('"/etc/images/a.png"', "lies in no picture beside it"),
        ("3", "lies in no picture beside it"),
    ],
)
def test_only_pictures_of_the_run_are_taken(run, beside, message):
    path = run[0] / "maps/x/a.npz"
    with np.load(path) as held:
        facts = str(held["facts"][()])
    assert '"../../images/a.png"' in facts
    changed(path, facts=np.array(facts.replace('"../../images/a.png"', beside)))
    with pytest.raises(ResultError, match=message):
        load_result(path)


def test_streams_keep_the_class_of_nearly_every_pixel():
    steep = np.cumsum(RNG.normal(size=(7, 60, 80)), axis=2).astype(np.float32)
    found = packed(steep, 16)
    assert found is not None
    assert (unpacked(*found).argmax(axis=0) == steep.argmax(axis=0)).mean() > 0.999
