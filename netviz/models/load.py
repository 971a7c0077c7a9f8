"""load: whatever a user calls MODEL, opened safely."""

import difflib
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, TypedDict

import torch
from torch import Tensor, nn

from netviz.errors import ModelError, NetvizWarning
from netviz.models.builders import torchvision_names
from netviz.models.described.description import Description, believed, described, typed
from netviz.models.described.inside import told_by_file, told_by_module
from netviz.models.described.sidecar import read_sidecar, sidecar, write_sidecar
from netviz.models.foreign.huggingface import open_hub, open_pretrained
from netviz.models.foreign.onnx import open_onnx
from netviz.models.foreign.smp import open_folder
from netviz.models.known.networks import KNOWN
from netviz.models.known.skips.file import open_skips
from netviz.models.loading.checkpoint import Checkpoint, read_checkpoint
from netviz.models.loading.plain import computed
from netviz.models.loading.script import as_modules
from netviz.models.loading.sniff import is_onnx, read_head
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
from netviz.models.recognition.recognise import Recognition, names_builder, recognise, recognise_as
from netviz.models.recognition.signatures import build

_FACTORY = re.compile(r"[\w.]+:\w+|.+\.py:\w+")

ModelSpec: TypeAlias = str | Path | nn.Module | Model


class ModelOptions(TypedDict, total=False):
    """How a MODEL is opened: keywords of `load`, which every question that opens one takes too and hands on."""

    trust: bool
    weights: str | Path
    seed: int
    prefix: str
    mean: float | Sequence[float] | None
    std: float | Sequence[float] | None
    input_scale: float | Sequence[float] | None
    channel_order: str | None
    labels: str | Path | Sequence[str] | Mapping[Any, Any] | None
    bands: int | Sequence[int] | None
    save_model: str | Path | None


