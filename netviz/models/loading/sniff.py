"""Look at a file before opening it: whether it is there, and what its first bytes say."""

import difflib
import re
from pathlib import Path

from netviz.errors import ModelError

FORMATS = ".pt, .pth, .pt2 or .safetensors"

_OTHER_FORMATS = {
    b"\x89HDF": "an HDF5 file", b"\x1f\x8b": "compressed with gzip; unpack it first",
    b"BZh": "compressed with bzip2; unpack it first", b"\xfd7zXZ": "compressed with xz; unpack it first",
    b"\x89PNG": "a PNG image", b"\xff\xd8\xff": "a JPEG image", b"GIF8": "a GIF image",
    b"%PDF": "a PDF document", b"\x93NUMPY": "a NumPy array", b"\x7fELF": "a program",
}  # fmt: skip

# A protocol buffer: its version, then the name of what wrote it, the graph or the operators' version.
_ONNX = rb"\x08[\x01-\x1f][\x12\x3a\x42]"


def read_head(path: Path) -> tuple[bytes, int]:
    """Return the first bytes of a file, and its size in bytes.

    Raises
    ------
    ModelError
        If there is no such file, or it is a folder, no ordinary file, not readable or empty.
    """
    try:
        if path.is_dir():
            raise ModelError(f"{path} is a folder: name a checkpoint in it ({FORMATS})")
        if path.exists() and not path.is_file():
            raise ModelError(f"{path} is no ordinary file: name a checkpoint ({FORMATS})")
        with path.open("rb") as stream:
            head = stream.read(512)
        size = path.stat().st_size
    except FileNotFoundError:
        raise ModelError(f"no such file: {path}{_nearby(path)}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"cannot read {path}: {reason}") from error
    if not head:
        raise ModelError(f"{path} is empty: get the file again from its source")
    return head, size


def _nearby(path: Path) -> str:
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return f" (there is no folder {path.parent} either)"
    close = difflib.get_close_matches(path.name, names, n=3)
    return f"; the closest there: {', '.join(close)}" if close else ""


def guess(head: bytes) -> str:
    """Say what a file that is no checkpoint seems to be."""
    for magic, kind in _OTHER_FORMATS.items():
        if head.startswith(magic):
            return kind
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer"
    if re.match(_ONNX, head):
        return "an ONNX model"
    return "text" if _is_text(head) else "of no known format"


def remedy(head: bytes) -> str:
    """Say what to do about a file that is no checkpoint."""
    if head.startswith(b"version https://git-lfs"):
        return "the weights themselves come with git lfs pull"
    if re.match(_ONNX, head):
        return (
            f"netviz follows networks in PyTorch; give the one that it was exported from, saved as {FORMATS}"
        )
    if _is_text(head):
        return "the download went wrong, get the file again from its source"
    return f"give a file saved as {FORMATS}"


def _is_text(head: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\n\r\f" for byte in head)
