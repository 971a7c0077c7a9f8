"""Open a checkpoint safely, recognise it, name its layers."""

from netviz.models.layers import Kernel, Layer, LayerIndex, index_weights
from netviz.models.load import ModelOptions, ModelSpec, load
from netviz.models.model import Model
from netviz.models.preprocessing import Preprocessing

__all__ = [
    "Kernel",
    "Layer",
    "LayerIndex",
    "Model",
    "ModelOptions",
    "ModelSpec",
    "Preprocessing",
    "index_weights",
    "load",
]
