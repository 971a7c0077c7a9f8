"""Read images of every kind, and turn them into what a network takes and back."""

from netviz.images.folder import list_images
from netviz.images.prepare import Prepared, display, normalize, prepare
from netviz.images.read import MAX_PIXELS, PHOTOGRAPHS, Photo, read_image

__all__ = [
    "MAX_PIXELS",
    "PHOTOGRAPHS",
    "Photo",
    "Prepared",
    "display",
    "list_images",
    "normalize",
    "prepare",
    "read_image",
]
