import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netviz.gallery.build import build
from netviz.gallery.loading import load_kind
from netviz.gallery.panels.journey import find_places, own_scale
from netviz.questions.maps.result import MapsResult
from netviz.questions.votes.result import VotesResult
from support.browser import chromium
from support.pages import Page

MakeRun = Callable[..., Path]


def votes(layer: str, alias: str, channels: int) -> VotesResult:
    share = np.linspace(-1, 1, channels).astype(np.float32)
    return VotesResult(
        share=share, beside=np.zeros_like(share), ablated=4 - share, units=np.array([channels - 1, 0]),
        maps=np.ones((2, 3, 4), np.float32), contributions=np.ones((2, 3, 4), np.float32),
        peaks=np.zeros((2, 2), np.int64), boxes=np.tile([0, 0, 9, 9], (2, 1)),
        image=np.zeros((48, 64, 3), np.uint8), network="toy", image_name="cat", layer=layer, alias=alias,
        layer_kind="conv", chosen=True, channels=channels, supporting=1, class_index=3, label="<b>dog</b>",
        called="class", predicted=True, score=4.0, score_of="raw output", to="zero", offset=0.0, exact=True,
        unchanged=0, center=None, step=None, patch_of="positions", full_passes="",
    )  # fmt: skip


@pytest.fixture(scope="module")
def journey_run(new_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = new_run(tmp_path_factory.mktemp("journey") / "run")
    votes("features.3", "conv3", 70).save(run / "votes" / "0.npz")
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    facts["votes"] = {"shown": [{"image": 0, "file": "votes/0.npz"}]}
    (run / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    return run


@pytest.fixture(scope="module")
def site(journey_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build([journey_run], folder)
    return folder


def stored(run: Path, layer: int = 3) -> Any:
    with np.load(run / "maps" / f"layer{layer}" / "cat.npz") as file:
        return file["maps"]


def test_each_layer_links_its_three_strongest_units(site: Path, journey_run: Path) -> None:
    page = Page(site / "toy" / "images" / "cat.html")
    links = [link["href"] for link in page.all("a")]
    peaks = stored(journey_run).reshape(6, -1).max(axis=1)
    wanted = [f"../../toy/layer3/{unit}.html" for unit in np.argsort(-peaks)[:3]]
    # The tile itself leads to the unit of its map, its name to the layer.
    at = links.index("../../toy/layer3.html")
    assert links[at - 1 : at + 4] == [wanted[0], "../../toy/layer3.html", *wanted]


def test_the_units_that_decided_are_told_with_share_and_change(site: Path) -> None:
    page = Page(site / "toy" / "images" / "cat.html")
    text = page.text.replace("\u2212", "-")
    assert "<b>dog</b> has the raw score 4. Each of the 70 units of conv3" in page.text
    assert "For <b>dog</b> UnitShareWithout it 69+1-1 68+0.971-0.971" in text
    assert "Against <b>dog</b> UnitShareWithout it 0-1+1 1-0.971+0.971" in text
    assert "Units that decided" not in Page(site / "toy" / "images" / "coffee.html").text


def test_units_of_a_layer_without_a_page_are_those_of_its_convolution(
    journey_run: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(journey_run, tmp_path / "run")
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    facts["layers"][5].update({"name": "last", "alias": "relu3"})
    (run / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    votes("last", "relu3", 70).save(run / "votes" / "0.npz")
    build([run], tmp_path / "site")
    page = Page(tmp_path / "site" / "toy" / "images" / "cat.html")
    assert "70 units of relu3" in page.text
    assert "Its units are those of conv3" in page.text
    assert "All about conv3" in page.text


def test_a_place_names_the_units_with_the_largest_values_in_it() -> None:
    rng = np.random.default_rng(1)
    own = rng.random((40, 16, 32))
    units = (np.arange(40) * 40).tolist()
    found = find_places(own, units)
    assert (found.rows, found.columns, found.digits) == (4, 8, 3)
    step = found.digits + 1
    for row, column in np.ndindex(4, 8):
        block = own[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].max(axis=(1, 2))
        text = found.told[(row * 8 + column) * 5 * step :][: 5 * step]
        told = [(int(text[at : at + 3], 36), int(text[at + 3], 36)) for at in range(0, len(text), step)]
        order = np.argsort(-block)[:5]
        assert told == [(units[at], round(10 * block[at])) for at in order]
    silent = find_places(np.zeros((2, 3, 3)), [0, 1])
    assert silent.told == "--" * 5 * 9


def test_a_unit_has_the_scale_of_all_photographs(journey_run: Path) -> None:
    result = load_kind(journey_run / "maps" / "layer3" / "cat.npz", MapsResult)
    largest = np.full(70, 100.0)
    largest[1] = 0.0
    own = own_scale(result, largest)
    np.testing.assert_allclose(own[0], result.maps[0] / 100)
    np.testing.assert_allclose(own[1], result.maps[1] / result.maps[1].max())
    np.testing.assert_allclose(own_scale(result, None), result.maps / result.maps.max())


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.mark.browser
def test_a_place_is_pointed_at_with_mouse_and_keys_and_kept_in_the_address(
    browser: Any, site: Path, journey_run: Path
) -> None:
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    address = (site / "toy" / "images" / "cat.html").as_uri()
    page.goto(address)
    page.get_by_label("Layer", exact=True).select_option(label="conv2")
    maps = stored(journey_run)

    def wanted(row: int, column: int) -> list[str]:
        # Maps of 12 × 16 in 6 × 8 places.
        block = maps[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].max(axis=(1, 2))
        return [f"unit {unit}" for unit in np.argsort(-block, kind="stable")[:5] if block[unit] > 0.2]

    def told() -> list[str]:
        return list(page.locator("#pointing-units a").all_inner_texts())

    probe = page.locator(".probe")
    probe.scroll_into_view_if_needed()
    box = probe.bounding_box()
    page.mouse.click(box["x"] + 0.06 * box["width"], box["y"] + 0.08 * box["height"])
    assert told() == wanted(0, 0)
    probe.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert told() == wanted(1, 1)
    kept = page.url
    assert kept.startswith(f"{address}#place=2,")
    page.goto("about:blank")
    page.goto(kept)
    assert told() == wanted(1, 1)
    page.locator("#pointing-units a").first.click()
    page.wait_for_url(f"**/toy/layer3/{wanted(1, 1)[0][5:]}.html")
    assert faults == []
    page.close()
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.locator(".pointing:visible").count() == 0
    assert page.locator(".strongest a:visible").count() == 12
    context.close()
