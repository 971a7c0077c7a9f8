"""After every public function the network is exactly as it was found."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import netviz
from netviz.capture import capture, evaluation, index_layers
from netviz.errors import LayerError, ModelError
from netviz.images import normalize
from netviz.models.model import unwrap
from netviz.models.preprocessing import assumed
from netviz.questions.table import functions
from support.asking import ASKING, LABELLERS, MORE, PHOTO, SIZE, ask, classifier, labelled_images, labeller
from support.everything import everything_of
from support.kinds import KINDS
from support.network import state_of


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return labelled_images(tmp_path_factory.mktemp("data"))


pytestmark = pytest.mark.filterwarnings("ignore:.*draws random numbers:netviz.errors.NetvizWarning")


def test_every_question_is_asked():
    assert ASKING.keys() >= functions().keys() - {"normalize"}
    assert ASKING.keys() >= MORE.keys()


@pytest.mark.parametrize("name", ASKING)
def test_network_is_left_as_found(name, data, tmp_path):
    network = labeller() if name in LABELLERS else classifier()
    before = state_of(network)
    ask(name, network, data, tmp_path / "run")
    assert state_of(network) == before


EVERYDAY = ("layers", "filters", "maps", "stages", "occlusion", "patches")
"""Questions that between them use every way to run a network: traced, captured, recorded, covered, copied."""

SLOW = sorted(ASKING.keys() - set(EVERYDAY))


def made(kind: str, labels: bool = False) -> nn.Module:
    """Make a network of a kind; with `labels` one that gives maps of its classes at the image's size."""
    torch.manual_seed(0)
    network = KINDS[kind]()
    inner = unwrap(network)
    if labels and not isinstance(inner, torch.fx.GraphModule):
        inner.head = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Upsample(scale_factor=2))
    return network


def check_left(kind: str, name: str, data: Path, tmp_path: Path) -> None:
    network = made(kind, name in LABELLERS)
    before = everything_of(network)
    refused = ""
    try:
        ask(name, network, data, tmp_path / "run")
    except (LayerError, ModelError) as error:
        refused = str(error)
    after = everything_of(network)
    assert [path for path in after.keys() | before.keys() if after.get(path) != before.get(path)] == []
    if refused:
        assert name not in EVERYDAY, refused
        assert "\n" not in refused
        # Not every network can be cast, or has places: it is left alone, and one line says why.
        pytest.skip(refused)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", EVERYDAY)
def test_any_network_is_left_as_found(kind, name, data, tmp_path):
    check_left(kind, name, data, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SLOW)
def test_any_network_is_left_as_found_by_all_questions(kind, name, data, tmp_path):
    check_left(kind, name, data, tmp_path)


def trained(ask_also: Callable[[nn.Module, Path], None]) -> tuple[list[float], list[Tensor]]:
    """Train the small classifier, with dropout, momentum and autocast; return its losses and what it ends with."""
    torch.manual_seed(3)
    network = classifier()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for step in range(4):
        images, wanted = torch.rand(4, 3, *SIZE), torch.randint(0, 4, (4,))
        with torch.autocast("cpu", torch.bfloat16, enabled=step % 2 == 1):
            loss = nn.functional.cross_entropy(network(images), wanted)
            ask_also(network, Path(f"in{step}"))
        loss.backward()
        ask_also(network, Path(f"after{step}"))
        optimizer.step()
        if step == 1:
            optimizer.zero_grad()
        losses.append(loss.item())
    return losses, [*network.state_dict().values(), *(weight.grad for weight in network.parameters())]


def test_questions_within_training_change_no_loss_no_gradient_and_no_weight(data, tmp_path):
    def everything(network: nn.Module, part: Path) -> None:
        for name in EVERYDAY:
            ask(name, network, data, tmp_path / part / name)

    plain, watched = trained(lambda network, part: None), trained(everything)
    assert watched[0] == plain[0]
    assert len({*plain[0]}) == 4
    for mine, other in zip(watched[1], plain[1], strict=True):
        assert (mine is None and other is None) or torch.equal(mine, other)


def shown(network: nn.Module) -> np.ndarray:
    """Return what the second convolution gives for the photograph, by PyTorch alone."""
    image = normalize(PHOTO.pixels, assumed(3))
    found = []
    inner = network.module if isinstance(network, nn.DataParallel) else network
    inner.conv2.register_forward_hook(lambda module, args, output: found.append(output.clone()))
    with torch.no_grad():
        inner.eval()(image)
    return found[0][0].float().numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_maps_of_any_network_are_what_pytorch_gives(kind, data, tmp_path):
    network = made(kind)
    netviz.layers(network, size=SIZE)
    maps = ask("maps", network, data, tmp_path).maps
    np.testing.assert_allclose(maps, shown(made(kind)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted({*EVERYDAY, "minimal", "dense"} - {"layers"}))
def test_a_network_without_values_is_refused(name, data, tmp_path):
    network = made("plain").to("meta")
    assert [layer.alias for layer in netviz.layers(network, size=SIZE)][:2] == ["conv1", "relu1"]
    with pytest.raises(ModelError, match="on the meta device, so its weights have no values"):
        ask(name, network, data, tmp_path / "run")


class Writing(nn.Module):
    """Shifts and scales its input in place, or does the same on a copy."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.in_place = in_place
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if not self.in_place:
            x = x.clone()
        x -= x.mean((2, 3), keepdim=True)
        x *= 0.5
        return self.conv2(self.conv1(x).relu()).mean((2, 3))


@pytest.mark.parametrize("name", ["maps", "occlusion", "field", "minimal", "stages", "dense"])
def test_a_forward_that_writes_into_its_input_is_as_its_twin(name, data, tmp_path):
    answers = [ask(name, Writing(in_place), data, tmp_path / f"run{in_place}") for in_place in (True, False)]
    for field in dataclasses.fields(answers[0]):
        mine, twin = (getattr(answer, field.name) for answer in answers)
        if isinstance(mine, np.ndarray) and mine.dtype.kind == "f":
            np.testing.assert_allclose(mine, twin, rtol=1e-5, atol=1e-6, err_msg=field.name)


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
