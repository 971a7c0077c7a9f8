import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netviz.errors import ResultError
from netviz.gallery.build import build
from support.browser import chromium
from support.images import NAMES, add_images, make_streams

MakeRun = Callable[..., Path]


@pytest.fixture(scope="module")
def dense_run(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_images(shutil.copytree(run, tmp_path_factory.mktemp("dense") / "run"))


@pytest.fixture(scope="module")
def streams_run(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_images(shutil.copytree(run, tmp_path_factory.mktemp("streams") / "run"), streams=True)


@pytest.fixture(scope="module")
def site(dense_run: Path, streams_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build([streams_run, dense_run], folder)
    return folder


def text_of(path: Path) -> str:
    return " ".join(path.read_text(encoding="utf-8").split())


def test_a_view_holds_each_pixels_class_in_the_colour_of_the_legend(site: Path) -> None:
    text = text_of(site / "toy" / "fcn.html")
    colours = {}
    for name in ("sky", "road", "car"):
        before = text[: text.index(f"</span> {name}</li>")]
        colours[name] = tuple(bytes.fromhex(before[before.rindex("background:#") + 12 :][:6]))
    assert len(set(colours.values())) == 3
    table = np.array(list(colours.values()))
    result = make_streams("cat", ("sky", "road", "car"))
    for place, name in enumerate(NAMES, start=1):
        with Image.open(site / "toy" / "fcn" / f"cat-{place}.png") as image:
            pixels = np.asarray(image.convert("RGB"))
        np.testing.assert_array_equal(pixels, table[result.streams[name].argmax(axis=0)])


def test_what_a_skip_changed_is_coloured_and_counted(site: Path) -> None:
    result = make_streams("cat", ("sky", "road", "car"))
    coarse, fine = (result.streams[name].argmax(axis=0) for name in NAMES[:2])
    with Image.open(site / "toy" / "fcn" / "cat-4.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    # The photograph is grey all over; what is not grey has changed.
    np.testing.assert_array_equal(np.ptp(pixels, axis=2) > 0, coarse != fine)
    share = 100 * (coarse != fine).mean()
    assert f"{share:.1f} % of the pixels change class from 32s" in text_of(site / "toy" / "fcn.html")


def test_edge_maps_share_one_scale_with_a_legend(site: Path) -> None:
    text = text_of(site / "toy" / "fcn.html")
    assert "side2, side1 and fused, coarse to fine: how likely each pixel is an edge" in text
    assert "Colour bar of the maps, from 0 to 1" in text
    with Image.open(site / "toy" / "fcn" / "coffee-1.jpg") as image:
        bright = np.asarray(image.convert("L")).astype(int)
    assert (np.diff(bright[0]) >= -3).all()
    assert bright[0, 0] < 20 < 200 < bright[0, -1]


def test_facts_and_commands(site: Path) -> None:
    facts = json.loads((site / "toy" / "fcn" / "cat-streams.json").read_text(encoding="utf-8"))
    assert facts["kind"] == "streams"
    assert facts["arrays"]["32s"] == [3, 36, 48]
    text = text_of(site / "toy" / "fcn.html").replace("<span>", "").replace("</span>", "")
    # It was shown at 36 × 48 pixels though it has 72 × 96.
    assert "netviz fcn show cat.png --model toy --short-side 36" in text
    assert "netviz fcn show coffee.png --model toy --seed 3</code>" in text.replace(" </code>", "</code>")


def test_costs_are_told_as_numbers(site: Path) -> None:
    text = text_of(site / "toy-2" / "fcn.html")
    # 2000 regions at 0.25 s each are 500 s, 2000 dense passes of 0.25 s.
    assert (
        '<th scope="row">regions, scaled to 2000</th><td class="n">2,000</td><td class="n">500</td>' in text
    )
    assert '<td class="n">2,000</td></tr>' in text
    assert '<td class="n">20.0</td>' in text
    assert "Dense and sliding scores correlate by 0.875. Measured on cpu, 2 threads." in text
    assert "Not made of coffee: coffee is smaller than the window." in text


def test_the_same_run_gives_the_same_bytes(site: Path, dense_run: Path, streams_run: Path) -> None:
    assert build([streams_run, dense_run], site).written == ()


def test_a_network_that_cannot_be_cast_has_no_page_and_says_why(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    facts = json.loads((copy / "run.json").read_text(encoding="utf-8"))
    facts["fcn"] = {"missing": "toy cannot be cast: <b>attention</b>"}
    (copy / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    build([copy], tmp_path / "site")
    assert not (tmp_path / "site" / "toy" / "fcn.html").exists()
    told = "No streams and no dense heat maps: toy cannot be cast: &lt;b&gt;attention&lt;/b&gt;."
    assert told in text_of(tmp_path / "site" / "index.html")
    assert told in text_of(tmp_path / "site" / "about.html")


def test_fewer_views_than_announced_are_refused(streams_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(streams_run, tmp_path / "run")
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    facts["fcn"]["streams"][0]["views"] = 3
    (run / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(ResultError, match="damaged"):
        build([run], tmp_path / "site")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Any, site: Path) -> Iterator[Any]:
    """The page of streams, which fails the test on an error, a message, or a request that leaves the site."""
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("console", lambda message: faults.append(f"console: {message.text}"))
    page.on("request", lambda r: faults.extend([r.url] if not r.url.startswith(site.as_uri()) else []))
    page.goto((site / "toy" / "fcn.html").as_uri())
    yield page
    page.close()
    assert faults == []


def at(page: Any) -> str:
    return str(page.locator(".stage").first.evaluate("one => one.style.getPropertyValue('--at')"))


@pytest.mark.browser
def test_the_slider_moves_by_keyboard(page: Any) -> None:
    slider = page.locator("input[type=range]").first
    assert slider.get_attribute("aria-valuetext") == "50 % 32s, 50 % 8s"
    assert page.get_by_label("Where the two pictures of cat meet").count() == 1
    slider.focus()
    address = page.url
    page.keyboard.press("ArrowLeft")
    assert at(page) == "49%"
    page.keyboard.press("End")
    assert at(page) == "100%"
    assert slider.get_attribute("aria-valuetext") == "100 % 32s, 0 % 8s"
    page.keyboard.press("Home")
    assert at(page) == "0%"
    # Arrow keys turn pages elsewhere, not here.
    assert page.url == address


@pytest.mark.browser
def test_the_slider_follows_the_mouse_and_shows_both_pictures(page: Any) -> None:
    stage = page.locator(".stage").first
    page.wait_for_function("document.querySelector('.stage .right').naturalWidth > 0")
    box = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 20)
    page.mouse.up()
    assert at(page) == "25%"
    page.mouse.move(box["x"] + 5, box["y"] + 20)
    assert at(page) == "25%"
    assert page.locator(".stage .left").first.get_attribute("src").endswith("cat-1.png")
    assert page.locator(".stage .right").first.get_attribute("src").endswith("cat-3.png")
    clip = page.locator(".stage .right").first.evaluate("one => getComputedStyle(one).clipPath")
    assert clip == "inset(0px 0px 0px 25%)"


@pytest.mark.browser
def test_any_two_pictures_can_be_compared(page: Any) -> None:
    page.get_by_label("Left:").first.select_option(label="photograph")
    page.get_by_label("Right:").first.select_option(label="changed by 16s")
    assert page.locator(".stage .left").first.get_attribute("src").endswith("cat-0.jpg")
    assert page.locator(".stage .right").first.get_attribute("src").endswith("cat-4.png")
    assert (
        page.locator("input[type=range]").first.get_attribute("aria-valuetext").startswith("50 % photograph")
    )


@pytest.mark.browser
@pytest.mark.parametrize(("width", "height"), [(400, 800), (1280, 720)])
def test_the_slider_has_its_box_before_its_pictures_and_fits_one_screen(
    browser: Any, site: Path, width: int, height: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": height})
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver((list) => {"
        "  for (const one of list.getEntries()) window.shift += one.value;"
        "}).observe({ type: 'layout-shift', buffered: true })"
    )
    page.goto((site / "toy" / "fcn.html").as_uri())
    for slider in page.locator(".slider").all():
        slider.scroll_into_view_if_needed()
        assert 0 < slider.bounding_box()["height"] <= height
    page.wait_for_function(
        "[...document.querySelectorAll('.stage img')].every((one) => one.naturalWidth > 0)"
    )
    assert page.evaluate("window.shift") <= 0.01
    page.close()


@pytest.mark.browser
def test_without_scripts_the_pictures_stand_side_by_side(browser: Any, site: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site / "toy" / "fcn.html").as_uri())
    assert page.locator(".slider:visible").count() == 0
    assert page.locator(".views img").count() == 6 + 4
    context.close()
