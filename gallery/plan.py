"""Where everything of one network goes on the site."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .names import safe_names
from .run_concepts import RunMasks
from .run_images import RunOn
from .run_parts import RunComponent
from .runs import Run, RunLayer
from .sprites import sheets
from .units_choice import choose

FCN = "fcn"
"""What the FCN page is called."""

STATIC = (
    "blank.svg",
    "compare.css",
    "compare.js",
    "gallery.css",
    "gallery.js",
    "paper.css",
    "wall.js",
    "icon.svg",
)
"""Files that the pages share, copied from the package."""


@dataclass(frozen=True)
class Plan:
    """One run and its addresses: known before anything is drawn, and the same in every build.

    Attributes
    ----------
    run : Run
        What the survey left.
    folder : str
        The network's folder inside the site.
    photos : tuple of str
        A safe name per image of the run.
    slugs : tuple of str
        A safe name per layer of :attr:`paged`.
    units : tuple of tuple of int
        The units that get a page, for each layer of :attr:`paged`.
    """

    run: Run
    folder: str
    photos: tuple[str, ...]
    slugs: tuple[str, ...]
    units: tuple[tuple[int, ...], ...]

    @property
    def paged(self) -> list[RunLayer]:
        """The layers that get a page."""
        return [layer for layer in self.run.layers if layer.slug is not None]

    def photo(self, photo: str) -> str:
        """Return the address of a photograph."""
        return f"{self.folder}/images/{photo}.png"

    def small(self, photo: str) -> str:
        """Return the address of a small copy of a photograph."""
        return f"{self.folder}/images/{photo}.jpg"

    def page(self, slug: str) -> str:
        """Return the address of a layer's page."""
        return f"{self.folder}/{slug}.html"

    def preview(self, slug: str) -> str:
        """Return the address of a layer's preview."""
        return f"{self.folder}/previews/{slug}.png"

    def filters(self, slug: str) -> str:
        """Return the address of a layer's filters."""
        return f"{self.folder}/filters/{slug}.png"

    def maps(self, slug: str, photo: str) -> str:
        """Return the address of a layer's maps on one photograph."""
        return f"{self.folder}/maps/{slug}/{photo}.png"

    def unit(self, slug: str, unit: int) -> str:
        """Return the address of a unit's page: it depends on nothing but the names of network and layer."""
        return f"{self.folder}/{slug}/{unit}.html"

    def patches(self, slug: str, layer: RunLayer, sheet: int) -> str:
        """Return the address of a sheet of the patches that excite a layer's units."""
        return f"{self.folder}/{slug}/patches-{sheet}.{'png' if _flat(layer) else 'jpg'}"

    def wall(self, slug: str, layer: RunLayer, sheet: int) -> str:
        """Return the address of a sheet of the same patches, as small as a wall shows them."""
        return f"{self.folder}/{slug}/wall-{sheet}.{'png' if _flat(layer) else 'jpg'}"

    def weights(self, slug: str, sheet: int) -> str:
        """Return the address of a sheet of the filters of a layer's units."""
        return f"{self.folder}/{slug}/filters-{sheet}.png"

    def numbers(self, slug: str) -> str:
        """Return the address of the arrays behind a layer's units."""
        return f"{self.folder}/{slug}/patches.npz"

    def measured(self, slug: str) -> str:
        """Return the address of the measured fields of a layer's units."""
        return f"{self.folder}/{slug}/measured.npz"

    @property
    def components(self) -> str | None:
        """The address of the components page, if there is one."""
        shown = self.run.components is not None and any(one.shown for one in self.run.components.layers)
        return f"{self.folder}/{COMPONENTS}.html" if shown else None

    def drawing(self, component: RunComponent, image: int, verb: str, suffix: str = "jpg") -> str:
        """Return the address of one picture of the components page, or of its data."""
        return f"{self.folder}/components/{component.which}/{self.photos[image]}-{verb}.{suffix}"

    @property
    def concepts(self) -> str | None:
        """The address of the page of concepts, if there is one."""
        return f"{self.folder}/{CONCEPTS}.html" if self.run.concepts is not None else None

    def masks(self, masks: RunMasks, sheet: int) -> str:
        """Return the address of a sheet of the masks of a layer's units."""
        return f"{self.folder}/{CONCEPTS}/{self._slug(masks.layer)}-{sheet}.jpg"

    def table(self, masks: RunMasks) -> str:
        """Return the address of what a dissection found of a layer's units."""
        return f"{self.folder}/{CONCEPTS}/{self._slug(masks.layer)}.csv"

    def page_of(self, layer: int) -> str:
        """Return the address of a layer's page, by its place among the run's layers."""
        return self.page(self._slug(layer))

    def units_of(self, layer: int) -> tuple[int, ...]:
        """Return the units with pages of a layer with a page, by its place among the run's layers."""
        return self.units[self._place(layer)]

    def unit_of(self, layer: int, unit: int) -> str:
        """Return the address of a unit, or of its layer where it has no page."""
        slug = self._slug(layer)
        return self.unit(slug, unit) if unit in self.units_of(layer) else self.page(slug)

    @property
    def minimal(self) -> str | None:
        """The address of the page of minimal images, if there is one."""
        found = self.run.minimal
        return f"{self.folder}/{MINIMAL}.html" if found is not None and found.shown else None

    def minimal_file(self, image: int, suffix: str) -> str:
        """Return the address of the picture of a minimal image, or of its data."""
        return f"{self.folder}/{MINIMAL}/{self.photos[image]}.{suffix}"

    def _slug(self, layer: int) -> str:
        """Return what the files of a layer with a page are called, by its place among the run's layers."""
        return self.slugs[self._place(layer)]

    def _place(self, layer: int) -> int:
        return sum(one.slug is not None for one in self.run.layers[:layer])

    def is_small(self, path: Path) -> bool:
        """Return whether a result's file goes onto the site."""
        return path.is_file() and path.stat().st_size <= DATA

    def pictures(self) -> Iterator[str]:
        """Yield the address of every picture, in the order in which they are made."""
        for photo in self.photos:
            yield self.photo(photo)
            yield self.small(photo)
        for layer, slug, units in zip(self.paged, self.slugs, self.units, strict=True):
            if layer.filters:
                yield self.filters(slug)
            if layer.maps:
                for photo in self.photos:
                    yield self.maps(slug, photo)
            if layer.filters or (layer.maps and self.photos):
                yield self.preview(slug)
            for sheet in sheets(units):
                if layer.patches:
                    yield self.patches(slug, layer, sheet)
                    yield self.wall(slug, layer, sheet)
                if layer.filters:
                    yield self.weights(slug, sheet)
            if units and layer.patches and self.is_small(layer.patches):
                yield self.numbers(slug)
            if units and layer.field and layer.measured and self.is_small(layer.measured):
                yield self.measured(slug)
        if self.run.components is not None:
            for component in self.run.components.layers:
                for shown in component.shown:
                    for verb, path in shown.files.items():
                        yield self.drawing(component, shown.image, verb)
                        if self.is_small(path):
                            yield self.drawing(component, shown.image, verb, "npz")
        for masks in self.run.concepts.masks if self.run.concepts is not None else ():
            for sheet in sheets(masks.units):
                yield self.masks(masks, sheet)
            yield self.table(masks)
        for one in self.run.minimal.shown if self.run.minimal is not None else ():
            if one.path is not None:
                yield self.minimal_file(one.image, "png")
                if self.is_small(one.path):
                    yield self.minimal_file(one.image, "npz")

    def paths(self) -> Iterator[str]:
        """Yield the address of every file of this network."""
        yield from self.pictures()
        yield from map(self.page, self.slugs)
        for slug, units in zip(self.slugs, self.units, strict=True):
            for unit in units:
                yield self.unit(slug, unit)
        yield from filter(None, (self.components, self.concepts, self.minimal))
        yield from image_files(self)


