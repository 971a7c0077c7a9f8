"""The engine of one machine: worker processes read the images, this process runs the network."""

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from netviz.capture import preserved, sibling
from netviz.capture.memory import kept_memory
from netviz.engines.batches import Chunk, Source, load_chunk
from netviz.engines.job import Accumulator, Job, Progress, Save, Tally
from netviz.engines.runner import job_network, runner
from netviz.errors import ImageError


class _Chunks(Dataset[Chunk]):
    """The chunks that are still to be done, as a DataLoader wants them."""

    def __init__(self, source: Source, todo: Sequence[int], batch: int) -> None:
        self.source, self.todo, self.batch = source, todo, batch

    def __len__(self) -> int:
        return len(self.todo)

    def __getitem__(self, index: int) -> Chunk:
        return load_chunk(self.source, self.todo[index], self.batch)


def run_local(
    job: Job,
    accumulator: Accumulator,
    tally: Tally,
    *,
    workers: int = 0,
    strict: bool = False,
    save: Save | None = None,
    progress: Progress | None = None,
) -> None:
    """Feed all images that are not done yet to an accumulator.

    On a CPU several chunks are under way at once, each on a thread of its own: one layer of a small network has too
    little to share out between cores.

    Parameters
    ----------
    job : Job
    accumulator, tally
        Where the run stands; both are brought forward.
    workers : int
        Processes that read images; 0 reads them here.
    strict : bool
        Whether an image that cannot be read stops the run.
    save : Save, optional
        Called after every chunk; it decides whether to write a checkpoint.
    progress : callable, optional
        Called with what is being done, how many images are done, and how many there are.

    Raises
    ------
    ImageError, ModelError
        As `netviz.engines.runner.runner`; with `strict` also if an image cannot be read.
    """
    todo = [number for number, done in enumerate(tally.done.tolist()) if not done]
    total = len(job.source)
    done = total - sum(job.images_in(number) for number in todo)
    report = progress or (lambda *_: None)
    report(job.name, done, total)
    # Without a batch size, what a data set gives is handed out as it is.
    as_it_is: Any = _same
    loader: DataLoader[Any] = DataLoader(
        _Chunks(job.source, todo, job.batch),
        batch_size=None,
        num_workers=workers,
        collate_fn=as_it_is,
        generator=torch.Generator(),  # else it draws from the random numbers that belong to the user
    )
    # Its processes are forked before there are threads.
    chunks = iter(loader)
    with (
        preserved(job.network),
        kept_memory() as give_back,
        _Streams(job, accumulator, len(todo)) as streams,
    ):

        def settle() -> None:
            nonlocal done
            chunk = streams.finished()
            tally.count(chunk)
            give_back()
            done += job.images_in(chunk.number)
            report(job.name, done, total)

        for chunk in chunks:
            if strict and chunk.skipped:
                while streams.busy:  # an image before it may be bad, too
                    settle()
                raise ImageError(chunk.skipped[0][1])
            while streams.full:
                settle()
            if save is not None and save.due():
                while streams.busy:
                    settle()
                save(accumulator, tally)
            streams.start(chunk)
        while streams.busy:
            settle()
        if save is not None:
            save(accumulator, tally)


@dataclass(frozen=True)
class _Failed:
    """Why a chunk could not be counted; without one the number is -1."""

    number: int
    error: BaseException


class _Streams:
    """Threads that each run a copy of the network on one chunk after the other; if it is one only, this thread does.

    Attributes
    ----------
    busy : int
        How many chunks are under way.
    """

    def __init__(self, job: Job, accumulator: Accumulator, chunks: int) -> None:
        self.job, self.accumulator = job, accumulator
        self.busy = 0
        self._cores = torch.get_num_threads()
        self._count = max(1, min(self._cores, chunks)) if job.device == "cpu" else 1
        self._todo: SimpleQueue[Chunk | None] = SimpleQueue()
        self._done: SimpleQueue[Chunk | _Failed] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._stack = ExitStack()
        self._run: Callable[[Chunk, Accumulator], None] | None = None

    def __enter__(self) -> "_Streams":
        network = job_network(self.job)
        if self._count == 1:
            self._stack.callback(torch.set_num_threads, self._cores)
            if self.job.device == "cpu":
                torch.set_num_threads(1)
            self._run = self._stack.enter_context(runner(self.job, network))
            return self
        # All copies before any runs, and is watched.
        for own in [network, *(sibling(network) for _ in range(1, self._count))]:
            thread = threading.Thread(target=self._work, args=(own,), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)
        self._stop()
        torch.set_num_threads(self._cores)

    def _stop(self) -> None:
        """Wait for the chunks that are under way; those that wait are left."""
        # Not by asking whether one is left: a thread may take that one in between.
        with suppress(Empty):
            while True:
                self._todo.get_nowait()
        for _thread in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join()

    @property
    def full(self) -> bool:
        """Whether each thread has a chunk, and one waits."""
        return self.busy > len(self._threads)

    def start(self, chunk: Chunk) -> None:
        """Have a chunk counted."""
        self.busy += 1
        if self._run is None:
            self._todo.put(chunk)
        else:
            self._run(chunk, self.accumulator)
            self._done.put(chunk)

    def finished(self) -> Chunk:
        """Wait for a chunk to be counted.

        Raises
        ------
        ImageError, ModelError
            As `netviz.engines.runner.runner`, of the first chunk: another may have met its own sooner.
        """
        outcome = self._done.get()
        self.busy -= 1
        if isinstance(outcome, Chunk):
            return outcome
        self._stop()
        failed = [outcome]
        with suppress(Empty):
            while True:
                other = self._done.get_nowait()
                if isinstance(other, _Failed):
                    failed.append(other)
        raise min(failed, key=lambda one: one.number).error

    def _work(self, network: nn.Module) -> None:
        number = -1
        try:
            # Always one: with another number of threads a layer may be rounded in another way.
            torch.set_num_threads(1)
            with runner(self.job, network) as count:
                while (chunk := self._todo.get()) is not None:
                    number = chunk.number
                    count(chunk, self.accumulator)
                    self._done.put(chunk)
        except BaseException as error:
            self._done.put(_Failed(number, error))


def _same(chunk: Chunk) -> Chunk:
    """Leave a chunk as it is: it is a batch already."""
    return chunk
