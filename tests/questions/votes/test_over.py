"""Votes over many images: the matrix, and that nothing changes it but the images."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import netviz
from netviz.errors import ImageError, LayerError, ModelError, NetvizError, OutputError, ResultError
from netviz.images import normalize, prepare_pixels, read_image
from netviz.models import Model, Preprocessing
from netviz.questions.votes.result import VotesSetResult
from netviz.questions.votes.run import open_votes
from support.network import Several, state_of
from support.pages import tree

PLAIN = Preprocessing(resize=16, crop=(16, 16), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def chain(last: int = 6) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(True), nn.Conv2d(8, last, 3, padding=1), nn.ReLU(True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, 4),
    ).eval()  # fmt: skip


def model(network: nn.Module | None = None, preprocessing: Preprocessing = PLAIN) -> Model:
    network = network or chain()
    return Model("net", network, network.state_dict(), preprocessing, ("a", "b", "c", "d"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    made = tmp_path_factory.mktemp("photos")
    for number in range(7):
        pixels = rng.integers(0, 256, (20 + number, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(made / f"{number}.png")
    return made


def asked(out: Path, images: Any, network: Any = None, **options: Any) -> Path:
    return netviz.votes_set(
        network or model(), out, images=images, **{"workers": 0, "device": "cpu", **options}
    )


def found(run: Path) -> VotesSetResult:
    opened = open_votes(run)
    return opened.result(opened.layers[0])


def by_hand(network: nn.Sequential, at: int, folder: Path, to: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean change of each score without each unit of the layer that ends at `at`, and the mean scores."""
    changes, scores = [], []
    for path in sorted(folder.iterdir()):
        image = normalize(prepare_pixels(read_image(path), PLAIN)[0], PLAIN)
        with torch.no_grad():
            maps = network[:at](image)
            clean = network[at:](maps.clone())[0]
            rows = []
            for unit in range(maps.shape[1]):
                other = maps.clone()
                other[0, unit] = 0 if to == "zero" else other[0, unit].mean()
                rows.append(network[at:](other)[0] - clean)
        changes.append(torch.stack(rows).numpy())
        scores.append(clean.numpy())
    return np.mean(changes, axis=0), np.mean(scores, axis=0)


