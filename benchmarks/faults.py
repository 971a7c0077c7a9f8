"""The faults of a gallery, counted.

A built site, and the runs it was made of: ``python benchmarks/faults.py SITE RUN ...``. Without them a small gallery
of mobilenet_v2 is made of scikit-image's photographs. A strongest patch counts as leaving the image as its run
tells: along an axis where the field is longer than half of the image, on the outermost ring of the map. Links are
followed in the files; a part of a page that a link names has to be there. Concepts are those that pages name with
an intersection over union; one at or below the network's threshold could not be detected anywhere.

Chromium opens up to 12 pages of each kind, evenly chosen, from a server on this machine, at 1280 × 900: what it has
received before anything is scrolled, how far the layout shifts while the page loads and is scrolled to its foot,
and what the console says. The same page is then 320 pixels wide. The sharpness of patches is the width of a picture
over the width that it is shown at; of each kind the largest, of sharpness the least.
"""

import html
import re
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import netviz
from gallery import BROWSERS, served
from netviz.gallery.addresses import Addresses, make_addresses
from netviz.gallery.build import build
from netviz.gallery.panels.table import FOLDERS
from netviz.gallery.words import joined
from netviz.questions.dissect.run import open_dissection
from netviz.questions.patches.run import read_patches
from netviz.results.survey import ConceptsRecord, read_survey

OPENED = 12
"""Pages of a kind that are opened."""

ROOMS = {"index": "first page", "about": "how it was made"}
"""What pages are called whose file says less."""

WATCH = """window.shifted = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true });"""

RECEIVED = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .reduce((sum, entry) => sum + entry.encodedBodySize, 0)"""

SCROLL = """async () => {
  for (let y = 0; y < document.documentElement.scrollHeight; y += innerHeight) {
    scrollTo(0, y);
    await new Promise((done) => setTimeout(done, 60));
  }
  return window.shifted;
}"""

SHARP = """async () => {
  const found = [...document.querySelectorAll(".excites .linked img")].map(
    (image) => image.naturalWidth / image.getBoundingClientRect().width);
  const wall = document.querySelector(".units.seen a");
  if (wall) {
    const style = getComputedStyle(wall, "::before");
    const sheet = new Image();
    sheet.src = style.backgroundImage.slice(5, -2);
    await sheet.decode();
    found.push(sheet.naturalWidth / parseFloat(style.backgroundSize));
  }
  return found.filter(Number.isFinite);
}"""


@dataclass
class Kind:
    """What a browser found on the pages of one kind."""

    pages: int = 0
    opened: int = 0
    shift: float = 0.0
    received: int = 0
    errors: int = 0
    wide: int = 0
    sharp: list[float] = field(default_factory=list)


def leaving(all_addresses: Sequence[Addresses]) -> tuple[int, int, int, int]:
    """Count the units with a page whose strongest patch's field leaves the image, and all; then so their patches."""
    units = every = patches = total = 0
    for addresses in all_addresses:
        for place, shown in enumerate(addresses.units):
            path = addresses.run.layers[place].patches
            if path is None or not shown:
                continue
            result = read_patches(path)
            there, leaves = result.shown[list(shown)], result.leaves[list(shown)]
            units += int((leaves & there)[:, 0].sum())
            every += int(there[:, 0].sum())
            patches += int((leaves & there).sum())
            total += int(there.sum())
    return units, every, patches, total


def standing(site: Path, all_addresses: Sequence[Addresses]) -> tuple[int, int, int]:
    """Count the units of layers with a wall: with a page, on the wall, and all that the layers have."""
    paged = walled = every = 0
    for addresses in all_addresses:
        for place in addresses.paged:
            if not addresses.units[place]:
                continue
            text = (site / addresses.page(place)).read_text(encoding="utf-8")
            walled += len(set(re.findall(r'<li class="g[^"]*" id="u(\d+)"', text)))
            paged += sum((site / addresses.unit(place, unit)).is_file() for unit in addresses.units[place])
            every += addresses.run.layers[place].channels or 0
    return paged, walled, every


def dead_links(site: Path) -> tuple[list[tuple[str, str]], int]:
    """Return the links that lead nowhere, each with its page, and how many there are."""
    texts = {
        path.relative_to(site).as_posix(): path.read_text("utf-8") for path in sorted(site.rglob("*.html"))
    }
    ids = {path: set(re.findall(r'\sid="([^"]+)"', text)) for path, text in texts.items()}
    dead, count = [], 0
    for path, text in texts.items():
        for link in map(html.unescape, re.findall(r'<a\b[^>]*\shref="([^"]*)"', text)):
            count += 1
            target = urlsplit(urljoin(f"https://site/{path}", link))
            file = unquote(target.path[1:])
            # What says the state of a page is no place on it.
            missing = (
                target.fragment and "=" not in target.fragment and target.fragment not in ids.get(file, ())
            )
            if target.netloc != "site" or not (site / file).is_file() or missing:
                dead.append((path, link))
    return dead, count


