import json
from dataclasses import replace

import numpy as np
import pytest

from netviz.errors import LayerError, ResultError
from netviz.questions.patches.run import image_names, open_run, read_patches
from netviz.questions.reader import load_result, report
from netviz.results.choose import choose_units
from support.patches import facts_of, make_patches, make_run


@pytest.fixture
def folder(tmp_path):
    return make_run(tmp_path / "run")


def test_a_run_opens_and_tells_its_facts(folder):
    run = open_run(folder)
    assert [layer.name for layer in run.layers] == ["features.0", "features.3"]
    facts = report(folder)
    assert facts["images"] == {"listed": 4, "counted": 3, "skipped": 1}
    assert facts["skipped"][0]["reason"] == "it is damaged"
    first, second = facts["layers"]
    assert (first["units"], second["units"]) == (2, 20)
    assert (first["dead"], second["dead"]) == ([], [0])
    assert first["largest"] == 3
    assert first["largest_unit"] == 0
    assert first["mean_nonzero"] == 0.5
    assert first["field_size"] == (40.0, 40.0)
    json.dumps(facts)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("features.0", "features.0"),
        ("conv2", "features.3"),
        ("CONV2", "features.3"),
        ("-1", "features.3"),
        ("-2", "features.0"),
        ("*.3", "features.3"),
        ("con?1", "features.0"),
    ],
)
def test_layers_resolve_by_any_name(folder, spec, name):
    assert open_run(folder).choose(spec).name == name


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (None, "holds 2 layers: features.0 (conv1), features.3 (conv2); choose one with --layer"),
        ("conv3", "the closest: conv2, conv1"),
        ("xyz", "it holds features.0 (conv1)"),
        ("-3", "it holds 2"),
        ("-0", "it holds 2"),
        ("conv*", "fits 2 layers"),
        ("*z", "no layer '*z'"),
    ],
)
def test_a_miss_is_one_line(folder, spec, message):
    with pytest.raises(LayerError) as error:
        open_run(folder).choose(spec)
    assert message in str(error.value)


def test_a_module_means_the_layer_whose_output_it_hands_out(folder):
    facts = facts_of(("block.conv.0", "conv1", 2), ("block.conv.1", "norm1", 2), ("top.0", "conv2", 2))
    facts["layers"][1]["also"] = ["block.conv", "block"]
    (folder / "run.json").write_text(json.dumps(facts))
    assert open_run(folder).choose("block").name == "block.conv.1"
    with pytest.raises(
        LayerError, match=r"no layer 'top' in .*; inside it there are top.0 \(conv2\); name one"
    ):
        open_run(folder).choose("top")


def test_the_only_layer_needs_no_name(folder):
    (folder / "run.json").write_text(json.dumps(facts_of(("features.0", "conv1", 2))))
    assert open_run(folder).choose().name == "features.0"


def without(name):
    return {key: value for key, value in facts_of(("features.0", "conv1", 2)).items() if key != name}


def layer_with(**changes):
    facts = facts_of(("features.0", "conv1", 2))
    facts["layers"][0].update(changes)
    return facts


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot read"),
        (b"\xff\xfe\x00", "cannot read"),
        (b"[" * 100_000, "cannot read"),
        (b"9" * 5000, "cannot read"),
        (b"[]", "does not tell of patches"),
        (b'{"kind": "dissection"}', "does not tell of patches"),
        (without("network"), "network is missing"),
        ({**without("network"), "network": 3}, "network is 3, no text"),
        (without("options"), "options is missing"),
        (without("images"), "images is missing"),
        (
            {**without("images"), "images": {"listed": -1, "counted": 0, "skipped": 0}},
            "images.listed is -1, no whole number",
        ),
        (without("skipped"), "skipped is missing"),
        ({**without("skipped"), "skipped": ["a"]}, "skipped[0] is 'a', no object"),
        (without("layers"), "layers is missing"),
        ({**without("layers"), "layers": []}, "layers names none"),
        ({**without("layers"), "layers": [7]}, "layers[0] is 7, no object"),
        (layer_with(channels="many"), "layers[0].channels is 'many', no whole number"),
        (layer_with(channels=True), "layers[0].channels is True, no whole number"),
        (layer_with(channels=0), "layers[0]: it has no units"),
        (layer_with(file="/etc/passwd"), "layers[0]: its file is not in layers/"),
        (layer_with(file="layers/../../x.npz"), "not in layers/"),
        (layer_with(file="layers/a\n.npz"), "not in layers/"),
        (layer_with(file=3), "layers[0].file is 3, no text"),
    ],
)
def test_a_hostile_run_json_is_refused_in_one_line(folder, content, message):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / "run.json").write_bytes(data)
    with pytest.raises(ResultError) as error:
        open_run(folder)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_folders_that_are_no_run(tmp_path, folder):
    with pytest.raises(ResultError, match=r"no run\.json"):
        open_run(tmp_path)
    (tmp_path / "state.npz").touch()
    with pytest.raises(ResultError, match="unfinished"):
        open_run(tmp_path)
    (folder / "run.json").write_text(json.dumps(layer_with(channels=5)))
    with pytest.raises(ResultError, match=r"run\.json says 5"):
        report(folder)


