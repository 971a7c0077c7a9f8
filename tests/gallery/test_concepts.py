import itertools
import posixpath
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netviz.errors import ResultError
from netviz.gallery.addresses import make_addresses
from netviz.gallery.build import build
from netviz.gallery.drawers import draw_network
from netviz.gallery.pages import pages
from netviz.gallery.panels.overview import Manifest
from netviz.gallery.panels.table import FOLDERS, files
from netviz.questions.reader import load_result
from netviz.results.survey import read_survey
from support.pages import Page, changed, leave_out, tree


@pytest.fixture(scope="module")
def told_run(told_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without components: figures take long to draw, and are tested elsewhere."""
    return changed(
        told_run, tmp_path_factory.mktemp("told") / "run", lambda facts: leave_out(facts, "components")
    )


@pytest.fixture(scope="module")
def hostile_told_run(hostile_told_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same whose names are hostile."""
    folder = tmp_path_factory.mktemp("hostile-told") / "run"
    return changed(hostile_told_run, folder, lambda facts: leave_out(facts, "components"))


@pytest.fixture(scope="module")
def site(told_run: Path, hostile_told_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build([told_run, hostile_told_run], folder)
    return folder


def test_every_address_leads_to_a_file_and_every_file_is_reached(site: Path) -> None:
    parsed = {str(path.relative_to(site)): Page(path) for path in site.rglob("*.html")}
    ids = {path: [a["id"] for _, a in page.elements if "id" in a] for path, page in parsed.items()}
    assert all(len(found) == len(set(found)) for found in ids.values())
    reached = {"index.html", "site.json"}
    for path, page in parsed.items():
        for _, attributes in page.elements:
            for address in (
                attributes[name] for name in ("href", "src", "srcset", "data-index") if name in attributes
            ):
                assert re.fullmatch(r"[A-Za-z0-9_./-]*(#[A-Za-z0-9_.-]+|#place=[\d.,]+)?", address), address
                file, _, anchor = address.partition("#")
                # The state of a page is no place on it.
                anchor = "" if anchor.startswith("place=") else anchor
                target = posixpath.normpath(posixpath.join(posixpath.dirname(path), file)) if file else path
                assert (site / target).is_file(), address
                assert not anchor or anchor in ids[target], address
                reached.add(target)
        for address in re.findall(r"url\(([^)]*)\)", page.text):
            reached.add(posixpath.join(posixpath.dirname(path), address))
    spare = ("static/colours-", "static/compare")
    assert {path for path in set(tree(site)) - reached if not path.startswith(spare)} == set()


def test_every_picture_is_what_the_page_says(site: Path) -> None:
    for path in site.rglob("*.html"):
        page = Page(path)
        alts = [image["alt"] for image in page.all("img")]
        assert len(set(alts)) == len(alts)
        assert min(map(len, alts), default=9) > 5
        for image in page.all("img"):
            with Image.open(path.parent / image["src"]) as picture:
                assert (int(image["width"]), int(image["height"])) == picture.size
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_concepts_page(site: Path) -> None:
    page = Page(site / "toy" / "concepts.html")
    assert "the eleven basic colours, measured from the pixels of 2 photographs" in page.text
    assert "among the highest 0.5 % of its values" in page.text
    assert "above 0.04" in page.text
    assert "All of this stands on 2 photographs" in page.text
    assert "Measured in 2 of the 4 layers shown here" in page.text
    # 100 of 10,000 pixels are the first concept, 300 the second.
    assert "red 3 units detect it. The concept itself: 1 % of the pixels, in 1 photograph." in page.text
    assert "blue No unit detects it" in page.text
    assert "This one comes nearest. The concept itself: 3 % of the pixels" in page.text
    assert "Not shown: grey. No unit detects it." in page.text
    masks = [image for image in page.all("img") if "concepts/" in image["src"]]
    assert [image["alt"] for image in masks] == [
        f"red: conv1, unit {unit}, outlined where it is above its threshold on {name}, 25 % of it"
        for unit, name in ((7, "coffee"), (6, "cat"), (5, "coffee"))
    ] + ["blue: conv2, unit 2, outlined where it is above its threshold on cat, 25 % of it"]
    assert [text in page.text for text in ("IoU 0.07", "IoU 0.06", "IoU 0.05", "IoU 0.03")] == [True] * 4
    # Of 50 active pixels and 100 or 300 of the concept.
    assert page.text.count("of at most 0.5 ") + page.text.count("of at most 0.167") == 4
    assert "netviz dissect toy --data toy/images --layer features.0 --layer features.2 -o RUN" in page.text
    links = [link["href"] for link in page.all("a")]
    assert {"../toy/layer1/7.html", "../toy/layer3/2.html", "../index.html#toy"} <= set(links)
    assert links.index("#c1") < links.index("#c2")
    # Units, detectors and concepts of each layer.
    html = (site / "toy" / "concepts.html").read_text()
    assert re.search(r">conv1</a></th><td[^>]*>8</td><td[^>]*>3</td><td[^>]*>1</td>", html)
    assert re.search(r">conv2</a></th><td[^>]*>8</td><td[^>]*>0</td><td[^>]*>0</td>", html)


def test_table_of_a_layer_is_the_runs_own(site: Path, told_run: Path) -> None:
    copied = site / "toy" / "concepts" / "layer1.csv"
    assert copied.read_bytes() == (told_run / "concepts" / "layers" / "layer1.csv").read_bytes()


def test_units_say_what_they_detect(site: Path) -> None:
    page = Page(site / "toy" / "layer1.html")
    assert "Concepts of toy: 3 of 8 units detect a concept (" in page.text
    # Six units have maps; two more are named on the page of concepts.
    links = [a["href"] for a in page.all("a") if re.fullmatch(r"layer1/\d+\.html", a["href"])]
    assert links == [f"layer1/{unit}.html" for unit in range(8)]
    assert "and the concept that it fits best" in page.text
    pages = [Page(site / "toy" / "layer1" / f"{unit}.html") for unit in range(8)]
    assert "detects red, IoU 0.07 of at most 0.5; mask on coffee" in pages[7].text
    assert "nearest to red, IoU 0.04 of at most 0.5; mask on cat" in pages[4].text
    assert "What it detects" in pages[7].text
    assert "Nearest colour" in pages[4].text
    assert "What it detects" not in pages[4].text
    assert "meets no concept" in pages[0].text
    alts = [image["alt"] for image in pages[3].all("img") if "concepts/" in image["src"]]
    assert alts == ["conv1, unit 3, nowhere above its threshold on coffee"]
    assert "netviz dissect toy --data toy/images --layer features.0 -o RUN" in page.text
    command = "netviz segment cat.png --model toy --layer features.0 --unit {} --run RUN/patches --size 48x64"
    assert command.format(0) in page.text
    assert command.format(4) in pages[4].text
    other = Page(site / "toy" / "layer4.html")
    assert "Units" in other.text
    assert "the concept" not in other.text


def test_units_that_are_classes_carry_their_names(told_run: Path, tmp_path: Path) -> None:
    names = ["road", "sky", "<b>", *"abcde"]

    def label(facts: dict[str, Any]) -> None:
        facts["layers"][1]["labels"] = names

    site = tmp_path / "site"
    build([changed(told_run, tmp_path / "run", label)], site)
    assert "layer1" not in Page(site / "toy" / "layer1" / "1.html").text
    for unit, name in enumerate(names):
        page = Page(site / "toy" / "layer1" / f"{unit}.html")
        assert f"conv1, unit {unit}: {name}" in page.text
        assert f"conv1 unit {unit} ({name}) of toy" in page.text
    wall = Page(site / "toy" / "layer1.html").text
    assert all(name in wall for name in names[:3])
    assert "unit 0:" not in Page(site / "toy" / "layer3" / "0.html").text


def test_what_cannot_be_detected_is_no_finding(told_run: Path, tmp_path: Path) -> None:
    """A unit active in 50 pixels has an IoU of at most 0.05 with a concept of 1,000, of 0.0125 with one of 4,000."""
    run = changed(told_run, tmp_path / "run", lambda _: None)
    for path in (run / "concepts" / "layers").glob("*.npz"):
        found = load_result(path)
        replace(found, concept_area=np.array([4000, 1000, 5000])).save(path)
    site = tmp_path / "site"
    build([run], site)
    page = Page(site / "toy" / "concepts.html")
    assert "IoU 0.03 of at most 0.05" in page.text
    assert "0.0125" not in page.text
    pages = [Page(site / "toy" / "layer1" / f"{unit}.html") for unit in range(8)]
    assert "nearest to red" not in "".join(one.text for one in pages)


def test_a_mask_is_bright_and_the_rest_is_dark(site: Path, told_run: Path) -> None:
    sheet = np.asarray(Image.open(site / "toy" / "concepts" / "layer1-0.jpg").convert("RGB")).astype(float)
    pages = [Page(site / "toy" / "layer1" / f"{unit}.html") for unit in range(8)]
    blocks = [next(i for i in page.all("img") if "concepts/" in i["src"]) for page in pages]
    photo = np.asarray(Image.open(told_run / "images" / "cat.png").convert("RGB")).astype(float)
    for unit in (0, 4, 6):
        shares = {
            key: float(value.rstrip("%")) / 100
            for key, value in (one.split(":") for one in blocks[unit]["style"].split(";"))
        }
        width, height = sheet.shape[1] / shares["width"], sheet.shape[0] / shares["height"]
        left, top = round(-shares["left"] * width - 0.5), round(-shares["top"] * height - 0.5)
        # 64 by 48 pixels are drawn as 144 by 108.
        tile = sheet[top : top + 108, left : left + 144]
        x = round(4.5 * unit)
        inside = tile[30:78, x + 4 : x + 68].mean(axis=(0, 1))
        outside = tile[84:106, x + 4 : x + 68].mean(axis=(0, 1))
        cells = photo[13:35, 2 * unit + 2 : 2 * unit + 30], photo[37:47, 2 * unit + 2 : 2 * unit + 30]
        assert inside == pytest.approx(cells[0].mean(axis=(0, 1)), rel=0.06)
        assert outside == pytest.approx(0.65 * cells[1].mean(axis=(0, 1)), rel=0.06)


def test_minimal_page(site: Path, told_run: Path) -> None:
    page = Page(site / "toy" / "minimal.html")
    # Ten of sixteen equal stripes are gone, and the score after the tenth removal is the last but one.
    assert (
        "Predicted as tabby (score 8.5), and still so (score 4.5) with 6 segments of 16, 38 % of the image; with one "
        "less, as lynx." in page.text.replace("6 of 16 segments", "6 segments of 16")
    )
    assert "Not made of coffee: coffee has fewer pixels <b>than segments</b>." in page.text
    assert "netviz minimal cat.png --model toy --segments 40 --size 48x64" in page.text
    assert len([image for image in page.all("img") if "minimal/" in image["src"]]) == 1
    assert (site / "toy/minimal/cat.npz").read_bytes() == (told_run / "minimal/0.npz").read_bytes()
    assert load_result(site / "toy/minimal/cat.npz").kind == "minimal"
    assert "what suffices for the prediction: 38 % of cat (tabby)" in Page(site / "index.html").text


def test_hostile_names_stay_text(site: Path, hostile: list[str]) -> None:
    for path in site.rglob("*.html"):
        page = Page(path)
        assert all(set(one) in ({"src", "defer"}, {"type", "id"}) for one in page.all("script"))
        assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
        assert page.all("b") == []
        for _, attributes in page.elements:
            assert re.fullmatch(r"([a-z0-9 :;/.%-]|url\([\w./-]+\))*", attributes.get("style", ""))
    folder = next(path.parent for path in site.glob("*/concepts.html") if path.parent.name != "toy")
    text = Page(folder / "concepts.html").text
    assert f"{hostile[0]} 3 units detect it" in text
    assert f"Not shown: {hostile[2]}." in text
    assert f"Predicted as {hostile[1]} (score" in Page(folder / "minimal.html").text


def test_pages_are_made_of_the_manifest_alone(told_run: Path) -> None:
    (addresses,) = make_addresses([read_survey(told_run)], FOLDERS)
    made: dict[str, bytes] = {}
    network = draw_network(addresses, ("one",), "1", made.__setitem__)
    pure = pages(Manifest("1", (network,)))
    own = {f"{page}.html" for page in ("index", "about", "notes", "search", "lecture", "glossary")}
    assert set(made) | set(pure) == {*files(addresses), *own}
    assert pages(Manifest("1", (network,))) == pure
    assert network.concepts is not None
    many = replace(network.concepts, images=5000, own=False, labels="voc", surveyed=2, categories=("a", "b"))
    page = pages(Manifest("1", (replace(network, concepts=many),)))["toy/concepts.html"]
    assert "3 labelled concepts of 5,000 images" in page
    assert "stands on" not in page
    assert "red (colour)" in page


@pytest.mark.slow
def test_two_builds_are_identical(told_run: Path, hostile_told_run: Path, site: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    runs = [told_run, hostile_told_run]
    report = build(runs, tmp_path, progress=lambda _, done, total: seen.append((done, total)))
    assert tree(site) == tree(tmp_path)
    assert sorted(report.written) == sorted(tree(site))
    assert seen[-1][0] == seen[-1][1]
    assert build(runs, site).written == ()


def test_a_run_without_them_has_neither(whole_run: Path, tmp_path: Path) -> None:
    run = changed(whole_run, tmp_path / "run", lambda facts: leave_out(facts, "components"))
    build([run], tmp_path / "site")
    assert not list((tmp_path / "site").rglob("concepts*")) + list((tmp_path / "site").rglob("minimal*"))
    assert not re.search("concept|minimal", Page(tmp_path / "site/toy/layer1.html").text, re.IGNORECASE)
    index = Page(tmp_path / "site" / "index.html").text
    # Only the reasons.
    assert len(re.findall("concept|minimal", index, re.IGNORECASE)) == 2
    assert "No concepts: this run has none." in index
    assert "No minimal images: this run has none." in index


def test_the_overview_says_why_there_are_none(told_run: Path, tmp_path: Path) -> None:
    def change(facts: dict[str, Any]) -> None:
        facts["concepts"] = {"missing": "no layer has maps of several positions"}
        facts["minimal"] = {"missing": "the outputs of <i>toy</i> have no names"}

    build([changed(told_run, tmp_path / "run", change)], tmp_path / "site")
    assert not list((tmp_path / "site").rglob("concepts*")) + list((tmp_path / "site").rglob("minimal*"))
    text = Page(tmp_path / "site" / "index.html").text
    assert "No concepts: no layer has maps of several positions." in text
    assert "No minimal images: the outputs of <i>toy</i> have no names." in text


def test_a_layer_may_be_called_concepts(told_run: Path, tmp_path: Path) -> None:
    def change(facts: dict[str, Any]) -> None:
        facts["layers"][2].update(slug="concepts", maps=None)
        facts["layers"][4].update(slug="minimal", maps=None, filters=None, patches=None)

    build([changed(told_run, tmp_path / "run", change)], tmp_path / "site")
    assert "Concepts of toy" in Page(tmp_path / "site/toy/concepts.html").text
    assert "relu1" in Page(tmp_path / "site/toy/concepts-2.html").text
    assert "conv3" in Page(tmp_path / "site/toy/minimal-2.html").text


def test_without_patches_a_concept_leads_to_its_unit(told_run: Path, tmp_path: Path) -> None:
    def change(facts: dict[str, Any]) -> None:
        leave_out(facts, "patches")
        for layer in facts["layers"]:
            layer["patches"] = None

    build([changed(told_run, tmp_path / "run", change)], tmp_path / "site")
    links = [link["href"] for link in Page(tmp_path / "site/toy/concepts.html").all("a")]
    assert "../toy/layer1/7.html" in links
    assert "detects red, IoU 0.07" in Page(tmp_path / "site/toy/layer1/7.html").text


def told(facts: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = facts["concepts"]
    return found


BROKEN: dict[str, Callable[[dict[str, Any]], object]] = {
    "folder outside": lambda f: told(f).update(folder="../elsewhere"),
    "no dissection": lambda f: told(f).update(folder="patches"),
    "no masks": lambda f: told(f).update(masks=[]),
    "layers the other way": lambda f: told(f)["masks"].reverse(),
    "unknown layer": lambda f: told(f)["masks"][0].update(layer=99),
    "layer without page": lambda f: told(f)["masks"][0].update(layer=5),
    "mask outside": lambda f: told(f)["masks"][0].update(file="../../x.png"),
    "no such mask": lambda f: told(f)["masks"][0].update(file="concepts/masks/none.png"),
    "another picture": lambda f: told(f)["masks"][0].update(file="images/cat.png"),
    "too few masks": lambda f: told(f)["masks"][0].update(units=list(range(5)), images=[0] * 5),
    "unit twice": lambda f: told(f)["masks"][0].update(units=[0] * 8),
    "unit too high": lambda f: told(f)["masks"][0].update(units=list(range(1, 9))),
    "units without images": lambda f: told(f)["masks"][0].update(images=[]),
    "image too high": lambda f: told(f)["masks"][0].update(images=[2] * 8),
    "image outside": lambda f: told(f)["images"][0].update(file="/etc/passwd"),
    "no image": lambda f: told(f)["images"][0].update(file="images/none.png"),
    "no name": lambda f: told(f)["images"][0].pop("name"),
    "source is a number": lambda f: told(f)["images"][0].update(source=3),
    "best of no layer": lambda f: told(f)["best"][0].update(units=[[2, 0]]),
    "best of no unit": lambda f: told(f)["best"][0].update(units=[[0, 8]]),
    "best of three": lambda f: told(f)["best"][0].update(units=[[0, 1, 2]]),
    "no such concept": lambda f: told(f)["best"][0].update(concept=3),
    "concept twice": lambda f: told(f)["best"][1].update(concept=0),
    "data is a number": lambda f: told(f).update(data=7),
    "concepts are text": lambda f: f.update(concepts="abc"),
    "reason is a number": lambda f: f.update(concepts={"missing": 3}),
    "minimal outside": lambda f: f["minimal"]["shown"][0].update(file="../x.npz"),
    "minimal nowhere": lambda f: f["minimal"]["shown"][0].update(file="minimal/none.npz"),
    "minimal of another kind": lambda f: f["minimal"]["shown"][0].update(file="concepts/layers/layer1.npz"),
    "minimal twice": lambda f: f["minimal"]["shown"][1].update(image=0),
    "minimal of no image": lambda f: f["minimal"]["shown"][1].update(image=9),
    "no segments": lambda f: f["minimal"].pop("segments"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_run_is_one_line(how: str, told_run: Path, tmp_path: Path) -> None:
    folder = changed(told_run, tmp_path / "run", BROKEN[how])
    with pytest.raises(ResultError) as caught:
        build([folder], tmp_path / "site")
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
