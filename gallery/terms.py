"""The words of the field as the site explains them, and links to them from anywhere on it."""

import re
from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup, escape

PAGE = "glossary.html"
"""The page that explains them."""


@dataclass(frozen=True)
class Term:
    """A word and what it means.

    Attributes
    ----------
    key : str
        Its id on the page, which lasts.
    name : str
    text : str
        One to three short sentences.
    others : tuple of str
        What else it is called.
    """

    key: str
    name: str
    text: str
    others: tuple[str, ...] = ()


TERMS = (
    Term(
        "network",
        "network",
        "A chain of computing steps that were learned from examples. A photograph goes in at one end, and an answer "
        "comes out at the other.",
        ("model",),
    ),
    Term(
        "layer",
        "layer",
        "One step of a network. It takes the maps of the layer before, and gives maps of its own.",
    ),
    Term(
        "unit",
        "unit",
        "One channel of a layer. It looks for the same pattern at every place, and gives one map.",
        ("channel", "neuron", "feature"),
    ),
    Term(
        "map",
        "map",
        "The answer of one unit to one image: a number for every position. A large number says that the unit's "
        "pattern is there.",
        ("maps", "feature map", "activation map"),
    ),
    Term(
        "filter",
        "filter",
        "The weights of one unit. They are laid over every place of the input, multiplied with it and summed. Where "
        "the input looks like the filter, the sum is large.",
        ("filters", "kernel", "weights"),
    ),
    Term(
        "convolution",
        "convolution",
        "The same filter used at every place of an image or a map. What it learned at one place, it knows at all.",
    ),
    Term(
        "depthwise",
        "depthwise convolution",
        "A convolution in which each unit reads one map of the layer before, not all of them.",
    ),
    Term(
        "stage",
        "stage",
        "A convolution with what follows it: non-linearity, pooling, normalization. A network repeats such stages.",
        ("stages", "component"),
    ),
    Term(
        "non-linearity",
        "non-linearity",
        "A function that is used on every number of a map. The usual one, ReLU, keeps what is positive and sets the "
        "rest to 0.",
        ("activation function", "ReLU", "rectification"),
    ),
    Term(
        "pooling",
        "pooling",
        "Several neighbouring positions of a map become one: their largest value or their mean. The map gets "
        "smaller, and forgets a little where things were.",
    ),
    Term(
        "padding",
        "padding",
        "Values, mostly 0, that are put around an image or a map, so that a filter can look at its border too.",
    ),
    Term(
        "batch-normalization",
        "batch normalization",
        "Each unit's values are shifted and scaled by what was usual in training, so that no unit drowns the others.",
        ("normalization",),
    ),
    Term(
        "contrast-normalization",
        "contrast normalization",
        "At every position the mean of the surroundings is subtracted, and the rest is divided by their standard "
        "deviation. A faint edge then counts as much as a strong one.",
        ("local contrast normalization",),
    ),
    Term(
        "sift",
        "SIFT",
        "A description of a place in an image, made by hand before networks were learned: gradients in eight "
        "directions, summed over cells, brought to unit length.",
    ),
    Term(
        "patch",
        "patch",
        "The part of a photograph that a unit saw at one position. The patches with the largest values show what a "
        "unit looks for.",
        ("patches", "top patches"),
    ),
    Term(
        "receptive-field",
        "receptive field",
        "The part of the image that a position of a map depends on. Deeper layers have larger ones.",
        ("field", "fields"),
    ),
    Term(
        "theoretical-field",
        "theoretical field",
        "All pixels that could change a value, reckoned from the sizes of the filters. Most of them hardly do.",
        ("theory", "theoretical"),
    ),
    Term(
        "effective-field",
        "effective field",
        "The pixels that do change a value, by the gradient. It is much smaller than the theoretical field, and "
        "strongest in the middle.",
        ("effective",),
    ),
    Term(
        "measured-field",
        "measured field",
        "The region of a photograph that a unit needs: a square of random colours covers one place after another. "
        "Where that changes the unit's value, it was looking.",
        ("measured", "empirical field", "occlusion"),
    ),
    Term(
        "stride",
        "stride",
        "How many pixels of the image lie between two neighbouring positions of a map. At stride 32 a photograph of "
        "224 pixels gives 7 positions.",
    ),
    Term(
        "position",
        "position",
        "One place of a map, by row and column. It belongs to a place of the image.",
    ),
    Term(
        "quantile",
        "quantile",
        "The value below which a given share of all values lies. 99 % of a unit's values are below its quantile at "
        "0.99.",
    ),
    Term(
        "histogram",
        "histogram",
        "How often each value occurs, as bars. Here they are on a logarithmic scale, so that rare values can be "
        "seen.",
        ("values",),
    ),
    Term(
        "sparsity",
        "sparsity",
        "How rarely a unit answers: 0 if it is equally active everywhere, 1 if at one position only.",
    ),
    Term(
        "dead-unit",
        "dead unit",
        "A unit that is 0 everywhere, on all images that were searched.",
        ("dead",),
    ),
    Term(
        "dead-filter",
        "dead filter",
        "A filter whose weights are nearly 0: their norm is below 1 % of the layer's median norm.",
    ),
    Term(
        "always-on",
        "always on",
        "Said of a unit behind a non-linearity that is never 0 on the images that were searched.",
    ),
    Term(
        "near-duplicate",
        "near-duplicate",
        "Said of a unit whose filter nearly repeats that of an earlier one, on the same inputs: the cosine of the "
        "angle between them is at least 0.95.",
        ("near-duplicates",),
    ),
    Term(
        "at-the-border",
        "at the border",
        "Said of a unit whose best patches all lie on the outermost positions of its map. There it sees padding, "
        "not the photograph.",
    ),
    Term(
        "alike",
        "units that act alike",
        "Units of one layer whose values rise and fall together: their correlation over the same positions is high.",
        ("correlation", "nearest units"),
    ),
    Term(
        "concept",
        "concept",
        "A thing with a name that people have marked in images: a colour, a texture, a part, an object.",
        ("concepts",),
    ),
    Term(
        "iou",
        "IoU",
        "Intersection over union: how well two areas fit. The pixels that both have, over those that at least one "
        "has. 1 is a perfect fit.",
        ("intersection over union",),
    ),
    Term(
        "ceiling",
        "ceiling of the IoU",
        "The highest IoU that areas of these sizes can have. A unit that is active in few pixels cannot fit a large "
        "concept well.",
        ("highest possible IoU",),
    ),
    Term(
        "detector",
        "detector",
        "A unit that detects a concept: the IoU of its active area with the concept is above a threshold.",
        ("network dissection",),
    ),
    Term(
        "links",
        "links",
        "Which units of the layer before a unit is built from, and which of the next layer it feeds, by the weights "
        "between them.",
        ("built from", "feeds"),
    ),
    Term(
        "votes",
        "votes",
        "By how much a unit raises the score of a class, and by how much it lowers it.",
        ("vote", "votes for", "votes against"),
    ),
    Term(
        "class",
        "class",
        "One of the answers that a network can give, such as espresso or road.",
        ("label",),
    ),
    Term(
        "score",
        "score",
        "The number that a network gives a class. Softmax turns the scores of all classes into shares that sum to "
        "100 %: how sure the network is, not how often it is right.",
        ("logit", "softmax", "probability"),
    ),
    Term(
        "attribution",
        "attribution",
        "Which pixels of an image a value came from. There are many methods, and they disagree.",
        ("saliency", "Grad-CAM"),
    ),
    Term(
        "deconvnet",
        "deconvnet",
        "A unit's value followed back to the image, layer by layer. At every non-linearity only what is positive on "
        "the way back goes on.",
    ),
    Term(
        "guided-backpropagation",
        "guided backpropagation",
        "Like the deconvnet, but only what was positive on the way forward too goes on. Its pictures are crisp, and "
        "show edges of the image more than reasons of the network.",
    ),
    Term(
        "optimized-picture",
        "optimized picture",
        "A picture that is changed, step by step, until a unit answers as much as possible, or as little. It shows "
        "what the unit wants to see, from the weights alone.",
        ("feature visualization",),
    ),
    Term(
        "minimal-image",
        "minimal image",
        "The least of a photograph that a network still needs for its answer. The rest is blurred away.",
    ),
    Term(
        "hypercolumn",
        "hypercolumn",
        "The maps of several layers stacked at every pixel: what early and deep layers together say of one place.",
        ("hypercolumns", "spectrum of features"),
    ),
    Term(
        "principal-components",
        "principal components",
        "The few directions in which many numbers vary most. Here the first three are drawn as red, green and blue.",
    ),
    Term(
        "sliding-window",
        "sliding window",
        "A classifier that is run on one crop after another. Neighbouring crops share most of their pixels, so most "
        "of the work is done again and again.",
        ("unrolling", "window", "windows"),
    ),
    Term(
        "region",
        "region",
        "A part of an image that may hold a thing. R-CNN cuts out 2000 of them, warps each to the input's size, and "
        "runs the network on each.",
        ("R-CNN", "region proposal"),
    ),
    Term(
        "fully-convolutional",
        "fully convolutional",
        "Said of a network that has convolutions only. It takes images of any size, and answers at every place in "
        "one pass.",
        ("FCN", "dense"),
    ),
    Term(
        "heat-map",
        "dense heat map",
        "The score of one class at every place of an image, from one pass of a fully convolutional network.",
        ("heat map",),
    ),
    Term(
        "upsampling",
        "upsampling",
        "A coarse map is made as large as the image again, by interpolation or by learned weights.",
        ("deconvolution", "transposed convolution"),
    ),
    Term(
        "skip",
        "skip layer",
        "A way around the deep layers: the scores of an earlier, finer layer are added. Deep layers know what is "
        "there, early ones know where.",
        ("skip",),
    ),
    Term(
        "stream",
        "stream",
        "One of the predictions of a network with skips. 32s uses the deepest layer alone; 16s and 8s add finer "
        "ones.",
        ("streams", "side output"),
    ),
)
"""In the order in which the page tells them: from the network to what it is used for."""

