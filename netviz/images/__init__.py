"""Read images of every kind, and turn them into what a network takes and back.

Reading needs no torch; what does is imported when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from netviz.images.folder import (
    array_files,
    class_names,
    each_source,
    images_or_photographs,
    list_images,
    write_arrays,
)
from netviz.images.read import (
    MAX_PIXELS,
    PHOTOGRAPHS,
    ImageLike,
    Images,
    Photo,
    as_shown,
    image_size,
    read_image,
)

if TYPE_CHECKING:
    from netviz.images.preparation import (
        Prepared,
        Values,
        display,
        normalize,
        normalize_batch,
        placement,
        prepare,
        prepare_pixels,
    )

__all__ = [
    "MAX_PIXELS",
    "PHOTOGRAPHS",
    "ImageLike",
    "Images",
    "Photo",
    "Prepared",
    "Values",
    "array_files",
    "as_shown",
    "class_names",
    "display",
    "each_source",
    "image_size",
    "images_or_photographs",
    "list_images",
    "normalize",
    "normalize_batch",
    "placement",
    "prepare",
    "prepare_pixels",
    "read_image",
    "write_arrays",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("netviz.images.preparation"), name)
    raise AttributeError(f"module 'netviz.images' has no attribute {name!r}")
