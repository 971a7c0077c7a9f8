"""What a classifier's value is in the cast network: maps, a cell that slides over maps, or one value an image."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx

from netviz.fcn.casting.graph import BATCH


class UnfollowedError(Exception):
    """An operation that has no counterpart in a cast network; the message says what it does."""


@dataclass(frozen=True)
class Maps:
    """A value whose rows and columns are dimensions of their own: it grows with the image by itself."""

    y: int
    x: int


@dataclass(frozen=True)
class Cell:
    """A value of the classifier that became one cell of maps (N, C, H, W) in the cast network.

    Attributes
    ----------
    channels : int
        C of those maps.
    window : (int, int)
        Rows and columns of the maps that the classifier's value holds; (1, 1) once they are summed up.
    index : Tensor of int64
        In the shape of the classifier's value for one image: where in (C, *window), flattened, each number is.
    sources : frozenset of Node
        Where positions were given up on the way here.
    """

    channels: int
    window: tuple[int, int]
    index: Tensor
    sources: frozenset[fx.Node]

    @property
    def straight(self) -> bool:
        """Whether the value is one position's channels, all of them in order."""
        flat = self.index.flatten()
        return self.window == (1, 1) and torch.equal(flat, torch.arange(self.channels))


@dataclass(frozen=True)
class Whole:
    """A value that is made once for the whole image; `final` if nothing can be made of it any more."""

    reason: str
    final: bool = False


Form: TypeAlias = Maps | Cell | tuple[Cell, ...] | Whole | None


def cell_of(maps: Maps, shape: Sequence[int], node: fx.Node) -> Cell:
    """Return maps of this shape (N, …) as a cell that holds all of them."""
    rest = [dim for dim in range(1, len(shape)) if dim not in (maps.y, maps.x)]
    order = [*rest, maps.y, maps.x]
    plain = torch.arange(math.prod(shape[1:])).reshape([shape[dim] for dim in order])
    index = plain.permute([order.index(dim) for dim in range(1, len(shape))])
    channels = math.prod(shape[dim] for dim in rest)
    return Cell(channels, (shape[maps.y], shape[maps.x]), index, frozenset((node,)))


def shaped(cell: Cell, run: Callable[[Tensor], Any]) -> tuple[Cell, ...]:
    """Return what a function that only moves numbers makes of a cell, one for each output.

    Raises
    ------
    UnfollowedError
        If it moves numbers between the images of a batch.
    """
    made = run(cell.index.expand(BATCH, *cell.index.shape).contiguous())
    pieces = made if isinstance(made, tuple | list) else (made,)
    for piece in pieces:
        if piece.ndim == 0 or piece.shape[0] != BATCH or not torch.equal(piece[0], piece[1]):
            raise UnfollowedError("mixes positions and the images of a batch")
    return tuple(Cell(cell.channels, cell.window, piece[0], cell.sources) for piece in pieces)


def layout(cell: Cell) -> Maps | None:
    """Return where a cell's rows and columns are, if each still is a dimension of its own."""
    (height, width), index = cell.window, cell.index
    sizes = tuple(index.shape)
    if height == 1 or width == 1:
        # One pixel leaves no trace to follow: maps, if there is room for them in the usual place.
        ends = ((index.ndim - 2, index.ndim - 1), (0, 1)) if index.ndim >= 3 else ()
        at = next((pair for pair in ends if tuple(sizes[dim] for dim in pair) == (height, width)), None)
        return None if at is None else Maps(at[0] + 1, at[1] + 1)
    channel, row, column = _split(index, height, width)
    channels, rows, columns = (_varying(one) for one in (channel, row, column))
    if len(rows) != 1 or len(columns) != 1 or rows == columns or {*rows, *columns} & {*channels}:
        return None
    if bool((row.diff(dim=rows[0]) <= 0).any() or (column.diff(dim=columns[0]) <= 0).any()):
        return None  # mirrored or rolled: no longer places of the image in their order
    return Maps(rows[0] + 1, columns[0] + 1)


def summed(cell: Cell, dims: Sequence[int], keep: bool) -> tuple[tuple[int, int], Cell]:
    """Follow a sum over some of a value's dimensions.

    Returns
    -------
    (int, int)
        The window of the cell's maps over which the sum goes.
    Cell
        What is left.

    Raises
    ------
    UnfollowedError
        If it is no sum over whole rows or columns.
    """
    index = cell.index
    over = sorted({dim - 1 for dim in dims})
    if not over or over[0] < 0:
        raise UnfollowedError("sums over the images of a batch")
    kept = [dim for dim in range(index.ndim) if dim not in over]
    groups = index.permute(*kept, *over).reshape(math.prod(index.shape[dim] for dim in kept), -1)
    height, width = cell.window
    channel, row, column = _split(groups, height, width)
    rows = height if bool((row != row[:, :1]).any()) else 1
    columns = width if bool((column != column[:, :1]).any()) else 1
    first_row = torch.zeros_like(row[:, 0]) if rows > 1 else row[:, 0]
    first_column = torch.zeros_like(row[:, 0]) if columns > 1 else column[:, 0]
    base = (channel[:, 0] * height + first_row) * width + first_column
    offsets = (torch.arange(rows)[:, None] * width + torch.arange(columns)).flatten()
    wanted = base[:, None] + offsets
    if wanted.shape != groups.shape or not torch.equal(groups.sort(dim=1).values, wanted):
        raise UnfollowedError("sums over something else than rows and columns")
    window = (1 if rows > 1 else height, 1 if columns > 1 else width)
    left = (channel[:, 0] * window[0] + first_row) * window[1] + first_column
    sizes = [1 if dim in over else index.shape[dim] for dim in range(index.ndim) if keep or dim not in over]
    return (rows, columns), Cell(cell.channels, window, left.reshape(sizes), cell.sources)


def fresh(shape: Sequence[int], sources: frozenset[fx.Node]) -> Cell:
    """Return a cell of one position whose channels are all numbers of a value (N, …), in order."""
    count = math.prod(shape[1:])
    return Cell(count, (1, 1), torch.arange(count).reshape(list(shape[1:])), sources)


def _split(index: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    return index // (height * width), index // width % height, index % width


def _varying(values: Tensor) -> list[int]:
    return [dim for dim in range(values.ndim) if bool((values != values.narrow(dim, 0, 1)).any())]
