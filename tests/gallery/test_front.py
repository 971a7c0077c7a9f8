"""The first page: striking units, what can be seen, stages to scale."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netviz.gallery.build import build
from netviz.gallery.panels.front import Stage, group_stages, slab, strength, striking
from support.pages import Page, changed, leave_out


def unit(number: int, sparsity: float, scores: tuple[float, ...] = (4.0, 2.0), **more: Any) -> Any:
    patches = SimpleNamespace(scores=scores, names=("cat",) * len(scores), cut=more.pop("cut", 0))
    return SimpleNamespace(
        unit=number, marks=more.pop("marks", ()), numbers=SimpleNamespace(sparsity=sparsity), patches=patches
    )


def layer(*units: Any, shape: tuple[int, ...] = (8, 4, 4)) -> Any:
    return SimpleNamespace(wall=SimpleNamespace(units=units), shape=shape)


def test_strength_is_sparsity_times_how_even_the_scores_are() -> None:
    assert strength(unit(0, 0.5)) == pytest.approx(0.25)
    assert strength(unit(0, 0.5, (4.0, 3.0, 4.0))) == pytest.approx(0.5)
    assert strength(unit(0, 0.5, cut=2)) == pytest.approx(-1.75)
    last = strength(unit(0, 0.5, marks=("dead",)))
    assert last == strength(unit(0, float("nan"))) == strength(unit(0, 0.5, (-1.0, -2.0)))
    assert last < strength(unit(0, 0.0, cut=4))


def test_striking_units_are_spread_over_the_layers() -> None:
    layers = {at: layer(unit(0, 0.1), unit(at, 0.1 * (1 + at)), unit(9, 0.05)) for at in range(1, 7)}
    assert [(at, one.unit) for at, one in striking(layers, 3)] == [(2, 2), (4, 4), (6, 6)]
    # Fewer layers than are wanted: several of a layer, the most striking first.
    few = {at: layers[at] for at in (1, 2)}
    assert [(at, one.unit) for at, one in striking(few, 3)] == [(1, 1), (2, 2), (2, 0)]
    assert striking({}, 3) == []
    assert striking({0: layer()}, 3) == []


def test_stages_are_runs_of_layers_with_maps_of_one_size() -> None:
    shapes = [(8, 4, 4), (9, 4, 4), (10,), (8, 2, 2), (3, 4, 4)]
    layers = {at: layer(shape=shape) for at, shape in enumerate(shapes)}
    assert group_stages(layers) == [[0, 1], [3], [4]]


def test_blocks_are_to_scale() -> None:
    stages = [Stage((40, 80), 16, ("a", "b"), 2, "", None), Stage((10, 20), 64, ("c", "c"), 1, "", None)]
    sizes = [tuple(map(int, re.findall(r"\d+", slab(stage, stages)))) for stage in stages]
    (tall, narrow), (low, wide) = sizes
    assert (tall, wide) == (4 * low, 4 * narrow)


def test_the_first_page_of_a_whole_run(full_site: Path) -> None:
    page = Page(full_site / "index.html")
    links = [link["href"] for link in page.all("a")]
    assert [one["id"] for one in page.all("li") if one.get("id", "").startswith("see-")] == [
        f"see-{key}" for key in ("filters", "contrast", "patches", "concepts", "dense", "streams")
    ]
    # A tile of the shelf is a square of a sheet that is there, and leads to its unit.
    sheets = [image for image in page.all("img") if "front/shelf" in image["src"]]
    assert sheets
    for image in sheets:
        with Image.open(full_site / image["src"]) as sheet:
            assert sheet.size == (int(image["width"]), int(image["height"]))
        unit_of = re.fullmatch(r"Strongest patches of .*, unit (\d+)", image["alt"])
        assert unit_of
        assert any(link.endswith(f"/{unit_of[1]}.html") for link in links)
    assert len({image["alt"] for image in sheets}) == len(sheets)
    # Stages: both networks have maps of 24 × 32, then of 12 × 16.
    text = page.text
    assert text.count("24 × 32, 8 units") == 2
    assert text.count("12 × 16, 70 units") == 2
    assert text.index("What can be seen") < text.index("24 × 32, 8 units") < text.index("Facts, and all")


def test_a_map_is_normalized_as_the_run_has_it(full_site: Path) -> None:
    before = np.asarray(Image.open(full_site / "toy/front/before.png").convert("RGB")).astype(int)
    after = np.asarray(Image.open(full_site / "toy/front/after.png").convert("RGB")).astype(int)
    assert before.shape == after.shape == (9, 12, 3)
    assert (before != after).any()


def test_what_a_run_lacks_is_not_shown(run: Path, whole_run: Path, tmp_path: Path) -> None:
    build([run], tmp_path / "bare")
    page = Page(tmp_path / "bare" / "index.html")
    assert "Units to begin with" not in page.text
    assert [one["id"] for one in page.all("li") if one.get("id", "").startswith("see-")] == ["see-filters"]
    assert not (tmp_path / "bare" / "toy" / "front").exists()
    copy = changed(whole_run, tmp_path / "run", lambda facts: leave_out(facts, "components"))
    build([copy], tmp_path / "site")
    assert not (tmp_path / "site/toy/front/before.png").exists()
    assert (tmp_path / "site/toy/front/shelf.jpg").exists()
    assert "see-contrast" not in (tmp_path / "site/index.html").read_text(encoding="utf-8")
    files = json.loads((tmp_path / "site/site.json").read_text(encoding="utf-8"))["files"]
    assert {"toy/front/shelf.jpg", "toy/front/stages.jpg"} <= set(files)
