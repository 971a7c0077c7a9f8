"""Read an image, whatever it is: a file of any format, mode, depth or orientation, an array, a tensor."""

import io
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from netviz.errors import ImageError, closest
from netviz.images.bands import as_bands, deep_png, deep_tiff, is_tiff, shown
from netviz.images.packaged import is_packaged, locate_packaged
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


@dataclass(frozen=True, eq=False)
class Photo:
    """An image as it was read, and as it is shown: 8-bit RGB, upright.

    Attributes
    ----------
    name : str
        The file's name without its suffix; of an array or tensor ``array 1``, its place among those given.
    pixels : ndarray of uint8, shape (H, W, 3)
        RGB, upright; transparency laid on white.
    path : str
        What it was read from, as it was named; empty for an image from elsewhere.
    values : ndarray of uint8, uint16 or float32, shape (H, W, C), or None
        Every band as it was read; None where `pixels` say all.
    alpha : bool
        Whether the last of these bands is opacity.
    """

    name: str
    pixels: NDArray[np.uint8]
    path: str = ""
    values: NDArray[Any] | None = None
    alpha: bool = False


class TensorLike(Protocol):
    """A tensor (C, H, W), known without torch."""

    def detach(self) -> Any:
        """Return it without its gradient."""


ImageLike: TypeAlias = str | Path | Photo | Image.Image | NDArray[Any] | TensorLike
"""What `read_image` reads."""

Images: TypeAlias = ImageLike | Iterable[ImageLike]
"""One or several; an array or tensor of four axes is as many as its first one says."""


def read_image(source: ImageLike) -> Photo:
    """Read an image; one that has been read already is returned as it is.

    Everything that Pillow opens: EXIF orientation is applied, palettes, grayscale, CMYK and alpha become RGB (alpha
    over white), of an animation the first frame is taken. More than 8 bits are kept, in PNG and TIFF and in NumPy's
    ``.npy``, and so are other bands than colours, up to 32 of them.

    Parameters
    ----------
    source : str, Path, Photo, PIL image, ndarray or Tensor
        A file, ``skimage:NAME`` for one of scikit-image's photographs, ``package:NAME/PATH`` for a file in an
        installed package (see `netviz.images.packaged`), or one of the names that `netviz.images.remote` knows; an
        array (H, W) or (H, W, C), or a tensor (C, H, W). 8 bits count to 255, 16 to 65535, other numbers to 1; if
        they do not all lie in 0…1, they are what the network takes before mean and standard deviation.

    Returns
    -------
    Photo
        To be shown 8-bit RGB; with the values where these are others.

    Raises
    ------
    ImageError
        If there is no such file, it is no image, it is damaged, or it is larger than `MAX_PIXELS`.
    """
    if isinstance(source, Photo):
        return source
    if not isinstance(source, str | Path):
        return array_images(source)[0]
    if is_remote(source):
        name = str(source)
        data = read_remote(name)
        with _as_image_error(name, len(data)), io.BytesIO(data) as stream:
            return _decode(stream, short_name(name), name)
    path = locate(source)
    with _as_image_error(path), path.open("rb") as stream:
        return _decode(stream, path.stem, str(source))


def as_shown(photo: Photo, bands: Sequence[int]) -> Photo:
    """Return an image with these of its bands shown, counted from 1; with none, or of colours, as it is."""
    if not bands or photo.values is None or photo.values.shape[2] in (1, 3):
        return photo
    if max(bands) > photo.values.shape[2]:
        raise ImageError(
            f"{photo.name} has {photo.values.shape[2]} bands; there is no band {max(bands)} to show"
        )
    return replace(photo, pixels=shown(photo.values, bands))


def is_array(source: object) -> bool:
    """Return whether something is a picture in memory: of Pillow, an array or a tensor, one or a batch."""
    return isinstance(source, Photo | Image.Image | np.ndarray) or _is_tensor(source)


def _is_tensor(source: object) -> bool:
    # Whoever has a tensor has loaded torch.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.Tensor)


