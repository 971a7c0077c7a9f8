"""Networks of the Hugging Face hub, and folders that ``save_pretrained`` wrote: by transformers, or by timm."""

import importlib
import json
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from netviz.errors import MissingWeightsError, ModelError, UntrustedError
from netviz.models.builders import build_timm
from netviz.models.described.description import Description, believed
from netviz.models.described.inside import told_by_file
from netviz.models.foreign.smp import open_folder
from netviz.models.loading.checkpoint import read_checkpoint
from netviz.models.model import Model, fill, given
from netviz.models.named import UNTRAINED
from netviz.models.preprocessing import Preprocessing, assumed
from netviz.models.torchvision_import import import_torchvision

_SAFE = ("model.safetensors", "model.safetensors.index.json")
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_TOLD = ("config.json", "preprocessor_config.json")

_INTERPOLATION = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers."""


def open_hub(name: str, *, trust: bool = False, weights: str | Path = "default", seed: int = 0) -> Model:
    """Open a network of the hub, from its cache on this machine or downloaded there.

    Parameters
    ----------
    name : str
        ``owner/name``, or ``owner/name@revision``.
    trust, weights, seed
        As for `netviz.load`.

    Raises
    ------
    MissingWeightsError
        If it is neither on this machine nor can be downloaded.
    ModelError
        If it is no network that takes images; `UntrustedError` if it brings code of its own.
    """
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?(@\w[\w./-]*)?", name):
        raise ModelError(f"hf:{name} is no name on the hub: write hf:owner/name, or hf:owner/name@revision")
    untrained = str(weights) != "default"
    folder = _snapshot(name, trust, bare=untrained)
    found = open_pretrained(folder, trust=trust, name=f"hf:{name}", seed=seed if untrained else None)
    if found is None and not untrained:
        found = open_folder(folder)
    if found is None:
        raise ModelError(f"hf:{name} has no config.json that tells of a network")
    return found


def open_pretrained(
    folder: Path, *, trust: bool = False, name: str = "", seed: int | None = None
) -> Model | None:
    """Open a folder with a ``config.json`` of transformers or timm, and weights beside it; None for any other.

    Parameters
    ----------
    folder : Path
        Its weights are ``model.safetensors`` or ``pytorch_model.bin``, also in several parts.
    trust : bool
        Whether Python code in the folder may run.
    name : str
        What captions call it; by default the folder's name.
    seed : int, optional
        For a network without its trained weights.

    Raises
    ------
    ModelError
        If its weights are missing or do not fit, or it takes no images; `UntrustedError` if it brings its own code.
    """
    config = _json(folder / "config.json")
    if not {"model_type", "auto_map", "pretrained_cfg"} & config.keys():
        return None
    name = name or folder.resolve().name
    if "model_type" not in config and "pretrained_cfg" in config:
        return _timm(folder, config, name, seed)
    state = None if seed is not None else _state(folder, trust)
    try:
        transformers = _library("transformers", name)
    except ModelError as error:
        if state is None:
            raise
        text = f"only the weights of {folder} can be read (filters work, maps do not): {error}"
        return Model(name, None, state, assumed(3), origin=f"weights of {name}", obstacle=text)
    if not sys.stderr.isatty():
        transformers.utils.logging.disable_progress_bar()
    network, missing = _network(transformers, folder, state, name, trust, seed)
    model = given(network.eval(), name, f"{type(network).__name__} of transformers, {_where(name, seed)}")
    told = _told(transformers, folder, trust)
    said = Description(preprocessing=_processor(told, config, model.preprocessing))
    model = believed(model, said)
    if not all(re.fullmatch(r"LABEL_\d+", str(one)) for one in _mapping(config.get("id2label")).values()):
        model = believed(model, told_by_file({"id2label": config["id2label"]}, model.weights))
    doubts = (*_doubts(missing, seed), *_left_out(told))
    return replace(model, doubts=doubts, headless=_headless(missing, model.weights))


def _where(name: str, seed: int | None) -> str:
    return f"from {name}" if seed is None else f"untrained, seed {seed}"


def _doubts(missing: Sequence[str], seed: int | None) -> tuple[str, ...]:
    if seed is not None:
        return (UNTRAINED,)
    if not missing:
        return ()
    some = f"{missing[0]}{', …' if len(missing) > 1 else ''}"
    return (f"the file lacks {len(missing)} of its weights ({some}), which are chance",)


def _left_out(told: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what a processor does to a single image that netviz does not."""
    if not told.get("do_pad") or not (told.get("size_divisor") or told.get("pad_size")):
        return ()
    return ("its processor pads images after resizing them (do_pad), which is not done here",)


def _headless(missing: Sequence[str], weights: Mapping[str, Tensor]) -> str:
    """Say what a file lacks if that is all of one part of the network, its head."""
    parts = {name.partition(".")[0] for name in missing}
    own = [name for name in weights if name.partition(".")[0] in parts]
    if len(parts) != 1 or {*own} - {*missing}:
        return ""
    return f"lacks all {len(missing)} weights of {parts.pop()}"


