"""From pixels to what a network takes, and exactly back."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from netviz.errors import ImageError
from netviz.images.bands import in_bytes, on_white, shown
from netviz.images.read import Photo, as_shown
from netviz.models.preprocessing import Preprocessing

Values: TypeAlias = NDArray[np.uint8] | NDArray[np.float32]
"""An image of a network's size, 0 (black) to 255 (white): 8-bit RGB, (H, W, 3), or the network's bands, (H, W, C)."""

_GRAY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Prepared:
    """An image ready for a network.

    Attributes
    ----------
    tensor : Tensor of shape (1, C, H, W)
        float32, normalized, channels in the network's order.
    image : ndarray of uint8, shape (H, W, 3)
        The same picture for the eye: resized and cropped, RGB.
    values : ndarray of uint8, shape (H, W, 3), or float32, shape (H, W, C)
        What was normalized, 0…255, as `prepare_pixels` gives it: of 8-bit colours `image` itself.
    original : (int, int)
        Height and width of the file's image, in pixels.
    resized : (int, int)
        Height and width after resizing, before the crop.
    offset : (int, int)
        Row and column of the crop's first pixel in the resized image.
    """

    tensor: Tensor
    image: NDArray[np.uint8]
    values: Values
    original: tuple[int, int]
    resized: tuple[int, int]
    offset: tuple[int, int]


def prepare(photo: Photo | NDArray[np.uint8], preprocessing: Preprocessing) -> Prepared:
    """Resize, crop and normalize an image as the network's training did.

    Parameters
    ----------
    photo : Photo, or ndarray of uint8, shape (H, W, 3)
    preprocessing : Preprocessing
        The network's.

    Returns
    -------
    Prepared
        Of 8-bit colours its `image` is what `display` gives back from its `tensor`, bit for bit.

    Raises
    ------
    ImageError
        As `prepare_pixels`.
    """
    values, resized, offset = prepare_pixels(photo, preprocessing)
    pixels = photo.pixels if isinstance(photo, Photo) else photo
    if values.dtype == np.uint8:
        image: NDArray[np.uint8] = values.astype(np.uint8, copy=False)
    elif values.shape[2] in (1, 3):
        image = shown(np.rint(values).astype(np.uint8))
    else:
        pixels = as_shown(photo, preprocessing.bands).pixels if isinstance(photo, Photo) else photo
        image = _placed(pixels, preprocessing).astype(np.uint8, copy=False)
    height, width = pixels.shape[:2]
    return Prepared(normalize(values, preprocessing), image, values, (height, width), resized, offset)


def prepare_pixels(
    photo: Photo | NDArray[np.uint8], preprocessing: Preprocessing
) -> tuple[Values, tuple[int, int], tuple[int, int]]:
    """Resize and crop an image, without normalizing it.

    Parameters
    ----------
    photo : Photo, or ndarray of uint8, shape (H, W, 3)
    preprocessing : Preprocessing

    Returns
    -------
    values : ndarray of uint8, shape (H, W, 3), or of float32, shape (H, W, C)
        As the network sees it: 8-bit RGB, or of what has more depth or other bands the network's bands, 0…255, not
        rounded.
    resized, offset : (int, int)
        As `placement` returns them.

    Raises
    ------
    ImageError
        If the image has other bands than the network, or values that it does not take.
    """
    given: Values = photo if isinstance(photo, np.ndarray) else _bands(photo, preprocessing)
    resized, offset, _ = placement(given.shape[0], given.shape[1], preprocessing)
    values = _placed(given, preprocessing)
    if preprocessing.channel_order == "L" and values.shape[2] == 3:
        gray = values @ np.array(_GRAY)
        if values.dtype != np.uint8:
            return gray[..., None].astype(np.float32), resized, offset
        values = np.repeat(np.rint(gray).astype(np.uint8)[..., None], 3, axis=2)
    return values, resized, offset


def _bands(photo: Photo, preprocessing: Preprocessing) -> Values:
    """Return all of an image, in the bands of a network."""
    values, wanted = photo.values, preprocessing.channels
    colours = wanted in (1, 3)
    if colours and (values is None or (photo.alpha and values.dtype == np.uint8)):
        return photo.pixels
    count = 3 if values is None else values.shape[2]
    if values is not None and count == wanted:
        return in_bytes(values, photo.name, preprocessing.black, preprocessing.scale)
    if values is not None and photo.alpha:
        values, count = on_white(values) * np.float32(1 / 255), count - 1
    if values is None or not colours or count not in (1, 3):
        raise ImageError(
            f"{photo.name} has {_counted(count, 'band')}, but the network takes {_counted(wanted, 'channel')}: "
            "give an image of as many bands (.npy, .tif)"
        )
    found = in_bytes(values, photo.name, preprocessing.black, preprocessing.scale)
    return np.repeat(found, 3, axis=2) if (count, wanted) == (1, 3) else found


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _placed(pixels: Values, preprocessing: Preprocessing) -> Values:
    """Return an image resized and cropped."""
    height, width, count = pixels.shape
    resized, (top, left), (rows, columns) = placement(height, width, preprocessing)
    values: Values = pixels
    if resized != (height, width):
        values = resample(pixels, resized, preprocessing.interpolation)
    values = values[max(top, 0) : top + rows, max(left, 0) : left + columns]
    if preprocessing.fill is not None and values.shape[:2] != (rows, columns):
        padded = np.empty((rows, columns, count), dtype=values.dtype)
        fill = preprocessing.fill
        padded[:] = fill if count == 3 else sum(fill) / len(fill)
        top, left = max(-top, 0), max(-left, 0)
        padded[top : top + values.shape[0], left : left + values.shape[1]] = values
        values = padded
    found: Values = values.copy()
    return found


def resample(
    pixels: Values,
    size: tuple[int, int],
    interpolation: str,
    region: tuple[float, float, float, float] | None = None,
) -> Values:
    """Return an image, or a region of it, at another height and width, antialiased.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3), or float32, shape (H, W, C)
        Values in 0…255.
    size : (int, int)
        Height and width, in pixels.
    interpolation : {"bilinear", "bicubic"}
    region : (float, float, float, float), optional
        Top, left, bottom and right, in pixels; by default all.
    """
    box = None if region is None else (region[1], region[0], region[3], region[2])
    bicubic = interpolation == "bicubic"
    method = Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(pixels).resize(size[::-1], method, box))
    found = [
        np.asarray(Image.fromarray(pixels[..., band]).resize(size[::-1], method, box))
        for band in range(pixels.shape[2])
    ]
    return np.stack(found, axis=-1).clip(0, 255)


def placement(
    height: int, width: int, preprocessing: Preprocessing
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Return where a network's input lies in an image of this size.

    Returns
    -------
    resized : (int, int)
        Height and width after resizing.
    offset : (int, int)
        Row and column of the crop's first pixel in the resized image; negative where the crop reaches beyond it.
    size : (int, int)
        Height and width of the crop.
    """
    resized = (height, width)
    if preprocessing.resize is not None:
        resized = _resized(height, width, preprocessing)
    crop = preprocessing.crop
    if crop is None:
        return resized, (0, 0), resized
    return resized, (_offset(resized[0], crop[0]), _offset(resized[1], crop[1])), crop


