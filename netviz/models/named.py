"""Networks by name: netviz's own, torchvision's, timm's, and factories in Python."""

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from netviz.errors import MissingWeightsError, ModelError, closest
from netviz.models.builders import build_timm, build_torchvision, default_weights, import_timm
from netviz.models.known.networks import KNOWN, PACKAGED_BUILDERS
from netviz.models.known.weights import verify
from netviz.models.loading.checkpoint import read_checkpoint
from netviz.models.model import Model, fill, given
from netviz.models.preprocessing import Preprocessing, assumed, from_timm, from_transforms
from netviz.models.recognition.recognise import recognise

UNTRAINED = "untrained weights: what the network answers to is chance"

NORMALIZING = ("googlenet", "inception_v3")
"""Builders whose trained weights expect the network itself to change the image's normalization."""


def known_network(name: str, weights: str | Path, seed: int) -> Model:
    """Open one of the networks in `KNOWN`."""
    known = KNOWN[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = known.build().eval()
    doubts: tuple[str, ...] = (UNTRAINED,)
    origin = f"untrained, seed {seed}"
    if str(weights) == "default":
        path = known.file.locate()
        network = fill(network, known.read(path), path)
        origin, doubts = f"{known.about}; from {known.file.distribution} {known.file.version}", ()
    return Model(name, network, network.state_dict(), *known.facts(), origin, doubts=doubts)


def torchvision_network(name: str, weights: str | Path, seed: int) -> Model:
    """Open a torchvision builder's network."""
    preprocessing, labels = named_facts(name, {})
    trained = str(weights) == "default"
    doubts: tuple[str, ...] = () if trained else (UNTRAINED,)
    arguments = {"transform_input": True} if name in NORMALIZING and trained else {}
    # First of all the file: where there is none, no network is built in vain.
    path, origin = (
        _torchvision_file(name) if trained else (Path(), f"torchvision {name}, untrained, seed {seed}")
    )
    network = build_torchvision(name, seed=seed, **arguments).eval()
    if trained:
        state = read_checkpoint(path).state
        if state.keys() != network.state_dict().keys():
            # An old file may name or leave out some; what it is called today is known to `recognise`.
            found = recognise(state)
            if found.builder != name:
                raise ModelError(f"{path} does not hold the weights of {name}; remove it and get it again")
            network, state = build_torchvision(name, **arguments, **found.arguments).eval(), found.state
        network = fill(network, state, path)
    return Model(name, network, network.state_dict(), preprocessing, labels, origin, doubts=doubts)


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


def timm_network(name: str, weights: str | Path, seed: int) -> Model:
    """Open a timm network."""
    network = build_timm(name, seed=seed, pretrained=str(weights) == "default").eval()
    config = getattr(network, "pretrained_cfg", None) or {}
    trained = str(weights) == "default"
    state = "its default weights" if trained else f"untrained, seed {seed}"
    return Model(
        f"timm:{name}",
        network,
        network.state_dict(),
        from_timm(config),
        (),
        f"timm {name}, {state}",
        doubts=() if trained else (UNTRAINED,),
    )


def _architecture_preprocessing(name: str) -> Preprocessing:
    """Return what timm's weights of an architecture want; assumed where these differ, or there are none."""
    timm = import_timm()
    own = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if own is None:
        return assumed(3)
    listed = timm.models.list_pretrained(f"{name}.*")
    found = {from_timm(vars(timm.get_pretrained_cfg(one))) for one in listed}
    several = len(found) > 1
    return replace(from_timm(vars(own)), assumed=several, size_assumed=several)


def factory_network(text: str, seed: int) -> Model:
    """Call ``module.path:factory``, as Python finds modules or in the working folder; or ``FILE.py:factory``."""
    module_name, _, attribute = text.rpartition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        factory = getattr(_imported(module_name), attribute)
    except (ImportError, ValueError, OSError, SyntaxError) as error:
        raise ModelError(
            f"cannot import {module_name!r} of MODEL {text!r} ({error}); check name and path"
        ) from error
    except AttributeError as error:
        near = closest(attribute, dir(error.obj)) or "; name what makes the network"
        raise ModelError(f"module {module_name!r} has no {attribute!r} (MODEL is {text!r}){near}") from error
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = factory if isinstance(factory, nn.Module) else factory()
    except Exception as error:
        raise ModelError(f"{text} failed: {type(error).__name__}: {error}") from error
    if not isinstance(network, nn.Module):
        raise ModelError(
            f"{text} gave a {type(network).__name__}, not a torch.nn.Module; name what makes one"
        )
    return given(network.eval(), attribute, f"made by {text}")


def _imported(name: str) -> ModuleType:
    """Import a module by its name or its file."""
    if not name.endswith(".py"):
        return importlib.import_module(name)
    path = Path(name).resolve()
    # What the file imports lies beside it.
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    loaded = sys.modules.get(path.stem)
    if loaded is None or getattr(loaded, "__file__", None) == str(path):
        return importlib.import_module(path.stem)
    # Another module has this name.
    spec = importlib.util.spec_from_file_location(f"{path.stem} of {path.parent}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def named_facts(builder: str, arguments: Mapping[str, Any]) -> tuple[Preprocessing, tuple[str, ...]]:
    """Return preprocessing and labels that go with a builder and the arguments of which its network is made.

    Labels are only those of its own number of classes.
    """
    if builder.startswith("timm:"):
        found = _architecture_preprocessing(builder.removeprefix("timm:"))
        return found.banded(arguments.get("in_chans", found.channels)), ()
    entry: Any = default_weights(builder)
    if entry is None:
        return assumed(3), ()
    labels = tuple(entry.meta.get("categories", ()))
    known = arguments.get("num_classes") in (None, len(labels))
    return from_transforms(entry.transforms()), labels if known else ()
