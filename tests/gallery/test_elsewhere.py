"""The nearest units in the other networks of a site, where runs share photographs."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from netviz.gallery import drawers
from netviz.gallery.build import build
from netviz.gallery.loading import load_kind
from netviz.questions.maps.result import MapsResult
from support.pages import Page, changed, tree


def part(*some: float, network: str = "toy") -> Any:
    def change(facts: dict[str, Any]) -> None:
        facts["network"] = network
        for image in facts["images"]:
            image["part"] = list(some)

    return change


@pytest.fixture(scope="module")
def runs(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run, and one whose maps of conv1 are those of the first in another order; of the second photograph too."""
    folder = tmp_path_factory.mktemp("elsewhere")
    first = changed(whole_run, folder / "toy", part(0, 0, 1, 1))
    second = changed(whole_run, folder / "other", part(0, 0, 1, 1, network="other"))
    rng = np.random.default_rng(5)
    for path in sorted(second.glob("maps/*/*.npz")):
        result = load_kind(path, MapsResult)
        before = result.maps.copy()
        result.maps[:] = np.maximum(rng.normal(size=before.shape), 0)
        if path.parent.name == "layer1":
            result.maps[:] = 3 * before[::-1] + 1
        result.save(path)
    return first, second


@pytest.fixture(scope="module")
def site(runs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build(runs, folder)
    return folder


def nearest(page: Page) -> list[tuple[str, float]]:
    text = page.text.partition("Nearest in the other networks")[2].partition("Correlation of their maps")[0]
    return [
        (f"{layer}/{unit}", float(r))
        for layer, unit, r in re.findall(r"((?:conv|relu)\d), unit (\d+) ([\d.]+)", text)
    ]


def test_the_nearest_unit_of_another_network_is_found_with_a_link(site: Path) -> None:
    for unit in range(6):
        page = Page(site / "toy/layer1" / f"{unit}.html")
        (first, alike), (_, second) = nearest(page)
        assert first == f"conv1/{5 - unit}"
        assert alike == 1 > second > 0
        assert f"../../other/layer1/{5 - unit}.html" in {link["href"] for link in page.all("a")}
        assert nearest(Page(site / "other/layer1" / f"{5 - unit}.html"))[0] == (f"conv1/{unit}", 1)
    note = "over 28 × 28 places of each photograph that both networks were shown: cat and coffee (other, 24 units)."
    assert note in Page(site / "toy/layer1/0.html").text
    assert "Nearest in the other networks" in Page(site / "about.html").text


def test_the_correlations_are_numpy_s(runs: tuple[Path, Path], site: Path) -> None:
    """Maps read by SciPy at the middles of 28 × 28 cells, and correlated by NumPy."""
    values: list[dict[str, Any]] = []
    for run in runs:
        values.append({})
        for folder in sorted(run.glob("maps/*")):
            read = []
            for path in sorted(folder.glob("*.npz")):
                maps = load_kind(path, MapsResult).maps.astype(np.float64)
                places = [(np.arange(28) + 0.5) * length / 28 - 0.5 for length in maps.shape[1:]]
                at = np.meshgrid(*places, indexing="ij")
                read.append([map_coordinates(one, at, order=1, mode="nearest").ravel() for one in maps])
            alias = {"layer1": "conv1", "layer2": "relu1", "layer3": "conv2", "layer4": "conv3"}[folder.name]
            for unit, row in enumerate(np.concatenate(read, axis=1)):
                values[-1][f"{alias}/{unit}"] = row
    for mine, folder in (("conv1/2", "layer1/2"), ("conv2/4", "layer3/4"), ("conv3/0", "layer4/0")):
        wanted = {name: np.corrcoef(values[0][mine], row)[0, 1] for name, row in values[1].items()}
        order = sorted(wanted, key=lambda name: -wanted[name])[:2]
        found = nearest(Page(site / "toy" / f"{folder}.html"))
        assert [name for name, _ in found] == order
        np.testing.assert_allclose([r for _, r in found], [wanted[name] for name in order], atol=2e-3)


def test_runs_without_a_photograph_in_common_say_nothing(
    whole_run: Path, runs: tuple[Path, Path], tmp_path: Path
) -> None:
    upper = changed(whole_run, tmp_path / "upper", part(0, 0, 0.5, 1))
    lower = changed(whole_run, tmp_path / "lower", part(0.5, 0, 1, 1, network="lower"))
    old = changed(whole_run, tmp_path / "old", lambda facts: facts.update(network="old"))
    build((upper, lower, old), tmp_path / "site")
    for network in ("toy", "lower", "old"):
        assert "Nearest in" not in Page(tmp_path / "site" / network / "layer1/0.html").text
    assert "Nearest in" not in Page(tmp_path / "site/about.html").text


def test_processes_and_another_order_give_the_same(
    runs: tuple[Path, Path], site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawers, "MANY", 0)
    build(runs, tmp_path / "site", workers=2)
    assert tree(tmp_path / "site") == tree(site)
    build(runs[::-1], tmp_path / "back")
    page = "toy/layer3/2.html"
    assert nearest(Page(tmp_path / "back" / page)) == nearest(Page(site / page))
