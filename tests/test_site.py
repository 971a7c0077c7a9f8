"""The pages of the site: pictures belong to their commands, and every page has a place in the navigation."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def pictures():
    spec = importlib.util.spec_from_file_location("pictures", DOCS / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_pictures_is_the_lists_own(pictures):
    assert (DOCS / "pictures.md").read_text(encoding="utf-8") == pictures.page()
    kept = {file.stem for file in (DOCS / "pictures").glob("*.webp")}
    assert kept == {one.name for one in pictures.PICTURES}
    for one in pictures.PICTURES:
        assert one.shell.endswith(f" -o {one.name}.png")


def hold_together(pictures, one, folder, monkeypatch):
    """Draw a picture by its command and by its Python: one picture, and the kept one."""
    drawn = pictures.make(one, folder)
    by_command = drawn.read_bytes()
    drawn.unlink()
    monkeypatch.chdir(folder)
    exec("\n".join(one.lines), {})
    assert drawn.read_bytes() == by_command
    with Image.open(drawn) as now, Image.open(DOCS / "pictures" / f"{one.name}.webp") as kept:
        assert now.size == kept.size
        difference = np.asarray(now.convert("RGB"), float) - np.asarray(kept.convert("RGB"), float)
    assert np.abs(difference).mean() < 4


@pytest.mark.parametrize("name", ["filters", "maps"])
def test_command_python_and_picture_belong_together(pictures, name, tmp_path, monkeypatch):
    (one,) = (one for one in pictures.PICTURES if one.name == name)
    hold_together(pictures, one, tmp_path, monkeypatch)


@pytest.mark.slow
def test_every_command_python_and_picture_belong_together(pictures, tmp_path, monkeypatch):
    for one in pictures.PICTURES:
        hold_together(pictures, one, tmp_path, monkeypatch)


def test_every_page_has_a_place_in_the_navigation():
    told = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    assert sorted(re.findall(r"[\w_]+\.md", told)) == sorted(path.name for path in DOCS.glob("*.md"))


def test_the_site_asks_nothing_of_a_server():
    told = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in told
    assert "- offline" in told
