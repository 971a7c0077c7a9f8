"""capture: run a network and hand out what its layers gave."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import torch
from torch import Tensor, nn

from netviz.capture.rectifiers import Nonlinearities, backward_rule
from netviz.capture.tensors import main_tensor, plain_values, replace_tensor, tensors_in
from netviz.capture.trace import require_values
from netviz.capture.watch import Event, Key, alone, evaluation, watch
from netviz.errors import LayerError
from netviz.models.layers import Arrangement, Layer
from netviz.models.model import unwrap


class _Enough(Exception):
    """All that was asked for has run. What a network does about it is of no account."""


class Capture:
    """Runs the network when called; afterwards ``run[layer]`` is that layer's output in the last run.

    Attributes
    ----------
    met : Nonlinearities
        What gradients met, in all runs together, where they follow a rule.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Iterable[Layer],
        grad: bool,
        start: Callable[[], None],
        any_size: bool,
        private: bool,
        stop: bool,
        met: Nonlinearities | None = None,
    ) -> None:
        self.met = met or Nonlinearities()
        self._network = network
        self._layers = tuple(layers)
        self._grad = grad
        self._start = start
        self._any_size = any_size
        self._private = private
        self._stop = stop
        self._kept: dict[Key, Any] = {}
        self._met: dict[Key, Nonlinearities] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the network once, on copies of the tensors given, and return its own output; None if it was to stop.

        Raises
        ------
        LayerError
            If a layer gives tokens or windows, and how they lie is known for another size of image only.
        """
        if not self._any_size:
            _require_size(self._layers, args[0] if args else None)
        self._start()
        self._kept.clear()
        if self._private:
            return self._network(*args, **kwargs)
        with torch.set_grad_enabled(self._grad), suppress(_Enough):
            return self._network(*map(_own, args), **{name: _own(one) for name, one in kwargs.items()})
        return None

    def __getitem__(self, layer: Layer | str) -> Any:
        """Return a layer's output, raw: (N, C, H, W) for a convolution; a str means a layer's exact name.

        Raises
        ------
        LayerError
            If the layer was not asked for, or did not run.
        """
        found = next((one for one in self._layers if layer in (one, one.name)), None)
        if found is None:
            raise LayerError(f"layer {layer if isinstance(layer, str) else layer.name!r} was not captured")
        try:
            return self._kept[_key(found)]
        except KeyError:
            raise LayerError(f"layer {found.name!r} did not run in this forward pass") from None

    def met_before(self, layer: Layer) -> Nonlinearities:
        """Return what of `met` had run when a layer had: what gradients from there can meet."""
        return self._met.get(_key(layer), self.met)

    def items(self) -> Iterator[tuple[Layer, Any]]:
        """Yield every captured layer that ran, with its output, in the order asked for."""
        for layer in self._layers:
            if _key(layer) in self._kept:
                yield layer, self._kept[_key(layer)]


@contextmanager
def capture(
    network: nn.Module,
    layers: Iterable[Layer],
    *,
    grad: bool = False,
    reduce: Callable[[Layer, Tensor], Any] | None = None,
    swap: Callable[[Layer, Tensor], Tensor] | None = None,
    any_size: bool = False,
    private: bool = False,
    stop: bool = False,
    rule: str = "",
) -> Iterator[Capture]:
    """Watch layers of a network; inside the ``with`` it is in evaluation mode, afterwards exactly as before.

    What is kept is a copy, taken before an in-place operation can overwrite it. An output that is a tuple, dict
    or dataclass is represented by its first tensor with maps.

    Parameters
    ----------
    network : nn.Module
        On any device; a DataParallel wrapper is looked through.
    layers : iterable of Layer
        From this network's `LayerIndex`.
    grad : bool
        Whether gradients flow: a kept output then lies on the path from input to output.
    reduce : callable, optional
        Gets each layer and its live output (not a copy) at once, and its result is kept instead.
    swap : callable, optional
        Gets each layer and its output, and returns what the network goes on with.
    any_size : bool
        Whether images may be of another size than the one at which the layers were listed, also where these give
        tokens or windows: the caller knows how they lie then.
    private : bool
        Whether the network and what it is called with are the caller's own copies, which may be changed: nothing is
        kept to be put back, and whether gradients flow is the caller's to say.
    stop : bool
        Whether the network goes no further than these layers. Not with `private` or `reduce`.
    rule : str
        With `grad`, which rule gradients follow at rectifiers: one of `BACKWARD_RULES`, see `backward_rule`. Without
        one nothing is counted either.

    Yields
    ------
    Capture
        Call it with the input; then index it with a layer.

    Raises
    ------
    ModelError
        If the network is on the meta device, or cannot follow the rule.

    Examples
    --------
    >>> import torch
    >>> from netviz.capture import capture, index_layers
    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(inplace=True))
    >>> conv1 = index_layers(network).resolve("conv1")
    >>> with capture(network, [conv1]) as run:
    ...     output = run(torch.randn(1, 3, 8, 8))
    >>> run[conv1].shape
    torch.Size([1, 4, 6, 6])
    """
    network = unwrap(network)
    require_values(network)
    layers = tuple(layers)
    by_key = {_key(layer): layer for layer in layers}
    run: Capture

    def tell(event: Event) -> Any:
        layer = by_key.get(event.key)
        output = None if layer is None else main_tensor(event.output)
        if layer is None or output is None:
            return None
        if reduce is not None:
            run._kept[event.key] = reduce(layer, output)
            return None
        if met is not None:
            run._met[event.key] = Nonlinearities(met.rectifiers.copy(), met.others.copy())
        if swap is not None:
            run._kept[event.key] = changed = swap(layer, output.clone())
            # What worked in place is known to the network by the name of its input, too.
            if any(output is one for one in tensors_in(event.inputs)):
                output.copy_(changed)
                return None
            return replace_tensor(event.output, output, changed.clone())
        run._kept[event.key] = output.clone()
        if stop and len(run._kept) == len(by_key):
            raise _Enough
        # With gradients the network goes on with another copy, so that the kept one is upstream of the output.
        return replace_tensor(event.output, output, run._kept[event.key].clone()) if grad else None

    functions = any(layer.function is not None for layer in layers)
    with (
        alone(network) if private else evaluation(network),
        # Below what watches, which sees the functions as the network calls them.
        backward_rule(network, rule) if rule else nullcontext() as met,
        watch(network, tell, modules={layer.module for layer in layers}, functions=functions) as start,
    ):
        run = Capture(network, layers, grad, start, any_size, private, stop, met)
        yield run


def channels_first(layer: Layer, output: Tensor) -> Tensor:
    """Return a layer's raw output as maps (N, C, H, W): channels on axis 1, tokens and windows in place.

    Quantized values come as what they stand for, complex ones as their magnitude.
    """
    output = plain_values(output)
    if layer.arrangement is not None:
        return _arranged(layer.arrangement, output)
    return output if layer.channel_axis == 1 else output.movedim(layer.channel_axis, 1)


def _arranged(how: Arrangement, output: Tensor) -> Tensor:
    """Return the maps that tokens, windows or heads make together."""
    if how.others:
        output = output.narrow(how.axis, how.before, output.shape[how.axis] - how.others)
    maps = output.reshape(how.split).permute(how.order).reshape(-1, *how.shape)
    return maps.roll(how.shift, (2, 3)) if any(how.shift) else maps


def _require_size(layers: Sequence[Layer], image: Any) -> None:
    """Refuse an image of another size than that for which it is known how tokens lie.

    Raises
    ------
    LayerError
        Naming the first layer.
    """
    for layer in layers:
        how = layer.arrangement
        if how is not None and isinstance(image, Tensor) and tuple(image.shape[-2:]) != how.size:
            sizes = ["×".join(map(str, size)) for size in (how.size, image.shape[-2:])]
            raise LayerError(
                f"where the {how} of layer {layer.name} lie is known for images of {sizes[0]} pixels, "
                f"not of {sizes[1]}; list the layers at that size"
            )


def _own(value: Any) -> Any:
    """Return a copy of a tensor, which the network may write to."""
    return value.clone() if isinstance(value, Tensor) else value


def _key(layer: Layer) -> Key:
    return Key(layer.module, layer.function, layer.call)
