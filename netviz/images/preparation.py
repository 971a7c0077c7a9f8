"""From pixels to what a network takes, and exactly back."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from netviz.models.preprocessing import Preprocessing

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
    original : (int, int)
        Height and width of the file's image, in pixels.
    resized : (int, int)
        Height and width after resizing, before the crop.
    offset : (int, int)
        Row and column of the crop's first pixel in the resized image.
    """

    tensor: Tensor
    image: NDArray[np.uint8]
    original: tuple[int, int]
    resized: tuple[int, int]
    offset: tuple[int, int]


def prepare(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> Prepared:
    """Resize, crop and normalize an image as the network's training did.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
        RGB.
    preprocessing : Preprocessing
        The network's.

    Returns
    -------
    Prepared
        Its `image` is what `display` gives back from its `tensor`, bit for bit.
    """
    values, resized, offset = prepare_pixels(pixels, preprocessing)
    height, width = pixels.shape[:2]
    return Prepared(normalize(values, preprocessing), values, (height, width), resized, offset)


def prepare_pixels(
    pixels: NDArray[np.uint8], preprocessing: Preprocessing
) -> tuple[NDArray[np.uint8], tuple[int, int], tuple[int, int]]:
    """Resize and crop an image, without normalizing it.

    Returns
    -------
    image : ndarray of uint8, shape (H, W, 3)
        As the network sees it.
    resized, offset : (int, int)
        As `placement` returns them.
    """
    height, width = pixels.shape[:2]
    resized, offset, (rows, columns) = placement(height, width, preprocessing)
    image = Image.fromarray(pixels)
    if resized != (height, width):
        method = Image.Resampling.BICUBIC if preprocessing.interpolation == "bicubic" else None
        image = image.resize(resized[::-1], method or Image.Resampling.BILINEAR)
    top, left = offset
    values = np.asarray(image)[max(top, 0) : top + rows, max(left, 0) : left + columns]
    if preprocessing.fill is not None and values.shape[:2] != (rows, columns):
        padded = np.empty((rows, columns, 3), dtype=np.uint8)
        padded[:] = preprocessing.fill
        top, left = max(-top, 0), max(-left, 0)
        padded[top : top + values.shape[0], left : left + values.shape[1]] = values
        values = padded
    if preprocessing.channel_order == "L":
        gray = np.rint(values @ np.array(_GRAY)).astype(np.uint8)
        values = np.repeat(gray[..., None], 3, axis=2)
    return values.copy(), resized, offset


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


def normalize(image: NDArray[np.uint8], preprocessing: Preprocessing) -> Tensor:
    """Return an image of the network's size, (H, W, 3) uint8 RGB, as the tensor (1, C, H, W) that it takes."""
    return normalize_batch(torch.from_numpy(image.copy())[None], preprocessing)


def normalize_batch(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Return images, (N, H, W, 3) uint8 RGB on any device, as the float32 tensor (N, C, H, W) for a network."""
    if preprocessing.channel_order == "BGR":
        images = images.flip(-1)
    elif preprocessing.channel_order == "L":
        images = images[..., :1]
    mean, std = (one.to(images.device) for one in _statistics(preprocessing))
    values = images.permute(0, 3, 1, 2).float()
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
