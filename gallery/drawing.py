"""One saved result → its figure and a copy of its file, refusing what is not what the run says it is."""

import io
from pathlib import Path
from typing import TypeVar

from PIL import Image

from netviz.errors import ResultError
from netviz.paper.saving import encode_figure
from netviz.questions.drawing import figure
from netviz.questions.reader import load_result
from netviz.results.base import Result

from .manifest_parts import Picture
from .pictures import Write, png_size
from .plan import Plan

R = TypeVar("R", bound=Result)

# The arrays of a file from elsewhere need not fit together.
DAMAGED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What goes wrong where a file's arrays or facts do not fit together."""


def load_kind(path: Path, kind: type[R]) -> R:
    """Load a result that has to be of one kind.

    Raises
    ------
    ResultError
        If the file is missing or damaged, or holds another kind.
    """
    result = load_result(path)
    if not isinstance(result, kind):
        raise ResultError(f"{path} holds {result.kind}, not {kind.kind}; run the survey again")
    return result


QUALITY = 85
"""Of figures as JPEG: letters stay crisp, and they take a quarter of the bytes of a PNG."""


def write_figure(result: Result, path: Path, address: str, write: Write) -> Picture:
    """Draw a result as its command does and write it as PNG or JPEG.

    Parameters
    ----------
    result : Result
    path : Path
        Where it comes from, for the message.
    address : str
        Where it goes; its suffix, ``.png`` or ``.jpg``, chooses which.
    write : callable
        Takes the file's path and bytes.

    Raises
    ------
    ResultError
        If it cannot be drawn.
    """
    try:
        drawn = encode_figure(figure(result))
        picture = Picture(address, *png_size(drawn))
    except DAMAGED as error:
        raise damaged(path) from error
    write(address, drawn if address.endswith(".png") else _jpeg(drawn))
    return picture


def write_copy(path: Path, address: str, plan: Plan, write: Write) -> str | None:
    """Copy a result's file where that is small; return where it went."""
    if not plan.is_small(path):
        return None
    write(address, path.read_bytes())
    return address


def _jpeg(drawn: bytes) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(drawn)) as image:
        image.convert("RGB").save(buffer, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return buffer.getvalue()


def damaged(path: Path) -> ResultError:
    """Return the error of a file whose contents do not fit together."""
    return ResultError(f"{path} is damaged and cannot be drawn; run the survey again")