def _library(name: str, needed_for: str) -> ModuleType:
    import_torchvision()  # which transformers imports, and which may need help
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        raise ModelError(
            f"{needed_for} needs transformers ({error}): run pip install 'netviz[hf]'"
        ) from error


def _snapshot(name: str, trust: bool, bare: bool) -> Path:
    """Return the folder of a network of the hub, downloaded if it is not there yet."""
    hub = _library("huggingface_hub", f"hf:{name}")
    if not sys.stderr.isatty():
        hub.utils.disable_progress_bars()
    identity, _, revision = name.partition("@")
    code = ["*.py"] if trust else []
    parts = ["model-*-of-*.safetensors"]

    def fetch(files: Sequence[str], offline: bool) -> Path:
        return Path(
            hub.snapshot_download(
                identity, revision=revision or None, allow_patterns=list(files), local_files_only=offline
            )
        )

    wanted = [*_TOLD, *code] if bare else [*_TOLD, *_SAFE, *parts, *code]
    with suppress(Exception):  # no such snapshot on this machine
        folder = fetch(wanted, True)
        if (folder / "config.json").is_file() and (bare or _has_weights(folder)):
            return folder
    try:
        folder = fetch(wanted, False)
        if not bare and not _has_weights(folder):
            folder = fetch([*_PICKLED, "pytorch_model-*-of-*.bin"], False)
    except Exception as error:  # no connection, no such network, no right to it
        raise MissingWeightsError(
            f"hf:{name} is not on this machine and cannot be downloaded ({_brief(error)}): "
            "give a folder with its config.json and model.safetensors instead"
        ) from error
    return folder


def _has_weights(folder: Path) -> bool:
    return any((folder / one).is_file() for one in (*_SAFE, *_PICKLED))


def _brief(error: BaseException) -> str:
    """Return the first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:300]


def _json(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _state(folder: Path, trust: bool) -> dict[str, Tensor]:
    """Read the weights of a folder, from one file or several."""
    path = next((folder / one for one in (*_SAFE, *_PICKLED) if (folder / one).is_file()), None)
    if path is None:
        raise ModelError(
            f"{folder} holds no weights: {_SAFE[0]} is missing; get it, or save the network again"
        )
    if path.suffix != ".json":
        return read_checkpoint(path, trust=trust).state
    names = sorted({str(one) for one in _mapping(_json(path).get("weight_map")).values()})
    if not names:
        raise ModelError(f"{path} names no files: get it again")
    state: dict[str, Tensor] = {}
    for one in names:
        if Path(one).name != one:
            raise ModelError(f"{path} names {one!r}, which is not in its folder: get it again")
        if not (folder / one).is_file():
            raise ModelError(
                f"{folder} lacks {one}, a part of its weights: get it, or save the network again"
            )
        state.update(read_checkpoint(folder / one, trust=trust).state)
    return state


def _network(
    transformers: ModuleType,
    folder: Path,
    state: Mapping[str, Tensor] | None,
    name: str,
    trust: bool,
    seed: int | None,
) -> tuple[nn.Module, list[str]]:
    """Build the network, with weights or of a seed; return it with the names of weights that are not there."""
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            torch.manual_seed(seed or 0)
            config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=trust)
            auto = _auto_class(transformers, config)
            if state is None:
                network, missing = auto.from_config(config, trust_remote_code=trust), []
            else:
                kind = _class(auto, config, folder, trust)
                network, info = kind.from_pretrained(
                    None,
                    config=config,
                    state_dict=dict(state),
                    dtype=torch.float32,
                    output_loading_info=True,
                )
                missing = sorted(info["missing_keys"])
    except Exception as error:  # a library answers what it does not know with anything
        if "trust_remote_code" in str(error):
            raise UntrustedError(
                f"{name} brings Python code of its own, which opening it would run; if you know where it comes from, "
                "allow that with --trust (trust=True in Python)"
            ) from error
        raise ModelError(f"transformers cannot open {name}: {_brief(error)}") from error
    wanted = getattr(network, "main_input_name", "pixel_values")
    if wanted != "pixel_values":
        raise ModelError(f"{name} is a {type(network).__name__}: it takes {wanted}, and netviz gives images")
    return network, missing


def _auto_class(transformers: ModuleType, config: Any) -> Any:
    """Return the class that makes a network with its scores: a classifier, one for segmentation, or what is below."""
    made = "".join((getattr(config, "architectures", None) or [""])[:1])
    for task in ("ImageClassification", "SemanticSegmentation"):
        found = getattr(transformers, f"AutoModelFor{task}")
        if f"For{task}" in made or (not made and type(config) in found._model_mapping):
            return found
    return transformers.AutoModel


def _class(auto: Any, config: Any, folder: Path, trust: bool) -> Any:
    """Return the class of the network that a configuration tells of."""
    own = _mapping(getattr(config, "auto_map", None)).get(auto.__name__)
    if own and trust:
        module = importlib.import_module("transformers.dynamic_module_utils")
        return module.get_class_from_dynamic_module(own, folder)
    factory = importlib.import_module("transformers.models.auto.auto_factory")
    if type(config) not in auto._model_mapping:
        raise ValueError(f"{type(config).__name__} is no configuration of an {auto.__name__}")
    return factory._get_model_class(config, auto._model_mapping)


def _told(transformers: ModuleType, folder: Path, trust: bool) -> dict[str, Any]:
    """Return the settings of the folder's processor, with the defaults of its class; empty if it has none."""
    told = _json(folder / _TOLD[1])
    if told:
        with suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            processor = transformers.AutoImageProcessor.from_pretrained(folder, trust_remote_code=trust)
            told = {**processor.to_dict(), "image_processor_type": told.get("image_processor_type", "")}
    return told


