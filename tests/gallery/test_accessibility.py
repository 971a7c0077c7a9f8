"""The site as a browser and a reader of the screen find it: from disk and from a server, in light and in dark."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.browser import chromium

pytestmark = pytest.mark.browser

axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

# Scroll as a person does, with everything unfolded, and name the images on show that are none.
BROKEN_IMAGES = """async () => {
  document.querySelectorAll('details').forEach((details) => { details.open = true; });
  for (let y = 0; y < document.documentElement.scrollHeight; y += innerHeight) {
    scrollTo(0, y);
    await new Promise(requestAnimationFrame);
  }
  const shown = [...document.images].filter((image) => image.checkVisibility());
  await Promise.all(shown.map((image) => image.complete || new Promise((done) => {
    image.addEventListener('load', done);
    image.addEventListener('error', done);
  })));
  return shown.filter((image) => image.naturalWidth === 0).map((image) => image.src);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def server(full_site: Path) -> Iterator[str]:
    """The address under which Python's own server offers the site."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(full_site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def faults_of(page: Any, within: str) -> list[str]:
    """Collect what goes wrong on a page from now on: errors, messages, dialogs, requests that leave the site."""
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("console", lambda message: faults.append(f"console: {message.text}"))
    page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
    page.on("request", lambda r: faults.extend([r.url] if not r.url.startswith((within, "data:")) else []))
    page.on("requestfailed", lambda r: faults.extend([r.url] if r.failure != "net::ERR_ABORTED" else []))
    page.on("response", lambda r: faults.extend([f"{r.status} {r.url}"] if r.status >= 400 else []))
    return faults


@pytest.mark.slow
def test_a_reader_of_the_screen_finds_nothing_serious(
    browser: Any, full_site: Path, kinds: list[str]
) -> None:
    page = browser.new_page(reduced_motion="reduce")
    faults = faults_of(page, full_site.as_uri())
    found = []
    for path in kinds:
        page.goto((full_site / path).as_uri())
        page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            # Only contrast depends on the theme.
            rules = {"runOnly": {"type": "rule", "values": ["color-contrast"]}} if theme == "dark" else {}
            options = {"resultTypes": ["violations"], "preload": False, **rules}
            for violation in axe.run(page, options=options).response["violations"]:
                where = violation["nodes"][0]["html"][:200]
                found.append(
                    (violation["impact"], violation["id"], len(violation["nodes"]), theme, path, where)
                )
    page.close()
    assert found == []
    assert faults == []


@pytest.mark.parametrize("served", [pytest.param("disk", marks=pytest.mark.slow), "server"])
def test_every_kind_of_page_loads_whole(
    browser: Any, full_site: Path, server: str, kinds: list[str], served: str
) -> None:
    root = full_site.as_uri() if served == "disk" else server
    page = browser.new_page()
    faults = faults_of(page, root)
    for path in kinds:
        page.goto(f"{root}/{path}")
        assert page.evaluate(BROKEN_IMAGES) == [], path
        assert page.evaluate("window.hacked") is None, path
    page.close()
    assert faults == []
