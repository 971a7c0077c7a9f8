"""load: whatever a user calls MODEL, opened safely."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, TypedDict

import torch
from torch import Tensor, nn

from netviz.errors import ModelError
from netviz.models.builders import build_timm, build_torchvision, torchvision_names
from netviz.models.known.networks import KNOWN
from netviz.models.known.skips.file import open_skips
from netviz.models.loading.checkpoint import Checkpoint, read_checkpoint
from netviz.models.loading.plain import computed
from netviz.models.model import Model, fill, given, unwrap
from netviz.models.named import (
    NORMALIZING,
    factory_network,
    known_network,
    named_facts,
    timm_network,
    torchvision_network,
)
from netviz.models.preprocessing import Preprocessing
from netviz.models.recognition.recognise import recognise

ModelSpec: TypeAlias = str | Path | nn.Module | Model


class ModelOptions(TypedDict, total=False):
    """How a MODEL is opened: keywords of `load`, which every question that opens one takes too and hands on."""

    trust: bool
    weights: str | Path
    seed: int


def load(
    spec: ModelSpec,
    *,
    trust: bool = False,
    weights: str | Path = "default",
    seed: int = 0,
) -> Model:
    """Open a MODEL.

    Parameters
    ----------
    spec : str, Path, nn.Module or Model
        A checkpoint file; a known network (``mobilenet_v2``, ``hed``, ``pnet``, ``fcn_camvid``); a torchvision
        builder; ``timm:NAME``; ``module.path:factory`` in Python; or a network that is already there.
    trust : bool
        Whether code stored in the file may run (pickled modules, TorchScript, exported programs).
    weights : str or Path
        ``"default"``, ``"none"`` (untrained), or a checkpoint file for a network that is named.
    seed : int
        Makes untrained weights repeatable.

    Returns
    -------
    Model
        Networks built here are in evaluation mode; one that was given is as it was.

    Raises
    ------
    ModelError
        If it cannot be opened; `UntrustedError` if that needs `trust`, `MissingWeightsError` if its weights are
        not on this machine.
    """
    if isinstance(spec, Model):
        return spec
    if isinstance(spec, nn.Module):
        network = unwrap(spec)
        return given(network, type(network).__name__, "given in Python")
    text = str(spec)
    path = Path(spec)
    if path.is_file() or (path.is_dir() and text not in torchvision_names()):
        return _from_file(path, trust)
    if text in KNOWN:
        model = known_network(text, weights, seed)
    elif text in torchvision_names():
        model = torchvision_network(text, weights, seed)
    elif text.startswith("timm:"):
        model = timm_network(text.removeprefix("timm:"), weights, seed)
    elif re.fullmatch(r"[\w.]+:\w+", text):
        model = factory_network(text, seed)
    elif path.suffix or len(path.parts) > 1:
        return _from_file(path, trust)
    else:
        names = [*KNOWN, *torchvision_names()]
        close = difflib.get_close_matches(text, names, n=3) or ["mobilenet_v2", "resnet18"]
        raise ModelError(f"no file and no network {text!r}; the closest: {', '.join(close)}")
    if str(weights) not in ("default", "none"):
        return _filled(model, Path(weights), trust)
    return model


def _from_file(path: Path, trust: bool) -> Model:
    checkpoint = read_checkpoint(path, trust=trust)
    if checkpoint.module is not None and not isinstance(checkpoint.module, torch.jit.ScriptModule):
        return given(unwrap(checkpoint.module).eval(), path.stem, f"{checkpoint.format} {path.name}")
    skips = open_skips(path, checkpoint.state) if checkpoint.format == "safetensors" else None
    if skips is not None:
        return skips
    state = computed(checkpoint.state)
    name, origin = path.stem, f"{checkpoint.format} {path.name}"
    if checkpoint.quantized:
        name += " (dequantized)"
    if state.keys() != checkpoint.state.keys():
        origin += ", weights computed from their reparametrization"
    found = recognise(state)
    if found.builder is None:
        return Model(
            name=name,
            network=None,
            weights=state,
            preprocessing=Preprocessing(assumed=True),
            origin=origin,
            obstacle=_unrecognised(path, checkpoint, found.nearest),
        )
    arguments = dict(found.arguments)
    if found.builder in NORMALIZING and "num_classes" not in arguments:
        arguments["transform_input"] = True
    network = fill(_build(found.builder, arguments), found.state, path)
    preprocessing, labels = named_facts(found.builder, arguments.get("num_classes"))
    headless = " (its classifier is missing: class scores mean nothing)" if found.missing else ""
    return Model(
        name=name,
        network=network,
        weights=network.state_dict(),
        preprocessing=preprocessing,
        labels=labels,
        origin=f"{origin}, recognised as {found.builder}{headless}",
    )


def _unrecognised(path: Path, checkpoint: Checkpoint, nearest: tuple[str, ...]) -> str:
    near = f" (nearest: {', '.join(nearest)})" if nearest else ""
    remedy = "give the network as module.path:factory with --weights FILE"
    if checkpoint.format == "exported program":
        remedy += ", or --trust to run the code that the file holds, if you trust its source"
    if checkpoint.format == "TorchScript":
        remedy += " (TorchScript runs where its layers cannot be watched)"
    return (
        f"only the weights of {path} can be read (filters work, maps do not): "
        f"its architecture is not one that netviz knows{near}; {remedy}"
    )


def _filled(model: Model, path: Path, trust: bool) -> Model:
    """Load a checkpoint file into a network that was named."""
    checkpoint = read_checkpoint(path, trust=trust)
    network = model.runnable()
    wanted = network.state_dict()
    # The network itself may be reparametrized.
    state = checkpoint.state if wanted.keys() <= checkpoint.state.keys() else computed(checkpoint.state)
    network = fill(network, _without_prefix(state, wanted), path)
    return replace(model, weights=network.state_dict(), origin=f"{model.name} with {path.name}")


def _without_prefix(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return the part of a state that bears a network's own names below a common prefix; else the state."""
    first = next(iter(wanted), "")
    for key in state:
        prefix = key.removesuffix(first)
        if prefix != key and all(prefix + name in state for name in wanted):
            return {name: state[prefix + name] for name in wanted}
    return state


def _build(builder: str, arguments: Mapping[str, Any]) -> nn.Module:
    if builder.startswith("timm:"):
        return build_timm(builder.removeprefix("timm:"), **arguments).eval()
    return build_torchvision(builder, init=False, **arguments).eval()
