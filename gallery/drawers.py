"""Draws the layers of a network one after the other, or several at once in processes of their own."""

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from netviz.errors import OutputError

from .layers import Job, draw_layer
from .manifest import Layer
from .manifest_parts import Photo
from .patches import Memory
from .plan import Plan
from .units_pages import Setting, unit_pages

Drawn = tuple[Layer, list[tuple[str, bytes]]]
"""A layer's share of the manifest, and its files: path inside the site, and bytes."""

AHEAD = 2
"""Layers per process that are drawn before they are asked for: their files wait in memory."""


@dataclass
class Drawer:
    """Draws layers of one network, and their units' pages."""

    plan: Plan
    photos: tuple[Photo, ...]
    setting: Setting

    def __post_init__(self) -> None:
        self._memory = Memory()

    def draw(self, job: Job) -> Drawn:
        """Draw one layer."""
        files: list[tuple[str, bytes]] = []
        layer = draw_layer(
            job, self.plan, self.photos, self._memory, lambda path, data: files.append((path, data))
        )
        files += ((path, html.encode("utf-8", "replace")) for path, html in unit_pages(layer, self.setting))
        return layer, files


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
    Layer, list of (str, bytes)
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
