import itertools
import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netviz.errors import ResultError
from netviz.gallery.build import build
from netviz.gallery.panels import patches
from netviz.gallery.panels.concepts import UnitConcept
from netviz.gallery.panels.filters import filter_tiles
from netviz.gallery.panels.unit import (
    Numbers,
    Unit,
    histogram_end,
    histogram_frame,
    histogram_last,
    histogram_path,
    known,
)
from netviz.questions.filters.result import FiltersResult
from netviz.questions.links.result import ClassLink, LinksTableResult, Side
from netviz.questions.patches.result import BackResult, PatchesResult
from netviz.questions.reader import load_result
from netviz.questions.units.result import NearestResult
from support.fields import add_results
from support.pages import Page, changed, leave_out


def neighbours(layer: str, channels: int, **changes: Any) -> NearestResult:
    """Each unit's nearest are the two after it, round the end."""
    at = np.arange(channels)
    near = np.stack([(at + 1) % channels, (at + 2) % channels, np.full(channels, -1)], axis=1)
    facts = {"network": "toy", "layer": layer, "alias": layer, "layer_kind": "conv", "channels": channels}
    values: dict[str, Any] = {
        "nearest": near,
        "similarity": np.tile(np.array([0.75, 0.5, np.nan], dtype=np.float32), (channels, 1)),
        "sparsity": at / channels,
        "images": 2,
        "positions": 100,
        "samples": 100,
        **facts,
    }
    return NearestResult(**{**values, **changes})


