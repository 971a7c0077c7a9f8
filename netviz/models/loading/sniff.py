"""Look at a file before opening it: whether it is there, and what its first bytes say."""

from pathlib import Path

from netviz.errors import ModelError, closest

FORMATS = ".pt, .pth, .pt2 or .safetensors"

_OTHER_FORMATS = {
    b"\x89HDF": "an HDF5 file", b"\x1f\x8b": "compressed with gzip; unpack it first",
    b"BZh": "compressed with bzip2; unpack it first", b"\xfd7zXZ": "compressed with xz; unpack it first",
    b"\x89PNG": "a PNG image", b"\xff\xd8\xff": "a JPEG image", b"GIF8": "a GIF image",
    b"%PDF": "a PDF document", b"\x93NUMPY": "a NumPy array", b"\x7fELF": "a program",
}  # fmt: skip

# The fields of ONNX's ModelProto by number, with their wire types: 0 a number, 2 what has a length.
_ONNX = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_GRAPH = 7


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
    return closest(path.name, names)


def guess(head: bytes) -> str:
    """Say what a file that is no checkpoint seems to be."""
    for magic, kind in _OTHER_FORMATS.items():
        if head.startswith(magic):
            return kind
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer"
    if is_onnx(head):
        return "an ONNX model"
    return "text" if _is_text(head) else "of no known format"


def remedy(head: bytes) -> str:
    """Say what to do about a file that is no checkpoint."""
    if head.startswith(b"version https://git-lfs"):
        return "the weights themselves come with git lfs pull"
    if is_onnx(head):
        return "an ONNX model is a network by itself; give it as MODEL, without weights"
    if _is_text(head):
        return "the download went wrong, get the file again from its source"
    return f"give a file saved as {FORMATS}"


def is_onnx(head: bytes) -> bool:
    """Return whether a file begins as an ONNX model does: a protocol buffer of its fields, up to the graph."""
    place, seen = 0, set()
    while place < len(head):
        key, place = _varint(head, place)
        field, wire = key >> 3, key & 7
        if _ONNX.get(field) != wire:
            return False
        seen.add(field)
        if field == _GRAPH:
            return True
        value, place = _varint(head, place)
        place += value if wire == 2 else 0
    # Descriptions may be longer than what was read of the file.
    return {1, 8} & seen != set() and len(seen) > 1


def _varint(head: bytes, place: int) -> tuple[int, int]:
    """Return the number at a place of a protocol buffer, and where the next one begins."""
    value = 0
    for shift, byte in enumerate(head[place : place + 10]):
        value |= (byte & 127) << (7 * shift)
        if byte < 128:
            return value, place + shift + 1
    return value, len(head)


def _is_text(head: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\n\r\f" for byte in head)
