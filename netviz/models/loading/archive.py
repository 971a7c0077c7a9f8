"""The weights of ZIP-shaped model files, read without running anything that is stored in them.

A TorchScript archive and an exported program are code. Their weights are not: in a TorchScript archive they
are records that ``data.pkl`` points to, in an exported program raw files with a JSON table.
"""

import io
import json
import zipfile
from collections.abc import Callable
from typing import IO, Any

import torch

from netviz.errors import ModelError, UntrustedError
from netviz.models.loading.inert import InertUnpickler, Storage, View, make_tensor, settings, views

_LARGEST_PICKLE = 64 * 2**20  # bytes; a ResNet-152's data.pkl has 0.2 MB

_LARGEST_RATIO = 20  # weights hardly compress; a bomb does by a thousand

_SMALL = 2**20  # bytes that any archive may unpack to

# The codes of torch._export.serde.schema.ScalarType, a format that is fixed across versions.
_SCALAR_TYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
    9: "complex32", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16",
    29: "float8_e4m3fn", 30: "float8_e5m2", 31: "float8_e4m3fnuz", 32: "float8_e5m2fnuz",
    33: "float8_e8m0fnu", 34: "uint32", 35: "uint64",
}  # fmt: skip

_PACKED = ("__torch__.torch.classes.quantized.", "torch._utils._rebuild_qtensor")

_SCRIPT_NAMES = {"torch.per_tensor_affine", "torch.per_channel_affine", "torch.device", "builtins.complex"}

