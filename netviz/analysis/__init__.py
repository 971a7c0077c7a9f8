"""One question a file: network and images in, a Result out."""

from netviz.analysis.common import layers
from netviz.analysis.contrast import contrast
from netviz.analysis.field import field
from netviz.analysis.filters import filters
from netviz.analysis.layer_fields import describe_field, layer_fields
from netviz.analysis.maps import maps
from netviz.analysis.matching import match
from netviz.analysis.normalize import local_statistics, normalize
from netviz.analysis.occlusion import occlusion
from netviz.analysis.patches import patches
from netviz.analysis.sift import sift
from netviz.analysis.stages import stages
from netviz.analysis.survey import survey

__all__ = [
    "contrast",
    "describe_field",
    "field",
    "filters",
    "layer_fields",
    "layers",
    "local_statistics",
    "maps",
    "match",
    "normalize",
    "occlusion",
    "patches",
    "sift",
    "stages",
    "survey",
]
