"""How a network wants its images: size, value range, channel order."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
BANDS = "bands"
"""The order of channels that are neither grey nor colours."""

FITS = ("crop", "resize", "full")
_OWN = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}


@dataclass(frozen=True)
class Preprocessing:
    """What happens to an 8-bit image before a network sees it.

    A pixel value ``p`` in 0…255 becomes ``(p / 255 * (scale - black) + black - mean) / std``, per channel in the
    network's order.

    Attributes
    ----------
    resize : int, (int, int) or None
        The short side is brought to this many pixels, keeping the aspect; a pair is the exact height and width, or,
        with `fill`, what the image is brought into, keeping the aspect; None keeps the image's own size.
    crop : (int, int) or None
        Height and width of the centre crop after that; None keeps the whole image.
    mean, std : tuple of float
        Per channel, in the units of ``scale``.
    scale : float
        What a white pixel is worth before mean and standard deviation: mostly 1 or 255.
    channel_order : str
        ``"RGB"``, ``"BGR"``, ``"L"``, or ``"bands"`` of a network that takes neither one channel nor three.
    interpolation : str
        ``"bilinear"`` or ``"bicubic"``, antialiased.
    assumed : bool
        True when nothing told netviz with which values the network was trained: ImageNet's or the architecture's
        usual ones stand in.
    fill : (int, int, int) or None
        The RGB of what the crop shows beyond the image; None where the image is enlarged instead.
    black : float
        What a black pixel is worth before mean and standard deviation.
    size_assumed : bool
        True when nothing told netviz at which size.
    bands : tuple of int
        Which of a network's bands are shown, counted from 1: one, or three as red, green and blue; empty for the
        three of an image that vary most.
    """

    resize: int | tuple[int, int] | None = 256
    crop: tuple[int, int] | None = (224, 224)
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    scale: float = 1.0
    channel_order: str = "RGB"
    interpolation: str = "bilinear"
    assumed: bool = False
    fill: tuple[int, int, int] | None = None
    black: float = 0.0
    size_assumed: bool = False
    bands: tuple[int, ...] = ()

    @property
    def channels(self) -> int:
        """How many channels the network takes."""
        return len(self.mean)

    def sized(self, height: int, width: int) -> "Preprocessing":
        """Return the same preprocessing for another input size, in pixels, without anything beyond the crop."""
        if self.crop == (height, width):
            return self
        resize = (height, width) if isinstance(self.resize, tuple) else min(height, width)
        return replace(self, resize=resize, crop=(height, width))

    def banded(self, channels: int) -> "Preprocessing":
        """Return what is assumed of a network trained like this that takes so many channels: the channels' mean."""
        if self.channels == channels:
            return self
        mean, std = ((sum(values) / len(values),) * channels for values in (self.mean, self.std))
        return replace(self, mean=mean, std=std, channel_order=channel_order(channels), assumed=True)

    def fitted(self, fit: str) -> "Preprocessing":
        """Return the same preprocessing with another way to bring an image to the network's size.

        Parameters
        ----------
        fit : {"crop", "resize", "full"}
            Resize the short side and cut out the middle, as the network's own preprocessing does; resize the whole
            image to that size, whatever its aspect; resize the short side and keep the whole image.

        Raises
        ------
        ValueError
            If `fit` is none of these.
        """
        check_fit(fit)
        if fit == "crop":
            return self
        if fit == "resize":
            return self if self.crop is None else replace(self, resize=self.crop, fill=None)
        resize = min(self.resize) if isinstance(self.resize, tuple) else self.resize
        return replace(self, resize=resize, crop=None, fill=None)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What a reader of any answer should know of it, if it is assumed."""
        return (f"mean and std are {self._assumption}",) if self.assumed else ()

    @property
    def _assumption(self) -> str:
        if set(self.mean) == {0.0}:
            return "assumed: plain grey values" if self.channels == 1 else "assumed: plain values"
        whose = "ImageNet" if self.mean == IMAGENET_MEAN else "its architecture"
        return f"assumed: {whose}'s usual values"

    def __str__(self) -> str:
        if isinstance(self.resize, tuple):
            size = f"{'resized ' if self.fill is None else 'brought in'}to {self.resize[0]}×{self.resize[1]}"
        else:
            size = "own size" if self.resize is None else f"short side {self.resize}"
        if self.crop is not None:
            size += f", centre crop {self.crop[0]}×{self.crop[1]}"
            size += "" if self.fill is None else f", filled up with {_numbers(self.fill)} of 0…255"
        values = f"mean {_numbers(self.mean)}, std {_numbers(self.std)} of {self.black:g}…{self.scale:g}"
        note = f" ({self._assumption})" if self.assumed else ""
        order = self.channel_order
        if order == BANDS:
            chosen = ", ".join(map(str, self.bands)) or "the three that vary most"
            order = f"{self.channels} bands" + (
                f" (shown: {chosen})" if self.channels > 2 or self.bands else ""
            )
        return f"{size}, {order}, {values}{note}"


def check_fit(fit: str) -> None:
    """Refuse a way to bring an image to a network that is none.

    Raises
    ------
    ValueError
        If it is neither of `FITS`.
    """
    if fit not in FITS:
        raise ValueError(f"fit must be 'crop', 'resize' or 'full', not {fit!r}")


def from_transforms(transforms: Any) -> Preprocessing:
    """Read the preprocessing out of the transforms that come with torchvision's weights.

    Parameters
    ----------
    transforms : callable
        ``weights.transforms()``: one of torchvision's presets.

    Returns
    -------
    Preprocessing
        A detection preset keeps the image's size and its values in 0…1, as torchvision's detectors
        normalize inside.
    """
    resize = getattr(transforms, "resize_size", None)
    crop = getattr(transforms, "crop_size", None)
    interpolation = getattr(getattr(transforms, "interpolation", None), "value", "bilinear")
    return Preprocessing(
        resize=resize[0] if resize else None,
        crop=(crop[0], crop[-1]) if crop else None,
        mean=tuple(getattr(transforms, "mean", (0.0, 0.0, 0.0))),
        std=tuple(getattr(transforms, "std", (1.0, 1.0, 1.0))),
        interpolation=interpolation if interpolation == "bicubic" else "bilinear",
    )


def from_timm(config: Mapping[str, Any]) -> Preprocessing:
    """Return the preprocessing of a configuration of timm's: what `timm.data.create_transform` makes of it."""
    channels, *crop = config.get("input_size") or (3, 224, 224)
    share = config.get("crop_pct") or 0.875
    height, width = (math.floor(side / share) for side in crop)
    mode = config.get("crop_mode") or "center"
    mean, std = (tuple(config.get(name) or own) for name, own in _OWN.items())
    fill = None
    if mode == "border":
        fill = (round(255 * mean[0]), round(255 * mean[len(mean) // 2]), round(255 * mean[-1]))
    elif share > 1:
        fill = (0, 0, 0)
    found = Preprocessing(
        resize=(height, width) if mode in ("squash", "border") else min(height, width),
        crop=(crop[0], crop[1]),
        mean=mean,
        std=std,
        interpolation=config.get("interpolation") or "bicubic",
        fill=fill,
    )
    # Values for as many channels are its own.
    own = len(mean) == len(std) == channels
    return replace(found, channel_order=channel_order(channels)) if own else found.banded(channels)


def channel_order(channels: int) -> str:
    """Return in which order a network takes its channels, as far as their number tells."""
    return {1: "L", 3: "RGB"}.get(channels, BANDS)


def assumed(channels: int) -> Preprocessing:
    """Return what netviz assumes for a network that says nothing, by its number of input channels."""
    if channels == 3:
        return Preprocessing(assumed=True, size_assumed=True)
    return Preprocessing(
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        channel_order=channel_order(channels),
        assumed=True,
        size_assumed=True,
    )


def _numbers(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
