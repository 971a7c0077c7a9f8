"""One question a file: network and images in, a Result out."""

from netviz.analysis.common import layers
from netviz.analysis.contrast import contrast
from netviz.analysis.dissect import dissect
from netviz.analysis.field import field
from netviz.analysis.filters import filters
from netviz.analysis.hypercolumn import hypercolumn
from netviz.analysis.layer_fields import describe_field, layer_fields
from netviz.analysis.maps import maps
from netviz.analysis.matching import match
from netviz.analysis.minimal import minimal, minimal_set
from netviz.analysis.normalize import local_statistics, normalize
from netviz.analysis.occlusion import occlusion
from netviz.analysis.patches import patches
from netviz.analysis.segment import segment
from netviz.analysis.sift import sift
from netviz.analysis.stages import stages
from netviz.analysis.survey import survey
from netviz.analysis.units import units

__all__ = [
    "contrast",
    "describe_field",
    "dissect",
    "field",
    "filters",
    "hypercolumn",
    "layer_fields",
    "layers",
    "local_statistics",
    "maps",
    "match",
    "minimal",
    "minimal_set",
    "normalize",
    "occlusion",
    "patches",
    "segment",
    "sift",
    "stages",
    "survey",
    "units",
]