def below_ceiling(site: Path, all_addresses: Sequence[Addresses]) -> tuple[int, int]:
    """Count the concepts that a network's pages name though its units could not detect them, and all named."""
    low = named = 0
    for addresses in all_addresses:
        found = addresses.run.concepts
        if not isinstance(found, ConceptsRecord):
            continue
        run = open_dissection(found.folder)
        detect = run.result(run.layers[0]).detect
        for page in sorted((site / addresses.folder).rglob("*.html")):
            for ceiling in re.findall(r"IoU [\d.]+ of at most ([\d.]+)", page.read_text(encoding="utf-8")):
                named += 1
                low += float(ceiling) <= detect
    return low, named


def kind_of(path: str, all_addresses: Sequence[Addresses]) -> str:
    """Say of which kind a page is."""
    for addresses in all_addresses:
        if path in {addresses.page(place) for place in addresses.paged}:
            return "layer"
    room, _, name = path.removesuffix(".html").rpartition("/")
    if name.isdecimal() and "/" in room:
        return "unit"
    return "photograph" if room.endswith("/images") else ROOMS.get(name, name)


def chosen(paths: Sequence[str]) -> list[str]:
    """Return some of many pages, evenly spread."""
    step = max(1.0, len(paths) / OPENED)
    return [paths[int(at * step)] for at in range(min(OPENED, len(paths)))]


def opened(site: Path, all_addresses: Sequence[Addresses]) -> Iterator[tuple[str, Kind]]:
    """Open pages of each kind in a browser; nothing without one."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return
    if executable is None:
        return
    kinds = defaultdict[str, list[str]](list)
    for path in sorted(site.rglob("*.html")):
        address = path.relative_to(site).as_posix()
        kinds[kind_of(address, all_addresses)].append(address)
    with served(site) as root, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for name, paths in sorted(kinds.items()):
            kind = Kind(pages=len(paths))
            for path in chosen(paths):
                look(browser, f"{root}/{path}", kind)
            yield name, kind
        browser.close()


def look(browser: Any, address: str, kind: Kind) -> None:
    """Open a page as a new visitor does, scroll to its foot, and make it narrow."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.add_init_script(WATCH)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text))
    page.goto(address, wait_until="networkidle")
    kind.received = max(kind.received, page.evaluate(RECEIVED))
    kind.shift = max(kind.shift, page.evaluate(SCROLL))
    page.wait_for_load_state("networkidle")
    kind.sharp += page.evaluate(SHARP)
    page.set_viewport_size({"width": 320, "height": 700})
    if page.evaluate("document.documentElement.scrollWidth") > 320:
        kind.wide += 1
        print(f"wider than 320 pixels: {address}", file=sys.stderr)
    if faults:
        kind.errors += 1
        print(f"{address}: {faults[0]}", file=sys.stderr)
    kind.opened += 1
    context.close()


def table(site: Path, runs: Sequence[Path]) -> str:
    """Count the faults of a site; return two tables."""
    all_addresses = make_addresses([read_survey(run) for run in runs], FOLDERS)
    units, every, patches, total = leaving(all_addresses)
    paged, walled, there = standing(site, all_addresses)
    dead, links = dead_links(site)
    low, named = below_ceiling(site, all_addresses)
    for page, link in dead[:20]:
        print(f"dead link on {page}: {link}", file=sys.stderr)
    shown = [
        f"{one.run.network} ({len(one.paged)} layers with a page, {len(one.photos)} photographs)"
        for one in all_addresses
    ]
    lines = [
        f"A site of {joined(shown)}.",
        "",
        "| fault | found | of | share |",
        "|---|---|---|---|",
        f"| units with a page whose strongest patch's field leaves the image (goal: ≤ 10 %) {cells(units, every)}",
        f"| all patches of these whose field leaves the image {cells(patches, total)}",
        f"| units with neither page nor place on the wall (goal: 0) {cells(there - walled, there)}",
        f"| units that stand on the wall alone {cells(walled - paged, there)}",
        f"| dead links (goal: 0) {cells(len(dead), links)}",
        f"| concepts named that cannot be detected (goal: 0) {cells(low, named)}",
        "",
        "| kind of page | pages | opened | layout shift (goal: ≤ 0.1) | KB before scrolling (goal: ≤ 500) "
        "| pages with a message on the console (goal: 0) | wider than 320 pixels (goal: 0) | patch over shown |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, kind in opened(site, all_addresses):
        told = [name, f"{kind.pages:,}", str(kind.opened), f"{kind.shift:.3f}", f"{kind.received / 1e3:.0f}"]
        told += [str(kind.errors), str(kind.wide), f"{min(kind.sharp):.2f}" if kind.sharp else ""]
        lines.append(f"| {' | '.join(told)} |")
    return "\n".join(lines)


def cells(count: int, every: int) -> str:
    """Write a count, what it is of, and its share."""
    return f"| {count:,} | {every:,} | {100 * count / max(every, 1):.1f} % |"


def small(folder: Path) -> tuple[Path, Path]:
    """Make a small gallery; return site and run."""
    layers = ["features.4", "features.10", "features.18"]
    model = netviz.load("mobilenet_v2")
    run = netviz.survey(model, folder / "run", images=["skimage:*"], only=layers)
    return build([run], folder / "site").index.parent, run


if __name__ == "__main__":
    asked = [Path(one) for one in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as name:
        site, *runs = asked or small(Path(name))
        print(table(site, runs))
