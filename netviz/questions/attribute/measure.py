"""Which part of an image a score comes from: the maps of a layer weighed by gradients, or gradients at the pixels."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import Unpack

from netviz.capture import Tape, brief, channels_first, record
from netviz.capture.memory import kept_memory
from netviz.capture.padding import cropped, reflected
from netviz.capture.watch import Key
from netviz.engines import Progress
from netviz.errors import LayerError, ModelError
from netviz.geometry.field import Field
from netviz.images import ImageLike
from netviz.models import Layer, ModelSpec
from netviz.questions.attribute.methods import WEIGHED, integrated, require_cam, smoothgrad
from netviz.questions.attribute.probe import ClassTarget, Passed, Probe, UnitTarget, counted
from netviz.questions.attribute.result import CAMS, NAMES, PIXELS, AttributeResult, chosen_methods
from netviz.questions.opening import ImageOptions
from netviz.questions.places import Shown, open_shown, require_places, upsample
from netviz.results.choose import choose_units

Maps = NDArray[np.float32]

STEPS = 50

SAMPLES = 25

NOISE = 0.15

_TRIED = 64
"""How many of the last layers are looked at for one on which the score depends."""


def attribute(
    image: ImageLike,
    *,
    model: ModelSpec = "mobilenet_v2",
    method: str | Sequence[str] = (),
    class_: str | int | None = None,
    layer: str | None = None,
    unit: int | str | None = None,
    output: str | int | None = None,
    steps: int = STEPS,
    samples: int = SAMPLES,
    noise: float = NOISE,
    progress: Progress | None = None,
    **options: Unpack[ImageOptions],
) -> AttributeResult:
    """Tell for each pixel of an image what it has to do with a score, by one method or several.

    Parameters
    ----------
    image : str, Path, Photo, PIL image, ndarray or Tensor
        An image file, ``skimage:NAME``, or an image already read.
    model : str, Path, nn.Module or Model
        As for `netviz.load`.
    method : str or sequence of str
        ``"cam"``, ``"gradcam"``, ``"gradcam++"`` and ``"layercam"`` weigh the maps of a layer; ``"gradient"``,
        ``"guided"``, ``"deconvnet"``, ``"integrated"`` and ``"smoothgrad"`` tell of pixels. Several, also with commas
        between them. By default ``"gradcam"``, and for a unit or a layer ``"guided"``.
    class_ : str or int, optional
        The class: its name or its index; by default the one with the highest score.
    layer : str, optional
        Whose maps are weighed: by default the last layer with maps larger than 1×1 on which the score depends, and
        whose positions have a place in the image. With `unit` the layer of the unit.
    unit : int or "all", optional
        A unit of `layer` in place of a class: its value where it is largest on this image. ``"all"``: the layer.
    output : str or int, optional
        Name or number of the output to take, of a network that returns several; by default its class scores are found
        (docs/models.md).
    steps : int
        Points at which integrated gradients take the gradient.
    samples, noise : int, float
        How many noisy images SmoothGrad takes, and the noise's standard deviation as a share of the range of the
        network's input; `seed` draws it.
    progress : callable, optional
        Called with what is being done, how many steps are done, and of how many.
    **options
        As for `netviz.load`; `size` as for `netviz.layers`, `fit` as for `netviz.maps`.

    Returns
    -------
    AttributeResult
        Its arrays are in pixels of the network's input. The score is the network's raw output; of a network whose
        output is a map for every class, it is the mean over that map.

    Raises
    ------
    ImageError
        If the image cannot be read, or the network does not run on it.
    LayerError
        If the layer or unit does not exist, or has no place in the image; or no layer serves.
    ModelError
        If MODEL cannot be opened or run, has no class scores or has not this class; if no gradient flows; if it has
        no CAM, or nothing that guided backpropagation or a deconvnet could act on.
    ValueError
        If a method is unknown, or cannot be asked for a unit; if a number is out of range.

    References
    ----------
    Zhou et al., CVPR 2016 (CAM); Selvaraju et al., ICCV 2017; Chattopadhay et al., WACV 2018; Jiang et al., TIP 2021
    (LayerCAM); Simonyan et al., 2014 (gradient); Springenberg et al., 2015 (guided); Zeiler and Fergus, ECCV 2014
    (deconvnet); Sundararajan et al., ICML 2017 (integrated); Smilkov et al., 2017 (SmoothGrad). Adebayo et al.,
    NeurIPS 2018, on what guided backpropagation does not show.
    """
    methods = chosen_methods(method, layer, unit, class_)
    settings = check_settings(steps, samples, noise, options.get("seed", 0))
    asked = open_asked(image, model, layer, unit, class_, output, **options)
    with kept_memory():
        found = attributions(asked, methods, settings, progress)
    return _result(asked, methods, settings, found)


@dataclass(frozen=True)
class Settings:
    """How often and how noisily gradients are taken: as in `attribute`."""

    steps: int = STEPS
    samples: int = SAMPLES
    noise: float = NOISE
    seed: int = 0


def check_settings(steps: int, samples: int, noise: float, seed: int) -> Settings:
    """Return the settings.

    Raises
    ------
    ValueError
        If one is out of range.
    """
    for name, count in (("steps", steps), ("samples", samples)):
        if not 1 <= count <= 10_000:
            raise ValueError(f"{name} must lie between 1 and 10000, not {count}")
    if not 0 < noise <= 10:
        raise ValueError(f"noise must be above 0 and at most 10, not {noise}")
    return Settings(steps, samples, noise, seed)


@dataclass
class Asked:
    """An image, a network, and the score that is asked about.

    Attributes
    ----------
    shown : Shown
    probe : Probe
    layer : Layer or None
        Whose maps are weighed, or whose unit is the target; settled with the first map if no one named it.
    asked : str
        The layer as a user named it.
    """

    shown: Shown
    probe: Probe
    layer: Layer | None
    asked: str

    @property
    def model(self) -> str:
        """What the network is called."""
        return self.shown.opened.model.name

    @property
    def target(self) -> ClassTarget | UnitTarget:
        """What is asked about."""
        return self.probe.target

    def field(self, layer: Layer) -> Field:
        """Return what the layer's positions see."""
        return self.shown.opened.fields[layer]


