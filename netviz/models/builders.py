"""Build networks by the names that torchvision and timm give them."""

import importlib
import inspect
import warnings
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from netviz.errors import ModelError, closest
from netviz.models.torchvision_import import import_torchvision

# These take a clip or two frames instead of one image, or need a quantized engine.
_OTHER_INPUTS = ("video", "optical_flow", "quantization")
_DENSE = ("segmentation", "detection")
_FACTORIES = frozenset((torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn))
# Filling a tensor that has no memory changes nothing, and takes most of the time of building on meta.
_FILLS = frozenset(
    getattr(torch.Tensor, f"{name}_")
    for name in ("normal", "uniform", "fill", "zero", "erfinv", "clamp", "mul", "add", "sub", "div", "copy")
)
# torchvision's default weights, except where another file of the same network is the one that is packaged.
_WEIGHTS = {"mobilenet_v2": "IMAGENET1K_V1"}


class _MetaParameters(TorchFunctionMode):
    """Put what a network allocates on the meta device, where it takes no memory.

    ``with torch.device("meta")`` would move every tensor, and some builders (RegNet, Swin) compute widths
    and index tables with small tensors whose values they read.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run ``func``, with ``device="meta"`` where it fills a new tensor of a given shape."""
        keywords = dict(kwargs or {})
        if func in _FILLS and args and args[0].is_meta:
            return args[0]
        if func in _FACTORIES:
            keywords["device"] = "meta"
        return func(*args, **keywords)


@cache
def torchvision_names() -> tuple[str, ...]:
    """Return torchvision's builders that take one image: classification, segmentation, detection; sorted."""
    names = import_torchvision().models.list_models()
    return tuple(sorted(name for name in names if not set(_module_path(name)) & set(_OTHER_INPUTS)))


@cache
def classification_names() -> tuple[str, ...]:
    """Return torchvision's builders of classifiers of one image, sorted."""
    return tuple(name for name in torchvision_names() if not set(_module_path(name)) & set(_DENSE))


def torchvision_families() -> dict[str, tuple[str, ...]]:
    """Return the builders of each of torchvision's modules, by the module's name; both sorted."""
    families: dict[str, list[str]] = {}
    for name in torchvision_names():
        families.setdefault(".".join(_module_path(name)), []).append(name)
    return {family: tuple(families[family]) for family in sorted(families)}


def default_weights(name: str) -> Any:
    """Return the weights that a torchvision builder is usually loaded with.

    Returns
    -------
    WeightsEnum member or None
        None where torchvision offers no weights for it.

    Raises
    ------
    ModelError
        If there is no such builder.
    """
    weights = list(import_torchvision().models.get_model_weights(_known(name)))
    if not weights:
        return None
    return getattr(type(weights[0]), _WEIGHTS.get(name, "DEFAULT"), weights[0])


def build_torchvision(
    name: str, *, meta: bool = False, seed: int | None = None, init: bool = True, **arguments: Any
) -> nn.Module:
    """Build one of torchvision's networks without pretrained weights.

    Parameters
    ----------
    name : str
        A builder's name, as in ``torchvision_names()``.
    meta : bool
        Put parameters and buffers on the meta device: shapes without memory. Small tables that the network
        computes (Swin's relative positions) stay real.
    seed : int or None
        Makes the random weights repeatable; the global generator is left as it was.
    init : bool
        Whether weights need their proper random values; without, GoogLeNet and Inception skip slow sampling.
    **arguments
        Passed on to the builder, such as ``num_classes``.

    Returns
    -------
    nn.Module
        In training mode, as torchvision builds it.

    Raises
    ------
    ModelError
        If there is no such builder, or it does not take these arguments.
    """
    builder = import_torchvision().models.get_model_builder(_known(name))
    parameters = inspect.signature(builder).parameters
    keywords: dict[str, Any] = {"weights": None}
    if "weights_backbone" in parameters:
        keywords["weights_backbone"] = None
    if _module_path(name) in (("googlenet",), ("inception",)):
        # Left unsaid, both warn that this default will change.
        keywords["init_weights"] = init and not meta
    keywords.update(arguments)
    return _build(lambda: builder(**keywords), name, meta, seed)


def build_timm(name: str, *, meta: bool = False, seed: int | None = None, **arguments: Any) -> nn.Module:
    """Build one of timm's networks without pretrained weights.

    Parameters
    ----------
    name : str
        An architecture's name, as timm lists it, without ``timm:``.
    meta, seed, **arguments
        As for ``build_torchvision``; ``pretrained=True`` lets timm fetch its own weights.

    Returns
    -------
    nn.Module

    Raises
    ------
    ModelError
        If timm is not installed, has no such architecture, or it does not take these arguments.
    """
    timm = import_timm()
    if not timm.is_model(name):
        raise ModelError(f"timm has no network named {name!r}{closest(name, timm.list_models())}")
    keywords = {"pretrained": False, **arguments}
    return _build(lambda: timm.create_model(name, **keywords), f"timm:{name}", meta, seed)


def import_timm() -> ModuleType:
    """Import timm, which is an extra of netviz.

    Raises
    ------
    ModelError
        If it is not installed.
    """
    import_torchvision()  # timm imports torchvision, which may need help
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module("timm")
    except ImportError as error:
        raise ModelError(f"networks of timm need timm ({error}): run pip install 'netviz[timm]'") from error


def _build(make: Callable[[], nn.Module], name: str, meta: bool, seed: int | None) -> nn.Module:
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[], enabled=seed is not None):
            warnings.simplefilter("ignore")
            if seed is not None:
                torch.manual_seed(seed)
            with _MetaParameters() if meta else nullcontext():
                return make()
    except Exception as error:  # builders answer wrong arguments and missing downloads with anything
        raise ModelError(f"cannot build {name}: {error}") from error


def _known(name: str) -> str:
    if name not in torchvision_names():
        raise ModelError(
            f"torchvision has no network for images named {name!r}{closest(name, torchvision_names())}"
        )
    return name


def _module_path(name: str) -> tuple[str, ...]:
    """Return where in ``torchvision.models`` a builder lives, such as ``("segmentation", "fcn")``."""
    builder = import_torchvision().models.get_model_builder(name)
    return tuple(str(builder.__module__).split(".")[2:])
