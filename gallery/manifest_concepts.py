"""Parts of the manifest: what the units of a network detect, and its minimal images."""

from dataclasses import dataclass

from .manifest_parts import Photo, Picture


@dataclass(frozen=True)
class Mask:
    """An image with the part outlined where a unit is above its threshold, as one tile of a sheet.

    Attributes
    ----------
    picture : Picture
        The sheet.
    tile : (int, int)
        Width and height of the tile in pixels.
    left, top : int
        Its first pixel.
    image : str
        What the image is called: the one on which the unit is strongest.
    share : float
        Which share of the image is above the threshold.
    """

    picture: Picture
    tile: tuple[int, int]
    left: int
    top: int
    image: str
    share: float


@dataclass(frozen=True)
class UnitConcept:
    """A unit and a concept: intersection over union, whether the unit detects it, and the unit's mask, if any.

    `segment` is the command that draws the mask.
    """

    unit: int
    concept: str
    category: str
    iou: float
    detects: bool
    mask: Mask | None
    segment: str = ""


@dataclass(frozen=True)
class LayerConcepts:
    """What the units of a layer detect.

    Attributes
    ----------
    title, page : str
        The layer's title and address.
    total, detectors, unique : int
        Units, how many of them detect a concept, and how many concepts that makes.
    units : tuple of UnitConcept
        Units that are shown, with the best concept of each.
    table : str
        The address of the numbers of all units.
    dissect, segment : str
        The commands that measure them, and that draw the mask of one.
    """

    title: str
    page: str
    total: int
    detectors: int
    unique: int
    units: tuple[UnitConcept, ...]
    table: str
    dissect: str
    segment: str

    def by_unit(self) -> dict[int, UnitConcept]:
        """Return what the units that are shown detect, by their numbers."""
        return {one.unit: one for one in self.units}


@dataclass(frozen=True)
class Detector:
    """A unit on the page of concepts: its layer, where its place on the layer's page is, and how well it fits."""

    title: str
    address: str
    unit: UnitConcept


@dataclass(frozen=True)
class Concept:
    """A concept and the units that detect it.

    Attributes
    ----------
    name, category : str
        What it is called, and of which kind it is.
    images : int
        How many images have it.
    share : float
        Which share it has of the pixels of the images that its category is labelled in.
    detectors : int
        How many units detect it.
    layers : tuple of (str, str, int)
        Title, address and number of detectors of each layer that has any.
    units : tuple of Detector
        Some of them, best first; where there are none, units that come nearest.
    """

    name: str
    category: str
    images: int
    share: float
    detectors: int
    layers: tuple[tuple[str, str, int], ...]
    units: tuple[Detector, ...]


@dataclass(frozen=True)
class Concepts:
    """The page of concepts of a network.

    Attributes
    ----------
    page : str
        Its address.
    concepts : tuple of Concept
        The most detected first.
    more : tuple of str
        What concepts are called that are not among them.
    more_detected : int
        How many of these some unit detects.
    layers : tuple of LayerConcepts
        In the order in which they run.
    surveyed : int
        How many layers the network's pages tell of, dissected or not.
    images, skipped : int
        How many images were counted, and how many could not be.
    labels : str
        What kind of labels they have: ``masks``, ``voc``, ``broden`` or ``colour``.
    own : bool
        Whether they are the photographs that all pages show.
    categories : tuple of str
        Kinds of concepts.
    detect, quantile : float
        Above which intersection over union a unit detects a concept; above which quantile of its values it is active.
    command : str
        What to type for all of it.
    """

    page: str
    concepts: tuple[Concept, ...]
    more: tuple[str, ...]
    more_detected: int
    layers: tuple[LayerConcepts, ...]
    surveyed: int
    images: int
    skipped: int
    labels: str
    own: bool
    categories: tuple[str, ...]
    detect: float
    quantile: float
    command: str


@dataclass(frozen=True)
class Minimal:
    """A minimal image.

    Attributes
    ----------
    photo : Photo
        Of which photograph.
    picture : Picture or None
        None where there is none.
    missing : str
        Why.
    command : str
        What to type for it.
    name, end : str
        The class that is predicted, and the one after the last removal.
    share : float
        Which share of the image's pixels is left.
    kept, count, judged : int
        Segments that are left, out of how many, and how many images were judged.
    score, last : float
        The class's score on the whole image and on the minimal image.
    flipped : bool
        Whether the prediction changed at all.
    data : str or None
        The address of its arrays, where they are small enough.
    bytes : int
        Their size.
    """

    photo: Photo
    picture: Picture | None
    missing: str
    command: str
    name: str = ""
    end: str = ""
    share: float = 0.0
    kept: int = 0
    count: int = 0
    judged: int = 0
    score: float = 0.0
    last: float = 0.0
    flipped: bool = False
    data: str | None = None
    bytes: int = 0


@dataclass(frozen=True)
class Minimals:
    """The page of minimal images of a network."""

    page: str
    shown: tuple[Minimal, ...]
    segments: int
