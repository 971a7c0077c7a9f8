import dataclasses
import itertools

import numpy as np
import pytest
from skimage.color import rgb2hsv, rgb2lab

from netviz.fcn.streams.result import StreamsResult
from netviz.paper import style
from netviz.paper.classes import class_colours, legend, palette
from netviz.questions.drawing import figure

NAMES = ("32s", "16s", "8s")


def make(height: int = 36, width: int = 48, truth: bool = True, **facts) -> StreamsResult:
    rng = np.random.default_rng(6)
    streams = {name: rng.normal(size=(4, height, width)).astype(np.float32) * 3 for name in NAMES}
    labels = rng.integers(-1, 4, (height, width)).astype(np.int32)
    values = {
        "streams": streams,
        "image": rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        "truth": labels if truth else None,
        "names": NAMES,
        "form": "classes",
        "classes": ("sky", "road", "tree", "car"),
        "network": "net",
        "origin": "",
        "image_name": "photo",
        "original": (height, width),
        "input": "own size",
        "taps": {},
        "changed": {
            "16s": {"from": "32s", "share": 0.125},
            "8s": {"from": "16s", "share": 0.0625},
        },
        "scores": {name: {"pixel_accuracy": 0.5, "mean_iu": 0.25} for name in NAMES} if truth else {},
        "void_share": 0.2 if truth else 0.0,
    }
    return StreamsResult(**{**values, **facts})


def texts(drawn) -> str:
    return "\n".join(text.get_text() for text in drawn.axes[0].texts)


def shown(drawn, result: StreamsResult) -> list[np.ndarray]:
    """Return the pictures that are as large as the image, legend left out."""
    return [
        np.asarray(one.get_array())
        for one in drawn.axes[0].images
        if one.get_array().shape[:2] == result.image.shape[:2]
    ]


def test_classes_changes_confidence_and_mistakes():
    result = make()
    drawn = figure(result)
    pictures = shown(drawn, result)
    assert len(pictures) == 5 + 2 + 3 + 3
    image, coarse, middle, fine, truth, *rest = pictures
    np.testing.assert_array_equal(image, result.image)
    classes = {name: result.streams[name].argmax(axis=0) for name in NAMES}
    table = np.array([style.rgb(colour) for colour in palette(result.classes)])
    for picture, name in zip((coarse, middle, fine), NAMES, strict=True):
        np.testing.assert_array_equal(picture, table[classes[name]])
    np.testing.assert_array_equal(truth[result.truth >= 0], table[result.truth[result.truth >= 0]])
    np.testing.assert_array_equal(truth[result.truth < 0][0], style.rgb(style.VOID))
    for picture, (before, after) in zip(rest[:2], itertools.pairwise(NAMES), strict=True):
        other = classes[before] != classes[after]
        np.testing.assert_array_equal(picture[other], table[classes[after]][other])
        still = picture[~other].astype(int)
        assert still.min() > 160
        assert np.ptp(still, axis=1).max() == 0
    for picture, name in zip(rest[2:5], NAMES, strict=True):
        np.testing.assert_array_equal(picture, result.confidence(name))
    for picture, name in zip(rest[5:], NAMES, strict=True):
        wrong = (classes[name] != result.truth) & (result.truth >= 0)
        np.testing.assert_array_equal((picture == style.rgb(style.MARK)).all(axis=-1), wrong)
        assert (picture[result.truth < 0] == style.rgb(style.VOID)).all()
    said = texts(drawn)
    for claim in (
        "streams 32s, 16s, 8s",
        "the image's own",
        "32s → 16s",
        "12 % of the pixels change class",
        "6.2 % of the pixels change class",
        "pixel accuracy 50.0 %, mean IU 25.0 %",
        "void 20 %",
        "sky",
        "car",
    ):
        assert claim in said
    (bar,) = [axes for axes in drawn.axes if axes.get_label() == "scale"]
    assert bar.get_xlim() == (0, 1)


def test_without_truth_or_with_one_stream():
    result = make(truth=False)
    assert len(shown(figure(result), result)) == 4 + 2 + 3
    one = make(truth=False, names=("out",), changed={}, original=(72, 96))
    one = dataclasses.replace(one, streams={"out": one.streams["8s"]})
    drawn = figure(one)
    assert len(shown(drawn, one)) == 2 + 1
    assert "to which the image of 72\u00d796 was resized" in texts(drawn)
    void = make(scores={name: {"pixel_accuracy": None, "mean_iu": None} for name in NAMES})
    assert "all is void" in texts(figure(void))


