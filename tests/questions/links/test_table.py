"""A table of many units' links holds what `netviz.links` finds of each."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import netviz
from netviz.errors import LayerError, ResultError
from netviz.models import Model, Preprocessing
from netviz.questions.links.network import Network
from netviz.questions.links.result import LinksTableResult, in_levels
from netviz.questions.links.table import links_table
from netviz.questions.opening import open_model
from netviz.questions.reader import load_result


class Parts(nn.Module):
    """A concatenation of parts with kernels of two sizes, a sum, and classes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.wide, self.narrow = nn.Conv2d(6, 4, 5, padding=2), nn.Conv2d(6, 4, 1)
        self.joined = nn.Conv2d(8, 6, 3, padding=1, stride=2)
        self.down = nn.Conv2d(6, 6, 1, stride=2)
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        x = self.stem(x).relu()
        parts = torch.cat([self.wide(x).relu(), self.narrow(x).relu()], dim=1)
        x = (self.joined(parts) + self.down(x)).relu()
        return self.head(x.mean(dim=(2, 3)))


LABELS = ("ant", "bee", "cat", "dog", "elk")


def opened(network, labels=LABELS):
    preprocessing = Preprocessing(24, (24, 24), (0.5,) * 3, (0.25,) * 3)
    return Model("net", network.eval(), network.state_dict(), preprocessing, labels, "made here")


def table(model, layer, units, **options) -> LinksTableResult:
    network = Network(open_model(model), 0)
    return links_table(network, network.opened.layer(layer), units, **options)


@pytest.mark.parametrize("layer", ["stem", "wide", "narrow", "joined"])
def test_every_unit_has_the_links_that_it_has_alone(layer):
    model = opened(Parts())
    units = [3, 0, 2]
    found = table(model, layer, units, top=4)
    assert found.table_units.tolist() == units
    for row, unit in enumerate(units):
        alone = netviz.links(model, layer=layer, unit=unit, top=4)
        for side in ("before", "after"):
            one = getattr(alone, side)
            shown = getattr(found, f"{side}_units")
            if one is None:
                assert getattr(found, f"{side}_missing") == getattr(alone, f"{side}_missing")
                assert shown is None
                continue
            assert getattr(found, side)[getattr(found, f"{side}_of")[row]] == one
            strongest = getattr(alone, f"{side}_by_weight")
            assert shown[row, : len(strongest)].tolist() == strongest.tolist()
            assert (shown[row, len(strongest) :] == -1).all()
            sums = getattr(alone, f"{side}_sums")[strongest]
            shares = alone.shares(side)[strongest] * np.where(sums < 0, -1, 1)
            np.testing.assert_allclose(
                getattr(found, f"{side}_shares")[row, : len(strongest)], shares, rtol=1e-6
            )
            kernels = getattr(alone, f"{side}_kernels")
            level = np.abs(kernels).max() / 127
            np.testing.assert_allclose(
                found.kernels(side, row)[: len(strongest)], kernels, rtol=0, atol=level * 0.51
            )
    assert any(getattr(found, f"{side}_units") is not None for side in ("before", "after"))


def test_classes_are_those_of_the_linear_layer():
    network = Parts()
    found = table(opened(network), "joined", range(6), top=3)
    assert found.called == "class"
    names = dict(found.classes)
    for unit in range(6):
        weights = network.head.weight[:, unit].detach().double().numpy()
        order = np.argsort(-weights)
        raised = [one for one in order[:3] if weights[one] > 0]
        lowered = [one for one in order[::-1][:3] if weights[one] < 0]
        for name, some in (("raised", raised), ("lowered", lowered)):
            told = getattr(found, name)[unit]
            assert told[: len(some)].tolist() == some
            assert (told[len(some) :] == -1).all()
            np.testing.assert_allclose(
                getattr(found, f"{name}_weights")[unit, : len(some)], weights[some], rtol=1e-6
            )
            assert [names[one] for one in some] == [LABELS[one] for one in some]
    nameless = table(opened(network, ()), "joined", [0])
    assert {name for _, name in nameless.classes} == {""}


def test_a_layer_without_linear_steps_is_refused():
    class Squares(nn.Module):
        def forward(self, x):
            return (x * x).sigmoid() * x

    with pytest.raises(LayerError, match=r"is not linear.*; what reads a unit"):
        table(opened(nn.Sequential(Squares(), Squares())), "0", [0])


def test_levels_reach_the_largest_weight_and_bear_any_number():
    kernels = np.array([[[0.5, -2.0]], [[np.nan, 1.0]]])
    levels, peak = in_levels(kernels)
    assert (levels.dtype, peak) == (np.int8, 2.0)
    assert levels.tolist() == [[[32, -127]], [[0, 64]]]
    levels, peak = in_levels(np.array([[[np.inf, -1.0]]]))
    assert levels.tolist() == [[[127, 0]]]
    assert np.isfinite(peak)
    levels, peak = in_levels(np.zeros((1, 1, 1)))
    assert (levels.item(), peak) == (0, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"before_of": np.array([5])}, "before_of names no layer"),
        ({"before_units": np.array([[99] * 4])}, "before_units names a unit that the layer has not"),
        ({"before_sizes": np.array([[9, 1]])}, "before_sizes is larger than before_kernels"),
        ({"before": ()}, "before_units is there without before"),
        ({"raised": None}, "some are missing"),
        ({"classes": ()}, "a class without a name"),
    ],
)
def test_a_damaged_table_is_refused(change, message, tmp_path):
    found = table(opened(Parts()), "joined", [1], top=4)
    path = replace(found, **change).save(tmp_path / "a.npz")
    with pytest.raises(ResultError, match=message):
        load_result(path)