def open_asked(
    image: ImageLike,
    model: ModelSpec,
    layer: str | None,
    unit: int | str | None,
    class_: str | int | None,
    output: str | int | None,
    **options: Unpack[ImageOptions],
) -> Asked:
    """Open a network, an image for it, and what is asked about; as for `attribute`."""
    shown = open_shown(image, model, layer or "", pad=True, **options)
    found = shown.opened.layer(layer) if layer else None
    if found is None or unit is None:
        if found is not None:
            _require_place(shown, found)
        target: ClassTarget | UnitTarget = ClassTarget(class_, output)
    else:
        every = str(unit).strip() == "all"
        number = None if every else (choose_units(str(unit), found.channels, found.name) or [0])
        if number is not None and len(number) > 1:
            raise LayerError(f"{unit!r} are {len(number)} units; give one, or all")
        target = UnitTarget(found, None if number is None else number[0])
    return Asked(shown, Probe(shown, target), found, layer or "")


def _require_place(shown: Shown, layer: Layer) -> None:
    opened = shown.opened
    if layer.shape is not None and layer.shape[1:] == (1, 1):
        raise LayerError(
            f"layer {layer.name} ({layer.alias}) of {opened.model.name} has maps of 1×1, which tell of no place; "
            "choose one before it"
        )
    require_places(opened.fields[layer], f"{layer.name} ({layer.alias}) of {opened.model.name}")


@dataclass
class Found:
    """What methods gave, by their names.

    Attributes
    ----------
    placed : dict of str to ndarray, shape (H, W)
    bands : dict of str to ndarray, shape (H, W, C)
    maps : dict of str to ndarray, shape (h, w)
    rectifiers, others : dict of str to int
    score : float
    baseline : float or None
    """

    placed: dict[str, Maps] = field(default_factory=dict)
    bands: dict[str, Maps] = field(default_factory=dict)
    maps: dict[str, Maps] = field(default_factory=dict)
    rectifiers: dict[str, int] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    score: float = 0.0
    baseline: float | None = None


