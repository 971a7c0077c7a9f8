import io

import numpy as np
import pytest
from PIL import Image

from netviz.errors import OutputError
from netviz.paper.raster import encode_jpeg, encode_png


def decode(data):
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize(("colours", "mode"), [(2, "P"), (4, "P"), (17, "P"), (256, "P"), (257, "RGB")])
def test_colours_survive_and_few_get_a_palette(colours, mode):
    rng = np.random.default_rng(colours)
    table = np.unique(rng.integers(0, 256, (colours * 2, 3), dtype=np.uint8), axis=0)[:colours]
    pixels = table[np.arange(40 * 30) % colours].reshape(40, 30, 3)
    image = decode(encode_png(pixels))
    assert image.mode == mode
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), pixels)
    assert image.info == {}


def test_grey_is_stored_as_grey():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for pixels in (grey, np.repeat(grey[..., None], 3, axis=2), grey[::2, ::-1]):
        image = decode(encode_png(pixels))
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), pixels if pixels.ndim == 2 else grey)


def test_a_grey_first_row_does_not_make_a_picture_grey():
    pixels = np.full((4, 4, 3), 90, dtype=np.uint8)
    pixels[3, 3] = (1, 2, 3)
    assert decode(encode_png(pixels)).convert("RGB").getpixel((3, 3)) == (1, 2, 3)


def test_same_pixels_same_bytes():
    pixels = np.random.default_rng(0).integers(0, 9, (50, 50, 3), dtype=np.uint8)
    assert encode_png(pixels) == encode_png(np.asfortranarray(pixels))


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), dtype=float),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_other_arrays_are_refused(pixels):
    with pytest.raises(OutputError, match="give uint8"):
        encode_png(pixels)


def test_jpeg_of_pixels_and_of_a_png():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    fine, coarse = encode_jpeg(pixels, 80), encode_jpeg(pixels, 80, coarse=True)
    assert len(coarse) < len(fine)
    for data, sampling in ((fine, (1, 1)), (coarse, (2, 2))):
        image = decode(data)
        assert (image.format, image.size, image.mode) == ("JPEG", (48, 40), "RGB")
        assert image.layer[0][1:3] == sampling
    assert encode_jpeg(encode_png(pixels), 80) == fine
    assert len(encode_jpeg(pixels, 80, optimize=True)) < len(fine)
    np.testing.assert_array_equal(decode(encode_jpeg(pixels, 80, optimize=True)), decode(fine))
    smooth = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[:, None], 64, axis=1)
    drawn = np.asarray(decode(encode_jpeg(smooth, 95))).astype(int)
    assert abs(drawn - smooth).max() <= 3
