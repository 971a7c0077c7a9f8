"""How every picture looks: fonts, sizes, colours. The only place where any of them is chosen."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any, Final, cast

import matplotlib
import numpy as np
from matplotlib.colors import Colormap, ListedColormap
from numpy.typing import NDArray

DPI: Final = 100
"""Pixels per inch of a picture; layouts count in pixels at this density."""
VECTOR_DPI: Final = 200
"""Density of the images inside an SVG or PDF: a whole multiple of DPI keeps every tile pixel-exact."""
LARGEST: Final = 2400
"""Longest side of a picture in pixels (24 inches)."""
FAMILY: Final = "DejaVu Sans"
TITLE: Final = 13.0
CAPTION: Final = 9.0
LABEL: Final = 7.5
SMALL: Final = 7.0
PAPER: Final = "#ffffff"
INK: Final = "#1f2328"
MUTED: Final = "#59636e"
FAINT: Final = "#8b949e"
FRAME: Final = "#d0d7de"
DEAD: Final = "#6e7781"
DUPLICATE: Final = "#8250df"
OUTLINE: Final = "#ffd33d"
BEYOND: Final = "#e7eaee"
HATCH: Final = "#c9d0d8"
OUTSIDE: Final = "#a9b1ba"
OUTSIDE_HATCH: Final = "#8f99a4"
MARK: Final = "#d1495b"
BAR: Final = "#54aeff"
WARNING: Final = "#9a6700"
"""Notes on what is missing."""

CLASSES: Final = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
    "#1b1b3a",
    "#7700ff",
    "#442200",
    "#99ff99",
    "#1133aa",
    "#8877ff",
    "#dd1144",
    "#880077",
    "#22dd99",
    "#ccaa55",
    "#884466",
    "#664400",
    "#662233",
    "#88ddff",
    "#5555ee",
    "#330077",
    "#447744",
)
"""Colours of classes and clusters, by number: seven that Okabe and Ito chose for colour-blind readers, a dark one,
then those that lie farthest from all before them, from grey and from white, also for eyes that lack a cone."""

MEANINGS: Final = (
    ("#7ecbf5", ("sky",)),
    ("#6f4218", ("building", "house", "skyscraper", "tower")),
    ("#22223a", ("pole", "column", "lamp", "streetlight")),
    ("#53545e", ("road", "street", "asphalt", "runway")),
    ("#d77fc9", ("pavement", "sidewalk", "path")),
    ("#2f9e5f", ("tree", "vegetation", "plant", "pottedplant", "palm")),
    ("#ffe81a", ("sign", "traffic sign", "signboard", "sign symbol")),
    ("#e3bd8f", ("fence", "railing", "sand", "earth", "ground")),
    ("#1f3fbf", ("car", "vehicle", "van")),
    ("#f2304a", ("pedestrian", "person")),
    ("#ff7a1a", ("bicyclist", "rider", "cyclist")),
    ("#9fd64c", ("grass", "terrain", "field")),
    ("#17b1b8", ("water", "sea", "river", "lake", "boat")),
    ("#8a6bff", ("bus",)),
    ("#6a0f6f", ("truck",)),
    ("#00666b", ("train", "tram")),
    ("#7d1128", ("bicycle", "bike")),
    ("#ff9aa8", ("traffic light",)),
    ("#a795e6", ("wall",)),
    ("#5f6b2f", ("mountain", "hill", "rock")),
    ("#c2410c", ("motorcycle", "motorbike")),
    ("#d7f3f5", ("snow", "ice")),
)
"""Colours of classes that have one of their own, and the words that name them: what a reader expects of the thing.

All are apart from one another, from grey and from white."""

VOID: Final = "#8b929b"
"""What has no class."""
BAD: Final = (0, 200, 83)
"""Colour of NaN and infinity: a green that none of the colour scales contains."""
LEVELS: Final = 249
"""Colours of a scale: odd, so that zero has a colour of its own, and few enough that a tile sheet with
its paper, frame and NaN colours still fits a palette of 256."""

_MAPS: Final = {"diverging": "RdBu_r", "sequential": "magma", "rgb": "gray"}

_STYLE: Final[dict[str, Any]] = {
    "font.family": [FAMILY],
    "font.size": CAPTION,
    "text.color": INK,
    "text.parse_math": False,
    "text.usetex": False,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.6,
    "xtick.color": MUTED,
    "xtick.labelsize": LABEL,
    "xtick.major.size": 3.0,
    "xtick.major.width": 0.6,
    "xtick.major.pad": 2.0,
    "figure.dpi": DPI,
    "figure.facecolor": PAPER,
    "savefig.dpi": "figure",
    "savefig.facecolor": "auto",
    "savefig.bbox": None,
    "svg.hashsalt": "netviz",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "image.composite_image": True,
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw in netviz's own style, whatever the user's matplotlibrc says; undone on leaving."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(cast(Any, _STYLE))
        yield


@functools.cache
def colour_map(colours: str) -> Colormap:
    """Return the colour map of a scale (``"diverging"``, ``"sequential"`` or ``"rgb"``)."""
    table = matplotlib.colormaps[_MAPS[colours]].resampled(LEVELS)(np.arange(LEVELS))
    colour = ListedColormap(table, name=f"netviz-{colours}")
    return colour.with_extremes(bad=(BAD[0] / 255, BAD[1] / 255, BAD[2] / 255))


@functools.cache
def colour_table(colours: str) -> NDArray[np.uint8]:
    """Return the colours of a scale as uint8, shape (LEVELS, 3), lowest value first."""
    table = colour_map(colours)(np.arange(LEVELS), bytes=True)
    pixels: NDArray[np.uint8] = np.array(table, dtype=np.uint8)[:, :3]
    pixels.flags.writeable = False
    return pixels


def rgb(colour: str) -> tuple[int, int, int]:
    """Turn ``#rrggbb`` into three numbers of 0 … 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
