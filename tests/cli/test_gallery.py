"""``netviz gallery``: what it keeps beside the site, and what it does not do twice."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from netviz.cli.gallery import run_folders
from support.pages import tree

HOSTILE = "'\"><script>alert(1)</script>\n😀 $(touch owned)"
QUICK = ("--trust", "-i", "skimage:coins", "--size", "32x40", "-l", "0")


def save_network(path):
    torch.manual_seed(0)
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)), path)
    return str(path)


def times(folder):
    return {one: one.stat().st_mtime_ns for one in folder.rglob("*")}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A gallery in a folder of its own: the site, and its runs."""
    from netviz.cli.main import run

    folder = tmp_path_factory.mktemp("gallery")
    net = save_network(folder / "net.pt")
    with pytest.raises(SystemExit) as stop:
        run(["gallery", net, *QUICK, "-o", str(folder / "site")])
    assert not stop.value.code
    return folder


def test_a_mistake_in_the_last_network_is_told_before_the_first_is_measured(netviz, tmp_path):
    net = save_network(tmp_path / "net.pt")
    done = netviz("gallery", net, "mobilnet_v2", *QUICK, "-o", tmp_path / "site")
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "no file and no network 'mobilnet_v2'; the closest: mobilenet_v2" in done.err
    assert sorted(tmp_path.iterdir()) == [tmp_path / "net.pt"]


def test_runs_are_kept_beside_the_site_and_serve_again(netviz, made):
    runs = made / "site.runs"
    assert [one.name for one in runs.iterdir()] == ["net.pt"]
    facts = json.loads((runs / "net.pt" / "run.json").read_text())
    assert facts["form"] == "standard"
    assert facts["options"]["layers"] == ["0"]
    assert "fcn" in facts
    before = times(made)
    done = netviz("gallery", made / "net.pt", *QUICK, "-o", made / "site")
    assert (done.status, done.out) == (0, "")
    assert "0 files written" in done.err
    assert times(made) == before
    # What it says is a command that can be typed.
    told = shlex.split(done.err.splitlines()[-1].partition("to build again: ")[2])
    assert told == ["netviz", "gallery", "--from", str(runs / "net.pt"), "-o", str(made / "site")]


def test_what_is_only_measured_is_shown_later(netviz, made, tmp_path):
    shutil.copy(made / "net.pt", tmp_path / "net.pt")
    done = netviz("gallery", tmp_path / "net.pt", *QUICK, "--no-site", "-o", tmp_path / "site")
    assert (done.status, done.out) == (0, "")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["net.pt", "site.runs"]
    told = shlex.split(done.err.splitlines()[-1].partition("to build: ")[2])
    assert told == [
        "netviz",
        "gallery",
        "--from",
        str(tmp_path / "site.runs/net.pt"),
        "-o",
        str(tmp_path / "site"),
    ]
    assert netviz(*told[1:]).status == 0
    assert (tmp_path / "site" / "index.html").is_file()


def test_from_several_runs_without_their_networks(netviz, made, tmp_path):
    runs = [shutil.copytree(made / "site.runs" / "net.pt", tmp_path / name) for name in ("a", "b")]
    done = netviz("gallery", "--from", *runs, "-o", tmp_path / "site")
    assert done.status == 0
    assert not (tmp_path / "site.runs").exists()
    both, one = tree(tmp_path / "site"), tree(made / "site")
    assert {name: data for name, data in both.items() if name.startswith("net/maps")} == {
        name: data for name, data in one.items() if name.startswith("net/maps")
    }
    assert "net-2/0.html" in both


def test_runs_of_another_question_are_refused_in_one_line(netviz, made):
    before = tree(made / "site.runs")
    for given in ((*QUICK, "--full"), (*QUICK, "-l", "1"), ("-i", "skimage:coffee", *QUICK)):
        for resume in ((), ("--resume",)):
            done = netviz("gallery", made / "net.pt", *given, *resume, "-o", made / "site")
            assert done.status == 1
            assert "holds a survey with other " in done.err
            assert "remove it" in done.err
            assert done.err.count("\n") == 1
    assert tree(made / "site.runs") == before


