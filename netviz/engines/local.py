"""The engine of one machine: worker processes read the images, this process runs the network."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from netviz.engines.batches import Chunk, Source, load_chunk
from netviz.engines.job import Accumulator, Job, Progress, Save, Tally
from netviz.engines.runner import runner
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

    Parameters
    ----------
    job : Job
    accumulator, tally
        Where the run stands; both are brought forward.
    workers : int
        Processes that read images; 0 reads them here.
    strict : bool
        Whether an image that cannot be read stops the run.
    save : callable, optional
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
    with runner(job) as count:
        for chunk in loader:
            if strict and chunk.skipped:
                raise ImageError(chunk.skipped[0][1])
            count(chunk, accumulator)
            tally.count(chunk)
            if save is not None:
                save(accumulator, tally)
            done += job.images_in(chunk.number)
            report(job.name, done, total)


def _same(chunk: Chunk) -> Chunk:
    """Leave a chunk as it is: it is a batch already."""
    return chunk