# What training scripts store beside the weights; as stand-ins these are dropped unread.
_BESIDE_WEIGHTS = {
    "argparse.Namespace", "types.SimpleNamespace", "builtins.set", "builtins.list", "collections.defaultdict",
    "collections.Counter", "numpy.dtype", "numpy.ndarray", "torch.Size", "torch.device",
    "copyreg._reconstructor", "builtins.object", "_codecs.encode",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    *(f"pathlib.{name}" for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath")),
}  # fmt: skip


def open_archive(stream: IO[bytes], size: int, name: str) -> zipfile.ZipFile:
    """Open a ZIP file whose entries together are not much larger than the file.

    Parameters
    ----------
    stream : binary file
        The archive.
    size : int
        Its length in bytes.
    name : str
        What messages call it.

    Raises
    ------
    ModelError
        If it would unpack to more than 20 times its size, or repeats a name.
    zipfile.BadZipFile
        If it is damaged.
    """
    archive = zipfile.ZipFile(stream)
    entries = archive.infolist()
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > max(_LARGEST_RATIO * size, _SMALL):
        raise ModelError(
            f"{name} has {size} bytes and would unpack to {unpacked}: "
            "no checkpoint compresses like that; get the file again from its source"
        )
    if len({entry.filename for entry in entries}) != len(entries):
        # Two readers may see two different files in such an archive.
        raise ModelError(f"{name} holds two entries of one name: it is damaged; get the file again")
    return archive


def check_storages(archive: zipfile.ZipFile, name: str) -> None:
    """Refuse a checkpoint whose pickle claims more values than its records hold.

    Some versions of torch take the pickle's word for it and read past the end of the record.

    Raises
    ------
    ModelError
        If a record is missing or smaller than the pickle says.
    """
    for storage in _unpickle(archive, name, lambda _: True)[1]:
        entry = archive.NameToInfo.get(f"{_root(archive)}data/{storage.key}")
        if entry is None or entry.file_size < storage.count * storage.dtype.itemsize:
            raise ModelError(f"{name} is damaged: record {storage.key} is missing or cut short; get it again")


def saved_weights(archive: zipfile.ZipFile, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the tensors of a ``torch.save`` file, and the plain settings that lie beside them.

    Returns
    -------
    weights : dict
        The dicts of the file, nested as there, with nothing but tensors in them.
    beside : dict
        Its texts and numbers, as `settings` returns them.

    Raises
    ------
    UntrustedError
        If its pickle names anything but tensors and common kinds of settings.
    ModelError
        If it is damaged.
    """
    tree: dict[str, Any] = {}
    root, found = _read(archive, name, _BESIDE_WEIGHTS.__contains__)
    for path, tensor in found:
        place = tree
        for key in path[:-1]:
            place = place.setdefault(key, {})
        if path:
            place[path[-1]] = tensor
    return tree, settings(root)


def torchscript_weights(archive: zipfile.ZipFile, name: str) -> dict[str, torch.Tensor]:
    """Read the parameters and buffers of a TorchScript archive, and nothing else of it.

    Parameters
    ----------
    archive : ZipFile
        The archive; its code is not looked at.
    name : str
        What messages call it.

    Returns
    -------
    dict of str to Tensor
        By dotted name, in the order of the file. Buffers that ``state_dict`` leaves out are among them,
        since the file does not tell them apart.

    Raises
    ------
    UntrustedError
        If its pickle names anything but classes of the archive, or its weights are packed.
    ModelError
        If it is damaged.
    """
    packed: list[str] = []

    def allowed(full: str) -> bool:
        packed.extend([full] if full.startswith(_PACKED) else [])
        return _is_script(full)

    state = {".".join(path): tensor for path, tensor in _read(archive, name, allowed)[1]}
    if packed and not any(tensor.ndim in (2, 4) for tensor in state.values()):
        raise UntrustedError(
            f"{name} holds a quantized network, whose weights its code has packed; if you know where it comes from, "
            "unpack them with --trust (trust=True in Python), or save the network's state_dict() instead"
        )
    return state


def program_weights(archive: zipfile.ZipFile, name: str) -> dict[str, torch.Tensor]:
    """Read the parameters and buffers of an exported program, and nothing else of it.

    Parameters
    ----------
    archive : ZipFile
        The archive; its graph is not looked at.
    name : str
        What messages call it.

    Returns
    -------
    dict of str to Tensor
        By dotted name, in the order of the file's table.

    Raises
    ------
    ModelError
        If the table or a record is damaged.
    pickle.UnpicklingError
        If a weight is pickled and not only a tensor.
    """
    if "serialized_state_dict.pt" in archive.NameToInfo:
        # torch before 2.8 kept the weights as one torch.save file.
        loaded = _plain(archive.read("serialized_state_dict.pt"))
        return {path: value.detach() for path, value in loaded.items() if isinstance(value, torch.Tensor)}
    _check_order(archive, name)
    folder = f"{_root(archive)}data/weights/"
    table = next(n for n in archive.namelist() if n.startswith(folder) and n.endswith("_weights_config.json"))
    state: dict[str, torch.Tensor] = {}
    for path, entry in json.loads(archive.read(table))["config"].items():
        data = bytearray(archive.read(folder + entry["path_name"]))
        if entry["use_pickle"]:
            state[path] = _plain(bytes(data)).detach()
            continue
        meta = entry["tensor_meta"]
        size, stride = (tuple(int(item["as_int"]) for item in meta[key]) for key in ("sizes", "strides"))
        dtype = getattr(torch, _SCALAR_TYPES[meta["dtype"]])
        # A weight has a file of its own from its first value on, whatever its offset was in memory.
        view = View(Storage(entry["path_name"], dtype, 0), 0, size, stride)
        state[path] = make_tensor(data, dtype, view, name)
    return state


def _read(
    archive: zipfile.ZipFile, name: str, allowed: Callable[[str], bool]
) -> tuple[Any, list[tuple[tuple[str, ...], torch.Tensor]]]:
    """Return the tree of stand-ins of an archive's pickle, and its tensors by their paths in it."""
    _check_order(archive, name)
    records: dict[str, bytearray] = {}
    found = []
    root = _unpickle(archive, name, allowed)[0]
    for path, view in views(root, name):
        key = view.storage.key
        if key not in records:
            records[key] = bytearray(archive.read(f"{_root(archive)}data/{key}"))
        found.append((path, make_tensor(records[key], view.storage.dtype, view, name)))
    return root, found


def _unpickle(
    archive: zipfile.ZipFile, name: str, allowed: Callable[[str], bool]
) -> tuple[Any, list[Storage]]:
    entry = _root(archive) + "data.pkl"
    if archive.getinfo(entry).file_size > _LARGEST_PICKLE:
        raise ModelError(f"{name} has more than {_LARGEST_PICKLE} bytes beside its tensors: not a checkpoint")
    reader = InertUnpickler(io.BytesIO(archive.read(entry)), name, allowed)
    return reader.load(), reader.storages


def _is_script(name: str) -> bool:
    return name.startswith(("__torch__.", "torch._utils.")) or name in _SCRIPT_NAMES


def _plain(data: bytes) -> Any:
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _root(archive: zipfile.ZipFile) -> str:
    """Return the folder that all of torch's entries lie in, with its slash."""
    return archive.namelist()[0].partition("/")[0] + "/"


def _check_order(archive: zipfile.ZipFile, name: str) -> None:
    entry = _root(archive) + "byteorder"
    if entry in archive.NameToInfo and archive.read(entry).strip() != b"little":
        raise ModelError(f"{name} was written on a big-endian machine: save it again on a little-endian one")
