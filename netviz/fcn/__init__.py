"""Fully convolutional networks: classifiers cast, evaluated densely; streams and skips, trained and compared."""

from netviz.fcn.casting import cast
from netviz.fcn.casting_check import CastCheck, cast_check
from netviz.fcn.compare import dense_compare
from netviz.fcn.dense import dense
from netviz.fcn.evaluation import evaluate
from netviz.fcn.showing import show
from netviz.fcn.streams import FCN
from netviz.fcn.training import train

__all__ = ["FCN", "CastCheck", "cast", "cast_check", "dense", "dense_compare", "evaluate", "show", "train"]
