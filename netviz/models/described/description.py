"""What one source says of a network: how it wants its images, and what its outputs mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from netviz.errors import ModelError
from netviz.models.described.labels import as_labels, read_labels
from netviz.models.model import Model
from netviz.models.preprocessing import Preprocessing

ORDERS = ("rgb", "bgr")

LARGEST_RANGE = 1e9
"""How far from 0 values of an image may be."""


@dataclass(frozen=True)
class Description:
    """What one source says; None, or empty, is what it says nothing of.

    Attributes
    ----------
    preprocessing : Preprocessing or None
        All of it at once, where the source tells sizes too.
    mean, std : tuple of float or None
        One for each channel, in the network's order, or one for all.
    input_scale : (float, float) or None
        What a black and a white pixel are worth before mean and standard deviation.
    channel_order : str or None
        ``"rgb"`` or ``"bgr"``.
    labels : tuple of str
    bands : tuple of int
        Which are shown, counted from 1.
    """

    preprocessing: Preprocessing | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    input_scale: tuple[float, float] | None = None
    channel_order: str | None = None
    labels: tuple[str, ...] = ()
    bands: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        """Return whether it says anything."""
        return self != Description()

    def over(self, other: "Description") -> "Description":
        """Return both in one; where both say something, this one counts.

        Mean and standard deviation belong to the range that is said with them.
        """
        own = {name: value for name, value in vars(self).items() if value not in (None, ())}
        if self.input_scale is not None:
            other = replace(other, mean=None, std=None)
        return replace(other, **own)


def typed(
    *,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    input_scale: float | Sequence[float] | None = None,
    channel_order: str | None = None,
    labels: str | Path | Sequence[str] | Mapping[Any, Any] | None = None,
    bands: int | Sequence[int] | None = None,
) -> Description:
    """Return what a user says, checked; see `netviz.load`.

    Raises
    ------
    ModelError
        If `labels` cannot be read.
    ValueError
        If a value is out of range.
    """
    deviations = _numbers("std", std)
    if deviations is not None and min(deviations) <= 0:
        raise ValueError(f"std must be above 0, not {min(deviations):g}")
    if channel_order is not None and channel_order not in ORDERS:
        raise ValueError(f"channel_order must be 'rgb' or 'bgr', not {channel_order!r}")
    names: tuple[str, ...] = ()
    if isinstance(labels, str | Path):
        names = read_labels(Path(labels))
    elif labels is not None:
        names = as_labels(labels)
    return Description(
        mean=_numbers("mean", mean),
        std=deviations,
        input_scale=_range(_numbers("input_scale", input_scale)),
        channel_order=channel_order,
        labels=names,
        bands=_chosen(bands),
    )


def _chosen(bands: int | Sequence[int] | None) -> tuple[int, ...]:
    """Return which bands are shown."""
    if bands is None:
        return ()
    found = (bands,) if isinstance(bands, int) else tuple(bands)
    if len(found) not in (1, 3) or not all(isinstance(band, int) and band >= 1 for band in found):
        raise ValueError(f"bands must be one number or three, counted from 1, not {bands!r:.60}")
    return found


def _numbers(name: str, value: float | Sequence[float] | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    value = value.tolist() if hasattr(value, "tolist") else value  # an array or a tensor
    try:
        found = tuple(map(float, value if isinstance(value, Sequence) else (value,)))
    except (TypeError, ValueError):
        found = ()
    if not found or isinstance(value, str) or not all(abs(one) <= LARGEST_RANGE for one in found):
        raise ValueError(f"{name} must be a number, or one for each channel, not {value!r:.60}")
    return found


def _range(values: tuple[float, ...] | None) -> tuple[float, float] | None:
    if values is None:
        return None
    low, high = (0.0, *values) if len(values) == 1 else values[:2]
    if len(values) > 2 or not low < high:
        shown = ", ".join(f"{one:g}" for one in values)
        raise ValueError(f"input_scale must be 1, 255, or the least and the largest value, not {shown}")
    return low, high


def described(model: Model, said: Description) -> Model:
    """Return a model with what a source says of it in place of what is known so far.

    A source that tells the range of values but no mean (or standard deviation) means 0 (or 1). Where it tells the
    order of the channels alone, each colour keeps its values.

    Raises
    ------
    ModelError
        If it tells other numbers than the network has channels, or a mean that lies outside of the range.
    """
    if not said:
        return model
    base = model.preprocessing
    channels = base.channels
    if said.preprocessing is not None:
        base = said.preprocessing.banded(channels)
    order = base.channel_order if said.channel_order is None else said.channel_order.upper()
    if order != base.channel_order:
        if channels != 3:
            raise ModelError(
                f"channel order {said.channel_order} is for 3 channels, and {model.name} takes {channels}: leave it "
                "out"
            )
        base = replace(base, mean=base.mean[::-1], std=base.std[::-1], channel_order=order)
    black, white = (base.black, base.scale) if said.input_scale is None else said.input_scale
    if said.input_scale is not None:
        base = replace(base, mean=(0.0,) * channels, std=(1.0,) * channels)
    mean = _each("mean", said.mean, base.mean, model.name, channels)
    std = _each("std", said.std, base.std, model.name, channels)
    out = next((one for one in said.mean or () if not black <= one <= white), None)
    if out is not None:
        raise ModelError(
            f"a mean of {out:g} lies outside of {black:g}…{white:g}, the values of {model.name}'s images; "
            "give their range too: --input-scale 255, or MIN,MAX"
        )
    if said.bands and (channels in (1, 3) or max(said.bands) > channels):
        takes = f"{channels} channel{'' if channels == 1 else 's'}"
        raise ModelError(
            f"bands {', '.join(map(str, said.bands))} cannot be shown: {model.name} takes {takes}"
            + (", which are shown as they are" if channels in (1, 3) else "")
        )
    known = said.input_scale is not None or (said.mean is not None and said.std is not None)
    return replace(
        model,
        preprocessing=replace(
            base,
            mean=mean,
            std=std,
            black=black,
            scale=white,
            assumed=base.assumed and not known,
            bands=said.bands or base.bands,
        ),
        labels=said.labels or model.labels,
    )


def believed(model: Model, said: Description) -> Model:
    """Return `described` for what a file or module says of itself: what does not fit the network is passed over."""
    try:
        return described(model, said)
    except ModelError:
        return described(model, Description(labels=said.labels))


def _each(
    name: str, said: tuple[float, ...] | None, own: tuple[float, ...], model: str, channels: int
) -> tuple[float, ...]:
    """Return a value for each channel."""
    if said is None:
        return own
    if len(said) not in (1, channels):
        takes = (
            "1 channel: give one" if channels == 1 else f"{channels} channels: give one for all or {channels}"
        )
        raise ModelError(f"{name} has {len(said)} values, but {model} takes {takes}")
    return said * (channels // len(said))
