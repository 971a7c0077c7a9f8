"""The gallery of mobilenet_v2.

Crops of scikit-image's photographs at 224 px: for each form the time for the survey and for building its site,
over the time of bare forward passes of the same photographs (batches of 16, images already normalized, the better
of channels first and channels last); building again where nothing has changed; the size of the site and of what
was measured. For the quick form also what each further photograph takes, from this number of them to more: the
least of several rounds of both, survey and building together, over a bare forward pass of one photograph; and the
rest, which any number takes, after start-up (imports, and loading the network). Where the time of a gallery goes is
told in processor time, step by step, over that of the bare passes on one thread; beside it what encoding the site's
pictures and writing its files takes, which no other way of making the same pages spares. For the first page and the
largest wall, what Chromium has received before anything is scrolled from a server on this machine, and when the page
is interactive: its scripts have run and the main thread is idle. Another number of photographs, and forms, may follow
on the command line.

Of what a full gallery of 64 photographs takes, by multiply-adds of the convolutions: 1,664 patches followed back (the
best of 16 units of 52 layers, by two rules), each as long as the way there, are 830 bare passes (13 for each
photograph). The goals for a whole form lie below what it is made of: the quick one's below finding the patches and
encoding the pictures, the full one's below the passes of the network for patches followed back, measured fields and
minimal images.
"""

import http.server
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

import netviz
from netviz.gallery.build import build
from netviz.images.read import PHOTOGRAPHS, read_image
from netviz.results.survey import Form

# Processes that draw load this file too: what loads torch is imported where it is needed.
if TYPE_CHECKING:
    from netviz.engines import Progress
    from netviz.models import Model
    from netviz.surveys.step import Scope, Step

PHOTOS, MORE, BATCH, ROUNDS, VISITS = 64, 500, 16, 2, 5
FORMS: tuple[Form, ...] = ("quick", "full")
IDLE = "() => new Promise((done) => requestIdleCallback(() => done(performance.now())))"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Page(NamedTuple):
    """What a browser needs for a page: bytes, requests and seconds."""

    received: int
    requests: int
    interactive: float


def write_crops(folder: Path, count: int) -> None:
    """Write so many different crops of scikit-image's photographs."""
    photos = [read_image(f"skimage:{name}").pixels for name in PHOTOGRAPHS]
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        pixels = photos[number % len(photos)]
        top, left = (int(rng.integers(0, max(1, side - 256))) for side in pixels.shape[:2])
        crop = Image.fromarray(pixels[top : top + 256, left : left + 256]).convert("RGB")
        crop.resize((224, 224)).save(folder / f"{number:03d}.png")


