from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.browser import chromium

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(full_site: Path) -> Path:
    """The site under the short name that it has here."""
    return full_site


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Any, site: Path) -> Iterator[Any]:
    """A page that fails the test on an error, a message on the console, or a request that leaves the site."""
    page = browser.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("console", lambda message: faults.append(f"console: {message.text}"))
    # A picture that is still loading when the page is left counts as aborted.
    page.on("requestfailed", lambda r: faults.extend([r.url] if r.failure != "net::ERR_ABORTED" else []))
    page.on("request", lambda r: faults.extend([r.url] if not r.url.startswith(site.as_uri()) else []))
    page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
    yield page
    page.close()
    assert faults == []


def addresses(site: Path) -> list[str]:
    return [path.as_uri() for path in sorted(site.rglob("*.html"))]


def look_at(page: Any, address: str, width: int, themes: tuple[str, str]) -> None:
    """Load a page in the first theme, change to the second, and see that it fits and shows its images in both."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=themes[0])
    page.goto(address)
    for theme in themes:
        page.emulate_media(color_scheme=theme)
        page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
        page.evaluate("document.querySelectorAll('img').forEach((image) => { image.loading = 'eager'; })")
        # A script gives some images their address only when they are scrolled to.
        shown = "[...document.images].filter((image) => image.hasAttribute('src'))"
        page.wait_for_function(f"{shown}.every((image) => image.complete)")
        page.evaluate(f"Promise.all({shown}.map((image) => image.decode()))")
        assert page.evaluate(f"{shown}.every((image) => image.naturalWidth > 0)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        assert page.evaluate("window.hacked") is None
        color = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g)")
        assert (sum(map(int, color)) < 200) == (theme == "dark")


BOTH = [(400, ("light", "dark")), (1280, ("dark", "light"))]


@pytest.mark.parametrize(("width", "themes"), BOTH)
def test_every_kind_of_page_fits_and_shows_its_images(
    page: Any, site: Path, kinds: list[str], width: int, themes: tuple[str, str]
) -> None:
    for path in kinds:
        look_at(page, (site / path).as_uri(), width, themes)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "themes"), [*BOTH, (400, ("dark", "light")), (1280, ("light", "dark"))])
def test_every_page_fits_and_shows_its_images(
    page: Any, site: Path, width: int, themes: tuple[str, str]
) -> None:
    for address in addresses(site):
        look_at(page, address, width, themes)


def test_arrow_keys_turn_pages(page: Any, site: Path) -> None:
    page.goto((site / "toy/layer1.html").as_uri())
    page.keyboard.press("ArrowLeft")
    assert page.url.endswith("toy/layer1.html")
    for place in (2, 3, 4):
        page.keyboard.press("ArrowRight")
        page.wait_for_url(f"**/toy/layer{place}.html")
    page.keyboard.press("Control+ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**/toy/layer3.html")


def test_f_finds_a_layer_on_the_overview(page: Any, site: Path) -> None:
    page.goto((site / "index.html").as_uri())
    page.keyboard.press("f")
    assert page.evaluate("document.activeElement.id") == "find"
    page.keyboard.type("conv2 16 x 12")
    assert page.locator("#found").inner_text() == "0 layers"
    page.locator("#find").fill("12 x 16 features.2")
    assert page.locator("#found").inner_text() == "1 layer"
    assert page.locator("[data-find]:visible").count() == 2
    page.keyboard.press("Escape")
    assert page.locator(".cards [data-find]:visible").count() == 8
    page.keyboard.press("f")
    page.keyboard.type("relu1")
    page.keyboard.press("Enter")
    page.wait_for_url("**/toy/layer2.html")


def test_l_on_a_layer_opens_the_list_of_layers(page: Any, site: Path) -> None:
    page.goto((site / "toy/layer1.html").as_uri())
    assert not page.locator("#jump li a").first.is_visible()
    page.keyboard.press("l")
    page.keyboard.type("conv3")
    assert page.locator("#jump li:visible").all_inner_texts() == ["conv3"]
    page.keyboard.press("ArrowRight")
    assert page.url.endswith("toy/layer1.html")
    page.keyboard.press("Enter")
    page.wait_for_url("**/toy/layer4.html")


def test_a_unit_has_an_address(page: Any, site: Path) -> None:
    page.goto((site / "toy/layer4.html").as_uri() + "#u42")
    box = page.locator("#u42").bounding_box()
    assert 0 <= box["y"] < page.viewport_size["height"]


def test_components_are_reached_from_the_overview_and_from_their_layers(page: Any, site: Path) -> None:
    page.goto((site / "index.html").as_uri())
    page.locator("#toy a[href='toy/components.html']").click()
    page.wait_for_url("**/toy/components.html")
    page.locator("a", has_text="All about conv2").click()
    page.wait_for_url("**/toy/layer3.html")
    page.locator("a", has_text="conv2 step by step").click()
    page.wait_for_url("**/toy/components.html#deeper")
    assert 0 <= page.locator("#deeper").bounding_box()["y"] < page.viewport_size["height"]


@pytest.mark.parametrize("width", [400, 1280])
def test_text_in_a_drawing_stays_readable(page: Any, site: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto((site / "toy/components.html").as_uri())
    # Of each layer the first picture of the first photograph is open, the others by their names.
    assert page.locator(".sheet:visible").count() == 2
    assert page.locator("summary").all_inner_texts() == ["cat", "coffee"] * 5 + ["cat"]
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    for sheet in page.locator(".sheet").all():
        drawn = sheet.locator("img")
        shown, natural = drawn.bounding_box()["width"], int(drawn.get_attribute("width"))
        assert shown >= min(natural, 760)
        # A page that is wide enough scales nothing up, and scrolls nothing.
        fits = sheet.evaluate("(box) => box.scrollWidth <= box.clientWidth")
        assert fits == (width == 1280)
        assert width == 400 or shown <= natural + 1


@pytest.mark.parametrize("width", [400, 1280])
def test_a_units_patches_keep_their_shape(page: Any, site: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto((site / "toy/layer3/0.html").as_uri())
    box = page.locator("section[aria-labelledby=patches] .tile").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(147 / 72, rel=0.02)
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width


def test_a_concept_leads_to_its_unit(page: Any, site: Path) -> None:
    page.goto((site / "index.html").as_uri())
    page.locator("a", has_text="Which units detect what").first.click()
    page.wait_for_url("**/toy/concepts.html")
    page.locator(".wall.masks a").first.click()
    page.wait_for_url("**/toy/layer1/7.html")
    block = page.locator("section[aria-labelledby=concept]")
    assert "red, IoU 0.07" in block.inner_text()
    # The mask has the shape of its photograph.
    tile = block.locator(".tile").bounding_box()
    assert tile["width"] / tile["height"] == pytest.approx(64 / 48, rel=0.03)


def test_minimal_images_are_reached(page: Any, site: Path) -> None:
    page.goto((site / "index.html").as_uri())
    page.locator("a", has_text="How little of a photograph it takes").first.click()
    page.wait_for_url("**/toy/minimal.html")
    assert page.locator(".sheet img").count() == 1


def test_reading_needs_no_script(browser: Any, site: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    assert not page.locator("#find").is_visible()
    page.locator("summary").first.click()
    assert page.locator("table").first.is_visible()
    page.locator(".card").first.click()
    page.wait_for_url("**/toy/layer1.html")
    page.locator("a[rel=next]").first.click()
    page.wait_for_url("**/toy/layer2.html")
    context.close()
