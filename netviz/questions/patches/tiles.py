"""Patches cut out of their images: squares of pixels, where a field lies in them, and where a unit's map is high."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netviz.errors import ImageError, OutputError
from netviz.images.read import as_shown, read_image
from netviz.paper import style, words
from netviz.paper.scales import Pixels
from netviz.paper.tiles import fill
from netviz.questions.patches.outlines import Reading, outline, read_cells
from netviz.questions.patches.result import PatchesResult
from netviz.questions.patches.run import bands_shown, image_names
from netviz.results.names import IN_PACKAGES

_WHOLE: Final = 4
_HATCH: Final = 6
_SLIVER: Final = 0.03
_FAR: Final = 1e6


class _Axis:
    """A field along one axis: what it holds of the image, and how far beyond it is shown."""

    def __init__(self, first: int, last: int, before: int, after: int) -> None:
        self.first, self.last, self.before, self.after = first, last, before, after
        self.low, self.high = float(first - before), float(last + after)
        self.length = float(last - first)
        self.both = before > 0 and after > 0

    def shorten(self, longest: float) -> None:
        """Show a field that reaches beyond on both sides no farther than there is room."""
        if not self.both:
            return
        spare = max(0.0, min(longest, self.high - self.low) - self.length)
        if spare < _SLIVER * longest:
            spare = 0.0
        before = min(float(self.before), max(spare / 2, spare - float(self.after)))
        self.low = self.first - before
        self.high = self.last + spare - before

    def place(self, zoom: float, side: int) -> tuple[float, int, int, int, int]:
        """Return the image's coordinate at the tile's edge, and in the tile begin and end of all and of the image."""
        extent = min(max(round((self.high - self.low) * zoom), 1), side)
        first = (side - extent) // 2
        origin = self.low - first / zoom
        start = min(max(round((self.first - origin) * zoom), first), first + extent - 1)
        end = min(max(round((self.last - origin) * zoom), start + 1), first + extent)
        return origin, first, first + extent, start, end


@dataclass(frozen=True)
class Frame:
    """Where a field lies in a tile.

    Attributes
    ----------
    box : tuple of int
        Top, left, bottom, right of the patch in the image.
    origin : tuple of float
        The image's coordinates (y, x) at the tile's top left corner.
    zoom : float
        Tile pixels per pixel of the image.
    side : int
        Height and width of the tile.
    drawn : tuple of int
        Top, left, bottom, right of everything that the field holds, in the tile.
    inner : tuple of int
        The same of what it holds of the image.
    """

    box: tuple[int, int, int, int]
    origin: tuple[float, float]
    zoom: float
    side: int
    drawn: tuple[int, int, int, int]
    inner: tuple[int, int, int, int]

    @property
    def beyond(self) -> bool:
        """Whether part of the field lies beyond the image."""
        return self.drawn != self.inner

    @classmethod
    def of(cls, box: NDArray[np.int64], margin: NDArray[np.int64], side: int) -> "Frame":
        """Place a field: as large as the tile allows, small ones by a whole factor, in the tile's middle.

        A field that reaches beyond the image on both sides of an axis is shown on that axis no farther than the tile
        is needed for the other: of a field larger than the image all is known when the image is seen.
        """
        # Plain numbers: there are two axes, and a network's site has a hundred thousand patches.
        ends, beyond = box.tolist(), margin.tolist()
        axes = [_Axis(ends[at], ends[at + 2], beyond[at], beyond[at + 2]) for at in range(2)]
        longest = max(one.length if one.both else one.high - one.low for one in axes)
        for one in axes:
            one.shorten(longest)
        zoom = side / longest
        if zoom >= _WHOLE:
            zoom = float(int(zoom))
        placed = [one.place(zoom, side) for one in axes]
        (y, top, bottom, inner_top, inner_bottom), (x, left, right, inner_left, inner_right) = placed
        return cls(
            box=(ends[0], ends[1], ends[2], ends[3]),
            origin=(y, x),
            zoom=zoom,
            side=side,
            drawn=(top, left, bottom, right),
            inner=(inner_top, inner_left, inner_bottom, inner_right),
        )

    def draw(self, image: Pixels, tile: Pixels, cuts: "Cuts | None" = None, number: int = 0) -> None:
        """Draw into a tile of paper, shape (side, side, 3); `cuts` keeps what many tiles show of image `number`."""
        if self.beyond:
            top, left, bottom, right = self.drawn
            tile[top:bottom, left:right] = hatching(self.side)[top:bottom, left:right]
        top, left, bottom, right = self.inner
        # Small fields are enlarged by a whole factor, which takes no longer than to look them up.
        if cuts is None or self.zoom >= _WHOLE:
            tile[top:bottom, left:right] = self._scaled(image, (right - left, bottom - top))
            return
        key = (number, *self.box, bottom - top, right - left)
        scaled = cuts.pop(key, None)
        if scaled is None:
            scaled = self._scaled(image, (right - left, bottom - top))
        while cuts and len(cuts) * scaled.nbytes >= MOST_CUTS:
            del cuts[next(iter(cuts))]
        # The last asked for stands last: what goes is what nobody asked for longest.
        cuts[key] = scaled
        tile[top:bottom, left:right] = scaled

    def _scaled(self, image: Pixels, size: tuple[int, int]) -> Pixels:
        """Return what the tile shows of an image, in its own width and height."""
        first, begin, last, end = self.box
        cut = image[first:last, begin:end]
        if self.zoom >= _WHOLE:
            rows = np.arange(size[1]) * cut.shape[0] // size[1]
            columns = np.arange(size[0]) * cut.shape[1] // size[0]
            enlarged: Pixels = cut[rows][:, columns]
            return enlarged
        # Pillow widens the filter when it reduces: every pixel of the original counts.
        # What is reduced a lot is first halved, thirded, … as a whole, which takes a part of the time.
        resized = Image.fromarray(cut).resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
        return np.asarray(resized)

    def map_values(
        self, result: PatchesResult, unit: int, place: int
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return a unit's map, as shares of the score, at every pixel of the tile, and where it is known.

        Between the centres of cells it is interpolated linearly.
        """
        cells = result.maps[unit, place]
        ends = result.maps_box[unit, place].tolist()
        rows, columns = (
            _reading(
                self.origin[axis],
                self.zoom,
                self.side,
                float(ends[axis]),
                float(ends[axis + 2]),
                cells.shape[axis],
            )
            for axis in range(2)
        )
        return read_cells(cells, rows, columns), rows.known[:, None] & columns.known


