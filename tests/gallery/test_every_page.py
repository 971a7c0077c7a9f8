"""What holds for every page of every kind, with plain and with hostile names; the browser's part is elsewhere."""

import re
from itertools import pairwise
from pathlib import Path

from support.pages import Page

# Attributes that make a browser load, run or style something.
ADDRESSES = ("href", "src", "srcset", "action", "formaction", "data", "poster", "cite", "background", "ping")


def test_every_page_is_linked_and_says_what_it_is(full_site: Path, linked_pages: dict[str, Page]) -> None:
    assert set(linked_pages) == {path.relative_to(full_site).as_posix() for path in full_site.rglob("*.html")}
    titles = set()
    for path, page in linked_pages.items():
        assert [attributes.get("lang") for attributes in page.all("html")] == ["en"], path
        assert len(page.all("h1")) == 1, path
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        assert all(after <= before + 1 for before, after in pairwise(levels)), path
        assert page.all("a")[0]["href"] == "#main", path
        assert [attributes.get("id") for attributes in page.all("main")] == ["main"], path
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(set(ids)) == len(ids), path
        assert all(len(image.get("alt", "")) > 3 for image in page.all("img")), path
        title = re.search(r"<title>(.*?)</title>", (full_site / path).read_text(encoding="utf-8"), re.S)
        assert title is not None
        titles.add(title[1].strip())
    assert len(titles) == len(linked_pages)


def test_no_name_becomes_markup_an_address_or_a_file(full_site: Path, linked_pages: dict[str, Page]) -> None:
    for path in full_site.rglob("*"):
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", path.name), path
    for path, page in linked_pages.items():
        tags = {tag for tag, _ in page.elements}
        assert not tags & {"iframe", "object", "embed", "base", "b", "raw"}, path
        for tag, attributes in page.elements:
            assert not [name for name in attributes if name.startswith("on")], (path, tag)
            assert set(attributes) & {"onerror", "srcdoc"} == set()
            for name in ADDRESSES:
                assert re.fullmatch(
                    r"[A-Za-z0-9_./-]*(#[A-Za-z0-9_.-]+|#place=[\d.,]+)?", attributes.get(name, "")
                ), path
            assert re.fullmatch(r"[A-Za-z0-9 #:;/.,%()_-]*", attributes.get("style", "")), path
            if tag == "script":
                assert attributes.get("src", "").rpartition("/")[0].endswith("static") or (
                    attributes.get("type") == "application/json"
                ), path


def test_every_name_is_readable_where_it_belongs(
    full_site: Path, linked_pages: dict[str, Page], hostile: list[str]
) -> None:
    def text(page: Page) -> str:
        # Where long words may break is marked by invisible characters.
        return re.sub(r"\s+", " ", page.text.replace("\u200b", "").replace("\u00ad", ""))

    (folder,) = {path.split("/")[0] for path in linked_pages if "/" in path} - {"toy", "static"}
    names = [" ".join(name.split()) for name in hostile]
    photos = [text(page) for path, page in linked_pages.items() if path.startswith(f"{folder}/images/")]
    assert len(photos) == len(names)
    for name in names:
        assert any(name in one for one in photos), name
    layers = [text(linked_pages[f"{folder}/layer{place}.html"]) for place in (1, 2, 3, 4)]
    for name, layer in zip(names[1:5], layers, strict=True):
        assert name in layer
        assert names[0] in layer
    for part, shown in (
        ("concepts", names[:2]),
        ("minimal", names[1:2]),
        ("fcn", names[:2]),
        ("components", names[:2]),
    ):
        page = text(linked_pages[f"{folder}/{part}.html"])
        assert all(name in page for name in shown), part
    assert names[0] in text(linked_pages["index.html"])
    assert names[0] in text(linked_pages["about.html"])
