"""Tables of Network Dissection: written, read again, and those of others."""

import numpy as np
import pytest

from netviz.errors import ResultError
from netviz.questions.dissect.csv import InCategory, read_table, write_table
from netviz.questions.dissect.result import Detection, DissectionResult, count_detectors
from netviz.questions.reader import load_result, report

CONCEPTS = (("sky", "object"), ("door, old", "object"), ("door, old", "part"))

# In the columns of the original and in its order: units from 1, best first; one category of another set of columns.
HEAD = (
    "unit,category,label,score,object-label,object-truth,object-activation,object-intersect,object-iou,"
    "scene-label,scene-truth,scene-activation,scene-intersect,scene-iou\n"
)
TABLE = (
    HEAD
    + """\
3,object,sky,0.5,sky,100,50,50,0.5,street-s,9,3,0,0.0
1,scene,street-s,0.25,sky,100,10,1,0.0091743,street-s,9,3,3,0.25
2,object,sky,0.04,sky,100,4,4,0.04,street-s,9,0,0,nan
4,object,tree-c,0.041,tree-c,20,4,1,0.041,street-s,9,0,0,0.0
"""
)


def result(**changes):
    met = np.array([[30, 0, 1], [1, 2, 0]])
    area, active = np.array([60, 10, 0]), np.array([[40, 4], [3, 0]])
    iou = np.array([[30 / 70, 0, 0], [1 / 62, 2 / 11, 0]])
    values = {
        "iou": iou,
        "intersection": met,
        "unit_area": active,
        "concept_area": area,
        "concept_images": np.array([2, 1, 0]),
        "category_area": np.array([200, 10]),
        "threshold": np.array([0.1, 1 / 3]),
        "best": np.array([[0, 2], [1, 2]]),
        "concepts": CONCEPTS,
        "categories": ("object", "part"),
        "network": "net",
        "layer": "features.0",
        "alias": "conv1",
        "layer_kind": "conv",
        "channels": 2,
        "map_size": (4, 5),
        "field_size": (3.0, 3.0),
        "field_stride": (1.0, 1.0),
        "field_status": "exact",
        "placed": "by field",
        "quantile": 0.995,
        "quantile_samples": 40,
        "positions": 40,
        "quantile_error": 0.0,
        "detect": 0.04,
        "images": 2,
        "data": "masks",
        "resolution": "every pixel of the network's input (8×10)",
        "input": "own size",
    }
    return DissectionResult(**{**values, **changes})


def test_a_table_is_read_as_it_was_written(tmp_path):
    made = result()
    path = tmp_path / "a.csv"
    path.write_bytes(write_table(made))
    head = path.read_text().splitlines()[0]
    assert head.startswith(
        "unit,category,label,score,object-label,object-truth,object-activation,object-intersect"
    )
    assert head.endswith(",part-label,part-truth,part-activation,part-intersect,part-iou")
    table = read_table(path)
    assert table.detections == (
        Detection(0, "object", "sky", 30 / 70),
        Detection(1, "object", "door, old", 2 / 11),
    )
    assert table.best[1]["object"] == InCategory("door, old", 10, 3, 2, 2 / 11)
    assert table.best[0]["part"] == InCategory("door, old", 0, 4, 1, 0.0)
    for key in ("units", "detectors", "unique", "unique_best", "by_category", "detected"):
        assert report(path)[key] == made.summary()[key]
    lost = result(categories=("object", "part", "none"), best=np.array([[0, 2, -1], [1, 2, -1]]))
    path.write_bytes(write_table(lost))
    assert read_table(path).best[0]["none"] == InCategory("", 0, 0, 0, 0.0)


def test_what_others_wrote_is_counted(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(TABLE)
    found = report(path)
    assert (found["units"], found["detectors"], found["unique"]) == (4, 3, 3)
    assert found["by_category"] == {"object": 2, "scene": 1}
    assert read_table(path).detections[0].unit == 2
    # Units at the threshold itself are no detectors; a line less and another order change nothing else.
    lines = [line.split(",") for line in TABLE.splitlines()]
    turned = [",".join(reversed(line)) for line in lines]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(turned).encode())
    assert {**report(path), "categories": 0} == {**found, "categories": 0}
    path.write_text("\n".join(",".join(line[4:]) for line in lines))
    again = report(path)
    assert {**again, "categories": 0} == {**found, "categories": 0}
    path.write_text("label,score\nsky,0.3\nsky,0.2\n")
    assert report(path)["unique"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "no table of Network Dissection"),
        ("", "no table of Network Dissection"),
        ("unit,category,label,score\n", "lists no unit"),
        ("unit,category,label,score\n1,object,sky,much\n", "damaged line 2"),
        ("unit,category,label,score\n1,object,sky,inf\n", "damaged line 2"),
        (b"\xff\xfe\x00", "cannot read"),
        (None, "no such file"),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path, text, message):
    path = tmp_path / "a.csv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ResultError, match=message) as error:
        report(path)
    assert "\n" not in str(error.value)


