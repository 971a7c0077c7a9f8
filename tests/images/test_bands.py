"""Images of any depth and any number of bands reach the network as they are."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from netviz.errors import ImageError
from netviz.images import as_shown, image_size, list_images, prepare, read_image
from netviz.models import Preprocessing
from netviz.models.preprocessing import assumed

RNG = np.random.default_rng(0)


def plain(channels, **changes):
    """Return a preprocessing that leaves values and size as they are."""
    order = {1: "L", 3: "RGB"}.get(channels, "bands")
    whole = {"resize": None, "crop": None, "channel_order": order, **changes}
    return Preprocessing(mean=(0.0,) * channels, std=(1.0,) * channels, **whole)


def deep_png(values):
    """Return a 16-bit PNG, written by hand: rows filtered by the one above, as Pillow writes none of these."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, bands = values.shape
    above, lines = np.zeros(width * bands * 2, dtype=np.uint8), []
    for row in values.astype(">u2"):
        line = np.frombuffer(row.tobytes(), dtype=np.uint8)
        lines.append(b"\2" + (line - above).tobytes())
        above = line
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 3: 2, 4: 6}[bands], 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(lines))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tensor(source, preprocessing):
    return prepare(read_image(source), preprocessing).tensor.double().numpy()[0].transpose(1, 2, 0)


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_sixteen_bits_of_a_png_reach_the_network(tmp_path, bands):
    values = RNG.integers(0, 65536, (7, 9, bands), dtype=np.uint16)
    path = tmp_path / "a.png"
    path.write_bytes(deep_png(values))
    np.testing.assert_allclose(tensor(path, plain(bands)), values / 65535, atol=1e-6)
    if bands == 4:  # for colours, the fourth is opacity, over white
        share = values[..., 3:] / 65535
        expected = values[..., :3] / 65535 * share + 1 - share
        np.testing.assert_allclose(tensor(path, plain(3)), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["npy", "tif", "planes"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_files_of_five_bands(tmp_path, kind, dtype):
    values = RNG.integers(0, 256, (8, 11, 5))
    white = {np.uint8: 255, np.uint16: 65535, np.float32: 1}[dtype]
    stored = (values * (white / 255)).astype(dtype)
    path = tmp_path / f"a.{kind[:3] if kind != 'planes' else 'tiff'}"
    if kind == "npy":
        np.save(path, stored)
    elif kind == "tif":
        tifffile.imwrite(path, stored, photometric="minisblack", planarconfig="contig")
    else:
        tifffile.imwrite(path, stored.transpose(2, 0, 1), photometric="minisblack", planarconfig="separate")
    np.testing.assert_allclose(tensor(path, plain(5)), stored.astype(float) / white, atol=1e-6)
    assert image_size(path) == (8, 11)
    assert list_images([tmp_path]) == [path]


def test_a_tiff_of_deep_colours(tmp_path):
    values = RNG.integers(0, 65536, (6, 7, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    np.testing.assert_allclose(tensor(tmp_path / "a.tif", plain(3)), values / 65535, atol=1e-6)
    bgr = tensor(tmp_path / "a.tif", plain(3, channel_order="BGR"))
    np.testing.assert_allclose(bgr, values[..., ::-1] / 65535, atol=1e-6)
    gray = tensor(tmp_path / "a.tif", plain(1))[..., 0]
    np.testing.assert_allclose(gray, values @ [0.299, 0.587, 0.114] / 65535, atol=1e-6)


def test_what_values_count():
    reflectance = RNG.uniform(200, 9000, (5, 6, 4)).astype(np.float32)
    raw = plain(4, scale=10_000.0)
    np.testing.assert_allclose(tensor(reflectance, raw), reflectance, rtol=1e-5, atol=1e-2)
    signed = RNG.uniform(-1, 1, (5, 6, 2))
    np.testing.assert_allclose(tensor(signed, plain(2, black=-1.0)), signed, atol=1e-6)
    shares = RNG.uniform(0, 1, (5, 6, 2))
    np.testing.assert_allclose(tensor(shares, plain(2, scale=255.0)), shares * 255, atol=1e-4)
    np.testing.assert_allclose(tensor(shares > 0.5, plain(2)), shares > 0.5, atol=1e-6)


def test_resizing_averages_every_band():
    blocks = RNG.integers(0, 65536, (4, 5, 6), dtype=np.uint16)
    large = blocks.repeat(8, axis=0).repeat(8, axis=1)
    found = tensor(large, plain(6, resize=(4, 5), crop=(4, 5)))
    # A triangle of two blocks' width; most of it lies on the block itself.
    near = np.pad(blocks / 65535, ((1, 1), (1, 1), (0, 0)), mode="edge")
    low = np.min([near[y : y + 4, x : x + 5] for y in range(3) for x in range(3)], axis=0)
    high = np.max([near[y : y + 4, x : x + 5] for y in range(3) for x in range(3)], axis=0)
    assert ((found >= low - 1e-6) & (found <= high + 1e-6)).all()
    assert np.abs(found.mean(axis=(0, 1)) - blocks.mean(axis=(0, 1)) / 65535).max() < 0.08


def test_bands_shown():
    values = np.zeros((20, 20, 5), dtype=np.uint8)
    values[..., 1:4] = RNG.integers(0, 256, (20, 20, 3))
    photo = read_image(values)
    np.testing.assert_array_equal(photo.pixels, values[..., 1:4])
    np.testing.assert_array_equal(as_shown(photo, (4, 2, 1)).pixels, values[..., [3, 1, 0]])
    np.testing.assert_array_equal(as_shown(photo, (2,)).pixels, values[..., [1, 1, 1]])
    shown = prepare(photo, plain(5, bands=(4, 3, 2))).image
    np.testing.assert_array_equal(shown, values[..., [3, 2, 1]])
    ramp = np.linspace(1000, 3000, 101).astype(np.uint16).reshape(1, 101, 1).repeat(4, axis=2)
    stretched = read_image(ramp).pixels[0, :, 0]
    assert (stretched[[0, 50, 100]] == [0, 128, 255]).all()
    with pytest.raises(ImageError, match="there is no band 7"):
        as_shown(photo, (7,))


def test_pictures_in_memory():
    pixels = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    sources = [
        pixels,
        Image.fromarray(pixels),
        Image.open(buffer),
        torch.from_numpy(pixels).permute(2, 0, 1),
        torch.from_numpy(pixels / 255).permute(2, 0, 1),
    ]
    for source in sources:
        np.testing.assert_allclose(tensor(source, plain(3)), pixels / 255, atol=1e-6)
    assert [photo.name for photo in list_images(sources)] == [f"array {number}" for number in range(1, 6)]
    batch = list_images(torch.from_numpy(np.stack([pixels, 255 - pixels])).permute(0, 3, 1, 2))
    assert [photo.name for photo in batch] == ["array 1", "array 2"]
    np.testing.assert_array_equal(batch[1].pixels, 255 - pixels)
    first = RNG.integers(0, 256, (5, 40, 50), dtype=np.uint8)  # 50 is no number of bands
    np.testing.assert_allclose(tensor(first, plain(5)), first.transpose(1, 2, 0) / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "channels", "message"),
    [
        (np.zeros((9, 9, 5)), 3, "array 1 has 5 bands, but the network takes 3 channels"),
        (np.zeros((9, 9, 3), np.uint8), 5, "array 1 has 3 bands, but the network takes 5 channels"),
        (np.zeros((9, 9)), 2, "has 1 band, but the network takes 2 channels"),
        (np.full((9, 9, 3), 7.0), 3, "values from 7 to 7, the network takes 0 to 1; .*--input-scale"),
        (np.full((9, 9, 2), np.nan), 2, "162 values that are NaN"),
        (np.zeros((40, 40, 33)), 3, "has 33 bands"),
        (np.zeros((0, 9, 3)), 3, "shape 0×9×3"),
        (np.zeros((9, 9, 3), complex), 3, "holds complex128"),
        (np.zeros(9), 3, "shape 9"),
        (None, 3, "a NoneType is no image"),
    ],
)
def test_refusals_take_one_line(values, channels, message):
    with pytest.raises(ImageError, match=message) as error:
        prepare(read_image(values), plain(channels))
    assert "\n" not in str(error.value)


def test_a_file_with_objects_is_not_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ImageError, match=r"a\.npy"):
        read_image(tmp_path / "a.npy")


def test_what_is_assumed_of_bands():
    assert (assumed(5).mean, assumed(5).channel_order) == ((0.0,) * 5, "bands")
    told = Preprocessing(mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3)).banded(2)
    np.testing.assert_allclose((told.mean, told.std), [(0.4, 0.4), (0.2, 0.2)])
    assert told.assumed
