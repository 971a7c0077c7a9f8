"""Fully convolutional networks: classifiers cast, streams and skips, trained and compared.

A classifier evaluated at every place of an image is `netviz.dense`. Nothing heavy is imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netviz.fcn.casting.cast import cast
    from netviz.fcn.casting.check import CastCheck, cast_check
    from netviz.fcn.evaluation.measure import evaluate
    from netviz.fcn.streams.measure import show
    from netviz.fcn.streams.network import FCN
    from netviz.fcn.training.train import train

__all__ = ["FCN", "CastCheck", "cast", "cast_check", "evaluate", "show", "train"]

_HOMES = {
    "FCN": "streams.network",
    "CastCheck": "casting.check",
    "cast": "casting.cast",
    "cast_check": "casting.check",
    "evaluate": "evaluation.measure",
    "show": "streams.measure",
    "train": "training.train",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"netviz.fcn.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'netviz.fcn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
