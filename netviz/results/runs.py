"""A run's folder, as long questions over many images leave it: read without torch, and believed only after a look."""

import difflib
import fnmatch
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from netviz.errors import LayerError, ResultError
from netviz.results.base import Displayed
from netviz.results.choose import several
from netviz.results.ledger import QUESTION, RUN, STATE, TWO_PASSES, standing
from netviz.results.records import Count, from_json

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
    also : tuple of str
        Dotted names of the modules that hand out the same: they mean it, too.
    """

    name: str
    alias: str
    kind: str
    channels: Count
    file: str
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.channels:
            raise ValueError("it has no units")
        if not re.fullmatch(r"layers/[A-Za-z0-9._-]{1,100}\.npz", self.file):
            raise ValueError("its file is not in layers/")


@dataclass(frozen=True)
class _Counts:
    listed: Count
    counted: Count
    skipped: Count


@dataclass(frozen=True)
class _Skipped:
    image: str
    reason: str


@dataclass(frozen=True)
class _Told:
    """What every run.json tells."""

    network: str
    origin: str
    netviz: str
    torch: str
    options: dict[str, Any]
    images: _Counts
    skipped: tuple[_Skipped, ...]
    layers: tuple[RunLayer, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("layers names none")


@dataclass(frozen=True)
class Run(Displayed):
    """A run's folder.

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

    def __repr__(self) -> str:
        """Tell in one line where it is and what of."""
        network, layers = self.facts.get("network"), len(self.layers)
        return f"<{type(self).__name__} folder={str(self.folder)!r} network={network!r} layers={layers}>"

    def choose(self, spec: str | None = None) -> RunLayer:
        """Return the layer that a name, an alias, a glob or ``-1`` means; a run's only layer needs none.

        A module means the layer whose output it hands out.

        Raises
        ------
        LayerError
            If there is none, naming those inside a module of this name, or the closest; or several.
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
            for of in ("name", "also", "alias"):
                for layer in self.layers:
                    if same(spec) in map(same, several(getattr(layer, of))):
                        return layer
        if any(mark in spec for mark in "*?["):
            found = [one for one in self.layers if any(fnmatch.fnmatchcase(n, spec) for n in _names(one))]
            if len(found) > 1:
                raise LayerError(
                    f"{spec!r} fits {len(found)} layers ({_some([_called(one) for one in found])}); name one"
                )
            if found:
                return found[0]
        inside = [_called(layer) for layer in self.layers if layer.name.startswith(f"{spec}.")]
        if inside:
            raise LayerError(
                f"no layer {spec!r} in {self.folder}; inside it there are {_some(inside)}; name one"
            )
        names = [name for layer in self.layers for name in _names(layer)]
        close = difflib.get_close_matches(spec, names, n=3, cutoff=0.5)
        remedy = f"the closest: {', '.join(close)}" if close else f"it holds {listed}"
        raise LayerError(f"no layer {spec!r} in {self.folder}; {remedy}")

    def path(self, layer: RunLayer) -> Path:
        """Return the path of a layer's NPZ."""
        return self.folder / layer.file

    def check(self, layer: RunLayer, held: str, channels: int, verb: str) -> None:
        """Refuse a layer's NPZ if it holds another layer or number of units than ``netviz VERB`` told of in run.json.

        Raises
        ------
        ResultError
            If so.
        """
        if (held, channels) != (layer.name, layer.channels):
            raise ResultError(
                f"{self.path(layer)} holds {channels} units of {held}, but run.json says {layer.channels} of "
                f"{layer.name}; run netviz {verb} again"
            )


def told_kind(folder: Path) -> str:
    """Return what kind of run a folder says it is, by its run.json or an unfinished one's state; else empty."""
    try:
        if (folder / STATE).is_file():
            with np.load(folder / STATE, allow_pickle=False) as archive:
                kind = json.loads(str(archive["facts"]))["fingerprint"].get(QUESTION)
        else:
            kind = json.loads((folder / RUN).read_text(encoding="utf-8")).get("kind")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, zipfile.BadZipFile):
        return ""
    return kind if isinstance(kind, str) else ""


def read_run(folder: str | Path, kind: str, verb: str) -> tuple[Path, dict[str, Any], tuple[RunLayer, ...]]:
    """Read the run.json of a folder that ``netviz VERB`` wrote.

    Parameters
    ----------
    folder : str or Path
    kind : str
        What the run must tell of.
    verb : str
        Which command writes such.

    Returns
    -------
    folder, facts, layers
        As `Run` holds them.

    Raises
    ------
    ResultError
        If it is none, the run is unfinished, or ``run.json`` is damaged.
    """
    folder = Path(folder)
    path = folder / RUN
    try:
        if path.stat().st_size > _LARGEST:
            raise ResultError(f"{path} is larger than any run's; name the folder that netviz {verb} wrote")
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if standing(folder, TWO_PASSES) == "unfinished":
            raise ResultError(
                f"the run in {folder} is unfinished; go on with netviz {verb} --resume"
            ) from None
        raise ResultError(
            f"{folder} holds no run (no run.json); name the folder that netviz {verb} wrote"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ResultError(f"cannot read {path} as a run's facts; run netviz {verb} again") from error
    if not isinstance(facts, dict) or facts.get("kind") != kind:
        raise ResultError(f"{path} does not tell of {kind}; name the folder that netviz {verb} wrote")
    try:
        record = from_json(_Told, facts, folder)
    except (ValueError, RecursionError) as error:
        raise ResultError(f"{path} is damaged: {error}; run netviz {verb} again") from error
    return folder, facts, record.layers


def _names(layer: RunLayer) -> list[str]:
    return [name for name in (layer.name, layer.alias, *layer.also) if name]


def _called(layer: RunLayer) -> str:
    return f"{layer.name} ({layer.alias})" if layer.alias else layer.name


def _some(names: list[str], most: int = 8) -> str:
    return ", ".join([*names[:most], *(["…"] if len(names) > most else [])])