def test_unique_detectors_are_different_concepts():
    names = [
        ("object", "sky", 0.5),
        ("object", "sky", 0.041),
        ("part", "sky", 0.1),
        ("part", "eye", 0.04),
        ("", "", 0.0),
    ]
    units = [Detection(unit, *one) for unit, one in enumerate(names)]
    found = count_detectors(units, units, ("colour", "object"))
    assert found["units"] == 5
    assert found["detectors"] == 3
    assert found["unique"] == 2
    assert found["by_category"] == {"colour": 0, "object": 1, "part": 1}
    assert found["detectors_by_category"] == {"colour": 0, "object": 2, "part": 1}
    assert found["detected"] == [["object", "sky", 2], ["part", "sky", 1]]
    assert count_detectors([Detection(0, "a", "b", 0.3)], None, (), 0.3)["detectors"] == 0


# Six units and three categories. Objects: car and dog are the best object of a unit with an IoU above 0.04 (cat, with
# 0.04 itself, is not): 2. Parts: wheel, eye and leg: 3, of which leg is no unit's best over all categories. Colours:
# red: 1, though red is no unit's best over all either. Together 6. Best over all: car, dog, wheel and eye: 4.
COUNTED = """\
unit,category,label,score,object-label,object-iou,part-label,part-iou,color-label,color-iou
1,object,car,0.30,car,0.30,wheel,0.20,red,0.05
2,object,car,0.25,car,0.25,leg,0.10,red-c,0.01
3,object,dog,0.20,dog,0.20,leg,0.06,red,0.06
4,part,wheel,0.15,cat,0.04,wheel,0.15,blue,0.02
5,part,eye,0.09,dog,0.05,eye,0.09,,nan
6,object,cat,0.04,cat,0.04,nose,0.03,blue,0.04
"""


def test_unique_detectors_are_counted_in_each_category_as_published(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(COUNTED)
    found = report(path)
    assert (found["units"], found["detectors"]) == (6, 5)
    assert (found["unique"], found["unique_best"]) == (6, 4)
    assert found["by_category"] == {"object": 2, "part": 3, "color": 1}
    assert found["detectors_by_category"] == {"object": 3, "part": 2, "color": 0}
    # Without the columns of the categories the number is not known, and is not told.
    path.write_text("".join(",".join(line.split(",")[:4]) + "\n" for line in COUNTED.splitlines()))
    found = report(path)
    assert (found["unique"], found["unique_best"], found["by_category"]) == (None, 4, {})
    # The same of a result of netviz: unit 1 is best at an object, and passes with a part as well.
    made = result(
        iou=np.array([[0.5, 0.1, 0.05], [0.4, 0.3, 0.2]]), best=np.array([[0, 2], [0, 2]])
    ).summary()
    assert (made["unique"], made["unique_best"]) == (2, 1)
    assert made["by_category"] == {"object": 1, "part": 1}


def test_a_result_is_saved_and_believed_only_after_a_look(tmp_path):
    from netviz.questions.dissect.run import read_dissection

    path = result().save(tmp_path / "a.npz")
    loaded = read_dissection(path)
    assert loaded.concepts == CONCEPTS
    assert np.array_equal(loaded.iou, result().iou)
    assert load_result(path).summary()["unique"] == 2
    for changes, message in (
        ({"iou": np.zeros((2, 2))}, "iou has the shape 2×2"),
        ({"threshold": np.array([0, np.nan])}, "threshold holds NaN"),
        ({"best": np.full((2, 2), 7)}, "best holds 7"),
        ({"concepts": (("a", "x"), *CONCEPTS[1:])}, "concepts tells of 'x', no category"),
    ):
        result(**changes).save(path)
        with pytest.raises(ResultError, match=message):
            read_dissection(path)
