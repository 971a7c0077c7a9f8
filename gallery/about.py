"""What the page about the site says: how each kind of picture is made, after whom, and whose parts it uses."""

from dataclasses import dataclass

from .manifest import Manifest, Network


@dataclass(frozen=True)
class Recipe:
    """A kind of picture: its heading, how it is made, and the publications that it follows."""

    title: str
    text: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """Something in the pages or pictures that others made, and its licence."""

    name: str
    use: str
    licence: str


_ZEILER = "Zeiler and Fergus, Visualizing and understanding convolutional networks, ECCV 2014"
_LONG = "Long, Shelhamer and Darrell, Fully convolutional networks for semantic segmentation, CVPR 2015"

PARTS = (
    Part(
        "Photographs of scikit-image",
        "what a network is shown where no other images are named",
        "public domain, CC0 or by permission of their authors, as listed in scikit-image's data folder",
    ),
    Part("magma", "colours of values that are not signed", "CC0 (van der Walt and Smith, with matplotlib)"),
    Part("RdBu of ColorBrewer", "colours of signed values", "Apache License 2.0 (Brewer, Harrower)"),
    Part(
        "Okabe and Ito's palette", "the first seven colours of classes", "free to use (Okabe and Ito, 2008)"
    ),
    Part("DejaVu Sans", "letters inside the pictures", "free licence of the DejaVu fonts (Bitstream Vera)"),
)
"""The pages load nothing else: their styles and scripts are netviz's own."""


def recipes(manifest: Manifest) -> tuple[Recipe, ...]:
    """Return how each kind of picture is made that the site has."""
    found = []
    networks = manifest.networks
    for has, recipe in _RECIPES:
        if any(has(network) for network in networks):
            found.append(recipe)
    return tuple(found)


def _filters(network: Network) -> bool:
    return any(layer.filters is not None for layer in network.layers)


def _maps(network: Network) -> bool:
    return any(layer.maps for layer in network.layers)


def _fields(network: Network) -> bool:
    return any(layer.field is not None for layer in network.layers)


def _patches(network: Network) -> bool:
    return any(layer.patches is not None for layer in network.layers)


def _concepts(network: Network) -> bool:
    return network.concepts is not None


def _components(network: Network) -> bool:
    return network.components is not None


def _minimal(network: Network) -> bool:
    return network.minimal is not None


def _hypercolumns(network: Network) -> bool:
    return any(page.hypercolumn is not None for page in network.images)


def _streams(network: Network) -> bool:
    return network.fcn is not None and bool(network.fcn.streams)


def _heats(network: Network) -> bool:
    return network.fcn is not None and bool(network.fcn.heats)


def _comparison(network: Network) -> bool:
    return network.fcn is not None and network.fcn.comparison is not None


_RECIPES = (
    (
        _filters,
        Recipe(
            "Filters",
            "The weights themselves. Those that read the image are small colour pictures: zero is mid grey, the "
            "largest absolute weight full black or white. All others are signed, on a scale symmetric about zero.",
            ("Krizhevsky, Sutskever and Hinton, ImageNet classification, NeurIPS 2012 (figure 3)",),
        ),
    ),
    (
        _maps,
        Recipe(
            "Maps",
            "A unit's raw output at every position, before anything that follows the layer; hard edges, one square "
            "is one number.",
            (_ZEILER,),
        ),
    ),
    (
        _fields,
        Recipe(
            "Receptive fields",
            "From the network's own operations, one after another: size, stride and start of what a position sees. "
            "The effective field is the gradient of the units in the middle with respect to the image. The measured "
            "field of a unit is what changes it when squares of random colours cover parts of a few photographs: "
            "averaged around the middle of what it sees, at least a quarter of the largest change.",
            (
                "Luo, Li, Urtasun and Zemel, Understanding the effective receptive field, NeurIPS 2016",
                "Zhou, Khosla, Lapedriza, Oliva and Torralba, Object detectors emerge in deep scene CNNs, ICLR 2015",
            ),
        ),
    ),
    (
        _patches,
        Recipe(
            "Patches",
            "For every unit the places of the photographs with its largest values, cut out with the receptive field; "
            "bright is where its map is among its highest values.",
            (
                "Girshick, Donahue, Darrell and Malik, Rich feature hierarchies, CVPR 2014",
                "Zhou et al., Object detectors emerge in deep scene CNNs, ICLR 2015",
            ),
        ),
    ),
    (
        _concepts,
        Recipe(
            "Concepts",
            "Each unit's map is thresholded at its top quantile over all images, enlarged, and compared with the "
            "labels of every concept: the intersection over the union, counted over all images.",
            ("Bau et al., Network dissection, CVPR 2017",),
        ),
    ),
    (
        _components,
        Recipe(
            "Components",
            "What a convolution's maps become on their way to the next one; the same maps after local contrast "
            "normalization; and SIFT beside them, at the same keypoints.",
            (
                "Jarrett, Kavukcuoglu, Ranzato and LeCun, What is the best multi-stage architecture, ICCV 2009",
                "Lowe, Distinctive image features from scale-invariant keypoints, IJCV 2004",
            ),
        ),
    ),
    (
        _minimal,
        Recipe(
            "Minimal images",
            "Segments are removed one by one, each time the one whose loss costs the class the least, as long as it "
            "is predicted.",
            ("Zhou et al., Object detectors emerge in deep scene CNNs, ICLR 2015",),
        ),
    ),
    (
        _hypercolumns,
        Recipe(
            "Hypercolumns",
            "The maps of several depths stacked at every pixel; their first three principal components as red, green "
            "and blue, and clusters by k-means.",
            ("Hariharan et al., Hypercolumns for object segmentation, CVPR 2015", _LONG),
        ),
    ),
    (
        _streams,
        Recipe(
            "Streams",
            "A dense network's predictions at several strides, all from one pass: each finer one adds the scores of "
            "an earlier layer. Of an edge detector its side outputs and their fusion.",
            (_LONG, "Xie and Tu, Holistically-nested edge detection, ICCV 2015"),
        ),
    ),
    (
        _heats,
        Recipe(
            "Dense heat maps",
            "The classifier's linear layers become convolutions with the same weights, so that one pass over the "
            "whole photograph scores every crop, a stride apart; the scores are placed through the geometry of the "
            "layers.",
            (_LONG,),
        ),
    ),
    (
        _comparison,
        Recipe(
            "Three ways compared",
            "The dense pass, the classifier on every crop, and on regions of a segmentation that are warped to its "
            "input: timed in one run on one machine, the regions scaled to the 2000 of R-CNN.",
            ("Girshick, Donahue, Darrell and Malik, Rich feature hierarchies, CVPR 2014", _LONG),
        ),
    ),
)
