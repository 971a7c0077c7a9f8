import base64
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netviz
from netviz.errors import OutputError
from netviz.questions import drawing as viewer
from netviz.questions.maps.result import MapsResult
from netviz.questions.patches.run import open_run
from netviz.results.base import Result
from support.patches import make_run


@pytest.fixture
def result(make_maps: Callable[..., MapsResult]) -> MapsResult:
    return make_maps(np.arange(24).reshape(1, 4, 6))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """What programs were started, on a system with a screen and a viewer."""
    calls: list[Any] = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(viewer.shutil, "which", lambda name: f"/bin/{name}" if name == "xdg-open" else None)
    monkeypatch.setattr(viewer.tempfile, "mkdtemp", lambda prefix: str(tmp_path / f"{prefix}{len(calls)}"))
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
    monkeypatch.setattr(viewer.os, "startfile", opened.append, raising=False)
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
        monkeypatch.setattr(viewer.shutil, "which", lambda name: None)
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
