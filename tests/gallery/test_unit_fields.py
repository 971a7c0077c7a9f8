import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netviz.errors import ResultError
from netviz.gallery.build import build
from netviz.gallery.panels.fields import middle, outline
from netviz.questions.field.result import FieldResult
from netviz.results.survey import FieldRecord
from support.fields import FIELD, add_results, effective, measured, place_units
from support.pages import Page, changed, leave_out


def inside(path: str, size: int) -> np.ndarray:
    """Fill a path of horizontal and vertical lines by the nonzero rule, at the middles of unit squares."""
    winding = np.zeros((size, size), dtype=int)
    for loop in path.split("z"):
        if not loop:
            continue
        x, y = (int(one) for one in re.match(r"M(-?\d+) (-?\d+)", loop).groups())
        start = (x, y)
        for which, length in re.findall(r"([hv])(-?\d+)", loop):
            to = (x + int(length), y) if which == "h" else (x, y + int(length))
            if which == "v":
                low, high = sorted((y, to[1]))
                winding[low:high, x:] += int(np.sign(to[1] - y))
            x, y = to
        # The last line is left to "z".
        assert (x == start[0]) or (y == start[1])
        if x == start[0] and y != start[1]:
            low, high = sorted((y, start[1]))
            winding[low:high, x:] += int(np.sign(start[1] - y))
    return winding != 0