def test_names_of_images(folder):
    lines = (folder / "images.txt").read_text().splitlines()
    assert image_names(folder, [2, 0, 2]) == {0: lines[0], 2: lines[2]}
    assert image_names(folder, []) == {}
    with pytest.raises(ResultError, match="no line 4"):
        image_names(folder, [0, 3])
    with pytest.raises(ResultError, match="no line 0"):
        image_names(folder, [-1])
    (folder / "images.txt").write_bytes(b"a\xff\n")
    with pytest.raises(ResultError, match="cannot read"):
        image_names(folder, [0])
    (folder / "images.txt").unlink()
    with pytest.raises(ResultError, match="no such file"):
        image_names(folder, [0])


def test_only_a_line_feed_ends_a_name(folder):
    (folder / "images.txt").write_bytes(b"a\rb.png\nc\x0bd.png\n")
    assert image_names(folder, [0, 1]) == {0: "a\rb.png", 1: "c\x0bd.png"}


BOX = np.tile(np.array([10, 20, 50, 60]), (2, 3, 1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": np.zeros((2, 4), np.float32)}, "image has the shape"),
        ({"score": np.zeros((0, 3), np.float32)}, "score has the shape 0×3: it is empty"),
        ({"score": np.full((2, 3), np.nan, np.float32)}, "NaN"),
        ({"image": np.zeros((2, 3))}, "image holds float64, not whole numbers"),
        ({"box": BOX + 120}, "outside of its image"),
        ({"box": BOX[..., ::-1]}, "outside of its image"),
        ({"box": BOX - 20}, "outside of its image"),
        ({"margin": BOX - 100}, "negative"),
        ({"margin": BOX * 2**40}, "beyond any image"),
        ({"size": np.full((2, 3, 2), -5, np.int32)}, "outside of its image"),
        ({"maps": np.zeros((2, 3, 0, 3), np.float16)}, "maps has the shape"),
        ({"maps": np.full((2, 3, 3, 3), np.inf, np.float16)}, "NaN or infinity"),
        ({"maps_box": BOX[..., ::-1]}, "ends before it begins"),
        ({"quantiles": np.zeros((2, 3), np.float32)}, "quantiles has the shape 2×3, not 4 for 'levels'"),
        ({"quantiles": np.full((2, 4), np.nan, np.float32)}, "NaN"),
        ({"histogram": np.zeros((2, 1000), np.int64)}, "more than 256"),
        ({"histogram": np.full((2, 32), -1)}, "histogram holds -1"),
        ({"channels": 7}, "score has the shape 2×3, not 7 for 'channels'"),
        ({"dead": (2,)}, "dead is 2, which is not in 0 … 1"),
        ({"always_on": 3}, "always_on is 3, no list of whole numbers"),
        ({"field_size": (1e300, 3)}, "field_size is 1e+300"),
        ({"map_size": 3}, "map_size is 3, no list of 2 whole numbers"),
        ({"alias": 3}, "alias is 3, no text"),
        ({"images": "many"}, "images is 'many', no whole number"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, changes, message):
    path = replace(make_patches(BOX), **changes).save(tmp_path / "a.npz")
    with pytest.raises(ResultError) as error:
        read_patches(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_what_is_saved_is_read_again(tmp_path):
    result = make_patches(BOX)
    again = read_patches(result.save(tmp_path / "a.npz"))
    for name, array in result.arrays().items():
        np.testing.assert_array_equal(getattr(again, name), array)
    assert again.facts() == result.facts()
    assert load_result(tmp_path / "a.npz").kind == "patches"


def test_units_are_chosen_as_in_python():
    assert choose_units(None, 5, "x") is None
    assert choose_units("1:3,-1,1", 5, "x") == [1, 2, 4]
    with pytest.raises(LayerError, match="no unit 5"):
        choose_units([5], 5, "x")
    with pytest.raises(LayerError, match="no list of units"):
        choose_units("a", 5, "x")
    with pytest.raises(LayerError, match="chooses no unit"):
        choose_units("9:", 5, "x")