def _processor(
    told: Mapping[str, Any], config: Mapping[str, Any], own: Preprocessing
) -> Preprocessing | None:
    """Return what a processor of these settings does to an image; None if nothing tells."""
    if told:
        with suppress(KeyError, TypeError, ValueError):
            return from_processor(told)
    size = config.get("image_size")
    height, width = (size, size) if isinstance(size, int) else (size or (0, 0))[:2]
    return replace(own.sized(height, width), size_assumed=False) if height and width else None


def from_processor(told: Mapping[str, Any]) -> Preprocessing:
    """Return the preprocessing that the settings of an image processor of transformers tell.

    Parameters
    ----------
    told : mapping
        ``preprocessor_config.json``, with the defaults of its class.

    Raises
    ------
    KeyError, TypeError, ValueError
        If they make no sense.
    """
    resize, crop = _sizes(told)
    factor = float(told.get("rescale_factor") or 1 / 255) if told.get("do_rescale", True) else 1.0
    white = round(255 * factor, 6)
    black = -1.0 if told.get("rescale_offset") else 0.0
    mean: tuple[float, ...] = (0.0,) * 3
    std: tuple[float, ...] = (1.0,) * 3
    if told.get("do_normalize"):
        mean, std = (tuple(map(float, told[name])) for name in ("image_mean", "image_std"))
    if told.get("include_top"):
        # EfficientNet's is divided by its standard deviation twice.
        std = tuple(one * one for one in std)
    order = "BGR" if told.get("do_flip_channel_order") else "RGB" if len(mean) == 3 else "L"
    if len(mean) != len(std) or len(mean) != len(order) or min(std) <= 0:
        raise ValueError("mean and standard deviation are for 1 or 3 channels")
    return Preprocessing(
        resize=resize,
        crop=crop,
        mean=mean,
        std=std,
        scale=white + black,
        channel_order=order,
        interpolation=_INTERPOLATION.get(int(told.get("resample") or 0), "bilinear"),
        black=black,
    )


def _sizes(told: Mapping[str, Any]) -> tuple[int | tuple[int, int] | None, tuple[int, int] | None]:
    """Return what an image is resized to, and what is cut out of that."""
    size = told.get("size") if told.get("do_resize", True) else None
    pair = _pair(size)
    short = None
    if isinstance(size, Mapping) and size.get("shortest_edge"):
        short = int(size["shortest_edge"])
    crop = _pair(told.get("crop_size")) if told.get("do_center_crop") else None
    kind = str(told.get("image_processor_type") or told.get("feature_extractor_type") or "")
    share = told.get("crop_pct")
    if short and kind.startswith("Levit"):
        short = int(256 / 224 * short)
    elif short and share and kind.startswith("PoolFormer"):
        short = int(short / float(share))
    elif short and (share or kind.startswith("ConvNext")):
        # ConvNeXt's cuts out as much as `size` says, and from 384 pixels on shows all.
        crop = crop or (short, short)
        if short >= 384:
            return (short, short), crop
        short = int(short / float(share or 224 / 256))
    if pair is not None:
        return pair, crop or pair
    return short, crop


def _pair(size: Any) -> tuple[int, int] | None:
    """Return a height and a width."""
    if isinstance(size, Mapping):
        size = (size["height"], size["width"]) if size.get("height") and size.get("width") else None
    elif isinstance(size, int):
        size = (size, size)
    return None if not size else (int(size[0]), int(size[1]))


def _timm(folder: Path, config: Mapping[str, Any], name: str, seed: int | None) -> Model:
    """Open a folder of timm's: its architecture's name, what it was trained with, and its weights."""
    architecture = str(config.get("architecture", ""))
    arguments = {"num_classes": config.get("num_classes"), **_mapping(config.get("model_args"))}
    network = build_timm(
        architecture, seed=seed, **{key: value for key, value in arguments.items() if value is not None}
    ).eval()
    if seed is None:
        network = fill(network, _state(folder, False), folder)
    model = given(network, name, f"timm {architecture}, {_where(name, seed)}")
    settings = {"pretrained_cfg": config["pretrained_cfg"], "label_names": config.get("label_names")}
    return replace(believed(model, told_by_file(settings, model.weights)), doubts=_doubts((), seed))
