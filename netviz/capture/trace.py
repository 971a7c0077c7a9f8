"""Follow one forward pass and name its layers: the making of a LayerIndex."""

import inspect
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from netviz.capture.copies import stand_in
from netviz.capture.kinds import function_kind, module_kind
from netviz.capture.layout import Dims, LostError, arrangement, channels_of, image_dims, laid_out, total
from netviz.capture.operations import names
from netviz.capture.tensors import main_tensor, tensor_table, tensors_in
from netviz.capture.watch import Event, evaluation, is_leaf, watch
from netviz.errors import ModelError
from netviz.models.layers import Arrangement, Kernel, Layer, LayerIndex
from netviz.models.loading.plain import quantized_weight, weight_of
from netviz.models.model import image_channels, unwrap

SIZES = tuple(
    (side, side) for side in (224, 299, 256, 227, 64, 32, 28, 96, 512, 128, 16, 8, 48, 112, 160, 192, 384)
)
_CONSTANTS = names("constant")
RANDOM = "the network draws random numbers as it runs: answers differ from run to run"
_OPERATORS = "Couldn't load custom C++ ops"
_CONVOLVING = names("convolution", "transposed convolution", "linear")


class _Seen(NamedTuple):
    """What is known of a tensor that comes from the image.

    `dims` is what its dimensions stand for, None if that is lost, and then `lost` says why; `raw` whether its
    channels are still the image's own, `row` the layer that gave it.
    """

    dims: Dims | None
    raw: bool
    row: int | None = None
    lost: str = ""


