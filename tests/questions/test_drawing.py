import io
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import matplotlib
import numpy as np
import pytest
from PIL import Image

from netviz.errors import OutputError, ResultError
from netviz.paper.saving import save_figure
from netviz.questions.drawing import draw, figure
from netviz.questions.reader import load_result
from netviz.results.base import Result

HOSTILE = "a_$\\frac{1}$_%\n<b>&\u200d\U0001f600\u6f22 $"


@pytest.fixture
def results(make_filters, make_maps):
    rng = np.random.default_rng(0)
    return {
        "rgb": make_filters(rng.standard_normal((4, 3, 3, 3)), sees_image=True),
        "tiles": make_filters(rng.standard_normal((4, 1, 3, 3)), groups=4, dead=(1,), duplicates=((2, 0),)),
        "matrix": make_filters(rng.standard_normal((6, 5, 3, 3))),
        "maps": make_maps(rng.standard_normal((4, 6, 6))),
        "hostile": make_maps(rng.random((2, 6, 6)), image_name=HOSTILE, network=HOSTILE, layer=HOSTILE),
    }


@pytest.mark.parametrize("suffix", [".PNG", ".svg", ".pdf"])
@pytest.mark.parametrize("name", ["rgb", "matrix", "hostile"])
def test_the_same_figure_gives_the_same_bytes(results, tmp_path, name, suffix):
    drawn = figure(results[name])
    first = save_figure(drawn, tmp_path / f"a{suffix}").read_bytes()
    assert save_figure(drawn, tmp_path / f"b{suffix}").read_bytes() == first
    assert save_figure(figure(results[name]), tmp_path / f"new/c{suffix}").read_bytes() == first
    assert b"Date" not in first


PROGRAM = """
import hashlib, sys
from pathlib import Path
from netviz.questions.drawing import draw
from netviz.paper.raster import encode_png
from netviz.questions.filters.tiles import filter_sheet
from netviz.questions.maps.tiles import map_sheet
from netviz.questions.reader import load_result
folder = Path(sys.argv[1])
for path in sorted(folder.glob("*.npz")):
    for suffix in (".png", ".svg", ".pdf"):
        data = draw(path, folder / f"{sys.argv[2]}-{path.stem}{suffix}").read_bytes()
        print(path.stem, suffix, hashlib.sha256(data).hexdigest())
    result = load_result(path)
    sheet = filter_sheet(result) if result.kind == "filters" else map_sheet(result)
    print(path.stem, hashlib.sha256(encode_png(sheet.pixels)).hexdigest())
loaded = [name for name in sys.modules if name.split(".")[0] == "torch" or name == "matplotlib.pyplot"]
print("loaded", loaded)
"""


def test_two_processes_give_the_same_bytes_without_pyplot_or_torch(results, tmp_path):
    for name in ("tiles", "hostile"):
        results[name].save(tmp_path / f"{name}.npz")
    outputs = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path), str(run)],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": str(run), "PYTHONPATH": ":".join(filter(None, sys.path))},
        ).stdout
        for run in (1, 2)
    ]
    assert outputs[0] == outputs[1]
    assert outputs[0].splitlines()[-1] == "loaded []"
    assert len(outputs[0].splitlines()) == 2 * 4 + 1


def test_the_png_shows_every_weight_where_its_extent_says(results, tmp_path):
    for name in ("rgb", "tiles", "maps"):
        drawn = figure(results[name])
        pixels = np.asarray(Image.open(save_figure(drawn, tmp_path / f"{name}.png")).convert("RGB"))
        assert pixels.shape[:2] == (round(drawn.bbox.height), round(drawn.bbox.width))
        for image in drawn.axes[0].images:
            left, right, bottom, top = (round(side) for side in image.get_extent())
            values = image.get_array()
            height, width = values.shape[:2]
            zoom = (right - left) // width
            if (bottom - top, right - left) != (height * zoom, width * zoom):
                continue
            colours = values if values.ndim == 3 else image.cmap(image.norm(values), bytes=True)[..., :3]
            expected = np.repeat(np.repeat(colours, zoom, axis=0), zoom, axis=1)
            # A frame runs around each tile, so its outermost pixels are not compared.
            inside = (slice(2, -2), slice(2, -2))
            np.testing.assert_array_equal(pixels[top:bottom, left:right][inside], expected[inside])


def test_names_are_drawn_literally(results):
    texts = [text for text in figure(results["hostile"]).axes[0].texts if "frac" in text.get_text()]
    assert texts
    assert not any(text.get_parse_math() for text in texts)
    assert not any("\n" in text.get_text() or "\u200d" in text.get_text() for text in texts)


def test_the_users_settings_are_neither_used_nor_changed(results, tmp_path):
    plain = save_figure(figure(results["tiles"]), tmp_path / "a.svg").read_bytes()
    odd = {
        "font.size": 30,
        "text.color": "red",
        "savefig.bbox": "tight",
        "image.cmap": "jet",
        "svg.fonttype": "none",
    }
    with matplotlib.rc_context(odd):
        assert save_figure(figure(results["tiles"]), tmp_path / "b.svg").read_bytes() == plain
        assert {name: matplotlib.rcParams[name] for name in odd} == odd


@pytest.mark.parametrize("name", ["x.jpg", "x", "x.npz", ".png"])
def test_other_suffixes_are_refused_before_anything_is_written(results, tmp_path, name):
    with pytest.raises(OutputError, match=r"use one of \.png \.svg \.pdf"):
        save_figure(figure(results["rgb"]), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_draw_takes_a_result_or_its_file(results, tmp_path):
    result = results["maps"]
    saved = draw(result, tmp_path / "maps.npz")
    np.testing.assert_array_equal(load_result(saved).maps, result.maps)
    from_file = draw(str(saved), str(tmp_path / "a.png"))
    assert from_file.read_bytes() == draw(result, tmp_path / "b.png").read_bytes()
    assert Image.open(io.BytesIO(from_file.read_bytes())).format == "PNG"
    with pytest.raises(OutputError, match=r"\.png \.svg \.pdf \.npz"):
        draw(tmp_path / "missing.npz", tmp_path / "a.gif")
    with pytest.raises(ResultError, match="no such file"):
        draw(tmp_path / "missing.npz", tmp_path / "c.png")


def test_an_unwritable_place_leaves_nothing(results, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        draw(results["rgb"], tmp_path / "file" / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_kind_without_a_picture_is_named(monkeypatch):
    monkeypatch.setattr("netviz.results.base.KINDS", {})

    @dataclass(frozen=True)
    class OtherResult(Result):
        kind: ClassVar[str] = "other"

    with pytest.raises(OutputError, match=r"'other'; kinds that can be drawn: .*filters, .*maps"):
        figure(OtherResult())