@lru_cache(maxsize=1024)
def _reading(origin: float, zoom: float, side: int, first: float, last: float, cells: int) -> Reading:
    """Return how a tile reads a map along an axis: of units that see the same part of an image it is the same."""
    return Reading.of(origin + (np.arange(side) + 0.5) / zoom, first, last, cells)


Cuts = dict[tuple[int, ...], Pixels]
"""What tiles show of images, by image, box and size: the units of a deep layer see the same large parts."""

MOST_CUTS: Final = 1 << 27
"""Bytes of them that are kept, about."""


@lru_cache(maxsize=8)
def hatching(side: int) -> Pixels:
    """Return how what lies beyond an image looks, shape (side, side, 3), read-only."""
    y, x = np.mgrid[:side, :side]
    tile = np.empty((side, side, 3), dtype=np.uint8)
    tile[:] = style.rgb(style.OUTSIDE)
    tile[(y + x) % _HATCH == 0] = style.rgb(style.OUTSIDE_HATCH)
    tile.flags.writeable = False
    return tile


Images = Callable[[int], Pixels]
"""Gives the pixels (H, W, 3) of an image by its number, upright; raises ImageError where it cannot."""
LEVEL: Final = 0.995
"""Above which quantile of its values a unit's map is outlined (Bau et al. 2017, section 2.2)."""
SHARE: Final = 0.5
"""The share of the score that takes its place where that quantile tells nothing apart."""


