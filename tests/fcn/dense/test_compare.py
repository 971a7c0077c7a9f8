from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import netviz
from netviz.errors import ImageError, ModelError
from netviz.fcn.dense.compare import paint, propose, spread_evenly
from netviz.images import Photo, normalize
from netviz.models import Model, Preprocessing
from support.network import state_of

PLAIN = Preprocessing(resize=36, crop=(32, 32), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def classifier(padding: int = 0) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 6, 4, 4, padding), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)
    ).eval()


def opened(network: nn.Module, labels: tuple[str, ...] = ()) -> Model:
    return Model("net", network, network.state_dict(), PLAIN, labels)


def rectangles() -> Photo:
    """Grey, with a red and a blue rectangle."""
    pixels = np.full((72, 90, 3), 128, dtype=np.uint8)
    pixels[10:40, 12:50] = (220, 30, 30)
    pixels[44:68, 60:84] = (30, 30, 220)
    return Photo("rectangles", pixels)


def test_without_padding_dense_and_sliding_are_the_same():
    photo, network = rectangles(), classifier()
    steps = []
    result = netviz.dense_compare(
        photo, model=opened(network), class_=2, regions=5, batch=7, short_side="own",
        progress=lambda what, done, total: steps.append((done, total)),
    )  # fmt: skip
    image = normalize(photo.pixels, PLAIN)
    with torch.no_grad():
        expected = [
            [float(network(image[..., y : y + 32, x : x + 32])[0, 2]) for x in range(0, 59, 4)]
            for y in range(0, 41, 4)
        ]
    np.testing.assert_allclose(result.sliding, expected, atol=1e-6)
    np.testing.assert_allclose(result.dense, expected, atol=1e-5)
    assert result.deviation < 1e-4
    assert result.correlation > 0.9999
    assert result.evaluations.tolist() == [1, 165, 165, len(result.boxes)]
    assert (result.seconds > 0).all()
    assert (result.crop, result.input_size, result.batch) == ((32, 32), (72, 90), 7)
    assert steps[-1][0] == steps[-1][1]
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_regions_are_warped_to_the_classifiers_input():
    photo, network = rectangles(), classifier()
    result = netviz.dense_compare(photo, model=opened(network), class_=1, regions=50)
    assert len(result.boxes) == result.proposals <= 50
    picture = Image.fromarray(photo.pixels)
    for (top, left, bottom, right), score in zip(result.boxes, result.box_scores, strict=True):
        pixels = np.asarray(picture.resize((32, 32), Image.Resampling.BILINEAR, (left, top, right, bottom)))
        with torch.no_grad():
            assert float(network(normalize(pixels, PLAIN))[0, 1]) == pytest.approx(float(score), abs=1e-5)
    assert result.regions.shape == (72, 90)
    deep = replace(photo, values=np.full((72, 90, 5), (1, 1000, 1003, 40000, 65535), dtype=np.uint16))
    torch.manual_seed(1)
    five = nn.Sequential(nn.Conv2d(5, 4, 4, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    plain = Model("five", five, five.state_dict(), PLAIN.banded(5))
    found = netviz.dense_compare(deep, model=plain, class_=1, regions=3)
    flat = torch.tensor([1, 1000, 1003, 40000, 65535]).view(1, 5, 1, 1).expand(1, 5, 32, 32) / 65535
    with torch.no_grad():
        # As the bands' values are the same everywhere, so are the regions' scores; they are in full depth.
        np.testing.assert_allclose(found.box_scores, float(five((flat - 0.5) / 0.25)[0, 1]), atol=1e-5)
    ways = [row[0] for row in result.rows]
    assert ways[0] == "dense pass"
    assert ways[-1] == "regions, scaled to 2000"
    measured, scaled = result.rows[-2:]
    assert scaled[1] == 2000
    assert scaled[2] == pytest.approx(measured[2] / measured[1] * 2000)
    assert scaled[3] == pytest.approx(scaled[2] / result.seconds[0])


def test_padding_makes_them_differ_and_it_is_said():
    result = netviz.dense_compare(rectangles(), model=opened(classifier(padding=3)), regions=1, class_=0)
    assert result.deviation > 1e-3
    assert result.sliding.shape == result.dense.shape


def test_proposals_hold_the_objects():
    boxes = propose(rectangles().pixels)
    found = {tuple(box) for box in boxes.tolist()}
    assert len(found) == len(boxes)
    assert (0, 0, 72, 90) in found
    for wanted in ((10, 12, 40, 50), (44, 60, 68, 84)):
        assert min(np.abs(np.array(box) - wanted).max() for box in found) <= 2
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assert (np.diff(areas) <= 0).all()
    np.testing.assert_array_equal(propose(rectangles().pixels), boxes)
    np.testing.assert_array_equal(propose(rectangles().pixels, most=2), boxes[:2])


def test_proposals_of_a_large_image_are_in_its_pixels():
    large = np.asarray(Image.fromarray(rectangles().pixels).resize((900, 720), Image.Resampling.NEAREST))
    boxes = propose(large)
    assert boxes[0].tolist() == [0, 0, 720, 900]
    assert np.abs(boxes - (100, 120, 400, 500)).max(axis=1).min() <= 8


def test_small_regions_are_painted_over_large_ones():
    boxes = np.array([[2, 2, 4, 4], [0, 0, 6, 5]])
    painted = paint(boxes, np.array([1, 7], dtype=np.float32), (6, 6))
    assert painted[3, 3] == 1
    assert painted[0, 0] == painted[5, 4] == 7
    assert np.isnan(painted[:, 5]).all()
    many = np.arange(40).reshape(10, 4)
    assert spread_evenly(many, 3)[:, 0].tolist() == [0, 16, 36]
    assert spread_evenly(many, 99) is many


def test_bad_input():
    with pytest.raises(ModelError, match="no crops to compare"):
        netviz.dense_compare(rectangles(), model="pnet")
    with pytest.raises(ModelError, match="closest: tabby"):
        netviz.dense_compare(
            rectangles(), model=opened(classifier(), ("a", "b", "c", "tabby")), class_="taby"
        )
    with pytest.raises(ImageError, match="smaller than the window"):
        netviz.dense_compare(Photo("tiny", rectangles().pixels[:20]), model=opened(classifier()))
    for arguments in ({"regions": 0}, {"batch": 0}):
        with pytest.raises(ValueError, match="at least 1, not 0"):
            netviz.dense_compare(rectangles(), model=opened(classifier()), **arguments)


def test_left_as_found_and_survives_the_file(tmp_path, awkward):
    before = state_of(awkward)
    result = netviz.dense_compare(rectangles(), model=opened(awkward), regions=3)
    assert state_of(awkward) == before
    again = netviz.load_result(result.save(tmp_path / "a.npz"))
    assert again.facts() == result.facts()
    for name, array in result.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)
