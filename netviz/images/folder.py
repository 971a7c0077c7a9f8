"""Lists of images: files, folders and scikit-image's photographs."""

import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netviz.errors import ImageError
from netviz.images.read import PHOTOGRAPHS, ImageLike, Images, Photo, array_images, is_array, locate
from netviz.images.remote import is_remote, list_remote
from netviz.results.choose import several
from netviz.results.files import write_bytes


def list_images(sources: Images) -> list[str | Path | Photo]:
    """Return the images that files and folders stand for.

    Parameters
    ----------
    sources : str, Path, Photo, PIL image, ndarray, Tensor, or iterable of these
        Files are kept as given; a folder gives every image file below it, by suffix, in sorted order;
        ``skimage:*`` gives scikit-image's photographs, ``package:NAME/PATH`` a file in an installed package, a URL or
        a Parquet file what lies there. Arrays and tensors are read; one of four axes is a batch.

    Returns
    -------
    list of str, Path or Photo
        Each can be given to `read_image`; none twice.

    Raises
    ------
    ImageError
        If there is no such image, or a folder holds none.
    """
    Image.init()
    suffixes = set(Image.EXTENSION) - {".pdf", ".mpg", ".mpeg", ".h5", ".hdf"} | {".npy"}
    found: list[str | Path | Photo] = []
    arrays = 0
    for source in each_source(sources):
        if not isinstance(source, str | Path):
            read = array_images(source, arrays + 1)
            arrays += len(read)
            found.extend(read)
        elif str(source) == "skimage:*":
            found.extend(f"skimage:{name}" for name in PHOTOGRAPHS)
        elif is_remote(source) and not Path(source).is_dir():
            found.extend(list_remote(source, suffixes))
        elif Path(source).is_dir():
            files = sorted(path for path in Path(source).rglob("*") if path.suffix.lower() in suffixes)
            if not files:
                raise ImageError(f"{source} holds no image; name a folder with PNG, JPEG or similar files")
            found.extend(files)
        else:
            locate(source)
            found.append(source)
    return list(dict.fromkeys(found))


def each_source(sources: Images) -> tuple[ImageLike, ...]:
    """Return what `list_images` is asked for, one or several, as a tuple."""
    return (sources,) if is_array(sources) else several(sources)


def array_files(
    sources: Iterable[str | Path | Photo], folder: Path
) -> tuple[list[str | Path], dict[Path, Photo]]:
    """Return names by which images can be read again, and what is to be written for that.

    Returns
    -------
    names : list of str or Path
        Those of files as they are; an array's is one below `folder`, by what it holds.
    files : dict of Path to Photo
        To be given to `write_arrays`.
    """
    names: list[str | Path] = []
    files: dict[Path, Photo] = {}
    for source in sources:
        if not isinstance(source, Photo):
            names.append(source)
        elif source.path:
            names.append(source.path)
        else:
            kept = hashlib.sha256(_stored(source).tobytes()).hexdigest()[:12]
            name = folder / "arrays" / kept / f"{source.name.replace('/', '_')}.npy"
            names.append(name)
            files[name] = source
    return names, files


def write_arrays(files: Mapping[Path, Photo]) -> None:
    """Write the images that `array_files` named."""
    for path, photo in files.items():
        buffer = io.BytesIO()
        np.save(buffer, _stored(photo), allow_pickle=False)
        write_bytes(path, buffer.getvalue())


def _stored(photo: Photo) -> NDArray[Any]:
    return photo.pixels if photo.values is None or photo.alpha else photo.values


def images_or_photographs(sources: Images) -> list[str | Path | Photo]:
    """Return what `list_images` does; without any source, scikit-image's photographs."""
    return list_images(sources) or list_images(["skimage:*"])


def class_names(
    images: Sequence[str | Path | Photo], sources: Images
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the classes that images belong to: by the folder that each lies in, else by its name.

    Parameters
    ----------
    images : sequence of str, Path or Photo
        What `list_images` gave.
    sources : str, Path, array, or iterable of these
        What it was asked for: a class is a folder below one of these.

    Returns
    -------
    names : tuple of str
        Sorted; empty if not every image has a class.
    numbers : tuple of int
        For each image the place of its class in `names`.
    """
    named = [source for source in each_source(sources) if isinstance(source, str | Path)]
    roots = [Path(source) for source in named if Path(source).is_dir() or "://" in str(source)]
    paths = [Path(one.path or one.name if isinstance(one, Photo) else one) for one in images]
    found = [_folder_class(path, roots) for path in paths]
    if not all(found):
        found = [_named_class(path.stem) for path in paths]
    if not all(found):
        return (), ()
    names = tuple(sorted(set(found)))
    place = {name: number for number, name in enumerate(names)}
    return names, tuple(place[name] for name in found)


def _folder_class(image: Path, roots: Sequence[Path]) -> str:
    """Return the folder of an image below one of the roots, or ""."""
    for root in roots:
        if image.is_relative_to(root):
            return "/".join(image.relative_to(root).parts[:-1])
    return ""


def _named_class(stem: str) -> str:
    """Return the class in a name such as ``n01440764_tench``, ``n01440764_18`` or ``tench_0042``, or ""."""
    if re.match(r"n\d{8}_", stem):
        return re.sub(r"_\d+$", "", stem)
    match = re.fullmatch(r"(.*\D)[_-]\d+", stem)
    return match[1] if match else ""
