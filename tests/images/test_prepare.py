import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from netviz.images import display, normalize, normalize_batch, prepare, read_image
from netviz.models import Preprocessing
from netviz.models.torchvision_import import import_torchvision

HED = Preprocessing(
    resize=None, crop=None, mean=(104.0, 116.7, 122.7), std=(1.0,) * 3, scale=255.0, channel_order="BGR"
)
GRAY = Preprocessing(mean=(0.5,), std=(0.25,), channel_order="L")


@pytest.mark.parametrize(
    "name", ["alexnet", "inception_v3", "efficientnet_b0", "convnext_tiny", "fcn_resnet50"]
)
@pytest.mark.parametrize("photo", ["chelsea", "rocket", "coins"])
def test_equal_to_torchvisions_own_transforms(name, photo):
    from netviz.models.preprocessing import from_transforms

    transforms = import_torchvision().models.get_model_weights(name).DEFAULT.transforms()
    pixels = read_image(f"skimage:{photo}").pixels
    prepared = prepare(pixels, from_transforms(transforms))
    expected = transforms(Image.fromarray(pixels))[None]
    assert prepared.tensor.shape == expected.shape
    assert torch.allclose(prepared.tensor, expected, atol=1e-6)


def test_caffe_order_and_range():
    pixels = np.array([[[10, 20, 30], [255, 0, 128]]], dtype=np.uint8)
    tensor = prepare(pixels, HED).tensor
    assert torch.allclose(tensor[0, :, 0, 0], torch.tensor([30 - 104.0, 20 - 116.7, 10 - 122.7]))
    assert torch.allclose(tensor[0, :, 0, 1], torch.tensor([128 - 104.0, 0 - 116.7, 255 - 122.7]))


def test_pictures_that_are_normalized_stay_as_they_are():
    for order in ("RGB", "BGR"):
        pictures = torch.full((2, 4, 5, 3), 51.0)
        before = pictures.clone()
        found = normalize_batch(pictures, Preprocessing(mean=(0.2,) * 3, std=(0.5,) * 3, channel_order=order))
        assert found.abs().max() < 1e-6
        assert torch.equal(pictures, before)


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_display_is_the_exact_inverse(pixels):
    for preprocessing in (Preprocessing(), HED):
        assert np.array_equal(display(normalize(pixels, preprocessing), preprocessing), pixels)
    gray = np.repeat(pixels[..., :1], 3, axis=2)
    assert np.array_equal(display(normalize(gray, GRAY), GRAY), gray)


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 64), st.integers(1, 64), st.integers(1, 80))
def test_geometry_of_resize_and_crop(height, width, crop_height, crop_width, resize):
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    prepared = prepare(pixels, Preprocessing(resize=resize, crop=(crop_height, crop_width)))
    assert prepared.image.shape == (crop_height, crop_width, 3)
    assert prepared.tensor.shape == (1, 3, crop_height, crop_width)
    assert prepared.original == (height, width)
    for axis, size in enumerate((crop_height, crop_width)):
        assert 0 <= prepared.offset[axis] <= prepared.resized[axis] - size


def test_what_is_shown_is_what_the_network_gets():
    pixels = read_image("skimage:coffee").pixels
    for preprocessing in (Preprocessing(), HED, GRAY):
        prepared = prepare(pixels, preprocessing)
        assert np.array_equal(display(prepared.tensor, preprocessing), prepared.image)
