import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netviz.results import FiltersResult, MapsResult

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
        stem = name if name.isalnum() else f"image{place}"
        pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        (folder / "images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "images" / f"{stem}.png")
        images.append((name, stem, pixels))
    for place, (name, alias, kind, shape, weight, groups) in enumerate(LAYERS):
        name, alias = (names[place], names[place]) if place < len(names) else (name, alias)
        slug = None if shape is None or len(shape) != 3 else f"layer{place}"
        if slug and weight:
            filters(rng, name, alias, weight, groups).save(folder / "filters" / f"{slug}.npz")
        if slug and shape:
            for label, stem, pixels in images:
                result = maps(rng, name, alias, shape, pixels, label)
                result.save(folder / "maps" / slug / f"{stem}.npz")
        layers.append(
            {
                "name": name,
                "alias": alias,
                "kind": kind,
                "channels": None if shape is None else shape[0],
                "shape": shape,
                "parameters": 0 if weight is None else int(np.prod(weight)),
                "calls": 1,
                "slug": slug,
                "filters": bool(slug and weight),
                "maps": bool(slug and shape),
            }
        )
    run = {
        "kind": "survey",
        "netviz": "0.1.0",
        "network": network,
        "origin": "random weights",
        "parameters": 3504872,
        "input": "48 × 64, RGB",
        "images": [
            {"name": name, "file": f"images/{stem}.png", "height": 48, "width": 64}
            for name, stem, _ in images
        ],
        "layers": layers,
    }
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    return folder


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
