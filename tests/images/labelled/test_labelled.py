"""Labels of every layout, and what is wrong with them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

from netviz.errors import ImageError
from netviz.images.labelled.colours import PROTOTYPES, Colours, name_colours
from netviz.images.labelled.folder import open_labelled
from netviz.images.labelled.labels import Concept

SHOWN = np.zeros((4, 4, 3), dtype=np.uint8)


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, dtype=np.uint8)).save(path)


def picture(path, height=6, width=8):
    save(path, np.zeros((height, width, 3)))


@pytest.fixture
def masks(tmp_path):
    """Two images; the classes are sky, void and road."""
    for name in ("a", "sub/b"):
        picture(tmp_path / "images" / f"{name}.jpg")
        save(tmp_path / "labels" / f"{name}.png", np.arange(48).reshape(6, 8) % 3)
    (tmp_path / "classes.txt").write_text("sky\nvoid\nroad\n\n")
    return tmp_path


def test_index_masks(masks):
    found = open_labelled(masks)
    assert [path.name for path in found.images] == ["a.jpg", "b.jpg"]
    assert found.kind == "masks"
    assert found.concepts == (Concept("sky", "class"), Concept("road", "class"))
    assert found.categories == ("class",)
    labels = found.read(1, (6, 8), SHOWN)
    # Two concepts in one category: void is 3.
    assert np.array_equal(labels.codes[0], np.array([0, 3, 1])[np.arange(48).reshape(6, 8) % 3])
    assert labels.first.tolist() == [True]
    assert labels.whole.size == 0
    half = masks / "labels" / "a.png"
    save(half, [[0, 2, 255, 2], [0, 0, 0, 0], [2, 2, 2, 2]])
    assert found.read(0, (6, 8), SHOWN).codes[0, 0].tolist() == [0, 1, 3, 1]
    assert open_labelled(masks, void=[2]).concepts == (Concept("sky", "class"),)


def test_classes_without_names_are_numbered(masks):
    (masks / "classes.txt").unlink()
    found = open_labelled(masks, void=[1])
    assert not found.named
    assert found.concepts[:2] == (Concept("class 0", "class"), Concept("class 2", "class"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "has no label mask"),
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "is damaged"),
        (lambda path: path.write_bytes(b""), "is no image"),
        (lambda path: save(path, np.full((6, 8), 7)), "unknown label values: 7; name them in classes.txt"),
        (lambda path: save(path, np.zeros((8, 6))), r"is 8×6 pixels .* its image is 6×8"),
        (lambda path: save(path, np.zeros((6, 8, 3))), "no mask of class numbers"),
    ],
)
def test_masks_that_do_not_fit_are_named(masks, damage, message):
    damage(masks / "labels" / "a.png")
    found = open_labelled(masks)
    with pytest.raises(ImageError, match=message) as error:
        found.read(0, (6, 8), SHOWN)
    assert "a.png" in str(error.value)
    assert "\n" not in str(error.value)
    assert found.read(1, (6, 8), SHOWN).codes.shape == (1, 6, 8)


def test_folders_that_do_not_fit_are_one_line(masks, tmp_path):
    cases = [
        ("\n", "names no class in line 1"),
        ("void\n", "all 1 classes are void"),
        ("a\na\n", "two classes"),
    ]
    for text, message in cases:
        (masks / "classes.txt").write_text(text)
        with pytest.raises(ImageError, match=message):
            open_labelled(masks)
    (masks / "classes.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ImageError, match="cannot read"):
        open_labelled(masks)
    with pytest.raises(ImageError, match="is no folder"):
        open_labelled(tmp_path / "nowhere")
    (tmp_path / "empty" / "labels").mkdir(parents=True)
    with pytest.raises(ImageError, match="no images/"):
        open_labelled(tmp_path / "empty")


def test_voc(tmp_path):
    for name in ("2007_1", "2007_2", "other"):
        picture(tmp_path / "JPEGImages" / f"{name}.jpg")
    mask = Image.fromarray(np.array([[0, 15, 20, 255]] * 3, dtype=np.uint8), mode=None).convert("P")
    mask.putdata([0, 15, 20, 255] * 3)
    (tmp_path / "SegmentationClass").mkdir()
    mask.save(tmp_path / "SegmentationClass" / "2007_1.png")
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_1\n")
    (lists / "val.txt").write_text("2007_2\n2007_1\n")
    found = open_labelled(tmp_path)
    assert [path.stem for path in found.images] == ["2007_1", "2007_2"]
    assert len(found.concepts) == 21
    codes = found.read(0, (6, 8), SHOWN).codes
    assert [None if code == 22 else found.concepts[code].name for code in codes[0, 0]] == [
        "background",
        "person",
        "tvmonitor",
        None,
    ]
    with pytest.raises(ImageError, match="has no label mask"):
        found.read(1, (6, 8), SHOWN)


CATEGORY = "name,first,last,frequency\nobject,0,1,2\npart,1,2,2\nscene,3,3,1\n"
LABEL = "number,name,category,frequency\n0,-,,0\n1,door,object(2);part(1),3\n300,wheel,part(1),1\n3,street,scene,1\n"
INDEX = "image,split,ih,iw,sh,sw,object,part,scene\nx/1.jpg,train,6,8,3,4,x/1_o.png,x/1_p0.png;x/1_p1.png,3\n"


@pytest.fixture
def broden(tmp_path):
    (tmp_path / "index.csv").write_text(INDEX)
    (tmp_path / "label.csv").write_text(LABEL)
    (tmp_path / "category.csv").write_text(CATEGORY)
    images = tmp_path / "images" / "x"
    picture(images / "1.jpg")
    for name, numbers in (("o", [[0, 1]]), ("p0", [[300, 1]]), ("p1", [[300, 300]])):
        values = np.kron(np.array(numbers), np.ones((3, 2), dtype=int))
        save(images / f"1_{name}.png", np.stack([values % 256, values // 256, values * 0], axis=-1))
    return tmp_path


def test_broden(broden):
    found = open_labelled(broden)
    assert found.kind == "broden"
    assert found.categories == ("object", "part", "scene")
    assert found.concepts == (("door", "object"), ("door", "part"), ("wheel", "part"), ("street", "scene"))
    labels = found.read(0, (6, 8), SHOWN)
    assert labels.first.tolist() == [True, True, False]
    # Without a label: 4 + the category's number. The wheel that both files of parts have counts once.
    assert labels.codes[:, 0].tolist() == [[4, 4, 0, 0], [2, 2, 1, 1], [5, 5, 2, 2]]
    assert labels.whole.tolist() == [3]
    assert [path.name for path in found.files(0)] == ["1_o.png", "1_p0.png", "1_p1.png"]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "label.csv",
            LABEL.replace("300,wheel,part(1)", "300,wheel,bits(1)"),
            "'wheel' into the category 'bits'",
        ),
        ("label.csv", LABEL.replace("300,", "many,"), "number 'many'"),
        ("label.csv", LABEL.replace("300,", "1,"), "label 1 twice"),
        ("label.csv", LABEL.replace("name", "title"), "no column 'name'"),
        ("category.csv", CATEGORY + "colour,4,4,1\n", "no column 'colour'"),
        (
            "category.csv",
            CATEGORY.replace("scene,3,3,1\n", ""),
            "column 'scene' that category.csv does not list",
        ),
        ("index.csv", INDEX.replace("x/1_o.png", "../1_o.png"), "no file in images/"),
        ("index.csv", INDEX.splitlines()[0], "no line but its head"),
        ("label.csv", None, "no such file"),
    ],
)
def test_lists_that_do_not_fit_are_one_line(broden, file, text, message):
    (broden / file).unlink()
    if text is not None:
        (broden / file).write_text(text)
    with pytest.raises(ImageError, match=message) as error:
        open_labelled(broden)
    assert ".csv" in str(error.value)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (INDEX.replace(",3\n", ",1\n"), "labelled 1 as scene, which label.csv does not list"),
        (INDEX.replace("x/1_o.png", "x/1_p0.png"), "labelled 300 as object"),
        (INDEX.replace("x/1_o.png", "x/none.png"), "no such label file"),
        (INDEX.replace("x/1_o.png", "x/1.png"), "different sizes"),
        (INDEX.replace("x/1_o.png", "x/2.png"), "is no label file of Broden"),
    ],
)
def test_label_files_that_do_not_fit_are_named(broden, index, message):
    (broden / "index.csv").write_text(index)
    save(broden / "images" / "x" / "1.png", np.zeros((6, 8, 3)))
    save(broden / "images" / "x" / "2.png", np.zeros((6, 8)))
    found = open_labelled(broden)
    with pytest.raises(ImageError, match=message) as error:
        found.read(0, (6, 8), SHOWN)
    assert "x/" in str(error.value)


def test_images_alone_are_named_by_colour(tmp_path):
    picture(tmp_path / "a.png")
    found = open_labelled(tmp_path)
    assert found.kind == "colour"
    assert [name for name, _ in found.concepts] == list(PROTOTYPES)
    assert len(found.concepts) == 11
    labels = found.read(0, (6, 8), np.full((4, 4, 3), (250, 10, 10), dtype=np.uint8))
    assert labels.shown
    assert {list(PROTOTYPES)[code] for code in labels.codes.ravel()} == {"red"}


def test_a_photograph_in_black_and_white_has_no_colours():
    """Its pixels are void: code 11 is a pixel of no colour, 12 one of which nothing is known."""
    colours = Colours((Path("a.png"),))
    grey = np.repeat(np.random.default_rng(0).integers(0, 256, (6, 5, 1), dtype=np.uint8), 3, axis=2)
    assert (colours.read(0, (6, 5), grey).codes == 12).all()
    stained = grey.copy()
    stained[0, 0] = (200, 0, 0)
    assert (colours.read(0, (6, 5), stained).codes < 11).all()


def test_colours_are_the_nearest_in_lab():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    prototypes = rgb2lab(np.array([list(PROTOTYPES.values())], dtype=np.uint8))[0]
    distance = np.linalg.norm(rgb2lab(pixels)[:, :, None] - prototypes, axis=-1)
    assert np.array_equal(name_colours(pixels), distance.argmin(axis=-1))
    own = np.array([list(PROTOTYPES.values())], dtype=np.uint8)
    assert name_colours(own)[0].tolist() == list(range(11))
