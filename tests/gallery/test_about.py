import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from netviz._version import __version__
from netviz.gallery.build import build
from netviz.gallery.words import command
from netviz.results.survey import OptionsRecord, SurveyRecord
from support.images import add_images


@pytest.fixture(scope="module")
def about(run: Path, whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("about")
    first = add_images(shutil.copytree(run, folder / "run"))
    facts = json.loads((first / "run.json").read_text(encoding="utf-8"))
    facts.update(netviz="0.0.7", size=[48, 64], minimal={"missing": "the outputs of toy have no names"})
    (first / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    build([first, whole_run], folder / "site")
    return " ".join(re.sub(r"<[^>]+>", " ", (folder / "site" / "about.html").read_text("utf-8")).split())


def test_versions_and_options_of_each_run(about: str) -> None:
    assert f"Made by netviz {__version__} from 2 runs" in about
    assert "netviz 0.0.7" in about
    assert "layers conv*" in about
    assert "full yes" in about
    assert "seed 3" in about
    assert "No minimal images: the outputs of toy have no names." in about


def test_the_command_that_makes_it_again(about: str) -> None:
    assert "netviz gallery toy --size 48x64 --full --layers &#39;conv*&#39; --seed 3 -o SITE" in about
    assert "netviz gallery toy --images &#39;my photos/&lt;x&gt;&#39; -o SITE" in about


def test_the_command_of_a_picture_opens_the_network_as_the_run_did() -> None:
    asked = OptionsRecord(
        (), True, False, True, "my net.pth", 3, mean="0.5", channel_order="bgr", fit="resize"
    )
    run = cast(SurveyRecord, SimpleNamespace(options=asked))
    opening = "--mean 0.5 --seed 3 --trust --weights 'my net.pth'"
    assert command("filters", "toy", run=run) == f"netviz filters toy --channel-order bgr {opening}"
    assert command("maps", "cat.png", "--units", "1", run=run) == (
        f"netviz maps cat.png --units 1 --channel-order bgr --fit resize {opening}"
    )


def test_each_kind_of_picture_names_its_source(about: str) -> None:
    for words in (
        "Hypercolumns",
        "Hariharan et al.",
        "Dense heat maps",
        "Long, Shelhamer and Darrell",
        "ECCV 2014",
    ):
        assert words in about
    # What the site has not is not told.
    assert "Holistically-nested" not in about
    assert "Network dissection" not in about


def test_parts_by_others_have_their_licences(about: str) -> None:
    for name, licence in (
        ("ColorBrewer", "Apache License 2.0"),
        ("magma", "CC0"),
        ("DejaVu Sans", "DejaVu fonts"),
    ):
        assert name in about
        assert licence in about
