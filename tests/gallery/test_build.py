import json
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from netviz.errors import OutputError, ResultError
from netviz.gallery import drawers
from netviz.gallery.build import build
from support.pages import tree

MakeRun = Callable[..., Path]


def test_two_builds_are_identical(run: Path, hostile_run: Path, tmp_path: Path) -> None:
    first = build([run, hostile_run], tmp_path / "a")
    build([run, hostile_run], tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert first.index == tmp_path / "a" / "index.html"
    assert sorted(first.written) == sorted(tree(tmp_path / "a"))
    assert first.bytes == sum(len(data) for data in tree(tmp_path / "a").values())


@pytest.mark.slow
def test_processes_draw_the_same_site(
    full_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawers, "MANY", 1)
    started = []
    monkeypatch.setattr(drawers, "ProcessPoolExecutor", pool_that_notes(started))
    one, two = build([full_run], tmp_path / "one"), build([full_run], tmp_path / "two", workers=2)
    assert started == [2]
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert one.written == two.written


def pool_that_notes(started: list[int]) -> Callable[..., ProcessPoolExecutor]:
    def pool(workers: int, **options: Any) -> ProcessPoolExecutor:
        started.append(workers)
        return ProcessPoolExecutor(workers, **options)

    return pool


def test_a_broken_run_is_one_line_from_a_process_too(
    full_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawers, "MANY", 1)
    run = shutil.copytree(full_run, tmp_path / "run")
    broken = next((run / "filters").glob("*.npz"))
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(ResultError, match=broken.name):
        build([run], tmp_path / "site", workers=1)


def test_a_rebuild_writes_nothing(run: Path, tmp_path: Path) -> None:
    first = build([run], tmp_path / "site")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "site").rglob("*")}
    second = build([run], tmp_path / "site")
    assert second.written == () == second.removed
    assert sorted(second.unchanged) == sorted(first.written)
    assert second.bytes == first.bytes
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "site").rglob("*")}


