"""What the gallery says about a layer's maps."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from netviz.gallery.drawing import write_sheet
from netviz.gallery.manifest import Photo, Picture
from netviz.gallery.panels.maps import Maps, legends, maps_note
from netviz.questions.maps.result import MapsResult
from netviz.questions.maps.tiles import map_sheet

MakeMaps = Callable[..., MapsResult]


def shown(result: MapsResult) -> Maps:
    sheet = write_sheet(map_sheet(result), "maps.png", lambda _path, _data: None)
    picture = Picture("photo.png", 1, 1)
    shape = result.maps.shape[1], result.maps.shape[2]
    return Maps(Photo("photo", picture, picture), sheet, shape, result.scale, result.sort, "")


@pytest.mark.parametrize(
    ("maps", "note"),
    [
        (
            np.array([-1.0, 0.5]).reshape(2, 1, 1),
            "; a bar is a map's value, all from \u22121 over 0 over 0.5.",
        ),
        (
            np.array([2.0]).reshape(1, 1, 1),
            "One map, one position; a bar is a map's value, all from 0 over 2.",
        ),
        (np.ones((2, 1, 5)), "2 maps, 1 × 5 positions each, a bar for each; every map on its own scale."),
    ],
)
def test_maps_without_two_sides_are_bars_without_a_colour_bar(
    make_maps: MakeMaps, maps: NDArray[np.float64], note: str
) -> None:
    one = shown(make_maps(maps, scale="each"))
    assert maps_note(one).endswith(note)
    assert legends([(one, one.sheet.tiles[0])]) == []


def test_where_scales_end_is_said(make_maps: MakeMaps) -> None:
    maps = np.ones((2, 20, 20))
    maps[0, 0, 3] = 9
    one = shown(make_maps(maps, scale="each"))
    assert (
        "The scale of 1 map, whose border stands out, ends at the largest value inside. 0.12 %"
        in maps_note(one)
    )
    assert not one.sheet.legend.largest
    assert "ends at percentile 99 of the absolute values." in maps_note(
        shown(make_maps(maps, percentile=99.0))
    )
