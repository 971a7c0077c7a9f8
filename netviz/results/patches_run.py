"""A run's folder, as `netviz patches` leaves it: read without torch, and believed only after a look."""

import difflib
import fnmatch
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from netviz.errors import LayerError, ResultError
from netviz.results.base import Result, load_result
from netviz.results.base import report as facts_of
from netviz.results.patches import PatchesResult
from netviz.results.patches_check import check_patches

_LARGEST = 1 << 30
"""Most bytes of a run.json, which names every skipped image."""


@dataclass(frozen=True)
class RunLayer:
    """A layer of a run.

    Attributes
    ----------
    name, alias, kind : str
        Dotted name, classic alias, kind of layer.
    channels : int
        How many units it has.
    file : str
        Its NPZ inside the run's folder: ``layers/NAME.npz``.
    """

    name: str
    alias: str
    kind: str
    channels: int
    file: str


@dataclass(frozen=True)
class PatchesRun:
    """What `netviz patches` found.

    Attributes
    ----------
    folder : Path
    facts : dict
        ``run.json``: network, options, versions, fingerprints, counts, skipped images.
    layers : tuple of RunLayer
        In running order.
    """

    folder: Path
    facts: dict[str, Any]
    layers: tuple[RunLayer, ...]

    def choose(self, spec: str | None = None) -> RunLayer:
        """Return the layer that a name, an alias, a glob or ``-1`` means; a run's only layer needs none.

        Raises
        ------
        LayerError
            If there is none, naming the closest, or several.
        """
        listed = _some([_called(layer) for layer in self.layers])
        if spec is None:
            if len(self.layers) > 1:
                raise LayerError(
                    f"{self.folder} holds {len(self.layers)} layers: {listed}; choose one with --layer"
                )
            return self.layers[0]
        if re.fullmatch(r"-\d{1,9}", spec):
            if -int(spec) > len(self.layers) or int(spec) == 0:
                raise LayerError(f"no layer {spec} in {self.folder}: it holds {len(self.layers)}")
            return self.layers[int(spec)]
        for same in (str, str.casefold):
            for of in ("name", "alias"):
                for layer in self.layers:
                    if same(getattr(layer, of)) == same(spec):
                        return layer
        if any(mark in spec for mark in "*?["):
            found = [one for one in self.layers if any(fnmatch.fnmatchcase(n, spec) for n in _names(one))]
            if len(found) > 1:
                raise LayerError(
                    f"{spec!r} fits {len(found)} layers ({_some([_called(one) for one in found])}); name one"
                )
            if found:
                return found[0]
        names = [name for layer in self.layers for name in _names(layer)]
        close = difflib.get_close_matches(spec, names, n=3, cutoff=0.5)
        remedy = f"the closest: {', '.join(close)}" if close else f"it holds {listed}"
        raise LayerError(f"no layer {spec!r} in {self.folder}; {remedy}")

    def path(self, layer: RunLayer) -> Path:
        """Return the path of a layer's NPZ."""
        return self.folder / layer.file

    def result(self, layer: RunLayer) -> PatchesResult:
        """Read what was found of one layer.

        Raises
        ------
        ResultError
            If its file is missing or damaged, or belongs to another layer.
        """
        path = self.path(layer)
        result = read_patches(path)
        if (result.layer, result.channels) != (layer.name, layer.channels):
            raise ResultError(
                f"{path} holds {result.channels} units of {result.layer}, but run.json says {layer.channels} of "
                f"{layer.name}; run netviz patches again"
            )
        return result

    def summary(self) -> dict[str, Any]:
        """Return what ``netviz report`` tells of the run: run.json, and what each layer's units do.

        Raises
        ------
        ResultError
            If a layer's file is missing or damaged.
        """
        told = []
        for layer, facts in zip(self.layers, self.facts["layers"], strict=True):
            result = self.result(layer)
            strongest = int(result.max.argmax())
            told.append(
                {
                    **facts,
                    "units": result.channels,
                    "field_size": result.field_size,
                    "field_stride": result.field_stride,
                    "field_status": result.field_status,
                    "rectified": result.rectified,
                    "dead": list(result.dead),
                    "always_on": list(result.always_on),
                    "largest": float(result.max[strongest]),
                    "largest_unit": strongest,
                    "median_of_max": float(np.median(result.max)),
                    "mean_nonzero": float(result.nonzero.mean(dtype=np.float64)),
                    "positions": result.positions,
                    "quantile_samples": result.quantile_samples,
                }
            )
        return {**self.facts, "layers": told}