@pytest.mark.parametrize("to", ["zero", "mean"])
@pytest.mark.parametrize(("layer", "at"), [("relu1", 2), ("relu2", 4), ("conv1", 1)])
def test_the_matrix_is_the_mean_over_images_of_edited_networks(folder, tmp_path, layer, at, to):
    result = found(asked(tmp_path / "run", folder, layer=layer, to=to))
    changes, scores = by_hand(chain(), at, folder, to)
    np.testing.assert_allclose(result.change, changes, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(result.score, scores, rtol=1e-4, atol=1e-6)
    assert result.exact == (layer == "relu2")
    assert (result.images, result.full, result.to, result.labels) == (7, 0, to, ("a", "b", "c", "d"))


def test_without_a_layer_the_last_with_maps_is_taken_and_said(folder, tmp_path):
    run = asked(tmp_path / "run", folder)
    result = found(run)
    assert (result.layer, result.chosen) == ("3", True)
    told = netviz.report(run)
    assert told["kind"] == "votes"
    assert told["options"]["layers"] == ["3"]
    (layer,) = told["layers"]
    order = np.argsort(result.change.min(axis=1), kind="stable")
    assert [one["unit"] for one in layer["strongest"]] == order.tolist()
    first = layer["strongest"][0]["falls"][0]
    assert first["change"] == pytest.approx(float(result.change.min()))
    assert first["label"] == "abcd"[int(result.change.min(axis=0).argmin())]


@pytest.mark.parametrize("layer", ["relu1", "relu2"])
def test_workers_batches_and_order_change_no_byte_of_the_matrix(folder, tmp_path, layer):
    expected = asked(tmp_path / "a", folder, layer=layer, batch=3)
    assert tree(asked(tmp_path / "b", folder, layer=layer, batch=3, workers=2)) == tree(expected)
    turned = asked(tmp_path / "c", sorted(folder.iterdir(), reverse=True), layer=layer, batch=3)
    (file,) = (expected / "layers").iterdir()
    if layer == "relu1":
        # Each image runs by itself: neither who is beside it nor its place matters.
        single = asked(tmp_path / "d", folder, layer=layer, batch=1)
        assert (single / "layers" / file.name).read_bytes() == file.read_bytes()
        assert (turned / "layers" / file.name).read_bytes() == file.read_bytes()
    np.testing.assert_allclose(found(turned).change, found(expected).change, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("layer", ["relu1", "relu2"])
def test_a_cluster_gives_the_same_bytes(folder, tmp_path, layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("ray.data")
    expected = asked(tmp_path / "a", folder, layer=layer, batch=2)
    assert tree(asked(tmp_path / "b", folder, layer=layer, batch=2, engine="ray", workers=2)) == tree(
        expected
    )


@contextmanager
def dying(after: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a run die after so many chunks."""
    from netviz.engines import local

    original, seen = local.load_chunk, []

    def load(source: Any, number: int, batch: int) -> Any:
        seen.append(number)
        if len(seen) > after:
            raise KeyboardInterrupt
        return original(source, number, batch)

    with monkeypatch.context() as patch:
        patch.setattr(local, "load_chunk", load)
        with pytest.raises(KeyboardInterrupt):
            yield


@pytest.mark.parametrize("layer", ["relu1", "relu2"])
def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(folder, tmp_path, monkeypatch, layer):
    options: dict[str, Any] = {"layer": layer, "batch": 2, "every": 0}
    whole = asked(tmp_path / "whole", folder, **options)
    run = tmp_path / "run"
    for _ in range(2):
        with dying(2, monkeypatch):
            asked(run, folder, resume=(run / "state.npz").exists(), **options)
    with pytest.raises(OutputError, match="go on with --resume"):
        asked(run, folder, **options)
    with pytest.raises(NetvizError, match="begun with other options"):
        asked(run, folder, resume=True, to="mean", **options)
    for read in (open_votes, netviz.report):
        with pytest.raises(ResultError, match="is unfinished; go on with netviz votes --resume"):
            read(run)
    with pytest.raises(NetvizError, match="begun with other"):
        netviz.patches(model(), run, images=folder, layer=layer, workers=0, device="cpu", resume=True)
    asked(run, folder, resume=True, **options)
    assert tree(run) == tree(whole)


def test_images_that_cannot_be_read_are_told_of_or_stop_the_run(folder, tmp_path):
    (tmp_path / "photos").mkdir()
    for path in sorted(folder.iterdir())[:3]:
        (tmp_path / "photos" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "photos" / "3.png").write_bytes(b"\x89PNG")
    run = asked(tmp_path / "run", tmp_path / "photos")
    assert netviz.report(run)["images"] == {"listed": 4, "counted": 3, "skipped": 1}
    assert found(run).images == 3
    with pytest.raises(ImageError, match=r"3\.png"):
        asked(tmp_path / "strict", tmp_path / "photos", strict=True)
    assert not (tmp_path / "strict").exists()


def test_images_of_any_size_are_measured_one_by_one(folder, tmp_path):
    preprocessing = Preprocessing(resize=None, crop=None, mean=PLAIN.mean, std=PLAIN.std)
    result = found(
        asked(tmp_path / "run", folder, model(preprocessing=preprocessing), fit="full", size=(20, 24))
    )
    assert not result.exact
    network, total = chain(), np.zeros((6, 4))
    opened = netviz.report(tmp_path / "run")["options"]["input"]
    assert "20" in opened
    for path in sorted(folder.iterdir()):
        image = normalize(
            prepare_pixels(read_image(path), preprocessing.sized(20, 24).fitted("full"))[0], PLAIN
        )
        with torch.no_grad():
            total -= (network[6].weight * network[:4](image).mean((2, 3))).T.numpy()
    np.testing.assert_allclose(result.change, total / 7, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layer", ["relu1", "relu2"])
def test_other_numbers_are_those_of_a_copy(folder, tmp_path, layer):
    network = chain()
    before = state_of(network)
    rough = found(asked(tmp_path / "a", folder, model(network), layer=layer, dtype="bfloat16"))
    assert state_of(network) == before
    fine = found(asked(tmp_path / "b", folder, layer=layer))
    np.testing.assert_allclose(rough.change, fine.change, atol=0.03)
    assert (rough.change != fine.change).any()


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cut = nn.Conv2d(3, 6, 8, stride=8)
        self.token = nn.Parameter(torch.randn(1, 1, 6))
        self.block = nn.TransformerEncoderLayer(6, 2, 12, dropout=0.0, batch_first=True)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.cut(x).flatten(2).transpose(1, 2)
        x = self.block(torch.cat([self.token.expand(len(x), -1, -1), x], 1))
        return self.head(x[:, 0])


def test_tokens_without_a_place_count(folder, tmp_path):
    network = Tokens().eval()
    result = found(asked(tmp_path / "run", folder, model(network), layer="block"))
    expected = np.zeros((6, 4))
    for path in sorted(folder.iterdir()):
        image = normalize(prepare_pixels(read_image(path), PLAIN)[0], PLAIN)
        with torch.no_grad():
            x = network.cut(image).flatten(2).transpose(1, 2)
            token = network.block(torch.cat([network.token, x], 1))[0, 0]
            expected -= (network.head.weight * token).T.numpy()
    np.testing.assert_allclose(result.change, expected / 7, rtol=1e-4, atol=1e-6)


def test_of_several_outputs_the_one_asked_for(folder, tmp_path):
    plain = found(asked(tmp_path / "a", folder, Model("net", Several("plain").eval(), {}, PLAIN, ())))
    two = found(
        asked(tmp_path / "b", folder, Model("net", Several("heads").eval(), {}, PLAIN, ()), output="shape")
    )
    np.testing.assert_allclose(two.change, plain.change[:, 6:], rtol=1e-5)
    assert two.output == "shape"


def test_what_cannot_be_measured_is_refused_and_leaves_nothing(folder, tmp_path):
    for wrong in ({"to": "one"}, {"batch": 0}, {"engine": "spark"}, {"fit": "no"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            asked(tmp_path / "run", folder, **wrong)
    with pytest.raises(LayerError, match="means 2 layers; name one of them"):
        asked(tmp_path / "run", folder, layer="relu*")
    with pytest.raises(ModelError, match="votes needs a classifier"):
        asked(
            tmp_path / "run",
            folder,
            Model("net", nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(0)), {}, PLAIN, ()),
        )
    broken = chain()
    broken[0].bias.data[1] = torch.nan
    for layer in ("relu1", "relu2"):
        with pytest.raises(ModelError, match=r"gives NaN or infinity on .*0\.png"):
            asked(tmp_path / "run", folder, model(broken), layer=layer)
    assert not (tmp_path / "run").exists()


def test_a_run_is_drawn_and_reported(folder, tmp_path):
    run = asked(tmp_path / "run", folder)
    drawn = netviz.draw(run, tmp_path / "a.png")
    assert drawn.read_bytes() == netviz.draw(run / "layers" / "3.npz", tmp_path / "b.png").read_bytes()
    facts = json.loads((run / "run.json").read_text())
    assert facts["images"]["counted"] == 7
    with pytest.raises(LayerError, match="no layer 'conv9'"):
        netviz.draw(run, tmp_path / "c.png", layer="conv9")
