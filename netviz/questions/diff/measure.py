"""How the units of two checkpoints of one architecture differ: their filters, maps and patches."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

from netviz.engines import Progress, Tally, Units, UnitsQuery, run_local
from netviz.errors import ModelError
from netviz.images import Images, Photo, as_shown, images_or_photographs, read_image
from netviz.models import Layer, Model, ModelOptions, ModelSpec, load
from netviz.questions.diff.result import (
    ORDERS,
    Bools,
    DiffResult,
    Floats,
    Part,
    Unmatched,
    change,
    choose_drawn,
    correlations,
    filter_changes,
    in_common,
    most_changed,
)
from netviz.questions.filters.measure import layer_filters
from netviz.questions.opening import Opened, layers, provenance
from netviz.questions.patches.measure import layer_patches, map_windows
from netviz.questions.patches.result import PatchesResult
from netviz.questions.patches.tiles import cut_tiles
from netviz.questions.runs import check_options, default_device, make_job, open_network, require_images
from netviz.results.choose import several
from netviz.results.ledger import full_name

TOP = 9
"""How many positions of each unit are looked for in both networks, at most."""

SAMPLE = 1 << 14
"""At how many random positions, at most, values are correlated."""

_VALUES = 1 << 24
"""How many values the samples of all units hold in all, at most."""

_SHOWN = 4
"""Patches of each network that a picture shows of a unit."""

_SIDE = 72

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class _Pair:
    """A convolution in both networks."""

    part: Part
    first: Layer
    second: Layer
    before: NDArray[Any]
    after: NDArray[Any]


@dataclass(frozen=True)
class _Seen:
    """What a network's units do over all images."""

    opened: Opened
    units: Units
    patches: tuple[PatchesResult, ...]
    sources: Sequence[str | Path | Photo]
    skipped: tuple[tuple[str, str], ...]

    @property
    def cells(self) -> list[tuple[int, ...]]:
        """Rows and columns of the maps of each layer."""
        return [(one.shape or ())[1:] for one in self.opened.layers]

    def sample(self, at: int) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
        """Return the sample of a layer: where, as hashes, and the values there."""
        hashes, values = self.units.layers[self.opened.layers[at]].sample.sorted()
        return hashes, values


