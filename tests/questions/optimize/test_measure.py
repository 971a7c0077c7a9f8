import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import Tensor, nn

import netviz
from netviz.cli.main import netviz as group
from netviz.errors import LayerError, ModelError, ResultError
from netviz.images import Photo
from netviz.questions.drawing import figure
from netviz.questions.optimize.climb import Wish, _worth
from support.network import Five
from support.pictures import texts

QUICK = {"side": 24, "steps": 8}


class Signs(nn.Module):
    """A unit that wants red and no green, its rectified twin, one that is 0 for grey, and a dead one."""

    def __init__(self) -> None:
        super().__init__()
        self.colours = nn.Conv2d(3, 4, 1)
        self.relu = nn.ReLU(inplace=True)
        weight = [[2.0, -1.0, 0.0], [2.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
        self.colours.weight.data = torch.tensor(weight)[:, :, None, None]
        self.colours.bias.data = torch.tensor([0.0, 0.0, -0.8, -1.0])
        self.later = nn.Conv2d(4, 3, 1)
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.colours(x))
        self.runs += 1
        return self.later(x).mean((2, 3))


def signs() -> Signs:
    torch.manual_seed(0)
    return Signs().eval()


PLAIN = {"mean": 0.0, "std": 1.0}


def test_a_unit_gets_what_its_weights_say():
    found = netviz.optimize(
        signs(),
        layer="conv1",
        units="0",
        sign="both",
        moved=False,
        side=16,
        steps=150,
        basis="pixels",
        **PLAIN,
    )
    large, small = found.pictures[0].astype(float) / 255
    # Grey gives 0.5.
    assert (2 * large[..., 0] - large[..., 1]).min() > 1.1
    assert (2 * small[..., 0] - small[..., 1]).max() < 0
    values = 2 * large[..., 0] - large[..., 1], 2 * small[..., 0] - small[..., 1]
    assert found.activation[0].tolist() == pytest.approx([values[0].max(), values[1].min()], abs=1e-5)
    assert found.columns == ("+", "-")


def test_what_is_zero_at_first_can_grow_and_what_is_dead_cannot():
    found = netviz.optimize(signs(), layer="relu1", units="2,3", side=16, steps=90, **PLAIN)
    assert found.led[:, 0].tolist() == [True, False]
    assert found.activation[0, 0] > 0.05
    assert found.activation[1, 0] == 0
    assert [found.failed(row, 0) for row in range(2)] == [False, True]
    assert "no gradient" in texts(figure(found))


def test_the_network_goes_no_further_than_the_layer():
    network = signs()

    def refuse(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if not args[0].is_meta:  # listing the layers follows all of it, without arithmetic
            raise AssertionError("what comes after the layer ran")

    network.later.register_forward_pre_hook(refuse)
    netviz.optimize(network, layer="relu1", units="0", **QUICK)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    first, again, other = (
        netviz.optimize(Five().eval(), layer="conv1", seed=seed, **QUICK).pictures for seed in (1, 1, 2)
    )
    # The network itself is untrained, drawn once: only pictures differ.
    assert first.shape == (4, 1, 24, 24, 3)
    assert not np.array_equal(first, other)
    network = Five().eval()
    found = [netviz.optimize(network, layer="conv1", seed=1, **QUICK).pictures.tobytes() for _ in range(2)]
    assert found[0] == found[1]
    del again


def test_a_unit_does_not_depend_on_the_others_asked_for():
    network = Five().eval()
    alone = netviz.optimize(network, layer="conv1", units="2", **QUICK).pictures[0]
    beside = netviz.optimize(network, layer="conv1", **QUICK).pictures[2]
    # Convolutions of several pictures may be rounded otherwise.
    assert np.abs(alone.astype(int) - beside.astype(int)).max() <= 1


class Interrupted(Exception):
    pass


def _killed(network, state, after, **options):
    told = []

    def progress(what, done, total):
        told.append((what, done, total))
        if len(told) > after:
            raise Interrupted

    with pytest.raises(Interrupted):
        netviz.optimize(network, state=state, every=0, progress=progress, **options)


@pytest.mark.parametrize("basis", ["fourier", "maco"])
def test_what_was_interrupted_goes_on_to_the_same_bytes(tmp_path, basis):
    network = Five().eval()
    options = {"layer": "conv1", "sign": "both", "diverse": 2, "basis": basis, **QUICK}
    whole = netviz.optimize(network, **options)
    state = tmp_path / "state.npz"
    _killed(network, state, 3, **options)
    # What went on may be interrupted again.
    _killed(network, state, 4, **options)
    told = []
    again = netviz.optimize(network, state=state, progress=lambda *one: told.append(one), **options)
    whole.save(tmp_path / "whole.npz")
    again.save(tmp_path / "again.npz")
    assert (tmp_path / "whole.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()
    assert told[0][1] == 0
    assert 0 < told[-1][1] <= told[-1][2] < 12
    # Finished pictures wait for being saved.
    told.clear()
    netviz.optimize(network, state=state, progress=lambda *one: told.append(one), **options)
    assert told == []


def test_a_state_of_other_work_is_refused(tmp_path):
    network, state = Five().eval(), tmp_path / "state.npz"
    _killed(network, state, 3, layer="conv1", **QUICK)
    with pytest.raises(ResultError, match=r"state.npz was begun with other options; .* or delete it"):
        netviz.optimize(network, layer="conv1", state=state, seed=3, **QUICK)
    with pytest.raises(ResultError, match="other model"):
        netviz.optimize(signs(), layer="conv1", state=state, **QUICK)
    state.write_bytes(state.read_bytes()[:999])
    with pytest.raises(ResultError, match="is damaged; delete it"):
        netviz.optimize(network, layer="conv1", state=state, **QUICK)


def test_the_command_goes_on_beside_its_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "five.py").write_text(
        "import torch\ndef make():\n    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())\n"
    )
    asked = ["optimize", "five.py:make", "--layer", "conv1", "--side", "16", "--steps", "2", "-o", "a.npz"]
    ask = CliRunner().invoke
    missing = ask(group, [*asked, "--resume"])
    assert (missing.exit_code, "drop --resume" in str(missing.exception)) == (1, True)
    netviz.optimize("five.py:make", layer="conv1", side=16, steps=2, state="a.npz.state.npz", every=0)
    left = ask(group, asked)
    assert (left.exit_code, "go on with --resume" in str(left.exception)) == (1, True)
    (tmp_path / ".a.npz.state.npz.x.part").write_bytes(b"half")
    assert ask(group, [*asked, "--resume"]).exit_code == 0
    assert sorted(one.name for one in tmp_path.iterdir() if one.suffix != ".py") == ["a.npz"]


def test_a_class_gets_a_high_score():
    torch.manual_seed(0)
    network = Five().eval()
    found, begun = (
        netviz.optimize(network, class_=[3, 1], side=24, steps=steps, moved=False) for steps in (40, 1)
    )
    assert found.targets == (3, 1)
    assert found.layer == ""
    preprocessing = netviz.load(network).preprocessing
    mean, std = (torch.tensor(one).view(1, 3, 1, 1) for one in (preprocessing.mean, preprocessing.std))
    pictures = torch.from_numpy(found.pictures[:, 0]).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        scores = network((pictures - mean) / std)
    assert np.allclose(found.activation[:, 0], [scores[0, 3], scores[1, 1]], atol=1e-4)
    assert (found.activation > begun.activation + 0.05).all()


class _InPlace(nn.Module):
    """Rectifies in place, by a function: nearly always 0, so that only redirected gradients lead on."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.inplace = nn.Conv2d(3, 2, 3), inplace
        nn.init.constant_(self.conv.bias, -0.5)

    def forward(self, images):
        return nn.functional.relu(self.conv(images), inplace=self.inplace)


def test_a_layer_that_is_a_function_in_place():
    # Watching sees functions as the network calls them, whatever rule gradients follow.
    found, plain = (
        netviz.optimize(_InPlace(inplace).eval(), layer="relu", side=24, steps=20)
        for inplace in (True, False)
    )
    np.testing.assert_array_equal(found.pictures, plain.pictures)
    assert (found.activation > 0).all()


def test_a_value_at_the_centre():
    network = Five().eval()
    found = netviz.optimize(network, layer="conv1", units=1, objective="position", side=24, steps=4)
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    picture = torch.from_numpy(found.pictures[0, 0]).permute(2, 0, 1) / 255
    with torch.no_grad():
        answer = network.conv(((picture - mean) / std)[None])[0, 1]
    centre = answer[answer.shape[0] // 2, answer.shape[1] // 2]
    assert found.activation[0, 0] == pytest.approx(float(centre), abs=1e-5)


def test_a_layer_grows_from_a_photograph():
    rng = np.random.default_rng(0)
    photo = Photo("noise", rng.integers(90, 160, (24, 24, 3), dtype=np.uint8))
    found = netviz.optimize(Five().eval(), layer="conv1", objective="layer", image=photo, side=24, steps=20)
    assert found.targets == ()
    assert found.activation[0, 0] > 1.2 * found.started[0]
    assert found.image_name == "noise"
    assert "before" in texts(figure(found))


def test_pictures_of_one_unit_lose_what_they_have_in_common():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(4, 5, 3, 4)).astype(np.float32)
    wishes = [Wish(2, 1, 0, ()), Wish(2, 1, 0, ()), Wish(2, 1, 0, ()), Wish(4, -1, 1, ())]
    found = _worth(torch.from_numpy(maps), wishes, 1, centre=False).numpy()
    worth = np.array([maps[n, wish.unit].mean() for n, wish in enumerate(wishes)])
    grams = [one.reshape(5, 12) @ one.reshape(5, 12).T for one in maps[:3]]
    unit = [gram / np.linalg.norm(gram) for gram in grams]
    alike = np.mean([(unit[a] * unit[b]).sum() for a, b in ((0, 1), (0, 2), (1, 2))])
    expected = worth[:3].sum() - worth[3] - alike * np.abs(worth[:3]).sum()
    assert found.sum() == pytest.approx(expected, rel=1e-4)


def test_a_run_gives_references_and_patches(tmp_path):
    rng = np.random.default_rng(0)
    photos = [Photo(f"p{n}", rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)) for n in range(3)]
    network = signs()
    for number, photo in enumerate(photos):
        Image.fromarray(photo.pixels).save(tmp_path / f"{number}.png")
    netviz.patches(
        network, images=[str(tmp_path)], layer="relu1", out=tmp_path / "run", size=(24, 24), top=4, **PLAIN
    )
    found = netviz.optimize(network, layer="relu1", units="0,3", run=tmp_path / "run", **PLAIN, **QUICK)
    assert found.targets == (0,)
    assert found.dead == (3,)
    pixels = np.stack([photo.pixels for photo in photos]).astype(float) / 255
    values = np.maximum(2 * pixels[..., 0] - pixels[..., 1], 0)
    assert found.reference[0, 1] == pytest.approx(values.max(), abs=1e-5)
    assert found.quantile[0, 1] == pytest.approx(np.quantile(values, 0.995), rel=0.05)
    assert found.patches.shape[:2] == (1, 4)
    assert found.share(0, 0) == pytest.approx(found.activation[0, 0] / values.max(), rel=1e-4)
    assert len(figure(found).axes[0].images) == 5
    # A unit sees one pixel: what made it answer has the signs and shares of its weights.
    with pytest.raises(ResultError, match=r"measure it with: .* --deconv-units 0 -o"):
        netviz.optimize(
            network, layer="relu1", units="0", run=tmp_path / "run", beside="guided", **PLAIN, **QUICK
        )
    netviz.patches(network, tmp_path / "run", deconv=True, deconv_units="0,2", size=(24, 24), **PLAIN)
    both = netviz.optimize(network, layer="relu1", units="0:4", run=tmp_path / "run", **PLAIN, **QUICK)
    assert both.dead == (3,)
    assert both.followed is None  # unit 1 was not measured
    some = netviz.optimize(network, layer="relu1", units="0", run=tmp_path / "run", **PLAIN, **QUICK)
    assert (some.followed.shape, some.followed_by) == (some.patches.shape, "guided")
    colours = some.followed[0, 0].reshape(-1, 3)
    assert {tuple(one) for one in colours.tolist()} == {(255, 64, 128)}
    assert some.of_quantile(0, 0) == pytest.approx(some.activation[0, 0] / some.quantile[0, 1])
    assert len(figure(some).axes[0].images) == 9
    with pytest.raises(LayerError, match="only dead units"):
        netviz.optimize(network, layer="relu1", units="3", run=tmp_path / "run", **PLAIN, **QUICK)


@pytest.mark.parametrize("channels", [1, 5])
def test_networks_of_other_channels(channels):
    found = netviz.optimize(Five(channels).eval(), layer="conv1", units="0", **QUICK)
    assert found.pictures.shape == (1, 1, 24, 24, 3)


class Inside(nn.Module):
    """A linear layer that is not the last, and a network that takes no gradient."""

    def __init__(self, grad: bool = True) -> None:
        super().__init__()
        self.colours = nn.Conv2d(3, 4, 1)
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 2)
        self.grad = grad

    def forward(self, x: Tensor) -> Tensor:
        with torch.set_grad_enabled(self.grad and torch.is_grad_enabled()):
            return self.last(self.first(self.colours(x).mean((2, 3))))


def test_units_of_a_linear_layer_have_pictures():
    torch.manual_seed(0)
    network = Inside().eval()
    found = netviz.optimize(
        network, layer="first", units="1,4", sign="both", moved=False, side=16, steps=40, **PLAIN
    )
    pictures = torch.from_numpy(found.pictures.reshape(4, 16, 16, 3)).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        values = network.first(network.colours(pictures).mean((2, 3)))
    assert found.activation.ravel() == pytest.approx(
        [float(values[at, unit]) for at, unit in enumerate((1, 1, 4, 4))], abs=1e-5
    )
    assert (found.activation[:, 0] > found.activation[:, 1] + 0.01).all()
    with pytest.raises(LayerError, match="first has no maps, by which several pictures"):
        netviz.optimize(network, layer="first", diverse=2, side=16, steps=1)


def test_no_gradient_and_nan_are_told():
    with pytest.raises(ModelError, match=r"no gradient flows from layer colours of Inside .*quantized"):
        netviz.optimize(Inside(grad=False).eval(), layer="colours", **QUICK)
    network = Inside().eval()
    network.colours.bias.data[2] = float("nan")
    with pytest.raises(ModelError, match="layer colours of Inside gives NaN or infinity"):
        netviz.optimize(network, layer="colours", units="2", **QUICK)


def test_parts_of_phases():
    found = netviz.optimize(Five().eval(), layer="conv1", units="0", basis="maco", side=24, steps=4)
    assert found.led.all()


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({}, ValueError, "either a layer"),
        ({"layer": "conv1", "class_": 0}, ValueError, "either a layer"),
        ({"layer": "conv1", "steps": 0}, ValueError, "steps must be at least 1"),
        ({"layer": "conv1", "basis": "wavelet"}, ValueError, "basis must be one of"),
        ({"layer": "conv1", "sign": "up"}, ValueError, "sign must be"),
        ({"layer": "conv1", "objective": "class"}, ValueError, "needs a class"),
        ({"class_": 0, "units": "1"}, ValueError, "units are of a layer"),
        ({"layer": "conv1", "objective": "layer", "sign": "-"}, ValueError, "one picture"),
        ({"class_": 0, "diverse": 2}, ValueError, "several pictures"),
        ({"layer": "conv1", "units": "9"}, LayerError, "has no unit 9"),
        ({"class_": 77}, ModelError, "has no class 77"),
        ({"layer": "conv1", "run": "nowhere"}, netviz.errors.NetvizError, "nowhere"),
    ],
)
def test_what_cannot_be_is_refused(options, error, said):
    with pytest.raises(error, match=said):
        netviz.optimize(
            Five().eval(), **options, **{"side": 24, **({} if "steps" in options else {"steps": 1})}
        )


def test_a_picture_too_small_for_a_layer_is_refused_with_the_least_side():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.Conv2d(4, 4, 3, stride=4, padding=1)).eval()
    with pytest.raises(
        ModelError, match=r"makes 1×1 positions of a picture of 16 pixels; give --side 32 or more"
    ):
        netviz.optimize(network, layer="conv2", side=16, steps=1)
