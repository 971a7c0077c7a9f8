import contextlib
import functools
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netviz.gallery.build import build
from netviz.questions.units.result import NearestResult
from support.browser import chromium
from support.pages import leave_out
from support.patches import facts_of, make_patches

pytestmark = pytest.mark.browser


UNITS = 2048
"""As many as the widest layers in use have."""


@pytest.fixture(scope="module")
def told(told_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with all units of small layers."""
    folder = tmp_path_factory.mktemp("told")
    shutil.copytree(told_run, folder / "run")
    facts = json.loads((folder / "run" / "run.json").read_text())
    leave_out(facts, "components", "minimal")
    (folder / "run" / "run.json").write_text(json.dumps({**facts, "form": "full"}))
    build([folder / "run"], folder / "site")
    return folder / "site"


@pytest.fixture(scope="module")
def wide(new_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with a layer of 2048 units, whose patches are of noise: no JPEG of real photographs is larger."""
    folder = tmp_path_factory.mktemp("wide")
    new_run(folder / "run", photos=("cat",))
    rng = np.random.default_rng(5)
    names = []
    for number in range(4):
        coarse = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
        names.append(folder / f"photo{number}.png")
        coarse.resize((160, 120), Image.Resampling.BICUBIC).save(names[-1])
    corner = rng.integers(0, 80, (UNITS, 4, 2))
    box = np.concatenate([corner, corner + 40], axis=-1)
    result = make_patches(
        box,
        layer="features.0",
        max=rng.permutation(UNITS).astype(np.float32) / 64,
        maps=rng.random((UNITS, 4, 3, 3)).astype(np.float16),
    )
    result.save(folder / "run" / "patches" / "layers" / "wide.npz")
    noted = {**facts_of(("features.0", "conv1", UNITS))["layers"][0], "file": "layers/wide.npz"}
    (folder / "run/patches/run.json").write_text(json.dumps({**facts_of(), "layers": [noted]}))
    (folder / "run/patches/images.txt").write_text("".join(f"{name}\n" for name in names))
    NearestResult(
        nearest=np.full((UNITS, 5), -1), similarity=np.full((UNITS, 5), np.nan, dtype=np.float32),
        sparsity=np.zeros(UNITS), places=rng.normal(size=(UNITS, 2)).astype(np.float32), places_share=0.5,
        network="toy", layer="features.0", alias="conv1", layer_kind="conv", channels=UNITS, images=4, positions=9,
        samples=9,
    ).save(folder / "run/units/wide.npz")  # fmt: skip
    path = folder / "run" / "run.json"
    facts = json.loads(path.read_text())
    first = {
        **facts["layers"][1],
        "channels": UNITS,
        "shape": [UNITS, 24, 32],
        "filters": None,
        "maps": None,
        "patches": "patches/layers/wide.npz",
        "units": "units/wide.npz",
    }
    facts.update(layers=[first], form="full", patches={"folder": "patches", "images": [], "searched": 4})
    path.write_text(json.dumps(facts))
    build([folder / "run"], folder / "site")
    return folder / "site"


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    page = browser.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("console", lambda message: faults.append(f"console: {message.text}"))
    yield page
    page.close()
    assert faults == []


def shown(page: Any) -> list[int]:
    found: list[int] = page.evaluate(
        "[...document.querySelectorAll('#wall li')].filter((li) => !li.hidden).map((li) => parseInt(li.textContent))"
    )
    return found


def test_sort(page: Any, wide: Path) -> None:
    page.goto((wide / "toy/layer1.html").as_uri())
    text = page.evaluate("document.getElementById('wall-data').textContent")
    activity = json.loads(text)["activity"]
    assert shown(page) == list(range(UNITS))
    page.locator("#sort").select_option("activity")
    assert shown(page) == sorted(range(UNITS), key=lambda unit: -activity[unit])
    page.locator("#sort").select_option("")
    assert shown(page) == list(range(UNITS))


def test_filter(page: Any, told: Path) -> None:
    page.goto((told / "toy/layer1.html").as_uri())
    page.locator("#show").select_option("detectors")
    assert shown(page) == [5, 6, 7]
    assert page.locator("#count").inner_text() == "3 of 8"
    page.locator("#show").select_option("dead")
    # One by its filter, one by its values.
    assert shown(page) == [1, 2]
    page.locator("#show").select_option("duplicate")
    assert shown(page) == [3]
    page.locator("#show").select_option("on")
    assert shown(page) == [0]
    page.locator("#clear").click()
    page.locator("#concept").select_option(label="red (7)")
    page.locator("#sort").select_option("concept")
    assert shown(page) == [7, 6, 5, 4, 3, 2, 1]


def test_an_address_keeps_sort_and_filter(page: Any, told: Path, browser: Any) -> None:
    page.goto((told / "toy/layer1.html").as_uri())
    page.locator("#sort").select_option("concept")
    page.locator("#concept").select_option(label="red (7)")
    page.locator("#show").select_option("detectors")
    other = browser.new_page()
    other.goto(page.url)
    assert shown(other) == [7, 6, 5]
    assert other.locator("#sort").input_value() == "concept"
    # What is not on offer is not asked for.
    other.goto(
        (told / "toy/layer1.html").as_uri() + "#sort=constructor&concept=nothing&show=__proto__&seek=6"
    )
    other.reload()
    assert shown(other) == [6]
    other.close()
    page.locator("#wall li a >> visible=true").first.click()
    page.wait_for_url("**/toy/layer1/7.html#*")
    page.go_back()
    assert shown(page) == [7, 6, 5]


def test_tiles_show_what_is_chosen(page: Any, told: Path) -> None:
    page.goto((told / "toy/layer1.html").as_uri() + "#tiles=map-coffee&size=2")
    assert page.locator("#tiles").input_value() == "map-coffee"
    style = "(link) => { const all = getComputedStyle(link, '::before'); return [all.backgroundImage, all.width]; }"
    image, width = page.locator("#u5 a").evaluate(style)
    assert image.endswith('/toy/maps/layer1/coffee.png")')
    assert width == "192px"
    # Units 6 and 7 have no maps.
    assert page.locator("#u6 a").evaluate(style)[0] == "none"
    page.locator("#tiles").select_option("filter")
    page.locator("#size").select_option("")
    assert page.url.endswith("#tiles=filter")
    assert page.locator("#u5 a").evaluate("(link) => getComputedStyle(link, '::before').display") == "none"
    page.locator("#clear").click()
    assert page.locator("#u5 a").evaluate(style)[0].endswith('/toy/layer1/wall-0.webp")')


def test_units_in_a_plane_are_walked_with_the_keys(page: Any, wide: Path) -> None:
    page.goto((wide / "toy/layer1.html").as_uri() + "#seek=45")
    page.locator("#plane").scroll_into_view_if_needed()
    page.wait_for_function("document.querySelectorAll('#plane a').length === 2048")
    assert page.locator("#plane a:visible").get_attribute("aria-label") == "unit 45"
    page.locator("#clear").click()
    page.locator("#plane a[tabindex='0']").focus()
    where = "parseFloat(document.activeElement.style.left)"
    before = page.evaluate(where)
    page.keyboard.press("ArrowLeft" if before > 50 else "ArrowRight")
    assert abs(page.evaluate(where) - 50) < abs(before - 50)
    number = page.evaluate("document.activeElement.getAttribute('aria-label')").removeprefix("unit ")
    assert page.locator("#peek a").inner_text().startswith(number)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/toy/layer1/{number}.html")


def test_one_photograph_of_several_is_chosen(page: Any, told: Path) -> None:
    page.goto((told / "toy/layer1.html").as_uri() + "#sort=activity")
    assert [page.locator(f"#on-{at}").is_visible() for at in (1, 2)] == [True, False]
    order = shown(page)
    page.locator(".choices a").nth(1).click()
    assert [page.locator(f"#on-{at}").is_visible() for at in (1, 2)] == [False, True]
    assert shown(page) == order


def test_search(page: Any, told: Path) -> None:
    page.goto((told / "toy/layer1.html").as_uri())
    page.keyboard.press("f")
    assert page.evaluate("document.activeElement.id") == "seek"
    page.keyboard.type("RE")
    assert shown(page) == [1, 2, 3, 4, 5, 6, 7]
    page.keyboard.press("Escape")
    assert len(shown(page)) == 8
    page.keyboard.press("f")
    page.keyboard.type("4")
    assert shown(page) == [4]
    page.keyboard.press("Enter")
    page.wait_for_url("**/toy/layer1/4.html")
    page.keyboard.press("f")
    page.wait_for_url("**/toy/layer1.html#seek=")
    assert page.evaluate("document.activeElement.id") == "seek"


def test_arrow_keys_turn_units(page: Any, told: Path) -> None:
    page.goto((told / "toy/layer1/6.html").as_uri())
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/toy/layer1/7.html")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**/toy/layer1/6.html")
    page.keyboard.press("?")
    assert page.locator("dialog").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("u")
    page.wait_for_url("**/toy/layer1.html")


