"""What a survey's record must hold besides the types of its entries."""

import json
from dataclasses import replace

import pytest

from netviz.errors import ResultError
from netviz.results.survey import (
    BestRecord,
    ComponentOnImage,
    ComponentRecord,
    ComponentsRecord,
    ConceptsRecord,
    DeconvRecord,
    FcnRecord,
    FieldRecord,
    ImageRecord,
    LayerRecord,
    LinksRecord,
    MasksRecord,
    MinimalRecord,
    Missing,
    OfLayer,
    OnImage,
    OptionsRecord,
    SeenRecord,
    StreamsOnImage,
    SurveyRecord,
    VotesRecord,
    layer_title,
    read_survey,
    write_survey,
)

NONE = Missing("not measured")
PARTS = ("patches", "components", "minimal", "hypercolumns", "concepts", "fields", "measured", "fcn")
FILES = dict.fromkeys(("filters", "maps", "patches", "units", "fields", "measured"))


@pytest.fixture
def record(tmp_path):
    """A record of a network of two layers, of which the first was surveyed, on two photographs."""
    layer = LayerRecord("0", "conv1", "conv", "Conv2d", 4, (4, 8, 8), 108, 1, 1, None, "0", **FILES)
    return SurveyRecord(
        kind="survey",
        netviz="1",
        form="standard",
        options=OptionsRecord((), quick=False, full=False, trust=False, weights=None, seed=-1),
        fingerprint={"model": "a"},
        network="net",
        model="net.pt",
        origin="nowhere",
        parameters=108,
        input="as it is",
        size=(8, 8),
        images=tuple(
            ImageRecord(name, f"{name}.png", tmp_path / "images" / f"{name}.png", 8, 8, None) for name in "ab"
        ),
        layers=(layer, replace(layer, name="1", slug=None, receptive_field=FIELD)),
        **dict.fromkeys(PARTS, NONE),
    )


FIELD = FieldRecord((3.0, 3.0), (1.0, 0.5), (-1.0, 0.0), "exact")
MASKS = MasksRecord(0, "masks.png", (0, 3), (0, 0))
CONCEPTS = ConceptsRecord(
    "concepts", None, 1, (BestRecord(0, ((0, 3),)),), (SeenRecord("a", "a.png"),), (MASKS,)
)


def test_a_record_is_read_as_it_was_written(record, tmp_path):
    shown = (OnImage(0, tmp_path / "minimal/a.npz"), OnImage(1, missing="too small"))
    streams = (StreamsOnImage(1, tmp_path / "fcn/b.npz", form="edges", views=3),)
    full = replace(
        record,
        minimal=MinimalRecord(40, shown),
        fcn=FcnRecord(streams, ()),
        votes=VotesRecord(shown),
        links=LinksRecord(8, (OfLayer(0, tmp_path / "links/0.npz"),)),
        deconv=DeconvRecord(tmp_path / "patches/back", (0,), 1),
    )
    write_survey(tmp_path, full)
    assert read_survey(tmp_path) == full
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["minimal"]["shown"] == [
        {"image": 0, "file": "minimal/a.npz"},
        {"image": 1, "missing": "too small"},
    ]
    assert facts["layers"][1]["receptive_field"]["stride"] == [1, 0.5]


def verb(name, image=0):
    return ComponentOnImage(image, "a.npz", verb=name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minimal": MinimalRecord(40, (OnImage(2, "a"),))}, "there is no image 2"),
        ({"votes": VotesRecord((OnImage(2, "a"),))}, "there is no image 2"),
        ({"minimal": MinimalRecord(40, (OnImage(1, "a"), OnImage(1, "b")))}, "the same result twice"),
        ({"fcn": FcnRecord((), (), OnImage(5, "a"))}, "there is no image 5"),
        ({"concepts": replace(CONCEPTS, masks=(replace(MASKS, layer=1),))}, "no layer 1 with a page"),
        ({"concepts": replace(CONCEPTS, masks=(replace(MASKS, layer=2),))}, "no layer 2 with a page"),
        ({"links": LinksRecord(8, (OfLayer(1, "a"),))}, "no layer 1 with a page, to have links"),
        ({"links": LinksRecord(8, (OfLayer(0, "a"), OfLayer(0, "b")))}, "a layer has links twice"),
        ({"deconv": DeconvRecord("back", (0, 1), 1)}, "no layer 1 with a page, to have patches"),
        ({"components": ComponentsRecord((ComponentRecord(2, "first", ()),), ())}, "no layer 2 to have"),
        (
            {"components": ComponentsRecord((ComponentRecord(0, "first", ()),) * 2, ())},
            "two layers are the same",
        ),
        (
            {"components": ComponentsRecord((ComponentRecord(0, "first", (verb("sift"),) * 2),), ())},
            "the same result twice",
        ),
    ],
)
def test_parts_that_do_not_fit_the_rest_are_refused(record, changes, message):
    with pytest.raises(ValueError, match=message):
        replace(record, **changes)


def test_parts_that_do_not_fit_together_are_refused(record):
    replace(
        record,
        components=ComponentsRecord((ComponentRecord(0, "first", (verb("sift"), verb("stages"))),), ()),
    )
    for make, message in (
        (lambda: OnImage(0), "neither a file nor a reason"),
        (lambda: StreamsOnImage(0, "a", views=65), "65 views"),
        (lambda: replace(FIELD, size=None), "has no size"),
        (lambda: replace(MASKS, images=(0,)), "do not fit their units"),
        (lambda: replace(MASKS, units=(3, 3)), "do not fit their units"),
        (lambda: replace(CONCEPTS, images=()), "do not fit their images"),
        (lambda: replace(CONCEPTS, best=CONCEPTS.best * 2), "told twice"),
        (lambda: replace(record.layers[0], channels=1 << 18), "262144 units"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    assert replace(FIELD, size=None, status="unknown").size is None


@pytest.mark.parametrize("part", [*PARTS, "kind", "form", "options", "images", "layers", "size"])
def test_a_missing_entry_is_refused_in_one_line(record, tmp_path, part):
    write_survey(tmp_path, record)
    facts = json.loads((tmp_path / "run.json").read_text())
    del facts[part]
    (tmp_path / "run.json").write_text(json.dumps(facts))
    with pytest.raises(ResultError) as caught:
        read_survey(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'run.json'} is damaged: {part} is missing; run the survey again"


def test_another_file_is_refused(tmp_path):
    for text, message in (
        ("[1", "is damaged"),
        ("[]", "is damaged: it is [], no object"),
        ("[" * 10**5, "nested too deep"),
        ('{"kind": "patches"}', "is damaged: kind is 'patches', none of survey"),
    ):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(ResultError, match="run the survey again") as caught:
            read_survey(tmp_path)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(ResultError, match=r"holds no run\.json"):
        read_survey(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "alias", "kind", "title"),
    [
        ("side3", "conv16", "conv", "side3"),
        ("fuse", "conv19", "conv", "fuse"),
        ("score.8s", "conv56", "conv", "score.8s"),
        ("conv5_3", "conv5_3", "conv", "conv5_3"),
        ("features.18.0", "conv52", "conv", "conv52"),
        ("layer1.0.conv1", "conv2", "conv", "conv2"),
        ("classifier.4", "conv54", "conv", "conv54"),
        ("conv1", "conv1", "conv", "conv1"),
        ("interpolate_2", "upsample17", "upsample", "upsample17"),
        ("", "", "block", "(the network)"),
    ],
)
def test_a_convolution_is_called_by_its_own_name_where_that_tells(name, alias, kind, title):
    assert layer_title(name, alias, kind) == title