def attributions(
    asked: Asked, methods: Sequence[str], settings: Settings, progress: Progress | None = None
) -> Found:
    """Run the methods; a plain gradient and all that weigh maps share one pass."""
    probe, found = asked.probe, Found()
    weighed = [one for one in methods if one in WEIGHED]
    image = probe.image
    steps = {"integrated": settings.steps, "smoothgrad": settings.samples}
    total = sum(steps.get(one, 1) for one in methods)
    done = 0

    def told(more: int) -> None:
        if progress is not None:
            progress(f"{asked.model} on {asked.shown.photo.name}", done + more, total)

    told(0)
    if weighed:
        passed = _with_maps(asked, image, pixels="gradient" in methods)
        if "cam" in methods:
            _check_cam(asked)
        _weigh(asked, weighed, passed, found)
        done += len(weighed)
    elif not any(one in ("gradient", "guided", "deconvnet") for one in methods):
        # It settles what is asked about, and what gradients meet.
        passed = probe.there_and_back(image)
    else:
        passed = None
    for method in methods:
        if method in WEIGHED:
            continue
        if method == "integrated":
            slopes, found.baseline = integrated(probe, settings.steps, told)
        elif method == "smoothgrad":
            slopes = smoothgrad(probe, settings.samples, settings.noise, settings.seed, told)
        elif method == "gradient" and passed is not None and passed.pixels is not None:
            slopes = passed.pixels[0]
        else:
            passed_here = probe.there_and_back(image, rule=method)
            passed = passed or passed_here
            if passed_here.pixels is None:
                continue
            slopes = passed_here.pixels[0]
            if method != "gradient":
                _require_rectifiers(asked, method)
        found.bands[method] = slopes.permute(1, 2, 0).float().cpu().numpy()
        found.placed[method] = found.bands[method].sum(axis=2, dtype=np.float64).astype(np.float32)
        done += steps.get(method, 1)
        told(0)
    if passed is not None:
        found.score = float(passed.scores[0])
    found.rectifiers, found.others = counted(probe.met.rectifiers), counted(probe.met.others)
    return found


def _require_rectifiers(asked: Asked, method: str) -> None:
    """Refuse a network whose gradients meet nothing that the method could act on."""
    met = asked.probe.met
    if asked.probe.rectified:
        return
    others = ", ".join(met.others)
    raise ModelError(
        f"{NAMES[method]} has nothing to act on in {asked.model}: gradients meet no ReLU"
        + (f" there (but {others}, which keep their own derivative)" if others else "")
        + "; take --method gradient, which is the same"
    )


def _with_maps(asked: Asked, image: Tensor, *, pixels: bool) -> Passed:
    """Run one pass that also gives the maps to be weighed; settle on a layer if none was named."""
    probe = asked.probe
    if asked.layer is not None:
        passed = probe.there_and_back(image, layers=[asked.layer], pixels=pixels)
        found = passed.maps.get(asked.layer)
        if found is None or not bool(channels_first(asked.layer, found[1]).any()):
            raise LayerError(
                f"the score does not depend on the maps of {asked.layer.name} ({asked.layer.alias}) of "
                f"{asked.model}; choose another layer"
            )
        return passed
    candidates = _candidates(asked.shown)
    scores: tuple[Layer, Passed] | None = None
    for some in (candidates[:1], candidates[:_TRIED]):
        passed = probe.there_and_back(image, layers=some, pixels=pixels)
        for layer in some:
            # Of tokens those count that have a place, not the class token beside them.
            if layer not in passed.maps or not bool(channels_first(layer, passed.maps[layer][1]).any()):
                continue
            if not _is_own_map(asked, layer, passed):
                asked.layer = layer
                return passed
            scores = scores or (layer, passed)
    if scores is not None:
        asked.layer = scores[0]
        return scores[1]
    if passed.maps and not any(bool(slope.any()) for _, slope in passed.maps.values()):
        raise LayerError(
            f"the score of {asked.model} is {float(passed.scores[0]):.3g} whatever its layers give: no gradient "
            "comes back, as from a last layer of zeros; it needs trained weights"
        )
    raise LayerError(
        f"the score of {asked.model} depends on none of its last {len(candidates[:_TRIED])} layers with maps larger "
        "than 1×1 and a place in the image; name an earlier one with --layer, or take --method gradient"
    )


def _candidates(shown: Shown) -> list[Layer]:
    """Return the layers whose maps could be weighed, the last first."""
    opened = shown.opened
    found = [
        layer
        for layer in opened.index
        if layer.spatial
        and layer.shape is not None
        and layer.shape[1] * layer.shape[2] > 1
        and opened.fields[layer].status != "unknown"
        and opened.fields[layer].place is not None
    ]
    if not found:
        raise LayerError(
            f"{opened.model.name} has no layer with maps larger than 1×1 whose positions have a place in the image; "
            "take --method gradient"
        )
    return found[::-1]


def _is_own_map(asked: Asked, layer: Layer, passed: Passed) -> bool:
    """Return whether a layer gives a map for each class, and the score comes from the map of its class alone."""
    target = asked.target
    if not isinstance(target, ClassTarget) or layer.channels != target.count or "map of" not in target.what:
        return False
    weights = channels_first(layer, passed.maps[layer][1])[0].abs().sum((1, 2))
    return weights.nonzero().flatten().tolist() == [target.index]


