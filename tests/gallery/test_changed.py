"""Two checkpoints on one site: the page of what changed, and the line on each unit's page."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from netviz.errors import ResultError
from netviz.gallery.build import build
from netviz.gallery.loading import load_kind
from netviz.questions.filters.result import FiltersResult
from support.pages import Page, changed


@pytest.fixture(scope="module")
def pair(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run, and the same with unit 3 of conv1 zeroed and unit 5 of conv2 halved."""
    folder = tmp_path_factory.mktemp("pair") / "tuned"
    other = changed(whole_run, folder, lambda facts: facts.update(network="tuned"))
    for layer, unit, factor in ((1, 3, 0.0), (3, 5, 0.5)):
        path = other / "filters" / f"layer{layer}.npz"
        result = load_kind(path, FiltersResult)
        result.weight[unit] *= factor
        result.save(path)
    return whole_run, other


@pytest.fixture(scope="module")
def site(pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compared")
    build(pair, folder, compare=True)
    return folder


def test_the_units_that_changed_stand_first(site: Path) -> None:
    page = Page(site / "tuned" / "changed.html")
    assert "2 of 86 units changed. 1 unit is silent in one of the two." in page.text
    assert re.findall(r"(conv\d), unit (\d+)", page.text) == [("conv1", "3"), ("conv2", "5")]
    # Half of a filter is half of its length away.
    assert "Filter distance 0.5, maps correlate 1, 100 % of its patches in common." in page.text
    links = [link["href"] for link in page.all("a")]
    assert {"../toy/layer1/3.html", "../tuned/layer1/3.html", "../toy/layer3/5.html"} <= set(links)


def test_a_unit_s_page_leads_to_its_twin(site: Path) -> None:
    before, after = (Page(site / name / "layer3" / "5.html") for name in ("toy", "tuned"))
    assert "After: unit 5 of tuned, filter distance 0.5" in before.text
    assert "Before: unit 5 of toy, filter distance 0.5" in after.text
    assert "../../tuned/layer3/5.html" in {link["href"] for link in before.all("a")}
    assert "the same filter" in Page(site / "toy" / "layer3" / "4.html").text
    assert "tuned/changed.html" in {link["href"] for link in Page(site / "index.html").all("a")}


def test_a_site_says_nothing_of_it_unasked(pair: tuple[Path, Path], site: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(site, tmp_path / "site")
    report = build(pair, folder)
    assert {"tuned/changed.html", "tuned/changed/filters.png"} <= set(report.removed)
    assert "Before:" not in Page(folder / "tuned" / "layer3" / "5.html").text


def test_what_cannot_be_compared_is_told_in_one_line(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="name another"):
        build(pair[:1], tmp_path / "one", compare=True)

    def rename(facts: dict) -> None:
        for layer in facts["layers"]:
            layer["name"] += "x"

    other = changed(pair[0], tmp_path / "other", rename)
    with pytest.raises(ResultError, match="no layer of the same name and shape"):
        build((pair[0], other), tmp_path / "site", compare=True)
    assert not (tmp_path / "site").exists() or not np.any(list((tmp_path / "site").iterdir()))
