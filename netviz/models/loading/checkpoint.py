"""Read a checkpoint of any format; nothing in it is run unless it is trusted."""

import contextlib
import json
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from netviz.errors import ModelError
from netviz.models.loading.archive import (
    check_storages,
    open_archive,
    program_weights,
    saved_weights,
    torchscript_weights,
)
from netviz.models.loading.inert import InertUnpickler, package, settings, unfilled, untrusted, whole_state
from netviz.models.loading.parts import find_part
from netviz.models.loading.plain import dequantized
from netviz.models.loading.sniff import FORMATS, guess, read_head, remedy
from netviz.models.torchvision_import import import_torchvision

# Where training scripts keep the network in their checkpoints; the averaged weights come last.
_WRAPPERS = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params",
    "ema_state_dict", "state_dict_ema", "model_ema", "ema", "params_ema",
)  # fmt: skip

_PACKED = {torch.quint4x2: 2, torch.quint2x4: 4}
"""Types of which several values share a byte."""

_EXPECTED = "expected a state dict (names to tensors), or one under 'state_dict' or 'model'"


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes
    ----------
    format : str
        ``state dict``, ``safetensors``, ``TorchScript``, ``exported program`` or ``pickled module``.
    state : dict of str to Tensor
        Parameters and buffers by dotted name, plain tensors on the CPU, without ``module.``, ``_orig_mod.``.
    module : nn.Module or None
        The network itself, where the file holds one and is trusted.
    quantized : bool
        Whether the file holds quantized tensors; in `state` are the values that they stand for.
    beside : dict
        Texts and numbers, lists and dicts of them, that lie beside the weights: names of classes, settings.
    part : str
        The name in the file under which the network lies, where there are several; else "".
    parts : tuple of str
        The names of the others.
    """

    format: str
    state: dict[str, torch.Tensor]
    module: nn.Module | None = None
    quantized: bool = False
    beside: dict[str, Any] = field(default_factory=dict)
    part: str = ""
    parts: tuple[str, ...] = ()


def read_checkpoint(path: Path, *, trust: bool = False, prefix: str = "") -> Checkpoint:
    """Read a checkpoint; its content, not its suffix, says what it is.

    Parameters
    ----------
    path : Path
        A state dict (``torch.save`` of any age, or safetensors), also inside a training script's dict;
        a TorchScript archive; an exported program; or a pickled module.
    trust : bool
        Whether code that is stored in the file may run. Without it a TorchScript archive and an exported
        program give only their weights.
    prefix : str
        Which part of the file is read: that whose names begin so, or that lies in a dict of this name. One word of
        the name is enough: ``ema`` for ``model_ema``.

    Returns
    -------
    Checkpoint

    Raises
    ------
    UntrustedError
        If opening the file needs ``trust``.
    ModelError
        If the file cannot be read, or holds no network or no such part.
    """
    name = str(path)
    head, size = read_head(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            checkpoint = _read(path, name, head, size, trust, prefix)
            _check(checkpoint.state, name)
            if any(tensor.is_quantized for tensor in checkpoint.state.values()):
                return replace(checkpoint, state=dequantized(checkpoint.state), quantized=True)
            return checkpoint
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(f"cannot read {name}: {error.strerror or error}") from error
    except Exception as error:  # a damaged or hostile file can raise anything
        raise ModelError(
            f"{name} is damaged or no checkpoint ({type(error).__name__}): get the file again, "
            f"or give one saved as {FORMATS}"
        ) from error


def _read(path: Path, name: str, head: bytes, size: int, trust: bool, prefix: str) -> Checkpoint:
    if head.startswith(b"PK\x03\x04"):
        return _read_zip(path, name, size, trust, prefix)
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and length <= size - 8:
        from safetensors.torch import load_file

        found = _weights("safetensors", load_file(path, device="cpu"), name, prefix)
        return replace(found, beside=_metadata(path))
    if head[257:262] == b"ustar" and not trust:
        raise untrusted(name, "the oldest, tar-based format of PyTorch, which is code")
    if head.startswith(b"\x80") or head[257:262] == b"ustar":
        return _read_pickle(path, name, trust, prefix)
    raise ModelError(f"{name} is {guess(head)}, no checkpoint: {remedy(head)}")


def _metadata(path: Path) -> dict[str, Any]:
    """Return what a safetensors file says of itself; its values are texts, which may be JSON."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        said = file.metadata() or {}
    return settings({key: _parsed(text) for key, text in said.items()})


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _weights(kind: str, state: dict[str, torch.Tensor], name: str, prefix: str) -> Checkpoint:
    found = find_part(state, prefix, name) if prefix else state
    return _module(found, kind, name) if isinstance(found, nn.Module) else Checkpoint(kind, _strip(found))


