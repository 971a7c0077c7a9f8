import json
import posixpath
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from netviz.errors import ResultError
from netviz.gallery.build import build
from support.images import add_images, make_attribute, make_hypercolumn
from support.pages import Page, changed, leave_out

MakeRun = Callable[..., Path]


@pytest.fixture(scope="module")
def seen_run(told_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_images(shutil.copytree(told_run, tmp_path_factory.mktemp("seen") / "run"))


@pytest.fixture(scope="module")
def site(seen_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build([seen_run], folder)
    return folder


@pytest.fixture(scope="module")
def cat(site: Path) -> Page:
    return Page(site / "toy" / "images" / "cat.html")


def test_every_photograph_has_a_page_that_the_overview_links_to(site: Path) -> None:
    links = {link["href"] for link in Page(site / "index.html").all("a")}
    assert {"toy/images/cat.html", "toy/images/coffee.html", "toy/fcn.html", "about.html"} <= links
    page = Page(site / "toy" / "images" / "cat.html")
    following = {link["href"] for link in page.all("a") if link.get("rel") == "next"}
    assert following == {"../../toy/images/coffee.html"}


def test_everything_that_a_page_names_is_there(site: Path, cat: Page) -> None:
    for path in ("toy/images/cat.html", "toy/images/coffee.html", "toy/fcn.html", "about.html"):
        page, here = Page(site / path), posixpath.dirname(path)
        ids = [one["id"] for _, one in page.elements if "id" in one]
        assert len(ids) == len(set(ids))
        for image in page.all("img"):
            assert image["alt"].strip()
            file = site / posixpath.normpath(posixpath.join(here, image["src"]))
            with Image.open(file) as opened:
                assert opened.size == (int(image["width"]), int(image["height"]))
        for link in page.all("a"):
            target, _, anchor = link["href"].partition("#")
            assert "://" not in target
            if target:
                other = site / posixpath.normpath(posixpath.join(here, target))
                assert other.is_file()
            elif anchor:
                assert anchor in ids


def test_the_parts_of_a_photograph_stand_on_its_page(cat: Page) -> None:
    headings = {one["id"] for name, one in cat.elements if name == "h2" and "id" in one}
    assert headings >= {"by-layer", "hypercolumn", "dense", "minimal", "first", "deeper"}
    assert "50.0 %, 25.0 %, 6.2 % of the variance" in cat.text
    assert "4 × 5 cells, 10 × 10 pixels apart" in cat.text
    # The highest score of the first class is in row 1 and column 2, whose centre is at 19.5, 29.5.
    assert "sky 7.5 at 30, 20; class 6 2.25 at 10, 40" in cat.text.replace("\u2212", "-")
    commands = cat.text
    for typed in (
        "netviz hypercolumn cat.png --model toy --layers features.0,features.2 --size 48x64",
        "netviz dense cat.png --model toy",
        "netviz maps cat.png --model toy --layer LAYER --size 48x64",
    ):
        assert typed in commands


def test_what_is_known_of_its_places_lies_over_a_photograph(site: Path, cat: Page) -> None:
    titles = [one["data-view"] for one in cat.all("img") if "data-view" in one]
    assert titles == [
        "Photograph",
        "Hypercolumn",
        "Clusters",
        "Minimal image",
        "Dense heat map: sky",
        "Grad-CAM: sky",
        "Grad-CAM: road",
        "Guided backpropagation: sky",
    ]
    text = (site / "toy" / "images" / "cat.html").read_text(encoding="utf-8")
    for side in ("left", "right"):
        (select,) = re.findall(f'<select id="over-{side}".*?</select>', text)
        assert re.findall(r">([^<]+)</option>", select) == titles
    result = make_hypercolumn("cat", ("features.0", "features.2"))
    with Image.open(site / "toy" / "clusters" / "cat.png") as opened:
        clusters = np.asarray(opened.convert("RGB")).reshape(-1, 3)
    # A colour for each cluster, and each place has that of its own.
    pairs = {(n, *colour) for n, colour in zip(result.clusters.ravel(), clusters.tolist(), strict=True)}
    assert len(pairs) == len({pair[1:] for pair in pairs}) == len(result.cluster_share)
    with Image.open(site / "toy" / "colours" / "cat.jpg") as opened:
        red = np.asarray(opened.convert("RGB"))[..., 0].ravel()
    # The order of the first component is that of red.
    assert np.corrcoef(red, result.components[0].ravel())[0, 1] > 0.7


def test_a_class_s_maps_are_laid_over_the_photograph_in_grey(site: Path, cat: Page) -> None:
    """Held against matplotlib's own colours, over the brightness of ITU-R BT.601."""
    found = make_attribute("cat", "sky", "gradcam")
    grey = found.image @ np.array([0.299, 0.587, 0.114])
    colours = colormaps["magma"](found.attribution[0] / 3)[..., :3] * 255
    wanted = 0.4 * grey[..., None] + 0.6 * colours
    with Image.open(site / "toy/attribution/cat-gradcam-0.jpg") as opened:
        drawn = np.asarray(opened.convert("RGB")).astype(float)
    # JPEG keeps the mean of a block of 8 × 8 pixels.
    blocks = [one.reshape(6, 8, 8, 8, 3).mean(axis=(1, 3)) for one in (drawn, wanted)]
    np.testing.assert_allclose(blocks[0], blocks[1], atol=3)
    with Image.open(site / "toy/attribution/cat-guided-0.jpg") as opened:
        guided = np.asarray(opened.convert("RGB")).astype(int)
    assert guided[12, 18, 0] > 230
    assert guided[35, 18, 2] < 90
    np.testing.assert_allclose(guided[12:36, 50:], 127.5, atol=4)
    assert "netviz attribute cat.png --model toy --method gradcam,guided --size 48x64" in cat.text


def test_the_dense_map_lies_on_the_part_that_the_network_saw(site: Path) -> None:
    with Image.open(site / "toy/fcn/cat-over.jpg") as opened:
        drawn = np.asarray(opened.convert("RGB")).astype(float)
    with Image.open(site / "toy/images/cat.png") as opened:
        grey = np.asarray(opened.convert("L")).astype(float)
    # Of the highest score, at 19.5, 29.5 of 60 × 80 pixels; the network saw 3 of 4, from an eighth on, as 48 × 64.
    at = [
        round(((place + 0.5) / of - 0.125) / 0.75 * seen - 0.5)
        for place, of, seen in ((19.5, 60, 48), (29.5, 80, 64))
    ]
    heat = drawn - 0.4 * grey[..., None]
    around = [
        heat[row - 3 : row + 4, column - 3 : column + 4].mean()
        for row, column in (at, (30, 50), (at[1], at[0]))
    ]
    assert around[0] > 60 + max(around[1:])


def test_nothing_lies_over_a_photograph_of_which_nothing_was_made(seen_run: Path, tmp_path: Path) -> None:
    parts = ("hypercolumns", "minimal", "attribution", "fcn")
    copy = changed(seen_run, tmp_path / "run", lambda facts: leave_out(facts, *parts))
    build([copy], tmp_path / "site")
    page = Page(tmp_path / "site" / "toy" / "images" / "cat.html")
    assert not any("data-view" in one for one in page.all("img"))
    assert not any(one.get("id") == "over" for _, one in page.elements)


def test_the_answer_stands_at_the_top(run: Path, hostile: list[str], tmp_path: Path) -> None:
    copy = add_images(shutil.copytree(run, tmp_path / "run"), streams=True)
    facts = json.loads((copy / "run.json").read_text(encoding="utf-8"))
    facts["images"][0]["answers"] = [
        {"name": hostile[0], "probability": 0.75},
        {"name": "dog", "probability": 0.125},
    ]
    (copy / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    build([copy], tmp_path / "site")
    first, second = (
        Page(tmp_path / "site" / "toy" / "images" / f"{name}.html").text for name in ("cat", "coffee")
    )
    assert first.index(f"{hostile[0]} 75.0 %") < first.index("dog 12.5 %") < first.index("Maps by layer")
    # The side outputs are ramps from -4 to 4: half of each lies above 0.
    assert "it answers with edges. 50.0 % of the pixels are above 0.5 in fused" in second
    del facts["images"][0]["answers"]
    (copy / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    build([copy], tmp_path / "site")
    text = Page(tmp_path / "site" / "toy" / "images" / "cat.html").text
    # Stripes of 6 of 48 columns that take turns: 3, 3 and 2 of 8.
    assert text.index("sky 37.5 %") < text.index("road 37.5 %") < text.index("car 25.0 %")
    facts["images"][0]["answers"] = [{"name": "dog", "probability": 1.5}]
    (copy / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(ResultError, match=r"a probability is 1\.5"):
        build([copy], tmp_path / "site")


def test_numbers_are_beside_their_pictures(site: Path, seen_run: Path) -> None:
    for file, source in (
        ("hypercolumns/cat.npz", "hypercolumns/0.npz"),
        ("fcn/cat-dense.npz", "fcn/0-dense.npz"),
        ("fcn/cat-compare.npz", "fcn/0-compare.npz"),
    ):
        assert (site / "toy" / file).read_bytes() == (seen_run / source).read_bytes()


def test_what_is_missing_is_said(site: Path) -> None:
    page = Page(site / "toy" / "images" / "coffee.html")
    assert "Hypercolumn left out: nothing varies on coffee." in page.text
    assert "Dense heat map left out: coffee is smaller than the window." in page.text
    assert not any(one.get("id") in ("hypercolumn", "dense") for _, one in page.elements)


def test_a_tile_is_the_map_with_the_largest_value(site: Path, seen_run: Path, cat: Page) -> None:
    with np.load(seen_run / "maps" / "layer1" / "cat.npz") as stored:
        maps = stored["maps"]
    unit = int(maps.reshape(len(maps), -1).max(axis=1).argmax())
    assert f"unit {unit}, 24 × 32" in cat.text
    with Image.open(site / "toy" / "glimpses" / "cat.jpg") as sheet:
        # Four layers of 64 × 48 photographs in tiles of 112 × 84.
        assert sheet.size == (4 * 112, 84)
        tile = np.asarray(sheet.convert("L"), dtype=float)[:, :112]
    # All maps are rectified: brightness grows with the value.
    wanted = np.asarray(Image.fromarray(maps[unit]).resize((112, 84), Image.Resampling.NEAREST))
    assert np.corrcoef(tile.ravel(), wanted.ravel())[0, 1] > 0.9


def test_photographs_beyond_the_first_say_why_they_have_less(new_run: MakeRun, tmp_path: Path) -> None:
    run = add_images(new_run(tmp_path / "run", photos=("a", "b", "c")))
    build([run], tmp_path / "site")
    page = Page(tmp_path / "site" / "toy" / "images" / "c.html")
    assert "made of the first photographs alone" in page.text
    assert "../../about.html#toy" in {link["href"] for link in page.all("a")}


def test_a_run_without_hypercolumns_has_pages_too(run: Path, tmp_path: Path) -> None:
    build([run], tmp_path)
    page = Page(tmp_path / "toy" / "images" / "cat.html")
    assert any(one.get("id") == "by-layer" for _, one in page.elements)
    assert not (tmp_path / "toy" / "fcn.html").exists()


def test_hostile_names_stay_text(new_run: MakeRun, hostile: list[str], tmp_path: Path) -> None:
    run = add_images(new_run(tmp_path / "run", hostile[0], hostile, hostile), classes=hostile[:3])
    build([run], tmp_path / "site")
    pages = list((tmp_path / "site").glob("*/images/*.html"))
    assert len(pages) == len(hostile)
    for path in (*pages, *(tmp_path / "site").glob("*/fcn.html"), tmp_path / "site" / "about.html"):
        text = path.read_text(encoding="utf-8")
        assert "<script>window" not in text
        assert "onerror=" not in re.sub(r"&#3[49];[^<]*", "", text) or "<img src=x" not in text
        assert "49{% raw" not in text


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("hypercolumns", {"layers": ["x"], "shown": [{"image": 9, "file": "a.npz"}]}, "no image 9"),
        ("hypercolumns", {"layers": ["x"], "shown": [{"image": 0, "file": "../a.npz"}]}, "no path inside"),
        ("fcn", {"streams": [], "dense": [{"image": 0, "file": "a"}, {"image": 0, "file": "a"}]}, "twice"),
        ("fcn", {"streams": [{"image": 0, "file": "a", "views": 999}], "dense": []}, "views"),
        ("fcn", {"streams": [], "dense": [{"image": 0, "file": "hypercolumns/0.npz"}]}, "not dense"),
        ("fcn", {"streams": [], "dense": [{"image": 0, "file": "nothing.npz"}]}, "no such file"),
    ],
)
def test_a_damaged_run_is_refused_in_one_line(
    run: Path, tmp_path: Path, key: str, value: object, words: str
) -> None:
    run = add_images(shutil.copytree(run, tmp_path / "run"))
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    facts[key] = value
    (run / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(ResultError, match=words) as caught:
        build([run], tmp_path / "site")
    assert "\n" not in str(caught.value)
