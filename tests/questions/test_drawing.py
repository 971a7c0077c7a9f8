import base64
import io
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import matplotlib
import numpy as np
import pytest
from PIL import Image

import netviz
from netviz.errors import OutputError, ResultError
from netviz.paper.saving import save_figure
from netviz.questions import drawing
from netviz.questions.drawing import draw, figure
from netviz.questions.maps.result import MapsResult
from netviz.questions.patches.run import open_run
from netviz.questions.reader import load_result
from netviz.results.base import Result
from support.patches import make_run

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

def drawn(folder, run):
    for path in sorted(Path(folder).glob("*.npz")):
        for suffix in (".png", ".svg", ".pdf"):
            data = draw(path, path.with_name(f"{run}-{path.stem}{suffix}")).read_bytes()
            yield f"{path.stem} {suffix} {hashlib.sha256(data).hexdigest()}"
        result = load_result(path)
        sheet = filter_sheet(result) if result.kind == "filters" else map_sheet(result)
        yield f"{path.stem} {hashlib.sha256(encode_png(sheet.pixels)).hexdigest()}"
"""
SHOW = """
print(*drawn(sys.argv[1], "other"), sep="\\n")
loaded = [name for name in sys.modules if name.split(".")[0] == "torch" or name == "matplotlib.pyplot"]
print("loaded", loaded)
"""


def test_another_process_gives_the_same_bytes_without_pyplot_or_torch(results, tmp_path):
    for name in ("tiles", "hostile"):
        results[name].save(tmp_path / f"{name}.npz")
    other = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM + SHOW, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        # Sets have another order there.
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(filter(None, sys.path))},
    ).stdout.splitlines()
    here = {}
    exec(PROGRAM, here)
    assert other == [*here["drawn"](tmp_path, "here"), "loaded []"]
    assert len(other) == 2 * 4 + 1


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


def test_width_and_density(results, tmp_path):
    result = results["maps"]

    def size(**options):
        with Image.open(netviz.draw(result, tmp_path / "a.png", **options)) as picture:
            return picture.size

    width, height = size()
    assert size(dpi=200) == (2 * width, 2 * height)
    assert size(width=1921)[0] == 1921
    assert size(width=1921)[1] == pytest.approx(1921 * height / width, abs=1)
    for wrong in ({"width": 99}, {"dpi": 1000}, {"dpi": float("nan")}, {"width": 800, "dpi": 100}):
        with pytest.raises(ValueError, match=r"width|dpi"):
            netviz.draw(result, tmp_path / "b.png", **wrong)
    with pytest.raises(OutputError, match=r"no width in pixels: only a \.png"):
        netviz.draw(result, tmp_path / "b.svg", width=800)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


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


@pytest.fixture
def result(make_maps: Callable[..., MapsResult]) -> MapsResult:
    return make_maps(np.arange(24).reshape(1, 4, 6))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """What programs were started, on a system with a screen and a drawing."""
    calls: list[Any] = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(drawing.shutil, "which", lambda name: f"/bin/{name}" if name == "xdg-open" else None)
    monkeypatch.setattr(drawing.tempfile, "mkdtemp", lambda prefix: str(tmp_path / f"{prefix}{len(calls)}"))
    monkeypatch.setattr(subprocess, "Popen", lambda command, **how: calls.append((command, how)))
    return calls


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a notebook was told to show."""
    shown: list[Any] = []
    ipython: Any = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    ipython.display = types.SimpleNamespace(display=lambda one, raw=False: shown.append(one))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    return shown


def test_the_system_opens_the_picture(result: MapsResult, started: list[Any], tmp_path: Path) -> None:
    path = netviz.show(result)
    assert path == tmp_path / "netviz-0" / "maps.png"
    assert path.read_bytes() == netviz.draw(result, tmp_path / "same.png").read_bytes()
    ((command, how),) = started
    assert command == ["/bin/xdg-open", str(path)]
    # Nothing of the viewer's comes on the terminal, and it outlives a program that is interrupted.
    assert how["start_new_session"]
    assert {how["stdin"], how["stdout"], how["stderr"]} == {subprocess.DEVNULL}


def test_a_saved_result_and_a_run_are_shown(result: MapsResult, started: list[Any], tmp_path: Path) -> None:
    saved = netviz.show(result.save(tmp_path / "result.npz"))
    assert saved is not None
    assert saved.read_bytes() == netviz.draw(result, tmp_path / "same.png").read_bytes()
    run = make_run(tmp_path / "run")
    shown = netviz.show(open_run(run), layer="conv2", units=[1])
    drawn = netviz.draw(run, tmp_path / "run.png", layer="conv2", units=[1])
    assert shown is not None
    assert shown.read_bytes() == drawn.read_bytes()


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_have_their_own_openers(
    result: MapsResult, started: list[Any], platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(drawing.os, "startfile", opened.append, raising=False)
    path = netviz.show(result)
    assert opened == ([path] if platform == "win32" else [])
    assert [command for command, _ in started] == ([["open", str(path)]] if platform == "darwin" else [])


@pytest.mark.parametrize(("missing", "named"), [("screen", "no screen"), ("opener", "no xdg-open")])
def test_without_a_viewer_it_says_so(
    result: MapsResult, started: list[Any], missing: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if missing == "screen":
        monkeypatch.delenv("DISPLAY")
    else:
        monkeypatch.setattr(drawing.shutil, "which", lambda name: None)
    with pytest.raises(OutputError, match=rf"{named}; write it to a file with netviz\.draw"):
        netviz.show(result)
    assert started == []


def test_a_notebook_shows_it_itself(
    result: MapsResult, started: list[Any], notebook: list[Any], tmp_path: Path
) -> None:
    assert netviz.show(result) is None
    run = open_run(make_run(tmp_path / "run"))
    netviz.show(run)
    assert notebook == [result, run]
    netviz.show(result.save(tmp_path / "result.npz"))
    drawn = netviz.draw(result, tmp_path / "same.png").read_bytes()
    bundle = notebook[2]
    assert base64.b64decode(bundle["image/png"]) == drawn
    assert "features.0" in bundle["text/plain"]
    netviz.show(run, layer="conv1")
    assert "features.0" in notebook[3]["text/plain"]
    assert started == []


def test_ipythons_terminal_is_no_notebook(
    result: MapsResult, started: list[Any], notebook: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", types.SimpleNamespace)
    assert netviz.show(result) is not None
    assert notebook == []


def test_options_are_checked_as_in_draw(result: Result, started: list[Any], notebook: list[Any]) -> None:
    with pytest.raises(ValueError, match="show must be one of"):
        netviz.show(result, show="all")
    with pytest.raises(OutputError, match="--units chooses in the folder of a run"):
        netviz.show(result, units=[1])