@pytest.fixture(scope="module")
def full_run(told_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The told run with all units of each layer, and neighbours of one layer."""
    field = {"size": [9, 9], "stride": [4, 4], "start": [-3, -3], "status": "exact"}

    def change(facts: dict[str, Any]) -> None:
        facts["form"] = "full"
        # Figures take long to draw, and are tested elsewhere.
        leave_out(facts, "components", "minimal")
        for layer in facts["layers"]:
            layer["receptive_field"] = field

    folder = changed(told_run, tmp_path_factory.mktemp("full") / "run", change)
    add_results(folder, units=neighbours("features.0", 8))
    path = folder / "patches" / "layers" / "layer1.npz"
    patches = load_result(path)
    assert isinstance(patches, PatchesResult)
    values = {**{name: getattr(patches, name) for name in vars(patches)}}
    # The strongest position of unit u is row 2, column u, of maps of 24 by 32.
    values.update(row=np.full((8, 2), 2, dtype=np.int32), map_size=(24, 32))
    values.update(col=np.tile(np.arange(8, dtype=np.int32)[:, None], (1, 2)))
    values.update(max=np.array([5, 3, 0, 9, 1.5, 2, 7, 4], dtype=np.float32))
    PatchesResult(**values).save(path)
    return folder


@pytest.fixture(scope="module")
def site(full_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build([full_run], folder)
    return folder


def wall_data(site: Path, layer: str) -> dict[str, Any]:
    text = (site / "toy" / f"{layer}.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="wall-data">(.*?)</script>', text, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_every_unit_has_an_address_of_its_own(site: Path, full_run: Path, tmp_path: Path) -> None:
    counts = {1: 8, 2: 8, 3: 8, 4: 70}
    pages = {str(path.relative_to(site)) for path in site.glob("toy/layer*/*.html")}
    assert pages == {f"toy/layer{at}/{unit}.html" for at, count in counts.items() for unit in range(count)}
    # The same unit is at the same address in the quick form, which has fewer.
    folder = changed(full_run, tmp_path / "run", lambda facts: facts.update(form="quick"))
    build([folder], tmp_path / "site")
    quick = {str(path.relative_to(tmp_path / "site")) for path in tmp_path.glob("site/toy/layer*/*.html")}
    assert quick < pages
    assert len(quick) == 8 + 6 + 6 + 6


def test_two_builds_are_identical(site: Path, full_run: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    build([full_run], tmp_path, progress=lambda _, done, total: seen.append((done, total)))
    paths = sorted(path.relative_to(site) for path in site.rglob("*") if path.is_file())
    assert paths == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert all((site / path).read_bytes() == (tmp_path / path).read_bytes() for path in paths)
    assert seen[-1][0] == seen[-1][1]


def test_a_walls_data_are_the_arrays(site: Path, full_run: Path) -> None:
    data = wall_data(site, "layer1")
    assert data["activity"] == [5, 3, 0, 9, 1.5, 2, 7, 4]
    assert data["sparsity"] == pytest.approx([unit / 8 for unit in range(8)], abs=1e-3)
    # By the run: unit 0 is always on, 2 is dead; by its weights 1 is dead, and 3 repeats 2.
    # The last three detect.
    assert data["marks"] == [2, 4, 1, 8, 0, 16, 16, 16]
    assert data["names"] == ["red"]
    assert data["concept"] == [-1, 0, 0, 0, 0, 0, 0, 0]
    assert data["iou"] == pytest.approx([0.01 * unit for unit in range(8)])
    without = wall_data(site, "layer2")
    assert without == {"marks": [0] * 8}


def test_a_wall_asks_for_the_marks_of_its_data(site: Path) -> None:
    options = {one["value"]: one.get("data-marks") for one in Page(site / "toy/layer1.html").all("option")}
    marks = wall_data(site, "layer1")["marks"]
    shown = {
        name: [unit for unit, mark in enumerate(marks) if mark & int(options[name] or 0)]
        for name in ("dead", "on", "duplicate", "detectors")
    }
    assert shown == {"dead": [1, 2], "on": [0], "duplicate": [3], "detectors": [5, 6, 7]}
    assert options[""] is None


def test_a_wall_offers_no_filter_that_empties_it(site: Path) -> None:
    # Of layer 2, which has no filters and no patches, nothing is remarkable.
    assert "show" not in {one.get("id") for one in Page(site / "toy/layer2.html").all("select")}
    values = [one["value"] for one in Page(site / "toy/layer1.html").all("option") if "data-marks" in one]
    assert values == ["detectors", "dead", "duplicate", "on"]


def test_tiles_and_dead_filters_lead_to_their_units(site: Path) -> None:
    links = [link["href"] for link in Page(site / "toy/layer1.html").all("a")]
    # Six maps on each of two photographs, eight filters, eight tiles of the wall, and unit 1 as a dead filter.
    counts = [links.count(f"../toy/layer1/{unit}.html") for unit in range(8)]
    assert counts == [3, 4, 3, 3, 3, 3, 1, 1]


def test_sparsity_is_reckoned_from_the_histogram_where_it_was_not_measured(site: Path) -> None:
    # Of every unit n values lie in bin n of 32 between 0 and 2.
    counts, middles = np.arange(32), (np.arange(32) + 0.5) / 16
    values = np.repeat(middles, counts)
    ratio = values.mean() ** 2 / (values**2).mean()
    expected = (1 - ratio) / (1 - 1 / len(values))
    assert wall_data(site, "layer3")["sparsity"] == pytest.approx([expected] * 8, abs=5e-4)
    assert "Sparsity, from the histogram" in Page(site / "toy/layer3/1.html").text
    assert "from the histogram" not in Page(site / "toy/layer1/1.html").text


def test_neighbours_are_linked(site: Path) -> None:
    page = Page(site / "toy/layer1/7.html")
    assert "unit 0 0.75 unit 1 0.5 Correlation" in page.text
    assert {"../../toy/layer1/0.html", "../../toy/layer1/1.html"} <= {link["href"] for link in page.all("a")}
    assert "act alike" not in Page(site / "toy/layer2/7.html").text


def test_a_unit_without_a_page_stands_on_the_wall(full_run: Path, tmp_path: Path) -> None:
    # Only six units of a layer have maps, and so pages; of the first layer also two that have masks.
    folder = changed(full_run, tmp_path / "run", lambda facts: facts.update(form="standard"))
    build([folder], tmp_path / "site")
    wall = Page(tmp_path / "site/toy/layer4.html")
    items = [item for item in wall.all("li") if "id" in item]
    assert [item["id"] for item in items] == [f"u{unit}" for unit in range(70)]
    assert ["bare" in item["class"] for item in items] == [False] * 6 + [True] * 64
    rows = (tmp_path / "site/toy/layer4.html").read_text(encoding="utf-8")
    # After the sheet of those with pages come those of the others: unit 69 is the last of the eighth.
    assert '<li class="g8 t7 bare" id="u69"><a href="#u69">69' in rows
    assert ".g8{--a:url(layer4/others-7.jpg);--pw:50px;--ph:50px}" in rows
    result = load_result(folder / "patches" / "layers" / "layer4.npz")
    assert isinstance(result, PatchesResult)
    with Image.open(tmp_path / "site/toy/layer4/others-7.jpg") as sheet:
        # A patch of 96 pixels for 48, and two of paper around, for each of 8 units.
        assert sheet.size == (8 * 100, 100)
    assert f"{result.max[69]:.3g} · mean {result.mean[69]:.3g}" in rows
    # Units alike lead there, with their patches.
    page = Page(tmp_path / "site/toy/layer1/5.html")
    assert {"../../toy/layer1/6.html", "../../toy/layer1/7.html"} <= {link["href"] for link in page.all("a")}


def links(layer: str) -> LinksTableResult:
    """Units 5 and 7 are each built from unit 3 of what follows the first convolution, and feed unit 69 of conv3."""
    two: dict[str, Any] = {}
    for side, unit, share in (("before", 3, 0.75), ("after", 69, -0.5)):
        two |= {
            f"{side}_units": np.array([[unit, -1], [unit, -1]]),
            f"{side}_shares": np.array([[share, 0], [share, 0]], dtype=np.float32),
            f"{side}_kernels": np.ones((2, 2, 1, 1), dtype=np.int8),
            f"{side}_peaks": np.ones(2, dtype=np.float32),
            f"{side}_sizes": np.ones((2, 2), dtype=np.int64),
            f"{side}_of": np.zeros(2, dtype=np.int64),
            f"{side}_missing": "",
        }
    return LinksTableResult(
        table_units=np.array([5, 7]),
        raised=np.array([[4], [-1]]),
        lowered=np.array([[9], [-1]]),
        raised_weights=np.array([[1.5], [0]], dtype=np.float32),
        lowered_weights=np.array([[-2], [0]], dtype=np.float32),
        network="toy",
        layer=layer,
        alias="conv2",
        layer_kind="conv",
        channels=8,
        before=(Side("features.1", "relu1", "relu", 8),),
        after=(Side("somewhere", "norm3", "norm", 70),),
        classes=(ClassLink(4, "espresso"), ClassLink(9, "")),
        called="class",
        **two,
    )


def test_what_a_unit_is_built_from_and_feeds(full_run: Path, tmp_path: Path) -> None:
    def change(facts: dict[str, Any]) -> None:
        facts["form"] = "standard"
        facts["links"] = {"top": 2, "layers": [{"layer": 3, "file": "links/layer3.npz", "missing": ""}]}
        facts["deconv"] = {"folder": "patches/back", "layers": [3], "patches": 1}

    folder = changed(full_run, tmp_path / "run", change)
    links("features.2").save(folder / "links" / "layer3.npz")
    tiles = np.full((2, 1, 1, 4, 4, 3), 128, dtype=np.uint8)
    tiles[1] = 200
    BackResult(
        tiles=tiles, ends=np.ones((2, 1, 1), dtype=np.float32), drawn_units=np.array([5]),
        score=np.ones((1, 1), dtype=np.float32), rules=("deconvnet", "guided"), network="toy", layer="features.2",
        rectifiers={"relu": 1}, others={},
    ).save(folder / "patches" / "back" / "layer3.npz")  # fmt: skip
    build([folder], tmp_path / "site")
    page = Page(tmp_path / "site/toy/layer3/5.html")
    assert "otes for espresso; against class 9." in page.text
    assert "Built from relu1 unit 3 +75" in page.text
    assert "Feeds norm3 unit 69 \N{MINUS SIGN}50" in page.text
    led = {link["href"] for link in page.all("a")}
    # What normalizes conv3 has its units; that one has no page.
    assert {"../../toy/layer2/3.html", "../../toy/layer4.html#u69"} <= led
    assert [image["alt"] for image in page.all("img") if "back" in image["src"]] == [
        "Deconvnet of the best patch of conv2, unit 5",
        "Guided backpropagation of the best patch of conv2, unit 5",
    ]
    sheet = np.asarray(Image.open(tmp_path / "site/toy/layer3/back.png").convert("RGB"))
    assert sheet[:, :4].tolist() == tiles[0, 0, 0].tolist()
    assert sheet[:, 4:].tolist() == tiles[1, 0, 0].tolist()
    assert "Built from" not in Page(tmp_path / "site/toy/layer3/4.html").text


def test_units_are_turned_like_pages(site: Path) -> None:
    for at in range(70):
        links = {a["rel"]: a["href"] for a in Page(site / f"toy/layer4/{at}.html").all("a") if "rel" in a}
        wanted = {"up": "../../toy/layer4.html"}
        wanted |= {"prev": f"../../toy/layer4/{at - 1}.html"} if at else {}
        wanted |= {"next": f"../../toy/layer4/{at + 1}.html"} if at < 69 else {}
        assert links == wanted


def test_where_a_unit_looks(site: Path) -> None:
    # Position (2, 7) sees the rows 5 to 14 and columns 25 to 34 of 48 by 64 pixels.
    page = Page(site / "toy/layer1/7.html")
    (frame,) = [span["style"] for span in page.all("span") if "left" in span.get("style", "")]
    shares = {k: float(v.rstrip("%")) for k, v in (one.split(":") for one in frame.split(";"))}
    assert shares == pytest.approx(
        {"left": 2500 / 64, "top": 500 / 48, "width": 900 / 64, "height": 900 / 48}, abs=1e-3
    )
    assert "row 2, column 7 of its map" in page.text
    # The maps of layer 3 are not of the size that was searched: nothing is said of where.
    assert "Where it looks" not in Page(site / "toy/layer3/7.html").text


def test_a_histogram_is_drawn_as_it_is(site: Path) -> None:
    text = (site / "toy/layer1/3.html").read_text(encoding="utf-8")
    (path,) = re.findall(r'<path d="M0 40([^"]*)V40z"', text)
    heights = [40 - float(step) for step in re.findall(r"V([\d.e+-]+)h1", path)]
    assert heights == pytest.approx([40 * math.log1p(n) / math.log1p(31) for n in range(32)], abs=0.06)


def test_a_histogram_goes_on_to_the_largest_value_beyond_the_sample() -> None:
    """A sample of 1 to 3 in four bins; the largest of all values, 4, lies two bins beyond."""
    numbers = Numbers(
        largest=4.0, mean=2.0, zeros=0.0, sparsity=0.5, quantiles=(1.0, 2.0, 3.0), histogram=(5, 3, 2, 1)
    )
    assert histogram_frame(numbers) == "0 0 6 40"
    last = histogram_path(numbers).rpartition("M")[2]
    found = re.fullmatch(r"([\d.]+) 40V([\d.]+)h([\d.]+)V40z", last)
    assert found is not None
    left, top, wide = map(float, found.groups())
    assert left + wide == pytest.approx(6)
    assert 40 - top == pytest.approx(40 * math.log(2) / math.log(6), abs=0.05)
    assert histogram_last(numbers) == 4
    assert "The sample ends at 3" in histogram_end(numbers)
    within = replace(numbers, largest=3.0)
    assert histogram_frame(within) == "0 0 4 40"
    assert (histogram_end(within), histogram_last(within)) == ("", 3)


def test_pages_are_small_labelled_and_alike(site: Path) -> None:
    for path in site.glob("toy/layer*/*.html"):
        page = Page(path)
        # Of the few units that have maps, examples of all values take half of it.
        assert path.stat().st_size < 28_000
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
        alts = [image["alt"] for image in page.all("img")]
        assert len(set(alts)) == len(alts)
        for image in page.all("img"):
            with Image.open(path.parent / image["src"]) as picture:
                assert (int(image["width"]), int(image["height"])) == picture.size


def test_a_wall_tile_shows_its_patch_and_its_filter(site: Path, full_run: Path) -> None:
    sheet = np.asarray(Image.open(site / "toy/layer4/filters-8.png").convert("RGB")).astype(float)
    result = load_result(full_run / "filters" / "layer4.npz")
    assert isinstance(result, FiltersResult)
    # Unit 69 is the sixth of the ninth sheet; its 8 weights stand in 3 columns of 20 pixels, after 2 of paper.
    tile = sheet[:64, 5 * 64 : 6 * 64]
    weights = result.weight[69, :, 0, 0]
    for place, weight in enumerate(weights):
        row, column = divmod(place, 3)
        red, _, blue = tile[2 + 20 * row + 10, 2 + 20 * column + 10]
        assert (red > blue) == (weight > 0)
    rows = (site / "toy/layer4.html").read_text(encoding="utf-8")
    assert '<li class="g8 t5" id="u69"><a href="layer4/69.html">69' in rows
    assert ";--b:url(layer4/filters-8.png)}" in rows


def test_a_patch_on_a_wall_is_the_same_patch_smaller(
    full_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without loss, to be compared: as PNG, which otherwise only the smallest fields are.
    monkeypatch.setattr(patches, "FLAT", 16)
    build([full_run], tmp_path)
    # A patch of 192 pixels is brought to 96, two for one that is shown, inside two pixels of paper.
    small = np.asarray(Image.open(tmp_path / "toy/layer3/wall-0.png").convert("RGB")).astype(float)
    assert small.shape == (100, 8 * 200, 3)
    assert "--pw:100px;--ph:50px" in (tmp_path / "toy/layer3.html").read_text(encoding="utf-8")
    for unit in (0, 7):
        large = np.asarray(Image.open(tmp_path / f"toy/layer3/patches-{unit}.png").convert("RGB"))
        wanted = large[:192, :192].reshape(96, 2, 96, 2, 3).mean(axis=(1, 3))
        cut = small[2:98, 200 * unit + 2 : 200 * unit + 98]
        assert np.abs(cut - wanted).max() <= 0.5


def test_a_unit_of_fewer_patches_has_no_empty_places(full_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(full_run, run)
    path = run / "patches" / "layers" / "layer3.npz"
    result = load_result(path)
    assert isinstance(result, PatchesResult)
    top = result.image.shape[1]
    image = result.image.copy()
    for unit, count in {0: 1, 1: 2, 3: 0}.items():
        image[unit] = np.where(np.arange(top) < count, 0, -1)
    replace(result, image=image).save(path)
    build([run], tmp_path / "site")
    for unit, (columns, rows) in {0: (1, 1), 1: (2, 1), 3: (1, 1)}.items():
        with Image.open(next((tmp_path / "site/toy/layer3").glob(f"patches-{unit}.*"))) as picture:
            assert picture.size == (columns * 195 - 3, rows * 195 - 3)


@pytest.mark.parametrize("shape", [(3, 3, 7, 7), (3, 1, 3, 3), (3, 300, 1, 1), (3, 64, 3, 3), (3, 2, 1, 9)])
def test_filters_are_square_tiles(shape: tuple[int, ...]) -> None:
    result = FiltersResult(
        weight=np.random.default_rng(0).normal(size=shape).astype(np.float32), units=np.arange(3),
        network="n", layer="l", alias="a", groups=3 if shape[1] == 1 else 1, transposed=False,
        sees_image=shape[1] == 3, channel_order="RGB", scale="each", sort="index", dead=(), duplicates=(),
    )  # fmt: skip
    tiles, inputs = filter_tiles(result, [2, 0])
    assert tiles.shape[0] == 2
    assert tiles.shape[1] == tiles.shape[2] <= 68
    assert inputs == {3: 3, 1: 1, 300: 144, 64: 36, 2: 2}[shape[1]]


def test_more_units_than_filters_are_refused(full_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(full_run, tmp_path / "run")
    facts = json.loads((folder / "run.json").read_text())
    facts["layers"][4]["channels"] = 71
    (folder / "run.json").write_text(json.dumps(facts))
    with pytest.raises(ResultError, match=r"layer4\.npz has 70 units, but unit 70 is asked for"):
        build([folder], tmp_path / "site")


BROKEN: dict[str, dict[str, Any]] = {
    "another layer's": {"nearest": np.zeros((7, 3), dtype=np.int64)},
    "units that there are not": {"nearest": np.full((8, 3), 8)},
    "no pairs": {"similarity": np.zeros((8, 2), dtype=np.float32)},
    "numbers": {"nearest": np.zeros((8, 3))},
}


@pytest.mark.parametrize("how", BROKEN)
def test_neighbours_that_do_not_fit_are_one_line(how: str, full_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(full_run, tmp_path / "run")
    add_results(folder, units=neighbours("features.0", 8, **BROKEN[how]))
    with pytest.raises(ResultError, match=r"layer1\.npz does not fit its layer") as caught:
        build([folder], tmp_path / "site")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("facts", [{"form": "half"}, {"form": 3}])
def test_an_unknown_form_is_refused(facts: dict[str, Any], told_run: Path, tmp_path: Path) -> None:
    folder = changed(told_run, tmp_path / "run", lambda known: known.update(facts))
    with pytest.raises(ResultError, match="form"):
        build([folder], tmp_path / "site")


def test_more_units_than_any_layer_has_are_refused(told_run: Path, tmp_path: Path) -> None:
    def change(facts: dict[str, Any]) -> None:
        facts["form"] = "full"
        facts["layers"][1]["channels"] = 10**12

    with pytest.raises(ResultError, match="1000000000000 units"):
        build([changed(told_run, tmp_path / "run", change)], tmp_path / "site")


def test_a_layer_may_be_called_as_a_folder_of_the_site(told_run: Path, tmp_path: Path) -> None:
    def change(facts: dict[str, Any]) -> None:
        leave_out(facts, "components", "minimal")
        facts["layers"][2].update(slug="patches", maps=None)

    build([changed(told_run, tmp_path / "run", change)], tmp_path / "site")
    assert (tmp_path / "site/toy/patches-2.html").is_file()


@pytest.mark.parametrize(
    ("label", "detects", "expected"),
    [
        ("", False, "No concept fits."),
        ("", True, "Detects blue."),
        ("car", False, "Class: car."),
        ("car", True, "Class: car; detects blue."),
    ],
)
def test_what_is_known_of_a_class_unit_begins_with_its_class(
    label: str, detects: bool, expected: str
) -> None:
    concept = UnitConcept(3, "blue", "colour", 0.2, 0.5, detects, None)
    assert known(Unit(3, "3.html", label=label), concept) == expected
