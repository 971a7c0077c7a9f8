"""After every public function the network is exactly as it was found."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import netviz
from netviz.capture import capture, evaluation, index_layers
from netviz.images import Photo
from netviz.questions.table import functions
from support.network import state_of

SIZE = (40, 48)
PHOTO = Photo("noise", np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8))


class Small(nn.Module):
    """Everything that must come back: a mode for each module, buffers that a pass writes, gradients, a hook."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(2)
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.head(self.pool(nn.functional.relu(x - 0.1, inplace=True)))


def small(head: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    network = Small(head).train()
    network.bn2.eval()
    network.conv1.weight.requires_grad_(False)
    network.conv2.weight.grad = torch.ones_like(network.conv2.weight)
    with torch.no_grad():
        for norm in (network.bn1, network.bn2):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    network.bn1.register_forward_hook(lambda module, args, output: None)
    return network


def classifier() -> nn.Module:
    return small(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 4)))


def labeller() -> nn.Module:
    return small(nn.Sequential(nn.Conv2d(8, 4, 1), nn.Upsample(scale_factor=4, mode="bilinear")))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Four labelled images of 40 by 48 pixels."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for kind, shape, high in (("images", (*SIZE, 3), 256), ("labels", SIZE, 4)):
        (folder / kind).mkdir()
        for number in range(4):
            pixels = rng.integers(0, high, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / kind / f"{number}.png")
    (folder / "classes.txt").write_text("sky\nroad\ntree\ncar")
    return folder


MANY = {"batch": 2, "workers": 0, "device": "cpu"}
ASKED = {
    "contrast": lambda network, data, out: netviz.contrast(PHOTO, layer="conv2", model=network, size=SIZE),
    "dense": lambda network, data, out: netviz.dense(PHOTO, model=network, short_side=300),
    "dense_compare": lambda network, data, out: netviz.dense_compare(
        PHOTO, model=network, short_side=232, regions=2
    ),
    "dissect": lambda network, data, out: netviz.dissect(
        network, out / "run", data=data, layer="conv2", size=SIZE, **MANY
    ),
    "fcn.FCN": lambda network, data, out: netviz.fcn.FCN(network, 4, strides=(4, 2)),
    "fcn.cast": lambda network, data, out: netviz.fcn.cast(network, input_size=SIZE),
    "fcn.cast_check": lambda network, data, out: netviz.fcn.cast_check(
        network, torch.randn(1, 3, 48, 56), input_size=SIZE
    ),
    "fcn.evaluate": lambda network, data, out: netviz.fcn.evaluate(data, network, workers=0, device="cpu"),
    "fcn.show": lambda network, data, out: netviz.fcn.show(PHOTO, model=network),
    "fcn.train": lambda network, data, out: netviz.fcn.train(
        data, out / "run", backbone=network, strides=(4, 2), epochs=1, workers=0, device="cpu"
    ),
    "field": lambda network, data, out: netviz.field(
        network, layer="conv2", kind="all", unit=1, images=[data / "images"], top=1, size=SIZE
    ),
    "filters": lambda network, data, out: netviz.filters(network, layer="conv2"),
    "hypercolumn": lambda network, data, out: netviz.hypercolumn(
        PHOTO, layers=["conv1", "conv2"], model=network, clusters=2, size=SIZE
    ),
    "layers": lambda network, data, out: netviz.layers(network, size=SIZE),
    "load": lambda network, data, out: netviz.load(network),
    "maps": lambda network, data, out: netviz.maps(PHOTO, layer="conv2", model=network, size=SIZE),
    "match": lambda network, data, out: netviz.match(
        PHOTO, layer="conv2", model=network, window=3, size=SIZE
    ),
    "minimal": lambda network, data, out: netviz.minimal(PHOTO, model=network, segments=6, size=SIZE),
    "minimal_set": lambda network, data, out: netviz.minimal_set(
        [data / "images"], model=network, segments=6, size=SIZE
    ),
    "occlusion": lambda network, data, out: netviz.occlusion(PHOTO, model=network, stride=16, size=SIZE),
    "patches": lambda network, data, out: netviz.patches(
        network, out / "run", images=[data / "images"], layer=["conv2"], size=SIZE, **MANY
    ),
    "segment": lambda network, data, out: netviz.segment(
        PHOTO, layer="conv2", unit=1, model=network, images=[data / "images"], size=SIZE
    ),
    "sift": lambda network, data, out: netviz.sift(
        PHOTO, layer="conv2", model=network, keypoints=2, window=3, size=SIZE
    ),
    "stages": lambda network, data, out: netviz.stages(PHOTO, layer="conv1", model=network, size=SIZE),
    "survey": lambda network, data, out: netviz.survey(
        network, out / "run", images=[data / "images"], only=["conv2"], data=data, size=SIZE
    ),
    "units": lambda network, data, out: netviz.units(
        network, "conv2", images=[data / "images"], size=SIZE, device="cpu"
    ),
}
"""For each public function that takes a network one call; it gets the network, labelled images and a new folder."""

