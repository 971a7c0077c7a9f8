"""What units, classes and layers want to see: pictures made by optimization."""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from typing_extensions import Unpack

from netviz.capture import Nonlinearities, backward_rule, capture, channels_first, preserved, sibling
from netviz.capture.tensors import main_tensor
from netviz.capture.watch import evaluation
from netviz.engines import Progress
from netviz.errors import LayerError, ModelError, ResultError
from netviz.images import ImageLike, read_image
from netviz.images.bands import shown
from netviz.models import Layer, ModelOptions, ModelSpec, load
from netviz.questions.classes import class_label, class_scores, find_class, scores_on
from netviz.questions.opening import Opened, open_model, require_maps
from netviz.questions.optimize.basis import BASES
from netviz.questions.optimize.climb import Way, Wish, climb, reached
from netviz.questions.optimize.kept import Kept, Stand
from netviz.questions.optimize.result import OptimizeResult
from netviz.questions.patches.result import RULES_BY, BackResult, PatchesResult
from netviz.questions.patches.run import open_run, read_back
from netviz.questions.patches.tiles import RunImages, cut_tiles
from netviz.questions.runs import fingerprint
from netviz.results.choose import choose_units, several
from netviz.results.ledger import digest

SIDE = 128
"""Side of a picture in pixels, for a network that takes any size."""
UNITS = 16
"""How many units are shown if none is asked for."""
SIGNS = ("+", "-", "both")
OBJECTIVES = ("channel", "position", "layer", "class")
_LEAST = 2
"""Rows and columns of a map at least, where the network makes maps smaller at all."""
_VALUES = 1 << 25
"""How many values, of all layers together, the pictures that are optimized at once may make."""
_AT_ONCE = 16
_PATCH = 96
_QUANTILES = (0.005, 0.995)


