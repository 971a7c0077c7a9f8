"""What README and docstrings show is run."""

import doctest
import importlib
import re
import shlex
from pathlib import Path

import pytest
import torch
from PIL import Image
from skimage import data

from netviz.cli.main import run

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = re.findall(r"^netviz .*?(?=\s+#|$)", README, flags=re.MULTILINE)
FOLDERS = {"site": "index.html", "run": "run.json"}
SIZE = ["--size", "96x96"]
SMALLER = {
    **dict.fromkeys(("maps", "stages", "contrast", "hypercolumn", "sift"), SIZE),
    "segment": [*SIZE, "--images", "skimage:coins"],
    "patches": [*SIZE, "--images", "skimage:coins"],
    "field": [*SIZE, "--images", "skimage:coins"],
    "occlusion": ["--stride", "32", "--patch", "32"],
    "dense": ["--short-side", "232"],
    "optimize": ["--side", "64", "--steps", "2"],
    "gallery": ["--images", "skimage:coins", "--layers", "conv1", "--size", "64x64", "--quick"],
}


def test_readmes_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert len(COMMANDS) == 21
    for command in COMMANDS:
        args = shlex.split(command)[1:]
        with pytest.raises(SystemExit) as stop:
            run([*args, *SMALLER.get(args[0], [])])
        assert not stop.value.code, (command, capsys.readouterr().err)
    made = re.findall(r" -o (\S+)", "\n".join(COMMANDS))
    assert len(made) >= 12
    for name in (name if "." in name else f"{name}/{FOLDERS[name]}" for name in made):
        assert (tmp_path / name).stat().st_size > 0


NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        layers = []
        for before, after in ((3, 4), (4, 4), (4, 6)):
            layers += [nn.Conv2d(before, after, 3), nn.ReLU(), nn.MaxPool2d(2)]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2))
"""


def test_commands_for_ones_own_network(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("mynet.py").write_text(NET)
    torch.manual_seed(0)
    network = importlib.import_module("mynet").Net()
    torch.save(network.state_dict(), "best.pth")
    torch.save(network, "model.pt")
    Path("classes.txt").write_text("cat\ncup\n")
    Path("photos").mkdir()
    for place, image in {"photo.jpg": data.chelsea(), "photos/cup.jpg": data.coffee()}.items():
        Image.fromarray(image).save(place)
    page = (ROOT / "docs" / "own.md").read_text(encoding="utf-8")
    commands = re.findall(r"^(?:PYTHONPATH=\. )?netviz (.*)$", page, flags=re.MULTILINE)
    assert len(commands) == 9
    for command in commands:
        with pytest.raises(SystemExit) as stop:
            run(shlex.split(command))
        assert not stop.value.code, (command, capsys.readouterr().err)
    assert Path("site/index.html").stat().st_size


def test_readmes_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    said = re.search(r"maps\.shape\s+# (.*)", code)
    assert said is not None
    assert str(names["result"].maps.shape) == said[1]
    assert (tmp_path / "maps.png").exists()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_what_pages_name_is_there(path):
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert (path.parent / target).exists() or "://" in target, target
    for name in re.findall(r"`((?:netviz|cli|gallery|tests|benchmarks|\.ci)/[\w./]*)`", text):
        assert (ROOT / name).exists() or "sparsity" in name, name


@pytest.mark.parametrize("name", ["netviz.capture.activations"])
def test_examples_in_docstrings(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0
