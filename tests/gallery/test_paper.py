"""What a page is on paper, and what it asks for before it is scrolled, with scripts and without."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.browser import chromium

pytestmark = pytest.mark.browser


CLICKED = (
    ".turns, .finder, .jump, .controls, .slider, .keys, .skip, dialog, details:not([open]), "
    "nav[aria-label='On this page']"
)
"""What is clicked or typed."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def kinds(full_site: Path) -> list[str]:
    """A page of each kind: of those in one folder, and alike but for a number, the first."""
    paths = sorted(path.relative_to(full_site).as_posix() for path in full_site.rglob("*.html"))
    return sorted({re.sub(r"\d+", "#", path): path for path in reversed(paths)}.values())


def test_paper_is_white_and_without_controls(browser: Any, full_site: Path, kinds: list[str]) -> None:
    page = browser.new_page(color_scheme="dark", viewport={"width": 700, "height": 1000})
    seen = 0
    for path in kinds:
        page.goto((full_site / path).as_uri())
        seen += page.locator(CLICKED).locator("visible=true").count()
        page.emulate_media(media="print")
        assert page.locator(CLICKED).locator("visible=true").count() == 0, path
        assert page.locator("h1").is_visible(), path
        colours = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )
        paper, ink = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
        assert paper == 3 * 255, path
        assert ink < 200, path
        # A table or a drawing that scrolls on the screen is whole on paper.
        assert page.evaluate("document.documentElement.scrollWidth") <= 700, path
        split = page.evaluate(
            "[...document.querySelectorAll('figure, .wall li, .units li')]"
            ".filter((one) => getComputedStyle(one).breakInside !== 'avoid').length"
        )
        assert split == 0, path
        # Parted columns would show all of a sheet of which a tile is to show one unit.
        columns = page.locator(".panels").evaluate_all(
            "all => all.map((one) => getComputedStyle(one).columnCount)"
        )
        assert set(columns) <= {"auto"}, path
        page.emulate_media(media="screen")
    page.close()
    assert seen > 10


def asked_of(page: Any) -> set[str]:
    """The addresses that a page asks for from now on."""
    urls: set[str] = set()
    page.on("request", lambda request: urls.add(request.url))
    return urls


@pytest.mark.slow
@pytest.mark.parametrize("script", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_pictures_wait_for_their_reader(
    browser: Any, full_site: Path, kinds: list[str], script: bool
) -> None:
    for path in kinds:
        # What an earlier page left in memory would be taken from there at once.
        context = browser.new_context(viewport={"width": 700, "height": 300}, java_script_enabled=script)
        page = context.new_page()
        urls = asked_of(page)
        page.goto((full_site / path).as_uri(), wait_until="networkidle")
        tops: dict[str, float] = {}
        places = "(images) => images.map((image) => [image.src, image.getBoundingClientRect().top])"
        for address, top in page.locator(".late img").evaluate_all(places):
            tops[address] = min(top, tops.get(address, top))
        for address, _ in page.locator("img:not(.late img)").evaluate_all(places):
            tops.pop(address, None)
        assert not [address for address, top in tops.items() if top > 600 and address in urls], path
        assert not [address for address, top in tops.items() if 0 < top < 250 and address not in urls], path
        context.close()


@pytest.mark.parametrize("script", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_every_picture_comes_when_the_page_is_read(browser: Any, full_site: Path, script: bool) -> None:
    context = browser.new_context(viewport={"width": 700, "height": 900}, java_script_enabled=script)
    page = context.new_page()
    asked: set[str] = set()
    page.on("requestfinished", lambda request: asked.add(request.url))
    for path in ("index.html", "toy/layer1.html", "toy/minimal.html", "toy/concepts.html"):
        page.goto((full_site / path).as_uri(), wait_until="networkidle")
        boxes = page.locator(".late").locator("visible=true")
        for place in range(boxes.count()):
            boxes.nth(place).scroll_into_view_if_needed()
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(300)
        pictures = page.locator(".late img").locator("visible=true")
        wanted = set(pictures.evaluate_all("(images) => images.map((one) => one.src)"))
        assert wanted, path
        assert wanted <= asked, path
    context.close()


@pytest.mark.parametrize("path", ["toy/layer1.html", "toy/layer1/7.html"])
def test_the_keys_for_it_print_a_page_whole(browser: Any, full_site: Path, path: str) -> None:
    context = browser.new_context(viewport={"width": 700, "height": 200})
    page = context.new_page()
    page.goto((full_site / path).as_uri(), wait_until="networkidle")
    page.evaluate("window.print = () => { window.printed = true; }")
    page.keyboard.press("Control+p")
    page.wait_for_function("window.printed")
    first, second = (page.pdf(print_background=True).count(b"/Subtype /Image") for _ in range(2))
    # What was not there at first would be the second time.
    assert first == second > 2
    context.close()


def test_a_page_keeps_its_height_when_its_pictures_come(
    browser: Any, full_site: Path, kinds: list[str]
) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 200})
    for path in kinds:
        page.goto((full_site / path).as_uri())
        before = page.evaluate("document.documentElement.scrollHeight")
        page.evaluate("document.querySelectorAll('.late source').forEach((blank) => blank.remove())")
        page.evaluate("for (const image of document.images) image.loading = 'eager'")
        page.wait_for_function(
            "[...document.images].filter((one) => one.hasAttribute('src')).every((one) => one.complete)"
        )
        # What is far from the screen is guessed at, within a tile or two; a picture is larger.
        assert abs(page.evaluate("document.documentElement.scrollHeight") - before) < 20, path
    page.close()
