"""Pixels as small PNG and JPEG files: the same pixels give the same bytes, and no metadata is stored."""

import io
import threading
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netviz.errors import OutputError
from netviz.paper.scales import Pixels

_PALETTE: Final = 256
_LEVEL: Final = 4
"""Of compression: 5 takes half as long again for a hundredth fewer bytes."""


def encode_png(pixels: Pixels) -> bytes:
    """Encode a picture as PNG without loss: grey or with a palette wherever that suffices.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3) or (H, W)
        At least one pixel.

    Returns
    -------
    bytes

    Raises
    ------
    OutputError
        If the array is no such picture.
    """
    if (
        pixels.dtype != np.uint8
        or pixels.ndim not in (2, 3)
        or not pixels.size
        or pixels.shape[2:] not in ((), (3,))
    ):
        raise OutputError(
            f"cannot encode a {pixels.dtype} array of shape {pixels.shape} as PNG; "
            "give uint8 of shape (H, W, 3) or (H, W)"
        )
    grey = _grey(pixels)
    if grey is not None:
        return _save(Image.fromarray(grey), None)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    found = image.getcolors(_PALETTE)
    if found is None:
        return _save(image, None)
    colours = np.array(sorted(colour for _, colour in found), dtype=np.uint8)
    number = _numbers()
    number[_packed(colours)] = np.arange(len(colours))
    indexed = Image.fromarray(number[_packed(pixels)])
    indexed.putpalette(colours.tobytes())
    bits = next(bits for bits in (1, 2, 4, 8) if len(colours) <= 2**bits)
    return _save(indexed, bits)


def encode_jpeg(
    picture: Pixels | bytes, quality: int, *, coarse: bool = False, optimize: bool = False
) -> bytes:
    """Encode a picture as JPEG.

    Parameters
    ----------
    picture : ndarray of uint8, shape (H, W, 3) or (H, W), or bytes
        Pixels, or the file of a picture, such as a figure's PNG.
    quality : int
        1 … 95.
    coarse : bool
        Whether colours are half as fine as brightness: a picture of many small photographs becomes a third smaller.
    optimize : bool
        Whether a few percent of the bytes are worth twice the time.

    Returns
    -------
    bytes
    """
    if isinstance(picture, bytes):
        with Image.open(io.BytesIO(picture)) as opened:
            image = opened.convert("RGB")
    else:
        image = Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=2 if coarse else 0, optimize=optimize)
    return buffer.getvalue()


def encode_webp(pixels: Pixels, quality: int) -> bytes:
    """Encode a picture (H, W, 3) as WebP, which at a low quality, 1 … 95, takes two thirds of JPEG's bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()


_kept = threading.local()


def _numbers() -> NDArray[np.uint8]:
    """Return room for a number for every colour, with whatever was in it; made once for each thread."""
    room: NDArray[np.uint8] | None = getattr(_kept, "room", None)
    if room is None:
        room = _kept.room = np.empty(1 << 24, dtype=np.uint8)
    return room


def _grey(pixels: Pixels) -> Pixels | None:
    """Return the one channel of a grey picture, None for a coloured one."""
    if pixels.ndim == 2:
        return np.ascontiguousarray(pixels)
    red = pixels[..., 0]
    # Most pictures differ at once; comparing the first row spares a pass over the rest.
    for part in (slice(0, 1), slice(None)):
        if any((red[part] != pixels[part, :, channel]).any() for channel in (1, 2)):
            return None
    return np.ascontiguousarray(red)


def _packed(colours: Pixels) -> NDArray[np.uint32]:
    """Write each colour as one number, in the order of its channels."""
    packed = colours[..., 0].astype(np.uint32)
    for channel in (1, 2):
        packed <<= 8
        packed |= colours[..., channel]
    return packed


def _save(image: Image.Image, bits: int | None) -> bytes:
    buffer = io.BytesIO()
    if bits is None:
        image.save(buffer, "PNG", compress_level=_LEVEL)
    else:
        image.save(buffer, "PNG", compress_level=_LEVEL, bits=bits)
    return buffer.getvalue()
