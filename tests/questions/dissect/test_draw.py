from collections import Counter

import numpy as np
import pytest

from netviz.errors import LayerError, OutputError, ResultError
from netviz.paper.page import Page, lay_out, smallest_points
from netviz.paper.style import CLASSES, DEAD
from netviz.questions.dissect.csv import write_table
from netviz.questions.dissect.draw import Counts, colour_of, concept_colour
from netviz.questions.dissect.draw_compare import comparison_figure
from netviz.questions.dissect.draw_matrix import dissection_matrix_figure
from netviz.questions.dissect.draw_units import dissection_units_figure
from netviz.questions.dissect.picture import compare
from netviz.questions.drawing import draw, figure
from netviz.results.files import write_bytes
from support.dissection import bars, check_layout, counted, dissection, make_dissection_run, random, said
from support.patches import coordinates, make_patches

HOSTILE = (
    "two\nlines\x1b[31m",
    r"$\frac{1}{0}$ $",
    "x" * 300,
    "",
    "_hidden",
    "\u202eabc \U0001f600",
    "<b>&amp;",
)


@pytest.mark.parametrize(("units", "count"), [(9, 3), (300, 40), (900, 230)])
def test_bars_are_as_long_as_the_number_of_units(units, count):
    result = random(units, count)
    drawn = figure(result)
    wanted = counted(result)
    found = bars(drawn)
    assert len(found) == min(90, len(wanted))
    unit = {
        name: width / wanted[name, kind]
        for name, _, width, _ in found
        for kind in ("object", "part")
        if (name, kind) in wanted
    }
    np.testing.assert_allclose(list(unit.values()), unit[found[0][0]])
    # Grouped by category, most first.
    kinds = dict(result.concepts)
    assert [kinds[name] for name, *_ in found] == sorted(kinds[name] for name, *_ in found)
    for kind in ("object", "part"):
        widths = [width for name, _, width, _ in found if kinds[name] == kind]
        assert widths == sorted(widths, reverse=True)
    text = " ".join(said(drawn))
    assert (
        f"{sum(wanted.values())} of {units} units detect {len(wanted)} different of {count} concepts" in text
    )
    assert "if that is above 0.04" in text
    hidden = sorted(wanted.values(), reverse=True)[90:]
    if hidden:
        assert "bars of the 90 with most units" in text
        more = [part.split() for part in said(drawn) if part.startswith("and ")]
        assert sum(int(part[1]) for part in more) == len(hidden)
        assert sum(int(part[4]) for part in more) == sum(hidden)
    check_layout(drawn)


def test_on_a_narrow_page_bars_leave_names_and_numbers_their_room():
    result = random(9, 3)
    drawn, wide = lay_out(lambda: figure(result), Page(width=3.5))
    assert smallest_points(drawn, wide) == pytest.approx(6)
    assert len(bars(drawn)) == len(counted(result))
    check_layout(drawn)


def test_counts_and_best_iou_are_written():
    result = dissection([[0.3, 0.1, 0], [0.2, 0.1, 0], [0.01, 0.0625, 0.01], [0.04, 0.0, 0.0]])
    drawn = figure(result)
    assert [(name, colour) for name, _, _, colour in bars(drawn)] == [
        ("thing 0", pytest.approx((*[int(CLASSES[0][at : at + 2], 16) / 255 for at in (1, 3, 5)], 1))),
        ("thing 1", pytest.approx((*[int(CLASSES[1][at : at + 2], 16) / 255 for at in (1, 3, 5)], 1))),
    ]
    text = said(drawn)
    assert text[text.index("thing 0") + 1 :][:2] == ["2", "best IoU 0.3000"]
    assert text[text.index("thing 1") + 1 :][:2] == ["1", "best IoU 0.1000"]
    assert "1 concept, 2 units" in text
    assert "without a bar: 1 concept that no unit detects" in " ".join(text)
    assert colour_of("k", [*"abcdefghijklmnopqrstuvwxyz", "k"]) == CLASSES[10]
    assert colour_of("z", "abcdefghijklmnopqrstuvwxyz") == DEAD


