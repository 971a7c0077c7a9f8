"""How far an attribution can be trusted: when its most important pixels go, and when weights are shuffled."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import nn
from typing_extensions import Unpack

from netviz.capture import duplicate
from netviz.capture.memory import kept_memory
from netviz.engines import Progress
from netviz.errors import ModelError
from netviz.images import ImageLike
from netviz.models import ModelSpec
from netviz.questions.attribute.measure import (
    NOISE,
    SAMPLES,
    STEPS,
    Asked,
    Settings,
    attributions,
    check_settings,
    open_asked,
)
from netviz.questions.attribute.probe import ClassTarget, Probe
from netviz.questions.attribute.result import BESIDE, CheckResult, chosen_methods
from netviz.questions.occlusion.measure import occlusion
from netviz.questions.opening import ImageOptions

SHARES = 21
"""Steps from no pixel to all of them."""

STAGES = 8
"""How many networks with more and more shuffled layers are asked."""

PARTS = 8
"""Occlusion's patch is this part of the image's short side, and moves by half of itself."""

Maps = NDArray[np.float32]


def attribute_check(
    image: ImageLike,
    *,
    model: ModelSpec = "mobilenet_v2",
    method: str | Sequence[str] = (),
    class_: str | int | None = None,
    layer: str | None = None,
    output: str | int | None = None,
    steps: int = STEPS,
    samples: int = SAMPLES,
    noise: float = NOISE,
    progress: Progress | None = None,
    **options: Unpack[ImageOptions],
) -> CheckResult:
    """Hold attributions to a class against occlusion and chance, and against a network whose weights are shuffled.

    The most important pixels are replaced by the image's mean colour (deletion), or are all that is left of the image
    (insertion). Weights are shuffled within each tensor, layer by layer from the last to the first, in a copy: a
    method that explains the network gives something else then.

    Parameters
    ----------
    image, model, method, class_, layer, output, steps, samples, noise, progress, **options
        As for `netviz.attribute`; `seed` also draws the random order, and shuffles.

    Returns
    -------
    CheckResult

    Raises
    ------
    NetvizError, ValueError
        As `netviz.attribute`.

    References
    ----------
    Petsiuk, Das, Saenko, "RISE", BMVC 2018 (deletion and insertion); Adebayo et al., "Sanity Checks for Saliency
    Maps", NeurIPS 2018.
    """
    methods = chosen_methods(method, layer, None, class_)
    settings = check_settings(steps, samples, noise, options.get("seed", 0))
    asked = open_asked(image, model, layer, None, class_, output, **options)
    target = asked.target
    if not isinstance(target, ClassTarget):  # there is no unit
        raise ModelError("a check is of a class's score")
    with kept_memory():
        found = attributions(asked, methods, settings, progress)
        if not math.isfinite(found.score):
            raise ModelError(
                f"the score of {asked.model} on {asked.shown.photo.name} is {found.score}, which nothing can "
                "be held against; check the network's weights"
            )
        patch = max(2, min(asked.shown.prepared.image.shape[:2]) // PARTS)
        stride = max(1, patch // 2)
        covered = occlusion(
            asked.shown.photo, model=asked.shown.opened.model, class_=target.index, patch=patch, stride=stride,
            output=target.name or None, progress=progress, **_shown_as(options),
        )  # fmt: skip
        orders = [
            *(found.placed[one] for one in methods),
            covered.map,
            _squares(covered.map.shape, stride, settings.seed),
        ]
        told = _told(progress, asked, 2 * SHARES * len(orders))
        shares = np.linspace(0, 1, SHARES)
        curves = np.stack([_curves(asked, one, shares, told(number)) for number, one in enumerate(orders)])
        stages, correlation, names = _shuffled(asked, methods, settings, found.placed, progress)
    score, empty = float(curves[0, 0, 0]), float(curves[0, 0, -1])
    range_ = score - empty
    areas = ((curves.astype(np.float64) - empty) / (range_ or 1.0)).mean(axis=2)
    weighed = asked.layer
    return CheckResult(
        shares=shares,
        deletion=curves[:, 0],
        insertion=curves[:, 1],
        stages=stages,
        correlation=correlation,
        methods=methods,
        orders=(*methods, *BESIDE),
        deletion_area=tuple(areas[:, 0].tolist()),
        insertion_area=tuple(areas[:, 1].tolist()),
        network=asked.model,
        image_name=asked.shown.photo.name,
        class_index=target.index,
        label=target.label,
        predicted=target.predicted,
        called=target.called,
        output=target.name,
        score=score,
        empty_score=empty,
        score_of=target.what,
        layer=weighed.name if weighed else "",
        alias=weighed.alias if weighed else "",
        shuffled=names,
        patch=patch,
        stride=stride,
        seed=settings.seed,
        **asked.shown.opened.provenance(asked.shown.photo, asked.asked),
    )


def _shown_as(options: ImageOptions) -> ImageOptions:
    """Return how the image is brought to the network, of the options."""
    kept: ImageOptions = {}
    if "size" in options:
        kept["size"] = options["size"]
    if "fit" in options:
        kept["fit"] = options["fit"]
    return kept


def _told(progress: Progress | None, asked: Asked, total: int) -> Callable[[int], Callable[[int], None]]:
    def order(number: int) -> Callable[[int], None]:
        def tell(done: int) -> None:
            if progress is not None:
                progress(
                    f"deleting and inserting on {asked.shown.photo.name}", number * 2 * SHARES + done, total
                )

        return tell

    return order


def _squares(size: Sequence[int], side: int, seed: int) -> Maps:
    """Return squares in a random order, (H, W), as large as occlusion's steps."""
    rng = np.random.default_rng(seed)
    rows, columns = (-(-length // side) for length in size)
    values = rng.permutation(rows * columns).reshape(rows, columns).astype(np.float32)
    return np.repeat(np.repeat(values, side, axis=0), side, axis=1)[: size[0], : size[1]]


def _curves(asked: Asked, order: Maps, shares: NDArray[np.float64], told: Callable[[int], None]) -> Maps:
    """Return the score for each share of pixels deleted, and inserted, (2, steps)."""
    image = asked.probe.image
    mean = image.mean(dim=(2, 3), keepdim=True)
    # Pixels of equal importance go in the order of the image, the same in every run.
    ranks = np.empty(order.size, dtype=np.int64)
    ranks[np.argsort(-order.ravel().astype(np.float64), kind="stable")] = np.arange(order.size)
    place = torch.from_numpy(ranks.reshape(order.shape)).to(image.device)
    found = np.zeros((2, len(shares)), dtype=np.float32)
    counts = np.rint(shares * order.size).astype(int).tolist()
    batch = asked.probe.at_once
    for begin in range(0, len(counts), batch):
        some = counts[begin : begin + batch]
        first = torch.stack([place < count for count in some])[:, None]
        for kind, kept in enumerate((~first, first)):
            values = asked.probe.values(torch.where(kept, image, mean))
            found[kind, begin : begin + batch] = values.float().cpu().numpy()
        told(2 * (begin + len(some)))
    return found


def _shuffled(
    asked: Asked,
    methods: Sequence[str],
    settings: Settings,
    placed: dict[str, Maps],
    progress: Progress | None,
) -> tuple[NDArray[np.int64], Maps, tuple[str, ...]]:
    """Shuffle the weights of a copy of the network from the last layer on, and compare what the methods give."""
    shown, target = asked.shown, asked.target
    if not isinstance(target, ClassTarget):  # there is no unit
        raise ModelError("a check is of a class's score")
    network = duplicate(shown.opened.network)
    modules = dict(network.named_modules())
    names = [
        one.module
        for one in reversed(list(shown.opened.index))
        if one.function is None and one.call == 0 and one.module in modules and _weights(modules[one.module])
    ]
    if not names:
        raise ModelError(f"{asked.model} has no layer whose weights could be shuffled")
    stages = np.unique(np.rint(np.linspace(1, len(names), STAGES)).astype(np.int64))
    rng = np.random.default_rng(settings.seed)
    opened = replace(shown.opened, network=network)
    found = np.zeros((len(methods), len(stages)), dtype=np.float32)
    done = 0
    for number, stage in enumerate(stages.tolist()):
        for name in names[done:stage]:
            _shuffle(modules[name], rng)
        done = stage
        # Only the class: which output that is was settled on the network as it is.
        probe = Probe(shown._replace(opened=opened), ClassTarget(target.index, target.name or None))
        other = Asked(shown._replace(opened=opened), probe, asked.layer, asked.asked)
        given = attributions(other, methods, settings)
        found[:, number] = [_agreement(placed[one], given.placed[one]) for one in methods]
        if progress is not None:
            progress(f"{stage} of {len(names)} layers shuffled", number + 1, len(stages))
    return stages, found, tuple(names)


def _weights(module: nn.Module) -> list[torch.Tensor]:
    """Return the weights that a module holds itself, of a leaf also those that make them."""
    return [
        one for one in module.parameters(recurse=not any(True for _ in module.children())) if one.numel() > 1
    ]


def _shuffle(module: nn.Module, rng: np.random.Generator) -> None:
    """Shuffle each tensor of a module's own weights: their values stay the same, but for their places."""
    with torch.no_grad():
        for weights in _weights(module):
            order = torch.from_numpy(rng.permutation(weights.numel())).to(weights.device)
            weights.copy_(weights.reshape(-1)[order].reshape(weights.shape))


def _agreement(one: Maps, other: Maps) -> float:
    """Return the rank correlation of the absolute values of two maps; 0 where one is the same everywhere, or NaN."""
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return 0.0
    first, second = (rankdata(np.abs(values).ravel()) for values in (one, other))
    first, second = first - first.mean(), second - second.mean()
    length = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float(np.clip((first * second).sum() / length, -1, 1)) if length else 0.0
