"""What a checkpoint or a module itself says of its images and classes, beside its weights."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from torch import Tensor, nn

from netviz.models.described.description import Description, typed
from netviz.models.described.labels import as_labels
from netviz.models.preprocessing import Preprocessing, channel_order, from_timm, from_transforms

LABELS = (
    "id2label", "idx_to_class", "class_to_idx", "class_names", "classnames", "label_names", "names", "classes",
    "categories", "labels",
)  # fmt: skip
"""What classes are kept under; the first that holds names for the network's outputs counts."""

STATISTICS = (("mean", "std"), ("image_mean", "image_std"), ("pixel_mean", "pixel_std"))
"""What mean and standard deviation are kept under."""

TIMM = ("pretrained_cfg", "default_cfg")

NESTED = (
    "hyper_parameters", "hparams", "args", "opt", "config", "cfg", "meta", "dataset_meta", "data", "model_args",
    "preprocessing", "transform", "normalize",
)  # fmt: skip
"""In which of a checkpoint's settings, or a module's attributes, further ones are looked for."""

TRANSFORMS = ("weights", "transforms")

UNSCALED = frozenset(("ultralytics",))
"""Libraries whose networks all take values of 0…1 as they are."""

PLAIN = Description(input_scale=(0.0, 1.0))

_DEEP = 3

_LARGEST_INPUT = 8192  # pixels


def told_by_file(settings: Mapping[str, Any], state: Mapping[str, Tensor]) -> Description:
    """Return what the settings say that lie beside the weights in a checkpoint.

    Parameters
    ----------
    settings : mapping
        Plain values. What makes no sense is passed over: nothing in a file is to be relied on.
    state : mapping of str to Tensor
        The weights: names of classes count only where some weight has as many rows.
    """
    return _told(settings, state)


def told_by_module(module: nn.Module, state: Mapping[str, Tensor]) -> Description:
    """Return what the attributes of a module say, such as ``classes``, ``mean``, ``pretrained_cfg`` or ``weights``.

    A mean and a standard deviation, or transforms, with which the module itself computes are no statement about its
    input.
    """
    computing = _read_by_methods(module)
    wanted = {
        *LABELS,
        *TIMM,
        *NESTED,
        *(name for name in TRANSFORMS if not any(name in one for one in computing)),
    }
    if not any({*pair} <= one for one in computing for pair in STATISTICS):
        wanted.update(name for pair in STATISTICS for name in pair)
    values: dict[str, Any] = {}
    for name in sorted(wanted):
        with suppress(Exception):  # a property may do anything
            value = getattr(module, name)
            # torchvision's transforms are modules too.
            part = isinstance(value, nn.Module) and name not in TRANSFORMS
            if not part and not (isinstance(value, Tensor) and _is_state(module, name)):
                values[name] = value
    found = _told(values, state)
    return found.over(PLAIN) if _library(module) in UNSCALED else found


def _library(module: nn.Module) -> str:
    return type(module).__module__.partition(".")[0]


def _is_state(module: nn.Module, name: str) -> bool:
    return name in module._buffers or name in module._parameters


def _read_by_methods(module: nn.Module) -> list[frozenset[str]]:
    """Return which names each of a module's own methods reads, but for the one that sets them."""
    own = type(module).__mro__[: type(module).__mro__.index(nn.Module)]
    codes = (
        getattr(method, "__code__", None)
        for cls in own
        for name, method in vars(cls).items()
        if name != "__init__"
    )
    return [frozenset(code.co_names) for code in codes if code is not None]


def _told(values: Mapping[str, Any], state: Mapping[str, Tensor]) -> Description:
    found = Description()
    for place in _places(values):
        found = found.over(_here(place, state))
    return found


