from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from netviz.results import FiltersResult, MapsResult


@pytest.fixture(autouse=True)
def one_renderer_for_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Artists of a figure without a canvas make a renderer each to measure themselves: most of these tests' time."""
    own = Figure._get_renderer

    def renderer(figure: Figure) -> Any:
        if not hasattr(figure.canvas, "get_renderer"):
            FigureCanvasAgg(figure)
        return own(figure)

    monkeypatch.setattr(Figure, "_get_renderer", renderer)


@pytest.fixture
def make_filters() -> Callable[..., FiltersResult]:
    def make(weight: np.ndarray[Any, Any], **facts: Any) -> FiltersResult:
        values: dict[str, Any] = {
            "units": np.arange(weight.shape[0]),
            "network": "net",
            "layer": "features.0",
            "alias": "conv1",
            "groups": 1,
            "transposed": False,
            "sees_image": False,
            "channel_order": "RGB",
            "scale": "shared",
            "sort": "index",
            "dead": (),
            "duplicates": (),
        }
        return FiltersResult(weight=weight, **{**values, **facts})

    return make


@pytest.fixture
def make_maps() -> Callable[..., MapsResult]:
    def make(maps: np.ndarray[Any, Any], **facts: Any) -> MapsResult:
        values: dict[str, Any] = {
            "image": np.random.default_rng(5).integers(0, 256, (48, 64, 3), dtype=np.uint8),
            "index": np.arange(len(maps)),
            "units": np.arange(len(maps)),
            "network": "net",
            "layer": "features.0",
            "alias": "conv1",
            "layer_kind": "conv",
            "channels": len(maps),
            "image_name": "photo",
            "scale": "shared",
            "sort": "index",
        }
        return MapsResult(maps=maps.astype(np.float32), **{**values, **facts})

    return make
