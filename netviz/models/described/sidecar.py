"""``WEIGHTS.netviz.json``: what a user said of a network once, kept beside its weights and read from then on."""

import json
from pathlib import Path
from typing import Any

from netviz.errors import ModelError, OutputError
from netviz.models.described.description import Description, typed
from netviz.results.files import write_bytes

SUFFIX = ".netviz.json"

_LARGEST = 16 * 2**20  # bytes

_KNOWN = ("mean", "std", "input_scale", "channel_order", "labels", "bands")


def sidecar(weights: str | Path) -> Path:
    """Return the file that belongs to a file or folder of weights; one that is such a file itself is returned."""
    path = Path(weights)
    path = path if path.name else path.resolve()
    return path if path.name.endswith(SUFFIX) else path.with_name(path.name + SUFFIX)


def read_sidecar(weights: Path) -> Description:
    """Read what was saved beside weights; a description that says nothing where there is none.

    Raises
    ------
    ModelError
        If the file is damaged, or says what netviz does not know.
    """
    path = sidecar(weights)
    try:
        if not path.is_file():
            return Description()
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"it is larger than {_LARGEST >> 20} MB")
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError("it is no JSON object")
        unknown = next((name for name in value if name not in _KNOWN), None)
        if unknown is not None:
            raise ValueError(f"it says {unknown!r:.40}; it may say {', '.join(_KNOWN)}")
        if not isinstance(value.get("labels", []), list | dict):
            raise ValueError("its labels are no list")
        return typed(**value)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"{path} cannot be used ({error}): mend or remove it") from error


def write_sidecar(weights: str | Path, said: Description) -> Path:
    """Save what a user says beside weights, together with what was saved there before.

    Parameters
    ----------
    weights : str or Path
        The file or folder of the weights, or the file itself that is to be written.
    said : Description
        What counts more than what is there.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    ModelError
        If nothing is said, what is there is damaged, or there are no such weights.
    OutputError
        If it cannot be written.
    """
    path = sidecar(weights)
    if not said:
        raise ModelError(
            f"nothing to save in {path}: say it with --mean, --std, --input-scale, --channel-order, --labels or "
            "--bands"
        )
    if path != Path(weights) and not Path(weights).exists():
        raise ModelError(f"no such file: {weights}; name the weights beside which {path.name} is to be kept")
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder")
    whole = said.over(read_sidecar(path))
    values: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in vars(whole).items()
        if name in _KNOWN and value not in (None, ())
    }
    text = json.dumps(values, indent=1, ensure_ascii=False)
    return write_bytes(path, f"{text}\n".encode())