def test_units_turn_as_the_wall_was_left(page: Any, told: Path, browser: Any) -> None:
    page.goto((told / "toy/layer1.html").as_uri())
    page.locator("#concept").select_option(label="red (7)")
    page.locator("#sort").select_option("concept")
    order = shown(page)
    assert order == [7, 6, 5, 4, 3, 2, 1]
    page.locator("#wall li a >> visible=true").nth(1).click()
    page.wait_for_url("**/toy/layer1/6.html#*")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/toy/layer1/5.html#*")
    assert page.locator("a[rel=prev]").inner_text() == "← unit 6"
    # The address is enough: another browser has nothing else.
    context = browser.new_context()
    other = context.new_page()
    other.goto(page.url)
    assert other.locator("a[rel=next]").inner_text() == "unit 4 →"
    other.keyboard.press("ArrowLeft")
    other.wait_for_url("**/toy/layer1/6.html#*")
    other.keyboard.press("u")
    other.wait_for_url("**/toy/layer1.html#*")
    assert shown(other) == order
    context.close()
    # One that is not in it, or no order at all, turns by number.
    page.goto((told / "toy/layer1/0.html").as_uri() + "#order=7.6")
    assert page.locator("a[rel=next]").get_attribute("href") == "../../toy/layer1/1.html"
    # In the order of the numbers it is the next number again.
    page.goto((told / "toy/layer1.html").as_uri())
    page.locator("#wall li a").nth(5).click()
    page.wait_for_url("**/toy/layer1/5.html")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/toy/layer1/6.html")


