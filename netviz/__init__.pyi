# Generated from netviz/questions/table.py (`make docs`); a test holds it against that.

from netviz import fcn as fcn
from netviz._version import __version__ as __version__
from netviz.fcn.dense.compare import dense_compare as dense_compare
from netviz.fcn.dense.measure import dense as dense
from netviz.models import load as load
from netviz.questions.attribute.check import attribute_check as attribute_check
from netviz.questions.attribute.measure import attribute as attribute
from netviz.questions.contrast.measure import contrast as contrast
from netviz.questions.contrast.normalize import normalize as normalize
from netviz.questions.diff.measure import diff as diff
from netviz.questions.dissect.measure import dissect as dissect
from netviz.questions.drawing import draw as draw
from netviz.questions.drawing import show as show
from netviz.questions.field.measure import field as field
from netviz.questions.filters.measure import filters as filters
from netviz.questions.hypercolumn.measure import hypercolumn as hypercolumn
from netviz.questions.links.measure import links as links
from netviz.questions.maps.measure import maps as maps
from netviz.questions.minimal.measure import minimal as minimal
from netviz.questions.minimal.measure import minimal_set as minimal_set
from netviz.questions.occlusion.measure import occlusion as occlusion
from netviz.questions.opening import layers as layers
from netviz.questions.optimize.measure import optimize as optimize
from netviz.questions.patches.measure import patches as patches
from netviz.questions.reader import load_result as load_result
from netviz.questions.reader import report as report
from netviz.questions.segment.measure import segment as segment
from netviz.questions.sift.match import match as match
from netviz.questions.sift.measure import sift as sift
from netviz.questions.stages.measure import stages as stages
from netviz.questions.units.measure import units as units
from netviz.questions.votes.measure import votes as votes
from netviz.questions.votes.over import votes_set as votes_set
from netviz.surveys.survey import survey as survey

_HOMES: dict[str, str]

def _display(shown: object) -> dict[str, str | bytes]: ...
