"""Networks that a library has saved as a folder: a config.json that tells how to build it, and its weights."""

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from netviz.errors import ModelError
from netviz.models.loading.checkpoint import read_checkpoint
from netviz.models.model import Model, fill, given
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
    return given(network, folder.name, f"segmentation_models_pytorch {kind.__name__} from {folder.name}")


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