def load(
    spec: ModelSpec,
    *,
    trust: bool = False,
    weights: str | Path = "default",
    seed: int = 0,
    prefix: str = "",
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    input_scale: float | Sequence[float] | None = None,
    channel_order: str | None = None,
    labels: str | Path | Sequence[str] | Mapping[Any, Any] | None = None,
    bands: int | Sequence[int] | None = None,
    save_model: str | Path | None = None,
) -> Model:
    """Open a MODEL.

    Parameters
    ----------
    spec : str, Path, nn.Module or Model
        A checkpoint or ONNX file; a folder with ``config.json`` and weights, of transformers, timm or
        segmentation_models_pytorch; a known network (``mobilenet_v2``, ``hed``, ``pnet``, ``fcn_camvid``); a
        torchvision builder; ``timm:NAME``; ``hf:OWNER/NAME`` of the Hugging Face hub; ``module.path:factory`` or
        ``folder/file.py:factory`` in Python; or a network that is already there.
    trust : bool
        Whether code stored in the file or folder may run (pickled modules, TorchScript, exported programs,
        Python beside ``config.json``).
    weights : str or Path
        ``"default"``, ``"none"`` (untrained), or a checkpoint file for a network that is named.
    seed : int
        Makes untrained weights repeatable.
    prefix : str
        Which part of a checkpoint file is the network, by the beginning of its names: ``ema.`` for the averaged copy
        of a training. By default the part that training goes on with.
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
    bands : int or (int, int, int), optional
        Which of a network's bands is shown, or which three as red, green and blue, counted from 1; without it those
        of an image that vary most.
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
    said = typed(
        mean=mean, std=std, input_scale=input_scale, channel_order=channel_order, labels=labels, bands=bands
    )
    model = _open(spec, trust, weights, seed, prefix)
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


def _open(spec: ModelSpec, trust: bool, weights: str | Path, seed: int, prefix: str) -> Model:
    """Open a MODEL, with what its architecture, its file and its module say of it."""
    if isinstance(spec, Model):
        _refuse_prefix(prefix, f"{spec.name} is open already")
        return spec
    if isinstance(spec, nn.Module):
        network = unwrap(spec)
        _refuse_prefix(prefix, f"{type(network).__name__} is given in Python")
        return _told(given(network, type(network).__name__, "given in Python"))
    text = str(spec)
    path = Path(spec)
    if path.is_file() or (path.is_dir() and text not in torchvision_names()):
        pretrained = open_pretrained(path, trust=trust) if path.is_dir() else None
        saved = open_folder(path) if path.is_dir() and pretrained is None else None
        if pretrained or saved:
            _refuse_prefix(prefix, f"{path} is a folder of one network")
        return pretrained or (_from_file(path, trust, prefix) if saved is None else _told(saved))
    filled = str(weights) not in ("default", "none")
    if filled and (text in torchvision_names() or text.startswith("timm:")):
        return _named_with_file(text, Path(weights), trust, prefix)
    named = text in KNOWN or text in torchvision_names() or text.startswith(("timm:", "hf:"))
    if not filled and (named or _FACTORY.fullmatch(text)):
        _refuse_prefix(prefix, f"{text} is read from no such file (--weights FILE names one)")
    if text in KNOWN:
        model = known_network(text, weights, seed)
    elif text in torchvision_names():
        model = torchvision_network(text, weights, seed)
    elif text.startswith("timm:"):
        model = timm_network(text.removeprefix("timm:"), weights, seed)
    elif text.startswith("hf:"):
        model = open_hub(text.removeprefix("hf:"), trust=trust, weights=weights, seed=seed)
    elif _FACTORY.fullmatch(text):
        model = _told(factory_network(text, seed))
    elif path.suffix or len(path.parts) > 1:
        return _from_file(path, trust, prefix)
    else:
        names = [*KNOWN, *torchvision_names()]
        close = difflib.get_close_matches(text, names, n=3) or ["mobilenet_v2", "resnet18"]
        raise ModelError(f"no file and no network {text!r}; the closest: {', '.join(close)}")
    return _filled(model, Path(weights), trust, prefix) if filled else model


def _refuse_prefix(prefix: str, what: str) -> None:
    if prefix:
        raise ModelError(f"--prefix {prefix} names a part of a checkpoint file, and {what}: leave it out")


def _told(model: Model) -> Model:
    """Return a model whose module was made elsewhere, with what its attributes say."""
    return believed(model, told_by_module(model.runnable(), model.weights))


def _from_file(path: Path, trust: bool, prefix: str) -> Model:
    if is_onnx(read_head(path)[0]):
        _refuse_prefix(prefix, f"{path} is an ONNX model")
        return open_onnx(path)
    checkpoint = read_checkpoint(path, trust=trust, prefix=prefix)
    if checkpoint.module is not None and not isinstance(checkpoint.module, torch.jit.ScriptModule):
        model = given(unwrap(checkpoint.module).eval(), path.stem, f"{checkpoint.format} {path.name}")
        return believed(_told(model), told_by_file(checkpoint.beside, model.weights))
    skips = open_skips(path, checkpoint.state) if checkpoint.format == "safetensors" else None
    if skips is not None:
        return skips
    state, origin = _plain_state(checkpoint, path, prefix)
    name = path.stem + (" (dequantized)" if checkpoint.quantized else "")
    hints = _hints(checkpoint, path)
    found = recognise(state, *hints)
    if found.builder is None and isinstance(checkpoint.module, torch.jit.ScriptModule):
        return given(as_modules(checkpoint.module).eval(), name, origin)
    if found.builder is None:
        return Model(
            name=name,
            network=None,
            weights=state,
            preprocessing=assumed(3),
            origin=origin,
            obstacle=_unrecognised(path, checkpoint, found),
        )
    doubts = []
    if found.twins and not any(names_builder(hint, found.builder) for hint in hints):
        # Of a variant in the other library, one warning is enough: the plain network is far likelier.
        rivals = [one for one in found.twins if one.startswith("timm:") == found.builder.startswith("timm:")]
        if rivals:
            doubts.append(
                f"its weights may as well be those of {_some(rivals)}, which compute something else"
            )
        warnings.warn(
            NetvizWarning(
                f"{path} is taken for {found.builder}, and has the names and shapes of {_some(found.twins)}, too, "
                f"which compute something else: if it is one of these, give its name as MODEL with --weights {path}"
            ),
            stacklevel=2,
        )
    origin += f", recognised as {found.builder}{_told_apart(found)}"
    return _recognised(found, name, path, origin, checkpoint, doubts)


def _hints(checkpoint: Checkpoint, path: Path) -> tuple[str, ...]:
    """Return what may tell twins apart: the architecture as training notes it in the file, and the file's name."""
    said = [checkpoint.beside.get(name) for name in ("arch", "architecture")]
    return *(one for one in said if isinstance(one, str)), path.stem


def _named_with_file(text: str, path: Path, trust: bool, prefix: str) -> Model:
    """Load a checkpoint file into a network of torchvision or timm, which is built as the file needs it."""
    checkpoint = read_checkpoint(path, trust=trust, prefix=prefix)
    state, origin = _plain_state(checkpoint, path, prefix)
    found = recognise_as(text, state)
    if found is None:
        other = recognise(state, *_hints(checkpoint, path)).builder
        if other is not None:
            raise ModelError(
                f"the weights in {path} are those of {other}, not of {text}: give {other} as MODEL"
            )
        # Says what is wrong.
        fill(build(text).eval(), state, path)
        raise ModelError(
            f"the weights in {path} do not fit {text}: give the network that they are of as MODEL"
        )
    return _recognised(found, text, path, f"{text} with {origin}", checkpoint, [])


