"""What a shell is told when a user presses Tab."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from click.shell_completion import BashComplete

from netviz.cli import completion
from netviz.cli.main import netviz as group


@pytest.fixture
def complete(monkeypatch, tmp_path):
    """Return what bash is told for the last word of a line; layers are kept in a folder of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def ask(line: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
        return BashComplete(group, {}, "netviz", "_NETVIZ_COMPLETE").complete().split()

    return ask


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("netviz filt", ["plain,filters"]),
        ("netviz filters --sor", ["plain,--sort"]),
        ("netviz filters --sort h", ["plain,hue"]),
        ("netviz fcn sh", ["plain,show"]),
        ("netviz filters fcn_c", ["plain,fcn_camvid"]),
        ("netviz filters timm:resnet18", None),
        ("netviz maps a.png --model pnet --layer conv4", ["plain,conv4", "plain,conv4_2", "plain,conv4_1"]),
        (
            "netviz maps a.png -l features.17.conv.0.",
            [f"plain,features.17.conv.0.{part}" for part in range(3)],
        ),
        ("netviz hypercolumn a.png --layers conv1,norm52", ["plain,conv1,norm52"]),
        ("netviz maps skimage:ro", ["plain,skimage:rocket"]),
        ("netviz maps photos/ro", ["file,photos/ro"]),
        ("netviz filters --weights be", ["file,be"]),
        ("netviz filters my.pth --layer c", []),
    ],
)
def test_what_completes_a_word(complete, line, told):
    found = complete(line)
    assert found == told if told is not None else "plain,timm:resnet18d" in found


def test_a_shell_is_answered_without_torch(tmp_path):
    code = (
        "import sys\n"
        "from netviz.cli.main import run\n"
        "sys.argv[0] = 'netviz'\n"
        "try: run([])\n"
        "finally: sys.stderr.write(repr({'torch', 'matplotlib'} & {*sys.modules}))\n"
    )
    line = "netviz maps a.png --model pnet --layer conv5"
    asked = {"_NETVIZ_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": "6"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("plain,conv5\n", "set()")


def test_layers_are_completed_once_they_have_been_listed(netviz, complete):
    asked = "netviz filters support.network:Labeller --layer "
    assert complete(asked) == []
    done = netviz("layers", "support.network:Labeller", "--json")
    names = [f"plain,{layer['name']}" for layer in json.loads(done.out)]
    assert names
    assert {*names} <= {*complete(asked)}


def test_where_nothing_can_be_kept_layers_are_listed_all_the_same(netviz, complete, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert netviz("layers", "support.network:Labeller").status == 0
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "netviz").mkdir()
    (tmp_path / "netviz" / "layers.json").write_text("[1")
    assert complete("netviz filters my.pth --layer c") == []


def test_the_kept_layers_of_known_networks_are_their_own():
    kept = completion._KNOWN.read_text(encoding="utf-8")
    assert list(json.loads(kept)) == ["mobilenet_v2", "hed", "pnet", "fcn_camvid"]
    assert completion.known_layers(json.loads(kept)) == kept


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_a_shells_script_is_one_that_it_can_read(netviz, shell):
    done = netviz("--completion", shell)
    assert done.status == 0
    assert "_NETVIZ_COMPLETE" in done.out
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.out, text=True, check=True)


def test_a_wrong_value_names_the_closest(netviz):
    for line, said in (
        ("filters --scale shard", "; the closest: shared"),
        ("fcn eval --precision bfloat", "; the closest: bfloat16"),
        ("--completion fsh", "; the closest: fish"),
    ):
        done = netviz(*line.split())
        assert done.status == 2
        assert said in done.err
    assert "the closest" not in netviz("filters", "--scale", "x").err


def test_every_text_that_can_be_completed_is():
    """An option with a name that others complete by is completed likewise in every command."""
    for command in (*group.commands.values(), *group.commands["fcn"].commands.values()):
        for param in command.params:
            if param.name in completion._TYPES:
                assert isinstance(param.type, completion._Value), (command.name, param.name)
