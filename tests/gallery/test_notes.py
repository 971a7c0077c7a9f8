"""Stars and notes: kept by the browser, shown on walls, exported and taken back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netviz.gallery.build import build
from support.browser import chromium
from support.pages import Page

pytestmark = pytest.mark.browser

axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def site(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("noted")
    build([whole_run], folder)
    return folder


def opened(page: Any, path: Path) -> None:
    page.goto(path.as_uri())
    page.wait_for_load_state()


def test_a_star_and_a_note_are_kept_shown_and_taken_elsewhere(
    browser: Any, site: Path, tmp_path: Path
) -> None:
    with browser.new_context(viewport={"width": 320, "height": 700}) as context:
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        opened(page, site / "toy" / "layer3" / "5.html")
        page.keyboard.press("s")
        assert page.get_by_role("button", name="Starred").get_attribute("aria-pressed") == "true"
        page.get_by_text("Note", exact=True).click()
        page.get_by_label("Your note on this unit").fill("<i>edges</i>")
        opened(page, site / "toy" / "layer1.html")
        page.locator("#u2 a").focus()
        page.keyboard.press("s")
        page.get_by_label("Show").select_option("starred")
        assert page.locator("#count").text_content() == "1 of 8"
        page.reload()
        assert page.locator("#count").text_content() == "1 of 8"
        assert page.locator("#u2 .starred-mark").count() == 1
        opened(page, site / "notes.html")
        links = page.locator("#notes a").evaluate_all("all => all.map((one) => [one.textContent, one.href])")
        assert [text for text, _ in links] == ["★ conv1, unit 2", "★ conv2, unit 5"]
        assert links[1][1] == (site / "toy" / "layer3" / "5.html").as_uri()
        for path in (site / "notes.html", site / "toy" / "layer3" / "5.html"):
            opened(page, path)
            assert page.evaluate("document.documentElement.scrollWidth") <= 320
            found = axe.run(page).response["violations"]
            assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
        opened(page, site / "notes.html")
        with page.expect_download() as download:
            page.get_by_role("button", name="Export").click()
        kept = tmp_path / "notes.json"
        download.value.save_as(kept)
        assert errors == []
    told = json.loads(kept.read_text())
    assert [(one["unit"], one["star"], one["note"]) for one in told["notes"]] == [
        ("toy/layer1/2", True, ""),
        ("toy/layer3/5", True, "<i>edges</i>"),
    ]
    with browser.new_context() as context:
        page = context.new_page()
        opened(page, site / "notes.html")
        assert page.locator("#notes li").count() == 0
        page.set_input_files("#import", kept)
        page.locator("#notes li").nth(1).wait_for()
        assert page.get_by_label("Note on conv2, unit 5 of toy").input_value() == "<i>edges</i>"
        page.get_by_role("button", name="Remove conv1, unit 2").click()
        assert page.locator("#notes li").count() == 1
        wrong = {
            "unit": "toy/../../x/1",
            "name": "x",
            "star": True,
            "note": "",
            "paged": True,
            "picture": None,
        }
        for text, said in (
            ("{", "it is no JSON"),
            ("[]", "it holds no notes"),
            (json.dumps({**told, "version": 2}), "its version is 2"),
            (json.dumps({**told, "notes": [*told["notes"], wrong]}), "entry 3 has no unit"),
            (
                json.dumps({**told, "notes": [{**told["notes"][0], "picture": {"src": "https://x/y.png"}}]}),
                "entry 1 has no picture of a site",
            ),
        ):
            bad = tmp_path / "bad.json"
            bad.write_text(text)
            page.set_input_files("#import", bad)
            page.get_by_text(f"bad.json was not taken: {said}").wait_for()
            assert page.locator("#notes li").count() == 1


def test_a_browser_that_keeps_nothing_shows_nothing(browser: Any, site: Path) -> None:
    with browser.new_context() as context:
        context.add_init_script(
            "Object.defineProperty(window, 'localStorage', { get() { throw new Error(); } })"
        )
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        opened(page, site / "toy" / "layer3" / "5.html")
        assert page.locator("#mine").inner_html() == ""
        opened(page, site / "notes.html")
        assert "keeps nothing" in page.locator("#notes-said").text_content()
        assert errors == []


def test_pages_name_the_unit_and_its_picture(site: Path) -> None:
    (mine,) = [one for one in Page(site / "toy" / "layer3" / "5.html").all("div") if one.get("id") == "mine"]
    assert mine["data-name"] == "conv2, unit 5"
    assert (site / mine["data-picture"]).is_file()
