"""One question a file: network and images in, a Result out."""

from netviz.analysis.common import layers
from netviz.analysis.filters import filters
from netviz.analysis.maps import maps
from netviz.analysis.survey import survey

__all__ = ["filters", "layers", "maps", "survey"]
