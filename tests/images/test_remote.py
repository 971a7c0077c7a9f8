"""Images by URL and in Parquet files are the images that the files hold."""

import io

import numpy as np
import pytest
from PIL import Image

from netviz.errors import ImageError
from netviz.images import class_names, list_images, read_image

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, 9, 7, 3), dtype=np.uint8)


def encoded(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_folder_by_url(tmp_path, pixels):
    for place, image in zip(("b/2 x.png", "a/1.png", "a/3.png"), pixels, strict=False):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(encoded(image))
    (tmp_path / "a" / "note.txt").write_text("no image")
    url = tmp_path.as_uri()
    names = list_images([url])
    assert names == [f"{url}/a/1.png", f"{url}/a/3.png", f"{url}/b/2 x.png"]
    for name, number in zip(names, (1, 2, 0), strict=True):
        assert (read_image(name).pixels == pixels[number]).all()
    assert read_image(names[2]).name == "2 x"
    assert class_names(names, [url]) == (("a", "b"), (0, 0, 1))
    assert list_images([names[0]]) == [names[0]]


@pytest.mark.parametrize("nested", [False, True])
def test_rows_of_a_parquet_file(tmp_path, pixels, nested):
    names = [f"n0000000{number % 2}_{number}.png" for number in range(5)]
    data = [encoded(image) for image in pixels]
    if nested:
        table = pa.table(
            {"label": [0] * 5, "image": [{"bytes": b, "path": n} for b, n in zip(data, names, strict=True)]}
        )
    else:
        table = pa.table({"file_name": names, "label": [0] * 5, "jpg": data})
    path = tmp_path / "train.parquet"
    pq.write_table(table, path, row_group_size=2)
    for source in (str(path), path.as_uri(), tmp_path.as_uri()):
        found = list_images([source])
        start = path if source == str(path) else path.as_uri()
        assert found == [f"{start}#{number}/{name}" for number, name in enumerate(names)]
        for name, image in zip(found, pixels, strict=True):
            assert (read_image(name).pixels == image).all()
    assert class_names(found, [path])[1] == (0, 1, 0, 1, 0)


def test_bad_addresses_and_files_are_one_line(tmp_path):
    path = tmp_path / "numbers.parquet"
    pq.write_table(pa.table({"x": [1, 2]}), path)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "broken.png").write_bytes(b"no")
    (tmp_path / "empty").mkdir()
    url = tmp_path.as_uri()
    for source, problem in (
        (path, "has no column of image files; its columns: x"),
        (tmp_path / "broken.parquet", "is no Parquet file that can be read"),
        (f"{url}/nowhere", "cannot be listed"),
        (f"{url}/empty", "holds no image"),
        ("foo://bucket/x", "use file://, s3:// or gs://"),
    ):
        with pytest.raises(ImageError, match=problem):
            list_images([source])
    for name, problem in (
        (f"{url}/broken.png", "is no image that Pillow can read"),
        (f"{url}/none.png", "cannot be read"),
        (f"{path}#x", "names no row"),
    ):
        with pytest.raises(ImageError, match=problem):
            read_image(name)


def test_a_row_that_is_damaged_or_not_there(tmp_path, pixels):
    path = tmp_path / "few.parquet"
    pq.write_table(pa.table({"image": pa.array([encoded(pixels[0])[:60], None], type=pa.binary())}), path)
    assert list_images([path]) == [f"{path}#0", f"{path}#1"]
    for row, problem in ((0, "damaged|no image"), (1, "is empty"), (2, "there is no row 2")):
        with pytest.raises(ImageError, match=problem):
            read_image(f"{path}#{row}")
