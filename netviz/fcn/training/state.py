"""Where a training run stands, on disk: written whole, read back bit by bit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from netviz.errors import ResultError
from netviz.results.files import write_bytes
from netviz.results.ledger import require_same

STATE = "state.safetensors"
"""What the file is called inside a run's folder; a finished run has none."""

_KEY = "netviz.training"


@dataclass
class Standing:
    """How far a run has come.

    Attributes
    ----------
    stage, epoch, step : int
        The stage, the epoch in it and the step in that which come next.
    loss : float
        Sum of the losses of this epoch's steps.
    seconds : float
        Time that this epoch took so far.
    best : float
        The best mean IU of the stage's last stream, on the validation images; -1 before the first.
    scaler : dict
        Of float16's loss scale.
    log : list of dict
        An entry for each epoch.
    """

    stage: int = 0
    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    best: float = -1.0
    scaler: dict[str, Any] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)


def write_state(
    folder: Path,
    standing: Standing,
    network: nn.Module,
    average: nn.Module | None,
    optimizer: torch.optim.Optimizer,
    fingerprint: Mapping[str, str],
) -> None:
    """Write where a run stands, in one step."""
    from safetensors.torch import save

    tensors = {f"network/{name}": value for name, value in network.state_dict().items()}
    if average is not None:
        tensors |= {f"average/{name}": value for name, value in average.state_dict().items()}
    for number, values in optimizer.state_dict()["state"].items():
        tensors |= {
            f"optimizer/{number}/{name}": value for name, value in values.items() if isinstance(value, Tensor)
        }
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    facts = {"standing": vars(standing), "fingerprint": dict(fingerprint)}
    write_bytes(folder / STATE, save(plain, {_KEY: json.dumps(facts, sort_keys=True)}))


def read_facts(folder: Path, fingerprint: Mapping[str, str]) -> Standing | None:
    """Return where a run stood; None if nothing was written.

    Raises
    ------
    ResultError
        If the file is damaged, or the run was another one.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / STATE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[_KEY])
        standing = Standing(**facts["standing"])
        theirs = dict(facts["fingerprint"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ResultError(f"{path} is damaged; delete the folder and start again") from error
    require_same(folder, theirs, fingerprint)
    return standing


def read_weights(
    folder: Path, network: nn.Module, average: nn.Module | None, optimizer: torch.optim.Optimizer
) -> None:
    """Bring network, average and optimizer to where a run stood.

    Raises
    ------
    ResultError
        If the file is damaged.
    """
    from safetensors.torch import load_file

    path = folder / STATE
    try:
        tensors = load_file(path)
        for prefix, module in (("network/", network), ("average/", average)):
            if module is not None:
                module.load_state_dict(_below(tensors, prefix))
        _restore(optimizer, _below(tensors, "optimizer/"))
    except (RuntimeError, OSError, KeyError, ValueError, IndexError) as error:
        raise ResultError(f"{path} is damaged; delete the folder and start again") from error


def _restore(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimizer its momenta back, laid out in memory as it makes them."""
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    for name, value in tensors.items():
        number, _, what = name.partition("/")
        parameter = parameters[int(number)]
        if value.shape == parameter.shape and value.ndim:
            kept = torch.empty_like(parameter, memory_format=torch.preserve_format).copy_(value)
        else:
            kept = value.clone()
        optimizer.state[parameter][what] = kept


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
