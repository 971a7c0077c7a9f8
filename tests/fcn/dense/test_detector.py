import numpy as np
import pytest
import torch
from torch import nn

import netviz
from netviz.errors import ModelError
from netviz.models import Model, Preprocessing
from support.network import state_of
from support.photos import noise

PLAIN = Preprocessing(resize=None, crop=None, mean=(0.0,) * 3, std=(1.0,) * 3)


def opened(network: nn.Module, labels: tuple[str, ...] = ()) -> Model:
    return Model("net", network, network.state_dict(), PLAIN, labels)


def test_a_detector_in_two_stages_says_object(builder):
    network = builder("fasterrcnn_mobilenet_v3_large_320_fpn", weights_backbone=None)
    photo = noise(60, 100)
    result = netviz.dense(photo, model=opened(network), short_side="own")
    mean, std = (torch.tensor(one)[:, None, None] for one in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    image = torch.zeros(1, 3, 64, 128)
    image[..., :60, :100] = (torch.from_numpy(photo.pixels).permute(2, 0, 1) / 255 - mean) / std
    with torch.no_grad():
        objectness, _ = network.rpn.head(list(network.backbone(image).values()))
    for number, one in enumerate(objectness[:2]):
        np.testing.assert_allclose(result.levels[f"scores_{number}"], one[0].amax(0)[None], atol=1e-6)
    assert result.labels == ("object",)
    assert (result.placed, result.window_of, result.channels) == ("anchors", "anchor", 1)
    # Anchors stand at multiples of the stride, in edges of pixels; 96 is the last within 100 columns.
    np.testing.assert_allclose(result.levels["center_x_0"], 32 * np.arange(4) - 0.5)
    assert result.windows[0][0] == -result.windows[0][2] / 2 < -100


def test_a_detector_in_one_stage_scores_its_classes(builder):
    network = builder("ssdlite320_mobilenet_v3_large", weights_backbone=None, num_classes=5)
    photo = noise(64, 96)
    labels = ("__background__", "cup", "cat", "car", "dog")
    result = netviz.dense(photo, model=opened(network, labels), short_side="own", top=5)
    assert sorted(result.classes.tolist()) == [1, 2, 3, 4]
    mean, std = (
        torch.tensor(one)[:, None, None]
        for one in (network.transform.image_mean, network.transform.image_std)
    )
    image = (torch.from_numpy(photo.pixels).permute(2, 0, 1) / 255 - mean) / std
    with torch.no_grad():
        feature = next(iter(network.backbone(image[None]).values()))
        raw = network.head.classification_head.module_list[0](feature)[0]
    expected = raw.reshape(-1, 5, *raw.shape[1:]).amax(0)[result.classes.tolist()]
    np.testing.assert_allclose(result.levels["scores_0"], expected, atol=1e-5)
    assert expected.shape[1:] == (4, 6)
    np.testing.assert_allclose(result.levels["center_x_0"], 7.5 + 16 * np.arange(6))


def test_left_as_found_and_with_a_pyramid(builder):
    network = builder("ssdlite320_mobilenet_v3_large", weights_backbone=None, num_classes=3)
    before = state_of(network)
    result = netviz.dense(noise(64, 96), model=opened(network), short_side="own", pyramid=(1, 0.5), top=1)
    assert state_of(network) == before
    assert result.scales == (1.0,) * 6 + (0.5,) * 6
    assert result.scores.shape == (1, 4, 6)
    assert np.isfinite(result.scores).all()


def test_another_kind_of_detector():
    network = nn.Module()
    network.backbone, network.transform, network.rpn = nn.Identity(), nn.Identity(), nn.Identity()
    network.transform.min_size = (64,)
    with pytest.raises(ModelError, match="another kind than torchvision's"):
        netviz.dense(noise(40, 40), model=opened(network))