def diff(
    model: ModelSpec,
    other: ModelSpec,
    *,
    layer: str | Sequence[str] = (),
    images: Images | None = None,
    by: str | None = None,
    top: int = 24,
    other_weights: str | Path = "default",
    fit: str = "crop",
    size: tuple[int, int] | None = None,
    batch: int | None = None,
    workers: int = 0,
    device: str | None = None,
    strict: bool = False,
    progress: Progress | None = None,
    **options: Unpack[ModelOptions],
) -> DiffResult:
    """Measure how much each unit of a network changed from one checkpoint to another.

    Parameters
    ----------
    model, other : str, Path, nn.Module or Model
        As for `netviz.load`: before and after fine-tuning or pruning, or of another seed.
    layer : str or sequence of str
        Names, aliases or globs of convolutions; by default all.
    images : str, Path, PIL image, ndarray, Tensor, or iterable of these, optional
        As for `netviz.patches`; both networks are shown the same. By default none: then filters alone are compared.
        An empty sequence stands for scikit-image's photographs.
    by : {"filter", "maps", "patches"}, optional
        How units are ordered: by the distance of their filters, the correlation of their maps, or the patches that
        they have in common. By default by their maps where there are images.
    top : int
        How many units are drawn, those that changed most; of those that are there in one network only at most a
        quarter.
    other_weights : str or Path
        As `weights`, for `other`.
    fit, batch, workers, device, strict, progress
        As for `netviz.units`.
    size : (int, int), optional
        As for `netviz.layers`.
    **options
        As for `netviz.load`, for both networks; `weights` and `save_model` for the first alone.

    Returns
    -------
    DiffResult

    Raises
    ------
    NetvizError
        If a MODEL, the images or a layer cannot serve, or no convolution is the same in both by name and shape.
    ValueError
        If an option is none of the values named here.
    """
    check_options((("top", top, 1), ("batch", batch, 1)), fit=fit)
    if by is not None and by not in ORDERS:
        raise ValueError(f"by must be 'filter', 'maps' or 'patches', not {by!r}")
    if by in ("maps", "patches") and images is None:
        raise ValueError(f"units are ordered by {by} over images; give images, or order by 'filter'")
    by = by or ("filter" if images is None else "maps")
    first = load(model, **options)
    beside: ModelOptions = {**options, "weights": other_weights, "save_model": None}
    second = load(other, **beside)
    pairs, unmatched = _pairs(first, second, layer)
    place = np.repeat(np.arange(len(pairs)), [pair.part.channels for pair in pairs])
    unit = np.concatenate([np.arange(pair.part.channels) for pair in pairs])
    changes = [filter_changes(pair.before, pair.after) for pair in pairs]
    distance, cosine = (np.concatenate(some) for some in zip(*changes, strict=True))
    correlation: Floats | None = None
    common: Floats | None = None
    dead: tuple[Bools, Bools] = (np.zeros(len(unit), bool), np.zeros(len(unit), bool))
    seen: tuple[_Seen, _Seen] | None = None
    if images is not None:
        look = functools.partial(
            _look,
            images=images,
            fit=fit,
            size=size,
            batch=batch,
            workers=workers,
            device=device,
            strict=strict,
            progress=progress,
        )
        before = look(first, [pair.first.name for pair in pairs])
        after = look(second, [pair.second.name for pair in pairs])
        seen = before, after
        related = [_related(seen, at) for at in range(len(pairs))]
        correlation = np.concatenate([one for one, _ in related])
        dead = tuple(np.concatenate([both[side] for _, both in related]) for side in (0, 1))  # type: ignore[assignment]
        common = np.concatenate([_common(seen, at) for at in range(len(pairs))])
    changed = change(by, distance, correlation, common, dead)
    order = most_changed(changed)
    zeros = tuple(
        np.concatenate([_zero(getattr(pair, side)) for pair in pairs]) for side in ("before", "after")
    )
    drawn = choose_drawn(order, (zeros[0] ^ zeros[1]) | (dead[0] ^ dead[1]), top)
    tiles = _tiles(seen, place, unit, drawn)
    kept = {
        f"filter_{at}": np.stack(
            [side[unit[one]] for side in (pairs[place[one]].before, pairs[place[one]].after)]
        )
        for at, one in enumerate(drawn.tolist())
    }
    told = provenance(first) if seen is None else seen[0].opened.provenance()
    told["layer_asked"] = layer if isinstance(layer, str) else ""
    told["doubts"] = tuple(dict.fromkeys((*told["doubts"], *_doubts(first, second, seen))))
    return DiffResult(
        place=place,
        unit=unit,
        distance=distance,
        cosine=cosine,
        zero=zeros[0],
        other_zero=zeros[1],
        correlation=correlation,
        common=common,
        dead=None if seen is None else dead[0],
        other_dead=None if seen is None else dead[1],
        change=changed,
        order=order,
        drawn=drawn,
        filters=kept,
        patches=None if tiles is None else tiles[0][0],
        other_patches=None if tiles is None else tiles[1][0],
        filled=None if tiles is None else tiles[0][1],
        other_filled=None if tiles is None else tiles[1][1],
        network=first.name,
        other=second.name,
        other_origin=second.origin,
        parts=tuple(pair.part for pair in pairs),
        unmatched=unmatched,
        by=by,
        channel_order=first.preprocessing.channel_order,
        images=0 if seen is None else seen[0].units.images,
        positions=0 if seen is None else max(len(seen[0].sample(at)[0]) for at in range(len(pairs))),
        top=0 if seen is None else seen[0].units.query.top,
        skipped=() if seen is None else seen[0].skipped,
        **told,
    )


def _doubts(first: Model, second: Model, seen: tuple[_Seen, _Seen] | None) -> Iterator[str]:
    """Yield what speaks against the second network, and against holding the two beside each other."""
    called = "the second network" if second.name == first.name else second.name
    yield from (f"{called}: {doubt}" for doubt in second.doubts)
    if seen is not None:
        inputs = [str(one.opened.preprocessing) for one in seen]
        if inputs[0] != inputs[1]:
            yield f"the second network wants its images in another way: {inputs[1]}"


def _convolution(layer: Layer) -> bool:
    return layer.kernel is not None


def _pairs(
    first: Model, second: Model, only: str | Sequence[str]
) -> tuple[list[_Pair], tuple[Unmatched, ...]]:
    """Return the convolutions that both networks have, and the others, each with the reason.

    Raises
    ------
    LayerError
        If a name means no layer, or one without filters.
    ModelError
        If there is none.
    """
    index, beside = layers(first), layers(second)
    wanted = (
        {one for spec in several(only) for one in index.resolve_all(spec, _convolution, "convolution")}
        if only
        else set(filter(_convolution, index))
    )
    chosen = [one for one in index if one in wanted]
    there = {one.name: one for one in beside if _convolution(one)}
    found: list[_Pair] = []
    unmatched: list[Unmatched] = []
    for one in chosen:
        before = layer_filters(first, one).filters
        twin = there.pop(one.name, None)
        if twin is None:
            unmatched.append(Unmatched(one.name, f"{second.name} has no convolution of this name"))
            continue
        after = layer_filters(second, twin).filters
        if before.shape != after.shape:
            shapes = ["×".join(map(str, side.shape)) for side in (before, after)]
            unmatched.append(Unmatched(one.name, f"its filters are {shapes[0]} and {shapes[1]}"))
            continue
        sees = one.kernel is not None and one.kernel.sees_image
        part = Part(one.name, one.alias, len(before), before.shape[1:], sees)
        found.append(_Pair(part, one, twin, before, after))
    if not found:
        some = f"; {unmatched[0].layer}: {unmatched[0].reason}" if unmatched else ""
        raise ModelError(
            f"{first.name} and {second.name} have no convolution of the same name and shape{some}; give two "
            "checkpoints of one architecture (see: netviz layers)"
        )
    if not only:
        # By name: of these the other network has more than this one.
        known = {one.name for one in chosen}
        unmatched += [
            Unmatched(name, f"{first.name} has no convolution of this name")
            for name in there
            if name not in known
        ]
    return found, tuple(unmatched)


