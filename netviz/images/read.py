"""Read an image file as 8-bit RGB, whatever its format, mode, depth or orientation."""

import difflib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from netviz.errors import ImageError
from netviz.images.remote import is_remote, read_remote, short_name

MAX_PIXELS = 150_000_000
"""The largest image that is decoded, in pixels: a small file can claim any size."""

PHOTOGRAPHS = (
    "astronaut",
    "camera",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "hubble_deep_field",
    "motorcycle_left",
    "rocket",
)
"""Photographs that come with scikit-image, named ``skimage:chelsea``."""


@dataclass(frozen=True)
class Photo:
    """An image as it is shown: 8-bit RGB, upright.

    Attributes
    ----------
    name : str
        The file's name without its suffix.
    pixels : ndarray of uint8, shape (H, W, 3)
        RGB, upright; transparency laid on white.
    path : str
        What it was read from, as it was named; empty for an image from elsewhere.
    """

    name: str
    pixels: NDArray[np.uint8]
    path: str = ""


def read_image(source: str | Path | Photo) -> Photo:
    """Read an image; one that has been read already is returned as it is.

    Everything that Pillow opens: EXIF orientation is applied, palettes, grayscale, CMYK and alpha become RGB (alpha
    over white), 16-bit and floating values are scaled to 8 bits, of an animation the first frame is taken.

    Parameters
    ----------
    source : str, Path or Photo
        A file, ``skimage:NAME`` for one of scikit-image's photographs, or one of the names that
        `netviz.images.remote` knows.

    Returns
    -------
    Photo
        8-bit RGB.

    Raises
    ------
    ImageError
        If there is no such file, it is no image, it is damaged, or it is larger than `MAX_PIXELS`.
    """
    if isinstance(source, Photo):
        return source
    if is_remote(source):
        name = str(source)
        data = read_remote(name)
        with _as_image_error(name, len(data)), io.BytesIO(data) as stream:
            return Photo(short_name(name), _decode(stream, name), name)
    path = locate(source)
    with _as_image_error(path), path.open("rb") as stream:
        return Photo(path.stem, _decode(stream, path), str(source))


def image_size(path: str | Path) -> tuple[int, int]:
    """Return the height and width of an image file, upright, from its header alone.

    Raises
    ------
    ImageError
        If there is no such file, or it is no image.
    """
    path = locate(path)
    with _as_image_error(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            return (width, height) if turned else (height, width)


def _decode(stream: BinaryIO, name: str | Path) -> NDArray[np.uint8]:
    """Return the pixels of an image file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(stream) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageError(
                    f"{name} is {width}×{height} pixels, more than netviz decodes ({MAX_PIXELS:,}); scale it down"
                )
            image.load()
            return _rgb(ImageOps.exif_transpose(image))


def locate(source: str | Path) -> Path:
    """Return the file of an image that is no URL and in no Parquet file, without opening it.

    Raises
    ------
    ImageError
        If there is none, naming the closest.
    """
    text = str(source)
    if text.startswith("skimage:"):
        name = text.removeprefix("skimage:")
        folder = Path(str(resources.files("skimage") / "data"))
        found = [path for path in (folder / f"{name}.png", folder / f"{name}.jpg") if path.is_file()]
        if not found or Path(name).name != name:
            raise ImageError(f"scikit-image has no photograph {name!r}; it has {', '.join(PHOTOGRAPHS)}")
        return found[0]
    path = Path(source)
    if path.is_dir():
        raise ImageError(f"{path} is a folder; name an image in it")
    if not path.exists():
        near = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        close = difflib.get_close_matches(path.name, near, n=2)
        raise ImageError(
            f"no such image: {path}" + (f"; did you mean {' or '.join(close)}?" if close else "")
        )
    return path


@contextmanager
def _as_image_error(path: str | Path, size: int | None = None) -> Iterator[None]:
    """Turn what Pillow raises on a bad file, of some bytes, into one line that names it."""
    try:
        yield
    except ImageError:
        raise
    except UnidentifiedImageError:
        empty = (Path(path).stat().st_size if size is None else size) == 0
        problem = "is empty" if empty else "is no image that Pillow can read"
        raise ImageError(f"{path} {problem}; give a PNG, JPEG, TIFF, WebP or similar") from None
    except Image.DecompressionBombError:
        raise ImageError(
            f"{path} claims more pixels than netviz decodes ({MAX_PIXELS:,}); scale it down"
        ) from None
    except MemoryError:
        raise ImageError(f"{path} does not fit into memory; scale it down") from None
    except PermissionError:
        raise ImageError(f"{path} may not be read; check its permissions") from None
    except Exception as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ImageError(f"{path} is damaged or truncated ({text}); get it again or leave it out") from error


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Return 8-bit RGB pixels of an image in any of Pillow's modes."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _from_deep(np.asarray(image), image.mode)
    if image.mode in ("LA", "La", "PA", "RGBa") or (
        image.mode in ("P", "RGB", "L") and "transparency" in image.info
    ):
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))


def _from_deep(values: NDArray[Any], mode: str) -> NDArray[np.uint8]:
    """Scale 16-bit, 32-bit or floating gray values to 8 bits.

    Integers keep their scale: 16 bits are divided by 257. Floating values in 0…1 are multiplied by 255; other
    ranges are stretched to it.
    """
    values = np.nan_to_num(values.astype(np.float64))
    low, high = float(values.min()), float(values.max())
    if mode == "F" and low >= 0 and high <= 1:
        gray = values * 255
    elif mode != "F" and low >= 0 and high <= 65535:
        gray = values / 257 if mode.startswith("I;16") or high > 255 else values
    else:
        gray = (values - low) * (255 / max(high - low, 1e-12))
    return np.repeat(np.rint(gray).astype(np.uint8)[..., None], 3, axis=2)
