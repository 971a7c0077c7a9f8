"""The overview: the networks of the site, each with its photographs, its doors and its layers."""

from dataclasses import dataclass

from ..manifest import Photo
from ..panel import Panel
from .changed import Changed
from .components import Component, Components
from .concepts import Concepts
from .fcn import Fcn
from .front import Front
from .images import ImagePage
from .layer import Layer
from .minimal import Minimals
from .origin import Origin


@dataclass(frozen=True)
class Network:
    """One network: where it comes from, what it was shown, its layers in the order in which they run.

    `without` names parts that there are none of, each with the reason; `searched` is how many images were searched
    for patches, where they were; `changed` is how it differs from the first of the site, where that was asked for;
    `elsewhere` tells whether its units' pages name the nearest in other networks.
    """

    name: str
    folder: str
    origin: str
    parameters: int
    input: str
    photos: tuple[Photo, ...]
    layers: tuple[Layer, ...]
    components: Components | None
    concepts: Concepts | None
    minimal: Minimals | None
    without: tuple[tuple[str, str], ...]
    images: tuple[ImagePage, ...]
    fcn: Fcn | None
    made: Origin
    searched: int
    front: Front
    changed: Changed | None = None
    elsewhere: bool = False

    def component(self, layer: Layer) -> Component | None:
        """Return a layer's place on the components page, if it has one."""
        found = self.components.layers if self.components is not None else ()
        return next((one for one in found if one.page is not None and one.page == layer.page), None)

    @property
    def paged(self) -> tuple[Layer, ...]:
        """The layers that have a page."""
        return tuple(layer for layer in self.layers if layer.page is not None)


@dataclass(frozen=True)
class Manifest:
    """The whole site."""

    version: str
    networks: tuple[Network, ...]


def photo_page(network: Network, photo: Photo) -> str | None:
    """Return the address of a photograph's page; None where it has none."""
    return next((one.page for one in network.images if one.photo == photo), None)


PANEL = Panel(words=(photo_page,))