def test_colours_have_their_own_colours():
    assert concept_colour(("colour", "yellow"), "#123456") == "#ffff00"
    assert concept_colour(("color", "brown-c"), "#123456") == "#8b4513"
    assert (
        concept_colour(("object", "orange"), "#123456")
        == concept_colour(("colour", "mauvish"), "#123456")
        == "#123456"
    )


def test_without_detectors_the_best_iou_of_each_concept_is_drawn():
    result = dissection(
        random(50, 40, high=0.039).iou, concept_area=np.array([0, *[5] * 39]), placed="evenly"
    )
    drawn = figure(result)
    peak = result.iou.max(axis=0)
    found = bars(drawn)
    assert len(found) == 39
    at = [int(name.split()[1]) for name, *_ in found]
    lengths = np.array([width for _, _, width, _ in found])
    np.testing.assert_allclose(lengths / lengths[0], peak[at] / peak[at[0]])
    text = said(drawn)
    assert "no unit detects a concept" in " ".join(text)
    assert "1 concept that no pixel has" in " ".join(text)
    assert "spread evenly" in " ".join(text)
    for name, number in zip(at, result.iou.argmax(axis=0)[at], strict=True):
        assert text[text.index(f"thing {name}") + 1 :][:2] == [f"{peak[name]:.4f}", f"unit {number}"]
    # The level stands where a bar of 0.04 would end.
    start = found[0][1] + lengths[0] / peak[at[0]] * 0.04
    assert any(
        text.get_text() == "0.04" and abs(text.get_position()[0] - start) < 0.01
        for text in drawn.axes[0].texts
    )
    check_layout(drawn)


def test_hostile_names_stay_on_one_line_and_on_the_paper(tmp_path):
    concepts = [(name, f"kind{name}") for name in HOSTILE] + [(name, "all") for name in HOSTILE]
    iou = np.eye(len(concepts)) * 0.5
    result = dissection(iou, concepts, network="$x$\n" * 99, layer="y" * 300)
    patches = make_patches(np.tile([10, 20, 50, 60], (len(concepts), 3, 1)), layer="y" * 300)
    for drawn in (
        figure(result),
        figure(dissection(iou * 0.01, concepts)),
        comparison_figure([Counts.of(result, "a\n$b$" * 99), Counts.of(result, "")]),
        dissection_matrix_figure(result),
        dissection_units_figure(result, patches, coordinates, units="0:9"),
    ):
        assert not any("\n" in text or "\x1b" in text for text in said(drawn))
        assert all(not text.get_parse_math() for text in drawn.axes[0].texts)
        check_layout(drawn)


def test_a_concept_without_a_name_is_detected_by_none():
    drawn = figure(dissection([[0.5, 0.1]], (("", "object"), ("tree", "object"))))
    assert "no unit detects a concept" in " ".join(said(drawn))


def test_side_by_side_every_column_has_the_same_rows_and_scale():
    first, second = random(300, 40), dissection(random(120, 40, seed=1).iou[:, ::-1])
    other = dissection([[0.5]], (("elsewhere", "place"),))
    drawn = comparison_figure(
        [Counts.of(one, name) for one, name in ((first, "a"), (second, "b"), (other, "c"))]
    )
    counts = [counted(one) for one in (first, second, other)]
    kinds = {**dict(first.concepts), **dict(other.concepts)}
    found = bars(drawn)
    starts = sorted({x for _, x, _, _ in found})
    assert len(starts) == 3
    names = list(dict.fromkeys(name for name, *_ in found))
    total = Counter(counts[0] + counts[1] + counts[2])
    wanted = sorted(
        total, key=lambda one: (("object", "part", "place").index(one[1]), -total[one], one[::-1])
    )
    assert names == [name for name, _ in wanted]
    scale = max(max(one.values()) for one in counts)
    full = max(width for _, _, width, _ in found)
    for name, x, width, _ in found:
        own = counts[starts.index(x)][name, kinds[name]]
        assert width == pytest.approx(full * own / scale)
    text = said(drawn)
    for one, count in zip((first, second), counts, strict=False):
        assert f"{one.channels} units" in text
        # Each category by itself: the even concepts are objects, the odd ones parts.
        unique = {
            (at, int(found[at::2].argmax()))
            for at in (0, 1)
            for found in one.iou
            if found[at::2].max() > one.detect
        }
        assert f"{sum(count.values())} detectors, {len(unique)} unique" in text
    # A concept that a data set does not have is no concept of no unit.
    assert text.count("–") == 2 + len(names) - 1
    check_layout(drawn)