def _zero(filters: NDArray[Any]) -> Bools:
    found: Bools = np.all(filters.reshape(len(filters), -1) == 0, axis=1)
    return found


def _look(
    model: Model,
    names: Sequence[str],
    *,
    images: Images,
    fit: str,
    size: tuple[int, int] | None,
    batch: int | None,
    workers: int,
    device: str | None,
    strict: bool,
    progress: Progress | None,
) -> _Seen:
    """Run a network over all images, and keep what its units do."""
    device = default_device(device)
    opened = open_network(model, list(names), fit=fit, size=size)
    sources = images_or_photographs(images)
    called = tuple(one.path or one.name if isinstance(one, Photo) else full_name(one) for one in sources)
    units = sum(one.channels for one in opened.layers)
    query = UnitsQuery(
        opened.layers,
        map_windows(opened),
        top=max(1, min(TOP, len(called))),
        sample=min(max(_VALUES // units, 1024), SAMPLE),
    )
    found = Units(query)
    job = make_job(
        opened, called, functools.partial(Units, query), batch=batch, device=device, sources=sources
    )
    tally = Tally.empty(job.chunks)
    run_local(job, found, tally, workers=workers, strict=strict, progress=progress)
    require_images(tally, called)
    means = found.mean()
    patches = tuple(layer_patches(found, at, means[one], opened) for at, one in enumerate(opened.layers))
    skipped = tuple((called[number], reason) for number, reason in sorted(tally.skipped.items()))
    return _Seen(opened, found, patches, sources, skipped)


def _related(seen: tuple[_Seen, _Seen], at: int) -> tuple[Floats, tuple[Bools, Bools]]:
    """Return how the values of a layer's units correlate in both networks, and which are constant in each."""
    (hashes, before), (beside, after) = (one.sample(at) for one in seen)
    constant = tuple(np.ptp(values, axis=0) == 0 for values in (before, after))
    if seen[0].cells[at] != seen[1].cells[at]:
        return np.full(before.shape[1], np.nan), (constant[0], constant[1])
    _, here, there = np.intersect1d(hashes, beside, assume_unique=True, return_indices=True)
    return correlations(before[here], after[there]), (constant[0], constant[1])


def _common(seen: tuple[_Seen, _Seen], at: int) -> Floats:
    """Return which share of their strongest positions a layer's units have in both networks."""
    first, second = (
        (one.patches[at].image, one.patches[at].row, one.patches[at].col, one.patches[at].shown)
        for one in seen
    )
    return in_common(first, second)


def _tiles(
    seen: tuple[_Seen, _Seen] | None, place: NDArray[Any], unit: NDArray[Any], drawn: NDArray[Any]
) -> list[tuple[Pixels, Bools]] | None:
    """Cut out the patches of the drawn units in both networks; None without images."""
    if seen is None:
        return None
    made = []
    for one in seen:
        read = _reader(one)
        count = min(_SHOWN, one.patches[0].image.shape[1])
        pixels = np.zeros((len(drawn), count, _SIDE, _SIDE, 3), np.uint8)
        filled = np.zeros((len(drawn), count), bool)
        for at in np.unique(place[drawn]).tolist():
            rows = np.flatnonzero(place[drawn] == at)
            units = unit[drawn[rows]].tolist()
            tiles = cut_tiles(one.patches[at], read, units, _SIDE, top=count, mean=False)
            pixels[rows], filled[rows] = tiles.pixels, tiles.filled & ~tiles.missing
        made.append((pixels, filled))
    return made


def _reader(seen: _Seen) -> Callable[[int], Pixels]:
    """Return what gives the pixels of an image by its number; the last few are kept."""
    bands = seen.opened.preprocessing.bands

    @functools.lru_cache(maxsize=32)
    def read(number: int) -> Pixels:
        return as_shown(read_image(seen.sources[number]), bands).pixels

    return read
