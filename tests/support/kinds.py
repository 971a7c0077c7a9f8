"""Kinds of network that write to themselves, or that are hard to copy: all take an image and give four classes."""

import itertools
import tempfile
import threading
import warnings
import weakref
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

KINDS: dict[str, Callable[[], nn.Module]] = {}
"""What makes a network of each kind."""


class Plain(nn.Module):
    """A classifier of two convolutions; kinds differ in `look`, which gets the maps between them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))

    def look(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.conv2(self.look(self.relu(self.conv1(x))))))


def kind(made: Any) -> Any:
    """Put a class, or a function that makes a network, among the kinds."""
    KINDS[made.__name__.strip("_").replace("_", " ")] = made
    return made


def changed(change: Callable[[Plain], object]) -> Callable[[], nn.Module]:
    """Put a plain network to which something is done among the kinds."""

    def make() -> nn.Module:
        network = Plain()
        change(network)
        return network

    KINDS[change.__name__.strip("_").replace("_", " ")] = make
    return make


@kind
class plain(Plain):
    pass


@kind
class tied_attribute(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.again = self.conv2

    def look(self, x: Tensor) -> Tensor:
        return self.again(x)


@kind
class tied_in_a_sequence(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.Sequential(self.conv2, self.relu, self.conv2)

    def look(self, x: Tensor) -> Tensor:
        return self.twice(x)


@kind
class tied_activation(Plain):
    def __init__(self) -> None:
        super().__init__()
        act = nn.PReLU(4)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(4, 4, 1), act) for _ in range(3))

    def look(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


@kind
class tied_weight(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Conv2d(4, 4, 3, padding=1)
        self.other.weight = self.conv2.weight

    def look(self, x: Tensor) -> Tensor:
        return self.other(x)


@kind
class tensor_cached_by_the_first_pass(Plain):
    scale: Tensor | None = None

    def look(self, x: Tensor) -> Tensor:
        if self.scale is None:
            self.scale = torch.full((1, 4, 1, 1), 2.0, device=x.device)
        return x * self.scale


@kind
class tensor_kept_as_attribute(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.full((1, 4, 1, 1), 2.0)

    def look(self, x: Tensor) -> Tensor:
        self.scale = self.scale.to(x.device)
        return x * self.scale


@kind
class tensor_written_to(tensor_kept_as_attribute):
    def look(self, x: Tensor) -> Tensor:
        self.scale.add_(1)
        return super().look(x)


@kind
class grid_cached_by_size(Plain):
    grid: Tensor | None = None

    def look(self, x: Tensor) -> Tensor:
        if self.grid is None or self.grid.shape != x.shape[-2:]:
            self.grid = torch.linspace(0, 1, x.shape[-1], device=x.device).expand(x.shape[-2:])
        return x + self.grid


@kind
class grids_cached_in_a_dict(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.grids: dict[Any, Tensor] = {}

    def look(self, x: Tensor) -> Tensor:
        key = tuple(x.shape[-2:])
        if key not in self.grids:
            self.grids[key] = torch.ones(key, device=x.device)
        return x + self.grids[key]


@kind
class buffer_registered_late(Plain):
    def look(self, x: Tensor) -> Tensor:
        if not hasattr(self, "offset"):
            self.register_buffer("offset", torch.ones(1, 4, 1, 1, device=x.device))
        return x + self.offset


@kind
class buffer_exchanged(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("passes", torch.zeros(()))

    def look(self, x: Tensor) -> Tensor:
        self.passes = self.passes + 1
        return x


@kind
class buffer_written_to(buffer_exchanged):
    def look(self, x: Tensor) -> Tensor:
        self.passes += 1
        return x


@kind
class buffer_that_is_a_view(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.rand(2, 4))
        self.register_buffer("first", self.table[0])

    def look(self, x: Tensor) -> Tensor:
        self.table.add_(0.5)
        return x * self.first[:, None, None]


@kind
class counter(Plain):
    count = 0

    def __init__(self) -> None:
        super().__init__()
        self.counts = {"passes": 0}

    def look(self, x: Tensor) -> Tensor:
        self.count += 1
        self.counts["passes"] += 1
        return x


@kind
class counter_by_default(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.seen: defaultdict[tuple[int, ...], int] = defaultdict(int)

    def look(self, x: Tensor) -> Tensor:
        self.seen[tuple(x.shape)] += 1
        return x


@kind
class list_of_features(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.features: list[Tensor] = []

    def look(self, x: Tensor) -> Tensor:
        self.features.append(x)
        return x


@kind
class features_in_an_object(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.state = SimpleNamespace(last=None, history=deque(maxlen=3), shapes=set())

    def look(self, x: Tensor) -> Tensor:
        self.state.last = x
        self.state.history.append(x)
        self.state.shapes.add(x.shape)
        return x


@kind
class parameter_changed(Plain):
    def look(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.conv2.weight.clamp_(-0.05, 0.05)
        return x


@kind
class parameter_changed_behind_autograd(Plain):
    def look(self, x: Tensor) -> Tensor:
        self.conv2.weight.data.mul_(0.9)
        self.conv2.bias.data = self.conv2.bias.data + 1
        return x


@kind
class parameter_exchanged(Plain):
    def look(self, x: Tensor) -> Tensor:
        self.conv2.bias = nn.Parameter(self.conv2.bias.detach() * 0.9)
        return x


@kind
class parameter_frozen_by_the_pass(Plain):
    def look(self, x: Tensor) -> Tensor:
        self.conv2.weight.requires_grad_(False)
        return x


@kind
class module_made_late(Plain):
    def look(self, x: Tensor) -> Tensor:
        if not hasattr(self, "late"):
            self.late = nn.Identity()
        return self.late(x)


@kind
class mode_changed(Plain):
    def look(self, x: Tensor) -> Tensor:
        self.head.train()
        return x


@kind
class lock(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def look(self, x: Tensor) -> Tensor:
        with self.lock:
            return x * 1


@kind
class file(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - it stays open as long as the network
        weakref.finalize(self, self.log.close)


@kind
class generator(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.steps: Iterator[int] = itertools.chain(x for x in range(3))
        self.random = torch.Generator().manual_seed(0)


@kind
class random_generator_used(generator):
    def look(self, x: Tensor) -> Tensor:
        torch.rand(2, generator=self.random)
        return x


@kind
class random_state_used(Plain):
    def look(self, x: Tensor) -> Tensor:
        torch.rand(2)
        np.random.rand()  # noqa: NPY002 - what is tested
        return x


@kind
class slots(Plain):
    __slots__ = ("passes", "unset")

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "passes", 0)

    def look(self, x: Tensor) -> Tensor:
        object.__setattr__(self, "passes", self.passes + 1)
        return x


@kind
class sparse_buffer(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("links", torch.eye(4).to_sparse())

    def look(self, x: Tensor) -> Tensor:
        return x + torch.sparse.mm(self.links.to(x.device), torch.ones(4, 1, device=x.device))[:, :, None]


@kind
class not_a_leaf(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Parameter(torch.ones(4, 1, 1))
        self.scale = self.base * 2

    def look(self, x: Tensor) -> Tensor:
        return x * self.scale.to(x.device)


@changed
def weight_norm(network: Plain) -> None:
    parametrizations.weight_norm(network.conv2)


@changed
def weight_norm_of_old(network: Plain) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        nn.utils.weight_norm(network.conv2)


@changed
def spectral_norm(network: Plain) -> None:
    parametrizations.spectral_norm(network.conv2)


@changed
def spectral_norm_of_old(network: Plain) -> None:
    nn.utils.spectral_norm(network.conv2)


@changed
def pruned(network: Plain) -> None:
    prune.l1_unstructured(network.conv2, "weight", amount=0.5)
    prune.ln_structured(network.conv1, "weight", amount=0.5, n=2, dim=0)


@kind
class autocast_inside(Plain):
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type if x.device.type != "meta" else "cpu", dtype=torch.bfloat16):
            return super().forward(x).float()


@kind
def data_parallel() -> nn.Module:
    return nn.DataParallel(Plain())


@kind
class data_parallel_inside(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.conv2 = nn.DataParallel(self.conv2)


@kind
class input_written_to(Plain):
    def forward(self, x: Tensor) -> Tensor:
        x -= x.mean((2, 3), keepdim=True)
        x.mul_(2)
        return super().forward(x)


@kind
class batch_norm_in_training(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)

    def look(self, x: Tensor) -> Tensor:
        return self.norm(x)


@kind
class batch_norm_that_stays_in_training(batch_norm_in_training):
    def look(self, x: Tensor) -> Tensor:
        self.norm.train()
        return super().look(x)


@kind
class batch_norm_without_running_statistics(batch_norm_in_training):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4, track_running_stats=False)


@kind
class tokens(Plain):
    """Patches of the maps and a class token attend to each other; the patches go back to their places."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(4, 4, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, 4))
        self.norm = nn.LayerNorm(4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def look(self, x: Tensor) -> Tensor:
        places = self.patches(x)
        every = torch.cat([self.token.expand(x.shape[0], -1, -1), places.flatten(2).transpose(1, 2)], 1)
        seen = self.norm(every)
        every = every + self.attention(seen, seen, seen, need_weights=False)[0]
        places = every[:, 1:].transpose(1, 2).reshape(places.shape)
        return nn.functional.interpolate(places + every[:, 0, :, None, None], size=x.shape[-2:])


@kind
class random_forward(Plain):
    def look(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.randn_like(x)


@kind
class dict_of_outputs(Plain):
    def forward(self, x: Tensor) -> Any:
        maps = self.relu(self.conv2(self.relu(self.conv1(x))))
        return {"out": self.head(maps), "maps": maps}


@kind
class tuple_of_outputs(Plain):
    def forward(self, x: Tensor) -> Any:
        maps = self.relu(self.conv2(self.relu(self.conv1(x))))
        return self.head(maps), (maps,)


@changed
def weights_channels_last(network: Plain) -> None:
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@kind
class maps_channels_last(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4), nn.GELU())

    def look(self, x: Tensor) -> Tensor:
        return x + self.mix(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Spectrum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfft2(x)


@kind
class complex_maps(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.spectrum = Spectrum()

    def look(self, x: Tensor) -> Tensor:
        return torch.fft.irfft2(self.spectrum(x) * 0.5, s=x.shape[-2:])


@changed
def hook_that_stores(network: Plain) -> None:
    seen: list[Tensor] = []
    network.conv1.register_forward_hook(lambda module, args, output: seen.append(output))


@changed
def hook_that_counts(network: Plain) -> None:
    count = 0

    def hook(*_: Any) -> None:
        nonlocal count
        count += 1

    network.conv1.register_forward_pre_hook(hook)


@changed
def hook_of_an_object(network: Plain) -> None:
    class Seen:
        last: Any = None

        def hook(self, name: str, module: nn.Module, args: Any, output: Any) -> None:
            self.last = name, output

    network.conv1.register_forward_hook(partial(Seen().hook, "conv1"))


@changed
def forward_set_on_the_instance(network: Plain) -> None:
    network.forward = partial(type(network).forward, network)  # type: ignore[method-assign]


@changed
def method_exchanged(network: Plain) -> None:
    inner = network.conv2.forward
    calls: list[int] = []

    def forward(x: Tensor) -> Tensor:
        calls.append(1)
        return inner(x)

    network.conv2.forward = forward  # type: ignore[method-assign]


@kind
class parent_known_to_the_child(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.passes = 0
        self.relu = Counting(self)


class Counting(nn.Module):
    """A ReLU that counts its passes at the network that holds it, which is no submodule of it."""

    def __init__(self, parent: Any) -> None:
        super().__init__()
        self.parent = [parent]

    def forward(self, x: Tensor) -> Tensor:
        self.parent[0].passes += 1
        return x.relu()


@kind
class modules_in_a_list(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = [nn.Conv2d(4, 4, 1)]

    def look(self, x: Tensor) -> Tensor:
        if x.device != self.hidden[0].weight.device:
            self.hidden[0].to(x.device)
        return self.hidden[0](x)


@kind
def graph_module() -> nn.Module:
    return torch.fx.symbolic_trace(Plain())
