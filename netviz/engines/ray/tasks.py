"""What the engine `ray` has its cluster do: count a run of chunks, and merge what was counted."""

import io
import json
import logging
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeVar

import numpy as np
import torch

from netviz.engines.batches import Chunk, load_chunk
from netviz.engines.job import Accumulator, Job
from netviz.engines.runner import job_network, runner
from netviz.errors import ImageError, NetvizError
from netviz.models.torchvision_import import import_torchvision


@dataclass
class Part:
    """What some chunks gave.

    Attributes
    ----------
    accumulator : Accumulator
        Holds these chunks and nothing else.
    runs : list of (int, int)
        Which chunks: from the first to before the last of each run.
    skipped : dict of int to str
        Images that could not be read, and why.
    """

    accumulator: Accumulator
    runs: list[tuple[int, int]] = field(default_factory=list)
    skipped: dict[int, str] = field(default_factory=dict)

    def merge(self, other: "Part") -> None:
        """Merge what other chunks gave."""
        self.accumulator.merge(other.accumulator)
        self.runs += other.runs
        self.skipped |= other.skipped

    def table(self) -> Any:
        """Return this as a table of one row, as Ray Data moves it."""
        buffer = io.BytesIO()
        arrays: dict[str, Any] = self.accumulator.state()
        np.savez(buffer, **arrays)
        return _table({"runs": self.runs, "skipped": list(self.skipped.items())}, buffer.getvalue())

    @classmethod
    def read(cls, row: tuple[str, bytes], start: Callable[[], Accumulator]) -> "Part":
        """Return what a row of such a table holds.

        Raises
        ------
        NetvizError
            If it holds one.
        """
        facts, state = row
        known = json.loads(facts)
        if "error" in known:
            raise getattr(import_module(NetvizError.__module__), known["error"])(known["message"])
        accumulator = start()
        with np.load(io.BytesIO(state), allow_pickle=False) as archive:
            accumulator.restore({name: archive[name] for name in archive.files})
        runs = [(int(first), int(stop)) for first, stop in known["runs"]]
        return cls(accumulator, runs, {int(number): reason for number, reason in known["skipped"]})


def _table(facts: dict[str, Any], state: bytes) -> Any:
    arrow = import_module("pyarrow")
    columns = {
        "facts": arrow.array([json.dumps(facts)], type=arrow.string()),
        "state": arrow.array([state], type=arrow.large_binary()),
    }
    return arrow.table(columns)


def _error(error: NetvizError) -> Any:
    """Return a table that holds a mistake of the user's; raised, it would reach nobody but as text of Ray's."""
    kind = next(one.__name__ for one in type(error).__mro__ if one.__module__ == NetvizError.__module__)
    return _table({"error": kind, "message": str(error)}, b"")


class Counter:
    """One copy of the network at work; Ray Data keeps one in each of its actors.

    Parameters
    ----------
    job : ObjectRef of Job
    readers : int
        Threads that read images ahead of the network; 0 reads them in turn.
    strict : bool
        Whether an image that cannot be read stops the run.
    """

    def __init__(self, job: Any, readers: int, strict: bool) -> None:
        # What is sent may hold torchvision's modules, and only this import bears with a torch of another build.
        with suppress(NetvizError):
            import_torchvision()
        self.job: Job = import_module("ray").get(job)
        self.readers = readers
        self.strict = strict
        # As in the local engine: with another number of threads a layer may be rounded in another way.
        torch.set_num_threads(1)
        # Inference mode and what follows functions belong to a thread: the network stays in one, whichever calls.
        self._thread = ThreadPoolExecutor(1)
        self._stack = ExitStack()
        self._count: Callable[[Chunk, Accumulator], None] | None = None

    def __call__(self, table: Any) -> Any:
        """Count the chunks that a row names."""
        (row,) = table.to_pylist()
        try:
            return self._thread.submit(self._run, row["first"], row["stop"]).result().table()
        except NetvizError as error:
            return _error(error)

    def _run(self, first: int, stop: int) -> Part:
        # Not when the actor is made: there a mistake of the user's would pass for the actor's death.
        if self._count is None:
            self._count = self._stack.enter_context(runner(self.job, job_network(self.job)))
        part = Part(self.job.start(), [(first, stop)])
        for chunk in read_ahead(self.job, range(first, stop), self.readers):
            if self.strict and chunk.skipped:
                raise ImageError(chunk.skipped[0][1])
            self._count(chunk, part.accumulator)
            part.skipped |= dict(chunk.skipped)
        return part