def _offset(length: int, crop: int) -> int:
    return round((length - crop) / 2) if length >= crop else -((crop - length) // 2)


def normalize(image: Values, preprocessing: Preprocessing) -> Tensor:
    """Return an image of the network's size, such as `prepare_pixels` gives, as the tensor (1, C, H, W) it takes."""
    return normalize_batch(torch.from_numpy(image.copy())[None], preprocessing)


def normalize_batch(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Return images, such as `prepare_pixels` gives, on any device, as the float32 tensor (N, C, H, W) for a network.

    Parameters
    ----------
    images : Tensor of uint8 RGB, shape (N, H, W, 3), or of float32, 0…255, shape (N, H, W, C)
    preprocessing : Preprocessing
    """
    if preprocessing.channel_order == "BGR":
        images = images.flip(-1)
    elif preprocessing.channel_order == "L":
        images = images[..., :1]
    mean, std = (one.to(images.device) for one in _statistics(preprocessing))
    values = images.permute(0, 3, 1, 2).to(torch.float32, copy=True)  # what is given stays as it is
    values = values.div_(255).mul_(preprocessing.scale - preprocessing.black)
    if preprocessing.black:
        values = values.add_(preprocessing.black)
    return values.sub_(mean).div_(std)


def display(tensor: Tensor, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Return the picture, (H, W, 3) uint8 RGB, that a normalized tensor (1, C, H, W) shows: the exact inverse.

    Values that no 8-bit image gives are clipped.
    """
    mean, std = _statistics(preprocessing)
    black = preprocessing.black
    values = (tensor.detach().cpu() * std + (mean - black)) * (255 / (preprocessing.scale - black))
    image: NDArray[np.uint8] = values.round().clamp(0, 255).byte()[0].permute(1, 2, 0).numpy()
    if preprocessing.channel_order == "L":
        return np.repeat(image, 3, axis=2)
    return np.ascontiguousarray(image[..., ::-1] if preprocessing.channel_order == "BGR" else image)


def _statistics(preprocessing: Preprocessing) -> tuple[Tensor, Tensor]:
    mean = torch.tensor(preprocessing.mean).view(1, -1, 1, 1)
    return mean, torch.tensor(preprocessing.std).view(1, -1, 1, 1)


def _resized(height: int, width: int, preprocessing: Preprocessing) -> tuple[int, int]:
    """Return the size after resizing, never smaller than the crop unless that is filled up."""
    if isinstance(preprocessing.resize, tuple):
        if preprocessing.fill is None:
            return preprocessing.resize
        ratio = max(height / preprocessing.resize[0], width / preprocessing.resize[1])
        return max(round(height / ratio), 1), max(round(width / ratio), 1)
    short = preprocessing.resize or 0
    if height <= width:
        size = (short, max(short, int(short * width / height)))
    else:
        size = (max(short, int(short * height / width)), short)
    if preprocessing.crop is None or preprocessing.fill is not None:
        return size
    grow = max(preprocessing.crop[0] / size[0], preprocessing.crop[1] / size[1], 1.0)
    return (round(size[0] * grow), round(size[1] * grow)) if grow > 1 else size
