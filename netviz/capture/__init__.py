"""Run networks under observation: capture activations, list layers, leave no trace."""

from netviz.capture.activations import Capture, capture, channels_first
from netviz.capture.copies import duplicate, sibling, stand_in
from netviz.capture.rectifiers import BACKWARD_RULES, Nonlinearities, backward_rule
from netviz.capture.tape import Node, Ref, Tape, followed_once, record, with_values
from netviz.capture.tensors import wide
from netviz.capture.trace import brief, index_layers, network_device, network_dtype
from netviz.capture.watch import evaluation, preserved
from netviz.models.model import unwrap

__all__ = [
    "BACKWARD_RULES",
    "Capture",
    "Node",
    "Nonlinearities",
    "Ref",
    "Tape",
    "backward_rule",
    "brief",
    "capture",
    "channels_first",
    "duplicate",
    "evaluation",
    "followed_once",
    "index_layers",
    "network_device",
    "network_dtype",
    "preserved",
    "record",
    "sibling",
    "stand_in",
    "unwrap",
    "wide",
    "with_values",
]