def _places(values: Mapping[str, Any], deep: int = _DEEP) -> Iterator[dict[str, Any]]:
    """Yield settings by their names in small letters, and those that are nested in them."""
    here = {name.casefold(): value for name, value in values.items() if isinstance(name, str)}
    yield here
    for name in NESTED:
        inner = _mapping(here.get(name))
        if inner and deep > 1:
            yield from _places(inner, deep - 1)


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping, or the attributes of an object that is one of settings; else an empty mapping."""
    if isinstance(value, Mapping):
        return value
    if value is None or isinstance(value, str | int | float | Sequence | Tensor | nn.Module | type):
        return {}
    return vars(value) if hasattr(value, "__dict__") else {}


def _here(place: Mapping[str, Any], state: Mapping[str, Tensor]) -> Description:
    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] = ()
    for name in TIMM:
        config = _mapping(place.get(name))
        if config and preprocessing is None:
            preprocessing = _timm(config)
            labels = _labels(config, state)
    for name in TRANSFORMS:
        own = place.get(name)
        # A builder's weights hold both; transforms may also be given alone, or as what makes them.
        transforms = getattr(own, "transforms", None) if name == "weights" else own
        if preprocessing is None and transforms is not None:
            preprocessing = _transforms(transforms)
        labels = labels or _labels(_mapping(getattr(own, "meta", None)), state)
    labels = _labels(place, state) or labels
    for mean, std in STATISTICS:
        with suppress(ValueError):
            values = typed(mean=_plain(place.get(mean)), std=_plain(place.get(std)))
            if _whole(values):
                # Means above 1 can only be of 0…255.
                scale = (0.0, 255.0) if max(values.mean or ()) > 1 else (0.0, 1.0)
                return Description(preprocessing, values.mean, values.std, scale, None, labels)
    return Description(preprocessing, labels=labels)


def _whole(values: Description) -> bool:
    """Return whether a mean and a standard deviation are there, for one channel or three colours."""
    return all(one is not None and len(one) in (1, 3) for one in (values.mean, values.std))


def _plain(value: Any) -> Any:
    if isinstance(value, Sequence | float | int) or value is None or not hasattr(value, "tolist"):
        return value
    return value.reshape(-1).tolist()


def _labels(place: Mapping[str, Any], state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return the first names for as many classes as some weight has rows."""
    rows = {value.shape[0] for value in state.values() if value.ndim}
    for name in LABELS:
        value = place.get(name)
        if isinstance(value, Mapping | list | tuple):
            with suppress(ValueError):
                found = as_labels(value)
                if len(found) in rows:
                    return found
    return ()


def _timm(config: Mapping[str, Any]) -> Preprocessing | None:
    """Read a configuration of timm's; None where it is none, or its values make no sense."""
    with suppress(ValueError, TypeError, OverflowError):
        size = [int(side) for side in config["input_size"]] if config.get("input_size") else [3, 224, 224]
        share = float(config.get("crop_pct") or 0.875)
        values = typed(mean=config.get("mean"), std=config.get("std"))
        counts = {len(one) for one in (values.mean, values.std) if one is not None}
        if (
            len(size) == 3
            and size[0] in (1, 3)
            and all(0 < side <= _LARGEST_INPUT for side in size)
            and 0.05 <= share <= 20
            and counts <= {size[0]}
            and config.get("interpolation") in (None, "", "bilinear", "bicubic")
            and config.get("crop_mode") in (None, "", "center", "squash", "border")
        ):
            return from_timm({**config, "input_size": size, "crop_pct": share})
    return None


def _transforms(transforms: Any) -> Preprocessing | None:
    """Read torchvision's transforms of an image: a preset of its weights, or a composition that normalizes."""
    with suppress(Exception):  # foreign objects may do anything
        bare = not hasattr(transforms, "mean") and not hasattr(transforms, "transforms")
        if bare and not isinstance(transforms, nn.Module):
            transforms = transforms()  # what makes them, as a builder's weights have it
        if hasattr(transforms, "mean") and hasattr(transforms, "crop_size"):
            return from_transforms(transforms)
        steps = list(transforms.transforms)
        normal = next(one for one in steps if hasattr(one, "mean") and hasattr(one, "std"))
        crop = next((one.size for one in steps if type(one).__name__ == "CenterCrop"), None)
        resize = next((one.size for one in steps if type(one).__name__ == "Resize"), None)
        return _composed(normal, crop, resize)
    return None


def _composed(normal: Any, crop: Any, resize: Any) -> Preprocessing | None:
    values = typed(mean=_plain(normal.mean), std=_plain(normal.std))
    if values.mean is None or values.std is None or not _whole(values):
        return None
    one = isinstance(resize, int) or (resize is not None and len(resize) == 1)
    short = (resize if isinstance(resize, int) else resize[0]) if one else None
    exact = None if one or resize is None else (int(resize[0]), int(resize[1]))
    cut = None if crop is None else ((crop, crop) if isinstance(crop, int) else (int(crop[0]), int(crop[-1])))
    return Preprocessing(
        resize=short if one else exact,
        crop=cut or exact,
        mean=values.mean,
        std=values.std,
        channel_order=channel_order(len(values.mean)),
    )
