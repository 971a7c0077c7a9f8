"""Of a network that returns several tensors, every question about classes takes the class scores, and says so."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import netviz
from netviz.errors import ModelError
from netviz.fcn.streams.measure import show
from netviz.images import Photo
from netviz.questions.drawing import figure
from netviz.questions.opening import open_model
from support.network import Several, state_of
from support.pictures import texts

PHOTO = Photo("noise", np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8))
QUICK = {"size": (32, 32), "patch": 16, "stride": 16}


def caption(result) -> str:
    return texts(figure(result))


def plain() -> nn.Module:
    return Several("plain").eval()


@pytest.mark.parametrize(("form", "name"), [("tuple", "0"), ("named", "logits")])
def test_occlusion_is_that_of_the_plain_twin(form, name):
    found = netviz.occlusion(PHOTO, model=Several(form).eval(), **QUICK)
    twin = netviz.occlusion(PHOTO, model=plain(), **QUICK)
    np.testing.assert_array_equal(found.drops, twin.drops)
    assert (found.class_index, found.score) == (twin.class_index, twin.score)
    assert (found.output, twin.output) == (name, "")
    assert f"raw output {name}" in caption(found)
    with pytest.raises(ModelError, match="no class 12: its classes are 0 to 9"):
        netviz.occlusion(PHOTO, model=Several(form).eval(), class_=12, **QUICK)


def test_a_minimal_image_is_that_of_the_plain_twin():
    found = netviz.minimal(PHOTO, model=Several("named").eval(), size=(32, 32), segments=4)
    twin = netviz.minimal(PHOTO, model=plain(), size=(32, 32), segments=4)
    np.testing.assert_array_equal(found.scores, twin.scores)
    assert (found.output, twin.output) == ("logits", "")


@pytest.mark.parametrize(
    ("output", "classes", "name"), [(None, slice(0, 6), "colour"), (1, slice(6, 10), "shape")]
)
def test_one_head_of_two(output, classes, name):
    """The heads are parts of the plain twin's scores."""
    found = netviz.occlusion(PHOTO, model=Several("heads").eval(), output=output, **QUICK)
    scores = plain()(shown()).detach()[0, classes]
    assert found.output == name
    assert found.class_index == int(scores.argmax())
    assert found.score == pytest.approx(float(scores.max()), rel=1e-5)


def shown() -> torch.Tensor:
    return open_model(plain(), size=(32, 32)).prepare(PHOTO).tensor


def test_dense_casts_the_classifier_and_not_its_features():
    asked = {"short_side": 256, "top": 10}
    found, twin = (netviz.dense(PHOTO, model=one, **asked) for one in (Several("tuple").eval(), plain()))
    np.testing.assert_allclose(found.scores, twin.scores, rtol=1e-5, atol=1e-6)
    assert (found.cast, found.channels, found.output, twin.output) == (True, 10, "0", "")
    maps = netviz.dense(PHOTO, model=Several("tuple").eval(), output=1)
    assert (maps.cast, maps.channels, maps.output) == (False, 16, "1")
    assert "raw output 1" in caption(maps)


class Pixels(nn.Module):
    """Features, class scores of the whole image, and scores of three classes at every pixel, twice."""

    def __init__(self, classes=0):
        super().__init__()
        self.conv, self.num_classes = nn.Conv2d(3, 3, 1), classes

    def forward(self, x):
        x = self.conv(x)
        return {"features": x[..., ::2, ::2], "image": x.mean((2, 3)), "aux": -x, "out": 2 * x}


def test_streams_are_the_outputs_at_the_images_size():
    found = show(PHOTO, model=Pixels())
    assert (found.names, found.output) == (("aux", "out"), "out")
    np.testing.assert_allclose(found.streams["out"], -2 * found.streams["aux"])
    one = show(PHOTO, model=Pixels(), output="aux")
    assert (one.names, one.output) == (("aux",), "aux")
    assert "output aux" in caption(one)
    with pytest.raises(ModelError, match="the output 'features' of Pixels is 1×3×20×24"):
        show(PHOTO, model=Pixels(), output=0)


@pytest.mark.parametrize(
    ("network", "labels", "called"),
    [
        (Pixels(), (), "channel"),
        (Pixels(), ("a", "b", "c"), "class"),
        (Pixels(classes=3), (), "class"),
        (Pixels(classes=4), (), "channel"),
    ],
)
def test_channels_are_classes_only_where_something_says_so(network, labels, called):
    model = replace(netviz.load(network), labels=labels)
    dense, streams = netviz.dense(PHOTO, model=model), show(PHOTO, model=model)
    occluded = netviz.occlusion(PHOTO, model=model, **QUICK)
    assert {one.called for one in (dense, streams, occluded)} == {called}
    name = labels[0] if labels else f"{called} 0"
    assert occluded.name in (*labels, *(f"{called} {number}" for number in range(3)))
    assert streams.classes[0] == name
    for one in (dense, streams, occluded):
        assert ("class " in caption(one) or "classes" in caption(one)) == (
            called == "class" or one is streams
        )
    assert ("taken for classes" in caption(streams)) == (called == "channel")


@pytest.mark.parametrize("ask", [netviz.occlusion, netviz.dense, show])
def test_the_network_is_left_as_found(ask):
    network = nn.Sequential(Several("named").train() if ask is not show else Pixels().train())
    network[0].eval()
    before = state_of(network)
    ask(PHOTO, model=network, **(QUICK if ask is netviz.occlusion else {"short_side": 256}))
    assert state_of(network) == before
    assert network.training
