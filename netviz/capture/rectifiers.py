"""Another way back through rectifiers: which gradients they let through, whatever module or function they are."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from netviz.capture.kinds import plain_name
from netviz.capture.operations import arguments, names
from netviz.errors import ModelError
from netviz.models.model import unwrap


def _redirected(gradient: Tensor, side: Tensor) -> Tensor:
    """Let through, of images of which nothing would pass, what leads back to where values pass."""
    own = gradient * (side == 0)
    shut = own.flatten(1).abs().amax(1) == 0
    if not bool(shut.any()):
        return own
    led = gradient * (gradient * side <= 0)
    return torch.where(shut.view(-1, *(1 for _ in gradient.shape[1:])), led, own)


BACKWARD_RULES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gradient": lambda gradient, side: gradient * (side == 0),
    "guided": lambda gradient, side: gradient.clamp(min=0) * (side == 0),
    "deconvnet": lambda gradient, side: gradient.clamp(min=0),
    "redirected": _redirected,
}
"""What a rectifier hands back of the gradient at its output, given on which side of what it passes its input was.

That is 0 where it passed it on unchanged, -1 below, 1 above. ``gradient``: Simonyan et al., 2014; ``guided``:
Springenberg et al., 2015; ``deconvnet``: Zeiler and Fergus, 2014; ``redirected``, for what is to grow: Olah et al.,
2017, so that a unit that is 0 everywhere can begin to grow.
"""

_OTHERS = names("activation", "prelu", "glu")

_AT_ZERO = {
    "relu": None,
    "relu6": None,
    "hardtanh": "min_val",
    "clamp": "min",
    "clip": "min",
    "clamp_min": "min",
    "threshold": "threshold",
}
"""Functions that are rectifiers where this argument is 0, or always."""

_BOUND = {"hardtanh": "max_val", "clamp": "max", "clip": "max"}


@dataclass
class Nonlinearities:
    """What gradients met on their way.

    Attributes
    ----------
    rectifiers : Counter of str
        How many calls of each rectifying function followed the rule: ``relu``, ``relu6``, ``clamp``, …
    others : Counter of str
        How many calls of each other non-linearity kept a derivative of their own: ``silu``, ``gelu``, ``sigmoid``, …
    """

    rectifiers: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)


class _Rectified(NamedTuple):
    """A call of a rectifier: the values it gets, and above what it passes none on (None: there is no such bound)."""

    values: Tensor
    bound: float | None


@contextmanager
def backward_rule(network: nn.Module, rule: str) -> Iterator[Nonlinearities]:
    """Have gradients follow a rule at every rectifier that runs inside the ``with``; what comes forward is the same.

    A rectifier is a function that passes positive values on and makes others 0: ReLU and ReLU6, clamping at 0 from
    below, however a network calls it: as a module, also one used several times, as a function, as a method, in place.
    Others (GELU, SiLU, leaky ReLU, …) keep their own derivative, as in the papers and in other tools; max pooling
    sends the gradient to where the maximum was, which is what a deconvnet's switches do.

    No module is changed and no hook registered. Enter it before `capture`, so that layers are still seen.

    Parameters
    ----------
    network : nn.Module
        What will run.
    rule : str
        One of `BACKWARD_RULES`.

    Yields
    ------
    Nonlinearities
        Counts what gradients can pass, while the network runs.

    Raises
    ------
    ModelError
        If parts of the network are TorchScript, whose functions cannot be replaced.
    ValueError
        If there is no such rule.

    Examples
    --------
    >>> import torch
    >>> from netviz.capture import backward_rule
    >>> network = torch.nn.ReLU()
    >>> x = torch.tensor([-1.0, 1.0, 1.0], requires_grad=True)
    >>> with backward_rule(network, "deconvnet"):
    ...     y = network(x)
    >>> torch.autograd.grad(y, x, torch.tensor([2.0, 2.0, -2.0]))
    (tensor([2., 2., 0.]),)
    """
    if rule not in BACKWARD_RULES:
        raise ValueError(f"no rule {rule!r} for rectifiers; choose one of {', '.join(BACKWARD_RULES)}")
    if rule != "gradient" and any(
        isinstance(one, torch.jit.ScriptModule) for one in unwrap(network).modules()
    ):
        raise ModelError(
            f"the network is TorchScript, whose rectifiers cannot be made to follow the rule {rule!r}; "
            "take the plain gradient, or the network as Python code"
        )
    met = Nonlinearities()
    with _Rule(rule, met):
        yield met


class _Rule(TorchFunctionMode):
    def __init__(self, rule: str, met: Nonlinearities) -> None:
        super().__init__()
        self.rule = rule
        self.met = met

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        keywords = kwargs or {}
        name = plain_name(func)
        if name not in _AT_ZERO and name not in _OTHERS:
            return func(*args, **keywords)
        found = _rectified(name, args, keywords)
        values = found.values if found else arguments(name, args, keywords)["input"]
        if not (torch.is_grad_enabled() and isinstance(values, Tensor) and values.requires_grad):
            return func(*args, **keywords)
        if found is None:
            if name in _OTHERS:
                self.met.others[name] += 1
            return func(*args, **keywords)
        self.met.rectifiers[name] += 1
        if self.rule == "gradient":
            return func(*args, **keywords)
        call, rule = partial(func, *args, **keywords), BACKWARD_RULES[self.rule]
        return _Rectifier.apply(values, found.bound, call, rule)  # type: ignore[no-untyped-call]


def _rectified(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Rectified | None:
    """Return what a call gets that passes positive values on and makes the others 0; None for another call."""
    if name not in _AT_ZERO or kwargs.get("out") is not None:
        return None
    given = arguments(name, args, kwargs)
    lower, upper = _AT_ZERO[name], _BOUND.get(name)
    if lower is not None and not _is_number(given[lower], 0):
        return None
    if name == "threshold" and not _is_number(given["value"], 0):
        return None
    bound = 6.0 if name == "relu6" else given[upper] if upper else None
    return _Rectified(given["input"], bound) if bound is None or _is_number(bound) else None


def _is_number(value: Any, wanted: float | None = None) -> bool:
    return isinstance(value, int | float) and (wanted is None or value == wanted)


class _Rectifier(torch.autograd.Function):
    """Calls a rectifier, which may write in place, and hands gradients back by a rule."""

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        bound: float | None,
        call: Callable[[], Tensor],
        rule: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor:
        output = call()
        if output is values:
            ctx.mark_dirty(values)
        # Kept as signs, and not as the output, which what comes next may overwrite.
        side = (output <= 0).to(torch.int8).neg_()
        ctx.save_for_backward(side if bound is None else side.add_(output >= bound))
        ctx.rule = rule
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (side,) = ctx.saved_tensors
        return ctx.rule(gradients[0], side), None, None, None