def _read_zip(path: Path, name: str, size: int, trust: bool, prefix: str) -> Checkpoint:
    with path.open("rb") as stream:
        try:
            archive = open_archive(stream, size, name)
        except zipfile.BadZipFile:
            raise ModelError(f"{name} is cut short or damaged: get the file again from its source") from None
        with archive:
            return _read_archive(archive, path, name, trust, prefix)


def _read_archive(archive: zipfile.ZipFile, path: Path, name: str, trust: bool, prefix: str) -> Checkpoint:
    names = archive.namelist()
    inside = {entry.partition("/")[2] for entry in names}
    if "archive_format" in inside or "serialized_exported_program.json" in names:
        if trust:
            _refuse_prefix(prefix, name)
            return _module(_load_program(path, name), "exported program", name)
        return _weights("exported program", program_weights(archive, name), name, prefix)
    if "constants.pkl" in inside:
        if trust:
            _refuse_prefix(prefix, name)
            with path.open("rb") as stream:
                script: nn.Module = torch.jit.load(stream, map_location="cpu")  # type: ignore[no-untyped-call]
            return _module(script, "TorchScript", name)
        return _weights("TorchScript", torchscript_weights(archive, name), name, prefix)
    if "data.pkl" not in inside:
        kind = "a NumPy archive" if any(entry.endswith(".npy") for entry in names) else "a ZIP archive"
        raise ModelError(f"{name} is {kind} without a PyTorch checkpoint inside: give {FORMATS}")
    if not trust:  # code that may run could read past any record itself
        check_storages(archive, name)
    return _read_pickle(path, name, trust, prefix, archive)


def _refuse_prefix(prefix: str, name: str) -> None:
    if prefix:
        raise ModelError(
            f"{name} runs as a whole by the code in it, of which --prefix {prefix} chooses no part: leave it out, "
            "or leave out --trust, to read that part's weights alone"
        )


def _load_program(path: Path, name: str) -> nn.Module:
    with path.open("rb") as stream:
        program = torch.export.load(stream)
    try:
        return torch.export.unflatten(program)
    except Exception as error:
        raise ModelError(
            f"{name}: torch cannot turn this exported program back into modules: {error}"
        ) from error


def _read_pickle(
    path: Path, name: str, trust: bool, prefix: str, archive: zipfile.ZipFile | None = None
) -> Checkpoint:
    beside: dict[str, Any] | None = None
    try:
        loaded = _torch_load(path, weights_only=True)
    except pickle.UnpicklingError:
        if trust:
            loaded = _load_trusted(path, name)
        elif archive is not None:  # torch refuses a whole checkpoint for one harmless setting in it
            loaded, beside = saved_weights(archive, name)
        else:
            _check_globals(path, name)
            raise
    network = _unwrap(find_part(loaded, prefix, name) if prefix else loaded)
    if network is None:
        raise ModelError(f"{name} holds {_describe(loaded)}: {_EXPECTED}")
    if isinstance(network, nn.Module):
        checkpoint = _module(network, "pickled module", name)
    else:
        checkpoint = Checkpoint("state dict", _strip(network))
    kept = [] if prefix else _wrapped(loaded)
    return replace(
        checkpoint,
        part=kept[0] if len(kept) > 1 else "",
        parts=tuple(kept[1:]),
        beside=settings(loaded) if beside is None else beside,
    )


def _torch_load(path: Path, *, weights_only: bool) -> Any:
    # Given a path, torch would go by the suffix.
    with path.open("rb") as stream:
        return torch.load(stream, map_location="cpu", weights_only=weights_only)


def _check_globals(path: Path, name: str) -> None:
    """Raise UntrustedError for the first thing that a pickle outside of any archive would run."""
    with path.open("rb") as stream:
        for _ in range(4):  # torch's three lines of identification, then the object
            InertUnpickler(stream, name, lambda _: False).load()