@pytest.mark.parametrize(
    "options", [("--full",), ("--images", "a.png"), ("--layers", "0"), ("--resume",), ("--seed", "1")]
)
def test_from_takes_no_options_of_a_survey(netviz, made, options):
    done = netviz("gallery", "--from", made / "site.runs" / "net.pt", *options, "-o", made / "other")
    assert done.status == 2
    assert f"leave out {options[0]}" in done.err.replace("--quick", "--full")
    assert not (made / "other").exists()


CHILD = """
import os, signal, sys
from pathlib import Path
from netviz.cli.main import run

done, own, last = 0, Path.replace, int(sys.argv[1])

def counted(self, target):
    global done
    done += 1
    if done == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return own(self, target)

Path.replace = counted
run(sys.argv[2:])
"""


@pytest.mark.slow
@pytest.mark.parametrize(("write", "where"), [(20, "measuring"), (-10, "building")])
def test_killed_and_resumed_the_site_is_the_same(netviz, made, write, where):
    site, runs = made / "killed", made / "killed.runs"
    for folder in (site, runs):
        shutil.rmtree(folder, ignore_errors=True)
    command = ["gallery", str(made / "net.pt"), *QUICK, "-o", str(site)]
    if where == "building":
        shutil.copytree(made / "site.runs", runs)
        write += len(tree(made / "site"))
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(write), *command],
        check=False,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert child.returncode == -signal.SIGKILL
    assert list(made.glob("killed*/**/.*.part"))
    if where == "measuring":
        done = netviz(*command)
        assert done.status == 1
        assert "go on with --resume, or remove it" in done.err
        command.append("--resume")
    assert netviz(*command).status == 0
    assert tree(site) == tree(made / "site")
    # The run of concepts names the folder that its images lie in.
    kept = [
        {name: data for name, data in tree(one).items() if "/concepts/" not in name}
        for one in (runs, made / "site.runs")
    ]
    assert kept[0] == kept[1]
    assert not list(made.glob("killed*/**/.*.part"))


def test_where_runs_lie(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [str(one) for one in run_folders("site", ["a/net.pth", "b/NET.pth", "timm:x", "..", HOSTILE])]
    assert names[:3] == ["site.runs/net.pth", "site.runs/NET.pth-2", "site.runs/timm-x"]
    assert [Path(one).parent for one in names] == [Path("site.runs")] * 5
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", Path(one).name) for one in names)
    assert run_folders(".", ["net"]) == [tmp_path.parent / f"{tmp_path.name}.runs" / "net"]
    assert len(Path(run_folders("site", ["n" * 300])[0]).name) <= 100


def test_hostile_names_stay_inert(netviz, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = HOSTILE.replace("/", "").replace("\n", " ")
    model = save_network(tmp_path / f"{name}.pt")
    photo = tmp_path / f"{name}{'é' * 60}.png"
    Image.linear_gradient("L").resize((48, 40)).save(photo)
    site = tmp_path / "'$(touch owned)' <b>"
    done = netviz("gallery", model, "--trust", "-i", photo, "--size", "40x48", "-o", site)
    assert done.status == 0, done.err
    assert sorted(one.name for one in tmp_path.iterdir() if one.is_dir()) == [site.name, f"{site.name}.runs"]
    pages = [one.read_text(encoding="utf-8") for one in site.rglob("*.html")]
    assert pages
    assert not any("<script>alert" in page for page in pages)
    told = done.err.splitlines()[-1].partition("to build again: ")[2]
    typed = subprocess.run(["sh", "-c", f"printf '%s\\n' {told}"], capture_output=True, text=True, check=True)
    assert typed.stdout.splitlines()[-1] == str(site)
    assert not (tmp_path / "owned").exists()
