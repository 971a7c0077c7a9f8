import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import numpy as np
import pytest
from PIL import Image

from netviz.gallery.build import build
from netviz.questions.contrast.result import ContrastResult
from netviz.questions.filters.result import FiltersResult
from netviz.questions.maps.result import MapsResult
from netviz.questions.sift.result import SiftResult
from netviz.questions.stages.result import Column, StagesResult
from netviz.results.base import Result
from netviz.results.survey import (
    ComponentOnImage,
    ComponentRecord,
    ComponentsRecord,
    ImageRecord,
    LayerRecord,
    Missing,
    OptionsRecord,
    PatchesRecord,
    SurveyRecord,
    read_survey,
    write_survey,
)
from support.concepts import add_concepts
from support.fields import add_fields
from support.images import add_images
from support.pages import Page
from support.patches import facts_of, make_patches

MakeRun = Callable[..., Path]

HOSTILE = [
    "<script>window.hacked = 1</script>",
    "\"><img src=x onerror='window.hacked=2'>",
    "../../etc/passwd",
    "{{ 7 * 7 }}{% raw %}",
    "🦔" * 40 + "é" * 260,
    "a\nb\tc",
]


def filters(
    rng: np.random.Generator, layer: str, alias: str, shape: Sequence[int], groups: int
) -> FiltersResult:
    weight = rng.normal(size=shape).astype(np.float32)
    return FiltersResult(
        weight=weight,
        units=np.arange(len(weight)),
        network="toy",
        layer=layer,
        alias=alias,
        groups=groups,
        transposed=False,
        sees_image=shape[1] == 3,
        channel_order="RGB",
        scale="each",
        sort="index",
        dead=(1,),
        duplicates=((3, 2),),
    )


def maps(
    rng: np.random.Generator, layer: str, alias: str, shape: Sequence[int], image: Any, name: str
) -> MapsResult:
    channels, height, width = shape
    drawn = min(channels, 6)
    return MapsResult(
        maps=np.maximum(rng.normal(size=(drawn, height, width)), 0).astype(np.float32),
        image=image,
        index=np.arange(drawn),
        units=np.arange(drawn),
        network="toy",
        layer=layer,
        alias=alias,
        layer_kind="Conv2d",
        channels=channels,
        image_name=name,
        scale="shared",
        sort="index",
    )


LAYERS: list[tuple[str, str, str, list[int] | None, list[int] | None, int]] = [
    # name, alias, kind, output shape, weight shape, groups
    ("", "", "Net", None, None, 1),
    ("features.0", "conv1", "Conv2d", [8, 24, 32], [8, 3, 3, 3], 1),
    ("features.1", "relu1", "ReLU", [8, 24, 32], None, 1),
    ("features.2", "conv2", "Conv2d", [8, 12, 16], [8, 1, 3, 3], 8),
    ("features.3", "conv3", "Conv2d", [70, 12, 16], [70, 8, 1, 1], 1),
    ("classifier", "fc4", "Linear", [10], None, 1),
]


def make_run(
    folder: Path, network: str = "toy", photos: Sequence[str] = ("cat", "coffee"), names: Sequence[str] = ()
) -> Path:
    """Write a run folder of random results; `names` take the place of the layers' own."""
    rng = np.random.default_rng(7)
    images, layers = [], []
    for place, name in enumerate(photos):
        pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        file = folder / "images" / f"{name if name.isalnum() else f'image{place}'}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
        source = name if "." in name else f"{name}.png"
        images.append((ImageRecord(name, source, file, 48, 64, None), pixels))
    for place, (name, alias, kind, shape, weight, groups) in enumerate(LAYERS):
        name, alias = (names[place], names[place]) if place < len(names) else (name, alias)
        slug = None if shape is None or len(shape) != 3 else f"layer{place}"
        weights = folder / "filters" / f"{slug}.npz" if slug and weight else None
        drawn = folder / "maps" / str(slug) if slug else None
        if weights and weight:
            filters(rng, name, alias, weight, groups).save(weights)
        if drawn and shape:
            for image, pixels in images:
                maps(rng, name, alias, shape, pixels, image.name).save(drawn / f"{image.stem}.npz")
        layers.append(
            LayerRecord(
                name=name,
                alias=alias,
                kind=kind,
                type=kind,
                channels=None if shape is None else shape[0],
                shape=None if shape is None else tuple(shape),
                parameters=0 if weight is None else int(np.prod(weight)),
                calls=1,
                call=1,
                receptive_field=None,
                slug=slug,
                filters=weights,
                maps=drawn,
                **dict.fromkeys(("patches", "units", "fields", "measured")),
            )
        )
    record = SurveyRecord(
        kind="survey",
        netviz="0.1.0",
        form="standard",
        options=OptionsRecord((), False, False, False, None, None),
        fingerprint={},
        network=network,
        model=network,
        origin="random weights",
        parameters=3504872,
        input="48 × 64, RGB",
        size=None,
        images=tuple(image for image, _ in images),
        layers=tuple(layers),
        **dict.fromkeys(PARTS, Missing("this run has none")),
    )
    write_survey(folder, record)
    return folder