class RunImages:
    """Reads the images of a run, each when it is asked for.

    Parameters
    ----------
    folder : Path
        The run's folder.
    numbers : sequence of int
        Which images will be asked for.
    """

    def __init__(self, folder: Path, numbers: Sequence[int]) -> None:
        self._names = image_names(folder, numbers)
        self._bands = bands_shown(folder)

    def name(self, number: int) -> str:
        """Return what an image is called: its file's name without the suffix."""
        return Path(self._names[number].removeprefix("skimage:")).stem

    def __call__(self, number: int) -> Pixels:
        """Return an image's pixels.

        Raises
        ------
        ImageError
            If it is no file any more, or cannot be read.
        """
        name = self._names[number]
        # A list from elsewhere may name a pipe or a device, which would never end.
        if not name.startswith(IN_PACKAGES) and not Path(name).is_file():
            raise ImageError(f"no such image: {name}")
        return as_shown(read_image(name), self._bands).pixels


@dataclass(frozen=True)
class Tiles:
    """Patches of some units, all of one size.

    Attributes
    ----------
    units : tuple of int
    pixels : ndarray of uint8, shape (units, top, side, side, 3)
        Where a unit's map is below its threshold the patch is darkened, and the border between is a line; what the
        field holds beyond the image is hatched; around patches that are not square is paper.
    mean : ndarray of uint8, shape (units, side, side, 3)
        Mean of the patches themselves, where any has a pixel; paper elsewhere, and if it was not wanted.
    missing : ndarray of bool, shape (units, top)
        Patches whose image could not be read, or has another size than it had.
    filled : ndarray of bool, shape (units, top)
        Whether there is a patch that excites the unit.
    drawn : ndarray of int64, shape (units, top, 4)
        Top, left, bottom, right of what is not paper, in the tile.
    inner : ndarray of int64, shape (units, top, 4)
        The same of what is of the image.
    names : tuple of tuple of str
        What the image of each patch is called, by unit and place.
    reasons : tuple of str
        Why each of the images could not be read.
    read : int
        How many images were.
    outlined, halved : int
        How many patches have an outline; how many of these at `SHARE` of the score.
    margins : int
        How many patches reach beyond the image.
    """

    units: tuple[int, ...]
    pixels: Pixels
    mean: Pixels
    missing: NDArray[np.bool_]
    filled: NDArray[np.bool_]
    drawn: NDArray[np.int64]
    inner: NDArray[np.int64]
    names: tuple[tuple[str, ...], ...]
    reasons: tuple[str, ...]
    read: int
    outlined: int
    halved: int
    margins: int

    @property
    def side(self) -> int:
        """Height and width of a tile in pixels."""
        return int(self.pixels.shape[2])