def optimize(
    model: ModelSpec = "mobilenet_v2",
    *,
    layer: str | None = None,
    units: int | str | Iterable[int] | None = None,
    class_: str | int | Sequence[str | int] | None = None,
    sign: str = "+",
    objective: str | None = None,
    diverse: int = 1,
    steps: int = 256,
    side: int | None = None,
    basis: str = "fourier",
    moved: bool = True,
    image: ImageLike | None = None,
    run: str | Path | None = None,
    beside: str | None = None,
    output: str | int | None = None,
    state: str | Path | None = None,
    every: float = 30.0,
    progress: Progress | None = None,
    **options: Unpack[ModelOptions],
) -> OptimizeResult:
    """Make pictures to which a network's units, classes or a whole layer answer as much as they can.

    Parameters
    ----------
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    layer : str, optional
        Name, alias, glob, or ``-1`` for the last layer with maps; or the name of a linear layer. Not together with
        `class_`.
    units : int, str or iterable of int, optional
        Which units of the layer: ``"0:16"``, ``"3,7"``; by default the first 16, of a `run` those that are not dead.
    class_ : str, int or sequence of these, optional
        Names or indices of classes, whose scores (before any softmax that is not part of the network) are to grow.
    sign : {"+", "-", "both"}
        Whether a unit's value is to grow, to fall, or one picture for each.
    objective : {"channel", "position", "layer", "class"}, optional
        The mean of a unit's map (as by default), its value at the centre, the mean square of all of a layer's units,
        or a class score (where `class_` is given).
    diverse : int
        How many pictures that are to make a value grow: several are pushed apart from each other, by the cosine of
        their Gram matrices in the layer.
    steps : int
        Steps of Adam.
    side : int, optional
        Side of a picture in pixels; by default 128, of a network that takes its own size only that.
    basis : {"fourier", "pixels", "maco"}
        What is optimized: a spectrum in decorrelated colours, pixels in decorrelated colours, or only the phases of
        a spectrum whose magnitudes are those of photographs.
    moved : bool
        Whether the network sees the picture shifted, scaled and turned a little, each step anew (of ``"maco"``
        parts of it); else as it stands there.
    image : str, Path, Photo, PIL image, ndarray or Tensor, optional
        What all pictures begin with; by default noise, by `seed`.
    run : str or Path, optional
        Folder of a run of ``netviz patches`` on the same network: with what its images reach there pictures are
        compared, and its patches stand beside them.
    beside : {"deconv", "guided", "none"}, optional
        Which of what the run has measured of how its patches made units answer (``netviz patches --deconv``) stands
        beside them; by default guided backpropagation, or else the deconvnet, where it is there for all units.
    output : str or int, optional
        Of a network that returns several tensors, the one that holds the scores.
    state : str or Path, optional
        A file in which what is done is kept meanwhile; where it is there already, what it holds is gone on with.
        Delete it when the result is saved. Pictures are the same to the byte as without an interruption.
    every : float
        Seconds between two writes of `state`.
    progress : callable, optional
        Called with what is being done, how many pictures are done, and of how many.
    **options
        As for `netviz.load`; `seed` also draws what pictures begin with, and how they are shown.

    Returns
    -------
    OptimizeResult

    Raises
    ------
    LayerError
        If there is no such layer or unit, or it has no maps.
    ModelError
        If MODEL cannot be opened or does not run at this size, the size is too small for the layer, or there is no
        such class.
    ResultError
        If `run` is none, or does not have this layer; if `state` is damaged, or of other work.
    ValueError
        If an option is out of range, or options do not go together.

    References
    ----------
    Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017.
    """
    _check_numbers(sign, objective, diverse, steps, side, basis)
    if beside not in (None, "none", *RULES_BY) or (beside is not None and run is None):
        raise ValueError(f"beside chooses what a run has: one of {', '.join(RULES_BY)}, none; not {beside!r}")
    seed = options.get("seed", 0)
    opened = _opened(model, side, **options)
    objective = _objective(layer, class_, sign, objective, diverse, units)
    chosen = _Chosen.of(opened, layer, units, class_, objective, diverse, run, output)
    found_back = None if run is None else chosen.back(Path(run), beside)
    signs = {"+": (1,), "-": (-1,), "both": (1, -1)}[sign]
    columns = tuple(1 for _ in range(diverse - 1) if 1 in signs)
    columns = (*signs[:1], *columns, *signs[1:])
    wishes = [
        Wish(target, one, 2 * row + (one < 0), (seed, max(target, 0), column))
        for row, target in enumerate(chosen.targets or (-1,))
        for column, one in enumerate(columns)
    ]
    assert opened.index.input_shape is not None
    height, width = opened.index.input_shape[1:]
    photo = None if image is None else read_image(image)
    start = None
    if photo is not None:
        values = opened.prepare(photo).values
        start = torch.from_numpy(values.astype(np.float32) / 255).movedim(2, 0)[None]
        start = start[:, : opened.preprocessing.channels]
    way = Way(
        basis, steps, (height, width), seed, moved, objective == "position", opened.preprocessing, start
    )
    size = _together(opened, chosen.layer, len(wishes), len(columns))
    parts = [range(at, min(at + size, len(wishes))) for at in range(0, len(wishes), size)]

    def mark() -> dict[str, str]:
        # Convolutions of several pictures, or on another device, are rounded otherwise.
        asked = [chosen.layer.name if chosen.layer else chosen.score_of, objective, *map(astuple, wishes)]
        how = [basis, steps, height, width, seed, moved, str(opened.preprocessing)]
        begin = [] if start is None else [hashlib.sha256(start.numpy().tobytes()).hexdigest()]
        machine = {"number of threads, or device": digest([size, opened.device.type])}
        return {**fingerprint(opened.model, begin, [asked, how], "optimize"), **machine}

    kept = Kept(None if state is None else Path(state), mark, len(parts), every)
    _climb(opened, chosen, wishes, way, parts, kept, progress)
    made = [kept.part(number) or {} for number in range(len(parts))]
    pictures, reached, led = (
        torch.cat([one[name] for one in made]) for name in ("pictures", "values", "led")
    )
    rows = len(chosen.targets) or 1
    tiles, followed = chosen.patches(run, found_back)
    found = np.stack([shown(one, opened.preprocessing.bands) for one in pictures.numpy()])
    found = found if found.shape[-1] == 3 else np.repeat(found, 3, axis=-1)
    return OptimizeResult(
        pictures=found.reshape(rows, len(columns), *found.shape[1:]),
        activation=reached.numpy().reshape(rows, len(columns)),
        started=chosen.started(way, start, opened),
        led=led.numpy().reshape(rows, len(columns)),
        quantile=chosen.quantile,
        reference=chosen.reference,
        patches=tiles,
        network=opened.model.name,
        layer=chosen.layer.name if chosen.layer else "",
        alias=chosen.layer.alias if chosen.layer else "",
        layer_kind=chosen.layer.kind if chosen.layer else "",
        channels=chosen.channels,
        targets=chosen.targets,
        names=chosen.names,
        columns=tuple("+" if one > 0 else "-" for one in columns),
        objective=objective,
        basis=basis,
        steps=steps,
        seed=seed,
        moved=moved,
        dead=chosen.dead,
        image_name=photo.name if photo else "",
        run=str(run or ""),
        score_of=chosen.score_of,
        followed=followed,
        followed_by="" if found_back is None else found_back[1],
        **opened.provenance(photo, layer or ""),
    )


