"""Checkpoints that are damaged at random end in one line or in a right answer, and nothing in them runs."""

import io
import json
import pickle
import pickletools
import random
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from netviz.errors import NetvizError
from netviz.models.load import load
from netviz.questions.filters.measure import filters
from netviz.questions.opening import layers

GLOBALS = [
    b"os\nsystem\n", b"builtins\neval\n", b"torch\nload\n", b"torch._utils\n_rebuild_tensor\n", b"__torch__\nM\n",
    b"torch._utils\n_rebuild_parameter\n", b"torch.nn.parameter\nUninitializedParameter\n", b"x\x1b[31m\ny\x07\n",
    b"collections\nOrderedDict\n", b"torch\nLongStorage\n", b"torch\nQInt8Storage\n", b"torch\nDoubleStorage\n",
]  # fmt: skip
NUMBERS = [0, 1, 2, 3, 255, 2**16, 2**31 - 1, 2**31, 2**40, 2**63 - 1]
NAMES = [
    "",
    ".",
    "weight",
    "a..weight",
    "\x1b]0;x\x07",
    "../../x",
    "0.weight_orig",
    "0.weight_mask",
    "x" * 10_000,
]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Save a small network in each format, in the ways of training scripts, too."""
    folder = tmp_path_factory.mktemp("originals")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)).eval()
        state = network.state_dict()
        quantized = {**state, "0.weight": torch.quantize_per_tensor(state["0.weight"], 0.1, 0, torch.qint8)}
        torch.save(state, folder / "zip.pt")
        torch.save(state, folder / "legacy.pt", _use_new_zipfile_serialization=False)
        torch.save(
            {"model": state, "epoch": 3, "args": {"lr": 0.1}}, folder / "wrapped.pt", pickle_protocol=4
        )
        torch.save({"state_dict": nn.utils.weight_norm(network[0]).state_dict()}, folder / "norm.pt")
        nn.utils.remove_weight_norm(network[0])
        torch.save(quantized, folder / "quantized.pt")
        torch.save(network, folder / "module.pt")
        save_file(state, folder / "safe.safetensors")
        torch.jit.save(torch.jit.script(network), folder / "script.pt")
        torch.export.save(torch.export.export(network, (torch.ones(1, 3, 8, 8),)), folder / "program.pt2")
    return sorted(folder.iterdir())


def evil(target: Path) -> bytes:
    """Return opcodes that make a folder and drop what that returns."""
    path = str(target).encode()
    return b"cposix\nmkdir\nX" + struct.pack("<I", len(path)) + path + b"\x85R0"


def cut(data: bytes, rng: random.Random, target: Path) -> bytes:
    return data[: rng.randrange(len(data))]


def flip(data: bytes, rng: random.Random, target: Path) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 4, 16])):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def fill(data: bytes, rng: random.Random, target: Path) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + bytes([rng.choice([0, 255])]) * 64 + data[start + rng.choice([0, 64]) :]


def opcodes(data: bytes) -> list[int]:
    """Return where the opcodes of the pickles in some bytes begin."""
    stream, places = io.BytesIO(data), []
    try:
        while stream.tell() < len(data):
            places += [place for _, _, place in pickletools.genops(stream) if place is not None]
    except (ValueError, IndexError, UnicodeDecodeError):
        pass
    return places[1:] or [0]


def inject(data: bytes, rng: random.Random, target: Path) -> bytes:
    place = rng.choice(opcodes(data))
    return data[:place] + evil(target) + data[place:]


def drop(data: bytes, rng: random.Random, target: Path) -> bytes:
    places = opcodes(data)
    first = rng.randrange(len(places))
    last = min(first + rng.choice([1, 1, 3]), len(places) - 1)
    return data[: places[first]] + data[places[last] :]


def swap(data: bytes, rng: random.Random, target: Path) -> bytes:
    a, b, c = sorted(rng.choices(opcodes(data), k=3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def number(data: bytes, rng: random.Random, target: Path) -> bytes:
    """Put another number in place of one."""
    places = [*opcodes(data), len(data)]
    found = [at for at, place in enumerate(places[:-1]) if data[place : place + 1] in (b"K", b"M", b"J")]
    if not found:
        return flip(data, rng, target)
    at = rng.choice(found)
    value = pickle.dumps(rng.choice([*NUMBERS, -1, -(2**31), 0.5, None, "4"]), 2)[2:-1]
    return data[: places[at]] + value + data[places[at + 1] :]


def rename(data: bytes, rng: random.Random, target: Path) -> bytes:
    """Put another class or function in place of one."""
    parts = data.split(b"c")
    found = [at for at, part in enumerate(parts) if at and part.count(b"\n") >= 2]
    if not found:
        return flip(data, rng, target)
    at = rng.choice(found)
    parts[at] = rng.choice(GLOBALS) + parts[at].split(b"\n", 2)[2]
    return b"c".join(parts)


def rekey(data: bytes, rng: random.Random, target: Path) -> bytes:
    """Put another text in place of one."""
    found = [place for place in opcodes(data) if data[place : place + 1] == b"X"]
    if not found:
        return flip(data, rng, target)
    place = rng.choice(found)
    length = struct.unpack_from("<I", data, place + 1)[0]
    name = rng.choice(NAMES).encode()
    return data[:place] + b"X" + struct.pack("<I", len(name)) + name + data[place + 5 + length :]


def table(data: bytes, rng: random.Random, target: Path) -> bytes:
    """Change one value somewhere in a JSON table."""
    value = json.loads(data)
    place = value
    while True:
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.1:
            break
        place = inner
    place[key] = rng.choice([*NUMBERS, *NAMES, -1, 0.5, None, [], {}, True, [2**40, 2**40], "F8_E4M3", "I64"])
    return json.dumps(value).encode()


PICKLED = [inject, inject, drop, swap, number, number, rename, rename, rekey, flip]
ANY = [cut, flip, fill]
Change = Callable[[bytes, random.Random, Path], bytes]


def mutated(path: Path, rng: random.Random, target: Path) -> bytes:
    """Return a file's bytes with something in them changed: of the whole, or of one entry that stays readable."""
    data = path.read_bytes()
    if rng.random() < 0.15:
        return rng.choice(ANY)(data, rng, target)
    if path.suffix == ".safetensors":
        length = struct.unpack_from("<Q", data)[0]
        head = table(data[8 : 8 + length], rng, target)
        return struct.pack("<Q", rng.choice([len(head)] * 5 + NUMBERS)) + head + data[8 + length :]
    if not data.startswith(b"PK"):
        return rng.choice(PICKLED)(data, rng, target)
    written = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(written, "w") as new, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = old.namelist()
        wanted = [one for one in names if one.endswith(("data.pkl", "weights_config.json"))] * 4
        chosen = rng.choice(wanted + names)
        for name in names:
            entry = old.read(name)
            if name == chosen:
                changes: list[Change] = PICKLED if name.endswith(".pkl") else [*ANY, lambda *_: b""]
                if name.endswith("weights_config.json"):
                    changes = [table]
                entry = rng.choice(changes)(entry or b"x", rng, target)
                name = rng.choice([name] * 9 + [name + "\x1b", rng.choice(names)])
            new.writestr(name, entry)
    return written.getvalue()