def cut_tiles(
    result: PatchesResult,
    images: Images,
    units: Sequence[int],
    side: int,
    *,
    top: int | None = None,
    mean: bool = True,
    thresholds: NDArray[np.float64] | None = None,
    cuts: Cuts | None = None,
) -> Tiles:
    """Cut the patches of some units out of their images; each image is asked for once, and none is kept.

    Parameters
    ----------
    result : PatchesResult
    images : callable
        Gives an image's pixels by its number.
    units : sequence of int
    side : int
        Height and width of a tile in pixels.
    top : int, optional
        How many patches of each; by default all.
    mean : bool
        Whether the mean of the patches is wanted.
    thresholds : ndarray of float64, shape (units of the layer,), optional
        Outlined is where a unit's map, interpolated linearly between positions, is above its own threshold. By
        default, above its 0.995 quantile, or half of the score where that tells nothing apart. With those of a
        dissection it is the dissection's mask, to half a pixel of the image, in which the run keeps where maps lie.
    cuts : dict, optional
        What earlier calls with the same images have scaled, and this one adds to.

    Returns
    -------
    Tiles
    """
    count, top = len(units), min(top or result.image.shape[1], result.image.shape[1])
    pixels = _paper(count, top, side)
    missing = np.zeros((count, top), dtype=np.bool_)
    drawn = np.zeros((count, top, 4), dtype=np.int64)
    drawn[..., 2:] = side
    inner = drawn.copy()
    total = np.zeros((count if mean else 0, side, side, 3))
    seen = np.zeros(total.shape[:-1], dtype=np.int64)
    chosen = np.where(result.shown, result.image, -1)[list(units), :top]
    names = {number: _name(images, number) for number in np.unique(chosen).tolist()}
    reasons = []
    read = outlined = halved = margins = 0
    kept = np.tile(~np.array(oversized(result)), 2)
    for image, entries in read_each(result, images, units, top):
        if isinstance(image, str):
            reasons.append(image)
            missing[tuple(zip(*entries, strict=True))] = True
            continue
        read += 1
        for row, place in entries:
            unit = units[row]
            frame = Frame.of(result.box[unit, place], result.margin[unit, place] * kept, side)
            tile = pixels[row, place]
            frame.draw(image, tile, cuts, int(result.image[unit, place]))
            if mean:
                first, left, bottom, right = frame.inner
                part = slice(first, bottom), slice(left, right)
                total[row][part] += tile[part]
                seen[row][part] += 1
            limit = None if thresholds is not None else threshold(result, unit, place)
            if thresholds is not None:
                outline(tile, frame.inner, *_above(result, frame, unit, place, float(thresholds[unit])))
                outlined += 1
            elif limit is not None:
                values, known = frame.map_values(result, unit, place)
                outline(tile, frame.inner, values - limit[0], known)
                outlined += 1
                halved += limit[1]
            margins += frame.beyond
            drawn[row, place], inner[row, place] = frame.drawn, frame.inner
    return Tiles(
        units=tuple(units),
        pixels=pixels,
        mean=_mean(total, seen) if mean else _paper(count, side),
        missing=missing,
        filled=chosen >= 0,
        drawn=drawn,
        inner=inner,
        names=tuple(tuple(names[number] for number in row) for row in chosen.tolist()),
        reasons=tuple(reasons),
        read=read,
        outlined=outlined,
        halved=halved,
        margins=margins,
    )


def read_each(
    result: PatchesResult, images: Images, units: Sequence[int], top: int
) -> Iterator[tuple[Pixels | str, list[tuple[int, int]]]]:
    """Ask for each image of the first `top` patches of some units once, in the order of their numbers.

    Yields
    ------
    image : ndarray of uint8, shape (H, W, 3), or str
        Its pixels, or why it cannot be read or is not the image that it was.
    entries : list of (int, int)
        The patches that it holds: row in `units`, and place.
    """
    wanted: dict[int, list[tuple[int, int]]] = {}
    for row, place in np.argwhere(result.shown[list(units), :top]).tolist():
        wanted.setdefault(int(result.image[units[row], place]), []).append((row, place))
    for number, entries in sorted(wanted.items()):
        row, place = entries[0]
        height, width = result.size[units[row], place].tolist()
        try:
            image = images(number)
        except ImageError as error:
            yield str(error), entries
            continue
        if image.shape[:2] == (height, width):
            yield image, entries
        else:
            found = "×".join(map(str, image.shape[1::-1]))
            yield f"image {number} was {width}×{height} pixels and is {found} now", entries


def oversized(result: PatchesResult) -> tuple[bool, bool]:
    """Return for which axis (y, x) a field is at least as long as what the network is shown.

    Such a field lies inside at no position, and mostly beyond at many: only what it holds of the image is drawn.
    """
    size, stride = result.field_size, result.field_stride
    if size is None or stride is None:
        return False, False
    y, x = (size[axis] >= result.map_size[axis] * stride[axis] for axis in range(2))
    return y, x