def test_of_very_many_classes_some_are_named():
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(90, 36, 48)).astype(np.float32)
    scores[7, :, :20] += 9
    classes = tuple(f"thing {number}." for number in range(90))
    result = make(truth=False, streams={"out": scores}, names=("out",), changed={}, classes=classes)
    said = texts(figure(result))
    assert "thing 7." in said
    assert said.count("thing ") == 48
    assert "and 42 more" in said
    assert "24 colours for 90 classes: some repeat" in " ".join(said.split())


def test_own_scores_of_a_skip_network():
    result = make()
    rng = np.random.default_rng(0)
    added = {
        f"added_{name}": rng.normal(size=(4, 36 // s, 48 // s))
        for name, s in zip(NAMES, (12, 6, 3), strict=True)
    }
    taps = {
        name: {"layer": f"l{s}", "stride": s, "center": [0.0, 0.0]}
        for name, s in zip(NAMES, (12, 6, 3), strict=True)
    }
    result = dataclasses.replace(result, streams={**result.streams, **added}, taps=taps)
    drawn = figure(result)
    assert len(shown(drawn, result)) == 5 + 2 + 3 + 3 + 3
    assert "scores of l12" in texts(drawn)
    assert "3\u00d74 positions, every 12 pixels" in texts(drawn)
    picture = shown(drawn, result)[7]
    classes = added["added_32s"].argmax(axis=0)
    np.testing.assert_array_equal(picture[0, 0], style.rgb(palette(result.classes)[classes[0, 0]]))
    np.testing.assert_array_equal(picture[7, 19], style.rgb(palette(result.classes)[classes[1, 2]]))
    np.testing.assert_array_equal(picture[35, 47], style.rgb(palette(result.classes)[classes[2, 3]]))


def test_what_layers_add_lies_where_the_network_saw_it():
    # Seen at twice the image's size: a position of 12 pixels of the input covers 6 of the image.
    scores = np.zeros((4, 6, 8))
    scores[3, 2, 5] = 1
    result = make(
        truth=False,
        streams={"32s": np.zeros((4, 36, 48)), "added_32s": scores},
        names=("32s",),
        changed={},
        taps={"32s": {"layer": "l12", "stride": 12, "center": [5.5, 5.5]}},
        input_size=(72, 96),
    )
    drawn = figure(result)
    picture = shown(drawn, result)[2]
    where = (picture == style.rgb(palette(result.classes)[3])).all(axis=-1)
    expected = np.zeros((36, 48), dtype=bool)
    expected[12:18, 30:36] = True
    np.testing.assert_array_equal(where, expected)
    said = " ".join(texts(drawn).split())
    assert "the network saw the image at 72\u00d796" in said
    assert "pixels of the network's input, 72\u00d796" in said
    # No stream says it, but a colour of it is in the picture.
    assert "car" in said


def edges(form: str = "edges", **facts) -> StreamsResult:
    rng = np.random.default_rng(1)
    names = ("side5", "side4", "side3", "side2", "side1", "fused")
    streams = {name: rng.normal(size=(1, 36, 48)).astype(np.float32) * 4 for name in sorted(names)}
    return make(truth=False, form=form, names=names, streams=streams, classes=("edge",), changed={}, **facts)


def test_side_outputs_coarse_to_fine():
    result = edges()
    drawn = figure(result)
    image, *maps = drawn.axes[0].images
    np.testing.assert_array_equal(image.get_array(), result.image)
    for name, one in zip(result.names, maps, strict=True):
        logits = result.streams[name][0].astype(np.float64)
        np.testing.assert_allclose(one.get_array(), 1 / (1 + np.exp(-logits)), atol=1e-6)
        assert one.get_clim() == (0, 1)
    said = texts(drawn)
    assert "how likely a pixel is an edge" in said
    assert said.index("\nside5\n") < said.index("\nside1\n") < said.index("\nfused\n")
    values = figure(edges("values"))
    limit = max(np.abs(one).max() for one in result.streams.values())
    assert values.axes[0].images[1].get_clim() == pytest.approx((-limit, limit))


def test_class_colours_can_be_told_apart():
    assert len(set(style.CLASSES)) == len(style.CLASSES) >= 21
    lab = rgb2lab(np.array([[style.rgb(one) for one in (*style.CLASSES, style.VOID)]], dtype=np.uint8))[0]
    distances = [np.linalg.norm(a - b) for a, b in itertools.combinations(lab, 2)]
    assert min(distances) > 12
    codes = np.array([[-1, 0, len(style.CLASSES)]])
    coloured = class_colours(codes)
    assert tuple(coloured[0, 0]) == style.rgb(style.VOID)
    assert tuple(coloured[0, 1]) == tuple(coloured[0, 2])


CAMVID = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
"""The classes of fcn_camvid, as its model card lists them."""


def test_classes_have_the_colours_of_what_they_name():
    found = dict(zip(CAMVID, palette(CAMVID), strict=True))
    hues = {"sky": (180, 250), "tree": (90, 170), "building": (15, 45), "pedestrian": (340, 380)}
    for name, (low, high) in hues.items():
        hue, saturation, _ = rgb2hsv(np.array(style.rgb(found[name])) / 255)
        assert saturation > 0.4
        assert low <= hue * 360 + 360 * (hue * 360 < low) <= high
    assert rgb2hsv(np.array(style.rgb(found["road"])) / 255)[1] < 0.15
    lab = rgb2lab(
        np.array([[style.rgb(one) for one in (*found.values(), style.VOID, "#ffffff")]], dtype=np.uint8)
    )
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(lab[0], 2)) > 20


def test_a_palette_mixes_meaning_with_what_is_far_from_it():
    names = ("thing", "Sky", "stuff", "tree, plant", "vegetation", "car_park")
    found = palette(names)
    known = dict(zip(CAMVID, palette(CAMVID), strict=True))
    assert (found[1], found[3]) == (known["sky"], known["tree"])
    assert len(set(found)) == len(names)
    lab = rgb2lab(np.array([[style.rgb(one) for one in found]], dtype=np.uint8))[0]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(lab, 2)) > 12
    assert palette(("a", "b")) == style.CLASSES[:2]
    many = [f"thing {number}" for number in range(40)] + ["road"]
    assert palette(many)[-1] == known["road"]
    meant = [colour for colour, _ in style.MEANINGS]
    lab = rgb2lab(np.array([[style.rgb(one) for one in (*meant, style.VOID)]], dtype=np.uint8))[0]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(lab, 2)) > 20