COMPONENTS, CONCEPTS, MINIMAL = "components", "concepts", "minimal"
"""What the pages are called that tell of more than one layer: no layer's page may be."""

FOLDERS = (FCN, "glimpses", "hypercolumns", "images", "previews", "filters", "maps", "patches")
"""Folders beside those of the layers' units."""

DATA = 2_000_000
"""Largest file of arrays, in bytes, that is copied onto the site; the command makes the others."""

FLAT = 4
"""Pixels of a receptive field that are enlarged so much that a patch is a few flat squares: better as PNG."""


def _flat(layer: RunLayer) -> bool:
    """Return whether a layer's patches are of few pixels."""
    return layer.field is not None and layer.field.size is not None and max(layer.field.size) <= FLAT


RESERVED = ("static", "index.html", "about.html", "site.json", "main", "about", "find", "found")
"""File names of the site, and ids of its pages: a network's folder is also its id."""


def make_plans(runs: Sequence[Run]) -> list[Plan]:
    """Give every network, photograph and layer an address; equal or unfit names get one of their own."""
    folders = safe_names((run.network for run in runs), reserved=RESERVED)
    return [
        Plan(
            run=run,
            folder=folder,
            photos=tuple(safe_names(image.name for image in run.images)),
            slugs=tuple(
                safe_names(
                    (layer.slug for layer in run.layers if layer.slug is not None),
                    reserved=[COMPONENTS, CONCEPTS, MINIMAL, *FOLDERS],
                )
            ),
            units=tuple(
                choose(run, place) for place, layer in enumerate(run.layers) if layer.slug is not None
            ),
        )
        for run, folder in zip(runs, folders, strict=True)
    ]