def _plain_state(checkpoint: Checkpoint, path: Path, prefix: str) -> tuple[dict[str, Tensor], str]:
    """Return the weights that a network computes with, and where they come from."""
    state = computed(checkpoint.state)
    origin = f"{checkpoint.format} {path.name}"
    if prefix:
        origin += f", its part {prefix}"
    if checkpoint.part:
        origin += (
            f", its part {checkpoint.part} (--prefix {checkpoint.parts[0]} takes {_some(checkpoint.parts)})"
        )
    if state.keys() != checkpoint.state.keys():
        origin += ", weights computed from their reparametrization"
    kinds = {value.dtype for value in state.values()} & {torch.float16, torch.bfloat16}
    if kinds:
        origin += (
            f", {' and '.join(sorted(str(kind).removeprefix('torch.') for kind in kinds))}, run in float32"
        )
    return state, origin


def _recognised(
    found: Recognition, name: str, path: Path, origin: str, checkpoint: Checkpoint, doubts: list[str]
) -> Model:
    """Build the network that a state belongs to and load the state into it."""
    builder = str(found.builder)
    arguments = dict(found.arguments)
    if builder in NORMALIZING and "num_classes" not in arguments:
        arguments["transform_input"] = True
    options = arguments if builder.startswith("timm:") else {"init": False, **arguments}
    network = fill(build(builder, **options).eval(), found.state, path)
    preprocessing, labels = named_facts(builder, arguments)
    if builder.startswith("timm:"):
        rivals = [one for one in (*found.twins, *found.equals) if one.startswith("timm:")]
        others = {replace(named_facts(one, arguments)[0], assumed=False) for one in rivals}
        if others - {replace(preprocessing, assumed=False)}:
            preprocessing = replace(preprocessing, assumed=True)
    headless = ""
    if found.missing:
        labels, headless = (), _no_classifier(found)
        missing = "its classifier is missing: class scores mean nothing"
        doubts = [*doubts, missing]
        origin += f" ({missing})"
        warnings.warn(NetvizWarning(f"{path} {headless}: class scores mean nothing"), stacklevel=2)
    model = Model(
        name=name,
        network=network,
        weights=network.state_dict(),
        preprocessing=preprocessing,
        labels=labels,
        origin=origin,
        headless=headless,
        doubts=tuple(doubts),
    )
    return believed(model, told_by_file(checkpoint.beside, model.weights))


def _no_classifier(found: Recognition) -> str:
    head = found.missing[0].partition(".")[0] + "."
    own = [key.removeprefix(found.prefix) for key in found.ignored if key.startswith(found.prefix + head)]
    if own:
        return (
            f"has a classifier of its own ({_some(own)}) in the place of {found.builder}'s, which is left out"
        )
    return f"holds no classifier of {found.builder}"


def _told_apart(found: Recognition) -> str:
    """Say which part of a file was taken, and which networks it could be as well."""
    text = ""
    if found.parts:
        text += f", its part {found.prefix} (--prefix {found.parts[0]} takes {_some(found.parts)})"
    elif found.ignored and found.prefix:
        text += f", its part {found.prefix}"
    if found.twins:
        text += f" (same names and shapes: {_some(found.twins)})"
    return text


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 4 else ""
    return ", ".join(names[: 3 if more else 4]) + more


def _unrecognised(path: Path, checkpoint: Checkpoint, found: Recognition) -> str:
    near = f" (nearest: {', '.join(found.nearest)})" if found.nearest else ""
    remedy = "give the network as module.path:factory or file.py:factory with --weights FILE"
    if checkpoint.format in ("exported program", "TorchScript"):
        remedy += ", or --trust to run the code that the file holds, if you trust its source"
    for prefix, builder in found.offers[:1]:
        if prefix:
            remedy = f"its part {prefix} is {builder}: look at that with --prefix {prefix}; or {remedy}"
        else:
            remedy = (
                f"its tensors are, in order, those of {builder}: if it is that network, "
                f"give {builder} as MODEL with --weights {path}; or {remedy}"
            )
    unknown = f"its architecture is not one that netviz knows{near}"
    if found.wanted:
        unknown, remedy = f"it is {found.wanted}, and timm is not installed", "run pip install 'netviz[timm]'"
    return f"only the weights of {path} can be read (filters work, maps do not): {unknown}; {remedy}"


def _filled(model: Model, path: Path, trust: bool, prefix: str) -> Model:
    """Load a checkpoint file into a network that was made."""
    checkpoint = read_checkpoint(path, trust=trust, prefix=prefix)
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