def open_run(folder: str | Path) -> PatchesRun:
    """Open the folder that ``netviz patches`` wrote.

    Raises
    ------
    ResultError
        If it is none, the run is unfinished, or ``run.json`` is damaged.
    """
    folder = Path(folder)
    path = folder / "run.json"
    try:
        if path.stat().st_size > _LARGEST:
            raise ResultError(f"{path} is larger than any run's; name the folder that netviz patches wrote")
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if (folder / "state.npz").is_file():
            raise ResultError(
                f"the run in {folder} is unfinished; go on with netviz patches --resume"
            ) from None
        raise ResultError(
            f"{folder} holds no run (no run.json); name the folder that netviz patches wrote"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ResultError(f"cannot read {path} as a run's facts; run netviz patches again") from error
    if not isinstance(facts, dict) or facts.get("kind") != "patches":
        raise ResultError(f"{path} does not tell of patches; name the folder that netviz patches wrote")
    problem = _problem(facts)
    if problem:
        raise ResultError(f"{path} is damaged: {problem}; run netviz patches again")
    layers = tuple(
        RunLayer(one["name"], one["alias"], one["kind"], one["channels"], one["file"])
        for one in facts["layers"]
    )
    return PatchesRun(folder, facts, layers)


def read_patches(path: str | Path) -> PatchesResult:
    """Read one layer's NPZ and look whether it holds together.

    Raises
    ------
    ResultError
        If it does not.
    """
    result = load_result(path)
    if not isinstance(result, PatchesResult):
        raise ResultError(f"{path} holds a result of kind {result.kind!r}, no patches; name another file")
    return check_patches(result, str(path))


def image_names(folder: str | Path, numbers: Iterable[int]) -> dict[int, str]:
    """Return the names of some images of a run; one line of ``images.txt`` at a time is held.

    Parameters
    ----------
    folder : str or Path
        The run's folder.
    numbers : iterable of int
        Lines, counted from 0.

    Raises
    ------
    ResultError
        If the list is missing, damaged or too short.
    """
    wanted = set(numbers)
    path = Path(folder) / "images.txt"
    found: dict[int, str] = {}
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines):
                if number in wanted:
                    found[number] = line.removesuffix("\n")
                    if len(found) == len(wanted):
                        break
    except FileNotFoundError:
        raise ResultError(f"no such file: {path}; it lists the run's images") from None
    except (OSError, ValueError) as error:
        raise ResultError(f"cannot read {path} as a list of images; run netviz patches again") from error
    lost = sorted(wanted - set(found))
    if lost:
        raise ResultError(f"{path} has no line {lost[0] + 1}: it was cut off; run netviz patches again")
    return found


def report(result: Result | str | Path) -> dict[str, Any]:
    """Return the facts of a result or of a run, ready for JSON: what ``netviz report`` prints.

    Parameters
    ----------
    result : Result, str or Path
        A result, the NPZ file of one, or the folder of a run.

    Raises
    ------
    ResultError
        If it is neither.
    """
    if not isinstance(result, Result) and Path(result).is_dir():
        return open_run(result).summary()
    return facts_of(result)


def _problem(facts: dict[str, Any]) -> str:
    """Say what of run.json is not as it should be."""
    for name in ("network", "origin", "netviz", "torch"):
        if not isinstance(facts.get(name), str):
            return f"{name} is no text"
    if not isinstance(facts.get("options"), dict):
        return "options are missing"
    counts = facts.get("images")
    if not isinstance(counts, dict) or any(
        type(counts.get(name)) is not int or counts[name] < 0 for name in ("listed", "counted", "skipped")
    ):
        return "the counts of images are missing"
    skipped = facts.get("skipped")
    if not isinstance(skipped, list) or any(
        not isinstance(one, dict) or not all(isinstance(one.get(key), str) for key in ("image", "reason"))
        for one in skipped
    ):
        return "skipped is no list of images with reasons"
    layers = facts.get("layers")
    if not isinstance(layers, list) or not layers:
        return "it names no layer"
    for number, one in enumerate(layers):
        if not isinstance(one, dict) or not all(
            isinstance(one.get(key), str) for key in ("name", "alias", "kind", "file")
        ):
            return f"layer {number} lacks a name, alias, kind or file"
        if type(one.get("channels")) is not int or one["channels"] < 1:
            return f"layer {number} has no units"
        parts = PurePosixPath(one["file"]).parts
        plain = re.fullmatch(r"layers/[A-Za-z0-9._-]{1,100}\.npz", one["file"]) and len(parts) == 2
        if not plain:
            return f"layer {number} names a file that is not in layers/"
    return ""


def _names(layer: RunLayer) -> list[str]:
    return [name for name in (layer.name, layer.alias) if name]


def _called(layer: RunLayer) -> str:
    return f"{layer.name} ({layer.alias})" if layer.alias else layer.name


def _some(names: list[str], most: int = 8) -> str:
    return ", ".join([*names[:most], *(["…"] if len(names) > most else [])])
