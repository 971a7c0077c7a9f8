"""Import torchvision, also where its compiled operators do not load.

A torchvision wheel built for CUDA beside a torch built for the CPU (or the reverse) cannot load its compiled
operators. ``import torchvision`` then dies while it registers shape rules for an operator that is not there,
although the networks, which are plain PyTorch, would work. Those rules live in one module,
``torchvision._meta_registrations``, and only tracing with fake tensors needs them; netviz imports torchvision
without that module in this one case, and in no other.

torchvision also imports torch's compiler (``torch._dynamo``, with SymPy and a thousand modules more, as long as torch
itself takes) for one function that is only asked when a detector runs on a graphics processor. Here that function
imports it when it is called.
"""

import importlib
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from netviz.errors import ModelError

_MISSING_OPERATOR = "operator torchvision::nms does not exist"
_RULES = "torchvision._meta_registrations"
_COMPILER = "torch._dynamo"


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


def compiled_operators() -> bool:
    """Return whether torchvision, once imported, has its compiled operators (``nms``, ``roi_align``).

    Raises
    ------
    ModelError
        As `import_torchvision` does.
    """
    import_torchvision()
    return hasattr(sys.modules.get(_RULES), "register_meta")


def _misfit(error: Exception) -> ModelError:
    return ModelError(
        f"torchvision does not fit the installed torch ({error}): install versions that belong together"
    )


def _import() -> ModuleType:
    with warnings.catch_warnings():
        # Image files are read with Pillow in netviz; that torchvision's reader is missing concerns nobody.
        warnings.filterwarnings("ignore", message="Failed to load", category=UserWarning)
        rules = sys.modules.get(_RULES)
        try:
            with _compiler_put_off():
                return _modules()
        except (ImportError, AttributeError) as error:
            if _COMPILER not in str(error):
                raise
            # A version that wants more of the compiler while it is imported gets all of it.
            _forget()
            sys.modules.update({} if rules is None else {_RULES: rules})
            return _modules()


def _modules() -> ModuleType:
    module = importlib.import_module("torchvision")
    importlib.import_module("torchvision.models")
    return module


@contextmanager
def _compiler_put_off() -> Iterator[None]:
    """Stand in for torch's compiler, which is imported once it is asked; nothing of the stand-in stays behind."""
    if _COMPILER in sys.modules:
        yield
        return

    def is_compile_supported(device_type: str) -> Any:
        return importlib.import_module(f"{_COMPILER}.utils").is_compile_supported(device_type)

    package = types.ModuleType(_COMPILER, "Imported when it is asked.")
    utils = types.ModuleType(f"{_COMPILER}.utils", package.__doc__)
    utils.is_compile_supported = is_compile_supported  # type: ignore[attr-defined]
    stand_ins = {module.__name__: module for module in (package, utils)}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, module in stand_ins.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _forget() -> None:
    """Drop what a failed import left behind, so that the next one starts afresh."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