def test_side_by_side_without_detectors_and_too_many():
    result = Counts.of(dissection([[0.01, 0.02], [0.03, 0]]), "a")
    drawn = comparison_figure([result] * 2)
    assert [name for name, *_ in bars(drawn)] == ["thing 0", "thing 0", "thing 1", "thing 1"]
    assert "no unit detects a concept" in " ".join(said(drawn))
    check_layout(drawn)
    check_layout(comparison_figure([Counts.of(random(90, 30), "b")] * 14))
    for count in (0, 40):
        with pytest.raises(OutputError, match=f"holds 1 to 14 layers side by side, not {count}"):
            comparison_figure([result] * count)


def test_runs_files_and_results_are_drawn_alike(tmp_path):
    run = make_dissection_run(tmp_path / "run")
    file = run / "layers" / "features.3.npz"
    for show in ("concepts", "units", "matrix"):
        data = [
            draw(source, tmp_path / "a.png", layer=layer, show=show).read_bytes()
            for source, layer in ((run, "conv2"), (str(file), None), ([run], "features.3"))
        ]
        assert data[0] == data[1] == data[2]
        assert data[0].startswith(b"\x89PNG")
    assert draw(run, tmp_path / "b.npz", layer="conv1").stat().st_size
    # Without a layer all of them stand side by side.
    both = draw(run, tmp_path / "a.png").read_bytes()
    assert both != draw(run, tmp_path / "b.png", layer="conv1").read_bytes()
    assert draw([run, file], tmp_path / "c.svg").read_text().startswith("<?xml")
    with pytest.raises(LayerError, match="holds 2 layers"):
        draw(run, tmp_path / "a.png", show="units")
    with pytest.raises(LayerError, match="holds 2 layers"):
        draw(run, tmp_path / "a.npz")


def test_a_table_is_drawn_like_its_result(tmp_path):
    result = random(60, 9)
    path = write_bytes(tmp_path / "a.csv", write_table(result))
    assert draw(path, tmp_path / "a.png").stat().st_size
    drawn = [compare([source]) for source in (path, result)]
    assert bars(drawn[0]) == bars(drawn[1])
    assert said(drawn[0])[-20:] == said(drawn[1])[-20:]


def test_what_cannot_be_drawn_is_said_in_one_line(tmp_path):
    run, result, out = make_dissection_run(tmp_path / "run"), random(9, 3), tmp_path / "a.png"
    for source, options, message in (
        (result, {"show": "units"}, "in the folder of its run"),
        (result, {"units": "0:3"}, "--units chooses for --show units"),
        ([run, result], {"show": "matrix"}, "draw one layer of one run"),
        ([run, result], {"units": "0"}, "draw one layer of one run"),
        ([run, make_patches([[[0, 0, 9, 9]]])], {}, "no result of kind 'patches'"),
        (
            run / "patches",
            {"layer": "conv1", "show": "matrix"},
            "--show chooses what is drawn of a dissection",
        ),
        ([], {}, "not 0"),
    ):
        with pytest.raises(OutputError, match=message):
            draw(source, out, **options)
    with pytest.raises(OutputError, match=r"cannot write .*npz"):
        draw([run, run], tmp_path / "a.npz")
    with pytest.raises(ValueError, match="show must be one of concepts, units, matrix, not 'x'"):
        draw(result, out, show="x")
    with pytest.raises(ResultError, match="no such file"):
        draw(tmp_path / "gone.csv", out)
    with pytest.raises(ResultError, match="no such file"):
        draw([run, tmp_path / "gone"], out)
    damaged = random(9, 3)
    damaged.iou[0, 0] = np.nan
    with pytest.raises(ResultError, match="iou holds NaN"):
        draw(damaged.save(tmp_path / "damaged.npz"), out)
    assert not out.exists()
