"""Open a folder of labelled images, of whichever layout."""

from collections.abc import Collection
from pathlib import Path

from netviz.errors import ImageError
from netviz.images.folder import list_images
from netviz.images.labelled.labels import LabelSet
from netviz.results.choose import several


def open_labelled(folder: str | Path, *, void: int | Collection[int] = ()) -> LabelSet:
    """Open a folder of labelled images, of whichever layout.

    Parameters
    ----------
    folder : str or Path
        With ``images/``, ``labels/`` (masks whose values are class numbers, named like the images) and perhaps
        ``classes.txt`` (a name a line); with VOC's ``JPEGImages``, ``SegmentationClass`` and ``ImageSets``; with
        Broden's ``index.csv``, ``label.csv`` and ``category.csv``; or images alone: then concepts are colours.
    void : int or collection of int
        Values of masks that count nowhere, besides 255.

    Raises
    ------
    ImageError
        If it is none of these, or its lists do not fit together.
    """
    from netviz.images.labelled.broden import open_broden
    from netviz.images.labelled.colours import Colours
    from netviz.images.labelled.masks import open_masks, open_voc

    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(
            f"{folder} is no folder; name one with images/ and labels/, VOC's or Broden's, or of images"
        )
    if (folder / "index.csv").is_file():
        return open_broden(folder)
    if (folder / "SegmentationClass").is_dir():
        return open_voc(folder, several(void))
    if (folder / "labels").is_dir():
        return open_masks(folder, several(void))
    return Colours(tuple(Path(str(one)) for one in list_images([folder])))
