"""After every public function the network is exactly as it was found."""

import numpy as np
import pytest
import torch
from torch import nn

import netviz
from netviz.capture import capture, evaluation, index_layers
from netviz.images import Photo
from support.network import state_of

PHOTO = Photo("noise", np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8))


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
    "load": lambda network, folder: netviz.load(network),
    "layers": lambda network, folder: netviz.layers(network, size=(8, 8)),
    "filters": lambda network, folder: netviz.filters(network, layer="conv2"),
    "maps": lambda network, folder: netviz.maps(PHOTO, layer="conv2", model=network),
    "survey": lambda network, folder: netviz.survey(network, folder / "run", images=["skimage:coins"]),
    "capture": lambda network, folder: _capture(network, grad=False),
    "capture with gradients": lambda network, folder: _capture(network, grad=True),
    "an exception in the with": lambda network, folder: _raise_inside(network),
    "an exception in the network": lambda network, folder: _fail_in_the_middle(network),
    "buffers written in evaluation": lambda network, folder: _change_buffers(network),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_network_is_left_as_found(action, awkward, tmp_path):
    calls = []
    awkward.bn.register_forward_hook(lambda *_: calls.append(1))
    before = state_of(awkward)
    ACTIONS[action](awkward, tmp_path)
    after = state_of(awkward)
    assert before == after


def test_a_users_own_hook_still_sees_and_changes_outputs(awkward):
    awkward.conv1.register_forward_hook(lambda module, args, output: output + 1)
    conv1 = index_layers(awkward, size=(8, 8)).resolve("conv1")
    image = torch.zeros(1, 3, 8, 8)
    with capture(awkward, [conv1]) as run:
        run(image)
    assert torch.equal(run[conv1], awkward.conv1(image))
