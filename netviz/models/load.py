"""load: whatever a user calls MODEL, opened safely."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, TypedDict

import torch
from torch import Tensor, nn

from netviz.errors import ModelError
from netviz.models.builders import build_timm, build_torchvision, torchvision_names
from netviz.models.described.description import Description, believed, described, typed
from netviz.models.described.inside import told_by_file, told_by_module
from netviz.models.described.sidecar import read_sidecar, sidecar, write_sidecar
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
from netviz.models.preprocessing import assumed
from netviz.models.recognition.recognise import recognise

ModelSpec: TypeAlias = str | Path | nn.Module | Model


class ModelOptions(TypedDict, total=False):
    """How a MODEL is opened: keywords of `load`, which every question that opens one takes too and hands on."""

    trust: bool
    weights: str | Path
    seed: int
    mean: float | Sequence[float] | None
    std: float | Sequence[float] | None
    input_scale: float | Sequence[float] | None
    channel_order: str | None
    labels: str | Path | Sequence[str] | Mapping[Any, Any] | None
    save_model: str | Path | None


def load(
    spec: ModelSpec,
    *,
    trust: bool = False,
    weights: str | Path = "default",
    seed: int = 0,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    input_scale: float | Sequence[float] | None = None,
    channel_order: str | None = None,
    labels: str | Path | Sequence[str] | Mapping[Any, Any] | None = None,
    save_model: str | Path | None = None,
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
    mean, std : float or sequence of float, optional
        What is subtracted from an image's values, and what they are divided by: a number for each channel, in the
        network's order, or one for all.
    input_scale : float or (float, float), optional
        What a white pixel is worth before that, 1 or 255; or what a black and a white one are worth. Given without
        `mean` and `std`, the network takes these values as they are.
    channel_order : {"rgb", "bgr"}, optional
        The order in which the network takes its channels.
    labels : str, Path, sequence or mapping, optional
        The names of its classes, in the order of its outputs, or by index; or a file of them: a line for each class,
        or JSON.
    save_model : str or Path, optional
        The file of the weights: what is given here is saved beside it, in ``WEIGHTS.netviz.json``, and read from
        then on.

    Returns
    -------
    Model
        Networks built here are in evaluation mode; one that was given is as it was. Of what is said of a network
        counts first what is given here, then what was saved beside its weights, what its file or module says
        itself, what its architecture is known for, and in the end what is assumed.

    Raises
    ------
    ModelError
        If it cannot be opened, or what is said of it does not fit; `UntrustedError` if that needs `trust`,
        `MissingWeightsError` if its weights are not on this machine.
    OutputError
        If what is said cannot be saved.
    ValueError
        If a number or an order is out of range.
    """
    said = typed(mean=mean, std=std, input_scale=input_scale, channel_order=channel_order, labels=labels)
    model = _open(spec, trust, weights, seed)
    file = None if isinstance(spec, nn.Module | Model) else _file(spec, weights)
    if save_model is not None and (file is None or sidecar(save_model) != sidecar(file)):
        where = "its weights are in no file" if file is None else f"its weights are in {file}"
        raise ModelError(
            f"{save_model} is not where the weights of this MODEL lie ({where}): what is saved is read beside them"
        )
    saved = Description() if file is None else read_sidecar(file)
    model = described(model, said.over(saved))
    if save_model is not None:
        write_sidecar(save_model, said)
    return model


def _file(spec: str | Path, weights: str | Path) -> Path | None:
    """Return the file or folder that a MODEL's weights are in; None where they have none of the user's own."""
    path = Path(spec)
    if path.is_file() or (path.is_dir() and str(spec) not in torchvision_names()):
        return path
    return None if str(weights) in ("default", "none") else Path(weights)


def _open(spec: ModelSpec, trust: bool, weights: str | Path, seed: int) -> Model:
    """Open a MODEL, with what its architecture, its file and its module say of it."""
    if isinstance(spec, Model):
        return spec
    if isinstance(spec, nn.Module):
        network = unwrap(spec)
        return _told(given(network, type(network).__name__, "given in Python"))
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
        model = _told(factory_network(text, seed))
    elif path.suffix or len(path.parts) > 1:
        return _from_file(path, trust)
    else:
        names = [*KNOWN, *torchvision_names()]
        close = difflib.get_close_matches(text, names, n=3) or ["mobilenet_v2", "resnet18"]
        raise ModelError(f"no file and no network {text!r}; the closest: {', '.join(close)}")
    if str(weights) not in ("default", "none"):
        return _filled(model, Path(weights), trust)
    return model


def _told(model: Model) -> Model:
    """Return a model whose module was made elsewhere, with what its attributes say."""
    return believed(model, told_by_module(model.runnable(), model.weights))


def _from_file(path: Path, trust: bool) -> Model:
    checkpoint = read_checkpoint(path, trust=trust)
    if checkpoint.module is not None and not isinstance(checkpoint.module, torch.jit.ScriptModule):
        model = given(unwrap(checkpoint.module).eval(), path.stem, f"{checkpoint.format} {path.name}")
        return believed(_told(model), told_by_file(checkpoint.beside, model.weights))
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
            preprocessing=assumed(3),
            origin=origin,
            obstacle=_unrecognised(path, checkpoint, found.nearest),
        )
    arguments = dict(found.arguments)
    if found.builder in NORMALIZING and "num_classes" not in arguments:
        arguments["transform_input"] = True
    network = fill(_build(found.builder, arguments), found.state, path)
    preprocessing, labels = named_facts(found.builder, arguments)
    headless = "its classifier is missing: class scores mean nothing" if found.missing else ""
    model = Model(
        name=name,
        network=network,
        weights=network.state_dict(),
        preprocessing=preprocessing,
        labels=labels,
        origin=f"{origin}, recognised as {found.builder}{f' ({headless})' if headless else ''}",
        doubts=(headless,) if headless else (),
    )
    return believed(model, told_by_file(checkpoint.beside, model.weights))


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
    model = replace(model, weights=network.state_dict(), origin=f"{model.name} with {path.name}", doubts=())
    return believed(model, told_by_file(checkpoint.beside, model.weights))


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
