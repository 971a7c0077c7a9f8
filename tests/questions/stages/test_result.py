import json

import numpy as np
import pytest

import netviz
from netviz.errors import ResultError
from netviz.questions.reader import load_result
from netviz.questions.stages.result import Column, StagesResult


def stages_result(**changes):
    rng = np.random.default_rng(0)
    columns = (
        Column("conv1", "conv1", "conv", "features.0", False, 0.0, None, "", "Conv2d"),
        Column("relu1", "relu1", "relu", "features.1", False, 0.25, 0.25, "y = 0", "ReLU"),
        Column("what_if_tanh", "tanh", "tanh", "", True, 0.0, 1 / 3, "|y| > 0.95", "of conv1"),
    )
    values = {
        "filters": rng.normal(size=(2, 3, 3, 3)).astype(np.float32),
        "image": rng.integers(0, 256, (7, 6, 3), dtype=np.uint8),
        "units": np.array([4, 1]),
        "maps": {column.key: rng.normal(size=(5, 4, 3)).astype(np.float32) for column in columns},
        "columns": columns,
        "also_read_by": (("relu1", "side1"),),
        "next": "conv2",
        "network": "é \n <b>",
        "layer": "features.0",
        "alias": "conv1",
        "image_name": "photo",
        "channels": 5,
        "groups": 1,
        "transposed": False,
        "sees_image": True,
        "channel_order": "RGB",
        "sort": "activity",
        "window": 3,
        "step": 2,
    }
    return StagesResult(**{**values, **changes})


def test_saved_and_loaded_is_the_same(tmp_path):
    result = stages_result()
    path = result.save(tmp_path / "a.npz")
    again = load_result(path)
    assert type(again) is StagesResult
    assert again.columns == result.columns
    assert again.columns[2].saturated == 1 / 3
    assert again.facts() == result.facts()
    assert netviz.report(again) == netviz.report(path)
    # The maps come back under their own names, in their order.
    assert list(again.maps) == ["conv1", "relu1", "what_if_tanh"]
    for name, array in result.arrays().items():
        assert again.arrays()[name].dtype == array.dtype
        assert np.array_equal(again.arrays()[name], array)
    assert again.save(tmp_path / "b.npz").read_bytes() == path.read_bytes()


def test_a_plain_numpy_user_finds_every_stage(tmp_path):
    result = stages_result()
    with np.load(result.save(tmp_path / "a.npz")) as saved:
        assert set(saved.files) == {"filters", "image", "units", "conv1", "relu1", "what_if_tanh", "facts"}
        assert np.array_equal(saved["relu1"], result.maps["relu1"])
        facts = json.loads(str(saved["facts"]))
    assert "maps" not in facts
    assert facts["columns"][0] == ["conv1", "conv1", "conv", "features.0", False, 0.0, None, "", "Conv2d"]


def test_summary_has_the_shape_of_every_array():
    arrays = stages_result().summary()["arrays"]
    assert arrays["what_if_tanh"] == [5, 4, 3]
    assert arrays["filters"] == [2, 3, 3, 3]
    assert "maps" not in arrays
    json.dumps(stages_result().summary())


def test_maps_may_be_of_any_number_and_size(tmp_path):
    empty = stages_result(maps={}, columns=())
    again = load_result(empty.save(tmp_path / "a.npz"))
    assert again.maps == {}
    assert again.columns == ()
    mixed = {"a": np.zeros((5, 1, 3), np.float32), "b": np.asfortranarray(np.arange(30.0).reshape(5, 2, 3))}
    again = load_result(stages_result(maps=mixed, columns=()).save(tmp_path / "b.npz"))
    assert again.maps["a"].shape == (5, 1, 3)
    assert np.array_equal(again.maps["b"], mixed["b"])


def test_a_file_whose_facts_do_not_fit_is_damaged(tmp_path):
    path = tmp_path / "a.npz"
    facts = {**stages_result().facts(), "columns": [["conv1"]]}
    arrays = {name: array for name, array in stages_result().arrays().items() if name != "conv1"}
    np.savez(path, **arrays, facts=np.array(json.dumps(facts)))
    with pytest.raises(ResultError, match=r"a\.npz is damaged: columns\[0\]"):
        load_result(path)
    facts = stages_result().facts()
    np.savez(path, **arrays, facts=np.array(json.dumps(facts)))
    with pytest.raises(ResultError, match=r"a\.npz is damaged: 'conv1' is missing"):
        load_result(path)
