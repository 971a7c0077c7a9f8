"""What a notebook shows, asked for as a notebook asks: by the methods, without one."""

import base64
import json
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import netviz
from netviz.questions.maps.result import MapsResult
from netviz.questions.patches.run import open_run
from netviz.results.base import KINDS, Result


class Read(HTMLParser):
    """The tags of a piece of HTML, and its table."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.facts: dict[str, str] = {}
        self.words: list[str] = []
        self._within, self._name = "", ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._within = tag

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._within == "th":
            self._name = data
        if self._within == "td":
            self.facts[self._name] = data

    def one(self, tag: str) -> dict[str, str | None]:
        (attributes,) = [attributes for name, attributes in self.tags if name == tag]
        return attributes


@pytest.fixture
def result() -> MapsResult:
    return maps_of("features.3", "photo")


def maps_of(layer: str, photo: str) -> MapsResult:
    rng = np.random.default_rng(1)
    return MapsResult(
        maps=rng.normal(size=(2, 6, 8)).astype(np.float32), image=rng.integers(0, 256, (24, 32, 3), dtype=np.uint8),
        index=np.arange(2), units=np.arange(2), network="toy", layer=layer, alias="conv2", layer_kind="conv",
        channels=9, image_name=photo, scale="shared", sort="index",
    )  # fmt: skip


@pytest.fixture
def bare() -> Result:
    """A result of a kind that nobody has drawn yet."""

    @dataclass(frozen=True)
    class Bare(Result):
        kind: ClassVar[str] = "bare"
        values: np.ndarray[Any, Any]
        share: float
        many: tuple[int, ...]
        nested: tuple[tuple[int, int], ...]
        told: dict[str, int]
        sure: bool
        nothing: None
        text: str

    yield Bare(
        np.zeros((2, 3)), 0.25, tuple(range(30)), ((1, 2),), {"a": 1}, True, None, "x" * 300 + "<b>\n</b>"
    )
    del KINDS["bare"]


def test_the_picture_is_the_one_that_draw_writes(result: MapsResult, tmp_path: Path) -> None:
    drawn = netviz.draw(result, tmp_path / "maps.png").read_bytes()
    assert result._repr_png_() == drawn
    source = Read(result._repr_html_()).one("img")["src"] or ""
    kind, _, data = source.partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data, validate=True) == drawn
    bundle = result._repr_mimebundle_()
    assert bundle == {"text/html": result._repr_html_(), "image/png": drawn}


def test_its_facts_are_a_table_and_its_title_the_alternative_text(result: MapsResult) -> None:
    read = Read(result._repr_html_())
    assert "features.3 (conv2" in (read.one("img")["alt"] or "")
    assert "open" not in read.one("details")
    assert read.facts["network"] == "toy"
    assert read.facts["channels"] == "9"
    assert read.facts["maps"] == "array, 2 × 6 × 8, float32"
    assert {**result.facts(), **result.arrays()}.keys() == read.facts.keys()
    assert {attributes["scope"] for tag, attributes in read.tags if tag == "th"} == {"row"}


def test_what_cannot_be_drawn_shows_its_facts(bare: Result) -> None:
    assert bare._repr_png_() is None
    assert bare._repr_mimebundle_().keys() == {"text/html"}
    read = Read(bare._repr_html_())
    assert "open" in read.one("details")
    assert "img" not in dict(read.tags)
    assert "there is no picture of a result of kind 'bare'" in " ".join(read.words)
    del read.facts["netviz"]
    assert read.facts == {
        "kind": "bare", "share": "0.25", "many": "30 entries", "nested": "1 entry", "told": "a: 1", "sure": "yes",
        "nothing": "none", "text": "x" * 120 + "…", "values": "array, 2 × 3, float64",
        "origin": "none", "input": "none", "image_path": "none", "layer_asked": "none", "doubts": "none",
    }  # fmt: skip


def test_hostile_names_are_text(hostile: list[str]) -> None:
    for name in hostile:
        read = Read(maps_of(name, name)._repr_html_())
        assert {tag for tag, _ in read.tags} == {
            "div", "img", "details", "summary", "table", "tr", "th", "td",
        }  # fmt: skip
        assert set(read.one("img")) == {"src", "alt", "style"}
        line = " ".join(name.split())
        assert read.facts["layer"] == (line if len(line) <= 120 else line[:120] + "…")


def test_a_run_shows_its_only_layer(whole_run: Path, tmp_path: Path) -> None:
    run = open_run(whole_run / "patches")
    several = Read(run._repr_html_())
    assert "3 layers" in " ".join(several.words)
    assert run._repr_png_() is None
    assert several.facts["layers"] == "conv1, conv2, conv3"
    alone = open_run(only_first(run.folder, tmp_path / "alone"))
    assert alone._repr_png_() == netviz.draw(alone.folder, tmp_path / "run.png").read_bytes()
    assert Read(alone._repr_html_()).one("img")["alt"]


def only_first(run: Path, folder: Path) -> Path:
    """Copy a run with only its first layer."""
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    facts["layers"] = facts["layers"][:1]
    for name in ("images.txt", facts["layers"][0]["file"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((run / name).read_bytes())
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder
