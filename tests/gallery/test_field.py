import json
from pathlib import Path

import pytest

from netviz.errors import ResultError
from netviz.gallery.build import build
from netviz.surveys.survey import survey


def with_field(folder: Path, field: object) -> Path:
    path = folder / "run.json"
    run = json.loads(path.read_text())
    for row in run["layers"]:
        row["receptive_field"] = field
    path.write_text(json.dumps(run))
    return folder


def page(site: Path, title: str) -> str:
    return next(text for text in (one.read_text() for one in site.rglob("*.html")) if f"<h1>{title}" in text)


def field(**facts: object) -> dict[str, object]:
    return {"size": [35, 35], "stride": [4, 4], "start": [-15, -15], "status": "exact", **facts}


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        (field(), "35 × 35 pixels, every 4"),
        (field(size=[7, 5.5], stride=[1, 0.5]), "7 × 5.5 pixels, every 1 × 0.5"),
        (field(status="upper_bound"), "at most 35 × 35 pixels, every 4"),
        (field(status="global", stride=[0, 0]), "the whole input"),
        (
            {"size": None, "stride": None, "start": None, "status": "unknown", "reason": "<b>fft2</b>"},
            "not known (cannot follow &lt;b&gt;fft2&lt;/b&gt;)",
        ),
        (None, "not known"),
    ],
)
def test_page_says_the_field(new_run, tmp_path, facts, text):
    build([with_field(new_run(tmp_path / "run"), facts)], tmp_path / "site")
    shown = page(tmp_path / "site", "conv2")
    assert "Receptive field" in shown
    assert text in shown


@pytest.mark.parametrize(
    "facts",
    [
        "35",
        [35, 35],
        {},
        field(size=None),
        field(size=[1, 2, 3]),
        field(size=["1", "2"]),
        field(stride=[True, False]),
        field(start=7),
        field(status="perhaps"),
        field(status=None),
        field(reason=3),
        field(size=[float("nan"), 1]),
    ],
)
def test_damaged_field_is_named(new_run, tmp_path, facts):
    with pytest.raises(ResultError, match=r"run\.json is damaged"):
        build([with_field(new_run(tmp_path / "run"), facts)], tmp_path / "site")


def test_survey_notes_the_field(tmp_path):
    out = survey("pnet", tmp_path / "run", images=["skimage:coins"], only=["conv3"], size=(60, 80))
    rows = {
        row["name"]: row["receptive_field"] for row in json.loads((out / "run.json").read_text())["layers"]
    }
    # P-Net: 12 pixels every 2, no padding; pool1's ceil mode changes nothing.
    assert rows["conv3"] == {"size": [12, 12], "stride": [2, 2], "start": [0, 0], "status": "exact"}
    build([out], tmp_path / "site")
    assert "12 × 12 pixels, every 2" in page(tmp_path / "site", "conv3")
