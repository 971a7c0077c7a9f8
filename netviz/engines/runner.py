"""The forward passes: what any engine does with a chunk of images."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch
from torch import Tensor, nn

from netviz.capture import brief, capture, channels_first, duplicate, index_layers
from netviz.capture.outputs import tensor_named
from netviz.capture.trace import require_values
from netviz.engines.batches import Batch, Chunk
from netviz.engines.fast import fast_copy
from netviz.engines.job import Accumulator, Job, NotFiniteError
from netviz.errors import ImageError, ModelError
from netviz.images import normalize_batch
from netviz.models import Layer


def check_device(device: str) -> None:
    """Refuse a device that this machine has not.

    Raises
    ------
    ModelError
        Naming those that it has.
    """
    trouble = _trouble(device)
    if trouble:
        has = " or ".join(one for one in ("cpu", "cuda", "mps", "xpu") if not _trouble(one))
        raise ModelError(f"no network can run on device {device!r} here ({trouble}); give {has}")


def _trouble(device: str) -> str:
    """Return why nothing runs on a device; empty where it does."""
    try:
        torch.device(device)
    except RuntimeError:
        return "torch has none of that name"
    try:
        torch.zeros(1).to(device).cpu()
    except Exception as error:  # every backend has errors of its own
        return brief(error).rstrip(".!")
    return ""


_LISTING = threading.Lock()


class _Enough(Exception):
    """Everything wanted has been seen: the rest of the forward pass is not needed."""


def job_network(job: Job) -> nn.Module:
    """Return a copy of a job's network that gives the same maps in less time."""
    dtype = getattr(torch, job.dtype)
    if job.relevance is not None:
        return duplicate(job.network).to(job.device, dtype).eval()
    return fast_copy(job.network, job.layers, job.shape, device=job.device, dtype=dtype)


@contextmanager
def runner(job: Job, network: nn.Module) -> Iterator[Callable[[Chunk, Accumulator], None]]:
    """Yield a function that runs a network, a `job_network`, on a chunk and has an accumulator count that.

    Raises
    ------
    ModelError
        If nothing can run on the device, a layer gives NaN or infinity (named with the image), or memory does not
        even suffice for one image.
    ImageError
        If the network does not run on an image.
    """
    require_values(job.network)
    check_device(job.device)
    dtype = getattr(torch, job.dtype)
    now: tuple[Accumulator, Batch]
    left = 0

    sizes: dict[tuple[int, ...], dict[str, Layer]] = {}

    def at(layer: Layer, batch: Batch) -> Layer:
        """Return a layer as it is for images of a batch's size: how tokens and windows lie depends on it."""
        size = (int(batch.pixels.shape[1]), int(batch.pixels.shape[2]))
        if layer.arrangement is None or size == layer.arrangement.size:
            return layer
        if size not in sizes:
            with _LISTING:  # the threads share the network that is listed
                index = index_layers(job.network, size=size, channels=job.shape[0])
            sizes[size] = {one.name: one for one in index}
        return sizes[size].get(layer.name, layer)

    def named(error: NotFiniteError) -> ModelError:
        return ModelError(str(error).replace(f"image {error.number}", job.names[error.number]))

    def look(layer: Layer, output: Tensor) -> None:
        nonlocal left
        accumulator, batch = now
        accumulator.observe(layer, channels_first(at(layer, batch), output), batch)
        left -= 1
        if not left:
            raise _Enough

    with _watched(job, network, look) as run:
        most = job.batch

        def forward(batch: Batch, accumulator: Accumulator) -> None:
            nonlocal now, left
            now, left = (accumulator, batch), len(job.layers)
            pixels = batch.pixels.pin_memory() if job.device.startswith("cuda") else batch.pixels
            images = normalize_batch(pixels.to(job.device, non_blocking=True), job.preprocessing).to(dtype)
            try:
                with suppress(_Enough):
                    run(images)
                    raise ModelError(
                        f"{job.name} did not run all the layers asked for; list them with: netviz layers"
                    )
            except NotFiniteError as error:
                raise named(error) from None
            except (RuntimeError, ValueError, IndexError) as error:
                if _out_of_memory(error):
                    raise MemoryError(str(error)) from None
                height, width = batch.pixels.shape[1:3]
                raise ImageError(
                    f"{job.name} does not run on {job.names[int(batch.numbers[0])]} at {height}×{width} pixels "
                    f"({brief(error)}); choose another --fit or --size"
                ) from error
            try:
                accumulator.update(batch)
            except NotFiniteError as error:
                raise named(error) from None
            except torch.OutOfMemoryError as error:
                raise MemoryError(str(error)) from None

        def fits(batch: Batch, accumulator: Accumulator) -> bool:
            try:
                forward(batch, accumulator)
            except MemoryError as error:
                accumulator.discard()
                if len(batch.numbers) == 1:
                    raise ModelError(
                        f"memory does not suffice for one image ({brief(error)}); choose fewer layers or a "
                        f"smaller --size"
                    ) from error
                return False
            return True

        def count(chunk: Chunk, accumulator: Accumulator) -> None:
            nonlocal most
            for batch in chunk.batches:
                done = 0
                while done < len(batch.numbers):
                    if fits(batch.part(done, done + most), accumulator):
                        done += most
                    else:
                        most = max(1, most // 2)

        yield count


@contextmanager
def _watched(
    job: Job, network: nn.Module, look: Callable[[Layer, Tensor], None]
) -> Iterator[Callable[[Tensor], object]]:
    """Yield what runs the network on images and shows `look` what is to be looked at of each layer."""
    if job.relevance is None:
        with (
            torch.inference_mode(),
            capture(network, job.layers, reduce=look, any_size=True, private=True) as run,
        ):
            yield run
        return
    relevance = job.relevance
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        capture(network, job.layers, grad=True, any_size=True, private=True) as run,
    ):

        def relevances(images: Tensor) -> None:
            # A copy, which a network may write to.
            output = tensor_named(run(images.requires_grad_(True).clone()), relevance.output)
            scores = output if output.ndim == 2 else output.mean(dim=(2, 3))
            chosen = scores.argmax(1) if relevance.target is None else relevance.target
            value = scores[torch.arange(len(scores)), chosen].sum()
            if not value.requires_grad:
                raise ModelError(f"no gradient flows through {job.name}; order its patches by activation")
            kept = dict(run.items())
            slopes = torch.autograd.grad(value, list(kept.values()), allow_unused=True)
            for (layer, maps), slope in zip(kept.items(), slopes, strict=True):
                # A layer on which the score does not depend is relevant nowhere.
                look(layer, torch.zeros_like(maps) if slope is None else maps.detach() * slope)

        yield relevances


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
