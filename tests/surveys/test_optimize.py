"""Pictures of what units want to see in a survey: how many a budget holds, and where the site shows them."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import netviz
from netviz.gallery.build import build
from netviz.models import Model, load
from netviz.questions.reader import load_result
from netviz.surveys.steps.optimize import cost, in_halves, within
from netviz.surveys.survey import layers


def network() -> Model:
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()
    )
    made[0].weight.data[1] = 0
    made[0].bias.data[1] = 0
    model = load(made.eval())
    return replace(model, preprocessing=replace(model.preprocessing, resize=48, crop=(40, 40)))


def test_a_budget_holds_a_unit_of_each_layer_in_turn():
    candidates = {"a": (3, 5, 8), "b": (1,), "c": (0, 2)}
    costs = {"a": 1.0, "b": 2.0, "c": 4.0}
    assert within(candidates, costs, 0.5) == {"a": (), "b": (), "c": ()}
    assert within(candidates, costs, 7.5) == {"a": (3,), "b": (1,), "c": (0,)}
    assert within(candidates, costs, 8) == {"a": (3, 5), "b": (1,), "c": (0,)}
    assert within(candidates, costs, 1e9) == candidates
    before = dict.fromkeys(candidates, ())
    for seconds in np.arange(0, 14, 0.5):
        now = within(candidates, costs, seconds)
        assert all(now[layer][: len(units)] == units for layer, units in before.items())
        assert sum(costs[layer] * len(units) for layer, units in now.items()) <= seconds
        before = now


def test_what_a_small_budget_holds_lies_spread_over_all_layers():
    assert in_halves([*"abcdefghi"])[:5] == [*"iegch"]
    for count in range(1, 60):
        order = in_halves([*range(count)])
        assert sorted(order) == [*range(count)]
        assert order[0] == count - 1
        for some in range(1, count + 1):
            taken = sorted(order[:some])
            gaps = [after - before for before, after in zip([-1, *taken], taken, strict=False)]
            assert max(gaps) <= 2 * count / some + 2


def test_deeper_layers_cost_more():
    index = layers(network())
    costs = [cost(index, layer) for layer in index]
    assert costs == sorted(costs)
    # 64 steps of two pictures, of three passes over 3·8·9 + 8 weights at 38² positions, eight maps, and the rest.
    assert costs[0] == pytest.approx(128 * (3 * 224 * 38**2 / 40e9 + 8 * 38**2 / 200e6 + 0.004))


def test_a_survey_shows_what_its_budget_holds(tmp_path):
    model = network()
    run = netviz.survey(model, tmp_path / "run", images=["skimage:coins"], optimize=2.5)
    told = json.loads((run / "run.json").read_text(encoding="utf-8"))["optimize"]
    assert (told["units"], told["seconds"]) == (4, 2.5)
    assert [(one["file"], one["units"]) for one in told["layers"]] == [
        ("optimize/0.npz", [0, 2]),
        ("optimize/2.npz", [0]),
        ("optimize/4.npz", [0]),
    ]
    found = load_result(run / "optimize/0.npz")
    assert found.pictures.dtype == np.uint8
    assert (found.columns, found.patches) == (("+", "-"), None)
    alone = netviz.optimize(
        model, layer="0", units=[0, 2], sign="both", steps=64, run=run / "patches", beside="none"
    )
    np.testing.assert_array_equal(found.pictures, alone.pictures)
    np.testing.assert_array_equal(found.reference, alone.reference)
    site = tmp_path / "site"
    build([run], site, workers=0)
    (page,) = site.rglob("0/2.html")
    text = page.read_text(encoding="utf-8")
    assert "What it wants to see" in text
    assert "--layer 0 --units 2 --sign both --steps 64 --run RUN" in re.sub(r"<[^>]*>", "", text)
    (other,) = site.rglob("0/3.html")
    assert "What it wants to see" not in other.read_text(encoding="utf-8")
    about = (site / "about.html").read_text(encoding="utf-8")
    assert f"4 of {told['candidates']} units have pictures" in about
    assert len(list(site.rglob("wanted-0.jpg"))) == 3


def test_nothing_is_made_where_nothing_is_asked_for(tmp_path):
    run = netviz.survey(network(), tmp_path / "run", images=["skimage:coins"], form="quick", only="0")
    told = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert told["optimize"]["missing"] == "the quick form leaves this out"
    with pytest.raises(ValueError, match="number of seconds from 0 on, not -1"):
        netviz.survey(network(), tmp_path / "other", optimize=-1)
