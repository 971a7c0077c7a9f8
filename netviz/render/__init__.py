"""Results as pictures: figures with captions, tile sheets for pages. Neither torch nor pyplot."""

from netviz.render.figures import FIGURES, draw, figure, picture
from netviz.render.patch_sheet import PatchSheet, patch_sheet
from netviz.render.patch_tiles import RunImages
from netviz.render.png import encode_png
from netviz.render.saving import PICTURES, encode_figure, save_figure, title_of
from netviz.render.scales import Scale, colour_bar
from netviz.render.sheets import Sheet, filter_sheet, map_sheet
from netviz.render.viewer import show

__all__ = [
    "FIGURES",
    "PICTURES",
    "PatchSheet",
    "RunImages",
    "Scale",
    "Sheet",
    "colour_bar",
    "draw",
    "encode_figure",
    "encode_png",
    "figure",
    "filter_sheet",
    "map_sheet",
    "patch_sheet",
    "picture",
    "save_figure",
    "show",
    "title_of",
]