def test_legend_breaks_rows():
    one = legend([("#000000", "name")] * 3, 1000)
    narrow = legend([("#000000", "name")] * 3, 60)
    assert len({y for _, y, _, _ in one.entries}) == 1
    assert len({y for _, y, _, _ in narrow.entries}) == 3
    assert narrow.height == 3 * one.height
    assert legend([], 100).height == 0


@pytest.mark.parametrize("size", [(8, 8), (12, 300), (300, 12), (420, 500)])
@pytest.mark.parametrize("form", ["classes", "edges", "many"])
def test_any_proportions(size, form):
    result = make(*size, network="m" * 90, image_name="n" * 200, classes=("c" * 60,) * 4)
    if form == "many":
        extra = {f"{2**n}s": result.streams["8s"] for n in range(9)}
        changed = {name: {"from": before, "share": 0.1} for before, name in itertools.pairwise(extra)}
        result = dataclasses.replace(
            result, truth=None, scores={}, streams=extra, names=tuple(extra), changed=changed
        )
    if form == "edges":
        one = {name: values[:1] for name, values in result.streams.items()}
        result = dataclasses.replace(result, truth=None, form="edges", streams=one)
    drawn = figure(result)
    width, height = drawn.bbox.width, drawn.bbox.height
    assert width <= style.LARGEST
    for artist in [*drawn.axes[0].images, *drawn.axes[0].texts]:
        box = artist.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height
    boxes = [artist.get_window_extent() for artist in drawn.axes[0].texts if artist.get_text()]
    for a, b in itertools.combinations(boxes, 2):
        assert a.x1 <= b.x0 + 1 or b.x1 <= a.x0 + 1 or a.y1 <= b.y0 + 1 or b.y1 <= a.y0 + 1