PARTS = ("patches", "components", "minimal", "hypercolumns", "concepts", "fields", "measured", "fcn")


def component(verb: str, layer: str, alias: str, image: str, rng: np.random.Generator) -> Result:
    """A result of the components page; its texts are those of the layer and the image."""

    def values(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    facts = {"network": "toy", "layer": layer, "alias": alias, "channels": 8, "image_name": image}
    facts["image"] = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    if verb == "stages":
        names = ("conv", "relu", "pool")
        columns = tuple(Column(one, f"{one}{alias}", one, layer, False, 0.0, None, "", "") for one in names)
        return StagesResult(
            filters=values(2, 3, 3, 3), units=np.array([1, 5]), maps={one: values(8, 6, 8) for one in names},
            columns=columns, also_read_by=(), next="conv2", groups=1, transposed=False, sees_image=True,
            channel_order="RGB", sort="activity", window=3, step=2, **facts,
        )  # fmt: skip
    if verb == "contrast":
        local = {
            f"local_{what}_{when}": values(9, 12) ** 2
            for what in ("mean", "std")
            for when in ("before", "after")
        }
        return ContrastResult(
            before=values(8, 9, 12), after=values(8, 9, 12), units=np.arange(4), layer_kind="conv", method="lcn",
            window=7, sigma=1.2, across="maps", constants="", recorded="", c=1.0, floor_share=0.5, **local, **facts,
        )  # fmt: skip
    return SiftResult(
        keypoints=np.array([[20, 20], [30, 40]], dtype=np.float32), scales=np.ones(2, dtype=np.float32),
        orientations=np.zeros(2, dtype=np.float32), patches=rng.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8),
        descriptors=values(2, 4, 4, 8) ** 2, layer_raw=values(2, 8), layer_normalized=values(2, 8),
        clamped=np.zeros(2, dtype=bool), stage_orientations=values(8, 16, 16) ** 2, stage_cells=values(8, 4, 4) ** 2,
        stage_filters=values(4, 3, 3, 3), stage_units=np.arange(4), stage_maps=values(4, 9, 12),
        stage_normalized=values(4, 9, 12), layer_kind="conv", window=7, found=9, field_size=(3.0, 3.0),
        field_stride=(1.0, 1.0), field_status="exact", first_conv="conv1", convolutions=1, poolings=0, norms=0,
        **facts,
    )  # fmt: skip


def add_parts(folder: Path, photos: int = 2) -> Path:
    """Add to a run of two or more photographs patches of every convolution, and components of one or two of them."""
    record = read_survey(folder)
    files = [image.file for image in record.images[:2]]
    patches = folder / "patches"
    patches.mkdir()
    (patches / "images.txt").write_text("".join(f"{file.absolute()}\n" for file in files))
    noted, layers = [], []
    for layer in record.layers:
        if layer.filters is None:
            layers.append(layer)
            continue
        units = layer.channels or 0
        box = np.tile(np.array([10, 20, 30, 44]), (units, 2, 1)) + np.arange(units)[:, None, None] % 16
        result = make_patches(
            box, layer=layer.name, alias=layer.alias, size=np.full((units, 2, 2), (48, 64), dtype=np.int32),
            field_size=(9.0, 9.0), dead=(2,), always_on=(0,),
        )  # fmt: skip
        file = f"layers/{layer.slug}.npz"
        layers.append(replace(layer, patches=result.save(patches / file)))
        noted.append({**facts_of((layer.name, layer.alias, units))["layers"][0], "file": file})
    (patches / "run.json").write_text(json.dumps({**facts_of(), "layers": noted}))
    rng = np.random.default_rng(3)
    components = []
    for which, place in (("first", 1), ("deeper", 3)):
        layer = layers[place]
        shown = []
        for image, known in enumerate(record.images[:photos]):
            for verb in ("stages", "contrast", "sift"):
                if which == "deeper" and image and verb == "sift":
                    missing = "SIFT finds no keypoint in <b>coffee</b>"
                    shown.append(ComponentOnImage(image, missing=missing, verb=verb))
                    continue
                made = component(verb, layer.name, layer.alias, known.name, rng)
                file = made.save(folder / "components" / f"layer{place}" / f"{image}-{verb}.npz")
                shown.append(ComponentOnImage(image, file, verb=verb))
        components.append(ComponentRecord(place, which, tuple(shown)))
    write_survey(
        folder,
        replace(
            record,
            images=tuple(replace(image, size=(48, 64)) for image in record.images),
            layers=tuple(layers),
            patches=PatchesRecord(patches, ("my photos/<x>",), 3),
            components=ComponentsRecord(tuple(components), ()),
        ),
    )
    return folder


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with patches and components, which no test may change."""
    return add_parts(make_run(tmp_path_factory.mktemp("whole")))


@pytest.fixture(scope="session")
def hostile_whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same whose names are hostile."""
    return add_parts(make_run(tmp_path_factory.mktemp("hostile"), HOSTILE[0], HOSTILE, HOSTILE), photos=1)