def _check_numbers(
    sign: str, objective: str | None, diverse: int, steps: int, side: int | None, basis: str
) -> None:
    """Refuse options that are none of their values.

    Raises
    ------
    ValueError
        Naming the option.
    """
    if sign not in SIGNS:
        raise ValueError(f"sign must be '+', '-' or 'both', not {sign!r}")
    if basis not in BASES:
        raise ValueError(f"basis must be one of {', '.join(BASES)}, not {basis!r}")
    if objective is not None and objective not in OBJECTIVES:
        raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}, not {objective!r}")
    for name, value, least in (("diverse", diverse, 1), ("steps", steps, 1), ("side", side, 16)):
        if value is not None and value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")


def _objective(
    layer: str | None,
    class_: str | int | Sequence[str | int] | None,
    sign: str,
    objective: str | None,
    diverse: int,
    units: object,
) -> str:
    """Return what is to grow, if the options go together.

    Raises
    ------
    ValueError
        If they do not.
    """
    if (layer is None) == (class_ is None):
        raise ValueError("give either a layer, for its units, or a class")
    if class_ is not None and objective not in (None, "class"):
        raise ValueError(
            f"of a class the score grows; leave out the objective {objective!r}, or give a layer"
        )
    if class_ is None and objective == "class":
        raise ValueError("the objective 'class' needs a class")
    if units is not None and (class_ is not None or objective == "layer"):
        raise ValueError("units are of a layer, one by one; leave them out for a class or a whole layer")
    if objective == "layer" and (sign != "+" or diverse > 1):
        raise ValueError("of a whole layer there is one picture, which makes its units large")
    if diverse > 1 and (sign == "-" or class_ is not None):
        raise ValueError("several pictures are for units whose value is to grow")
    return objective or ("class" if class_ is not None else "channel")


def _opened(model: ModelSpec, side: int | None, **options: Unpack[ModelOptions]) -> Opened:
    """Open the network for pictures of a side; by default of `SIDE`, or else of its own size."""
    model = load(model, **options)
    if side is not None:
        return open_model(model, size=(side, side))
    try:
        return open_model(model, size=(SIDE, SIDE))
    except ModelError:
        return open_model(model)


