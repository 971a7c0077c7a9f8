import pytest
from matplotlib.figure import Figure

from netviz.paper import words
from netviz.paper.style import SMALL, style


@pytest.mark.parametrize(
    ("text", "drawable"),
    [
        ("a\nb\tc", "a b c"),
        ("a\x00\u200d\ufe0fb", "ab"),
        ("$x_1$", "$x_1$"),
        ("\u6f22 \udc80", "\u25a1 \u25a1"),
        ("\u00e9", "\u00e9"),
    ],
)
def test_clean(text, drawable):
    assert words.clean(text) == drawable


@pytest.mark.parametrize("text", ["features.0.0 (conv1)", "x" * 60, "mmm iii $_^ WWW", "1234567890"])
@pytest.mark.parametrize("bold", [True, False])
def test_width_is_never_less_than_what_is_drawn(text, bold):
    with style():
        figure = Figure()
        drawn = figure.text(0, 0, text, fontsize=9, weight="bold" if bold else "normal", parse_math=False)
        box = drawn.get_window_extent()
    assert box.width <= words.width(text, 9, bold) <= 1.25 * box.width


def test_shorten_keeps_both_ends_and_fits():
    text = "backbone." + "layer." * 50 + "conv3"
    short = words.shorten(text, 200, 9)
    head, tail = short.split("…")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert words.width(short, 9) <= 200
    assert words.shorten("conv1", 200, 9) == "conv1"
    assert len(words.shorten("x" * 10**6, 200, 9)) < 40


def test_wrap_breaks_between_parts_then_words():
    parts = ["one two", "three", "y" * 200, "four"]
    lines = words.wrap(parts, 150, 9)
    assert lines[0] == "one two · three"
    assert all(words.width(line, 9) <= 150 for line in lines)
    assert "".join(lines).count("…") == 1
    assert words.wrap(["a b " * 100], 100, 9, whole=True)[0].count("…") == 1
    assert words.wrap([], 100, 9) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (-1.5, "\u22121.5"),
        (123456.0, "1.23e5"),
        (2e-7, "2e\u22127"),
        (10.26, "10.3"),
    ],
)
def test_number(value, text):
    assert words.number(value) == text


def test_shares_are_whole_only_where_they_are():
    shares = (0.0, 1e-9, 0.0123, 0.42, 0.998, 0.9999, 1.0)
    assert [words.percent(share) for share in shares] == [
        "0 %",
        "<0.1 %",
        "1.2 %",
        "42 %",
        "99.8 %",
        ">99.9 %",
        "100 %",
    ]


def test_numbers_that_fit_keep_as_many_digits_as_they_can():
    said = {
        value: words.number_within(value, 38, SMALL)
        for value in (0.0254, -8.061e-4, 3.2e-12, 12.34, 0.0, 1e30)
    }
    assert said == {
        0.0254: "0.0254", -8.061e-4: "\u22128e\u22124", 3.2e-12: "3e\u221212", 12.34: "12.3", 0.0: "0", 1e30: "1e30",
    }  # fmt: skip
    assert words.number_within(0.004863, 44, SMALL) == "0.0049"
    assert words.number_within(float("nan"), 1, SMALL) == "nan"
