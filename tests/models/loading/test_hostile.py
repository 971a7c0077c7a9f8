"""No file, however made, runs code, takes endless memory or ends in anything but one line."""

import importlib
import json
import pickle
import shutil
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from netviz.errors import ModelError, UntrustedError
from netviz.models.loading.checkpoint import read_checkpoint


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.target), "w")


class BuildEvil:
    """Creates a file through an object's state."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


def refuse(path: Path, **keywords: Any) -> ModelError:
    """Read a bad file and return its one-line error."""
    with pytest.raises(ModelError) as caught:
        read_checkpoint(path, **keywords)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return caught.value


def replace_entries(source: Path, target: Path, changes: dict[str, bytes]) -> None:
    """Copy a ZIP file with other content in the entries whose names end as given."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.namelist():
            ends = [end for end in changes if entry.endswith(end)]
            new.writestr(entry, changes[ends[0]] if ends else old.read(entry))


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Save one layer in each format that is a ZIP file."""
    folder = tmp_path_factory.mktemp("archives")
    layer = nn.Sequential(nn.Conv2d(3, 4, 3)).eval()
    paths = {name: folder / name for name in ("state.pt", "script.pt", "program.pt2")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(layer.state_dict(), paths["state.pt"])
        torch.jit.save(torch.jit.script(layer), paths["script.pt"])
        torch.export.save(torch.export.export(layer, (torch.ones(1, 3, 8, 8),)), paths["program.pt2"])
    return paths


def saved(**options: Any) -> Callable[[Path, Any, dict[str, Path]], None]:
    return lambda path, evil, _: torch.save(evil, path, **options)


def nested(path: Path, evil: Any, _: dict[str, Path]) -> None:
    torch.save({"state_dict": {"weight": torch.ones(2), "extra": evil}}, path)


def beside(path: Path, evil: Any, _: dict[str, Path]) -> None:
    torch.save({"state_dict": {"weight": torch.ones(2)}, "args": evil}, path)


def raw(protocol: int) -> Callable[[Path, Any, dict[str, Path]], None]:
    return lambda path, evil, _: path.write_bytes(pickle.dumps(evil, protocol)) and None


def inside(name: str, entry: str) -> Callable[[Path, Any, dict[str, Path]], None]:
    def make(path: Path, evil: Any, archives: dict[str, Path]) -> None:
        replace_entries(archives[name], path, {entry: pickle.dumps({"a": evil}, 2)})

    return make


def pickled_weight(path: Path, evil: Any, archives: dict[str, Path]) -> None:
    """Mark the first weight of an exported program as pickled."""
    with zipfile.ZipFile(archives["program.pt2"]) as archive:
        table = next(name for name in archive.namelist() if name.endswith("_weights_config.json"))
        config = json.loads(archive.read(table))
    first = next(iter(config["config"].values()))
    first["use_pickle"] = True
    changes = {table: json.dumps(config).encode(), first["path_name"]: pickle.dumps(evil, 2)}
    replace_entries(archives["program.pt2"], path, changes)


def old_program(path: Path, evil: Any, _: dict[str, Path]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
        archive.writestr("serialized_state_dict.pt", pickle.dumps(evil, 2))


WAYS = {
    "zip.pt": saved(),
    "legacy.pth": saved(_use_new_zipfile_serialization=False),
    "protocol4.pt": saved(pickle_protocol=4),
    "named.safetensors": saved(),
    "named.pt2": saved(_use_new_zipfile_serialization=False),
    "raw0.pt": raw(0),
    "raw2.pt": raw(2),
    "raw5.safetensors": raw(5),
    "nested.pt": nested,
    "beside.pt": beside,
    "state_data.pt": inside("state.pt", "data.pkl"),
    "script_data.pt": inside("script.pt", "data.pkl"),
    "script_constants.pt": inside("script.pt", "constants.pkl"),
    "program_inputs.pt2": inside("program.pt2", "sample_inputs/model.pt"),
    "program_weight.pt2": pickled_weight,
    "program_old.pt2": old_program,
}


@pytest.mark.parametrize("evil", [Evil, BuildEvil])
@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_run(way: str, evil: type, tmp_path: Path, archives: dict[str, Path]) -> None:
    target = tmp_path / "created"
    WAYS[way](tmp_path / way, evil(target), archives)
    if way in ("script_constants.pt", "program_inputs.pt2"):  # the part with the pickle is not looked at
        checkpoint = read_checkpoint(tmp_path / way)
        assert [tuple(value.shape) for value in checkpoint.state.values()] == [(4, 3, 3, 3), (4,)]
    else:
        refuse(tmp_path / way)
    assert not target.exists()


def test_the_trap_works(tmp_path: Path) -> None:
    torch.save({"a": BuildEvil(tmp_path / "created")}, tmp_path / "c.pt")
    with pytest.raises(ModelError):
        read_checkpoint(tmp_path / "c.pt", trust=True)
    assert (tmp_path / "created").exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_refusal_through_a_method(protocol: int, tmp_path: Path) -> None:
    torch.save({"a": BuildEvil(tmp_path / "created")}, tmp_path / "c.pt", pickle_protocol=protocol)
    assert isinstance(refuse(tmp_path / "c.pt"), UntrustedError)


@pytest.mark.parametrize("legacy", [False, True])
def test_refusal_names_file_global_and_remedy(legacy: bool, tmp_path: Path) -> None:
    torch.save(nn.Conv2d(1, 1, 1), tmp_path / "c.pt", _use_new_zipfile_serialization=not legacy)
    error = refuse(tmp_path / "c.pt")
    assert isinstance(error, UntrustedError)
    for part in ("torch.nn.modules.conv.Conv2d", "--trust", "trust=True", "state_dict()"):
        assert part in str(error)


def test_code_of_an_archive_is_not_looked_at(archives: dict[str, Path], tmp_path: Path) -> None:
    replace_entries(archives["script.pt"], tmp_path / "c.pt", {".py": b"syntax error ("})
    assert len(read_checkpoint(tmp_path / "c.pt").state) == 2
    replace_entries(archives["program.pt2"], tmp_path / "c.pt2", {"model.json": b"{"})
    assert len(read_checkpoint(tmp_path / "c.pt2").state) == 2
    refuse(tmp_path / "c.pt", trust=True)
    refuse(tmp_path / "c.pt2", trust=True)


@pytest.mark.parametrize("name", ["state.pt", "script.pt", "program.pt2"])
@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.99])
def test_cut_short(name: str, trust: bool, part: float, archives: dict[str, Path], tmp_path: Path) -> None:
    data = archives[name].read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * part)])
    refuse(tmp_path / name, trust=trust)


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("state.pt", "data/0"),
        ("state.pt", "data.pkl"),
        ("script.pt", "data/0"),
        ("script.pt", "data.pkl"),
        ("program.pt2", "weights/weight_0"),
        ("program.pt2", "weights_config.json"),
    ],
)
def test_records_cut_short(name: str, record: str, archives: dict[str, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(archives[name]) as archive:
        short = archive.read(next(entry for entry in archive.namelist() if entry.endswith(record)))[:9]
    replace_entries(archives[name], tmp_path / name, {record: short})
    refuse(tmp_path / name)


def test_legacy_cut_short(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1000)}, tmp_path / "c.pt", _use_new_zipfile_serialization=False)
    data = (tmp_path / "c.pt").read_bytes()
    for length in (20, 200, len(data) - 1000):
        (tmp_path / "c.pt").write_bytes(data[:length])
        refuse(tmp_path / "c.pt")


def test_storage_that_claims_more_than_there_is(tmp_path: Path) -> None:
    torch.save({"w": torch.arange(4.0)}, tmp_path / "good.pt")
    with zipfile.ZipFile(tmp_path / "good.pt") as archive:
        entry = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        data = archive.read(entry)
    # pickle's one-byte 4 (count and size of the tensor) becomes 2**28
    changed = data.replace(b"K\x04", b"J" + struct.pack("<i", 2**28))
    replace_entries(tmp_path / "good.pt", tmp_path / "c.pt", {"data.pkl": changed})
    assert "cut short" in str(refuse(tmp_path / "c.pt"))


def test_zip_bomb(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "c.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("c/data.pkl", pickle.dumps({}, 2))
        archive.writestr("c/data/0", bytes(2**26))
    assert "unpack" in str(refuse(tmp_path / "c.pt"))


def test_two_entries_of_one_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "c.pt", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("c/data.pkl", pickle.dumps({}, 2))
        archive.writestr("c/data.pkl", pickle.dumps({"a": 1}, 2))
    assert "two entries" in str(refuse(tmp_path / "c.pt"))


def wide(depth: int) -> bytes:
    """Return a pickle of modules, each holding the one before twice: 2**depth paths through few objects."""
    head = b"\x80\x02c__torch__\nM\n)\x81q\x00"
    for level in range(depth):
        index = bytes([level])
        head += b"c__torch__\nM\n)\x81}(U\x01ah" + index + b"U\x01bh" + index + b"ubq" + bytes([level + 1])
    return head + b"."


def test_endless_modules(archives: dict[str, Path], tmp_path: Path) -> None:
    replace_entries(archives["script.pt"], tmp_path / "c.pt", {"data.pkl": wide(60)})
    assert "without end" in str(refuse(tmp_path / "c.pt"))


def test_memo_index_takes_no_memory(archives: dict[str, Path], tmp_path: Path) -> None:
    # LONG_BINPUT with the largest index: a reader with an array for its memo would need 64 GB.
    data = b"\x80\x02c__torch__\nM\n)\x81r\xff\xff\xff\x7f."
    replace_entries(archives["script.pt"], tmp_path / "c.pt", {"data.pkl": data})
    assert "no tensors" in str(refuse(tmp_path / "c.pt"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "web page.*download went wrong"),
        (b'{"message": "Not Found"}', "text.*download went wrong"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "PNG image"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "HDF5"),
        (
            b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\x91\x02" + bytes(40),
            "is an ONNX model, .* give it as MODEL",
        ),
        (b"\x08\x09:\x91\x02\n\x0f" + bytes(40), "is an ONNX model"),
        (b"\x1f\x8b" + bytes(40), "unpack it first"),
        (bytes(range(255, 0, -1)) * 8, "no known format"),
        (bytes(1000), "no known format"),
        (b"\x80\x02" + bytes(range(256)), "damaged"),
        (b"PK\x03\x04" + bytes(500), "cut short"),
        ((100).to_bytes(8, "little") + b"{" + bytes(200), "damaged"),
        ((2**60).to_bytes(8, "little") + b"{}", "no known format"),
    ],
)
@pytest.mark.parametrize("trust", [False, True])
def test_other_files(content: bytes, message: str, trust: bool, tmp_path: Path) -> None:
    (tmp_path / "c.pth").write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        read_checkpoint(tmp_path / "c.pth", trust=trust)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("member", "message"), [("a.npy", "NumPy archive"), ("a.txt", "ZIP archive")])
def test_other_archives(member: str, message: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "c.pt", "w") as archive:
        archive.writestr(member, b"x")
    assert message in str(refuse(tmp_path / "c.pt"))


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    (tmp_path / "resnet.pth").write_bytes(b"x")
    assert "the closest: resnet.pth" in str(refuse(tmp_path / "resnte.pth"))
    assert "no folder" in str(refuse(tmp_path / "nowhere" / "c.pth"))
    assert "is a folder" in str(refuse(tmp_path))
    assert "no ordinary file" in str(refuse(Path("/dev/null")))


def test_class_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone.py").write_text("from torch import nn\nclass Net(nn.Linear): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    torch.save(importlib.import_module("gone").Net(1, 1), tmp_path / "c.pt")
    monkeypatch.delitem(sys.modules, "gone")
    (tmp_path / "gone.py").unlink()
    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    importlib.invalidate_caches()
    assert "PYTHONPATH" in str(refuse(tmp_path / "c.pt", trust=True))


def test_class_of_the_script_that_saved_it(tmp_path: Path) -> None:
    script = "import torch\nclass Net(torch.nn.Linear): pass\ntorch.save(Net(1, 1), 'c.pt')\n"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    told = str(refuse(tmp_path / "c.pt", trust=True))
    assert "PYTHONPATH" not in told
    assert "FILE.py:CLASS with --weights FILE" in told
