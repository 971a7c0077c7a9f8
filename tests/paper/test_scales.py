import pytest

from netviz.paper.scales import Scale, scale_for
from netviz.paper.words import MINUS


@pytest.mark.parametrize(
    ("low", "high", "limits", "colours", "note"),
    [
        (0.5, 4.0, (0, 4), "sequential", "black is 0, brighter is more"),
        (0.0, 0.0, (0, 1), "sequential", "black is 0, brighter is more"),
        (-3.0, 1.0, (-3, 3), "diverging", "white is 0, red positive, blue negative"),
        (-1.0, 8.0, (-8, 8), "diverging", "white is 0, red positive, blue negative"),
    ],
)
def test_a_range_gives_a_scale(low, high, limits, colours, note):
    scale = scale_for(low, high)
    assert (scale.low, scale.high) == limits
    assert (scale.colours, scale.per_tile, scale.note) == (colours, False, note)
    assert scale.limits(123.0) == limits


def test_ticks():
    assert Scale(-4.0, 4.0, "diverging", False).ticks == ((-4, f"{MINUS}4"), (0, "0"), (4, "4"))
    assert Scale(2.0, 3.0, "sequential", False).ticks == ((2, "2"), (2.5, "2.5"), (3, "3"))
    assert scale_for(-1, 1, per_tile=True).ticks == ((-1, f"{MINUS}max"), (0, "0"), (1, "max"))
    assert scale_for(0, 1, per_tile=True).ticks == ((0, "0"), (1, "max"))
    named = ((0.0, "first"), (7.0, "last"))
    assert Scale(0.0, 7.0, "sequential", False, named).ticks == named


def test_a_scale_from_elsewhere_than_zero_has_no_black_zero():
    assert Scale(2.0, 3.0, "sequential", False).note == "brighter is higher"
    assert Scale(-1.0, 1.0, "rgb", True).note.startswith("mid-grey is 0")


def test_a_tile_of_its_own_scale_has_its_own_limits():
    assert scale_for(-1, 1, per_tile=True).limits(2.5) == (-2.5, 2.5)
    assert scale_for(0, 1, per_tile=True).limits(2.5) == (0, 2.5)
    # Of a tile that is 0 everywhere.
    assert scale_for(-1, 1, per_tile=True).limits(0.0) == (-1, 1)