def test_only_what_differs_is_written(run: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    build([run], site)
    (site / "toy" / "filters" / "layer1.png").write_bytes(b"damaged")
    (site / "index.html").unlink()
    assert sorted(build([run], site).written) == ["index.html", "toy/filters/layer1.png"]


def test_files_of_an_earlier_build_go_and_foreign_files_stay(
    run: Path, new_run: MakeRun, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    build([run], site)
    (site / "toy" / "notes.txt").write_text("mine")
    report = build([new_run(tmp_path / "run", photos=("cat",))], site)
    assert sorted(report.removed) == sorted(
        [
            "toy/images/coffee.jpg",
            "toy/images/coffee.png",
            "toy/images/coffee.html",
            "toy/glimpses/coffee.jpg",
            *(f"toy/maps/layer{n}/coffee.png" for n in (1, 2, 3, 4)),
        ]
    )
    assert (site / "toy" / "notes.txt").read_text() == "mine"
    assert not list(site.rglob("coffee*"))
    build([new_run(tmp_path / "other", network="other", photos=())], site)
    assert sorted(path.name for path in (site / "toy").iterdir()) == ["notes.txt"]


def test_an_interrupted_build_is_taken_up(run: Path, tmp_path: Path) -> None:
    def stop(path: str, done: int, total: int) -> None:
        if done == 9:
            raise KeyboardInterrupt

    build([run], tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        build([run], tmp_path / "site", progress=stop)
    assert not list((tmp_path / "site").rglob("*.part"))
    build([run], tmp_path / "site")
    assert tree(tmp_path / "site") == tree(tmp_path / "whole")


def test_progress_counts_every_file(run: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    build([run], tmp_path / "site", progress=lambda path, done, total: seen.append((path, done, total)))
    paths = {path for path, _, _ in seen}
    assert paths == set(tree(tmp_path / "site")) - {"site.json"}
    assert [(done, total) for _, done, total in seen] == [(n + 1, len(paths)) for n in range(len(paths))]


def test_two_runs_of_one_network_do_not_mix(run: Path, tmp_path: Path) -> None:
    build([run, run], tmp_path / "site")
    site = tree(tmp_path / "site")
    assert "toy/layer1.html" in site
    assert "toy-2/layer1.html" in site


def test_a_folder_with_other_things_is_refused(run: Path, tmp_path: Path) -> None:
    for name, text in (("diary.txt", "dear"), ("site.json", "{}"), ("site.json", "[1"), ("site.json", '"x"')):
        folder = tmp_path / f"{name}-{text[:1]}{len(text)}"
        folder.mkdir()
        (folder / name).write_text(text)
        with pytest.raises(OutputError, match="empty folder"):
            build([run], folder)
        assert tree(folder) == {name: text.encode()}
    with pytest.raises(OutputError, match="is a file"):
        build([run], folder / name)


def test_a_forged_list_removes_nothing_outside(run: Path, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("keep")
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "too.txt").write_text("keep")
    site = tmp_path / "site"
    site.mkdir()
    (site / "link").symlink_to(tmp_path / "away")
    files = ["../precious.txt", str(tmp_path / "precious.txt"), "link/too.txt", "static/../../precious.txt"]
    (site / "site.json").write_text(json.dumps({"kind": "netviz site", "netviz": "0", "files": files}))
    assert build([run], site).removed == ()
    assert (tmp_path / "precious.txt").exists()
    assert (tmp_path / "away" / "too.txt").exists()


BROKEN: dict[str, Callable[[Path], object]] = {
    "no run": lambda folder: (folder / "run.json").unlink(),
    "cut": lambda folder: (folder / "run.json").write_text('{"kind": "survey", "net'),
    "binary": lambda folder: (folder / "run.json").write_bytes(b"\xff\xfe\x00"),
    "list": lambda folder: (folder / "run.json").write_text("[]"),
    "deep": lambda folder: (folder / "run.json").write_text("[" * 100_000),
    "kind": lambda folder: edit(folder, kind="report"),
    "no layers": lambda folder: edit(folder, layers=None),
    "count": lambda folder: edit(folder, parameters=-1),
    "number": lambda folder: edit(folder, parameters="many"),
    "name": lambda folder: edit(folder, network=7),
    "leaves": lambda folder: edit_layer(folder, filters="../../secret"),
    "absolute": lambda folder: edit_image(folder, file="/etc/hostname"),
    "windows": lambda folder: edit_image(folder, file="C:\\secret.png"),
    "null byte": lambda folder: edit_image(folder, file="images/a\0.png"),
    "no image": lambda folder: (folder / "images" / "cat.png").unlink(),
    "no png": lambda folder: (folder / "images" / "cat.png").write_bytes(b"<svg/>"),
    "cut png": lambda folder: (folder / "images" / "cat.png").write_bytes(
        (folder / "images" / "cat.png").read_bytes()[:60]
    ),
    "no filters": lambda folder: (folder / "filters" / "layer1.npz").unlink(),
    "cut filters": lambda folder: (folder / "filters" / "layer1.npz").write_bytes(b"damaged"),
    "maps for filters": lambda folder: shutil.copy(
        folder / "maps" / "layer1" / "cat.npz", folder / "filters" / "layer1.npz"
    ),
    "no maps": lambda folder: shutil.rmtree(folder / "maps" / "layer3"),
}


def edit(folder: Path, **values: object) -> None:
    facts = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**facts, **values}))


def edit_layer(folder: Path, **values: object) -> None:
    layers = json.loads((folder / "run.json").read_text())["layers"]
    edit(folder, layers=[layers[0], {**layers[1], **values}, *layers[2:]])


def edit_image(folder: Path, **values: object) -> None:
    images = json.loads((folder / "run.json").read_text())["images"]
    edit(folder, images=[{**images[0], **values}, *images[1:]])


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_run_is_one_line(how: str, run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    BROKEN[how](folder)
    with pytest.raises(ResultError) as caught:
        build([folder], tmp_path / "site")
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    assert not list(tmp_path.rglob("*.part"))


def test_no_run_at_all(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="no run folder"):
        build([], tmp_path)
    with pytest.raises(ResultError, match=r"no run\.json"):
        build([tmp_path / "nowhere"], tmp_path / "site")


def test_a_run_may_say_what_commands_call_things(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    edit(folder, model="my net.pth")
    edit_image(folder, source="skimage:cat")
    build([folder], tmp_path / "site")
    page = re.sub("</?span>", "", (tmp_path / "site" / "toy" / "layer1.html").read_text())
    assert "netviz filters &#39;my net.pth&#39; --layer features.0<" in page
    assert (
        "netviz maps skimage:cat --model &#39;my net.pth&#39; --layer features.0 --units 0,1,2,3,4,5<" in page
    )
    assert "netviz maps coffee.png" in page
