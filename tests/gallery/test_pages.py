import itertools
import json
import posixpath
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netviz.gallery.build import build
from netviz.questions.filters.result import FiltersResult
from netviz.questions.maps.result import MapsResult
from netviz.questions.reader import load_result

MakeRun = Callable[..., Path]
VOID = {"meta", "link", "img", "input", "wbr", "br", "source"}


class Page(HTMLParser):
    """A page's elements and text, with every element closed in the order in which it was opened."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names))
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.text += " " if tag == "dt" else ""

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def site(run: Path, hostile_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build([run, hostile_run], folder)
    return folder


@pytest.fixture(scope="module")
def parsed(site: Path) -> dict[str, Page]:
    return {str(path.relative_to(site)): Page(path) for path in sorted(site.rglob("*.html"))}


def test_a_page_per_layer_with_a_slug(parsed: dict[str, Page]) -> None:
    layers = [path for path in parsed if re.fullmatch(r"toy/layer\d\.html", path)]
    assert layers == [f"toy/layer{place}.html" for place in (1, 2, 3, 4)]
    units = [path for path in parsed if re.fullmatch(r"toy/layer\d/\d+\.html", path)]
    # Of each layer there are the maps of six units.
    assert units == [f"toy/layer{place}/{unit}.html" for place in (1, 2, 3, 4) for unit in range(6)]


def test_every_address_leads_to_a_file_of_the_site(site: Path, parsed: dict[str, Page]) -> None:
    ids = {path: [a["id"] for _, a in page.elements if "id" in a] for path, page in parsed.items()}
    assert all(len(found) == len(set(found)) for found in ids.values())
    reached = {"index.html", "site.json"}
    for path, page in parsed.items():
        for _, attributes in page.elements:
            for name in ("href", "src", "srcset", "action", "poster", "data", "data-index"):
                address = attributes.get(name)
                if address is None:
                    continue
                assert re.fullmatch(r"[A-Za-z0-9_./-]*(#[A-Za-z0-9_.-]+|#place=[\d.,]+)?", address), address
                file, _, anchor = address.partition("#")
                # The state of a page is no place on it.
                anchor = "" if anchor.startswith("place=") else anchor
                target = posixpath.normpath(posixpath.join(posixpath.dirname(path), file)) if file else path
                assert (site / target).is_file(), address
                assert not target.startswith("..")
                assert not anchor or anchor in ids[target]
                reached.add(target)
        for address in re.findall(r"url\(([^)]*)\)", page.text):
            reached.add(posixpath.join(posixpath.dirname(path), address))
    # The colours of a scale that no sheet of this site uses are there for the next build.
    spare = {"static/colours-diverging.png", "static/colours-rgb.png", "static/colours-sequential.png"}
    spare |= {"static/compare.js", "static/compare.css"}
    assert {str(p.relative_to(site)) for p in site.rglob("*") if p.is_file()} - reached <= spare


def test_nothing_points_outside(site: Path) -> None:
    for path in [*site.rglob("*.html"), *site.rglob("*.css"), *site.rglob("*.js")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?:|@import|//[a-z]+\.", text), path
        # Sheets of a wall, and what a search shows: made of safe names, so that nothing has to be quoted. Notes come
        # from a file, too: what they name is encoded.
        safe = r'[A-Za-z0-9_./-]+|\$\{root\}\$\{path\}|"\$\{address\}"'
        assert all(re.fullmatch(safe, one) for one in re.findall(r"url\(([^)]*)\)", text)), path


def test_every_image_says_what_it_shows_and_how_large_it_is(site: Path, parsed: dict[str, Page]) -> None:
    for path, page in parsed.items():
        images = page.all("img")
        for image in images:
            with Image.open(site / posixpath.dirname(path) / image["src"]) as picture:
                assert (int(image["width"]), int(image["height"])) == picture.size
            assert len(image["alt"]) > 5
        alts = [image["alt"] for image in images]
        assert len(set(alts)) == len(alts), path
        far = [image for image in images if "static/" not in image["src"]]
        # A photograph on its own page is what is read first.
        assert all(image.get("loading") == "lazy" for image in far) or "/images/" in path


def test_pages_are_ordered_and_labelled(parsed: dict[str, Page]) -> None:
    for page in parsed.values():
        assert page.all("html") == [{"lang": "en"}]
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
        ids = {attributes.get("id") for _, attributes in page.elements}
        labels = [a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a]
        assert set(labels) <= ids
        assert [tag for tag in ("main", "header", "footer") if len(page.all(tag)) != 1] == []


def test_previous_and_next_run_through_all_layers(parsed: dict[str, Page]) -> None:
    address, seen = "toy/layer1.html", []
    while address:
        seen.append(address)
        links = {a["href"] for a in parsed[address].all("a") if a.get("rel") == "next"}
        assert len(links) <= 1
        address = posixpath.normpath(posixpath.join("toy", links.pop())) if links else ""
    assert seen == [f"toy/layer{place}.html" for place in (1, 2, 3, 4)]


def test_the_overview_lists_every_layer(run: Path, new_run: MakeRun, tmp_path: Path) -> None:
    build([run], tmp_path / "site")
    page = Page(tmp_path / "site" / "index.html")
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert len(page.all("tr")) == 1 + len(facts["layers"])
    assert "3,504,872" in page.text
    for layer in facts["layers"]:
        assert layer["name"] in page.text
        assert layer["shape"] is None or " × ".join(map(str, layer["shape"])) in page.text


def test_hostile_names_stay_text(parsed: dict[str, Page], hostile: list[str]) -> None:
    whole = "".join(page.text for page in parsed.values())
    for name in hostile:
        assert name in whole
    for page in parsed.values():
        assert all(set(one) in ({"src", "defer"}, {"type", "id"}) for one in page.all("script"))
        assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
        for _, attributes in page.elements:
            assert re.fullmatch(r"([a-z0-9 :;/.%-]|url\([\w./-]+\))*", attributes.get("style", ""))


def test_a_tile_shows_the_unit_that_its_number_says(run: Path, site: Path, parsed: dict[str, Page]) -> None:
    result = load_result(run / "maps" / "layer2" / "coffee.npz")
    assert isinstance(result, MapsResult)
    tiles = [image for image in parsed["toy/layer2.html"].all("img") if "maps/layer2/coffee" in image["src"]]
    assert [int(tile["alt"].rsplit(" ", 1)[1]) for tile in tiles] == result.units.tolist()
    pixels = (
        np.asarray(Image.open(site / "toy/maps/layer2/coffee.png").convert("RGB")).astype(float).sum(axis=2)
    )
    for tile, unit in zip(tiles, result.units, strict=True):
        shares = dict(part.split(":") for part in tile["style"].split(";"))
        percent = {name: float(value.rstrip("%")) / 100 for name, value in shares.items()}
        # The frame is one tile wide and high, and the picture is moved behind it.
        width = pixels.shape[1] / percent["width"]
        height = pixels.shape[0] / percent["height"]
        left, top = -percent["left"] * width, -percent["top"] * height
        rows, columns = result.maps.shape[1:]
        middles = (
            (np.arange(rows) + 0.5) * height / rows + top,
            (np.arange(columns) + 0.5) * width / columns + left,
        )
        shown = pixels[np.ix_(*(np.floor(middle).astype(int) for middle in middles))]
        # Both scales used for maps without negative values grow lighter with the value.
        order = np.corrcoef(shown.ravel(), result.maps[unit].ravel())[0, 1]
        assert order > 0.95


def test_legends_give_the_range(run: Path, parsed: dict[str, Page]) -> None:
    result = load_result(run / "maps" / "layer1" / "cat.npz")
    assert isinstance(result, MapsResult)
    bars = [image["alt"] for image in parsed["toy/layer1.html"].all("img") if "colours-" in image["src"]]
    assert bars[0] == "Colour bar of the filters of conv1: \N{MINUS SIGN}largest weight, 0, largest weight"
    assert bars[1] == f"Colour bar of conv1 on cat: 0, {result.maps.max():.3g}"


def test_captions_count(run: Path, parsed: dict[str, Page]) -> None:
    result = load_result(run / "filters" / "layer4.npz")
    assert isinstance(result, FiltersResult)
    text = " ".join(parsed["toy/layer4.html"].text.split())
    assert "All 70 filters, each 1 × 1 weights over 8 input channels" in text
    assert "1 dead filter Unit 1." in text
    assert "1 near-duplicate Unit 3 repeats 2." in text
    assert "How 6 of 70 units answer" in text
    assert "netviz filters toy --layer features.3" in text
    assert [a["id"] for a in parsed["toy/layer4.html"].all("li") if "id" in a] == [f"u{n}" for n in range(70)]
