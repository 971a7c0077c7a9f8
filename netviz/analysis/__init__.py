"""One question a file: network and images in, a Result out."""

from netviz.analysis.common import layers
from netviz.analysis.field import field
from netviz.analysis.filters import filters
from netviz.analysis.layer_fields import describe_field, layer_fields
from netviz.analysis.maps import maps
from netviz.analysis.occlusion import occlusion
from netviz.analysis.survey import survey

__all__ = ["describe_field", "field", "filters", "layer_fields", "layers", "maps", "occlusion", "survey"]
