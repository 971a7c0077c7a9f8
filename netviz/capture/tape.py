"""The tape: one forward pass written down, function by function, as far as it comes from the image."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from netviz.capture.copies import stand_in
from netviz.capture.kinds import ALIASED, READS, UNSEEN, plain_name, writes
from netviz.capture.operations import names
from netviz.capture.outputs import named_tensors
from netviz.capture.tensors import main_tensor, tensor_table, tensors_in, version_of
from netviz.capture.trace import require_values
from netviz.capture.watch import Event, Key, evaluation, watch
from netviz.models.model import unwrap


@dataclass(frozen=True, slots=True)
class Ref:
    """Stands for a recorded value among a node's arguments."""

    number: int


@dataclass(frozen=True, slots=True)
class Node:
    """One call of a torch function.

    Attributes
    ----------
    index : int
        Its place on the tape.
    function : callable or None
        To be called with `args` and `kwargs` after every `Ref` in them is replaced; None for a node that stands
        for something that could not be recorded.
    name : str
        Its plain name: ``conv2d``, ``add`` (also for ``+`` and ``add_``), ``getitem``.
    args, kwargs : tuple, dict
        As called, with image-derived tensors replaced by `Ref`; parameters and constants are themselves.
    inputs, outputs : tuple of int
        Numbers of the values read and made.
    module : str
        Dotted name of the innermost module in which it was called.
    in_place : bool
        Whether it changed one of its arguments; the changed tensor is its output, under a new number.
    seconds : float
        How long the call took. What a device computes beside the processor is not waited for.
    """

    index: int
    function: Any
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    module: str
    in_place: bool
    seconds: float = 0.0