def test_reading_needs_no_script(browser: Any, told: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((told / "toy/layer1.html").as_uri())
    assert page.locator("#wall li:visible").count() == 8
    assert not page.locator("#controls").is_visible()
    page.locator("#wall a").nth(5).click()
    page.wait_for_url("**/toy/layer1/5.html")
    assert "detects red" in page.inner_text("main")
    page.locator("a[rel=next]").click()
    page.wait_for_url("**/toy/layer1/6.html")
    context.close()


@pytest.mark.parametrize("script", [True, False])
def test_a_wall_of_2048_units_is_light_before_it_is_scrolled(browser: Any, wide: Path, script: bool) -> None:
    with served(wide) as root:
        context = browser.new_context(viewport={"width": 1600, "height": 1000}, java_script_enabled=script)
        page = context.new_page()
        asked: list[Any] = []
        page.on("response", lambda response: asked.append(response))
        page.goto(f"{root}/toy/layer1.html", wait_until="networkidle")
        sizes = {one.url.removeprefix(root): len(one.body()) for one in asked if one.status == 200}
        assert 100_000 < sum(sizes.values()) <= 500_000, sizes
        assert 1 <= len([url for url in sizes if "wall-" in url]) <= 9
        # What is scrolled to is asked for then.
        with page.expect_response("**/toy/layer1/wall-250.webp"):
            page.locator("#wall li").nth(2000).scroll_into_view_if_needed()
        context.close()


def test_a_tile_shows_the_part_of_the_sheet_that_is_its_own(page: Any, wide: Path) -> None:
    page.goto((wide / "toy/layer1.html").as_uri() + "#seek=45")
    page.set_viewport_size({"width": 1200, "height": 1000})
    page.wait_for_load_state("networkidle")
    box = page.evaluate(
        """(() => {
          const link = [...document.querySelectorAll('#wall li')].find((li) => !li.hidden).firstChild;
          const style = getComputedStyle(link, '::before');
          return [style.backgroundImage, style.backgroundPosition, style.backgroundSize, style.width, style.height];
        })()"""
    )
    # Unit 45 is the sixth of the sixth sheet, of tiles of 200 pixels that are shown at 100.
    assert box[0].endswith('/toy/layer1/wall-5.webp")')
    # Browsers say that a height follows from the width, or leave it out.
    assert box[2] in ("800px auto", "800px")
    assert [box[1], *box[3:]] == ["-500px 0px", "100px", "100px"]
