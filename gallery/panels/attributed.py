"""What a photograph's likeliest classes come from, as pictures to lay over it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from netviz.paper.raster import encode_jpeg
from netviz.paper.scales import peak
from netviz.questions.attribute.draw import around_grey, in_colours, scale_of
from netviz.questions.attribute.result import CAMS, NAMES, AttributeResult
from netviz.results.survey import AttributionOnImage, AttributionRecord

from ..addresses import Addresses
from ..drawing import QUALITY, Pixels, Write, over_grey
from ..loading import load_kind
from ..manifest import Over, Picture
from ..panel import Panel, Recipe
from ..words import command, sized

RECIPE = Recipe(
    "Attributions",
    "Of the likeliest classes the maps of the last layer with maps, each weighed by the mean of the score's gradient "
    "(Grad-CAM); of the first also the gradient at the image without what lowers the score on its way (guided "
    "backpropagation).",
    (
        "Selvaraju et al., Grad-CAM, ICCV 2017",
        "Springenberg et al., Striving for simplicity, ICLR workshop 2015",
        "Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018",
    ),
)


@dataclass(frozen=True)
class Attributed:
    """What a photograph's classes come from: a picture of each, and the command for the first class."""

    over: tuple[Over, ...]
    command: str


def files(addresses: Addresses) -> Iterator[str]:
    """Yield the address of every file of the panel."""
    found = addresses.run.attribution
    for one in found.shown if isinstance(found, AttributionRecord) else ():
        if one.file is not None:
            yield _file(addresses, one)


def _file(addresses: Addresses, one: AttributionOnImage) -> str:
    return f"{addresses.folder}/attribution/{addresses.photos[one.image]}-{one.method}-{one.rank}.jpg"


def draw_attributed(addresses: Addresses, write: Write) -> dict[int, Attributed]:
    """Draw the attributions of one network's photographs, by the photographs' places among the run's."""
    found = addresses.run.attribution
    drawn: dict[int, list[Over]] = {}
    methods: dict[int, list[str]] = {}
    for one in found.shown if isinstance(found, AttributionRecord) else ():
        if one.file is not None:
            result = load_kind(one.file, AttributeResult)
            told = drawn.setdefault(one.image, [])
            told.append(_draw(result, _file(addresses, one), one.method in methods.get(one.image, ()), write))
            methods.setdefault(one.image, []).append(one.method)
    run = addresses.run
    return {
        place: Attributed(
            tuple(some),
            command(
                "attribute",
                run.images[place].source,
                "--model",
                run.model,
                "--method",
                ",".join(dict.fromkeys(methods[place])),
                *sized(run.images[place].size),
                run=run,
            ),
        )
        for place, some in drawn.items()
    }


def _draw(result: AttributeResult, address: str, again: bool, write: Write) -> Over:
    pixels = _pixels(result)
    write(address, encode_jpeg(pixels, QUALITY, optimize=True))
    (method,) = result.methods
    if again:
        text = f"The same for {result.name}."
    elif method in CAMS:
        text = (
            f"Bright: what in the maps of {result.alias or result.layer} raises the score of {result.name}."
        )
    else:
        text = f"Colours that raise the score of {result.name}, on grey; much the same for any class."
    name = NAMES[method]
    title = f"{name[0].upper()}{name[1:]}: {result.name}"
    return Over(title, text, Picture(address, pixels.shape[1], pixels.shape[0]))


def _pixels(result: AttributeResult) -> Pixels:
    """Draw the only method of a result as its command does."""
    (method,) = result.methods
    scale, values = scale_of(result, method), result.attribution[0]
    if scale.colours == "rgb":
        return around_grey(in_colours(result.by_band(method), result.channel_order))
    return over_grey(result.image, values.astype(np.float64) / (peak(values) or 1.0), scale.colours)


PANEL = Panel(folders=("attribution",), files=files)
