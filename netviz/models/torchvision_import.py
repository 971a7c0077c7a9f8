"""Import torchvision, also where its compiled operators do not load.

A torchvision wheel built for CUDA beside a torch built for the CPU (or the reverse) cannot load its compiled
operators. ``import torchvision`` then dies while it registers shape rules for an operator that is not there,
although the networks, which are plain PyTorch, would work. Those rules live in one module,
``torchvision._meta_registrations``, and only tracing with fake tensors needs them; netviz imports torchvision
without that module in this one case, and in no other.
"""

import importlib
import sys
import types
import warnings
from types import ModuleType

from netviz.errors import ModelError

_MISSING_OPERATOR = "operator torchvision::nms does not exist"
_RULES = "torchvision._meta_registrations"


def import_torchvision() -> ModuleType:
    """Import torchvision with its networks; every part of netviz gets torchvision from here.

    Returns
    -------
    module
        ``torchvision``, with ``torchvision.models`` loaded. Compiled operators (``nms``, ``roi_align``) stay
        missing where the wheel's binary does not fit torch.

    Raises
    ------
    ModelError
        If torchvision is not installed, or does not fit the installed torch at all.
    """
    loaded = sys.modules.get("torchvision")
    if loaded is not None and "torchvision.models" in sys.modules:
        return loaded
    try:
        return _import()
    except ImportError as error:
        raise ModelError(f"cannot import torchvision ({error}): run pip install torchvision") from error
    except RuntimeError as error:
        if _MISSING_OPERATOR not in str(error):
            raise _misfit(error) from error
    _forget()
    sys.modules[_RULES] = types.ModuleType(_RULES, "Left empty: the compiled operators are not there.")
    try:
        return _import()
    except (ImportError, RuntimeError) as error:
        # The empty stand-in must not outlive a failed attempt: it would hide the first error next time.
        _forget()
        raise _misfit(error) from error


def _misfit(error: Exception) -> ModelError:
    return ModelError(
        f"torchvision does not fit the installed torch ({error}): install versions that belong together"
    )


def _import() -> ModuleType:
    with warnings.catch_warnings():
        # Image files are read with Pillow in netviz; that torchvision's reader is missing concerns nobody.
        warnings.filterwarnings("ignore", message="Failed to load", category=UserWarning)
        module = importlib.import_module("torchvision")
        importlib.import_module("torchvision.models")
    return module


def _forget() -> None:
    """Drop what a failed import left behind, so that the next one starts afresh."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