def read_ahead(job: Job, numbers: Sequence[int], readers: int) -> Iterator[Chunk]:
    """Yield chunks in order while threads read the next ones; Pillow decodes and resizes without Python's lock."""
    if not readers:
        for number in numbers:
            yield load_chunk(job.source, number, job.batch)
        return
    pool = ThreadPoolExecutor(readers)
    ahead: deque[Future[Chunk]] = deque()
    try:
        for number in numbers:
            ahead.append(pool.submit(load_chunk, job.source, number, job.batch))
            if len(ahead) > 2 * readers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def merged(table: Any, start: Any) -> Any:
    """Merge the parts in the rows of a table; `start` is a reference to what makes an empty accumulator."""
    empty: Callable[[], Accumulator] = import_module("ray").get(start)
    rows = (
        (facts.as_py(), state.as_py()) for facts, state in zip(table["facts"], table["state"], strict=True)
    )
    try:
        whole = Part.read(next(rows), empty)
        for row in rows:
            whole.merge(Part.read(row, empty))
    except NetvizError as error:
        return _error(error)
    return whole.table()


@dataclass(frozen=True)
class Division:
    """How the work is divided over the cluster.

    Attributes
    ----------
    tasks : list of (int, int)
        Chunks, from the first to before the last: what a worker counts into one part.
    workers : int
        Copies of the network.
    cores : int
        For each.
    gpu : bool
        Whether each has a GPU.
    strict : bool
        Whether an image that cannot be read stops the run.
    levels, fan : int
        How many times parts are merged, and how many into one.
    restarts : int
        How often a worker that dies is started again.
    """

    tasks: list[tuple[int, int]]
    workers: int
    cores: int
    gpu: bool
    strict: bool
    levels: int
    fan: int
    restarts: int


class Conductor:
    """The actor that runs Ray Data on the caller's node."""

    def parts(self, division: Division, sent: tuple[Any, Any]) -> Iterator[tuple[str, bytes]]:
        """Yield parts as rows of tables, merged; `sent` holds references to the job and to what starts a part.

        Raises
        ------
        LostError
            If workers died more often than Ray starts them again.
        """
        _settle()
        ray = import_module("ray")
        try:
            for row in dataset(division, *sent).iter_rows():
                yield row["facts"], row["state"]
        except Exception as error:
            lost = cause(error, ray.exceptions.RayError)
            mistakes = (ray.exceptions.RayTaskError, getattr(ray.exceptions, "UserCodeException", ()))
            if lost is None or isinstance(lost, mistakes):
                raise
            raise LostError(str(lost).partition("\n")[0]) from None


def dataset(division: Division, job: Any, start: Any) -> Any:
    """Return the Ray Dataset that has the work done; `job` and `start` are references."""
    data = import_module("ray.data")
    items = [{"first": first, "stop": stop} for first, stop in division.tasks]
    options: dict[str, Any] = {
        "batch_size": 1,
        "batch_format": "pyarrow",
        "fn_constructor_args": (job, division.cores if division.gpu else 0, division.strict),
        "compute": data.ActorPoolStrategy(size=division.workers),
        "num_cpus": division.cores,
        "num_gpus": 1 if division.gpu else 0,
    }
    counted = data.from_items(items, override_num_blocks=len(items))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # Left to itself, Ray starts a worker again for ever that dies of the same images every time.
            again = {"max_restarts": division.restarts, "max_task_retries": division.restarts}
            counted = counted.map_batches(Counter, **options, **again)
        except TypeError:  # a Ray that no longer lets itself be told
            counted = counted.map_batches(Counter, **options)
    for level in range(division.levels):
        counted = counted.map_batches(
            merged,
            batch_size=division.fan,
            batch_format="pyarrow",
            fn_args=(start,),
            # Merging must find room where workers hold all cores. The sizes differ, for Ray Data fuses equal stages.
            num_cpus=0,
            memory=level + 1,
        )
    return counted


class LostError(Exception):
    """Workers or a node of the cluster are lost, with their unfinished work."""


Own = TypeVar("Own", bound=Exception)


def cause(error: BaseException | None, kind: type[Own]) -> Own | None:
    """Return the error of a kind behind what Ray made of it: the innermost, for Ray's pass for it but say more."""
    found = None
    while error is not None:
        if isinstance(error, kind):
            found = error
        error = getattr(error, "cause", None) or error.__cause__
    return found


def _settle() -> None:
    """Have Ray Data give results in the order of the chunks, wait for them as long as they take, and be silent.

    Of several mistakes of the user's it is then that of the first image that is told, as by the local engine. Silent
    means neither progress bars nor a log of what is told in one line anyway.
    """
    context = import_module("ray.data").DataContext.get_current()
    context.execution_options.preserve_order = True
    if hasattr(context, "execution_no_progress_timeout_s"):
        context.execution_no_progress_timeout_s = -1
    for name in ("enable_progress_bars", "print_on_execution_start"):
        if hasattr(context, name):
            setattr(context, name, False)
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
