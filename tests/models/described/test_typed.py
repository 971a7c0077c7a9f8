"""How images are prepared and what classes are called, as a user says it: typed, saved, overridden."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.signal import correlate2d

import netviz
from netviz.errors import ModelError
from netviz.models import Preprocessing
from netviz.questions.reader import load_result
from support.network import Five

SIDE = 12


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "five.pth"
    torch.save(Five().state_dict(), path)
    return path


@pytest.fixture(scope="module")
def pixels() -> Any:
    return np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture
def picture(tmp_path: Path, pixels: Any) -> Path:
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def expected(weights: Path, pixels: Any, mean: Any, std: Any, low: float, high: float, bgr: bool) -> Any:
    """The first convolution's maps, in NumPy and SciPy alone."""
    state = torch.load(weights)
    weight, bias = (state[f"conv.{name}"].double().numpy() for name in ("weight", "bias"))
    values = (pixels[..., ::-1] if bgr else pixels).astype(np.float64) / 255 * (high - low) + low
    values = (values - np.array(mean)) / np.array(std)
    return np.stack(
        [
            sum(correlate2d(values[..., c], weight[unit, c], mode="same") for c in range(3)) + bias[unit]
            for unit in range(4)
        ]
    )


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

SAID: dict[str, tuple[Sequence[str], dict[str, Any], tuple[Any, Any, float, float, bool]]] = {
    "each": (
        ["--mean", "0.1,0.2,0.3", "--std", "0.5,0.6,0.7"],
        {"mean": (0.1, 0.2, 0.3), "std": [0.5, 0.6, 0.7]},
        ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7), 0, 1, False),
    ),
    "one for all": (
        ["--mean", "0.5", "--std", "0.25"],
        {"mean": 0.5, "std": torch.tensor(0.25)},
        (0.5, 0.25, 0, 1, False),
    ),
    "255": (
        ["--mean", "103.5,116.3,123.7", "--input-scale", "255", "--channel-order", "bgr"],
        {"mean": (103.5, 116.3, 123.7), "input_scale": 255, "channel_order": "bgr"},
        ((103.5, 116.3, 123.7), 1.0, 0, 255, True),
    ),
    "a range": (
        ["--input-scale", "-1,1"],
        {"input_scale": (-1, 1)},
        (0.0, 1.0, -1, 1, False),
    ),
    "order": (
        ["--channel-order", "bgr"],
        {"channel_order": "bgr"},
        (IMAGENET[0][::-1], IMAGENET[1][::-1], 0, 1, True),
    ),
}


@pytest.mark.parametrize("case", SAID)
def test_the_network_gets_the_values_that_were_said(
    case: str, weights: Path, picture: Path, pixels: Any, tmp_path: Path, netviz: Callable[..., Any]
) -> None:
    typed, given, values = SAID[case]
    wanted = expected(weights, pixels, *values)
    model = ("--model", "support.network:Five", "--weights", weights, "--size", SIDE)
    done = netviz("maps", picture, "-l", "conv", *model, *typed, "-o", tmp_path / "maps.npz", "--json")
    assert done.status == 0, done.err
    result = load_result(tmp_path / "maps.npz")
    np.testing.assert_allclose(result.maps, wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(result.image, pixels)
    facts = json.loads(done.out)
    assert facts["image_path"] == str(picture)
    assert facts["origin"] == "Five with five.pth"
    assert ("assumed" in facts["input"]) == (case == "order") == bool(facts["doubts"])
    opened = load_five(weights, **given)
    again = maps(picture, layer="conv", model=opened, size=(SIDE, SIDE))
    np.testing.assert_array_equal(again.maps, result.maps)
    direct = maps(picture, layer="conv", model=Five(), size=(SIDE, SIDE), **given)
    assert direct.input == result.input


def load_five(weights: Path, **given: Any) -> Any:
    return netviz.load("support.network:Five", weights=weights, **given)


def maps(*args: Any, **given: Any) -> Any:
    return netviz.maps(*args, **given)


def test_one_channel(tmp_path: Path) -> None:
    found = netviz.load(Five(1), mean=0.1307, std=0.3081).preprocessing
    assert (found.mean, found.std, found.channel_order, found.assumed) == ((0.1307,), (0.3081,), "L", False)
    assert netviz.load(Five(1)).preprocessing.doubts == ("mean and std are assumed: plain grey values",)
    for wrong, said in (
        ({"mean": (0.1, 0.2, 0.3)}, "takes 1 channel: give one"),
        ({"channel_order": "bgr"}, "leave it out"),
    ):
        with pytest.raises(ModelError, match=said):
            netviz.load(Five(1), **wrong)


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ({"std": 0}, ValueError, "std must be above 0, not 0"),
        ({"std": (1, -1, 1)}, ValueError, "above 0, not -1"),
        ({"mean": "0.5"}, ValueError, "mean must be a number"),
        ({"mean": float("nan")}, ValueError, "mean must be a number"),
        ({"mean": ()}, ValueError, "mean must be a number"),
        ({"input_scale": 0}, ValueError, "input_scale must be 1, 255"),
        ({"input_scale": (1, 0)}, ValueError, "not 1, 0"),
        ({"input_scale": (0, 1, 2)}, ValueError, "not 0, 1, 2"),
        ({"channel_order": "rbg"}, ValueError, "'rgb' or 'bgr', not 'rbg'"),
        ({"mean": (0.1, 0.2)}, ModelError, "mean has 2 values, but Five takes 3 channels: give one for all or 3"),
        ({"mean": (123.7, 116.3, 103.5)}, ModelError, "123.7 lies outside of 0…1.*--input-scale 255"),
        ({"labels": "nowhere.txt"}, ModelError, "no such file of labels: nowhere.txt"),
        ({"save_model": "here"}, ModelError, "its weights are in no file"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(wrong: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        netviz.load(Five(), **wrong)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("--mean", "a,b"), "neither a number nor a list"),
        (("--mean", "nan"), "neither a number nor a list"),
        (("--std", "0"), "not above 0"),
        (("--input-scale", "2,1"), "no range of values"),
        (("--input-scale", "0"), "no range of values"),
        (("--channel-order", "grb"), "not one of 'rgb', 'bgr'"),
    ],
)
def test_wrong_usage(typed: Sequence[str], said: str, netviz: Callable[..., Any]) -> None:
    done = netviz("layers", "support.network:Five", *typed)
    assert done.status == 2
    assert said in done.err


