"""See inside a trained convolutional network.

The functions here mirror the commands: ``netviz maps photo.jpg --layer conv3`` is
``netviz.maps("photo.jpg", layer="conv3")``. Nothing heavy is imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from netviz._version import __version__

if TYPE_CHECKING:
    from netviz import fcn
    from netviz.analysis import (
        contrast,
        dissect,
        field,
        filters,
        hypercolumn,
        layers,
        maps,
        match,
        minimal,
        minimal_set,
        normalize,
        occlusion,
        patches,
        segment,
        sift,
        stages,
        survey,
        units,
    )
    from netviz.fcn import dense, dense_compare
    from netviz.models import load
    from netviz.render import draw, show
    from netviz.results import load_result, report

__all__ = [
    "__version__",
    "contrast",
    "dense",
    "dense_compare",
    "dissect",
    "draw",
    "fcn",
    "field",
    "filters",
    "hypercolumn",
    "layers",
    "load",
    "load_result",
    "maps",
    "match",
    "minimal",
    "minimal_set",
    "normalize",
    "occlusion",
    "patches",
    "report",
    "segment",
    "show",
    "sift",
    "stages",
    "survey",
    "units",
]

_HOMES = {
    "contrast": "netviz.analysis",
    "dense": "netviz.fcn",
    "dense_compare": "netviz.fcn",
    "dissect": "netviz.analysis",
    "draw": "netviz.render",
    "field": "netviz.analysis",
    "filters": "netviz.analysis",
    "hypercolumn": "netviz.analysis",
    "layers": "netviz.analysis",
    "load": "netviz.models",
    "load_result": "netviz.results",
    "maps": "netviz.analysis",
    "match": "netviz.analysis",
    "minimal": "netviz.analysis",
    "minimal_set": "netviz.analysis",
    "normalize": "netviz.analysis",
    "occlusion": "netviz.analysis",
    "patches": "netviz.analysis",
    "report": "netviz.results",
    "segment": "netviz.analysis",
    "show": "netviz.render",
    "sift": "netviz.analysis",
    "stages": "netviz.analysis",
    "survey": "netviz.analysis",
    "units": "netviz.analysis",
}


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
