"""One saved result → its figure as JPEG, refusing what is not what the run says it is."""

import io
import tempfile
from pathlib import Path
from typing import TypeVar

from PIL import Image

from netviz import render
from netviz.errors import ResultError
from netviz.results import Result, load_result

from .manifest_parts import Picture
from .pictures import Write

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
    """Draw a result as its command does and write it as JPEG.

    Parameters
    ----------
    result : Result
    path : Path
        Where it comes from, for the message.
    address : str
        Where it goes.
    write : callable
        Takes the file's path and bytes.

    Raises
    ------
    ResultError
        If it cannot be drawn.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="netviz-") as folder:
            drawn = render.save_figure(render.figure(result), Path(folder) / "figure.png").read_bytes()
    except DAMAGED as error:
        raise damaged(path) from error
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(drawn)) as image:
        size = image.size
        image.convert("RGB").save(buffer, "JPEG", quality=QUALITY, optimize=True)
    write(address, buffer.getvalue())
    return Picture(address, *size)


def damaged(path: Path) -> ResultError:
    """Return the error of a file whose contents do not fit together."""
    return ResultError(f"{path} is damaged and cannot be drawn; run the survey again")
