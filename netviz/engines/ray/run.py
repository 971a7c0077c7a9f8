"""The engine of a cluster: Ray Data spreads runs of chunks over copies of the network and merges what they give.

A chunk is what it is on one machine, so a batch holds the same images whoever runs it. Ray Data's own readers cut a
data set by the size of its files and by the cluster that reads it; therefore the data set that is spread here holds
numbers of chunks, and whoever counts a chunk reads its images, from shared files or by URL (`netviz.images.remote`).
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeVar

from netviz.engines.job import Accumulator, Job, Progress, Save, Tally
from netviz.engines.ray.tasks import Conductor, Division, LostError, Part, cause
from netviz.errors import ModelError, NetvizError, OutputError

FAN = 4
"""How many parts are merged into one."""

ROOT = 64
"""How many parts at most are merged where the run was started; each comes with the chance of a checkpoint."""

LONGEST = {"cpu": 64, "cuda": 1024}
"""Chunks in one task, at most: what is lost with a worker, and how long a checkpoint waits."""

RESTARTS = 3
"""How often a worker that dies is started again."""

TRIES = 4
"""How many times in a row workers may be lost before any of them has brought a result."""

Fed = TypeVar("Fed", bound=Accumulator)


def run_ray(
    job: Job,
    accumulator: Fed,
    tally: Tally,
    *,
    workers: int | None = None,
    address: str | None = None,
    strict: bool = False,
    save: Save | None = None,
    progress: Progress | None = None,
) -> Fed:
    """Feed all images that are not done yet to an accumulator, on a cluster.

    Parameters
    ----------
    job : Job
        With ``device="cuda"`` each copy of the network has a GPU of its own.
    accumulator, tally
        Where the run stands; both are brought forward.
    workers : int, optional
        Copies of the network; by default one for each GPU, or for each core if they run on the CPU.
    address : str, optional
        The cluster to join, such as ``"auto"``; by default one is started here, and stopped at the end. What this
        process has joined already is used and left running.
    strict : bool
        Whether an image that cannot be read stops the run.
    save : callable, optional
        Called whenever results have come in; it decides whether to write a checkpoint.
    progress : callable, optional
        Called with what is being done, how many images are done, and how many there are.

    Returns
    -------
    Accumulator
        The one given.

    Raises
    ------
    ImageError, ModelError
        As `netviz.engines.runner.runner`; with `strict` also if an image cannot be read; if Ray is not installed, or
        loses its workers again and again.
    OutputError
        If there is no cluster at `address`.
    """
    total = len(job.source)
    report = progress or (lambda *_: None)
    done = sum(job.images_in(number) for number in tally.done.nonzero()[0].tolist())
    report(job.name, done, total)
    if tally.done.all():
        return accumulator

    def take(part: Part) -> None:
        nonlocal done
        accumulator.merge(part.accumulator)
        tally.skipped |= part.skipped
        for first, stop in part.runs:
            tally.done[first:stop] = True
            done += sum(job.images_in(number) for number in range(first, stop))
        if save is not None:
            save(accumulator, tally)
        report(job.name, done, total)

    with _cluster(address, workers) as ray:
        sent = _send(ray, job)
        lost = 0
        while not tally.done.all():
            before = done
            error = _go_on(_parts(ray, job, sent, tally, workers, strict), take)
            lost = lost + 1 if done == before else 1
            if error is not None:
                _judge(ray, error, lost)
    return accumulator


def _go_on(parts: Iterator[Part], take: Callable[[Part], None]) -> Exception | None:
    """Hand over parts as they come; return what stopped them."""
    try:
        for part in parts:
            take(part)
    except Exception as error:  # whatever Ray makes of a lost worker, or of a mistake of the user's
        return error
    return None


def runs(done: list[bool], longest: int) -> list[tuple[int, int]]:
    """Return the chunks that are not done as runs, from the first to before the last, of at most `longest`."""
    found: list[tuple[int, int]] = []
    for number, finished in enumerate(done):
        if finished:
            continue
        if found and found[-1][1] == number and number - found[-1][0] < longest:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return found


def _parts(
    ray: Any, job: Job, sent: tuple[Any, Any], tally: Tally, workers: int | None, strict: bool
) -> Iterator[Part]:
    """Yield what the chunks still to be done give, merged in groups, as it comes.

    Raises
    ------
    LostError
        If a node is gone. Ray would keep what its workers had begun for them, and wait, perhaps for ever, for room to
        start them again; so all that is missing is planned anew for the nodes that are left.
    """
    gpu = job.device.startswith("cuda")
    nodes = _nodes(ray)
    workers, cores = _workers(nodes, gpu, workers)
    todo = tally.done.tolist()
    # A few tasks for each worker, so that none waits long for the last.
    longest = min(LONGEST["cuda" if gpu else "cpu"], todo.count(False) // (4 * workers))
    tasks = runs(todo, max(1, longest))
    levels, count = 0, len(tasks)
    while count > ROOT:
        levels, count = levels + 1, -(-count // FAN)
    division = Division(tasks, workers, cores, gpu, strict, levels, FAN, RESTARTS)
    here = import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=False
    )
    # Ray Data works in an actor: with that, all it has begun on the cluster can be ended at any moment.
    conductor = ray.remote(num_cpus=0, scheduling_strategy=here)(Conductor).remote()
    try:
        results = conductor.parts.options(num_returns="streaming").remote(division, sent)
        while True:
            ready, _ = ray.wait([results], timeout=1, fetch_local=False)
            if not nodes.keys() <= _nodes(ray).keys():
                raise LostError("a node is gone")
            if not ready:
                continue
            try:
                row = ray.get(next(results))
            except StopIteration:
                return
            yield Part.read(row, job.start)
    finally:
        ray.kill(conductor)


def _nodes(ray: Any) -> dict[str, dict[str, float]]:
    """Return the nodes that are alive, by id, and what each has."""
    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


def _workers(nodes: dict[str, dict[str, float]], gpu: bool, workers: int | None) -> tuple[int, int]:
    """Return how many copies of the network there are to be, and how many cores each has."""
    have = int(sum(node.get("GPU" if gpu else "CPU", 0) for node in nodes.values()))
    cores = 1
    if gpu:
        shares = [int(node.get("CPU", 1) / node["GPU"]) for node in nodes.values() if node.get("GPU", 0)]
        cores = max(1, min([*shares, 16]))
    return workers or max(1, have), cores


def _send(ray: Any, job: Job) -> tuple[Any, Any]:
    """Put what the workers need where they find it."""
    try:
        return ray.put(job), ray.put(job.start)
    except NetvizError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{job.name} cannot be sent to other processes ({reason}); choose --engine local"
        ) from error


def _judge(ray: Any, error: Exception, lost: int) -> None:
    """Raise what the user must know; return if a worker or a node was lost and the rest can go on."""
    if isinstance(error, NetvizError):
        raise error
    theirs = cause(error, LostError) or cause(error, ray.exceptions.RayError)
    if theirs is None or isinstance(theirs, ray.exceptions.RayTaskError):
        raise error
    if lost >= TRIES:
        reason = str(theirs).partition("\n")[0]
        raise ModelError(
            f"Ray lost its workers {lost} times before any brought a result ({reason}); give them more memory, or "
            f"choose fewer --workers"
        ) from error


@contextmanager
def _cluster(address: str | None, workers: int | None) -> Iterator[Any]:
    """Return Ray, connected to a cluster, with its messages off."""
    ray = _import()
    mine = not ray.is_initialized()
    if mine:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        # Logical cores: one for each worker that is asked for, whatever the machine has.
        where = {"address": address} if address else {"address": "local", "num_cpus": workers or cores}
        try:
            _reach(address or "")
            ray.init(
                **where,
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level="ERROR",
            )
        except (OSError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            remedy = (
                "start one with: ray start --head" if address else "see that this machine has memory left"
            )
            raise OutputError(
                f"no Ray cluster at {address or 'this machine'} ({reason}); {remedy}"
            ) from error
    try:
        yield ray
    finally:
        if mine:
            ray.shutdown()


def _reach(address: str) -> None:
    """Check that something listens at HOST:PORT; Ray would try for minutes, and then end the process."""
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _import() -> Any:
    # Read when Ray is imported: no reports to its makers, no copy of the environment for each worker.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray = import_module("ray")
        import_module("ray.data")
    except ImportError as error:
        raise ModelError(
            "the engine ray needs Ray, which is not installed; install it with: pip install 'netviz[ray]'"
        ) from error
    return ray
