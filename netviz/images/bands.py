"""Images of other depths than 8 bits and of other bands than colours: decoded as they are, and shown."""

from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

from netviz.errors import ImageError

MOST_BANDS = 32
"""How many bands an image may have."""

_ALPHA = (1, 2)
"""What TIFF's tag ExtraSamples calls transparency."""

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_TURNED = {
    2: (1, 1, False),
    3: (-1, -1, False),
    4: (-1, 1, False),
    5: (1, 1, True),
    6: (1, -1, True),
    7: (-1, -1, True),
    8: (-1, 1, True),
}


def as_bands(array: NDArray[Any], name: str, *, first: bool = False) -> NDArray[Any]:
    """Return the values of an array as an image: (H, W, C) of uint8, uint16 or float32.

    Parameters
    ----------
    array : ndarray of shape (H, W), (H, W, C) or, with `first` or where only that can be, (C, H, W)
    name : str
        For messages.
    first : bool
        The bands come first, as in a tensor.

    Raises
    ------
    ImageError
        If it has another shape, no pixel, more than `MOST_BANDS` bands, or no real numbers.
    """
    if array.ndim == 2:
        array = array[..., None]
    elif array.ndim == 3 and (first or array.shape[0] <= MOST_BANDS < array.shape[2]):
        array = np.moveaxis(array, 0, 2)
    shape = "×".join(map(str, array.shape))
    if array.ndim != 3 or not array.size:
        raise ImageError(f"{name} has the shape {shape or '()'}; an image is (H, W) or (H, W, bands)")
    if array.shape[2] > MOST_BANDS:
        raise ImageError(f"{name} has {array.shape[2]} bands ({shape}); netviz takes 1 to {MOST_BANDS}")
    if array.dtype == bool:
        full: NDArray[np.uint8] = np.where(array, np.uint8(255), np.uint8(0))
        return full
    if array.dtype.kind not in "uif":
        raise ImageError(f"{name} holds {array.dtype}; an image holds whole or floating numbers")
    return array.astype(array.dtype.newbyteorder("=") if array.dtype in _WHITE else np.float32)


_WHITE = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}


def in_bytes(values: NDArray[Any], name: str, black: float = 0.0, white: float = 1.0) -> NDArray[np.float32]:
    """Return values on the scale of an 8-bit image, 0 (black) to 255 (white), not rounded.

    8-bit values are kept, those of 16 bits are divided by 257. Of others 0 is black and 1 white where all lie
    between; else they are what a network takes before mean and standard deviation.

    Parameters
    ----------
    values : ndarray of shape (H, W, C)
    name : str
        For messages.
    black, white : float
        What the network takes for black and white.

    Raises
    ------
    ImageError
        If a value is no number, or they are in neither range.
    """
    if values.dtype in _WHITE:
        found: NDArray[np.float32] = np.multiply(
            values, np.float32(255 / _WHITE[values.dtype]), dtype=np.float32
        )
        return found
    odd = values.size - int(np.isfinite(values).sum())
    if odd:
        raise ImageError(f"{name} holds {odd} values that are NaN or infinite; fill them first")
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        return np.asarray(values * np.float32(255), dtype=np.float32)
    if low < black or high > white:
        raise ImageError(
            f"{name} holds values from {low:g} to {high:g}, the network takes {black:g} to {white:g}; "
            "say what its images hold with --input-scale MIN,MAX, or scale them to 0…1"
        )
    return ((values.astype(np.float64) - black) * (255 / (white - black))).astype(np.float32)


def range_doubt(values: NDArray[Any] | None, black: float, white: float) -> tuple[str, ...]:
    """Say it where numbers in 0…1 are taken for shares of another range, in which they would lie as well."""
    if values is None or values.dtype in _WHITE or (black, white) == (0, 1):
        return ()
    if values.min() < 0 or values.max() > 1:
        return ()
    return (f"the image's values, all in 0…1, are taken as shares of {black:g}…{white:g}",)