@dataclass(frozen=True)
class _Chosen:
    """What pictures are made for, and what is known of it.

    `layer` is None for classes, whose scores `network` gives; `targets` is empty for a whole layer.
    """

    network: nn.Module
    layer: Layer | None
    targets: tuple[int, ...]
    channels: int
    names: tuple[str, ...] = ()
    score_of: str = ""
    dead: tuple[int, ...] = ()
    seen: PatchesResult | None = None

    @classmethod
    def of(
        cls,
        opened: Opened,
        layer: str | None,
        units: int | str | Iterable[int] | None,
        class_: str | int | Sequence[str | int] | None,
        objective: str,
        diverse: int,
        run: str | Path | None,
        output: str | int | None,
    ) -> "_Chosen":
        """Resolve what was asked for."""
        if layer is None:
            return cls._classes(opened, several(class_), output)
        found = opened.index.resolve(layer)
        if not _is_vector(found):
            require_maps(opened.model, found)
        elif diverse > 1:
            raise LayerError(
                f"layer {found.name} has no maps, by which several pictures of a unit could differ"
            )
        assert found.shape is not None
        channels = found.shape[0]
        _require_room(opened, found)
        seen = None
        if run is not None:
            folder = open_run(run)
            seen = folder.result(folder.choose(found.name))
            if seen.channels != channels:
                raise LayerError(
                    f"layer {found.name} of {opened.model.name} has {channels} units, but {seen.channels} in {run}: "
                    "give a run on the same network"
                )
        dead = seen.dead if seen is not None else ()
        if objective == "layer":
            return cls(opened.network, found, (), channels)
        asked = choose_units(units, channels, found.name)
        chosen = [unit for unit in (range(channels) if asked is None else asked) if unit not in dead]
        if not chosen:
            raise LayerError(
                f"of layer {found.name} only dead units were asked for: 0 on every image of {run}"
            )
        chosen = chosen[:UNITS] if asked is None else chosen
        left = tuple(unit for unit in (range(chosen[-1]) if asked is None else asked) if unit in dead)
        return cls(opened.network, found, tuple(chosen), channels, dead=left, seen=seen)

    @classmethod
    def _classes(cls, opened: Opened, asked: Sequence[str | int], output: str | int | None) -> "_Chosen":
        assert opened.index.input_shape is not None
        blank = torch.zeros(1, *opened.index.input_shape)
        scores = scores_on(opened, opened.tape(blank, "a blank picture"), "optimize", output)
        found = [find_class(one, scores.values, opened.model) for one in asked]
        numbers = tuple(dict.fromkeys(found))
        names = tuple(class_label(opened.model, one) for one in numbers)
        return cls(
            scores.network,
            None,
            numbers,
            len(scores.values),
            names=names if all(names) else (),
            score_of=scores.what,
        )

    @contextmanager
    def on(self, network: nn.Module) -> Iterator["_Answers"]:
        """Run a network, or a copy of it, no further than is needed."""
        if self.layer is None:
            with evaluation(network), backward_rule(network, "gradient") as met:
                yield _Answers(lambda images: class_scores(_tensor(network(images))), met)
            return
        layer = self.layer
        with capture(network, [layer], grad=True, any_size=True, stop=True, rule="gradient") as run:

            def maps(images: Tensor) -> Tensor:
                run(images)
                return run[layer] if _is_vector(layer) else channels_first(layer, run[layer])

            yield _Answers(maps, run.met)

    def started(self, way: Way, start: Tensor | None, opened: Opened) -> NDArray[np.float32]:
        """Return what the network gives for the picture that all began with; NaN if that is noise."""
        rows = len(self.targets) or 1
        if start is None:
            return np.full(rows, np.nan, dtype=np.float32)
        with torch.no_grad(), self.on(self.network) as target:
            answer = target.answers(way.normalized(start.to(opened.device) * 255))[0]
            found = [reached(answer, Wish(one, 1, 0, ()), way.centre) for one in self.targets or (-1,)]
        return np.array([float(one) for one in found], dtype=np.float32)

    @property
    def quantile(self) -> NDArray[np.float32] | None:
        """The 0.005 and 0.995 quantiles of each unit, from the run."""
        if self.seen is None:
            return None
        levels = [int(np.abs(self.seen.quantile_levels - level).argmin()) for level in _QUANTILES]
        return self.seen.quantiles[list(self.targets)][:, levels]

    @property
    def reference(self) -> NDArray[np.float32] | None:
        """The lowest value in the sample of each unit, and its largest of all, from the run."""
        if self.seen is None:
            return None
        ends = np.stack([self.seen.quantiles[:, 0], self.seen.max], axis=1)
        return ends[list(self.targets)].astype(np.float32)

    def back(self, run: Path, beside: str | None) -> tuple[BackResult, str] | None:
        """Return what the run has measured of how its patches made these units answer, and by which rule.

        Raises
        ------
        ResultError
            If what is asked for is not there.
        """
        if self.seen is None or beside == "none":
            return None
        found = read_back(run, self.seen)
        rule = RULES_BY.get(beside or "guided", "")
        if found is not None and beside is None and rule not in found.rules:
            rule = found.rules[0]
        if found is not None and rule in found.rules and set(self.targets) <= set(found.drawn_units.tolist()):
            return found, rule
        if beside is None:
            return None
        units = ",".join(map(str, self.targets))
        raise ResultError(
            f"{run} does not hold what made these units of {self.seen.layer} answer; measure it with: netviz patches "
            f"MODEL --deconv --deconv-units {units} -o {run}"
        )

    def patches(
        self, run: str | Path | None, back: tuple[BackResult, str] | None
    ) -> tuple[NDArray[np.uint8] | None, NDArray[np.uint8] | None]:
        """Return the patches of each unit, from the run, and what in them made it answer."""
        if self.seen is None or run is None:
            return None, None
        images = RunImages(Path(run), np.unique(self.seen.image[self.seen.image >= 0]).tolist())
        cut = cut_tiles(self.seen, images, list(self.targets), _PATCH, mean=False)
        if back is None:
            return cut.pixels, None
        found, rule = back
        few = found.score.shape[1]
        followed = np.full((len(self.targets), few, *cut.pixels.shape[2:]), 128, dtype=np.uint8)
        for row, unit in enumerate(self.targets):
            for place in range(few):
                tile = found.of(rule, unit, place)
                top, left, bottom, right = cut.inner[row, place].tolist()
                if tile is not None and bottom > top and right > left:
                    inner = Image.fromarray(tile).resize(
                        (right - left, bottom - top), Image.Resampling.NEAREST
                    )
                    followed[row, place, top:bottom, left:right] = np.asarray(inner)
        return cut.pixels, followed


