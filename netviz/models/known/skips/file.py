"""Networks with skips as files: safetensors whose metadata say how to build the network again."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from netviz._version import __version__
from netviz.errors import MissingWeightsError, ModelError
from netviz.models.builders import build_timm, build_torchvision, torchvision_names
from netviz.models.known.skips.network import SkipNetwork, Tap
from netviz.models.known.weights import PackagedFile
from netviz.models.model import Model, fill
from netviz.models.preprocessing import Preprocessing

KEY = "netviz.skips"
"""Under which safetensors' metadata hold the description, as JSON."""


def pack(
    network: SkipNetwork,
    *,
    backbone: str,
    preprocessing: Preprocessing,
    labels: Sequence[str],
    about: Mapping[str, Any] | None = None,
    half: bool = False,
) -> bytes:
    """Return a file's bytes: the same network gives the same bytes.

    Parameters
    ----------
    network : SkipNetwork
    backbone : str
        The builder that made its backbone (torchvision's name, or ``timm:NAME``); "" if it was given in Python.
    preprocessing : Preprocessing
        How it wants its images.
    labels : sequence of str
        What its classes are called.
    about : mapping, optional
        Further facts, such as how it was trained; ready for JSON.
    half : bool
        Whether weights of several dimensions are stored in float16.
    """
    from safetensors.torch import save

    facts = {
        "backbone": backbone,
        "taps": [asdict(tap) for tap in network.taps],
        "classes": network.classes,
        "learned": network.learned,
        "preprocessing": asdict(preprocessing),
        "labels": list(labels),
        "about": dict(about or {}),
    }
    tensors = {
        name: (value.half() if half and value.ndim > 1 else value).detach().cpu().contiguous().clone()
        for name, value in network.state_dict().items()
    }
    return save(tensors, {KEY: json.dumps(facts, sort_keys=True)})


def description(path: Path) -> dict[str, Any] | None:
    """Return what a safetensors file says of its network with skips; None if it holds none.

    Raises
    ------
    ModelError
        If what it says is damaged.
    """
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get(KEY)
    if text is None:
        return None
    try:
        facts = json.loads(text)
        taps = [Tap(**{**tap, "center": tuple(tap["center"])}) for tap in facts["taps"]]
        chosen = facts["preprocessing"]
        sizes: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()
        }
        result = {**facts, "taps": taps, "preprocessing": Preprocessing(**sizes)}
        if not (isinstance(facts["classes"], int) and isinstance(facts["backbone"], str) and _sane(taps)):
            raise ValueError("numbers out of range")
        result["labels"] = tuple(str(name) for name in facts["labels"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} does not say how its network is built ({error}); get it again") from error
    return result


def build(facts: Mapping[str, Any], path: Path) -> SkipNetwork:
    """Build the network that a description tells of, without its weights.

    Raises
    ------
    ModelError
        If its backbone is not one that has a name.
    """
    name = facts["backbone"]
    if name.startswith("timm:"):
        backbone = build_timm(name.removeprefix("timm:"))
    elif name in torchvision_names():
        backbone = build_torchvision(name, init=False)
    else:
        given = f"it was built on {name!r}" if name else "its backbone was given in Python"
        raise ModelError(f"{path} cannot be built again: {given}, no network of torchvision's or timm's")
    return SkipNetwork(backbone, facts["taps"], facts["classes"], learned=bool(facts["learned"])).eval()


def open_skips(path: Path, state: Mapping[str, Tensor]) -> Model | None:
    """Open a safetensors file that holds a network with skips; None if it holds none.

    Raises
    ------
    ModelError
        If it is damaged, or its backbone has no name.
    """
    facts = description(path)
    if facts is None:
        return None
    network = fill(build(facts, path), state, path)
    streams = ", ".join(tap.stream for tap in facts["taps"])
    origin = f"safetensors {path.name}, streams {streams} on {facts['backbone']}"
    return Model(path.stem, network, network.state_dict(), facts["preprocessing"], facts["labels"], origin)


@dataclass(frozen=True)
class OwnFile(PackagedFile):
    """A weight file of netviz's own, which comes with it.

    Attributes
    ----------
    path : str
        Its name.
    """

    def __init__(self, path: str) -> None:
        super().__init__("netviz", __version__, path, "")

    def locate(self) -> Path:
        """Return the file's path.

        Raises
        ------
        MissingWeightsError
            If this copy of netviz came without it.
        """
        path = Path(__file__).parents[1] / "data" / self.path
        if not path.is_file():
            raise MissingWeightsError(
                f"this copy of netviz has no {self.path}; install netviz again, from its sources or a release's file"
            )
        return path


def build_own(file: OwnFile) -> SkipNetwork:
    """Build a network of netviz's own as its file describes it, without its weights.

    Raises
    ------
    MissingWeightsError
        If the file is not there.
    ModelError
        If it is damaged.
    """
    path = file.locate()
    return build(_own_description(path), path)


def own_facts(file: OwnFile) -> tuple[Preprocessing, tuple[str, ...]]:
    """Return how a network of netviz's own wants its images, and what its classes are called; no weight is read.

    Raises
    ------
    MissingWeightsError
        If the file is not there.
    ModelError
        If it is damaged.
    """
    facts = _own_description(file.locate())
    return facts["preprocessing"], facts["labels"]


def _own_description(path: Path) -> dict[str, Any]:
    facts = description(path)
    if facts is None:
        raise ModelError(f"{path} does not say how its network is built; install netviz again")
    return facts


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """Read the weights of a packaged network."""
    from safetensors.torch import load_file

    return {
        name: value.float() if value.dtype == torch.float16 else value
        for name, value in load_file(path).items()
    }


def _sane(taps: Sequence[Tap]) -> bool:
    """Return whether taps go from coarse to fine; a file can claim anything."""
    strides = [tap.stride for tap in taps]
    return (
        bool(taps)
        and all(isinstance(stride, int) and 1 <= stride <= 4096 for stride in strides)
        and all(coarse % fine == 0 and coarse > fine for coarse, fine in pairwise(strides))
        and all(isinstance(tap.channels, int) and 1 <= tap.channels <= 1 << 16 for tap in taps)
        and all(math.isfinite(one) and abs(one) < 1 << 16 for tap in taps for one in tap.center)
    )