@pytest.mark.parametrize("seed", range(12))
def test_the_outline_holds_the_mask(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((7, 9)) < rng.uniform(0.1, 0.95)
    drawn = inside(outline(mask, (3, 5), 2), 40)
    expected = np.zeros((40, 40), dtype=bool)
    expected[5:19, 3:21] = np.kron(mask, np.ones((2, 2), dtype=bool))
    np.testing.assert_array_equal(drawn, expected)


def test_nothing_has_no_outline():
    assert outline(np.zeros((3, 3), dtype=bool), (0, 0), 1) == ""


def test_the_middle_of_a_field():
    placed = FieldRecord((9.0, 5.0), (2.0, 4.0), (-4.0, -2.0), "exact", "")
    assert middle(placed, (3, 1), (10, 10), (99, 99)) == (6.0, 4.0)
    whole = FieldRecord((64.0, 48.0), (0.0, 0.0), (0.0, 0.0), "global", "")
    assert middle(whole, (0, 3), (4, 4), (64, 48)) == (7.5, 41.5)
    assert middle(FieldRecord(None, None, None, "unknown", ""), (0, 0), (1, 1), (64, 48)) == (31.5, 23.5)


def prepared(run: Path, folder: Path, field: Any = FIELD, form: str = "full") -> Path:
    """Copy a run, whose first convolution has this theoretical field, and no other yet."""

    def change(facts: dict[str, Any]) -> None:
        facts["form"] = form
        # Figures take long to draw, and are tested elsewhere.
        leave_out(facts, "components", "minimal")

    return place_units(changed(run, folder, change), field)


@pytest.fixture(scope="module")
def site(told_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fields")
    run = prepared(told_run, folder / "run")
    add_results(run, fields=effective(), measured=measured())
    build([run], folder / "site")
    return folder / "site"


def section(site: Path, unit: int, slug: str = "layer1") -> str:
    text = (site / "toy" / slug / f"{unit}.html").read_text(encoding="utf-8")
    found = re.search(r'<section aria-labelledby="fields">.*?</section>', text, re.DOTALL)
    return found[0] if found else ""


def test_three_fields_where_the_unit_is_strongest(site):
    text = section(site, 4)
    # Unit 4 looks from row 8, column 9: its middle is the pixel of row 16 and column 18.
    assert 'viewBox="12 10 13 13"' in text
    lines = dict(re.findall(r'<path class="(box|ring|blot)" d="([^"]*)"', text))
    assert set(lines) == {"box", "ring", "blot"}
    assert lines["box"] == "M14 12H23V21H14z"
    # 25 px² and four times as wide as high, one pixel left of the middle and half a pixel below.
    x, y, across, down = (
        float(one) for one in re.match(r"M(\S+) (\S+)a(\S+) (\S+) ", lines["ring"]).groups()
    )
    assert math.pi * across * down == pytest.approx(25, rel=1e-2)
    assert across / down == pytest.approx(4, rel=1e-2)
    assert (x + across, y) == pytest.approx((17.5, 17.0))
    drawn = inside(lines["blot"], 64)
    expected = np.zeros((64, 64), dtype=bool)
    expected[16:19, 17:19] = True
    np.testing.assert_array_equal(drawn, expected)


def test_sizes_lines_and_photograph_are_told(site):
    page = Page(site / "toy" / "layer1" / "4.html")
    plain = section(site, 4).replace("\N{NO-BREAK SPACE}", " ")
    plain = re.sub(r'<a class="term"[^>]*>([^<]*)</a>', r"\1", plain)
    for claim in (
        "Theoretical: 9 × 9 px.",
        "Effective: 5 px.",
        "56 % of the theoretical width",
        "Measured: 2.45 px.",
        "2 px of random colours, in steps of 1 px, over 1 photograph",
        "Laid over cat",
        "netviz</span> <span>field</span>",
        "--unit</span> <span>4</span>",
    ):
        assert claim in plain
    (label,) = re.findall(r'<img [^>]*alt="(Receptive fields[^"]*)"', plain)
    assert label == (
        "Receptive fields of conv1, unit 4 on photograph cat: theoretical 9 × 9 px; effective 5 px; measured 2.45 px"
    )
    assert 'class="key box"' in plain
    assert 'class="key ring"' in plain
    assert 'class="key blot"' in plain
    assert (site / "toy" / "layer1" / "measured.npz").is_file()
    assert "../../toy/layer1/measured.npz" in [link["href"] for link in page.all("a")]


@pytest.mark.parametrize(
    ("unit", "why"),
    [(2, "is this unit above 0"), (3, "No occluder changes this unit"), (5, "This unit was not measured")],
)
def test_a_unit_without_a_measured_field_says_why(site, unit, why):
    text = section(site, unit)
    assert why in text
    assert 'class="blot"' not in text
    assert "empirical" not in text
    assert 'class="ring"' in text


@pytest.mark.parametrize("form", ["quick", "full"])
def test_a_run_without_measured_fields_tells_two(told_run, tmp_path, form):
    run = prepared(told_run, tmp_path / "run", form=form)
    add_results(run, fields=effective())
    build([run], tmp_path / "site")
    units = sorted((tmp_path / "site" / "toy" / "layer1").glob("*.html"))
    text = section(tmp_path / "site", int(units[0].stem))
    assert "Nothing was covered" in text
    assert ("quick form" in text) == (form == "quick")
    assert 'class="ring"' in text
    assert not (tmp_path / "site" / "toy" / "layer1" / "measured.npz").exists()


def test_a_run_with_neither_has_no_such_section(told_run, tmp_path):
    build([prepared(told_run, tmp_path / "run")], tmp_path / "site")
    assert section(tmp_path / "site", 4) == ""


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (replace(FIELD, status="upper_bound"), "at most 9 × 9 px"),
        (FieldRecord((48.0, 64.0), (0.0, 0.0), (0.0, 0.0), "global"), "the whole input"),
        (replace(FIELD, size=(99.0, 99.0), start=(-49.0, -49.0)), "goes on beyond the picture"),
        (
            FieldRecord(None, None, None, "unknown", "<b>fft2</b>"),
            "cannot follow &lt;b&gt;fft2&lt;/b&gt;",
        ),
    ],
)
def test_fields_that_are_no_box_in_the_picture(told_run, tmp_path, field, said):
    run = prepared(told_run, tmp_path / "run", field)
    status, box = field.status, effective().box
    unknown = status == "unknown"
    center, box = (None, None) if unknown else ((24.0, 32.0), box)
    add_results(
        run, fields=effective(status=status, center=center, box=box), measured=measured(status=status)
    )
    build([run], tmp_path / "site")
    text = section(tmp_path / "site", 4).replace("\N{NO-BREAK SPACE}", " ")
    assert said in text
    assert 'viewBox="0 0 64 48"' in text or status == "upper_bound"
    assert ('<path class="box"' in text) == (not unknown)
    assert ("plain paper" in text) == unknown
    assert ('role="img" aria-label="Receptive fields' in text) == unknown


@pytest.mark.parametrize(
    "result",
    [
        effective(channels=9),
        measured(channels=9),
        measured(maps=np.zeros((2, 3, 3), dtype=np.uint8)),
        measured(cell=0),
    ],
)
def test_a_file_of_another_layer_is_refused(told_run, tmp_path, result):
    run = prepared(told_run, tmp_path / "run")
    add_results(run, **{"fields" if isinstance(result, FieldResult) else "measured": result})
    with pytest.raises(ResultError, match="does not fit its layer"):
        build([run], tmp_path / "site")


def test_another_result_is_refused(told_run, tmp_path):
    run = prepared(told_run, tmp_path / "run")
    add_results(run, measured=effective())
    with pytest.raises(ResultError, match="holds field, not measured"):
        build([run], tmp_path / "site")
