"""Where everything of one network goes on the site: what all panels share; each adds its own."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from netviz.questions.maps.result import MapsResult
from netviz.results.survey import SHOWN_UNITS, ConceptsRecord, LayerRecord, SurveyRecord

from .loading import load_kind
from .names import safe_names

SITE = (
    "static",
    *(f"{page}.html" for page in ("index", "about", "search", "lecture", "glossary", "notes")),
    "site.json",
    *("main", "about", "find", "found", "mine-link"),
)
"""File names of the site, and ids of its pages: a network's folder is also its id."""


@dataclass(frozen=True)
class Addresses:
    """One run and its addresses: known before anything is drawn, and the same in every build.

    Attributes
    ----------
    run : SurveyRecord
        What the survey left.
    folder : str
        The network's folder inside the site.
    photos : tuple of str
        A safe name per image of the run.
    slugs : tuple of str
        A safe name per layer of the run; none where it has no page.
    units : tuple of tuple of int
        The units that get a page, for each layer of the run.
    others : tuple of tuple of int
        The other units of the layers whose units get pages: they only stand on the layer's wall.
    """

    run: SurveyRecord
    folder: str
    photos: tuple[str, ...]
    slugs: tuple[str, ...]
    units: tuple[tuple[int, ...], ...]
    others: tuple[tuple[int, ...], ...]

    @property
    def paged(self) -> list[int]:
        """The places of the layers that get a page."""
        return [place for place, slug in enumerate(self.slugs) if slug]

    def page(self, layer: int) -> str:
        """Return the address of a layer's page, by its place among the run's layers."""
        return f"{self.folder}/{self.slugs[layer]}.html"

    def beside(self, layer: int, name: str) -> str:
        """Return the address of a file that lies beside the pages of a layer's units."""
        return f"{self.folder}/{self.slugs[layer]}/{name}"

    def unit(self, layer: int, unit: int) -> str:
        """Return the address of a unit's page: it depends on nothing but the names of network and layer."""
        return self.beside(layer, f"{unit}.html")

    def leads(self, layer: int, unit: int) -> str | None:
        """Return where a link to a unit leads: to its page, or its place on the wall; None if it has neither."""
        if unit in self.units[layer]:
            return self.unit(layer, unit)
        return f"{self.page(layer)}#u{unit}" if unit in self.others[layer] else None


def make_addresses(runs: Sequence[SurveyRecord], reserved: Iterable[str]) -> list[Addresses]:
    """Give every network, photograph and layer an address; equal or unfit names get one of their own.

    Parameters
    ----------
    runs : sequence of SurveyRecord
    reserved : iterable of str
        Names in a network's folder that are no layer's.

    Raises
    ------
    ResultError
        If a file of a run is missing or damaged.
    """
    folders = safe_names((run.network for run in runs), reserved=SITE)
    reserved = list(reserved)
    found = []
    for run, folder in zip(runs, folders, strict=True):
        units = tuple(choose_units(run, place) for place in range(len(run.layers)))
        slugs = iter(safe_names((layer.slug for layer in run.layers if layer.slug is not None), reserved))
        found.append(
            Addresses(
                run=run,
                folder=folder,
                photos=tuple(safe_names(image.name for image in run.images)),
                slugs=tuple("" if layer.slug is None else next(slugs) for layer in run.layers),
                units=units,
                others=tuple(
                    tuple(sorted({*range(layer.channels or 0)} - {*paged})) if paged else ()
                    for layer, paged in zip(run.layers, units, strict=True)
                ),
            )
        )
    return found


def choose_units(run: SurveyRecord, place: int) -> tuple[int, ...]:
    """Return the units of one layer that get a page: all in a full run, else those whose maps the run has.

    Parameters
    ----------
    run : SurveyRecord
        What the survey left.
    place : int
        The layer's place among the run's.

    Returns
    -------
    tuple of int
        In the order of their numbers.

    Raises
    ------
    ResultError
        If a file of the run is missing or damaged.
    """
    layer = run.layers[place]
    masks = run.concepts.masks if isinstance(run.concepts, ConceptsRecord) else ()
    masked = {unit for one in masks if one.layer == place for unit in one.units}
    if layer.slug is None or not (layer.filters or layer.maps or layer.patches or masked):
        return ()
    total = layer.channels or 0
    if run.form == "full":
        return tuple(range(total))
    shown = _mapped(run, layer) or range(min(SHOWN_UNITS, total))
    return tuple(sorted({*shown, *masked}))


def _mapped(run: SurveyRecord, layer: LayerRecord) -> list[int]:
    """Return the units whose maps the run has; none where it has none."""
    if layer.maps is None or not run.images:
        return []
    units: list[int] = load_kind(layer.maps / f"{run.images[0].stem}.npz", MapsResult).units.tolist()
    return units
