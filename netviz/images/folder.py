"""Lists of images: files, folders and scikit-image's photographs."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from netviz.errors import ImageError
from netviz.images.read import PHOTOGRAPHS, locate
from netviz.images.remote import is_remote, list_remote
from netviz.results.choose import several


def list_images(sources: str | Path | Iterable[str | Path]) -> list[str | Path]:
    """Return the images that files and folders stand for.

    Parameters
    ----------
    sources : str, Path, or iterable of these
        Files are kept as given; a folder gives every image file below it, by suffix, in sorted order;
        ``skimage:*`` gives scikit-image's photographs, a URL or a Parquet file what lies there.

    Returns
    -------
    list of str or Path
        Each can be given to `read_image`; none twice.

    Raises
    ------
    ImageError
        If there is no such image, or a folder holds none.
    """
    Image.init()
    suffixes = set(Image.EXTENSION) - {".pdf", ".mpg", ".mpeg", ".h5", ".hdf"}
    found: list[str | Path] = []
    for source in several(sources):
        if str(source) == "skimage:*":
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


def images_or_photographs(sources: str | Path | Iterable[str | Path]) -> list[str | Path]:
    """Return what `list_images` does; without any source, scikit-image's photographs."""
    return list_images(sources) or list_images(["skimage:*"])


def class_names(
    images: Sequence[str | Path], sources: str | Path | Iterable[str | Path]
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the classes that images belong to: by the folder that each lies in, else by its name.

    Parameters
    ----------
    images : sequence of str or Path
        What `list_images` gave.
    sources : str, Path, or iterable of these
        What it was asked for: a class is a folder below one of these.

    Returns
    -------
    names : tuple of str
        Sorted; empty if not every image has a class.
    numbers : tuple of int
        For each image the place of its class in `names`.
    """
    roots = [Path(source) for source in several(sources) if Path(source).is_dir() or "://" in str(source)]
    found = [_folder_class(Path(image), roots) for image in images]
    if not all(found):
        found = [_named_class(Path(image).stem) for image in images]
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
