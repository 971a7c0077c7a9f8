"""How a network wants its images: size, value range, channel order."""

from dataclasses import dataclass, replace
from typing import Any

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """What happens to an 8-bit image before a network sees it.

    A pixel value ``p`` in 0…255 becomes ``(p / 255 * scale - mean) / std``, per channel in the network's order.

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
        What a white pixel is worth before mean and standard deviation: 1 or 255.
    channel_order : str
        ``"RGB"``, ``"BGR"`` or ``"L"``.
    interpolation : str
        ``"bilinear"`` or ``"bicubic"``, antialiased.
    assumed : bool
        True when nothing told netviz what the network was trained with: ImageNet's or the architecture's usual values
        stand in.
    fill : (int, int, int) or None
        The RGB of what the crop shows beyond the image; None where the image is enlarged instead.
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

    @property
    def channels(self) -> int:
        """How many channels the network takes: 1 or 3."""
        return len(self.channel_order)

    def sized(self, height: int, width: int) -> "Preprocessing":
        """Return the same preprocessing for another input size, in pixels, without anything beyond the crop."""
        if self.crop == (height, width):
            return self
        resize = (height, width) if isinstance(self.resize, tuple) else min(height, width)
        return replace(self, resize=resize, crop=(height, width))

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
        if fit == "crop":
            return self
        if fit == "resize":
            return self if self.crop is None else replace(self, resize=self.crop, fill=None)
        if fit == "full":
            return replace(self, crop=None)
        raise ValueError(f"fit must be 'crop', 'resize' or 'full', not {fit!r}")

    def __str__(self) -> str:
        if isinstance(self.resize, tuple):
            size = f"{'resized ' if self.fill is None else 'brought in'}to {self.resize[0]}×{self.resize[1]}"
        else:
            size = "own size" if self.resize is None else f"short side {self.resize}"
        if self.crop is not None:
            size += f", centre crop {self.crop[0]}×{self.crop[1]}"
            size += "" if self.fill is None else f", filled up with {_numbers(self.fill)} of 0…255"
        values = f"mean {_numbers(self.mean)}, std {_numbers(self.std)} of 0…{self.scale:g}"
        whose = "ImageNet" if self.std in (IMAGENET_STD, (1.0,)) else "its architecture"
        note = f" (assumed: {whose}'s usual values)" if self.assumed else ""
        return f"{size}, {self.channel_order}, {values}{note}"


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


def assumed(channels: int) -> Preprocessing:
    """Return what netviz assumes for a network that says nothing, by its number of input channels."""
    if channels == 1:
        return Preprocessing(mean=(0.0,), std=(1.0,), channel_order="L", assumed=True)
    return Preprocessing(assumed=True)


def _numbers(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
