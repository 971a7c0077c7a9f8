"""Text of a picture: safe to draw, measured, shortened and wrapped before anything is placed."""

import functools
import math
import unicodedata
from collections.abc import Iterable

from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.textpath import text_to_path

from netviz.paper.style import DPI, FAMILY

# Written by their codes because they are easily taken for a hyphen and the letter x.
MINUS = "\u2212"
TIMES = "\u00d7"
_BOX = "\u25a1"

# Agg moves glyphs to whole pixels, which makes a line up to a tenth wider than its outlines.
_HINTED = 1.1


@functools.cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family=FAMILY))).get_charmap())


def clean(text: str) -> str:
    """Make any name drawable: one line, invisible marks dropped, a box for what the font lacks."""
    kept = []
    for character in " ".join(str(text).split()):
        kind = unicodedata.category(character)
        if kind in ("Cc", "Cf", "Mn", "Me"):
            continue
        kept.append(character if ord(character) in _glyphs() else _BOX)
    return "".join(kept)


@functools.lru_cache(maxsize=4096)
def width(text: str, size: float, bold: bool = False) -> float:
    """Return the width of a line of text in pixels at the picture's density, at least what will be drawn."""
    font = FontProperties(family=FAMILY, size=size, weight="bold" if bold else "normal")
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) * DPI / 72 * _HINTED


def shorten(text: str, limit: float, size: float, bold: bool = False) -> str:
    """Cut out the middle of a text, marked by an ellipsis, until it is at most `limit` pixels wide."""
    text = clean(text)
    if len(text) > 1000:
        text = f"{text[:500]}…{text[-500:]}"
    if width(text, size, bold) <= limit:
        return text
    low, high = 0, len(text) - 1
    while low < high:
        keep = (low + high + 1) // 2
        if width(_cut(text, keep), size, bold) <= limit:
            low = keep
        else:
            high = keep - 1
    return _cut(text, low)


def _cut(text: str, keep: int) -> str:
    head = (keep + 1) // 2
    return f"{text[:head]}…{text[len(text) - (keep - head) :]}"


def wrap(
    parts: Iterable[str], limit: float, size: float, bold: bool = False, whole: bool = False
) -> list[str]:
    """Join parts by a middle dot into lines of at most `limit` pixels.

    A line breaks between parts; a part that is wider than a line is shortened where `whole` is true, else
    it breaks between words, and a word that is wider than a line is shortened.
    """
    lines: list[str] = []
    for part in parts:
        part = shorten(part, limit, size, bold) if whole else clean(part)
        joined = f"{lines[-1]} · {part}" if lines else part
        if width(joined, size, bold) <= limit:
            lines[-1:] = [joined]
            continue
        fresh: list[str] = []
        for word in part.split():
            longer = f"{fresh[-1]} {word}" if fresh else word
            if fresh and width(longer, size, bold) <= limit:
                fresh[-1] = longer
            else:
                fresh.append(shorten(word, limit, size, bold))
        lines += fresh
    return lines


def number(value: float, digits: int = 3) -> str:
    """Write a number with three significant digits, or as many as asked for, and a true minus sign.

    Examples
    --------
    >>> number(-0.01234) == MINUS + "0.0123", number(0.0), number(1.5e7)
    (True, '0', '1.5e7')
    """
    text = f"{value + 0.0:.{digits}g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        text = f"{mantissa}e{int(exponent)}"
    return text.replace("-", MINUS)


def number_within(value: float, room: float, size: float) -> str:
    """Write a number with as many of three significant digits as fit into so many pixels, else as a power of ten."""
    for digits in (3, 2, 1):
        if width(number(value, digits), size) <= room:
            return number(value, digits)
    if not math.isfinite(value):
        return number(value)
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}".replace("-", MINUS)


def percent(share: float) -> str:
    """Write a share so that only none reads 0 % and only all reads 100 %."""
    if 0 < share < 0.001 or 0.999 < share < 1:
        return "<0.1 %" if share < 0.5 else ">99.9 %"
    whole = 0.0995 <= share <= 0.9905 or share in (0, 1)
    return f"{share * 100:.{0 if whole else 1}f} %"


def span(low: float, high: float) -> str:
    """Write a range, with as many digits as tell its ends apart.

    Examples
    --------
    >>> span(49.954, 50.041), span(0, 1.5)
    ('49.954 … 50.041', '0 … 1.5')
    """
    wide, large = high - low, max(abs(low), abs(high))
    lost = math.ceil(math.log10(large / wide)) if 0 < wide < large < math.inf else 0
    digits = min(3 + max(0, lost - 1), 8)
    return f"{number(low, digits)} … {number(high, digits)}"


def counted(count: int, noun: str) -> str:
    """Write a count with its noun: ``no dead filters``, ``1 dead filter``, ``2 dead filters``."""
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"


def scored(label: str, index: int, called: str, predicted: bool) -> str:
    """Name the class that a score is of, or the channel where outputs are none, and say if the network chose it.

    Examples
    --------
    >>> scored("tabby", 281, "class", True), scored("", 2, "channel", False)
    ('tabby (class 281), the predicted class', 'channel 2')
    """
    named = f"{label} (class {index})" if label else f"{called} {index}"
    chosen = "the predicted class" if called == "class" else "the one with the highest score"
    return f"{named}, {chosen}" if predicted else named


def padded(multiple: int) -> list[str]:
    """Say that an image was continued to multiples of so many pixels; nothing for 0."""
    return [f"the image is continued by reflection to multiples of {multiple} pixels"] if multiple else []
