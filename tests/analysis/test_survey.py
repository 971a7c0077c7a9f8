import json

import numpy as np
import torch
from torch import nn

import netviz
from netviz.results import load_result


def test_run_folder_holds_what_maps_and_filters_give(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 20, 3, stride=2), nn.ReLU(), nn.Conv2d(20, 4, 3))
    images = ["skimage:coffee", "skimage:coins"]
    run = netviz.survey(network, tmp_path / "run", images=images)
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert [(image["name"], image["source"]) for image in facts["images"]] == [
        ("coffee", "skimage:coffee"),
        ("coins", "skimage:coins"),
    ]
    assert [row["slug"] for row in facts["layers"]] == ["0", None, "2"]
    whole = [netviz.maps(image, layer="0", model=network).maps for image in images]
    strongest = np.argsort(-np.max([maps.max(axis=(1, 2)) for maps in whole], axis=0), kind="stable")[:16]
    for image, maps in zip(facts["images"], whole, strict=True):
        stem = image["file"].removeprefix("images/").removesuffix(".png")
        stored = load_result(run / "maps" / "0" / f"{stem}.npz")
        assert list(stored.units) == sorted(strongest.tolist())
        assert np.array_equal(stored.maps, maps[np.sort(strongest)])
    weight = load_result(run / "filters" / "2.npz").weight
    assert np.array_equal(weight, network[2].weight.detach().numpy())
