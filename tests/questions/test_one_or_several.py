"""Wherever a function takes one or several of something, one alone is the same as a list of it."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

import netviz
from netviz.errors import NetvizError
from netviz.fcn.evaluation.measure import evaluate
from netviz.fcn.streams.measure import show
from netviz.fcn.streams.network import FCN
from netviz.fcn.training.train import train
from netviz.images import list_images
from netviz.questions import table
from netviz.results.choose import several

WRONG: dict[str, Any] = {
    "class_": "no such thing",
    "deconv_units": 999,
    "images": "nosuch.png",
    "layer": "nosuch",
    "layers": "nosuch",
    "method": "nosuch",
    "nonlinearity": "nosuch",
    "only": "nosuch",
    "pool": "nosuch",
    "pyramid": -1.0,
    "result": "nosuch.npz",
    "stages": "nosuch",
    "strides": 3,
    "taps": "nosuch",
    "unit": 999,
    "units": 999,
    "void": 2,
}
"""One of each, mostly such that a message names it."""


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(netviz, name) for name in table.functions()},
    **{one.__name__: one for one in (netviz.survey, netviz.draw, FCN, evaluate, show, train)},
}


def cases() -> Iterator[Any]:
    for name, function in FUNCTIONS.items():
        for parameter in inspect.signature(function).parameters.values():
            if any(word in str(parameter.annotation) for word in ("Sequence[", "Iterable[", "Collection[")):
                yield pytest.param(function, parameter.name, id=f"{name} {parameter.name}")


def asked(function: Callable[..., Any], folder: Path, **given: Any) -> str:
    """Return what comes of a question about a small network: its answer's arrays, or the message of its error."""
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 3, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    for number, weights in enumerate(network.parameters()):
        nn.init.constant_(weights, 0.1 * (1 + number))
    possible: dict[str, Any] = {
        "model": network, "other": network, "backbone": network, "image": folder / "images/a.png", "data": folder,
        "layer": "conv1",
        "layers": ["conv1"], "unit": 0, "out": folder / f"run{len(list(folder.iterdir()))}", "kind": "effective",
        "workers": 0, "device": "cpu", "epochs": 1, "result": folder / "images", "strides": (4, 2),
        "short_side": 224,
    }  # fmt: skip
    wanted = inspect.signature(function).parameters
    if function is netviz.draw:
        possible["out"] = possible["out"].with_suffix(".png")
    if function in (show, evaluate):
        possible["model"] = nn.Conv2d(3, 2, 3, padding=1)
        nn.init.constant_(possible["model"].weight, 0.1)
        nn.init.constant_(possible["model"].bias, 0.1)
    if function is netviz.optimize and "class_" in given:
        del possible["layer"]
    if function is show and "void" in given:
        possible["truth"] = folder / "labels/a.png"
    arguments = {name: value for name, value in {**possible, **given}.items() if name in wanted}
    try:
        found = function(**arguments)
    except (NetvizError, ValueError) as error:
        return str(error).replace(str(arguments.get("out", folder)), "")
    return (
        repr({name: value.tolist() for name, value in found.arrays().items()})
        if hasattr(found, "arrays")
        else ""
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "images/a.png")
    Image.fromarray(rng.integers(0, 3, (40, 40), dtype=np.uint8)).save(tmp_path / "labels/a.png")
    return tmp_path


@pytest.mark.parametrize(("function", "name"), list(cases()))
def test_one_is_a_list_of_one(function: Callable[..., Any], name: str, folder: Path) -> None:
    one = WRONG[name]
    alone = asked(function, folder, **{name: one})
    assert alone == asked(function, folder, **{name: [one]})
    if isinstance(one, str):
        assert one in alone


@pytest.mark.parametrize("one", ["photo.jpg", Path("photo.jpg"), 7, 0.5, "", b"bytes"], ids=repr)
def test_several(one: Any) -> None:
    assert several(one) == (one,)
    assert several([one, one]) == several(value for value in (one, one)) == (one, one)
    assert several(()) == ()


def test_a_path_is_one_image(folder: Path) -> None:
    assert (
        list_images(str(folder))
        == list_images([folder])
        == [folder / "images/a.png", folder / "labels/a.png"]
    )
