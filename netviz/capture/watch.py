"""The only place that registers hooks: tells of every module and function that runs, and leaves nothing behind."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import chain
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn
from torch._C import DisableTorchFunction
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from netviz.capture.kinds import function_name, plain_name
from netviz.capture.operations import arguments
from netviz.capture.shapes import ShapesAlone
from netviz.capture.state import State


class Key(NamedTuple):
    """Which call of what: the module's dotted name, a function called in it (or None), and the how-manieth call."""

    module: str
    function: str | None
    call: int


class Recorder(Protocol):
    """Sees every torch function call that runs inside a module, before and after."""

    def before(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Get what the function is about to be called with."""

    def after(
        self, function: Any, module: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """Get what the function gave, and the dotted name of the innermost module that called it."""


class Event(NamedTuple):
    """Something ran: its key, the module or function itself, what it got and gave, and a leaf's own functions."""

    key: Key
    source: Any
    inputs: tuple[Any, ...]
    output: Any
    functions: tuple[str, ...] = ()


def is_leaf(module: nn.Module) -> bool:
    """Return whether a module counts as one layer: it holds no others, or none that run on their own."""
    if isinstance(module, nn.MultiheadAttention):
        return True
    # What a parametrization (weight norm, spectral norm) or a quantized linear layer holds only makes its weights.
    return all(name in ("parametrizations", "_packed_params") for name, _ in module.named_children())


def forward(network: nn.Module, image: Tensor) -> Any:
    """Run a network on a copy of an image, which it may write to."""
    return network(image.clone())


@contextmanager
def preserved(network: nn.Module) -> Iterator[None]:
    """Put all that hangs on a network, and the random states, back at the end, while copies of it run."""
    state = State(network)
    try:
        yield
    finally:
        state.give_back()


@contextmanager
def alone(network: nn.Module) -> Iterator[None]:
    """Run in evaluation mode a copy that nobody else has: nothing is watched, nothing is put back.

    Each image is answered as if it were alone, as in `evaluation`.
    """
    network.eval()
    with _Alone() if any(map(_mixes_images, network.modules())) else nullcontext():
        yield


@contextmanager
def evaluation(network: nn.Module) -> Iterator[State]:
    """Run in evaluation mode; all that hangs on the network (see `State`) comes back, also on an exception.

    Each image is answered as if it were alone, also by a batch normalization without running statistics.
    """
    state = State(network)
    watching = ExitStack()

    def enter(*_: Any) -> None:
        watching.enter_context(state.guard)
        if mixes:
            watching.enter_context(_Alone())

    def leave(*_: Any) -> None:
        watching.close()

    handles = [
        network.register_forward_pre_hook(enter, prepend=True),
        network.register_forward_hook(leave, always_call=True),
    ]
    try:
        network.eval()
        mixes = any(map(_mixes_images, network.modules()))
        # Below all that watches, which sees what a network calls.
        with ShapesAlone() if _is_stand_in(network) else nullcontext():
            yield state
    finally:
        watching.close()
        for handle in handles:
            handle.remove()
        state.give_back()


def _is_stand_in(network: nn.Module) -> bool:
    """Return whether a network has no values, or nothing that tells."""
    return all(tensor.is_meta for tensor in chain(network.parameters(), network.buffers()))


def _mixes_images(module: nn.Module) -> bool:
    """Return whether a module normalizes by the statistics of its batch, also in evaluation mode."""
    return isinstance(module, _BatchNorm) and (module.training or module.running_mean is None)


class _Alone(TorchFunctionMode):
    """Has a batch normalization that takes its batch's statistics take those of each image by itself."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.batch_norm:
            given = arguments("batch_norm", args, kwargs or {})
            if given["training"] and given["input"].ndim > 2:
                return F.instance_norm(
                    given["input"], weight=given["weight"], bias=given["bias"], eps=given["eps"]
                )
        return func(*args, **(kwargs or {}))


@contextmanager
def watch(
    network: nn.Module,
    tell: Callable[[Event], Any],
    *,
    modules: Collection[str] | None = None,
    functions: bool = True,
    every_function: Callable[[str, tuple[Any, ...], dict[str, Any], Any], None] | None = None,
    recorder: Recorder | None = None,
) -> Iterator[Callable[[], None]]:
    """Have `tell` called after each module and function that runs inside the ``with``.

    Parameters
    ----------
    network : nn.Module
        Its hooks are removed at the end, whatever happens.
    tell : callable
        Gets an `Event`. What it returns, unless None, replaces the output.
    modules : collection of str, optional
        Only these modules are told of; by default all.
    functions : bool
        Whether functions that no module wraps (``F.relu`` in a forward) are told of too.
    every_function : callable, optional
        Gets name, args, kwargs and output of every torch function, inside leaf modules too.
    recorder : Recorder, optional
        Sees every torch function before and after it runs; needs `functions`.

    Yields
    ------
    callable
        Call it before each forward pass: it starts the counting of calls anew.
    """
    stack: list[tuple[str, nn.Module, list[str]]] = []
    counts: Counter[tuple[str, str | None]] = Counter()

    # What only follows a pass calls no function that counts, not even to ask for a shape.
    aside = nullcontext if every_function is None and recorder is None else DisableTorchFunction

    def start() -> None:
        stack.clear()
        counts.clear()

    def next_key(module: str, function: str | None) -> Key:
        counts[module, function] += 1
        return Key(module, function, counts[module, function] - 1)

    def enter(name: str, module: nn.Module) -> Callable[..., None]:
        return lambda *_: stack.append((name, module, []))

    def leave(name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
            inside: list[str] = []
            while stack:
                _, entered, inside = stack.pop()
                if entered is module:
                    break
            key = next_key(name, None)
            with aside():
                return tell(Event(key, module, (*args, *kwargs.values()), output, tuple(inside)))

        return hook

    class Functions(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            if func is Tensor.__getitem__ and isinstance(args[1], str):
                raise TypeError(f"it looks up {args[1]!r} in a tensor, so it takes dicts")
            keywords = kwargs or {}
            if recorder is not None:
                with aside():
                    recorder.before(func, args, keywords)
            output = func(*args, **keywords)
            with aside():
                if recorder is not None:
                    recorder.after(func, stack[-1][0] if stack else "", args, keywords, output)
                if every_function is not None:
                    every_function(plain_name(func), args, keywords, output)
                known = function_name(getattr(func, "__name__", ""))
                if not known or not stack:
                    return output
                if len(stack) > 1 and is_leaf(stack[-1][1]):
                    stack[-1][2].append(known)
                    return output
                replacement = tell(Event(next_key(stack[-1][0], known), func, args, output))
            return output if replacement is None else replacement

    handles: list[RemovableHandle] = []
    try:
        for name, module in network.named_modules():
            if functions or modules is None or name in modules:
                handles.append(module.register_forward_pre_hook(enter(name, module)))
                handles.append(module.register_forward_hook(leave(name), with_kwargs=True))
        if functions:
            with Functions():
                yield start
        else:
            yield start
    finally:
        for handle in handles:
            handle.remove()
