"""A photograph's way through a network: which units answer most to it in each layer, where, and how they vote."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_letters

import numpy as np
from numpy.typing import NDArray

from netviz.questions.maps.result import MapsResult
from netviz.questions.votes.result import VotesResult
from netviz.results.survey import Missing

from ..addresses import Addresses
from ..loading import load_kind
from ..panel import Panel
from ..words import counted, number

STRONGEST = 3
"""How many units are named of each layer."""

AT_A_PLACE = 5
"""How many units are named of each layer at a place that a reader points at."""

CELLS = 8
"""Into how many places the longer side of a photograph is divided for that."""

VOTED = 5
"""How many units are told that vote for the class, and how many against it."""


@dataclass(frozen=True)
class Answering:
    """A unit that answers to a photograph.

    Attributes
    ----------
    unit : int
    page : str
        Its page.
    share : float
        Its largest value on this photograph over its largest on all that were searched, in 0…1.
    """

    unit: int
    page: str
    share: float


@dataclass(frozen=True)
class Places:
    """Which units of a layer are strongest at each place of a photograph, each on its own scale.

    Attributes
    ----------
    rows, columns : int
        How many places there are down and across.
    digits : int
        How many digits a unit's number takes.
    told : str
        For each place, row by row, `AT_A_PLACE` units, the strongest first: the number in so many digits of base 36,
        and in one more how many tenths of its largest value the unit reaches there; ``-`` where there is none.
    """

    rows: int
    columns: int
    digits: int
    told: str


@dataclass(frozen=True)
class Vote:
    """A unit's share in a class's score, the change of the score without it, and its page or its layer's wall."""

    unit: int
    page: str | None
    share: float
    change: float


@dataclass(frozen=True)
class Votes:
    """How the units of the last layer with maps vote for the predicted class.

    Attributes
    ----------
    layer : str
        Which layer.
    page : str or None
        Its page, or that of the convolution whose units it bends.
    of : str
        That convolution; empty where the layer has a page of its own, or none fits.
    name : str
        The class.
    score : float
        Its raw score.
    units : int
        How many the layer has.
    rows : tuple of Vote
        Those with the largest shares, and those with the smallest.
    to_zero : bool
        Whether a unit that is taken away is put to 0, or to its mean.
    """

    layer: str
    page: str | None
    of: str
    name: str
    score: float
    units: int
    rows: tuple[tuple[Vote, ...], tuple[Vote, ...]]
    to_zero: bool


def own_scale(result: MapsResult, largest: NDArray[np.float32] | None) -> NDArray[np.float64]:
    """Bring maps to their units' own scales: 1 is a unit's largest value, at least that on this photograph.

    Returns
    -------
    ndarray of float64, shape (K, h, w)
        0 where a value is negative or no number, and of a unit that is never above 0.
    """
    maps = np.nan_to_num(result.drawn.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0).clip(min=0)
    ends = maps.max(axis=(1, 2), initial=0.0)
    # Where nothing was searched, all units of the layer share one scale.
    ends = (
        np.full_like(ends, ends.max(initial=0.0))
        if largest is None
        else np.maximum(ends, largest[result.units])
    )
    scale = np.where(ends > 0, ends, 1.0)
    own: NDArray[np.float64] = maps / scale[:, None, None]
    return own


def find_strongest(
    own: NDArray[np.float64], units: Sequence[int], addresses: Addresses, layer: int
) -> tuple[Answering, ...]:
    """Return the units that answer most, each on its own scale; those alone that answer at all."""
    peaks = own.max(axis=(1, 2), initial=0.0)
    first = np.argsort(-peaks, kind="stable")[:STRONGEST].tolist()
    return tuple(
        Answering(units[at], addresses.unit(layer, units[at]), float(peaks[at]))
        for at in first
        if peaks[at] > 0
    )


