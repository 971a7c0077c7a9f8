"""A survey that is stopped goes on, and leaves what one that was never stopped leaves."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import netviz
from netviz.errors import OutputError
from netviz.gallery.build import build
from netviz.results.ledger import Ledger
from support.pages import tree

IMAGES = ["skimage:chelsea", "skimage:coffee", "skimage:rocket"]


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


def classifier(seed=0):
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 5, stride=2),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )
    model = netviz.load(network)
    return replace(
        model,
        preprocessing=replace(model.preprocessing, resize=40, crop=(40, 40)),
        labels=("a", "b", "c"),
    )


def survey(out, **options):
    return netviz.survey(classifier(), out, images=IMAGES, **options)


def stop_at(monkeypatch, write):
    """Be killed when a file is about to appear, and leave its bytes behind half written."""
    done, own = 0, Path.replace

    def counted(self, target):
        nonlocal done
        done += 1
        if done == write:
            self.with_name(f".{Path(target).name}.stray.part").write_bytes(b"half")
            raise Killed
        return own(self, target)

    monkeypatch.setattr(Path, "replace", counted)
    return lambda: done


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a survey that was not stopped: its path, its files, and how many writes it took."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        count = stop_at(patch, 0)
        survey(folder)
        writes = count()
    return folder, tree(folder), writes


@pytest.mark.parametrize(
    "share", [0.0, 0.3, 0.8, *(pytest.param(share, marks=pytest.mark.slow) for share in (0.15, 0.55, 1.0))]
)
def test_killed_anywhere_and_resumed(whole, monkeypatch, share):
    folder, files, writes = whole
    shutil.rmtree(folder)
    with monkeypatch.context() as patch:
        stop_at(patch, max(1, round(share * writes)))
        with pytest.raises(Killed):
            survey(folder)
    if (folder / "steps.json").exists():
        with pytest.raises(OutputError, match="go on with --resume, or remove it"):
            survey(folder)
    survey(folder, resume=True)
    assert tree(folder) == files


def test_killed_twice(whole, monkeypatch):
    folder, files, writes = whole
    shutil.rmtree(folder)
    for write in (writes // 2, writes // 5):
        with monkeypatch.context() as patch:
            stop_at(patch, write)
            with pytest.raises(Killed):
                survey(folder, resume=True)
    survey(folder, resume=True)
    assert tree(folder) == files


def test_a_finished_survey_is_not_made_again(whole, monkeypatch):
    folder, files, _ = whole
    if not (folder / "run.json").exists():
        survey(folder)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "__call__", None)
        assert survey(folder) == folder
        assert survey(folder, resume=True) == folder
    assert tree(folder) == files
    for options, other in (
        ({"size": (36, 40)}, "options"),
        ({"form": "full"}, "options"),
        ({"only": ["0"]}, "options"),
    ):
        with pytest.raises(OutputError, match=f"a survey with other {other}; remove it"):
            survey(folder, **options)
    with pytest.raises(OutputError, match="other images; remove it"):
        netviz.survey(classifier(), folder, images=IMAGES[:2])
    with pytest.raises(OutputError, match="other model; remove it"):
        netviz.survey(classifier(seed=1), folder, images=IMAGES, resume=True)
    assert tree(folder) == files


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "diary.txt").write_text("dear")
    for resume in (False, True):
        with pytest.raises(OutputError, match="is not empty"):
            survey(tmp_path, resume=resume)
    (tmp_path / "steps.json").write_text("[1")
    with pytest.raises(OutputError, match="is not empty"):
        survey(tmp_path, resume=True)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["diary.txt", "steps.json"]


def test_progress_counts_the_whole_once(tmp_path):
    seen = []
    survey(tmp_path / "run", progress=lambda *one: seen.append(one))
    done = [one for _, one, _ in seen]
    assert done == sorted(done)
    assert len({total for _, _, total in seen}) == 1
    assert done[-1] == seen[-1][2]


def test_neighbours_are_those_of_the_patches_own_sample(tmp_path):
    run = netviz.survey(classifier(), tmp_path / "run", images=IMAGES)
    facts = json.loads((run / "run.json").read_text())
    rows = [row for row in facts["layers"] if row["slug"]]
    assert [(row["units"], row["fields"]) for row in rows] == [
        (f"units/{layer}.npz", f"fields/{layer}.npz") for layer in ("0", "2")
    ]
    found = netviz.load_result(run / "units" / "0.npz")
    # All positions fit into the sample.
    values = np.concatenate(
        [netviz.maps(one, layer="0", model=classifier()).maps.reshape(6, -1).T for one in IMAGES]
    )
    assert (found.samples, found.images) == (len(values), 3)
    related = np.corrcoef(values.T.astype(np.float64))
    np.fill_diagonal(related, -2)
    np.testing.assert_array_equal(found.nearest, np.argsort(-related, axis=1, kind="stable")[:, :5])
    np.testing.assert_allclose(found.similarity, -np.sort(-related, axis=1)[:, :5], atol=1e-5)
    share = np.abs(values).mean(axis=0, dtype=np.float64) ** 2 / (values.astype(np.float64) ** 2).mean(axis=0)
    np.testing.assert_allclose(found.sparsity, (1 - share) / (1 - 1 / len(values)), rtol=1e-4)


def test_fields_are_those_of_the_command(tmp_path):
    model = classifier()
    run = netviz.survey(model, tmp_path / "run", images=IMAGES)
    for layer in ("0", "2"):
        saved = netviz.load_result(run / "fields" / f"{layer}.npz")
        typed = netviz.field(model, layer=layer, kind="effective", images=IMAGES[:2])
        # Only what was typed names the layer of a title.
        assert saved.facts() == {**typed.facts(), "layer_asked": "", "coarse": ("effective",)}
        for name, array in typed.arrays().items():
            if name == "effective":
                np.testing.assert_allclose(saved.arrays()[name], array, atol=array.max() / 65000)
            elif array.dtype.kind == "f":
                np.testing.assert_allclose(saved.arrays()[name], array, rtol=1e-5, atol=1e-9)
            else:
                np.testing.assert_array_equal(saved.arrays()[name], array)


def test_the_full_form_dissects_all_and_cuts_finer(tmp_path):
    run = netviz.survey(classifier(), tmp_path / "run", images=IMAGES[:1], form="full")
    facts = json.loads((run / "run.json").read_text())
    assert (facts["form"], facts["minimal"]["segments"]) == ("full", 100)
    with pytest.raises(ValueError, match="form must be one of quick, standard, full"):
        netviz.survey(classifier(), tmp_path / "other", form="slow")


def test_the_quick_form_searches_all_images_and_shows_four(tmp_path):
    images = [*IMAGES, "skimage:camera", "skimage:coins"]
    run = netviz.survey(classifier(), tmp_path / "run", images=images, form="quick")
    facts = json.loads((run / "run.json").read_text())
    assert [one["source"] for one in facts["images"]] == images[:4]
    assert json.loads((run / "patches" / "run.json").read_text())["images"]["counted"] == 5
    assert sorted(one.name for one in run.iterdir()) == [
        "filters",
        "images",
        "maps",
        "patches",
        "run.json",
        "units",
    ]
    for part in ("concepts", "minimal", "hypercolumns", "votes", "attribution", "deconv", "links", "fcn"):
        assert "quick form" in facts[part]["missing"]
    index = build([run], tmp_path / "site").index
    # A patch of an image that has no page is called by its file's name.
    (page,) = index.parent.glob("*/0/1.html")
    assert "coins" in page.read_text()
    assert "quick form" in index.read_text()
    assert "the first 4 of 5; all were searched" in index.read_text()
