"""What a network is shown beyond an image has no labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netviz.images import prepare
from netviz.images.labelled.labels import Concept, Labels
from netviz.models import Preprocessing
from netviz.questions.dissect.source import Labelled

CONCEPTS = (Concept("left", "side"), Concept("right", "side"), Concept("street", "scene"))
VOID = 5


class Halves:
    """The left and the right half of an image; all of it is a street."""

    kind, named, concepts, categories = "halves", True, CONCEPTS, ("side", "scene")

    def __init__(self, images: Sequence[Path], shown: bool) -> None:
        self.images = images
        self.shown = shown

    def files(self, number: int) -> Sequence[Path]:
        return ()

    def read(self, number: int, size: tuple[int, int], shown: Any) -> Labels:
        height, width = shown.shape[:2] if self.shown else size
        codes = np.zeros((1, height, width), dtype=np.int32)
        codes[..., width // 2 :] = 1
        return Labels(codes, np.array([True]), np.array([2]), shown=self.shown)


@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize("size", [(20, 30), (30, 20), (24, 24)])
def test_nothing_is_known_beyond_the_image(size: tuple[int, int], shown: bool, tmp_path: Path) -> None:
    preprocessing = Preprocessing(resize=(24, 24), crop=(24, 24), fill=(9, 9, 9))
    white = np.full((*size, 3), 255, dtype=np.uint8)
    Image.fromarray(white).save(tmp_path / "white.png")
    item = Labelled(
        Halves((tmp_path / "white.png",), shown), [str(tmp_path / "white.png")], preprocessing
    ).load(0)
    filled = (prepare(white, preprocessing).image == 9).all(axis=2)
    assert filled.any() == (size[0] != size[1])
    codes, first = item.extra["labels"], item.extra["first"]
    np.testing.assert_array_equal(codes[0] == VOID, filled)
    # The middle of the square lies between its two halves whatever the image's aspect.
    np.testing.assert_array_equal(codes[0][~filled], np.tile(np.arange(24) >= 12, (24, 1))[~filled])
    if filled.any():
        np.testing.assert_array_equal(codes[1], np.where(filled, VOID, 2))
        assert first.tolist() == [True, True]
        assert not len(item.extra["whole"])
    else:
        assert item.extra["whole"].tolist() == [2]
