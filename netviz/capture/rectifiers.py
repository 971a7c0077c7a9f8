"""Another way back through rectifiers: which gradients they let through, whatever module or function they are."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from netviz.capture.kinds import plain_name
from netviz.capture.operations import arguments, names
from netviz.errors import ModelError
from netviz.models.model import unwrap


class Rule(NamedTuple):
    """What a rectifier hands back of the gradient at its output.

    Attributes
    ----------
    gated : bool
        Only where it passed its input on unchanged.
    positive : bool
        Only what is positive.
    redirected : bool
        Of images of which nothing would come back, what leads to where values pass.
    """

    gated: bool
    positive: bool = False
    redirected: bool = False


BACKWARD_RULES = {
    "gradient": Rule(gated=True),
    "guided": Rule(gated=True, positive=True),
    "deconvnet": Rule(gated=False, positive=True),
    "redirected": Rule(gated=True, redirected=True),
}
"""Those that networks are asked by.

``gradient``: Simonyan et al., 2014; ``guided``: Springenberg et al., 2015; ``deconvnet``: Zeiler and Fergus, 2014;
``redirected``, of what is to grow: Olah et al., 2017, so that a unit that is 0 everywhere can begin to grow.
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
    rule : str
        Which rule they follow. Another one holds from the next call on; TorchScript follows ``gradient`` alone.
    """

    rectifiers: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    rule: str = "gradient"


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

    No module is changed and no hook registered. `capture` has an argument for it, with which it sees layers as it
    does without.

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
    met = Nonlinearities(rule=rule)
    with _Rule(met):
        yield met


class _Rule(TorchFunctionMode):
    def __init__(self, met: Nonlinearities) -> None:
        super().__init__()
        self.met = met

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        keywords = kwargs or {}
        name = _named(func)
        if not name:
            return func(*args, **keywords)
        found = _rectified(name, args, keywords)
        values = found.values if found else arguments(name, args, keywords)["input"]
        if not (torch.is_grad_enabled() and isinstance(values, Tensor) and values.requires_grad):
            return func(*args, **keywords)
        if found is None:
            if name in _OTHERS:
                self.met.others[name] += 1
            return func(*args, **keywords)
        self.met.rectifiers["relu6" if found.bound == 6 else name] += 1
        if self.met.rule == "gradient":
            return func(*args, **keywords)
        call, rule = partial(func, *args, **keywords), BACKWARD_RULES[self.met.rule]
        return _Rectifier.apply(values, found.bound, call, rule)  # type: ignore[no-untyped-call]


@cache
def _named(function: Any) -> str:
    """Return the plain name of a function that may be a rectifier or another non-linearity; else ""."""
    name = plain_name(function)
    return name if name in _AT_ZERO or name in _OTHERS else ""


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
        ctx: Any, values: Tensor, bound: float | None, call: Callable[[], Tensor], rule: Rule
    ) -> Tensor:
        output = call()
        if output is values:
            ctx.mark_dirty(values)
        if rule.gated:
            # As torch's own rectifiers do: what is passed on is positive, and below the bound.
            ctx.save_for_backward(output)
        ctx.bound, ctx.rule = bound, rule
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = gradients
        if not ctx.rule.gated:
            return slope.clamp(min=0), None, None, None
        (output,) = ctx.saved_tensors
        if ctx.bound is None:
            back = torch.ops.aten.threshold_backward(slope, output, 0)
        else:
            back = torch.ops.aten.hardtanh_backward(slope, output, 0, ctx.bound)
        if ctx.rule.redirected:
            back = _redirected(slope, output, ctx.bound, back)
        return back.clamp_(min=0) if ctx.rule.positive else back, None, None, None


def _redirected(slope: Tensor, output: Tensor, bound: float | None, back: Tensor) -> Tensor:
    """Return what comes back; of images of which nothing would, what leads to where values pass."""
    shut = ~back.flatten(1).any(1)
    if not bool(shut.any()):
        return back
    leads = (output > 0) | (slope > 0)
    if bound is not None:
        leads &= (output < bound) | (slope < 0)
    return torch.where(shut.view(-1, *(1 for _ in slope.shape[1:])), slope * leads, back)
