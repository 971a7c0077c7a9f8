"""Which tensor of all that a network returns is meant: one rule for its class scores, one for its dense scores.

``docs/models.md`` tells both to users.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from netviz.capture.tensors import entries
from netviz.errors import ModelError

NAMED = ("logits", "out", "scores")
"""What the scores are called where a network has a name for them."""


def named_tensors(value: Any) -> dict[str, Tensor]:
    """Return every tensor in what a network returns, in order, by its name.

    Returns
    -------
    dict of str to Tensor
        A tensor alone has the name ``""``; another that of its place: ``logits``, ``1``, ``hidden_states.0``.
    """
    if isinstance(value, Tensor):
        return {"": value}
    return {name: one for name, one in _places(value, "") if isinstance(one, Tensor)}


def _places(value: Any, above: str) -> Iterator[tuple[str, Any]]:
    inside = entries(value)
    if inside is None:
        yield above, value
        return
    for key, one in inside:
        yield from _places(one, f"{above}.{key}" if above else str(key))


def tensor_named(value: Any, name: str) -> Any:
    """Return what bears a name in what a network returns.

    Raises
    ------
    ModelError
        If there is no such thing this time.
    """
    found = next((one for place, one in _places(value, "") if place == name), None)
    if found is None:
        raise ModelError(f"the network does not give {name!r} for every image")
    return found


class OneOutput(nn.Module):
    """A network that hands out one of the tensors that another one gives."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network = network
        self.name = name
        self.training = network.training  # alone: `train` would change the network's own modules

    def forward(self, image: Tensor) -> Tensor:
        """Run the network and return the tensor."""
        found: Tensor = tensor_named(self.network(image), self.name)
        return found


def one_output(network: nn.Module, name: str) -> nn.Module:
    """Return a network that gives the tensor of this name; itself where it gives a tensor alone."""
    return OneOutput(network, name) if name else network


def class_output(
    found: Mapping[str, Tensor], network: str, asked: str | int | None = None, classes: int = 0
) -> str | None:
    """Return the name of a network's class scores; None if it has none.

    They are its output with two axes, (1, K); else one with four, (1, K, H, W). Of several: one with as many channels
    as classes are known, then one called ``logits``, ``out`` or ``scores``, then the first.

    Parameters
    ----------
    found : mapping of str to Tensor
        What it gives for one image, as `named_tensors` returns it.
    network : str
        What it is called.
    asked : str or int, optional
        The name of an output, or its number among those that the network returns.
    classes : int
        How many are known; 0 if none.

    Raises
    ------
    ModelError
        If there is no such output.
    """
    wanted = asked_for(found, network, asked)
    return next((name for rank in (2, 4) for name in _ordered(wanted, rank, classes)), None)


def dense_output(
    found: Mapping[str, Tensor],
    network: str,
    size: Sequence[int],
    asked: str | int | None = None,
    classes: int = 0,
) -> str | None:
    """Return the name of a network's scores at every place, or of the class scores of a classifier; None if none.

    Dense scores have four axes, (1, K, h, w), class scores two. Of several: as for `class_output`, but before the
    first, the first that is no map of another size than the image: features are such maps.

    Parameters
    ----------
    found, network, asked, classes
        As for `class_output`.
    size : (int, int)
        Height and width of the image.

    Raises
    ------
    ModelError
        If there is no such output.
    """
    wanted = asked_for(found, network, asked)
    some = [*_ordered(wanted, 4, classes), *_ordered(wanted, 2, classes)]
    order = list(wanted)

    def rank(name: str) -> tuple[bool, bool, bool, int]:
        own = wanted[name].ndim == 2 or tuple(wanted[name].shape[2:]) == tuple(size)
        return not _fits(wanted[name], classes), not _is_named(name), not own, order.index(name)

    return min(some, key=rank, default=None)


def asked_for(found: Mapping[str, Tensor], network: str, asked: str | int | None) -> Mapping[str, Tensor]:
    """Return the outputs that a user means: all, or those of a name or number.

    Raises
    ------
    ModelError
        If there are none, naming all.
    """
    if asked is None:
        return found
    text = str(asked).strip()
    tops = list(dict.fromkeys(name.partition(".")[0] for name in found))
    number = int(text) if re.fullmatch(r"-?\d+", text) else None
    for wanted in (text, tops[number] if number is not None and -len(tops) <= number < len(tops) else text):
        some = {name: one for name, one in found.items() if name == wanted or name.startswith(f"{wanted}.")}
        if some:
            return some
    raise ModelError(f"{network} has no output {text!r}; {listed(found)}")


def listed(found: Mapping[str, Tensor]) -> str:
    """Say what a network returns: names and shapes."""
    if len(found) <= 1:
        shape = "".join("×".join(map(str, one.shape)) or "a number" for one in found.values())
        return f"its only output is {shape}" if found else "it returns no tensor made from the image"
    some = [f"{name} ({'×'.join(map(str, one.shape)) or 'a number'})" for name, one in found.items()]
    return f"its outputs are {', '.join(some[:6])}{', …' if len(some) > 6 else ''}"


def _ordered(found: Mapping[str, Tensor], rank: int, classes: int) -> list[str]:
    """Return the names of outputs with so many axes, of one image, the likeliest scores first."""
    some = [
        name
        for name, one in found.items()
        if one.ndim == rank and one.shape[0] == 1 and one.is_floating_point()
    ]
    return sorted(some, key=lambda name: (not _fits(found[name], classes), not _is_named(name)))


def _fits(tensor: Tensor, classes: int) -> bool:
    return tensor.shape[1] == classes > 0


def _is_named(name: str) -> bool:
    return name.rpartition(".")[2].casefold() in NAMED


def run_once(network: nn.Module, image: Tensor) -> dict[str, Tensor]:
    """Run a network that is in evaluation mode on a copy of an image, and return what it gives by name."""
    with torch.no_grad():
        return named_tensors(network(image.clone()))
