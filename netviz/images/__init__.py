"""Read images of every kind, and turn them into what a network takes and back.

Reading needs no torch; what does is imported when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from netviz.images.folder import class_names, images_or_photographs, list_images
from netviz.images.read import MAX_PIXELS, PHOTOGRAPHS, Photo, image_size, read_image

if TYPE_CHECKING:
    from netviz.images.preparation import (
        Prepared,
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
    "Photo",
    "Prepared",
    "class_names",
    "display",
    "image_size",
    "images_or_photographs",
    "list_images",
    "normalize",
    "normalize_batch",
    "placement",
    "prepare",
    "prepare_pixels",
    "read_image",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("netviz.images.preparation"), name)
    raise AttributeError(f"module 'netviz.images' has no attribute {name!r}")