def find_places(own: NDArray[np.float64], units: Sequence[int]) -> Places:
    """Return which units are strongest at each place: the largest value counts of those within it."""
    height, width = own.shape[1:]
    step = max(1.0, max(height, width) / CELLS)
    rows, columns = max(1, round(height / step)), max(1, round(width / step))
    tops, lefts = (np.arange(count) * side // count for count, side in ((rows, height), (columns, width)))
    coarse = np.maximum.reduceat(np.maximum.reduceat(own, tops, axis=1), lefts, axis=2)
    digits = max(len(_base36(unit)) for unit in units)
    order = np.argsort(-coarse, axis=0, kind="stable")[:AT_A_PLACE]
    told = []
    for row, column in np.ndindex(rows, columns):
        for at in order[:, row, column].tolist():
            tenths = round(10 * min(float(coarse[at, row, column]), 1.0))
            told.append(f"{_base36(units[at]):0>{digits}}{_base36(tenths)}" if tenths else "-" * (digits + 1))
        told += ["-" * (digits + 1)] * (AT_A_PLACE - len(order))
    return Places(rows, columns, digits, "".join(told))


def _base36(value: int) -> str:
    digits = ""
    while value or not digits:
        value, rest = divmod(value, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
    return digits


def tell_votes(addresses: Addresses, image: int) -> Votes | None:
    """Return how units vote on a photograph, by its place among the run's; None where the run does not tell.

    Raises
    ------
    ResultError
        If the file is missing or damaged.
    """
    found = addresses.run.votes
    shown = () if isinstance(found, Missing) else found.shown
    file: Path | None = next((one.file for one in shown if one.image == image), None)
    if file is None:
        return None
    result = load_kind(file, VotesResult)
    at = _shown_of(addresses, result)

    def vote(unit: int) -> Vote:
        page = None
        if at is not None:
            page = addresses.unit(at, unit) if unit in addresses.units[at] else addresses.page(at)
        return Vote(unit, page, float(result.share[unit]), float(result.ablated[unit]) - result.score)

    order = np.argsort(-result.share, kind="stable").tolist()
    up = tuple(vote(unit) for unit in order[:VOTED] if result.share[unit] > 0)
    down = tuple(vote(unit) for unit in reversed(order[-VOTED:]) if result.share[unit] < 0)
    layers = addresses.run.layers
    return Votes(
        layer=result.alias or result.layer,
        page=None if at is None else addresses.page(at),
        of="" if at is None or layers[at].name == result.layer else layers[at].title,
        name=result.label or f"{result.called} {result.class_index}",
        score=result.score,
        units=len(result.share),
        rows=(up, down),
        to_zero=result.to == "zero",
    )


def _shown_of(addresses: Addresses, result: VotesResult) -> int | None:
    """Return the place of the layer with a page whose units vote: itself, or the one of the same number before it."""
    layers = addresses.run.layers
    own = next((place for place, layer in enumerate(layers) if layer.name == result.layer), None)
    if own is None or own in addresses.paged:
        return own
    stage = layers[own].alias.lstrip(ascii_letters)
    alike = [
        place
        for place in addresses.paged
        if place < own
        and layers[place].channels == result.channels
        and layers[place].alias.lstrip(ascii_letters) == stage
    ]
    return alike[-1] if stage and alike else None


def votes_note(votes: Votes) -> str:
    """Say what the two columns of votes mean."""
    how = "put to 0" if votes.to_zero else "put to its mean over the map"
    same = f" Its units are those of {votes.of}, further on." if votes.of else ""
    return (
        f"{votes.name} has the raw score {number(votes.score)}. Each of the {counted(votes.units, 'unit')} of "
        f"{votes.layer} has a share in it: its values times the gradient of the score. Beside it, how the score "
        f"changes when the unit is {how}.{same}"
    )


def signed(value: float) -> str:
    """Write a number with its sign."""
    text = number(value)
    return f"+{text}" if value > 0 else text


PANEL = Panel(words=(votes_note, signed))
