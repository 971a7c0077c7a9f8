from dataclasses import replace

import numpy as np
import pytest

from netviz.errors import OutputError
from netviz.paper.page import Page, lay_out, smallest_points
from netviz.paper.words import MINUS
from netviz.questions.optimize.draw import optimize_figure
from netviz.questions.optimize.result import OptimizeResult
from support.pictures import check_apart, texts


def result(count: int, columns: tuple[str, ...] = ("+", "-"), run: bool = True) -> OptimizeResult:
    """Pictures of which the first is larger than any photograph's value, and the second does not reach the lowest."""
    random = np.random.default_rng(0)

    def noise(*shape: int) -> np.ndarray:
        return random.integers(0, 256, (*shape, 3), dtype=np.uint8)

    return OptimizeResult(
        pictures=noise(count, len(columns), 24, 24),
        activation=np.array([[4.0 if one == "+" else -1.5 for one in columns]] * count, dtype=np.float32),
        started=np.full(count, np.nan, dtype=np.float32),
        led=np.ones((count, len(columns)), dtype=np.bool_),
        quantile=np.array([[-1.0, 1.0]] * count, dtype=np.float32) if run else None,
        reference=np.array([[-3.0, 2.0]] * count, dtype=np.float32) if run else None,
        patches=noise(count, 9, 16, 16) if run else None,
        followed=noise(count, 4, 16, 16) if run else None,
        followed_by="guided" if run else "",
        network="toy",
        layer="conv1",
        alias="",
        layer_kind="conv",
        channels=40,
        targets=tuple(range(3, 3 + count)),
        names=(),
        columns=columns,
        objective="channel",
        basis="fourier",
        steps=8,
        seed=0,
        moved=True,
        dead=(),
        image_name="",
        run="run" if run else "",
        score_of="",
    )


def test_each_picture_has_its_multiples_and_patches():
    drawn = optimize_figure(result(2))
    said = texts(drawn).replace(MINUS, "-")
    assert said.count("+: 4 = 2× its best photograph, 4× its 0.995 quantile") == 2
    assert (
        said.count("-: -1.5 = 0.5× its lowest photograph (does not reach it), 1.5× its 0.005 quantile") == 2
    )
    assert "violet frame" in said
    assert len(drawn.axes[0].images) == 2 * (2 + 9 + 4)
    check_apart(drawn, drawn.axes[0].images)


def test_several_pictures_of_a_unit_are_told_together():
    made = result(1, ("+", "+", "+"))
    made.activation[0] = 3, 1, 6
    said = texts(optimize_figure(made))
    assert "+: 3, 1, 6 = 0.5× to 3× its best photograph (1 of 3 do not reach it), 1× to 6×" in said


def test_a_dead_unit_and_references_that_are_no_numbers():
    made = replace(result(2), dead=tuple(range(20, 32)), reference=np.full((2, 2), np.nan, dtype=np.float32))
    made.led[1, 0] = False
    said = texts(optimize_figure(made)).replace(MINUS, "-")
    assert "left out, 0 on every photograph: 20, 21, 22, 23, 24, 25, 26, 27, …" in said
    assert "+: 4 · -: -1.5" in said
    assert "+: 4 (no gradient in any step)" in said
    assert "nan" not in said.lower()


def test_a_class_stands_by_its_name():
    made = replace(
        result(1, ("+",), run=False), objective="class", names=("tabby",), layer="", score_of="scores"
    )
    said = texts(optimize_figure(made))
    assert "tabby class 3 · +: 4" in said


@pytest.mark.parametrize("columns", [("+",), ("+", "-"), ("+", "+", "+", "+", "-")])
@pytest.mark.parametrize("run", [True, False])
def test_a_column_of_a_journal_holds_it(columns, run):
    drawn, width = lay_out(lambda: optimize_figure(result(3, columns, run)), Page(width=3.5))
    assert width == pytest.approx(3.5)
    assert smallest_points(drawn, width) >= 5.99
    check_apart(drawn, drawn.axes[0].images)


def test_more_than_a_picture_holds():
    with pytest.raises(OutputError, match=r"holds at most \d+ of these, not 200"):
        optimize_figure(result(200))
