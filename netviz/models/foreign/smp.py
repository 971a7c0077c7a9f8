"""Networks that a library has saved as a folder: a config.json that tells how to build it, and its weights."""

import importlib
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from netviz.errors import ModelError
from netviz.models.loading.checkpoint import read_checkpoint
from netviz.models.model import Model, fill, given
from netviz.models.preprocessing import Preprocessing
from netviz.models.torchvision_import import import_torchvision

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def open_folder(folder: Path) -> Model | None:
    """Open a folder that segmentation_models_pytorch has saved; None for any other.

    Raises
    ------
    ModelError
        If the library is not installed, or does not build the network that the folder tells of.
    """
    told = _config(folder)
    if "_model_class" not in told:
        return None
    path = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        raise ModelError(
            f"{folder} holds no weights: {' or '.join(_WEIGHTS)} is missing; save the network again"
        )
    kind = getattr(_library(folder), str(told["_model_class"]), None)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ModelError(
            f"{folder} tells of {told['_model_class']!r}, which the installed segmentation_models_pytorch does not "
            "have: install the version that saved it"
        )
    arguments = {key: value for key, value in told.items() if not key.startswith("_")}
    # The weights come from the folder, not from a download.
    arguments["encoder_weights"] = None
    try:
        network = kind(**arguments).eval()
    except Exception as error:  # a library answers wrong arguments with anything
        raise ModelError(
            f"{folder}: {kind.__name__} of segmentation_models_pytorch failed: {error}"
        ) from error
    network = fill(network, read_checkpoint(path).state, path)
    model = given(network, folder.name, f"segmentation_models_pytorch {kind.__name__} from {folder.name}")
    return replace(model, preprocessing=_of_encoder(model.preprocessing, folder, told))


def _of_encoder(preprocessing: Preprocessing, folder: Path, told: dict[str, Any]) -> Preprocessing:
    """Return the preprocessing with the values of the weights that the encoder began with, if the folder tells.

    The library knows them, some of them only when it can ask the hub: else they stay assumed.
    """
    name, weights = told.get("encoder_name"), told.get("encoder_weights")
    if not (isinstance(name, str) and weights):
        return preprocessing
    try:
        found = _library(folder).encoders.get_preprocessing_params(name, pretrained=weights)
        mean, std = (tuple(map(float, found[key])) for key in ("mean", "std"))
        scale = float((found.get("input_range") or (0, 1))[1])
        order = str(found.get("input_space") or "RGB")
    except Exception:  # a library, and the hub behind it, fail with anything
        return preprocessing
    fits = len(mean) == len(std) == preprocessing.channels == 3 and min(*std, scale) > 0
    if not fits or order not in ("RGB", "BGR"):
        return preprocessing
    return replace(preprocessing, mean=mean, std=std, scale=scale, channel_order=order, assumed=False)


def _config(folder: Path) -> dict[str, Any]:
    try:
        told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _library(folder: Path) -> ModuleType:
    import_torchvision()  # which may need help
    try:
        return importlib.import_module("segmentation_models_pytorch")
    except ImportError as error:
        raise ModelError(
            f"{folder} was saved by segmentation_models_pytorch, which cannot be imported ({error}): "
            "run pip install segmentation-models-pytorch"
        ) from error
