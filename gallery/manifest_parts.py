"""Parts of the manifest: pictures and photographs, the patches of a layer, the components of a network."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """A PNG of the site, and its size in pixels."""

    path: str
    width: int
    height: int


@dataclass(frozen=True)
class Photo:
    """One photograph that the network was shown, and a small copy of it to choose it by."""

    name: str
    picture: Picture
    small: Picture


@dataclass(frozen=True)
class Sprites:
    """A picture of equal tiles, and a tile's width and height in pixels."""

    picture: Picture
    tile: tuple[int, int]


@dataclass(frozen=True)
class UnitPatches:
    """The patches that excite one unit most, as one block of a sheet.

    Attributes
    ----------
    unit : int
        Its number.
    sheet : int
        Which sheet the block is on.
    left, top : int
        The block's first pixel.
    names : tuple of str
        Which photograph each patch is from, the strongest first.
    scores : tuple of float
        The unit's value at each.
    largest : float
        Its largest value on any photograph.
    mark : str
        ``"dead"``, ``"always on"`` or nothing.
    """

    unit: int
    sheet: int
    left: int
    top: int
    names: tuple[str, ...]
    scores: tuple[float, ...]
    largest: float
    mark: str


@dataclass(frozen=True)
class Patches:
    """What excites the units of a layer.

    Attributes
    ----------
    sheets : tuple of Sprites
        The sheets; a tile is what belongs to one unit.
    units : tuple of UnitPatches
        In the order of their numbers.
    total, top, images, per_image : int
        Units of the layer, patches of each, photographs looked at, and most patches from one of them.
    status : str
        As of a :class:`Field`.
    outlined, halved, margins, missing : int
        Patches with an outline, those with one at half of the largest value, those that reach beyond the photograph,
        and those whose photograph is gone.
    find, draw : str
        The commands that find them, and that draw them.
    """

    sheets: tuple[Sprites, ...]
    units: tuple[UnitPatches, ...]
    total: int
    top: int
    images: int
    per_image: int
    status: str
    outlined: int
    halved: int
    margins: int
    missing: int
    find: str
    draw: str


@dataclass(frozen=True)
class Drawing:
    """One picture of the components page.

    Attributes
    ----------
    verb : str
        The command that makes it: ``"stages"``, ``"contrast"`` or ``"sift"``.
    photo : Photo
        On which photograph.
    picture : Picture or None
        None where it could not be made.
    missing : str
        Why.
    command : str
        What to type for it.
    steps, kinds : tuple of str
        Of stages: what the columns show, and of which kind each is.
    units : tuple of int
        The units drawn; none where the picture is about all of them.
    data : str or None
        The address of its arrays, where they are small enough.
    bytes : int
        Their size.
    """

    verb: str
    photo: Photo
    picture: Picture | None
    missing: str
    command: str
    steps: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    units: tuple[int, ...] = ()
    data: str | None = None
    bytes: int = 0


@dataclass(frozen=True)
class Component:
    """One convolution and its pictures; `which` says why it was chosen: ``"first"`` or ``"deeper"``."""

    title: str
    name: str
    page: str | None
    which: str
    drawings: tuple[Drawing, ...]

    @property
    def anchor(self) -> str:
        """Its id on the page."""
        return self.which

    def of(self, verb: str) -> tuple[Drawing, ...]:
        """Return the pictures of one kind, one for each photograph."""
        return tuple(drawing for drawing in self.drawings if drawing.verb == verb)


@dataclass(frozen=True)
class Components:
    """The components page of a network, and why a convolution is missing."""

    page: str
    layers: tuple[Component, ...]
    missing: tuple[str, ...]