_BY_NAME = {
    said.casefold(): one
    for one in reversed(TERMS)
    for said in (one.key, *one.others, f"{one.name}s", one.name)
}


@lru_cache(maxsize=1024)
def term(text: str, root: str, named: str = "") -> Markup:
    """Link a text to what the glossary says of it.

    Parameters
    ----------
    text : str
        What is shown.
    root : str
        The way from the page to the site's folder.
    named : str
        Key or name of the term, if the text is not one.

    Raises
    ------
    KeyError
        If there is no such term.
    """
    key = _BY_NAME[(named or text).casefold()].key
    return Markup('<a class="term" href="{}{}#{}">{}</a>').format(root, PAGE, key, text)


def linked(text: str, root: str, *named: str) -> Markup:
    """Escape a text, and link in it the first mention of each of some terms.

    Parameters
    ----------
    text : str
    root : str
        The way from the page to the site's folder.
    *named : str
        The terms as the text says them; the longer one wins where two begin at one place. What it does not say is not
        linked.

    Raises
    ------
    KeyError
        If there is no such term.
    """
    waiting = {one.casefold(): _BY_NAME[one.casefold()] for one in named}
    if not waiting:
        return escape(text)
    spelled = "|".join(map(re.escape, sorted(waiting, key=len, reverse=True)))
    parts: list[Markup] = []
    end = 0
    for found in re.finditer(rf"(?<!\w)(?:{spelled})(?!\w)", text, re.IGNORECASE):
        if waiting.pop(found[0].casefold(), None) is None:
            continue
        parts += [escape(text[end : found.start()]), term(found[0], root)]
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])
