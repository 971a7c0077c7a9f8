"""A pickle that would create a file does not create it, however it is given."""

import os
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self):
        return os.mknod, (self.target,)


def _zip_with(path: Path, source: Path, entry: str, data: bytes) -> None:
    """Copy an archive, with one entry's content replaced or added."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for item in old.infolist():
            if not item.filename.endswith(entry):
                new.writestr(item.filename, old.read(item))
        prefix = old.namelist()[0].split("/")[0]
        new.writestr(f"{prefix}/{entry}", data)


def plain(folder: Path, evil: Evil) -> Path:
    path = folder / "plain.pkl"
    path.write_bytes(pickle.dumps(evil))
    return path


def saved(folder: Path, evil: Evil) -> Path:
    torch.save(evil, folder / "saved.pt")
    return folder / "saved.pt"


def legacy(folder: Path, evil: Evil) -> Path:
    torch.save({"w": evil}, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    return folder / "legacy.pth"


def nested(folder: Path, evil: Evil) -> Path:
    state = nn.Conv2d(3, 4, 3).state_dict()
    torch.save({"state_dict": {**state, "extra": evil}, "epoch": 3}, folder / "nested.pth")
    return folder / "nested.pth"


def beside(folder: Path, evil: Evil) -> Path:
    torch.save({"model": nn.Conv2d(3, 4, 3).state_dict(), "args": evil}, folder / "beside.ckpt")
    return folder / "beside.ckpt"


def safetensors(folder: Path, evil: Evil) -> Path:
    path = folder / "named.safetensors"
    path.write_bytes(pickle.dumps(evil))
    return path


def _torchscript(folder: Path, entry: str, evil: Evil) -> Path:
    class Scripted(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x)

    torch.jit.save(torch.jit.script(Scripted()), folder / "honest.ts")
    path = folder / f"script-{entry.replace('.', '-')}.pt"
    _zip_with(path, folder / "honest.ts", entry, pickle.dumps(evil, protocol=2))
    return path


def torchscript_data(folder: Path, evil: Evil) -> Path:
    return _torchscript(folder, "data.pkl", evil)


def torchscript_constants(folder: Path, evil: Evil) -> Path:
    return _torchscript(folder, "constants.pkl", evil)


def exported(folder: Path, evil: Evil) -> Path:
    program = torch.export.export(nn.Conv2d(3, 4, 3), (torch.randn(1, 3, 8, 8),))
    torch.export.save(program, folder / "honest.pt2")
    torch.save(evil, folder / "sample.pt")
    path = folder / "program.pt2"
    _zip_with(path, folder / "honest.pt2", "data/sample_inputs/model.pt", (folder / "sample.pt").read_bytes())
    return path


def renamed_image(folder: Path, evil: Evil) -> Path:
    path = folder / "picture.png"
    path.write_bytes(pickle.dumps(evil))
    return path


def result(folder: Path, evil: Evil) -> Path:
    np.savez(folder / "result.npz", facts=np.array([evil], dtype=object), weight=np.zeros(2))
    return folder / "result.npz"


WAYS = [
    plain,
    saved,
    legacy,
    nested,
    beside,
    safetensors,
    torchscript_data,
    torchscript_constants,
    exported,
    renamed_image,
]


@pytest.fixture
def evil(tmp_path):
    return Evil(tmp_path / "owned")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_no_way_to_give_a_model_runs_it(netviz, tmp_path, evil, way):
    folder = tmp_path / "files"
    folder.mkdir()
    path = way(folder, evil)
    small = ["--size", "32x32"]
    for args in (
        ["layers", path],
        ["filters", path, "-o", tmp_path / "out.png"],
        ["maps", "skimage:coins", "-l", "conv1", "--model", path, *small, "-o", tmp_path / "out.png"],
        ["gallery", path, "-i", "skimage:coins", *small, "-o", tmp_path / "site"],
        ["layers", "squeezenet1_1", "--weights", path],
    ):
        done = netviz(*args)
        assert done.status in (0, 1)
        assert "Traceback" not in done.err
        assert not (tmp_path / "owned").exists(), args


def test_nor_does_torchvisions_cache(netviz, tmp_path, evil, monkeypatch):
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(evil, cache / "squeezenet1_1-b8a52dc0.pth")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(cache.parent))
    assert netviz("layers", "squeezenet1_1").status == 1
    monkeypatch.setattr(sys.modules["netviz.models.named"], "verify", lambda *_: None)
    assert netviz("layers", "squeezenet1_1").status == 1
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("verb", [["draw"], ["report"]])
def test_nor_does_a_result(netviz, tmp_path, evil, verb):
    done = netviz(*verb, result(tmp_path, evil))
    assert done.status == 1
    assert not (tmp_path / "owned").exists()


def test_the_file_would_be_created_if_it_were_unpickled(tmp_path, evil):
    torch.load(saved(tmp_path, evil), weights_only=False)
    assert (tmp_path / "owned").exists()