NAMES = ("ant", "bee", "cat", "dog", "eel")


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffant\r\nbee\r\n cat \r\ndog\r\neel\r\n\r\n",
        json.dumps(NAMES),
        json.dumps({str(number): name for number, name in reversed([*enumerate(NAMES)])}),
        json.dumps({name: number for number, name in enumerate(NAMES)}),
        json.dumps({str(number): [f"n{number}", name] for number, name in enumerate(NAMES)}),
    ],
)
def test_files_of_labels(text: str, tmp_path: Path) -> None:
    (tmp_path / "names").write_text(text, encoding="utf-8", newline="")
    assert netviz.load(Five(), labels=tmp_path / "names").labels == NAMES


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "1 to 100,000 names, not 0"),
        (b"ant\n\nbee", "line 2 of .* is empty"),
        (b"\xff\xfe", "no text in UTF-8"),
        (b"[1, 2]", "a name is a text, not 1"),
        (b"[", "a line for each class"),
        (b'{"a": "b"}', "different indices"),
        (b'{"0": "a", "00": "b"}', "different indices"),
        (b'{"999999": "a"}', "an index is 999,999"),
    ],
)
def test_files_without_labels(text: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "names").write_bytes(text)
    with pytest.raises(ModelError, match=said):
        netviz.load(Five(), labels=tmp_path / "names")


def test_labels_in_python() -> None:
    assert netviz.load(Five(), labels=NAMES).labels == NAMES
    assert netviz.load(Five(), labels={2: "two", 0: "none"}).labels == ("none", "", "two")
    with pytest.raises(ValueError, match="not int"):
        netviz.load(Five(), labels=5)  # type: ignore[arg-type]


def test_what_is_saved_is_read_from_then_on(
    weights: Path, picture: Path, tmp_path: Path, netviz: Callable[..., Any]
) -> None:
    own = tmp_path / "own.pth"
    own.write_bytes(weights.read_bytes())
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    model = ("--model", "support.network:Five", "--weights", own)
    saving = (*model, "--mean", "0.1", "--std", "0.5", "--save-model", own)
    asked = (
        "occlusion",
        picture,
        *model,
        "--size",
        SIDE,
        "--class",
        "cat",
        "--patch",
        8,
        "-o",
        tmp_path / "o.npz",
    )
    done = netviz(*asked)
    assert "names of Five's classes are not known" in done.err
    assert netviz("maps", picture, "-l", "conv", *saving, "-o", tmp_path / "m.npz").status == 0
    saved = tmp_path / "own.pth.netviz.json"
    assert json.loads(saved.read_text()) == {"mean": [0.1], "std": [0.5]}
    saving = ("--labels", tmp_path / "names.txt", "--save-model", own)
    done = netviz("layers", "support.network:Five", "--weights", own, *saving)
    assert done.err.count(f"wrote {saved}, which is read with these weights from now on") == 1
    assert "assumed" not in done.err
    assert json.loads(saved.read_text()) == {"mean": [0.1], "std": [0.5], "labels": list(NAMES)}
    done = netviz(*asked)
    assert done.status == 0, done.err
    result = load_result(tmp_path / "o.npz")
    assert (result.label, result.class_index, result.doubts) == ("cat", 2, ())
    assert "mean (0.1, 0.1, 0.1), std (0.5, 0.5, 0.5) of 0…1" in result.input
    # What is typed again counts more; a range that is typed leaves nothing of what belonged to another.
    again = load_five(own, std=0.25).preprocessing
    assert (again.mean, again.std) == ((0.1,) * 3, (0.25,) * 3)
    again = load_five(own, input_scale=255).preprocessing
    assert (again.mean, again.std, again.scale) == ((0.0,) * 3, (1.0,) * 3, 255)


def test_what_cannot_be_saved(weights: Path, tmp_path: Path, netviz: Callable[..., Any]) -> None:
    own = tmp_path / "own.pth"
    own.write_bytes(weights.read_bytes())
    with pytest.raises(ModelError, match="nothing to save"):
        load_five(own, save_model=own)
    with pytest.raises(
        ModelError, match=r"is not where the weights of this MODEL lie \(its weights are in .*own"
    ):
        load_five(own, mean=0.5, save_model=tmp_path / "other.pth")
    saved = tmp_path / "own.pth.netviz.json"
    for text, said in (
        ("{", "cannot be used"),
        ("[]", "no JSON object"),
        ('{"size": 3}', "it says 'size'; it may say mean, std"),
        ('{"std": [0]}', "std must be above 0"),
        ('{"labels": "/etc/passwd"}', "its labels are no list"),
        ('{"mean": {"a": 1}}', "mean must be a number"),
    ):
        saved.write_text(text)
        with pytest.raises(ModelError, match=said):
            load_five(own)
        done = netviz("layers", "support.network:Five", "--weights", own)
        assert (done.status, done.err.count("\n")) == (1, 1)


def test_a_preprocessing_says_its_range() -> None:
    assert str(Preprocessing(mean=(0.0,) * 3, std=(1.0,) * 3, black=-1.0)).endswith("of -1…1")