@pytest.fixture(scope="session")
def told_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with concepts and minimal images besides, which no test may change."""
    return add_concepts(add_parts(make_run(tmp_path_factory.mktemp("told"))))


@pytest.fixture(scope="session")
def hostile_told_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same whose names are hostile, those of concepts and classes too."""
    run = add_parts(make_run(tmp_path_factory.mktemp("hostile"), HOSTILE[0], HOSTILE, HOSTILE), photos=1)
    return add_concepts(run, HOSTILE, HOSTILE[1])


@pytest.fixture(scope="session")
def full_run(told_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that gives every kind of page, with the heat maps of a classifier; no test may change it."""
    return add_fields(add_images(shutil.copytree(told_run, tmp_path_factory.mktemp("full") / "run")))


@pytest.fixture(scope="session")
def hostile_full_run(hostile_told_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same whose names are hostile, with the streams of a dense network."""
    copy = shutil.copytree(hostile_told_run, tmp_path_factory.mktemp("hostile-full") / "run")
    return add_fields(add_images(copy, streams=True, classes=HOSTILE[:3]))


@pytest.fixture(scope="session")
def full_site(full_run: Path, hostile_full_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of both, which no test may change."""
    folder = tmp_path_factory.mktemp("full-site")
    build([full_run, hostile_full_run], folder)
    return folder


@pytest.fixture(scope="session")
def linked_pages(full_site: Path) -> dict[str, Page]:
    """Every page of the site that can be reached from the first one, by its path; what is linked is there."""
    found: dict[str, Page] = {}
    waiting = ["index.html"]
    while waiting:
        path = waiting.pop()
        if path in found or not path.endswith(".html"):
            continue
        found[path] = Page(full_site / path)
        for link in found[path].all("a"):
            target = urlsplit(urljoin(f"https://site/{path}", link["href"]))
            assert target.netloc == "site", (path, link)
            assert (full_site / unquote(target.path[1:])).is_file(), (path, link)
            waiting.append(unquote(target.path[1:]))
    # A link to a part of a page leads to one that is there.
    ids = {path: {one["id"] for _, one in page.elements if "id" in one} for path, page in found.items()}
    for path, page in found.items():
        for link in page.all("a"):
            target = urlsplit(urljoin(f"https://site/{path}", link["href"]))
            # What says the state of a page is no place on it.
            if target.fragment and "=" not in target.fragment:
                assert target.fragment in ids[unquote(target.path[1:])], (path, link)
    return found


@pytest.fixture(scope="session")
def kinds(linked_pages: dict[str, Page]) -> list[str]:
    """Two pages of each kind and network: pages alike have numbers apart, or lie in a folder of their own."""
    found: dict[str, list[str]] = {}
    for path in sorted(linked_pages):
        alike = re.sub(r"\d+", "#", path)
        found.setdefault(alike if alike.count("/") < 2 else alike.rpartition("/")[0], []).append(path)
    return sorted({path for paths in found.values() for path in (paths[0], paths[-1])})


@pytest.fixture(scope="session")
def new_run() -> MakeRun:
    """The maker of run folders: ``new_run(folder, network=…, photos=…, names=…)``."""
    return make_run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that no test may change."""
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def hostile() -> list[str]:
    """Names that mean harm."""
    return HOSTILE


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose network, layers and photographs bear hostile names."""
    return make_run(tmp_path_factory.mktemp("hostile"), HOSTILE[0], HOSTILE, HOSTILE)
