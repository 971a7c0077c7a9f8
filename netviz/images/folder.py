"""Lists of images: files, folders and scikit-image's photographs."""

from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from netviz.errors import ImageError
from netviz.images.read import PHOTOGRAPHS


def list_images(sources: Iterable[str | Path]) -> list[str | Path]:
    """Return the images that files and folders stand for.

    Parameters
    ----------
    sources : iterable of str or Path
        Files are kept as given; a folder gives every image file below it, by suffix, in sorted order;
        ``skimage:*`` gives scikit-image's photographs.

    Returns
    -------
    list of str or Path
        Each can be given to `read_image`; none twice.

    Raises
    ------
    ImageError
        If a folder holds no image.
    """
    Image.init()
    suffixes = set(Image.EXTENSION) - {".pdf", ".mpg", ".mpeg", ".h5", ".hdf"}
    found: list[str | Path] = []
    for source in sources:
        if str(source) == "skimage:*":
            found.extend(f"skimage:{name}" for name in PHOTOGRAPHS)
        elif Path(source).is_dir():
            files = sorted(path for path in Path(source).rglob("*") if path.suffix.lower() in suffixes)
            if not files:
                raise ImageError(f"{source} holds no image; name a folder with PNG, JPEG or similar files")
            found.extend(files)
        else:
            found.append(source)
    return list(dict.fromkeys(found))