def _load_trusted(path: Path, name: str) -> Any:
    # Most pickled networks are torchvision's, whose import may need help.
    with contextlib.suppress(ModelError):
        import_torchvision()
    try:
        return _torch_load(path, weights_only=False)
    except (AttributeError, ImportError) as error:
        if "__main__" in str(error):
            raise ModelError(
                f"{name} holds a network whose class only the script knew that saved it ({error}): "
                "save the network's state_dict() instead, put its class into a file of its own, "
                "and give FILE.py:CLASS with --weights FILE"
            ) from error
        needed = package(getattr(error, "name", None) or "")
        remedy = (
            f"run pip install {needed}"
            if needed
            else "put its folder on PYTHONPATH (PYTHONPATH=. for this one)"
        )
        raise ModelError(
            f"{name} holds a network whose class cannot be imported ({error}): "
            f"{remedy}, or save the network's state_dict() instead"
        ) from error


def _module(module: nn.Module, kind: str, name: str) -> Checkpoint:
    state = whole_state(module, name)
    return Checkpoint(kind, {key: value.detach() for key, value in state.items()}, module)


def _unwrap(value: Any, depth: int = 0) -> nn.Module | dict[str, torch.Tensor] | None:
    """Find the network in what a training script saved; None if there is none, or more than one."""
    if isinstance(value, nn.Module):
        return value
    if not isinstance(value, Mapping) or depth > 4:
        return None
    for key in _WRAPPERS:
        if isinstance(value.get(key), Mapping | nn.Module):
            inner = _unwrap(value[key], depth + 1)
            if inner is not None:
                return inner
    state = {k: v.detach() for k, v in value.items() if isinstance(k, str) and isinstance(v, torch.Tensor)}
    if state:
        return state
    inside = [_unwrap(v, depth + 1) for k, v in value.items() if isinstance(k, str) and not _is_training(k)]
    found = [network for network in inside if network is not None]
    return found[0] if len(found) == 1 else None


def _wrapped(value: Any) -> list[str]:
    """Return under which names a training script saved networks, the one that is taken first."""
    if not isinstance(value, Mapping):
        return []
    kept = [key for key in _WRAPPERS if isinstance(value.get(key), Mapping | nn.Module)]
    return [key for key in kept if _unwrap(value[key]) is not None]


def _is_training(key: str) -> bool:
    return any(word in key.lower() for word in ("optim", "sched", "scaler", "rng", "random"))


def _strip(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Drop what DataParallel and torch.compile put before names."""
    # torch.compile may have been called on any of the network's modules.
    state = {
        ".".join(part for part in key.split(".") if part != "_orig_mod"): value
        for key, value in state.items()
    }
    if "n_averaged" in state and any(key.startswith("module.") for key in state):
        state = {key: value for key, value in state.items() if key != "n_averaged"}
    prefix = "module."
    for _ in range(2):
        if state and all(key.startswith(prefix) and key != prefix for key in state):
            state = {key[len(prefix) :]: value for key, value in state.items()}
    return state


def _check(state: Mapping[str, torch.Tensor], name: str) -> None:
    if not state:
        raise ModelError(f"{name} holds no tensors: {_EXPECTED}")
    for key, tensor in state.items():
        if tensor.is_meta:
            raise ModelError(f"{name} holds no values for {key!r} (meta device): save it from a real device")
        if is_lazy(tensor):
            raise unfilled(name)
        if tensor.is_nested:
            raise ModelError(f"{name} keeps {key!r} as a nested tensor: save its parts, with unbind()")
        if tensor.layout is not torch.strided:
            raise ModelError(f"{name} keeps {key!r} as {tensor.layout}: save it dense, with to_dense()")
        stored = tensor.untyped_storage().nbytes() * _PACKED.get(tensor.dtype, 1)
        if tensor.numel() * tensor.element_size() > stored:
            raise ModelError(
                f"{name} repeats {key!r} to {tuple(tensor.shape)} from fewer values than that: "
                "save it with .contiguous(), or get the file again"
            )


def _describe(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"one tensor of shape {tuple(value.shape)}"
    if isinstance(value, Mapping):
        keys = sorted(str(key) for key in value)
        if not keys:
            return "no tensors"
        return (
            f"a dict that is not one network's (keys: {', '.join(keys[:6])}{', …' if len(keys) > 6 else ''})"
        )
    return f"an object of type {type(value).__name__}"