def image_page(plan: Plan, image: int) -> str:
    """Return the address of a photograph's page."""
    return f"{plan.folder}/images/{plan.photos[image]}.html"


def glimpses(plan: Plan, image: int) -> str:
    """Return the address of a photograph's maps by layer, one of each."""
    return f"{plan.folder}/glimpses/{plan.photos[image]}.jpg"


def has_glimpses(plan: Plan) -> bool:
    """Return whether any layer has maps."""
    return any(layer.maps is not None for layer in plan.paged)


def hypercolumn(plan: Plan, image: int, suffix: str) -> str:
    """Return the address of the picture of a hypercolumn, or of its data."""
    return f"{plan.folder}/hypercolumns/{plan.photos[image]}.{suffix}"


def fcn_page(plan: Plan) -> str | None:
    """Return the address of the FCN page, if there is one."""
    found = plan.run.fcn
    return f"{plan.folder}/{FCN}.html" if found is not None and (found.streams or found.dense) else None


def fcn_file(plan: Plan, image: int, name: str) -> str:
    """Return the address of a file of the FCN page: ``dense.jpg``, ``compare.npz``, ``0.jpg``."""
    return f"{plan.folder}/{FCN}/{plan.photos[image]}-{name}"


def view_file(plan: Plan, one: RunOn, view: int) -> str:
    """Return the address of a picture of streams: classes are exact, what is shaded may be less so."""
    return fcn_file(plan, one.image, f"{view}.{'png' if one.form == 'classes' else 'jpg'}")


def image_files(plan: Plan) -> Iterator[str]:
    """Yield the address of every file, pages last, in the order in which they are made."""
    run = plan.run
    for one in run.hypercolumns.shown if run.hypercolumns is not None else ():
        if one.path is not None:
            yield hypercolumn(plan, one.image, "jpg")
            if plan.is_small(one.path):
                yield hypercolumn(plan, one.image, "npz")
    if run.fcn is not None:
        yield from _fcn_files(plan, run.fcn.streams, "streams")
        yield from _fcn_files(plan, run.fcn.dense, "dense")
        yield from _fcn_files(plan, () if run.fcn.compare is None else (run.fcn.compare,), "compare")
    for image in range(len(run.images)):
        if has_glimpses(plan):
            yield glimpses(plan, image)
        yield image_page(plan, image)
    page = fcn_page(plan)
    if page is not None:
        yield page


def _fcn_files(plan: Plan, shown: tuple[RunOn, ...], name: str) -> Iterator[str]:
    for one in shown:
        if one.path is None:
            continue
        yield fcn_file(plan, one.image, f"{name}.jpg")
        if name == "streams":
            # Of so many pixels and classes the arrays are large: the facts go onto the site.
            yield fcn_file(plan, one.image, "streams.json")
            yield fcn_file(plan, one.image, "0.jpg")
            yield from (view_file(plan, one, view) for view in range(1, one.views + 1))
        elif plan.is_small(one.path):
            yield fcn_file(plan, one.image, f"{name}.npz")
