"""See inside a trained convolutional network.

The functions here mirror the commands: ``netviz maps photo.jpg --layer conv3`` is
``netviz.maps("photo.jpg", layer="conv3")``. Nothing heavy is imported before it is used; what questions there are
stands in `netviz.questions.table`, from which the types in ``__init__.pyi`` are generated (``make docs``).
"""

from importlib import import_module
from typing import Any

from netviz._version import __version__
from netviz.questions.table import functions

_HOMES = {
    **functions(),
    "draw": "netviz.questions.drawing",
    "load": "netviz.models",
    "load_result": "netviz.questions.reader",
    "report": "netviz.questions.reader",
    "show": "netviz.questions.drawing",
    "survey": "netviz.surveys.survey",
}

__all__ = ["__version__", "fcn", *_HOMES]


def __getattr__(name: str) -> Any:
    if name == "fcn":
        return import_module("netviz.fcn")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'netviz' has no attribute {name!r}")


def _display(shown: Any) -> dict[str, str | bytes]:
    """Return what a notebook shows of a result or a run, by its MIME type."""
    found: dict[str, str | bytes] = import_module("netviz.gallery.notebook").display(shown)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