def _check_cam(asked: Asked) -> None:
    layer, target = asked.layer, asked.target
    if layer is None or not isinstance(target, ClassTarget):
        return
    tape = _followed(asked)
    output = tape.outputs.get(target.name)
    start = tape.layers.get(Key(layer.module, layer.function, layer.call))
    if layer.arrangement is not None:
        raise ModelError(
            f"{asked.model} has no CAM: {layer.name} gives {layer.arrangement}; take --method gradcam"
        )
    require_cam(tape, start, output, asked.model, layer)


def _followed(asked: Asked) -> Tape:
    """Return the tape of a pass, without arithmetic where the network allows that."""
    network, multiple = asked.shown.opened.network, asked.shown.multiple
    image = asked.probe.image
    image = reflected(image, multiple) if multiple else image
    try:
        return record(network, image.to("meta"), keep=False)
    except Exception:  # a network's own code may ask for values, which are not there
        try:
            return record(network, image, keep=False)
        except (RuntimeError, ValueError, IndexError) as error:
            raise ModelError(
                f"{asked.model} cannot be followed ({brief(error)}); take --method gradcam"
            ) from error


def _weigh(asked: Asked, methods: Sequence[str], passed: Passed, found: Found) -> None:
    """Weigh the maps of the layer, and bring them to the image."""
    layer = asked.layer
    if layer is None:
        return
    raw, slope = passed.maps[layer]
    maps, slopes = (channels_first(layer, one)[0].float() for one in (raw, slope))
    size = asked.shown.prepared.image.shape[:2]
    for method in methods:
        one = WEIGHED[method](maps, slopes)
        if asked.shown.multiple:
            one = cropped(one, size, asked.shown.multiple)
        found.maps[method] = one.cpu().numpy()
        found.placed[method] = place(found.maps[method], asked.field(layer), size)


def place(one: Maps, seen: Field, size: Sequence[int]) -> Maps:
    """Bring a map, (h, w), to the pixels of the network's input, between the centres of what its positions see."""
    rows, cols = (np.arange(side, dtype=np.float64) for side in size)
    return upsample(one, seen, rows, cols)


def _result(asked: Asked, methods: tuple[str, ...], settings: Settings, found: Found) -> AttributeResult:
    shown, target, layer = asked.shown, asked.target, asked.layer
    size = shown.prepared.image.shape[:2]
    facts: dict[str, Any] = {
        "class_index": -1,
        "label": "",
        "predicted": False,
        "called": "class",
        "output": "",
    }
    position: tuple[int, ...] = ()
    box: tuple[int, ...] = ()
    if isinstance(target, ClassTarget):
        facts = {
            "class_index": target.index,
            "label": target.label,
            "predicted": target.predicted,
            "called": target.called,
            "output": target.name,
        }
    else:
        position = target.position
        seen = asked.field(target.layer)
        if position and seen.status != "unknown":
            box = seen.clipped(position[0], position[1], size[0], size[1])
    bands = [found.bands[one] for one in methods if one in PIXELS]
    maps = [found.maps[one] for one in methods if one in CAMS]
    unit = target.unit if isinstance(target, UnitTarget) else None
    return AttributeResult(
        attribution=np.stack([found.placed[one] for one in methods]),
        bands=np.stack(bands) if bands else None,
        maps=np.stack(maps) if maps else None,
        image=shown.prepared.image,
        methods=methods,
        network=asked.model,
        image_name=shown.photo.name,
        target="class" if isinstance(target, ClassTarget) else "layer" if unit is None else "unit",
        **facts,
        layer=layer.name if layer else "",
        alias=layer.alias if layer else "",
        layer_kind=layer.kind if layer else "",
        layer_chosen=bool(layer) and not asked.asked,
        channels=layer.channels if layer else 0,
        unit=-1 if unit is None else unit,
        position=position,
        box=box,
        score=found.score,
        score_of=target.what,
        rectifiers=found.rectifiers,
        others=found.others,
        steps=settings.steps,
        baseline_score=found.baseline,
        samples=settings.samples,
        noise=settings.noise,
        seed=settings.seed,
        padded=shown.multiple,
        channel_order=shown.opened.preprocessing.channel_order,
        **shown.opened.provenance(shown.photo, asked.asked),
    )
