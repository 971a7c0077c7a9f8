import itertools
import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netviz.errors import ResultError
from netviz.gallery.build import build
from netviz.questions.reader import load_result
from support.pages import Page, changed, leave_out, tree


@pytest.fixture(scope="module")
def site(whole_run: Path, hostile_whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build([whole_run, hostile_whole_run], folder)
    return folder


def test_every_address_leads_to_a_file_and_every_file_is_reached(site: Path) -> None:
    reached = {"index.html", "site.json"}
    for page in site.rglob("*.html"):
        at = str(page.parent.relative_to(site))
        ids = {attributes.get("id") for _, attributes in Page(page).elements}
        for _, attributes in Page(page).elements:
            for address in (
                attributes[name] for name in ("href", "src", "srcset", "data-index") if name in attributes
            ):
                assert re.fullmatch(r"[A-Za-z0-9_./-]*(#[A-Za-z0-9_.-]+|#place=[\d.,]+)?", address), address
                file, _, anchor = address.partition("#")
                # The state of a page is no place on it.
                anchor = "" if anchor.startswith("place=") else anchor
                target = posixpath.normpath(posixpath.join(at, file))
                if file:
                    assert (site / target).is_file(), address
                    reached.add(target)
                if anchor:
                    there = Page(site / target) if file else Page(page)
                    assert anchor in {a.get("id") for _, a in there.elements} if file else anchor in ids
        for address in re.findall(r"url\(([^)]*)\)", Page(page).text):
            reached.add(posixpath.join(at, address))
    spare = {
        path for path in reached | set(tree(site)) if path.startswith(("static/colours-", "static/compare"))
    }
    assert set(tree(site)) - reached <= spare


def test_every_picture_is_what_the_page_says(site: Path) -> None:
    for path in site.rglob("*.html"):
        page = Page(path)
        alts = [image["alt"] for image in page.all("img")]
        assert len(set(alts)) == len(alts)
        assert min(map(len, alts), default=9) > 5
        for image in page.all("img"):
            with Image.open(path.parent / image["src"]) as picture:
                picture.load()
                assert (int(image["width"]), int(image["height"])) == picture.size
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_components_page(site: Path) -> None:
    page = Page(site / "toy" / "components.html")
    assert "Components of toy" in page.text
    assert len([image for image in page.all("img") if "components/" in image["src"]]) == 2 * 2 * 3 - 1
    assert "netviz stages cat.png --model toy --layer features.0 --size 48x64" in page.text
    assert (
        "netviz contrast coffee.png --model toy --layer features.2 --size 48x64 --units 0,1,2,3" in page.text
    )
    assert "netviz sift cat.png --model toy --layer features.2 --size 48x64" in page.text
    assert "convconv1 → reluconv1 → poolconv1" in page.text
    assert "pooling tells whether the pattern was near" in page.text
    assert "Not made of conv2 on coffee: SIFT finds no keypoint in <b>coffee</b>." in page.text
    links = {link["href"] for link in page.all("a")}
    assert {"../toy/layer1.html", "../toy/layer3.html", "../index.html#toy"} <= links
    assert 'href="toy/components.html"' in (site / "index.html").read_text()
    assert 'href="../toy/components.html#first"' in (site / "toy/layer1.html").read_text()
    assert 'href="../toy/components.html#deeper"' in (site / "toy/layer3.html").read_text()
    assert "components.html" not in (site / "toy/layer2.html").read_text()


def test_data_of_the_pictures_is_the_surveys_own(site: Path, whole_run: Path) -> None:
    for data in (site / "toy" / "components").rglob("*.npz"):
        load_result(data)
    copied = site / "toy" / "components" / "deeper" / "cat-contrast.npz"
    assert copied.read_bytes() == (whole_run / "components/layer3/0-contrast.npz").read_bytes()


@pytest.mark.slow
def test_large_data_is_left_to_the_command(
    whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netviz.gallery.loading.OFFERED", 100)
    seen: list[tuple[int, int]] = []
    build([whole_run], tmp_path, progress=lambda _, done, total: seen.append((done, total)))
    assert not list(tmp_path.rglob("*.npz"))
    assert "the same command with -o stages.npz" in Page(tmp_path / "toy" / "components.html").text
    assert seen[-1][0] == seen[-1][1]


def test_units_with_their_patches(site: Path, whole_run: Path) -> None:
    page = Page(site / "toy" / "layer3.html")
    assert "All 8 units, each with the parts of the photographs that excite it most" in page.text
    assert "6 units have a page of their own" in page.text
    assert (
        "With only 2 photographs these are not the best of many: every unit has one patch from each"
        in page.text
    )
    assert "netviz patches toy --images 'my photos/<x>' --layer features.2 -o RUN" in page.text
    assert "netviz draw RUN --layer features.2 --units 0,1,2,3,4,5 -o patches.png" in page.text
    # The units are those of the maps.
    pages = [Page(path) for path in sorted((site / "toy" / "layer3").glob("*.html"))]
    blocks = [image["alt"] for one in pages for image in one.all("img") if "patches-" in image["src"]]
    assert blocks == [
        "conv2, unit 2: no patch" if unit == 2 else f"conv2, unit {unit}, patches from cat 2; coffee 1"
        for unit in range(6)
    ]
    assert "Always on: never 0" in pages[0].text
    assert "Dead: 0 everywhere" in pages[2].text
    assert "netviz draw RUN --layer features.2 --units 4 -o patches.png" in pages[4].text


def test_a_block_holds_the_patch_of_its_unit(site: Path, whole_run: Path) -> None:
    pages = [Page(site / f"toy/layer3/{unit}.html") for unit in range(6)]
    blocks = [image for page in pages for image in page.all("img") if "patches-" in image["src"]]
    result = load_result(whole_run / "patches/layers/layer3.npz")
    photo = np.asarray(Image.open(whole_run / "images/cat.png").convert("RGB")).astype(float)
    for unit, block in enumerate(blocks):
        if unit in result.dead:  # type: ignore[attr-defined]
            continue
        assert block["src"].endswith(f"layer3/patches-{unit}.jpg")
        sheet = np.asarray(Image.open(site / f"toy/layer3/patches-{unit}.jpg").convert("RGB")).astype(float)
        # Two patches of 192 pixels, and 3 between them.
        assert sheet.shape == (192, 2 * 192 + 3, 3)
        tile = sheet[:, :192]
        a, b, c, d = result.box[unit, 0]  # type: ignore[attr-defined]
        # The patch is wider than high (24 by 20 pixels at 8 pixels each): paper above and below it.
        patch = photo[a:c, b:d].mean(axis=2)
        shown = tile[16 : 16 + 160].reshape(20, 8, 24, 8, 3).mean(axis=(1, 3, 4))
        assert np.corrcoef(shown.ravel(), patch.ravel())[0, 1] > 0.95


def test_hostile_names_stay_text(site: Path, hostile: list[str]) -> None:
    for path in site.rglob("*.html"):
        page = Page(path)
        assert all(set(one) in ({"src", "defer"}, {"type", "id"}) for one in page.all("script"))
        assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
        assert page.all("b") == []
        for _, attributes in page.elements:
            assert re.fullmatch(r"([a-z0-9 :;/.%-]|url\([\w./-]+\))*", attributes.get("style", ""))
    folder = next(path.parent for path in site.glob("*/components.html") if path.parent.name != "toy")
    text = Page(folder / "components.html").text
    assert hostile[0] in text


@pytest.mark.slow
def test_two_builds_are_identical(
    site: Path, whole_run: Path, hostile_whole_run: Path, tmp_path: Path
) -> None:
    before = tree(site)
    again = build([whole_run, hostile_whole_run], site)
    assert again.written == () == again.removed
    assert sorted(again.unchanged) == sorted(before)
    assert tree(site) == before
    # Nor does it matter where the site is, and what else is in it.
    build([hostile_whole_run], tmp_path)
    elsewhere = {path: data for path, data in tree(tmp_path).items() if "/components/" in path}
    assert elsewhere
    assert elsewhere.items() <= before.items()


def test_a_run_may_have_neither(run: Path, tmp_path: Path) -> None:
    build([run], tmp_path)
    assert not list(tmp_path.rglob("components*"))
    assert not list(tmp_path.rglob("patches-*"))


def test_what_could_not_be_made_is_left_out(whole_run: Path, tmp_path: Path) -> None:
    def change(facts: dict[str, Any]) -> None:
        facts["patches"] = {"missing": "a layer gives NaN"}
        for layer in facts["layers"]:
            layer["patches"] = None
        facts["components"] = {"layers": [], "missing": ["no convolution reads the image itself"]}

    build([changed(whole_run, tmp_path / "run", change)], tmp_path / "site")
    assert not list((tmp_path / "site").rglob("components*"))
    assert not list((tmp_path / "site").rglob("patches-*"))


def test_a_layer_may_be_called_components(whole_run: Path, tmp_path: Path) -> None:
    def change(facts: dict[str, Any]) -> None:
        facts["layers"][2].update(slug="components", maps=None)
        facts["components"]["layers"] = facts["components"]["layers"][:1]
        facts["components"]["layers"][0]["shown"] = facts["components"]["layers"][0]["shown"][:3]

    build([changed(whole_run, tmp_path / "run", change)], tmp_path / "site")
    assert "Components of toy" in (tmp_path / "site/toy/components.html").read_text()
    assert "relu1" in (tmp_path / "site/toy/components-2.html").read_text()


def test_photographs_that_are_gone_are_crossed_out(whole_run: Path, tmp_path: Path) -> None:
    folder = changed(whole_run, tmp_path / "run", lambda facts: leave_out(facts, "components"))
    (folder / "patches/images.txt").write_text("/nowhere/a.png\n/nowhere/b.png\n")
    build([folder], tmp_path / "site")
    assert "10 patches are crossed out" in Page(tmp_path / "site/toy/layer3.html").text


def on(facts: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = facts["components"]["layers"][0]["shown"][0]
    return entry


BROKEN: dict[str, Callable[[dict[str, Any]], object]] = {
    "file outside": lambda f: on(f).update(file="../../x.npz"),
    "absolute file": lambda f: on(f).update(file="/etc/passwd"),
    "no text": lambda f: on(f).update(file=3),
    "no reason": lambda f: on(f).pop("file"),
    "no verb": lambda f: on(f).pop("verb"),
    "no image": lambda f: on(f).update(image=7),
    "negative image": lambda f: on(f).update(image=-1),
    "image twice": lambda f: f["components"]["layers"][0].update(shown=[on(f), on(f)]),
    "another kind": lambda f: on(f).update(verb="sift"),
    "no such file": lambda f: on(f).update(file="components/none.npz"),
    "unknown layer": lambda f: f["components"]["layers"][0].update(layer=99),
    "unknown which": lambda f: f["components"]["layers"][0].update(which="../../x"),
    "which twice": lambda f: f["components"]["layers"][1].update(which="first"),
    "components is a list": lambda f: f.update(components=[1]),
    "reasons are no text": lambda f: f["components"].update(missing=[1]),
    "size of three": lambda f: f["images"][0].update(size=[1, 2, 3]),
    "size is text": lambda f: f["images"][0].update(size="ab"),
    "patches outside": lambda f: f["patches"].update(folder="../elsewhere"),
    "patches nowhere": lambda f: f["patches"].update(folder="nowhere"),
    "patches are text": lambda f: f.update(patches=7),
    "no images": lambda f: f["patches"].pop("images"),
    "images are text": lambda f: f["patches"].update(images="abc"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_run_is_one_line(how: str, whole_run: Path, tmp_path: Path) -> None:
    folder = changed(whole_run, tmp_path / "run", BROKEN[how])
    with pytest.raises(ResultError) as caught:
        build([folder], tmp_path / "site")
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_arrays_that_do_not_fit_together_are_one_line(whole_run: Path, tmp_path: Path) -> None:
    folder = changed(whole_run, tmp_path / "run", lambda facts: None)
    path = folder / "components/layer1/0-stages.npz"
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **{**arrays, "filters": np.zeros((0, 0)), "units": np.array([99])})
    with pytest.raises(ResultError, match=r"0-stages\.npz is damaged"):
        build([folder], tmp_path / "site")


def test_a_fault_of_drawing_is_not_called_damage(
    whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(result: Any) -> None:
        raise TypeError("a fault of ours")

    monkeypatch.setattr("netviz.gallery.drawing.figure", draw)
    with pytest.raises(TypeError, match="a fault of ours"):
        build([whole_run], tmp_path / "site")