@dataclass
class Tape:
    """Every function that was applied to what comes from the image, in order.

    Attributes
    ----------
    nodes : tuple of Node
        In running order.
    shapes : list of torch.Size
        The shape of each value; value 0 is the image.
    values : list of Tensor
        The values themselves, as they were before anything overwrote them: those that were to be kept. In the place
        of each other one stands an empty tensor; the list is empty if only shapes were wanted.
    layers : dict of Key to int
        The value that each call of a module or function gave: its main tensor.
    output : int or None
        The network's main output; None if it does not come from the image.
    outputs : dict of str to int
        All of its outputs that come from the image, by their names in what it returns.
    trouble : str
        Why the tape cannot simply be run again, or "": something changed a tensor through a view of it, or in a
        way that torch does not show, or ran under another autocast.
    fixed : mapping of Tensor to Tensor
        Of whole numbers among the nodes' arguments, the values, also where the pass had none: those that the
        network holds, lists made into tensors, ranges, and other shapes and parts of these. Nothing random.
    prepared : dict of frozenset of int to object
        What was made ready for running it again, by the values that are wanted; kept as long as the tape.
    """

    nodes: tuple[Node, ...] = ()
    shapes: list[torch.Size] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    layers: dict[Key, int] = field(default_factory=dict)
    output: int | None = None
    outputs: dict[str, int] = field(default_factory=dict)
    trouble: str = ""
    fixed: WeakTensorKeyDictionary = field(default_factory=WeakTensorKeyDictionary)
    prepared: dict[frozenset[int], Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def seconds(self) -> float:
        """How long the functions took together; see `Node.seconds`."""
        return sum(node.seconds for node in self.nodes)

    def holds(self, numbers: Collection[int]) -> bool:
        """Return whether these values were kept."""
        if not self.values:
            return not numbers
        return all(self.values[number].shape == self.shapes[number] for number in numbers)

    def like(self, other: "Tape") -> bool:
        """Return whether the network did the same both times, so that a number means the same value."""
        return self.shapes == other.shapes and [
            (node.name, node.inputs, node.outputs) for node in self.nodes
        ] == [(node.name, node.inputs, node.outputs) for node in other.nodes]


_Followed = WeakKeyDictionary[nn.Module, dict[tuple[Any, ...], Tape]]

_followed: ContextVar[_Followed | None] = ContextVar("followed", default=None)


@contextmanager
def followed_once() -> Iterator[None]:
    """Within it, a network that is followed without arithmetic is followed once for each size of its image.

    Nothing may change a network meanwhile, but for its weights.
    """
    outer = _followed.get()
    token = _followed.set(WeakKeyDictionary() if outer is None else outer)
    try:
        yield
    finally:
        _followed.reset(token)


def record(
    network: nn.Module,
    image: Tensor,
    *,
    keep: bool | Collection[int],
) -> Tape:
    """Run the network once in evaluation mode and record what it does with the image.

    Parameters
    ----------
    network : nn.Module
        Left exactly as found.
    image : Tensor of shape (N, C, H, W)
        On the network's device; on the meta device, the network runs there too, without arithmetic.
    keep : bool or collection of int
        Whether to keep every value, or which beside the network's outputs, by their numbers on a tape of the same
        network and size of image (see `with_values`); if False, only shapes.

    Returns
    -------
    Tape

    Raises
    ------
    ModelError
        If values are to be kept and the network is on the meta device, where there are none.
    Exception
        Whatever the network raises on this image.
    """
    network = original = unwrap(network)
    if keep is not False:
        require_values(network)
    kept = _followed.get() if image.is_meta and keep is False else None
    key = (image.shape, image.dtype, *map(id, network.modules()))
    if kept is not None and key in kept.get(network, ()):
        return kept[network][key]
    if image.is_meta:
        network = stand_in(network)
    lists = _lists(original, network)
    with torch.no_grad(), evaluation(network):
        recording = _follow(network, image, _Recording(network, image.is_meta, keep, []), lists)
        if recording.strangers:
            # A tensor that no recorded function made: either it was there before, then it comes again, or not.
            again = _Recording(network, image.is_meta, keep, recording.strangers)
            recording = _follow(network, image, again, lists)
    if kept is not None:
        kept.setdefault(original, {})[key] = recording.tape
    return recording.tape


def with_values(
    tape: Tape,
    network: nn.Module,
    image: Tensor,
    numbers: Set[int],
    reserve: Callable[[int], None] | None = None,
) -> Tape | None:
    """Return a tape that holds some of its values; if it does not yet, the network runs again.

    What will be needed of all that a network makes of an image is known only when its tape is there, and all of it
    together may not fit into memory.

    Parameters
    ----------
    tape : Tape
        Of this network on this image.
    network : nn.Module
        Left exactly as found.
    image : Tensor of shape (N, C, H, W)
        On the network's device.
    numbers : set of int
        Which values.
    reserve : callable, optional
        Called before the network runs again, with how many bytes will be kept.

    Returns
    -------
    Tape or None
        None if the network did something else this time, so that the numbers mean nothing.

    Raises
    ------
    Exception
        Whatever the network raises on this image.
    """
    if tape.holds(numbers):
        return tape
    if reserve is not None:
        reserve(image.element_size() * sum(tape.shapes[number].numel() for number in numbers))
    again = record(network, image, keep=numbers)
    return replace(tape, values=again.values) if again.like(tape) else None


def _lists(original: nn.Module, network: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Return each tensor of whole numbers that a network, or its stand-in, holds, and its values."""
    found = []
    for source, module in zip(original.modules(), network.modules(), strict=True):
        for old, new in ((source._buffers, module._buffers), (vars(source), vars(module))):
            for name, tensor in new.items():
                values = old.get(name)
                if isinstance(tensor, Tensor) and isinstance(values, Tensor) and _whole(values):
                    found.append((tensor, values))
    return found


def _whole(tensor: Tensor) -> bool:
    return tensor.dtype in _WHOLE and not tensor.is_meta and tensor.numel() <= _MANY


def _follow(
    network: nn.Module, image: Tensor, recording: "_Recording", lists: list[tuple[Tensor, Tensor]]
) -> "_Recording":
    for tensor, values in lists:
        recording.fix(tensor, values)
    recording.lists = [(tensor, version_of(tensor)) for tensor, _ in lists]
    image = image.clone()  # the network may write to it
    recording.number(image)
    with watch(network, recording.tell, recorder=recording) as start:
        start()
        recording.finish(network(image))
    return recording


def _refer(value: Any, known: Any) -> Any:
    """Return the same structure with every recorded tensor replaced by its Ref."""
    if isinstance(value, Tensor):
        entry = known.get(value)
        return value if entry is None else Ref(entry[0])
    if isinstance(value, tuple | list):
        items = [_refer(item, known) for item in value]
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*items)
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, Mapping):
        return {key: _refer(item, known) for key, item in value.items()}
    return value


# What these return does not depend on the values of the tensor that they are called with.
_CONSTANTS = names("constant")

_WHOLE = (torch.int64, torch.int32, torch.int16, torch.uint8)

_MANY = 1_000_000

# What makes whole numbers of nothing else; and of other whole numbers the same, or others, without chance.
_MAKES = frozenset(("arange", "tensor", "as_tensor"))

_KEEPS = names(
    "view", "squeeze", "unsqueeze", "permutation", "transposition", "moving", "expansion", "repetition",
    "interleaving", "concatenation", "stack", "getitem", "narrow", "slice", "select", "reordering", "indexing",
    "arithmetic", "copy", "scan",
)  # fmt: skip

_COPIES = names("copy")

_HOLDERS = (Tensor, dict, list, tuple)

_LEFT_OUT = torch.empty(0)
"""Stands in the place of a value that is not kept."""


def _autocast() -> tuple[bool, ...]:
    return tuple(torch.is_autocast_enabled(device) for device in ("cpu", "cuda"))


class _Recording:
    """Writes the tape while the network runs."""

    def __init__(
        self,
        network: nn.Module,
        shapes_only: bool,
        keep: bool | Collection[int],
        given: list[Tensor],
    ) -> None:
        self.tape = Tape()
        self.network = network
        self.nodes: list[Node] = []
        self.keep = keep is not False
        self.some = None if isinstance(keep, bool) else frozenset(keep)
        # Each living tensor that comes from the image: its number, and its version when it got that number.
        self.known: Any = tensor_table(shapes_only)
        self.sharing: dict[int, list[int]] = {}
        self.versions: list[tuple[Tensor, int]] = []
        self.started = 0.0
        # Tensors that do not come from the image: those of the network, and what functions make of them.
        self.constant: Any = tensor_table(shapes_only)
        for tensor in given:
            self.constant[tensor] = None
        self.autocast = _autocast()
        self.walked = False
        self.strangers: list[Tensor] = []
        # Memory of constants into which something of the image was written, by its address; kept alive.
        self.tainted: dict[int, Tensor] = {}
        # Tensors of whole numbers whose values are known, with their version then.
        self.whole: Any = tensor_table(shapes_only)
        self.lists: list[tuple[Tensor, int]] = []

    def fix(self, tensor: Tensor, values: Tensor) -> None:
        """Remember the values of a tensor of whole numbers."""
        self.whole[tensor] = (values, version_of(tensor))

    def _values(self, tensor: Tensor) -> Tensor | None:
        values, version = self.whole.get(tensor, (None, 0))
        return values if version == version_of(tensor) else None

    def _compute(
        self, function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], made: list[Tensor]
    ) -> None:
        """Find the values of whole numbers that a function made without the image, from those that are known."""
        sources = list(tensors_in((args, kwargs)))
        makes = name in _MAKES and not sources
        if len(made) != 1 or made[0].dtype not in _WHOLE or made[0].numel() > _MANY:
            return
        if not makes and not (name in _KEEPS and sources and all(map(self._known_whole, sources))):
            return
        if not made[0].is_meta:
            self.fix(made[0], made[0])
            return
        try:
            if name in _COPIES:
                found = self._real(sources[0]).to(made[0].dtype)
            else:
                found = function(
                    *self._real(args), **{**self._real(kwargs), **({"device": "cpu"} if makes else {})}
                )
        except Exception:  # what a function may say of these values
            return
        if isinstance(found, Tensor) and found.shape == made[0].shape:
            self.fix(made[0], found)

    def _known_whole(self, tensor: Tensor) -> bool:
        return self._values(tensor) is not None

    def _real(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._values(value)
        if isinstance(value, dict):
            return {key: self._real(item) for key, item in value.items()}
        if isinstance(value, tuple | list):
            return type(value)(self._real(item) for item in value)
        return value

    def number(self, tensor: Tensor) -> int:
        """Give a tensor, as it now is, the next number."""
        number = len(self.tape.shapes)
        self.tape.shapes.append(tensor.shape)
        self.known[tensor] = (number, version_of(tensor))
        if not self.keep:
            return number
        if self.some is None or number in self.some:
            self.tape.values.append(tensor)
            self.sharing.setdefault(tensor.untyped_storage()._cdata, []).append(number)
        else:
            self.tape.values.append(_LEFT_OUT)
        return number

    def before(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Remember the versions of all arguments, and save what may be overwritten."""
        self.versions = [(tensor, version_of(tensor)) for tensor in tensors_in((args, kwargs))]
        if self.keep and self.versions and writes(function, args, kwargs):
            for tensor, _ in self.versions:
                for number in self.sharing.pop(tensor.untyped_storage()._cdata, ()):
                    self.tape.values[number] = self.tape.values[number].clone()
        self.started = time.perf_counter()

    def after(
        self, function: Any, module: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """Write down a call, if it reads what comes from the image."""
        seconds = time.perf_counter() - self.started
        versions, self.versions = self.versions, []
        made = list(tensors_in(output))
        name = plain_name(function)
        if self.tainted:
            for tensor, _ in versions:
                self._meet(tensor, module)
        if name in _CONSTANTS or not any(tensor in self.known for tensor, _ in versions):
            for tensor in made:
                self.constant[tensor] = None
            self._compute(function, name, args, kwargs, made)
            return
        changed = [tensor for tensor, version in versions if version_of(tensor) != version]
        if not made and not changed and name not in READS:
            return
        if not changed and made and all(tensor in self.known for tensor in made):
            return  # it handed its argument through, as dropout does in evaluation
        for tensor, version in versions:
            self._meet(tensor, module)
            self._check(tensor, version, module)
        for tensor, _ in versions:
            values = self._values(tensor)
            if tensor not in self.known and values is not None:
                self.tape.fixed[tensor] = values
        referred, keywords = _refer(args, self.known), _refer(kwargs, self.known)
        if _autocast() != self.autocast:
            self._lost(f"{module or 'the network'} switches autocast on or off")
        inputs = tuple(dict.fromkeys(self.known[one][0] for one, _ in versions if one in self.known))
        outputs: list[int] = []
        for tensor in changed:
            if tensor not in self.known:
                self.tainted[tensor.untyped_storage()._cdata] = tensor
        for tensor in (*changed, *made):
            entry = self.known.get(tensor)
            if entry is None or entry[1] != version_of(tensor):
                outputs.append(self.number(tensor))
            elif entry[0] not in outputs:
                outputs.append(entry[0])
        self._add(function, name, referred, keywords, inputs, tuple(outputs), module, bool(changed), seconds)

    def tell(self, event: Event) -> None:
        """Note which value a layer gave; what comes out of a module unseen becomes a node of its own."""
        tensors = list(tensors_in(event.output))
        sources = [tensor for tensor in tensors_in(event.inputs) if tensor in self.known]
        unseen = [tensor for tensor in tensors if tensor not in self.known and self._strange(tensor)]
        if unseen and sources:
            inputs = tuple(self.known[tensor][0] for tensor in sources)
            outputs = tuple(self.number(tensor) for tensor in unseen)
            name = f"{type(event.source).__name__}: {UNSEEN}"
            self._lost(f"{event.key.module or 'the network'} does what torch does not show")
            self._add(None, name, (), {}, inputs, outputs, event.key.module, False)
        number = self._current(main_tensor(event.output), event.key.module)
        if number is not None:
            self.tape.layers[event.key] = number

    def finish(self, output: Any) -> None:
        """Close the tape."""
        main = main_tensor(output)
        for name, tensor in named_tensors(output).items():
            # Of unknown origin only what may be looked at: it keeps the tape from being run again.
            number = self._current(tensor, "") if tensor in self.known or tensor.ndim in (2, 4) else None
            if number is not None:
                self.tape.outputs[name] = number
                self._keep(number, tensor)
        self.tape.output = self._current(main, "")
        self._keep(self.tape.output, main)
        if any(version_of(tensor) != version for tensor, version in self.lists):
            self.tape.fixed.clear()  # other values in every run
        self.tape.nodes = tuple(self.nodes)

    def _current(self, tensor: Tensor | None, module: str) -> int | None:
        """Return the number of what a tensor now holds; None if it does not come from the image."""
        if tensor is None:
            return None
        if self.tainted:
            self._meet(tensor, module)
        self._check(tensor, version_of(tensor), module)
        entry = self.known.get(tensor)
        return None if entry is None else int(entry[0])

    def _strange(self, tensor: Tensor) -> bool:
        """Return whether nothing recorded made this tensor, and the network does not hold it either."""
        if not self.walked and tensor not in self.constant:
            self.walked = True
            held = [value for module in self.network.modules() for value in vars(module).values()]
            for one in tensors_in([value for value in held if isinstance(value, _HOLDERS)]):
                self.constant[one] = None
        return tensor not in self.constant

    def _meet(self, tensor: Tensor, module: str) -> None:
        """Record a tensor of unknown origin, or one whose memory was written to, as made of nothing known."""
        if tensor in self.known:
            return
        written = bool(self.tainted) and tensor.untyped_storage()._cdata in self.tainted
        if not written and not self._strange(tensor):
            return
        if written:
            self._lost(f"a tensor in {module or 'the network'} was changed through a view of it")
        else:
            self.strangers.append(tensor)
            self._lost(f"a tensor in {module or 'the network'} comes from where torch does not show")
        name = ALIASED if written else UNSEEN
        self._add(None, name, (), {}, (), (self.number(tensor),), module, False)

    def _check(self, tensor: Tensor, version: int, module: str) -> None:
        """Give a tensor that changed since it was recorded, through a view or behind our back, a new number."""
        entry = self.known.get(tensor)
        if entry is None or entry[1] == version:
            return
        number = self.number(tensor)
        # The call itself may have changed it once more: what counts is how it was before.
        self.known[tensor] = (number, version)
        self._lost(f"a tensor in {module or 'the network'} was changed through a view of it")
        self._add(None, ALIASED, (), {}, (entry[0],), (number,), module, False)

    def _lost(self, reason: str) -> None:
        self.tape.trouble = self.tape.trouble or reason

    def _add(
        self,
        function: Any,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        inputs: tuple[int, ...],
        outputs: tuple[int, ...],
        module: str,
        in_place: bool,
        seconds: float = 0.0,
    ) -> None:
        index = len(self.nodes)
        node = Node(index, function, name, args, kwargs, inputs, outputs, module, in_place, seconds)
        self.nodes.append(node)

    def _keep(self, number: int | None, tensor: Tensor | None) -> None:
        """Keep the value of an output."""
        if self.keep and number is not None and tensor is not None:
            self.tape.values[number] = tensor
