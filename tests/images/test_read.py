import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from netviz.errors import ImageError
from netviz.images import PHOTOGRAPHS, image_size, list_images, read_image

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp", "ppm", "gif"])
def test_formats(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    image = Image.fromarray(PIXELS)
    path = save(tmp_path / f"a.{suffix}", image.quantize(256) if suffix == "gif" else image, **options)
    photo = read_image(path)
    assert photo.name == "a"
    assert photo.pixels.dtype == np.uint8
    assert np.abs(photo.pixels.astype(int) - PIXELS).max() <= (0 if suffix != "gif" else 40)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    undone = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: lambda a: np.rot90(a, 1),
    }
    image = Image.fromarray(PIXELS)
    exif = image.getexif()
    exif[0x0112] = orientation
    photo = read_image(save(tmp_path / "a.png", image, exif=exif))
    assert np.array_equal(photo.pixels, undone[orientation](PIXELS))
    assert image_size(tmp_path / "a.png") == undone[orientation](PIXELS).shape[:2]


def test_alpha_is_laid_on_white(tmp_path):
    alpha = RNG.integers(0, 256, (6, 9), dtype=np.uint8)
    path = save(tmp_path / "a.png", Image.fromarray(np.dstack([PIXELS, alpha])))
    share = alpha[..., None] / 255
    expected = PIXELS * share + 255 * (1 - share)
    assert np.abs(read_image(path).pixels - expected).max() <= 1


def test_transparent_palette_is_laid_on_white(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [1, 0]], dtype=np.uint8), mode=None).convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    path = save(tmp_path / "a.png", image, transparency=1)
    assert read_image(path).pixels.tolist() == [
        [[10, 20, 30], [255, 255, 255]],
        [[255, 255, 255], [10, 20, 30]],
    ]


def test_gray_cmyk_and_one_bit(tmp_path):
    gray = PIXELS[..., 0]
    assert np.array_equal(
        read_image(save(tmp_path / "l.png", Image.fromarray(gray))).pixels, np.dstack([gray] * 3)
    )
    bits = Image.fromarray((gray > 127).astype(np.uint8) * 255).convert("1")
    assert np.array_equal(
        read_image(save(tmp_path / "b.png", bits)).pixels[..., 0], np.where(gray > 127, 255, 0)
    )
    cmyk = Image.new("CMYK", (4, 3), (255, 0, 0, 0))
    assert read_image(save(tmp_path / "c.tiff", cmyk)).pixels[0, 0].tolist() == [0, 255, 255]


def test_sixteen_bits_keep_their_range(tmp_path):
    deep = RNG.integers(0, 65536, (5, 7), dtype=np.uint16)
    path = save(tmp_path / "a.png", Image.fromarray(deep))
    assert np.array_equal(read_image(path).pixels[..., 0], np.rint(deep / 257))
    dark = np.full((4, 4), 300, dtype=np.uint16)
    assert read_image(save(tmp_path / "d.png", Image.fromarray(dark))).pixels.max() == 1


def test_floating_values(tmp_path):
    values = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    path = save(tmp_path / "a.tiff", Image.fromarray(values))
    assert np.array_equal(read_image(path).pixels[..., 0], np.rint(values.astype(float) * 255))


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "blue")]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert read_image(path).pixels[0, 0].tolist() == [255, 0, 0]


def test_scikit_images_photographs():
    for name in PHOTOGRAPHS:
        assert read_image(f"skimage:{name}").pixels.ndim == 3
    assert np.array_equal(read_image("skimage:astronaut").pixels, skimage.data.astronaut())


def bomb(path: Path, width: int, height: int) -> Path:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    return path


def bad_images(folder: Path) -> dict[str, tuple[Path, str]]:
    good = save(folder / "good.png", Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)))
    truncated = folder / "truncated.png"
    truncated.write_bytes(good.read_bytes()[:2000])
    flipped = folder / "flipped.jpg"
    flipped.write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
    empty = folder / "empty.png"
    empty.touch()
    text = folder / "text.jpg"
    text.write_text("<html>not found</html>")
    return {
        "truncated": (truncated, "truncated"),
        "no jpeg": (flipped, "flipped.jpg"),
        "empty": (empty, "is empty"),
        "text": (text, "no image"),
        "missing": (folder / "goood.png", "the closest: good.png"),
        "folder": (folder, "is a folder"),
        "large": (bomb(folder / "large.png", 16_000, 10_000), "16000×10000"),
        "bomb": (bomb(folder / "bomb.png", 60_000, 60_000), "scale it down"),
    }


KINDS = ["truncated", "no jpeg", "empty", "text", "missing", "folder", "large", "bomb"]


@pytest.mark.parametrize("kind", KINDS)
def test_bad_images_are_told_in_one_line(kind, tmp_path):
    path, message = bad_images(tmp_path)[kind]
    with pytest.raises(ImageError, match=message) as error:
        read_image(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_photograph():
    with pytest.raises(ImageError, match="chelsea"):
        read_image("skimage:../../etc/passwd")


def test_folders_are_listed_in_order(tmp_path):
    for name in ("b.png", "a.jpg", "sub/c.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save(tmp_path / name, Image.fromarray(PIXELS))
    (tmp_path / "notes.txt").write_text("no image")
    found = list_images([tmp_path, tmp_path / "b.png"])
    assert found == [tmp_path / "a.jpg", tmp_path / "b.png", tmp_path / "sub/c.webp"]
    (tmp_path / "none").mkdir()
    with pytest.raises(ImageError, match="no image"):
        list_images([tmp_path / "none"])