@dataclass(frozen=True)
class _Answers:
    answers: Callable[[Tensor], Tensor]
    met: Nonlinearities


def _is_vector(layer: Layer) -> bool:
    """Return whether a layer gives one value for each unit, such as a linear layer before class scores."""
    return layer.shape is not None and len(layer.shape) == 1


def _tensor(output: Any) -> Tensor:
    found = main_tensor(output)
    if found is None:
        raise ModelError("the network gives no tensor")
    return found


def _require_room(opened: Opened, layer: Layer) -> None:
    """Refuse a picture of which the layer makes a single position, where its size is why.

    Raises
    ------
    ModelError
        Naming the least side.
    """
    field = opened.fields.get(layer)
    assert layer.shape is not None
    assert opened.index.input_shape is not None
    if (
        field is None
        or _is_vector(layer)
        or min(layer.shape[1:]) >= _LEAST
        or not all(map(math.isfinite, field.stride))
    ):
        return
    least = _LEAST * math.ceil(max(field.stride))
    side = min(opened.index.input_shape[1:])
    if 0 < side < least:
        raise ModelError(
            f"layer {layer.name} of {opened.model.name} makes {layer.shape[1]}×{layer.shape[2]} positions of a "
            f"picture of {side} pixels; give --side {least} or more"
        )


def _together(opened: Opened, layer: Layer | None, pictures: int, columns: int) -> int:
    """Return how many of so many pictures are optimized at once: those of whole units."""
    size = columns * max(1, _at_once(opened, layer) // columns)
    if opened.device.type == "cpu":
        # Every core has some.
        size = min(size, columns * -(-pictures // columns // torch.get_num_threads()) or columns)
    return size


class _StoppedError(Exception):
    """Another thread has failed, or was interrupted."""


def _climb(
    opened: Opened,
    chosen: _Chosen,
    wishes: Sequence[Wish],
    way: Way,
    parts: Sequence[range],
    kept: Kept,
    progress: Progress | None,
) -> None:
    """Optimize what is not done yet, some pictures at a time, on as many threads as there are cores."""
    device = opened.device
    stood = {number: kept.part(number) for number in range(len(parts))}
    left = [number for number in stood if not kept.tally.done[number]]
    begun = {number: 0 if (one := stood[number]) is None else int(one["steps"][0]) for number in left}
    steps = {number: (way.steps - begun[number]) * len(parts[number]) for number in left}
    total = -(-sum(steps.values()) // way.steps)
    of = chosen.score_of if chosen.layer is None else f"layer {chosen.layer.name} of {opened.model.name}"
    what = f"optimizing {len(wishes)} pictures"
    if total < len(wishes):
        what += f", {len(wishes) - total} of them done before"
    done, stopped = 0, False

    def make(target: _Answers, network: nn.Module, number: int) -> None:
        def tell(stand: Callable[[], Stand]) -> None:
            nonlocal done
            if stopped:
                raise _StoppedError
            kept.under_way(number, stand)
            done += len(parts[number])
            if progress is not None:
                progress(what, done // way.steps, total)

        some = [wishes[at] for at in parts[number]]
        kept.finish(number, climb(target, network, some, way, device, of=of, stood=stood[number], tell=tell))

    def alone(number: int) -> None:
        torch.set_num_threads(1)
        own = sibling(chosen.network)
        with chosen.on(own) as target:
            make(target, own, number)

    if progress is not None and left:
        progress(what, 0, total)
    with preserved(chosen.network):
        if device.type != "cpu":
            with chosen.on(chosen.network) as target:
                for number in left:
                    make(target, chosen.network, number)
        elif left:
            cores = torch.get_num_threads()
            pool = ThreadPoolExecutor(min(cores, len(left)))
            try:
                for finished in as_completed([pool.submit(alone, number) for number in left]):
                    finished.result()
            finally:
                stopped = True
                pool.shutdown(cancel_futures=True)
                torch.set_num_threads(cores)
    kept.flush()


def _at_once(opened: Opened, layer: Layer | None) -> int:
    """Return how many pictures are optimized at once: as many as make `_VALUES` values on their way to the layer."""
    values = 0
    for one in opened.index:
        values += math.prod(one.shape or ())
        if one == layer:
            break
    return max(1, min(_AT_ONCE, _VALUES // max(1, values)))
