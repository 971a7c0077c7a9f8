"""Make the kept index of all builders of torchvision and timm: ``python -m netviz.models.recognition.make``."""

import contextlib
import json
import lzma
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from multiprocessing import get_context
from typing import TypeAlias

import numpy as np

from netviz.errors import ModelError
from netviz.models.builders import import_timm, torchvision_names
from netviz.models.recognition.index import DATA
from netviz.models.recognition.signatures import Signature, behaviour, build_bare, describe, heads

Row: TypeAlias = tuple[Signature, tuple[str, ...], tuple[str, str]]
"""What is kept of a network: its signature, its heads, and two digests of what it computes."""

_OTHER_CLASSES = 7  # unlike any builder's own number

OPTIONS = {
    "googlenet": {"aux_logits": False},
    "inception_v3": {"aux_logits": False},
    "fcn_": {"aux_loss": True},
    "deeplabv3_": {"aux_loss": True},
}
"""By the beginning of a builder's name what only some of its networks have."""


def names() -> list[str]:
    """Return all builders, torchvision's first; the plainest name of those that may be alike comes first."""
    timm = [f"timm:{name}" for name in import_timm().list_models()]
    return [*sorted(torchvision_names(), key=_plain), *sorted(timm, key=_plain)]


def _plain(name: str) -> tuple[int, str]:
    return len(name), name


def rows(builder: str) -> list[Row]:
    """Return for a builder, and each of its options, the signature, the heads and the behaviour.

    Raises
    ------
    ModelError
        If it cannot be built.
    """
    found: list[Row] = []
    for arguments in ({}, *(value for start, value in OPTIONS.items() if builder.startswith(start))):
        network = build_bare(builder, **arguments)
        known, other = describe(builder, network, dict(arguments)), None
        with contextlib.suppress(ModelError):
            # Builders that differ in their number of classes alone compute the same.
            network = build_bare(builder, num_classes=_OTHER_CLASSES, **arguments)
            other = describe(builder, network, {})
        found.append((replace(known, metadata={}), heads(known, other), behaviour(network)))
    return found


def _rows_or_reason(builder: str) -> list[Row] | str:
    try:
        return rows(builder)
    except ModelError as error:
        return str(error)


def pack(found: list[Row], versions: dict[str, str]) -> bytes:
    """Return the index as the bytes of its file: a line of JSON, then which names and shapes each network has."""
    words: dict[str, int] = {}
    sizes: dict[tuple[int, ...], int] = {}
    keys, shapes, entries = [], [], []
    for known, head, does in found:
        entries.append(
            [
                known.builder,
                known.arguments,
                known.classes,
                head,
                sorted(known.transient),
                does,
                len(known.shapes),
            ]
        )
        keys += [words.setdefault(key, len(words)) for key in known.shapes]
        shapes += [sizes.setdefault(shape, len(sizes)) for shape in known.shapes.values()]
    header = {"versions": versions, "builders": entries, "names": [*words], "shapes": [*sizes]}
    steps = np.diff(np.array(keys), prepend=0).astype("<i4")
    data = json.dumps(header, separators=(",", ":")).encode() + b"\n"
    return lzma.compress(
        data + steps.tobytes() + np.array(shapes, dtype="<u2").tobytes(), preset=9 | lzma.PRESET_EXTREME
    )


def main() -> None:
    """Build every network on the meta device and write the index."""
    found: list[Row] = []
    everything = names()
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for number, made in enumerate(pool.map(_rows_or_reason, everything, chunksize=8)):
            if isinstance(made, str):
                print(f"left out: {made}", file=sys.stderr)
            else:
                found += made
            if number % 100 == 0:
                print(f"{number} of {len(everything)}", file=sys.stderr)
    data = pack(found, {library: version(library) for library in ("torchvision", "timm")})
    DATA.parent.mkdir(exist_ok=True)
    DATA.write_bytes(data)
    print(f"wrote {DATA}: {len(found)} networks, {len(data)} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