def said(question: Callable[[str], object], path: Path) -> str:
    """Return what is wrong with how a question ends: nothing with an answer or an error of netviz's own."""
    try:
        question(str(path))
    except NetvizError as error:
        return "" if str(error).isprintable() else repr(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def check(originals: list[Path], seeds: range, folder: Path) -> None:
    target, wrong = folder / "created", {}
    for seed in seeds:
        rng = random.Random(seed)
        source = originals[seed % len(originals)]
        path = folder / f"c{source.suffix}"
        path.write_bytes(mutated(source, rng, target))
        for question in (load, layers, filters, lambda model: filters(model, layer="-1")):
            unexpected = said(question, path)
            if unexpected:
                wrong[seed, source.name] = unexpected
        assert not target.exists(), (seed, source.name)
    assert not wrong


def test_the_originals_are_right(originals: list[Path]) -> None:
    for path in originals:
        if path.name != "module.pt":
            assert filters(str(path)).weight.shape == (4, 3, 3, 3)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_some_damaged_files(originals: list[Path], tmp_path: Path) -> None:
    check(originals, range(45), tmp_path)


@pytest.mark.slow
def test_many_damaged_files(originals: list[Path], tmp_path: Path) -> None:
    check(originals, range(45, 1000), tmp_path)


def test_the_trap_works(tmp_path: Path) -> None:
    pickle.loads(b"\x80\x02" + evil(tmp_path / "created") + b"N.")
    assert (tmp_path / "created").exists()