LABELLERS = ("fcn.evaluate", "fcn.show")


def test_every_public_function_is_asked():
    public = {name: getattr(netviz, name) for name in netviz.__all__ if name != "fcn"}
    public |= {f"fcn.{name}": getattr(netviz.fcn, name) for name in netviz.fcn.__all__}
    takes = {
        name
        for name, one in public.items()
        if inspect.isfunction(one)
        and any("Module" in str(value.annotation) for value in inspect.signature(one).parameters.values())
    }
    assert functions().keys() < public.keys()
    assert takes >= functions().keys() - {"normalize"}
    assert takes == ASKED.keys()


@pytest.mark.parametrize("name", ASKED)
def test_network_is_left_as_found(name, data, tmp_path):
    network = labeller() if name in LABELLERS else classifier()
    before = state_of(network)
    ASKED[name](network, data, tmp_path)
    assert state_of(network) == before


def _capture(network: nn.Module, grad: bool) -> None:
    index = index_layers(network, size=(8, 8))
    with capture(network, index, grad=grad) as run:
        run(torch.randn(2, 3, 8, 8))


def _raise_inside(network: nn.Module) -> None:
    def body() -> None:
        with capture(network, index_layers(network, size=(8, 8))) as run:
            run(torch.randn(1, 3, 8, 8))
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        body()


def _fail_in_the_middle(network: nn.Module) -> None:
    index = index_layers(network, size=(8, 8))
    with pytest.raises(RuntimeError, match="channels"), capture(network, index) as run:
        run(torch.randn(1, 4, 8, 8))


def _change_buffers(network: nn.Module) -> None:
    with evaluation(network):
        network.bn.train()
        network.bn(torch.randn(4, 4, 3, 3))


ACTIONS = {
    "capture": lambda network: _capture(network, grad=False),
    "capture with gradients": lambda network: _capture(network, grad=True),
    "an exception in the with": _raise_inside,
    "an exception in the network": _fail_in_the_middle,
    "buffers written in evaluation": _change_buffers,
}


@pytest.mark.parametrize("action", ACTIONS)
def test_capture_leaves_the_network_as_found(action, awkward):
    calls = []
    awkward.bn.register_forward_hook(lambda *_: calls.append(1))
    before = state_of(awkward)
    ACTIONS[action](awkward)
    assert state_of(awkward) == before


def test_a_users_own_hook_still_sees_and_changes_outputs(awkward):
    awkward.conv1.register_forward_hook(lambda module, args, output: output + 1)
    conv1 = index_layers(awkward, size=(8, 8)).resolve("conv1")
    image = torch.zeros(1, 3, 8, 8)
    with capture(awkward, [conv1]) as run:
        run(image)
    assert torch.equal(run[conv1], awkward.conv1(image))