def threshold(result: PatchesResult, unit: int, place: int) -> tuple[float, bool] | None:
    """Return above which share of the score a patch's map is outlined, and whether that is `SHARE`.

    None where there is nothing to outline: the score is not positive, the field holds too few cells of the map, or
    all of the map is as high.
    """
    score = float(result.score[unit, place])
    size, stride = result.field_size, result.field_stride
    if score <= 0:
        return None
    if size is not None and stride is not None and max(size[0] - 2 * stride[0], size[1] - 2 * stride[1]) < 0:
        return None
    cells = result.maps[unit, place]
    share = float(result.quantiles[unit, int(np.abs(result.quantile_levels - LEVEL).argmin())]) / score
    for limit, halved in ((share, False), (SHARE, True)):
        if (cells > limit).any() and (cells <= limit).any():
            return limit, halved
    return None


def _above(
    result: PatchesResult, frame: Frame, unit: int, place: int, threshold: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return how far above its threshold a unit is in each pixel of a tile, as a share of its score, and where known.

    A value that is not above is never positive.
    """
    score = float(result.score[unit, place])
    values, known = frame.map_values(result, unit, place)
    # Shares of a negative score are the larger the lower the value; of 0 there are none.
    share = float(np.clip(threshold / score, -_FAR, _FAR)) if score else 0.0
    if score > 0:
        above = values - share
    elif score < 0:
        above = share - values
    else:
        above = np.full(values.shape, -threshold)
    # The outline counts a place on the border as half inside, but one at the threshold is not above it.
    return np.where(above > 0, above, np.minimum(above, -1e-6)), known


def _name(images: Images, number: int) -> str:
    return images.name(number) if isinstance(images, RunImages) and number >= 0 else f"image {number}"


def _paper(*shape: int) -> Pixels:
    """Return empty tiles; the last number is their side."""
    pixels = np.empty((*shape, shape[-1], 3), dtype=np.uint8)
    fill(pixels, style.rgb(style.PAPER))
    return pixels


def _mean(total: NDArray[np.float64], seen: NDArray[np.int64]) -> Pixels:
    mean: Pixels = np.rint(total / np.maximum(seen, 1)[..., None]).astype(np.uint8)
    mean[seen == 0] = style.rgb(style.PAPER)
    return mean


def tell_unread(reasons: Sequence[str], read: int, tell: Callable[[str], None] | None) -> None:
    """Tell how many images of a picture's patches could not be read, if any.

    Parameters
    ----------
    reasons : sequence of str
        Why, for each.
    read : int
        How many could.
    tell : callable or None
        Called with the line.

    Raises
    ------
    OutputError
        If none could.
    """
    if not reasons:
        return
    if not read:
        raise OutputError(
            f"none of the {words.counted(len(reasons), 'image')} of these patches can be read; the first: "
            f"{reasons[0]}"
        )
    if tell is not None:
        tell(f"{len(reasons)} of {read + len(reasons)} images cannot be read; the first: {reasons[0]}")


def histogram(result: PatchesResult, unit: int, height: int, width: int) -> Pixels:
    """Draw how often a unit has which value, as pixels.

    Parameters
    ----------
    result : PatchesResult
    unit : int
    height : int
        Pixels of the highest bar. Heights are proportional to log(1 + count).
    width : int
        Pixels of a bar.

    Returns
    -------
    ndarray of uint8, shape (height, bins·width, 3)
        With a line at the quantile `LEVEL`.
    """
    counts = np.log1p(result.histogram[unit].astype(np.float64))
    bars = np.rint(counts / max(float(counts.max()), 1e-9) * height).astype(int)
    filled = np.arange(height)[:, None] >= height - np.repeat(bars, width)
    pixels = np.empty((*filled.shape, 3), dtype=np.uint8)
    pixels[:] = style.rgb(style.BEYOND)
    pixels[filled] = style.rgb(style.DEAD)
    quantiles = result.quantiles[unit].astype(np.float64)
    span = quantiles[-1] - quantiles[0]
    if span > 0:
        value = quantiles[int(np.abs(result.quantile_levels - LEVEL).argmin())]
        at = min(int((value - quantiles[0]) / span * filled.shape[1]), filled.shape[1] - 1)
        pixels[:, at] = style.rgb(style.MARK)
    return pixels