def array_images(source: Any, first: int = 1) -> list[Photo]:
    """Return the images in an array or tensor, one or a batch, or in one of Pillow's.

    Parameters
    ----------
    source : Photo, PIL image, ndarray or Tensor
    first : int
        The number in the name of the first.

    Raises
    ------
    ImageError
        If it is none of these, or no image.
    """
    if isinstance(source, Photo):
        return [source]
    name = f"array {first}"
    if isinstance(source, Image.Image):
        named = getattr(source, "filename", "")
        name = Path(str(named)).stem if named else name
        with _as_image_error(name, 1):
            return [_photo(source, name)]
    tensor = _is_tensor(source)
    if not tensor and not isinstance(source, np.ndarray):
        raise ImageError(
            f"a {type(source).__name__} is no image; give a path, a PIL image, an array (H, W, C) or a tensor "
            "(C, H, W)"
        )
    array = source.detach().cpu() if tensor else source
    if tensor:
        array = (array.float() if array.is_floating_point() else array).numpy()
    batch = array if array.ndim == 4 else array[None]
    if not len(batch):
        raise ImageError(f"{name} has the shape {'×'.join(map(str, array.shape))}: there is no image in it")
    names = [f"array {first + place}" for place in range(len(batch))]
    return [
        _of_values(as_bands(one, name, first=tensor), name) for one, name in zip(batch, names, strict=True)
    ]


def _of_values(values: NDArray[Any], name: str, path: str = "") -> Photo:
    """Return an image by its values, which are kept where its pixels do not say all."""
    _check_size(values.shape[1], values.shape[0], name)
    plain = values.dtype == np.uint8 and values.shape[2] in (1, 3)
    return Photo(name, shown(values), path, None if plain else values)


def image_size(source: ImageLike) -> tuple[int, int]:
    """Return the height and width of an image, upright, of most files from the header alone.

    Raises
    ------
    ImageError
        If there is no such file, or it is no image.
    """
    if not isinstance(source, str | Path):
        height, width = read_image(source).pixels.shape[:2]
        return height, width
    path = locate(source)
    try:
        with _as_image_error(path), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                width, height = image.size
                turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
                return (width, height) if turned else (height, width)
    except ImageError:
        # Arrays, and TIFFs of more bands than Pillow knows.
        return image_size(read_image(source))


def _decode(stream: BinaryIO, name: str, path: str) -> Photo:
    """Return the image in a file."""
    start = stream.read(8)
    stream.seek(0)
    if start.startswith(b"\x93NUMPY"):
        array = np.lib.format.read_array(stream, allow_pickle=False)
        return _of_values(as_bands(array, path), name, path)
    if is_tiff(start):
        values = deep_tiff(stream, path, MAX_PIXELS)
        stream.seek(0)
        if values is not None:
            return _of_values(values, name, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(stream) as image:
            _check_size(image.width, image.height, path)
            return _photo(image, name, path, deep_png(image, stream))


def _check_size(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{name} is {width}×{height} pixels, more than netviz decodes ({MAX_PIXELS:,}); scale it down"
        )


def _photo(image: Image.Image, name: str, path: str = "", deep: NDArray[Any] | None = None) -> Photo:
    """Return an image of Pillow's, in any of its modes; its values are given where it lacks their depth."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
        deep = np.asarray(upright)
        if upright.mode != "F" and (upright.mode != "I" or image.format == "PNG"):
            deep = deep.astype(np.uint16)
        return _of_values(as_bands(deep, name), name, path)
    alpha = upright.mode == "RGBA"
    if alpha and deep is None:
        deep = np.asarray(upright)
    return Photo(name, _rgb(upright), path, deep, alpha)


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
    if is_packaged(text):
        return locate_packaged(text)
    path = Path(source)
    if path.is_dir():
        raise ImageError(f"{path} is a folder; name an image in it")
    if not path.exists():
        near = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise ImageError(f"no such image: {path}{closest(path.name, near)}")
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
    """Return 8-bit RGB pixels of an image in any of Pillow's modes of 8 bits."""
    if image.mode in ("LA", "La", "PA", "RGBa") or (
        image.mode in ("P", "RGB", "L") and "transparency" in image.info
    ):
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))
