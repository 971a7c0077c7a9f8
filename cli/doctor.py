"""``netviz doctor``."""

import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from netviz._version import __version__

from .options import debug_option, json_option
from .output import print_json, print_lines

LIBRARIES = ("torch", "torchvision", "numpy", "numba", "matplotlib", "scikit-image")
"""Distributions whose versions decide what netviz can do, or how fast."""


@dataclass(frozen=True)
class Extra:
    """An extra of netviz: the distribution that it brings, and what can be asked with it."""

    distribution: str
    adds: str


EXTRAS: Mapping[str, Extra] = {
    "timm": Extra("timm", "timm:NAME and checkpoints of timm's networks"),
    "onnx": Extra("onnx2torch", ".onnx files"),
    "hf": Extra("transformers", "folders of transformers and hf:OWNER/NAME"),
    "ray": Extra("ray", "--engine ray, and images in Parquet files"),
}


def version(distribution: str) -> str | None:
    """Return a distribution's version, or None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def examine() -> dict[str, Any]:
    """Return what netviz finds on this machine, as ``netviz doctor --json`` prints it."""
    import torch

    return {
        "netviz": __version__,
        "python": platform.python_version(),
        # Torch itself also says for which devices it was built.
        "libraries": {name: version(name) for name in LIBRARIES} | {"torch": str(torch.__version__)},
        "torchvision": _torchvision(),
        "devices": _devices(),
        "weights": _weights(),
        "cache": _cache(),
        "extras": {
            name: {"installed": version(extra.distribution), "adds": extra.adds}
            for name, extra in EXTRAS.items()
        },
    }


def _torchvision() -> str:
    from netviz.errors import ModelError
    from netviz.models.torchvision_import import compiled_operators

    try:
        whole = compiled_operators()
    except ModelError as error:
        return str(error)
    if whole:
        return "complete"
    return "its compiled operators do not fit this torch: networks work, but detectors' boxes (nms) do not"


def _devices() -> dict[str, str]:
    import torch

    found = {"cpu": f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"}
    for number in range(torch.cuda.device_count()):
        found[f"cuda:{number}"] = torch.cuda.get_device_name(number)
    if torch.backends.mps.is_available():
        found["mps"] = "Apple's graphics processor"
    return found


def _weights() -> dict[str, dict[str, str | None]]:
    """Return for each known network where its weights lie, or what is to be done."""
    from netviz.errors import ModelError
    from netviz.models.known.networks import KNOWN, PACKAGED_BUILDERS
    from netviz.models.known.weights import PackagedFile

    def look(file: PackagedFile) -> dict[str, str | None]:
        try:
            return {"file": str(file.locate()), "missing": None}
        except ModelError as error:
            return {"file": None, "missing": str(error)}

    files = {**PACKAGED_BUILDERS, **{name: known.file for name, known in KNOWN.items()}}
    return {name: look(file) for name, file in files.items()}


def _cache() -> dict[str, Any]:
    """Return where torchvision keeps weights that it has downloaded, and which are there."""
    import torch

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    return {"folder": str(folder), "files": sorted(file.name for file in folder.glob("*.pth"))}


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"netviz {found['netviz']}, Python {found['python']}"
    yield "libraries    " + ", ".join(
        f"{name} {one or 'missing'}" for name, one in found["libraries"].items()
    )
    yield f"torchvision  {found['torchvision']}"
    yield "devices      " + "; ".join(f"{name} ({told})" for name, told in found["devices"].items())
    weights = found["weights"]
    there = [name for name, one in weights.items() if one["file"]]
    yield f"weights      {', '.join(there) or 'none of the known networks'}"
    for name, one in weights.items():
        if not one["file"]:
            yield f"             {name}: {one['missing']}"
    kept = found["cache"]["files"]
    yield f"downloaded   {', '.join(kept) or 'nothing'} ({found['cache']['folder']})"
    for name, extra in found["extras"].items():
        state = extra["installed"] or f"missing, pip install 'netviz[{name}]' adds"
        yield f"extra {name:<7}{state}: {extra['adds']}"


@click.command()
@json_option
@debug_option
def doctor(as_json: bool) -> None:
    """Tell what netviz finds on this machine: versions, devices, weights, and what each extra adds.

    Nothing is downloaded and nothing is changed. It is what a report of a problem should hold.
    """
    found = examine()
    if as_json:
        print_json(found)
    else:
        print_lines(_lines(found))
