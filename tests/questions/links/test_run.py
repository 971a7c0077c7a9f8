"""Typical activations and patches out of a run, where it has a unit under another name."""

import numpy as np
import pytest
import torch
from PIL import Image
from questions.links.test_measure import opened
from torch import Tensor, nn

import netviz
from netviz.errors import ResultError
from netviz.questions.patches.run import open_run
from netviz.questions.patches.tiles import RunImages, cut_tiles


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU6()
        self.other, self.next = nn.Conv2d(4, 2, 3, padding=1), nn.Conv2d(6, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.conv(x)))
        return torch.relu(self.next(torch.cat([torch.relu(self.other(x)), x], 1)))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    images = []
    for number in range(4):
        images.append(folder / f"{number}.png")
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(images[-1])
    model = opened(Network())
    model.network.norm.weight.data[1] = -1.0
    runs = {
        name: netviz.patches(model, folder / name, images=images, layer=[*layers], top=3, size=(20, 20))
        for name, layers in (("before", ["conv", "other"]), ("after", ["relu", "relu_1"]), ("next", ["next"]))
    }
    return model, runs


def ask(found, run, layer="next", **arguments):
    model, runs = found
    return netviz.links(model, layer=layer, unit=1, run=runs[run], size=(20, 20), top=6, **arguments)


def test_quantiles_are_followed_to_where_weights_leave(found):
    """Those of a convolution, through normalization and non-linearity, are those that a run has there."""
    convolutions, rectified = (ask(found, run, before="relu", layer="other") for run in ("before", "after"))
    assert convolutions.before.typical_of == ("conv",)
    assert rectified.before.typical_of == ("relu",)
    # Between two values of a sample a quantile is interpolated: before or after a corner is not quite the same.
    np.testing.assert_allclose(convolutions.before_typical, rectified.before_typical, rtol=0.02)
    weighed = rectified.before_norms * rectified.before_typical
    assert rectified.before_by_typical.tolist() == np.argsort(-weighed).tolist()
    np.testing.assert_allclose(rectified.shares("before", typical=True), weighed / weighed.sum())


def test_typical_is_the_largest_between_two_quantiles(found):
    run = open_run(found[1]["after"])
    (layer,) = [one for one in run.layers if one.name == "relu"]
    result = run.result(layer)
    between = [list(result.quantile_levels).index(level) for level in (0.01, 0.99)]
    expected = np.abs(result.quantiles[:, between[0] : between[1] + 1]).max(axis=1)
    np.testing.assert_allclose(ask(found, "after", before="relu", layer="other").before_typical, expected)


def test_units_that_a_negative_scale_turns(found):
    result = ask(found, "before", before="relu", layer="other")
    assert dict(zip(result.before_units.tolist(), result.before_turned.tolist(), strict=True)) == {
        0: False, 1: True, 2: False, 3: False,
    }  # fmt: skip


def test_patches_are_the_run_s_own(found):
    run = open_run(found[1]["before"])
    result = ask(found, "before", before="relu", layer="other")
    held = run.result(run.layers[0])
    tiles = cut_tiles(held, RunImages(run.folder, held.image.ravel().tolist()), [2], 56, top=3, mean=False)
    at = result.before_units.tolist().index(2)
    np.testing.assert_array_equal(result.before_patches[at, :3], tiles.pixels[0])
    assert result.before_filled[at].tolist() == [True] * 3 + [False] * 6
    assert result.unit_filled.sum() == 3


def test_a_run_may_have_part_of_what_is_joined(found):
    """Linear steps lead to two parts of the concatenation, and the nearest is told of."""
    result = ask(found, "before")
    assert result.before.layer == "relu_1"
    assert result.before.typical_of == ("other",)


def test_patches_of_units_before_their_own_non_linearity(found):
    """Weights enter before it, and the run has them behind it: the patches are the same, what is typical is not."""
    result = ask(found, "after", layer="relu", after="relu_1")
    assert result.after_filled.any()
    assert result.after.layer == "other"


def test_a_run_that_has_none_of_the_units(found):
    result = ask(found, "next", before="relu", layer="other")
    assert result.before_typical is None
    assert result.before_patches is None
    assert result.run == "next"


def test_a_run_of_another_network(found):
    _, runs = found
    with pytest.raises(ResultError, match="is of net, not of Sequential"):
        netviz.links(
            nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)),
            layer="conv1",
            unit=0,
            run=runs["before"],
            size=(9, 9),
        )