def shown(values: NDArray[Any], bands: Sequence[int] = ()) -> NDArray[np.uint8]:
    """Return an image of any bands as it is shown: (H, W, 3) of uint8.

    Parameters
    ----------
    values : ndarray of shape (H, W, C)
    bands : sequence of int
        Which one is, or which three are shown as red, green and blue, counted from 1. By default one or all three; of
        two the first; of more the three with the largest variance, in their order.

    Returns
    -------
    ndarray of uint8
        8 bits as they are; of one or three bands also 16 bits and floating values in 0…1, by their own scale. Others
        from the 1st to the 99th percentile of the bands shown.
    """
    count = values.shape[2]
    if bands:
        chosen = [band - 1 for band in bands]
    elif count <= 3:
        chosen = [0, 1, 2] if count == 3 else [0]
    else:
        spread = [np.nanvar(values[..., band], dtype=np.float64) for band in range(count)]
        chosen = sorted(np.argsort(spread, kind="stable")[-3:].tolist())
    found = values[..., chosen]
    if values.dtype != np.uint8:
        found = np.nan_to_num(found.astype(np.float64), posinf=np.nan, neginf=np.nan)
        low, high = float(found.min()), float(found.max())
        if count in (1, 3) and values.dtype == np.uint16:
            found = found / 257
        elif count in (1, 3) and low >= 0 and high <= 1:
            found = found * 255
        else:
            low, high = np.percentile(found, (1, 99))
            found = (found - low) * (255 / max(high - low, 1e-12))
        found = np.clip(np.rint(found), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(found, (*found.shape[:2], 3)))


def on_white(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return values whose last band is their opacity laid on white, (H, W, C - 1), 0…255."""
    whole = in_bytes(values, "")
    share = whole[..., -1:] / 255
    return (whole[..., :-1] * share + 255 * (1 - share)).astype(np.float32)


def deep_png(image: Image.Image, again: BinaryIO) -> NDArray[Any] | None:
    """Return the 16-bit values (H, W, C) of a PNG, of which Pillow gives 8 where there are several bands; else None.

    Parameters
    ----------
    image : Image
        Opened, not yet loaded.
    again : file
        The same file, to be read a second time.
    """
    tile: Any = image.tile[0] if isinstance(image, ImageFile.ImageFile) and image.tile else None
    if image.format != "PNG" or tile is None or tile[3] not in ("RGB;16B", "RGBA;16B"):
        return None
    high = np.asarray(image).astype(np.uint16)
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    again.seek(0)
    # The unpacker for the other order of bytes takes the lower one of each pair.
    args = tile[3].replace("16B", "16L")
    with Image.open(again) as opened:
        low: Any = opened
        low.tile = [tile._replace(args=args) if hasattr(tile, "_replace") else (*tile[:3], args)]
        deep: NDArray[Any] = (high << np.uint16(8)) | np.asarray(low)
        return _turned(deep, orientation)


def is_tiff(start: bytes) -> bool:
    """Return whether a file that begins like this is a TIFF."""
    return start[:4] in _TIFF


def deep_tiff(stream: BinaryIO, name: str, most: int) -> NDArray[Any] | None:
    """Return the values (H, W, C) of a TIFF that Pillow would not give in full; None for any other.

    Bands are the samples of a pixel, or planes or channels that the file calls so; of pages, the first counts.

    Raises
    ------
    ImageError
        If it has more pixels than `most`, or is compressed in a way that needs another package.
    """
    import tifffile

    with tifffile.TiffFile(stream) as file:
        page: Any = file.pages[0]
        series = file.series[0]
        axes = series.axes
        bands = next((axis for axis in "SCQ" if axis in axes), "")
        count = series.shape[axes.index(bands)] if bands else 1
        alpha = any(int(one) in _ALPHA for one in page.extrasamples)
        coloured = int(page.photometric) not in (0, 1, 2)
        # Pillow knows colours of 8 bits, and one band of any depth.
        if coloured or count == 1 or (page.bitspersample <= 8 and bands == "S" and (count <= 3 or alpha)):
            return None
        if page.imagewidth * page.imagelength > most:
            raise ImageError(
                f"{name} is {page.imagewidth}×{page.imagelength} pixels, more than netviz decodes ({most:,}); "
                "scale it down"
            )
        if count > MOST_BANDS:
            raise ImageError(f"{name} has {count} bands; netviz takes 1 to {MOST_BANDS}")
        try:
            values = series.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            raise ImageError(
                f"{name} is compressed with {page.compression.name}: install imagecodecs with pip, or save it "
                "without compression"
            ) from None
        wanted = [axes.index(axis) for axis in ("Y", "X", bands)]
        others = [axis for axis in range(values.ndim) if axis not in wanted]
        values = values.transpose(*others, *wanted)[(0,) * len(others)]
        return _turned(as_bands(values, name), int(page.tags.valueof(274) or 1))


def _turned(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return values upright, by TIFF's orientation."""
    if orientation not in _TURNED:
        return values
    down, across, swapped = _TURNED[orientation]
    values = values.swapaxes(0, 1) if swapped else values
    return np.ascontiguousarray(values[::down, ::across])