@dataclass
class _Trace:
    """The rows gathered so far, and what is known of each living tensor."""

    network: nn.Module
    size: tuple[int, int]
    seen: Any
    # Constants in the shape of something of the image, which may yet be filled with some of it.
    blank: Any
    rows: list[Layer] = field(default_factory=list)
    chained: list[bool] = field(default_factory=list)
    ran: set[int] = field(default_factory=set)
    random: bool = False

    def follow(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Note, for every tensor that a function makes from the image, what its dimensions stand for."""
        read = list(tensors_in([args, kwargs]))
        source = self.seen if any(tensor in self.seen for tensor in read) else self.blank
        sources = [tensor for tensor in read if tensor in source]
        if not sources:
            return
        made = self.blank if name in _CONSTANTS else source
        written = args[0] if args and (output is None or output is args[0]) else None
        if source is self.seen and isinstance(written, Tensor) and written in self.blank:
            self.seen[written] = self.blank.pop(written)
        raw = source[sources[0]].raw and name not in _CONVOLVING
        known = {tensor: source[tensor].dims for tensor in sources}
        outputs = list(tensors_in(output))
        for place, tensor in enumerate(outputs):
            if tensor not in known and tensor is not written:
                dims, lost = None, ""
                try:
                    dims = laid_out(name, args, kwargs, known, outputs, place)
                except LostError as error:
                    lost = f"netviz cannot follow its axes {error}"
                except (TypeError, ValueError, IndexError, KeyError, AttributeError):
                    lost = f"netviz cannot follow its axes through {name}"
                if dims is not None and tuple(map(total, dims)) != tuple(tensor.shape):
                    dims, lost = None, f"netviz cannot follow its axes through {name}"
                made[tensor] = _Seen(dims, raw, lost=lost)

    def tell(self, event: Event) -> None:
        """Turn what ran into a row, or note that a module only hands out what a member gave."""
        if event.key.function is None:
            self.ran.add(id(event.source))
        output = main_tensor(event.output)
        inputs = [tensor for tensor in tensors_in(event.inputs) if tensor in self.seen]
        if output is None or output.ndim < 2 or not (inputs or output in self.seen):
            return
        if output not in self.seen:
            self.follow(type(event.source).__name__, event.inputs, {}, output)
            self.seen[output] = self.seen[output]._replace(raw=False)
        if inputs and self.seen[output].dims is None and inputs[0].shape == output.shape:
            self.seen[output] = self.seen[output]._replace(dims=self.seen[inputs[0]].dims)
        module = event.source if event.key.function is None else None
        known = self.seen[output]
        if module is not None and not is_leaf(module):
            if event.key.module == "":
                return
            if known.row is not None:
                row = self.rows[known.row]
                self.rows[known.row] = replace(row, also=(*row.also, event.key.module))
                return
        before = self.seen[inputs[0]] if inputs else None
        self.chained.append(bool(before) and before is not None and before.row == len(self.rows) - 1)
        axis, arranged, reason = _channels(known, output, self.size)
        self.rows.append(
            Layer(
                name=event.key.module,
                kind=_kind(event, module),
                type=type(module).__name__ if module is not None else str(event.key.function),
                channels=arranged.shape[0] if arranged else output.shape[axis],
                shape=arranged.shape if arranged else _shape(output, axis),
                parameters=_parameters(module),
                call=event.key.call,
                module=event.key.module,
                function=event.key.function,
                channel_axis=axis,
                no_maps=reason,
                complex=output.is_complex(),
                arrangement=arranged,
                kernel=_kernel(event, inputs, before is not None and before.raw),
            )
        )
        self.seen[output] = known._replace(row=len(self.rows) - 1)

    def idle(self) -> tuple[str, ...]:
        """Return the names of the modules that could have run, and did not."""
        lists = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
        named = self.network.named_modules(remove_duplicate=False)
        return tuple(
            name for name, one in named if name and id(one) not in self.ran and not isinstance(one, lists)
        )


def index_layers(
    network: nn.Module,
    *,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    prefer: tuple[int, int] | None = None,
) -> LayerIndex:
    """Follow the network's forward pass and list its layers.

    The pass runs on the meta device, without arithmetic or memory; where a network does not allow that, on real
    zeros. The network is afterwards exactly as it was.

    Parameters
    ----------
    network : nn.Module
        Takes one image batch, (N, C, H, W).
    size : (int, int), optional
        Height and width of the input, in pixels. By default `prefer`, then common sizes until one fits.
    channels : int, optional
        Channels of the input; by default what `image_channels` finds likely, until one fits.
    prefer : (int, int), optional
        The size that the network was trained with.

    Returns
    -------
    LayerIndex
        Modules and functions in running order, one entry for each call.

    Raises
    ------
    ModelError
        If the network runs on no such input, or has no layer with maps.
    """
    network = unwrap(network)
    candidates = image_channels(network) if channels is None else (channels,)
    sizes = [size] if size else list(dict.fromkeys([*([prefer] if prefer else []), *SIZES]))
    devices = [torch.device("meta"), network_device(network)]
    if any(quantized_weight(module) is not None for module in network.modules()):
        del devices[0]  # there are no quantized convolutions on the meta device
    problems: list[Exception] = []
    for height, width in sizes:
        failed: Exception | None = None
        for count in candidates:
            if failed is not None and problems and "channels" not in str(failed):
                break  # all were tried once
            for device in devices:
                try:
                    trace = _follow(network, device, (1, count, height, width))
                except Exception as error:
                    if _OPERATORS in str(error):
                        raise ModelError(
                            "the network needs torchvision's compiled operators (nms), which do not load beside this "
                            "build of torch; install a torchvision that belongs to it"
                        ) from error
                    problem = error  # the real run tells most: the meta device has troubles of its own
                    continue
                if not any(layer.spatial for layer in trace.rows):
                    raise ModelError(
                        "the network is not convolutional: none of its layers gives maps (N, C, H, W)"
                    )
                doubts = (RANDOM,) if trace.random else ()
                return LayerIndex(
                    _addressed(trace), trace.chained, (count, height, width), idle=trace.idle(), doubts=doubts
                )
            failed = failed or problem
        if failed is not None:
            problems.append(failed)
        if not isinstance(failed, RuntimeError | ValueError | IndexError | AssertionError) or (
            len(problems) == 2 and str(problems[0]) == str(problems[1])
        ):
            break
    raise ModelError(_refusal(network, problems, (candidates[0], *sizes[0]), size is not None)) from problems[
        0
    ]


def _refusal(network: nn.Module, problems: Sequence[Exception], shape: tuple[int, ...], given: bool) -> str:
    """Say why a network does not run: on what it was tried first, and what it raised at each of some sizes."""
    first = problems[0]
    needed = _required(network)
    if isinstance(first, TypeError) and len(needed) > 1:
        return (
            f"the network takes {len(needed)} inputs ({', '.join(needed)}), netviz gives one batch of images; "
            "wrap it in a module whose forward takes that"
        )
    image = "×".join(map(str, shape))
    if not isinstance(first, RuntimeError | ValueError | IndexError | AssertionError) or (
        len(problems) > 1 and str(first) == str(problems[1])
    ):
        return (
            f"the network does not run on a batch of images, 1×{image} ({brief(first)}); "
            "give one whose forward takes such a tensor alone"
        )
    tried = image if given else f"{image} or other common sizes"
    remedy = "give another --size HxW, or leave it out" if given else "give its input size with --size HxW"
    return f"the network does not run on an image of {tried} ({brief(first)}); {remedy}"


def _required(network: nn.Module) -> list[str]:
    """Return the names of the inputs that a network cannot do without."""
    try:
        parameters = inspect.signature(network.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in parameters if one.default is one.empty and one.kind not in free]


def brief(error: BaseException | None) -> str:
    """Return the first line of an error, for a message of one line."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 160 else text[:157] + "…"


def _follow(network: nn.Module, device: torch.device, shape: tuple[int, ...]) -> _Trace:
    if device.type == "meta":
        network = stand_in(network)
    meta = device.type == "meta"
    trace = _Trace(network, (shape[2], shape[3]), tensor_table(meta), tensor_table(meta))
    image = torch.zeros(shape, device=device, dtype=network_dtype(network))
    trace.seen[image] = _Seen(image_dims(shape), True)
    with (
        torch.no_grad(),
        evaluation(network) as state,
        watch(network, trace.tell, every_function=trace.follow) as start,
    ):
        start()
        network(image)
        trace.random = state.drew
    return trace


def network_device(network: nn.Module) -> torch.device:
    """Return the device of a network's parameters, or of its buffers where it has none; else the CPU."""
    tensors = itertools.chain(network.parameters(), network.buffers())
    return next((value.device for value in tensors), torch.device("cpu"))


def require_values(network: nn.Module) -> None:
    """Refuse a network on the meta device: it can be listed and placed, but not run.

    Raises
    ------
    ModelError
        If its parameters have no values.
    """
    if network_device(network).type == "meta":
        raise ModelError(
            "the network is on the meta device, so its weights have no values; "
            "call to_empty(device='cpu') and load_state_dict first"
        )


def network_dtype(network: nn.Module) -> torch.dtype:
    """Return the type of a network's parameters."""
    floating = (value.dtype for value in network.parameters() if value.is_floating_point())
    return next(floating, torch.float32)


def _channels(seen: _Seen, output: Tensor, size: tuple[int, int]) -> tuple[int, Arrangement | None, str]:
    """Return which axis holds the channels of an output, how it is put together to maps, and, if it has none, why."""
    axis = output.ndim - 1 if output.ndim == 3 else 1
    if output.ndim < 3:
        return axis, None, ""
    if seen.dims is None:
        return axis, None, seen.lost
    try:
        if output.ndim == 4 and (plain := channels_of(seen.dims)):
            return plain, None, ""
        axis, how = arrangement(seen.dims)
        return axis, replace(how, size=size), ""
    except LostError as error:
        return axis, None, str(error)


def _kind(event: Event, module: nn.Module | None) -> str:
    if module is None:
        return function_kind(str(event.key.function))
    return module_kind(module, event.functions) if is_leaf(module) else "block"


def _shape(output: Tensor, axis: int) -> tuple[int, ...]:
    sizes = list(output.shape)
    if output.ndim == 4:
        sizes.insert(1, sizes.pop(axis))
    return tuple(sizes[1:])


def _parameters(module: nn.Module | None) -> int:
    if module is None:
        return 0
    return sum(value.numel() for value in module.parameters(recurse=is_leaf(module)))


def _kernel(event: Event, inputs: Sequence[Tensor], raw: bool) -> Kernel | None:
    """Return what a convolution's weights look like, or None for another layer."""
    module = event.source if event.key.function is None and is_leaf(event.source) else None
    weight = None if module is None else weight_of(module)
    if module is None or not inputs or weight is None or weight.ndim != 4:
        return None
    kind = module_kind(module, event.functions)
    if kind not in ("conv", "deconv"):
        return None
    transposed = kind == "deconv"
    groups = getattr(module, "groups", None)
    if groups is None:
        groups = 1 if transposed else inputs[0].shape[1] // weight.shape[1]
    return Kernel(tuple(weight.shape), groups, transposed, raw and groups == 1 and not transposed)


def _addressed(trace: _Trace) -> Sequence[Layer]:
    """Give every row a name of its own and the number of its calls."""
    taken = {name for name, _ in trace.network.named_modules()}
    rows: list[Layer] = []
    calls = Counter((row.module, row.function) for row in trace.rows)
    for row in trace.rows:
        base = row.module if row.function is None else f"{row.module}.{row.function}".lstrip(".")
        name = base
        if row.function is not None or row.call:
            count = row.call
            name = f"{base}_{count}" if count else base
            while name in taken:
                count += 1
                name = f"{base}_{count}"
        taken.add(name)
        rows.append(replace(row, name=name or row.type, calls=calls[row.module, row.function]))
    return rows
