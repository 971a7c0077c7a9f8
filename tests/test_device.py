"""Every question runs where the network is, also on a device that has no float64."""

import functools

import numpy as np
import pytest
import torch
from engines.accumulators.test_units import PREPROCESSING, Memory, images, network, query_for
from torch import nn

from netviz.capture import wide
from netviz.engines import Job, Tally, Units, run_local
from netviz.engines.accumulators.positions import reduced
from netviz.errors import ModelError
from support.asking import ASKING, LABELLERS, ask, classifier, labelled_images, labeller, parameters
from support.device import COPIES, NAME, Device

pytestmark = pytest.mark.filterwarnings("ignore:.*draws random numbers:netviz.errors.NetvizWarning")

OPTIONS = {
    "contrast of a batch norm": {"method": "batch"},
    "field by gradients": {"kind": "effective"},
    "patches in bfloat16": {"dtype": "bfloat16"},
}
"""Questions asked once more in another way: the question's name comes first."""

EVERYDAY = {
    *("layers", "filters", "maps", "occlusion", "stages", "sift", "minimal", "hypercolumn", "fcn.cast_check"),
    *("fcn.evaluate", "fcn.show", "segment", "contrast of a batch norm", "field by gradients"),
}
"""What takes little: between them every way to run a network, and what computes in float64 but one kind of field."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return labelled_images(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize(
    "asked",
    [pytest.param(one, marks=[pytest.mark.slow] * (one not in EVERYDAY)) for one in (*ASKING, *OPTIONS)],
)
def test_no_question_needs_float64_where_the_network_is(asked, data, tmp_path):
    name = asked.split()[0]
    options = dict(OPTIONS.get(asked, {}))
    if "device" in parameters(ASKING[name]):
        options["device"] = NAME
    with Device():
        network = (labeller() if name in LABELLERS else classifier()).to(NAME)
        ask(name, network, data, tmp_path / "run", **options)


ON_A_DEVICE = sorted(name for name, one in ASKING.items() if "device" in parameters(one))


@pytest.mark.parametrize("name", ON_A_DEVICE)
@pytest.mark.parametrize("device", ["meta", "nowhere"])
def test_a_device_that_is_not_there_is_refused(name, device, data, tmp_path):
    network = labeller() if name in LABELLERS else classifier()
    with pytest.raises(ModelError, match=f"no network can run on device '{device}' here .*; give cpu"):
        ask(name, network, data, tmp_path / "run", device=device)
    assert not (tmp_path / "run").exists()


def test_wide_numbers_are_the_same_numbers():
    values = torch.tensor([0.1, -1e-30, torch.inf])
    with Device():
        found = wide(values.to(NAME))
    np.testing.assert_array_equal(found.numpy(), values.numpy().astype(np.float64))


def test_maps_are_reduced_there_as_here():
    x = torch.randint(0, 3, (3, 4, 5, 6), generator=torch.Generator().manual_seed(0)).float()
    with Device():
        here, there = reduced(x), reduced(x.to(NAME))
    for mine, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(mine, other)


class Watched(Units):
    """Fails where the CPU waits for the device while the network runs, or more than twice after that."""

    def observe(self, layer, maps, batch):
        before = len(COPIES)
        super().observe(layer, maps, batch)
        assert len(COPIES) == before

    def update(self, batch):
        before = len(COPIES)
        super().update(batch)
        assert len(COPIES) <= before + 2


@pytest.mark.parametrize("per_class", [0, 2])
def test_maps_on_a_device_are_looked_at_after_the_pass_with_two_copies(per_class):
    pictures = images()
    classes = tuple(number % 3 for number in range(len(pictures)))
    states, means = [], []
    for device, kind in (("cpu", Units), (NAME, Watched)):
        with Device():
            net = network().to(device)
            query = query_for(net, top=4, sample=50, classes=classes, per_class=per_class)
            job = Job(
                net, "net", PREPROCESSING, (3, 21, 21), query.layers, Memory(pictures),
                [str(at) for at in range(len(pictures))], functools.partial(kind, query), 8, device,
            )  # fmt: skip
            units = kind(query)
            run_local(job, units, Tally.empty(job.chunks))
        states.append(units.state())
        means.append(units.mean())
    here, there = states
    for name, values in here.items():
        if not name.startswith("sums"):
            assert np.array_equal(there[name], values), name
    for mine, other in zip(*(one.values() for one in means), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("use", "error"),
    [
        (lambda x: x.double(), "float64"),
        (lambda x: x.to("cpu", torch.float64), "float64"),
        (lambda x: torch.zeros(3, dtype=torch.float64).copy_(x), "float64"),
        (lambda x: x.sum(0, dtype=torch.float64), "float64"),
        (lambda x: x * torch.ones(3, dtype=torch.float64, device=x.device), "float64"),
        (lambda x: torch.tensor([1.0], dtype=torch.float64, device=x.device), "float64"),
        (lambda x: torch.fft.fft(x).to(torch.complex128), "float64"),
        (lambda x: x + torch.ones(3), "one device"),
        (lambda x: x.numpy(), "numpy"),
    ],
)
def test_the_device_refuses_what_mps_refuses(use, error):
    with Device(), pytest.raises((RuntimeError, TypeError), match=error):
        use(torch.ones(3, device=NAME))


@pytest.mark.parametrize("inference", [False, True])
def test_the_device_gives_what_the_cpu_gives(inference):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)).eval()
    image = torch.randn(1, 3, 8, 8)
    with torch.inference_mode(inference):
        wanted = network(image)
    with Device():
        there = network.to(NAME)
        with torch.inference_mode(inference):
            found = there(image.to(NAME))
        assert found.device.type == NAME
        assert torch.equal(found.cpu(), wanted)
        assert found.tolist() == wanted.tolist()
        assert found[0, 0, 0, 0].item() == wanted[0, 0, 0, 0].item()