def bare_seconds(model: "Model", folder: Path, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return how long the bare forward passes of a folder of photographs take, by a clock."""
    import torch

    from netviz.images import prepare

    network = model.runnable().eval()
    tensors = [
        prepare(read_image(path).pixels, model.preprocessing).tensor for path in sorted(folder.iterdir())
    ]
    batches = [torch.cat(tensors[at : at + BATCH]) for at in range(0, len(tensors), BATCH)]
    best = float("inf")
    for layout in (torch.contiguous_format, torch.channels_last):
        laid = [batch.contiguous(memory_format=layout) for batch in batches]
        with torch.inference_mode():
            network(laid[0])
            for _ in range(ROUNDS):
                start = clock()
                for batch in laid:
                    network(batch)
                best = min(best, clock() - start)
    return best


@contextmanager
def served(site: Path) -> Iterator[str]:
    """Serve a site on this machine; yield its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def visit(browser: Any, address: str) -> Page:
    """Open a page as a new visitor does, and do not scroll; the median of several visits."""
    seen = []
    for _ in range(VISITS):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        sizes: list[int] = []
        page.on("requestfinished", lambda request, to=sizes: to.append(request.sizes()["responseBodySize"]))
        page.goto(address, wait_until="domcontentloaded")
        interactive = page.evaluate(IDLE) / 1000
        page.wait_for_load_state("networkidle")
        seen.append(Page(sum(sizes), len(sizes), interactive))
        context.close()
    return Page(seen[-1].received, seen[-1].requests, statistics.median(one.interactive for one in seen))


def pages(site: Path, run: Path) -> list[tuple[str, Page]]:
    """Measure the first page and the page of the layer with the most units; nothing without a browser."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return []
    if executable is None:
        return []
    layers = [layer for layer in json.loads((run / "run.json").read_text())["layers"] if layer["slug"]]
    largest = max(layers, key=lambda layer: layer["channels"])
    (wall,) = site.glob(f"*/{largest['slug']}.html")
    with served(site) as root, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        found = [
            ("first page", visit(browser, f"{root}/index.html")),
            (
                f"wall of {largest['channels']} units ({largest['name']})",
                visit(browser, f"{root}/{wall.relative_to(site).as_posix()}"),
            ),
        ]
        browser.close()
    return found


def megabytes(folder: Path) -> float:
    """Return the size of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def timed(work: Callable[[], Path]) -> tuple[Path, float]:
    """Do something; return what it gives and how many seconds it took."""
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def row(form: Form, photos: Path, folder: Path, bare: float, alone: float) -> tuple[str, list[str]]:
    """Survey and build in one of the forms, twice the latter; return a line of the table, and those of its parts.

    Parameters
    ----------
    form : {"quick", "standard", "full"}
    photos, folder : Path
        Photographs, and where the run and the site go.
    bare, alone : float
        What bare passes of the photographs take: seconds, and processor time on one thread.
    """
    from netviz.surveys import survey as surveys

    own, seconds = surveys.STEPS, defaultdict[str, float](float)

    def watched(step: "Step") -> "Step":
        def make(scope: "Scope", report: "Progress") -> Any:
            start = spent()
            try:
                return step.make(scope, report)
            finally:
                seconds[step.name] += spent() - start

        return replace(step, make=make)

    model = netviz.load("mobilenet_v2")
    workers = os.cpu_count() or 1
    start = spent()
    try:
        surveys.STEPS = tuple(map(watched, own))
        run, surveyed = timed(lambda: netviz.survey(model, folder / "run", images=[photos], form=form))
    finally:
        surveys.STEPS = own
    seconds["the rest of the survey"] = spent() - start - sum(seconds.values())
    start = spent()
    site, built = timed(lambda: build([run], folder / "site", workers=workers).index.parent)
    seconds["site"] = spent() - start
    _, again = timed(lambda: build([run], site, workers=workers).index.parent)
    files = sum(path.is_file() for path in site.rglob("*"))
    both = surveyed + built
    cells = [form, f"{surveyed:.1f} s", f"{built:.1f} s", f"**{both / bare:.0f}×**", f"{again:.1f} s"]
    cells += [f"{files}", f"{megabytes(site):.0f} MB", f"{megabytes(run):.0f} MB"]
    parts = [
        f"| part of a {form} gallery | processor time | over bare passes | MB kept |",
        "|---|---|---|---|",
    ]
    for name, took in (*seconds.items(), ("all", sum(seconds.values()))):
        if name in {step.name for step in own if form == "quick" and not step.quick}:
            continue
        kept = f"{megabytes(run / name):.1f}" if (run / name).is_dir() else ""
        parts.append(f"| {name} | {took:.1f} s | {took / alone:.1f}× | {kept} |")
    least = written_again(site, folder / "again")
    parts += [
        "",
        f"Of the site, encoding its pictures and writing its files: {least:.1f} s, {least / alone:.1f}×.",
    ]
    return f"| {' | '.join(cells)} |", parts


def written_again(site: Path, folder: Path) -> float:
    """Return the processor time of encoding a site's pictures once more and of writing its files."""
    from netviz.gallery.drawing import SMALL_QUALITY
    from netviz.paper.raster import encode_jpeg, encode_png
    from netviz.results.files import write_bytes

    took = 0.0
    for path in filter(Path.is_file, site.rglob("*")):
        data, pixels = path.read_bytes(), None
        if path.suffix in (".jpg", ".png"):
            with Image.open(path) as picture:
                pixels = np.asarray(picture.convert("RGB"))
        start = time.process_time()
        if pixels is not None and path.suffix == ".jpg":
            data = encode_jpeg(pixels, SMALL_QUALITY, coarse=True, optimize=True)
        elif pixels is not None:
            data = encode_png(pixels)
        write_bytes(folder / path.relative_to(site), data)
        took += time.process_time() - start
    return took


def site_of(run: Path, site: Path) -> Path:
    """Build a site with a process for each core; return its first page."""
    return build([run], site, workers=os.cpu_count() or 1).index


def whole_seconds(photos: Path, folder: Path) -> float:
    """Return how long a quick gallery takes, survey and building together: the least of several rounds."""
    model = netviz.load("mobilenet_v2")
    best = float("inf")
    for number in range(ROUNDS):
        here = folder / str(number)
        run, surveyed = timed(partial(netviz.survey, model, here / "run", images=[photos], form="quick"))
        _, built = timed(partial(site_of, run, here / "site"))
        best = min(best, surveyed + built)
        shutil.rmtree(here)
    return best


def further(folder: Path, count: int, more: int) -> list[str]:
    """Measure what each further photograph takes, from `count` of them to `more`; return the lines of a table."""
    numbers, seconds, bare = (count, more), [], 0.0
    for number in numbers:
        write_crops(folder / f"photos-{number}", number)
        seconds.append(whole_seconds(folder / f"photos-{number}", folder / f"further-{number}"))
        bare = bare_seconds(netviz.load("mobilenet_v2"), folder / f"photos-{number}") / number
    each = (seconds[1] - seconds[0]) / (more - count)
    cells = [f"{count} and {more}", *(f"{one:.1f} s" for one in seconds), f"{each * 1e3:.1f} ms"]
    cells += [f"**{each / bare:.2f}×**", f"**{seconds[0] - count * each:.1f} s**"]
    return [
        "| photographs (quick) | fewer | more | each further one | over a bare pass (goal: 1.5) "
        "| the rest (goal: 6 s) |",
        "|---|---|---|---|---|---|",
        f"| {' | '.join(cells)} |",
    ]


def spent() -> float:
    """Return the processor time, in seconds, of this process and of those that it has waited for."""
    return sum(
        sum(resource.getrusage(whose)[:2]) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )


def bare_spent(photos: Path) -> float:
    """Return the processor time of the bare forward passes on one thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return bare_seconds(netviz.load("mobilenet_v2"), photos, time.process_time)
    finally:
        torch.set_num_threads(threads)


def table(count: int, forms: Sequence[Form]) -> str:
    """Measure some of the forms; the pages are those of the last."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_crops(folder / "photos", count)
        bare = bare_seconds(netviz.load("mobilenet_v2"), folder / "photos")
        rows = [
            f"{count} photographs; bare forward passes: {bare:.2f} s.",
            "",
            "| form | survey | building | both over bare passes (goals: quick 3, full 60) | building again "
            "| files | site | measured |",
            "|---|---|---|---|---|---|---|---|",
        ]
        alone, tables = bare_spent(folder / "photos"), []
        for form in forms:
            (folder / form).mkdir()
            line, parts = row(form, folder / "photos", folder / form, bare, alone)
            rows.append(line)
            tables += ["", *parts]
            print(line, file=sys.stderr)
        rows += ["", f"Bare forward passes on one thread: {alone:.2f} s of processor time.", *tables]
        if "quick" in forms:
            rows += ["", *further(folder, count, max(MORE, 2 * count))]
        measured = pages(folder / forms[-1] / "site", folder / forms[-1] / "run")
    if measured:
        rows += [
            "",
            f"| page ({forms[-1]}) | KB before scrolling (goal: 500) | requests | interactive, s (goal: 1) |",
        ]
        rows += ["|---|---|---|---|"]
        rows += [
            f"| {what} | {page.received / 1e3:.0f} | {page.requests} | {page.interactive:.2f} |"
            for what, page in measured
        ]
    return "\n".join(rows)


if __name__ == "__main__":
    print(
        table(
            int(sys.argv[1]) if len(sys.argv) > 1 else PHOTOS,
            [form for form in ("quick", "standard", "full") if form in sys.argv[2:]] or FORMS,
        )
    )
