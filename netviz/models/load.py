"""load: whatever a user calls MODEL, opened safely."""

import difflib
import importlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from netviz.errors import MissingWeightsError, ModelError
from netviz.models.builders import build_timm, build_torchvision, default_weights, torchvision_names
from netviz.models.checkpoint import Checkpoint, read_checkpoint
from netviz.models.known import KNOWN, PACKAGED_BUILDERS
from netviz.models.preprocessing import Preprocessing, assumed, from_transforms
from netviz.models.recognise import recognise
from netviz.models.weights import verify


@dataclass(frozen=True)
class Model:
    """An opened MODEL: a network with its weights, or weights alone.

    Attributes
    ----------
    name : str
        What captions call it.
    network : nn.Module or None
        None when only weights could be read; `obstacle` then says why.
    weights : mapping of str to Tensor
        Every parameter and buffer by dotted name.
    preprocessing : Preprocessing
        How it wants its images.
    labels : tuple of str
        What its outputs mean; empty if unknown.
    origin : str
        Where network and weights come from, for a caption.
    obstacle : str
        Why there is no network.
    """

    name: str
    network: nn.Module | None
    weights: Mapping[str, Tensor]
    preprocessing: Preprocessing
    labels: tuple[str, ...] = ()
    origin: str = ""
    obstacle: str = ""

    def runnable(self) -> nn.Module:
        """Return the network.

        Raises
        ------
        ModelError
            If only weights could be read.
        """
        if self.network is None:
            raise ModelError(f"{self.name}: {self.obstacle}")
        return self.network


