"""Draws a network, its layers one after the other, or several at once in processes of their own."""

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from netviz.errors import OutputError
from netviz.results.survey import PatchesRecord

from .addresses import Addresses
from .drawing import Write
from .manifest import Photo
from .pages import Setting, unit_pages
from .panels.changed import Comparison, Twin, draw_changed
from .panels.components import draw_components
from .panels.concepts import LayerConcepts, draw_concepts
from .panels.elsewhere import Found
from .panels.fcn import draw_fcn
from .panels.front import draw_front
from .panels.images import Spot, draw_images, draw_photo
from .panels.layer import Layer, draw_layer
from .panels.minimal import draw_minimal
from .panels.origin import tell_origin, without
from .panels.overview import Network
from .panels.patches import Memory

Job = tuple[int, LayerConcepts | None]
"""A layer to draw, by its place among the run's, and what its units detect."""

Drawn = tuple[Layer, tuple[Spot, ...], list[tuple[str, bytes]]]
"""A layer's share of the manifest, what photographs' pages show of it, and its files: path in the site, and bytes."""

MANY = 500
"""Units whose pages take longer than it takes to start processes for them."""

AHEAD = 2
"""Layers per process that are drawn before they are asked for: their files wait in memory."""


def draw_network(
    addresses: Addresses,
    networks: tuple[str, ...],
    version: str,
    write: Write,
    workers: int = 0,
    comparisons: Sequence[Comparison] = (),
    elsewhere: Found | None = None,
) -> Network:
    """Draw everything of one network, and make its units' pages.

    Parameters
    ----------
    addresses : Addresses
        The run and its addresses.
    networks : tuple of str
        What the networks of the site are called.
    version : str
        netviz's.
    write : callable
        Takes each file's path and bytes as soon as it is made.
    workers : int
        Processes that draw layers, where there are many units; 0 draws in this one.
    comparisons : sequence of Comparison
        With which networks it is held beside each other, as the first of the two or the second.
    elsewhere : Found, optional
        The nearest units in the other networks.

    Returns
    -------
    Network
        The network's part of the manifest.

    Raises
    ------
    ResultError
        If a file of the run is missing or damaged.
    """
    run = addresses.run
    photos = tuple(draw_photo(addresses, place, write) for place in range(len(run.images)))
    concepts, detects = draw_concepts(addresses, write)
    page = None if concepts is None else concepts.page
    twins: dict[str, dict[int, tuple[Twin, ...]]] = {}
    for one in comparisons:
        for address, found in one.twins(second=one.second is addresses).items():
            mine = twins.setdefault(address, {})
            mine |= {unit: (*mine.get(unit, ()), twin) for unit, twin in found.items()}
    setting = Setting(version, networks, run.network, addresses.folder, page, twins, elsewhere or {})
    if sum(map(len, addresses.units)) < MANY:
        workers = 0
    layers: list[Layer] = []
    jobs = [(place, detects.get(place)) for place in range(len(run.layers))]
    spots: list[tuple[Spot, ...]] = []
    for drawn, some, files in draw_layers(Drawer(addresses, photos, setting), jobs, workers):
        layers.append(drawn)
        spots.append(some)
        for path, data in files:
            write(path, data)
    components = draw_components(addresses, photos, write)
    minimal = draw_minimal(addresses, photos, write)
    fcn = draw_fcn(addresses, photos, write)
    return Network(
        name=run.network,
        folder=addresses.folder,
        origin=run.origin,
        parameters=run.parameters,
        input=run.input,
        photos=photos,
        layers=tuple(layers),
        components=components,
        concepts=concepts,
        minimal=minimal,
        without=without(run),
        images=draw_images(addresses, photos, components, minimal, fcn, dict(enumerate(spots)), write),
        fcn=fcn,
        made=tell_origin(run),
        searched=run.patches.searched if isinstance(run.patches, PatchesRecord) else 0,
        front=draw_front(addresses, len(networks), photos, layers, write),
        changed=next((draw_changed(one, write) for one in comparisons if one.second is addresses), None),
        elsewhere=bool(elsewhere),
    )


@dataclass
class Drawer:
    """Draws layers of one network, and their units' pages."""

    addresses: Addresses
    photos: tuple[Photo, ...]
    setting: Setting

    def __post_init__(self) -> None:
        self._memory = Memory()

    def draw(self, job: Job) -> Drawn:
        """Draw one layer."""
        files: list[tuple[str, bytes]] = []
        place, detects = job

        def write(path: str, data: bytes) -> None:
            files.append((path, data))

        layer, spots = draw_layer(self.addresses, place, self.photos, detects, self._memory, write)
        files += ((path, html.encode("utf-8", "replace")) for path, html in unit_pages(layer, self.setting))
        return layer, spots, files


def draw_layers(drawer: Drawer, jobs: Iterable[Job], workers: int) -> Iterator[Drawn]:
    """Draw layers, each when the one before has been taken, or in so many processes ahead of that.

    Parameters
    ----------
    drawer : Drawer
    jobs : iterable of Job
    workers : int
        0 draws in this process.

    Yields
    ------
    Drawn
        In the order of `jobs`, the same for any number of workers.

    Raises
    ------
    ResultError
        If a file of the run is missing or damaged.
    OutputError
        If a process dies.
    """
    if not workers:
        yield from map(drawer.draw, jobs)
        return
    # A process that is forked would share locks of torch's threads, where a survey ran before.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(drawer,))
    waiting: deque[Future[Drawn]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(_draw, job))
            if len(waiting) > AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise OutputError(
            "a process that draws the site has died (out of memory?); try again with --workers 0"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_drawer: Drawer | None = None


def _begin(drawer: Drawer) -> None:
    """Keep what all jobs of a process share; an interrupt is for the process that asked."""
    global _drawer
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _drawer = drawer


def _draw(job: Job) -> Drawn:
    assert _drawer is not None
    return _drawer.draw(job)
