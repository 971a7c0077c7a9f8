"""Which patches lie at the border of their map, against the positions themselves."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import netviz
from netviz.questions.patches.run import open_run
from support.patches import make_patches


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patches of convolutions whose fields are short, of about half of the image, and longer than it."""
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1),
        nn.Conv2d(12, 12, 5, stride=4, padding=2),
        nn.Conv2d(12, 12, 5, padding=2),
        nn.Conv2d(12, 12, 5, padding=2),
    )
    images = [np.random.default_rng(at).integers(0, 256, (32, 32, 3), dtype=np.uint8) for at in range(6)]
    return netviz.patches(
        network, tmp_path_factory.mktemp("edge") / "run", images=images, top=6, size=(32, 32)
    )


FIELDS = ((3, 1, -1), (7, 4, -3), (23, 4, -11), (39, 4, -19))
"""Size, stride and first pixel of each layer's field, reckoned by hand, on 32 pixels."""


def test_edge_and_what_leaves_the_image_are_those_of_the_positions(run: Path) -> None:
    opened, met = open_run(run), 0
    for layer, (size, stride, start) in zip(opened.layers, FIELDS, strict=True):
        found = opened.result(layer)
        assert found.field_size == (size, size)
        position = np.stack([found.row, found.col], axis=-1)
        first = position * stride + start
        before, after = first < 0, first + size > 32
        last = np.array(found.map_size) - 1
        edge = (((position == 0) & before) | ((position == last) & after)).any(axis=-1)
        met += int(edge.sum())
        assert np.array_equal(found.at_edge, edge)
        assert np.array_equal(found.leaves, (before | after).any(axis=-1) if size <= 16 else edge)
        only = [bool(shown.any() and one[shown].all()) for shown, one in zip(found.shown, edge, strict=True)]
        assert found.only_at_edge.tolist() == only
    assert met


def test_without_a_field_the_map_tells() -> None:
    box = np.tile(np.array([0, 0, 120, 160]), (1, 4, 1))
    rows = np.array([[0, 2, 5, 3]], dtype=np.int32)
    columns = np.array([[3, 4, 3, 7]], dtype=np.int32)
    found = make_patches(
        box, row=rows, col=columns, field_size=None, field_stride=None, field_status="unknown"
    )
    assert found.at_edge.tolist() == [[True, False, True, True]]
    assert np.array_equal(found.leaves, found.at_edge)
    small = make_patches(box, row=rows, col=columns, map_size=(2, 1), field_status="global")
    assert not small.at_edge.any()