def load(
    spec: "str | Path | nn.Module | Model",
    *,
    trust: bool = False,
    weights: str | Path = "default",
    seed: int = 0,
) -> Model:
    """Open a MODEL.

    Parameters
    ----------
    spec : str, Path, nn.Module or Model
        A checkpoint file; a known network (``mobilenet_v2``, ``hed``, ``pnet``); a torchvision builder;
        ``timm:NAME``; ``module.path:factory`` in Python; or a network that is already there.
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
        return _given(spec, type(spec).__name__, "given in Python")
    text = str(spec)
    path = Path(spec)
    if path.is_file() or (path.is_dir() and text not in torchvision_names()):
        return _from_file(path, trust)
    if text in KNOWN:
        model = _known(text, weights, seed)
    elif text in torchvision_names():
        model = _torchvision(text, weights, seed)
    elif text.startswith("timm:"):
        model = _timm(text.removeprefix("timm:"), weights, seed)
    elif re.fullmatch(r"[\w.]+:\w+", text):
        model = _factory(text, seed)
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
    if checkpoint.module is not None:
        return _given(checkpoint.module.eval(), path.stem, f"{checkpoint.format} {path.name}")
    found = recognise(checkpoint.state)
    if found.builder is None:
        return Model(
            name=path.stem,
            network=None,
            weights=checkpoint.state,
            preprocessing=assumed(3),
            origin=f"{checkpoint.format} {path.name}",
            obstacle=_unrecognised(path, checkpoint, found.nearest),
        )
    network = _fill(_build(found.builder, found.arguments), found.state, path)
    preprocessing, labels = _named_facts(found.builder, found.arguments.get("num_classes"))
    return Model(
        name=path.stem,
        network=network,
        weights=network.state_dict(),
        preprocessing=preprocessing,
        labels=labels,
        origin=f"{checkpoint.format} {path.name}, recognised as {found.builder}",
    )


def _unrecognised(path: Path, checkpoint: Checkpoint, nearest: tuple[str, ...]) -> str:
    near = f" (nearest: {', '.join(nearest)})" if nearest else ""
    remedy = "give the network as module.path:factory with --weights FILE"
    if checkpoint.format not in ("state dict", "safetensors"):
        remedy += ", or --trust to run the code that the file holds, if you trust its source"
    return (
        f"only the weights of {path} can be read (filters work, maps do not): "
        f"its architecture is not one that netviz knows{near}; {remedy}"
    )


def _known(name: str, weights: str | Path, seed: int) -> Model:
    known = KNOWN[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = known.build().eval()
    origin = f"untrained, seed {seed}"
    if str(weights) == "default":
        path = known.file.locate()
        network = _fill(network, known.read(path), path)
        origin = f"{known.about}; from {known.file.distribution} {known.file.version}"
    return Model(name, network, network.state_dict(), known.preprocessing, known.labels, origin)


def _torchvision(name: str, weights: str | Path, seed: int) -> Model:
    preprocessing, labels = _named_facts(name, None)
    network = build_torchvision(name, seed=seed).eval()
    origin = f"torchvision {name}, untrained, seed {seed}"
    if str(weights) == "default":
        path, origin = _torchvision_file(name)
        state = read_checkpoint(path).state
        if state.keys() != network.state_dict().keys():
            # An old file may name or leave out some; what it is called today is known to `recognise`.
            found = recognise(state)
            if found.builder != name:
                raise ModelError(f"{path} does not hold the weights of {name}; remove it and get it again")
            network, state = build_torchvision(name, **found.arguments).eval(), found.state
        network = _fill(network, state, path)
    return Model(name, network, network.state_dict(), preprocessing, labels, origin)


def _torchvision_file(name: str) -> tuple[Path, str]:
    """Return the weight file of a torchvision builder: from its cache, a package, or downloaded; and its origin."""
    entry: Any = default_weights(name)
    if entry is None:
        raise MissingWeightsError(
            f"torchvision has no trained weights for {name}; use --weights none or a file"
        )
    file_name = entry.url.rpartition("/")[2]
    path = Path(torch.hub.get_dir()) / "checkpoints" / file_name
    origin = f"torchvision {entry}"
    digest = Path(file_name).stem.rpartition("-")[2]
    if path.is_file():
        verify(path, digest, f"torchvision.models.{name}(weights={str(entry)!r})")
        return path, origin
    packaged = PACKAGED_BUILDERS.get(name)
    if packaged is not None:
        try:
            return packaged.locate(), f"{origin}; from {packaged.distribution} {packaged.version}"
        except MissingWeightsError:
            pass
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(entry.url, str(path), hash_prefix=digest, progress=sys.stderr.isatty())
    except Exception as error:
        other = f"; or: {packaged.command}" if packaged else ""
        raise MissingWeightsError(
            f"the weights of {name} are not on this machine and cannot be downloaded from {entry.url} ({error}); "
            f"put {file_name} into {path.parent}{other}; or use --weights none"
        ) from error
    return path, origin


def _timm(name: str, weights: str | Path, seed: int) -> Model:
    network = build_timm(name, seed=seed, pretrained=str(weights) == "default").eval()
    config = getattr(network, "pretrained_cfg", None) or {}
    state = "untrained" if str(weights) == "none" else "its default weights"
    return Model(
        f"timm:{name}",
        network,
        network.state_dict(),
        _timm_preprocessing(config),
        (),
        f"timm {name}, {state}",
    )


def _timm_preprocessing(config: Mapping[str, Any]) -> Preprocessing:
    size = tuple(config.get("input_size", (3, 224, 224)))
    crop = (int(size[1]), int(size[2]))
    return Preprocessing(
        resize=round(min(crop) / float(config.get("crop_pct") or 0.875)),
        crop=crop,
        mean=tuple(config.get("mean", Preprocessing.mean)),
        std=tuple(config.get("std", Preprocessing.std)),
        interpolation="bicubic" if config.get("interpolation") == "bicubic" else "bilinear",
        channel_order="L" if size[0] == 1 else "RGB",
    )


def _factory(text: str, seed: int) -> Model:
    module_name, _, attribute = text.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, ValueError) as error:
        raise ModelError(
            f"cannot import {module_name!r} of MODEL {text!r} ({error}); check name and path"
        ) from error
    except AttributeError:
        raise ModelError(f"module {module_name!r} has no {attribute!r} (MODEL is {text!r})") from None
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = factory if isinstance(factory, nn.Module) else factory()
    except Exception as error:
        raise ModelError(f"{text} failed: {type(error).__name__}: {error}") from error
    if not isinstance(network, nn.Module):
        raise ModelError(f"{text} gave a {type(network).__name__}, not a torch.nn.Module")
    return _given(network.eval(), attribute, f"made by {text}")


def _given(network: nn.Module, name: str, origin: str) -> Model:
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    preprocessing = assumed(3 if first is None else first.in_channels)
    return Model(name, network, network.state_dict(), preprocessing, (), origin)


def _filled(model: Model, path: Path, trust: bool) -> Model:
    """Load a checkpoint file into a network that was named."""
    checkpoint = read_checkpoint(path, trust=trust)
    network = _fill(model.runnable(), checkpoint.state, path)
    return replace(model, weights=network.state_dict(), origin=f"{model.name} with {path.name}")


def _build(builder: str, arguments: Mapping[str, Any]) -> nn.Module:
    if builder.startswith("timm:"):
        return build_timm(builder.removeprefix("timm:"), **arguments).eval()
    return build_torchvision(builder, **arguments).eval()


def _fill(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> nn.Module:
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        problem = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise ModelError(
            f"the weights in {path} do not fit {type(network).__name__}: {problem[:240]}"
        ) from error
    return network


def _named_facts(builder: str, classes: int | None) -> tuple[Preprocessing, tuple[str, ...]]:
    """Return preprocessing and labels that go with a builder; labels only for its own number of classes."""
    if builder.startswith("timm:"):
        return _timm_preprocessing({}), ()
    entry: Any = default_weights(builder)
    if entry is None:
        return assumed(3), ()
    labels = tuple(entry.meta.get("categories", ()))
    return from_transforms(entry.transforms()), labels if classes in (None, len(labels)) else ()
