"""The search, the glossary and the lecture: what their pages say, and how they are used in a browser."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from netviz.gallery.panels.layer import Layer
from netviz.gallery.panels.overview import Manifest
from netviz.gallery.panels.search import search_index
from netviz.gallery.panels.unit import Unit
from netviz.gallery.panels.wall import Wall
from netviz.gallery.terms import TERMS, linked
from support.browser import chromium
from support.pages import Page

SLIDES = [
    "components",
    "contrast",
    "sift",
    "visualizing",
    "windows",
    "rcnn",
    "convolutional",
    "upsampling",
    "spectrum",
    "skips",
    "results",
]


@pytest.fixture(scope="module")
def index(full_site: Path) -> dict[str, Any]:
    """The index as a script finds it."""
    text = (full_site / "static" / "search-index.js").read_text(encoding="ascii")
    assert text.startswith("window.netvizIndex={")
    found: dict[str, Any] = json.loads(text.removeprefix("window.netvizIndex=").rstrip().removesuffix(";"))
    return found


def test_the_index_leads_to_what_is_there(
    index: dict[str, Any], full_site: Path, linked_pages: dict[str, Page]
) -> None:
    ids = {path: {one.get("id") for _, one in page.elements} for path, page in linked_pages.items()}
    kinds = set()
    for kind, name, told, address, *picture in index["things"]:
        kinds.add(index["kinds"][kind])
        page, _, anchor = address.partition("#")
        assert page in linked_pages, address
        # What narrows a wall is its state; all else is an id.
        assert not anchor or anchor in ids[page] or anchor.startswith("show="), address
        assert name, address
        assert told, address
        assert all((full_site / one[0]).is_file() for one in picture)
    assert kinds == {*index["kinds"]}


def test_every_unit_is_found(index: dict[str, Any], full_site: Path, linked_pages: dict[str, Page]) -> None:
    # What a wall says of itself, read from its page.
    walls = {}
    for path, page in linked_pages.items():
        numbers = {int(one["id"][1:]) for _, one in page.elements if re.fullmatch(r"u\d+", one.get("id", ""))}
        if numbers and path.count("/") == 1:
            walls[path] = numbers
    layers = {layer["page"]: layer for network in index["networks"] for layer in network["layers"]}
    assert {*layers} == {*walls}
    for path, layer in layers.items():
        units = layer["units"]
        assert walls[path] == set(range(units) if isinstance(units, int) else units), path
        paged = layer.get("paged", sorted(walls[path]))
        own = full_site / path.removesuffix(".html")
        assert {int(one.stem) for one in own.glob("*.html")} == {*paged}, path
        # The sheets that the pictures of all units are cut from.
        for key, count in (("first", len(paged)), ("rest", len(walls[path]) - len(paged))):
            if key in layer:
                before, after, _, _ = layer[key]
                sheets = range((count - 1) // index["count"] + 1)
                assert all((full_site / f"{before}{number}{after}").is_file() for number in sheets), path


def test_an_index_of_23000_units_is_small() -> None:
    def unit(number: int) -> Unit:
        marks = ("near-duplicate",) if number % 2 else ()
        return Unit(number, f"net/a/{number}.html", marks, paged=number % 3 == 0)

    def layer(place: int) -> Layer:
        units = [unit(number) for number in range(460)]
        wall = Wall(
            tuple(one for one in units if one.paged), tuple(one for one in units if not one.paged), 460, 16, 8
        )
        return cast(
            Layer,
            SimpleNamespace(
                name=f"features.{place}", title=f"conv{place}", kind="Conv2d", shape=(460, 7, 7), concepts=None,
                page=f"net/conv{place}.html", wall=wall, preview=None, filters=None, patches=None,
                maps=(), field=None,
            ),
        )  # fmt: skip

    layers = tuple(layer(place) for place in range(50))
    network = SimpleNamespace(
        name="net", folder="net", origin="random", layers=layers, paged=layers, images=(), components=None,
        concepts=None, minimal=None, fcn=None, searched=0,
    )  # fmt: skip
    text = search_index(cast(Manifest, SimpleNamespace(networks=(network,))))
    assert len(text) < 300_000


def test_a_term_is_linked_once_and_text_stays_text() -> None:
    text = linked("<b>Map</b>, maps & a receptive field of a map", "../", "map", "field", "receptive field")
    assert str(text) == (
        '&lt;b&gt;<a class="term" href="../glossary.html#map">Map</a>&lt;/b&gt;, maps &amp; a '
        '<a class="term" href="../glossary.html#receptive-field">receptive field</a> of a map'
    )
    with pytest.raises(KeyError):
        linked("a map", "", "no such word")


def test_the_glossary_has_every_term(full_site: Path, linked_pages: dict[str, Page]) -> None:
    page = linked_pages["glossary.html"]
    ids = {one["id"] for _, one in page.elements if "id" in one}
    assert {term.key for term in TERMS} <= ids
    assert all(term.text in page.text for term in TERMS)
    # Every panel of a unit, a layer and a photograph leads to its words.
    for path, words in (
        ("toy/layer3.html", {"unit", "filter", "map", "near-duplicate"}),
        ("toy/layer3/0.html", {"patch", "filter", "map"}),
        ("toy/images/cat.html", {"map", "layer", "hypercolumn"}),
    ):
        leads = {one["href"].partition("glossary.html#")[2] for one in linked_pages[path].all("a")}
        assert words <= leads, path


def test_the_lecture_has_every_slide(full_site: Path, linked_pages: dict[str, Page], run: Path) -> None:
    page = linked_pages["lecture.html"]
    assert [one["id"] for one in page.all("h2") if "id" in one][: len(SLIDES)] == SLIDES
    assert len(page.all("img")) >= 9
    # This site has a picture or a figure for all of it.
    assert "This site has nothing of it" not in page.text


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.mark.browser
def test_a_search_is_asked_from_anywhere_and_kept(browser: Any, full_site: Path) -> None:
    page = browser.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((full_site / "toy/layer3/0.html").as_uri())
    assert not [url for url in asked if url.endswith("search-index.js")]
    page.keyboard.press("/")
    page.wait_for_url("**/search.html**")
    assert page.evaluate("document.activeElement.id") == "ask"
    page.keyboard.type("5")
    page.wait_for_selector("#answers [role=option]")
    first = page.locator("#answers [role=option]").first
    # The unit of the layer that was left comes first.
    assert first.get_attribute("href").endswith("toy/layer3/5.html")
    assert page.locator("#ask").get_attribute("aria-expanded") == "true"
    assert re.match(r"\d+ results", page.locator("#asked").inner_text())
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    active = page.locator("#ask").get_attribute("aria-activedescendant")
    assert page.locator(f"#{active}").get_attribute("aria-selected") == "true"
    assert page.locator("[aria-selected=true]").count() == 1
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_url("**/toy/layer3/5.html")
    page.go_back()
    page.wait_for_selector("#answers [role=option]")
    assert page.locator("#ask").input_value() == "5"
    # One without a page stands on the wall.
    page.locator("#ask").fill("conv2 6")
    assert page.locator("#answers [role=option]").first.get_attribute("href").endswith("toy/layer3.html#u6")
    shown = page.locator("#answers [role=option] i").first.evaluate("(one) => one.style.backgroundImage")
    assert (full_site / shown.removeprefix('url("').removesuffix('")')).is_file()
    page.locator("#ask").fill("no such thing")
    assert "Nothing was found" in page.locator("#asked").inner_text()
    page.keyboard.press("Escape")
    assert page.locator("#ask").input_value() == ""
    assert page.locator("#layers").is_visible()
    page.close()
    assert faults == []


@pytest.mark.browser
def test_without_scripts_the_search_lists_the_layers(browser: Any, full_site: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((full_site / "search.html").as_uri())
    assert page.locator("#ask").count() == 1
    assert not page.locator("#ask").is_visible()
    assert "Searching needs a script" in page.locator("main").inner_text()
    page.locator("#layers a", has_text="conv2").first.click()
    page.wait_for_url("**/layer3.html")
    context.close()
