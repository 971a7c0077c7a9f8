"""Images that lie in installed packages."""

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netviz.errors import ImageError
from netviz.images import list_images, read_image
from netviz.images.read import locate
from netviz.results.ledger import full_name

PIXELS = np.arange(3 * 8 * 9, dtype=np.uint8).reshape(8, 9, 3)

# Of the versions in constraints.txt, as published: what the demo shows, and what is said of it, holds for these.
PUBLISHED = {
    "package:ultralytics/assets/bus.jpg": "c02019c4979c191eb739ddd944445ef408dad5679acab6fd520ef9d434bfbc63",
    "package:sklearn/datasets/images/china.jpg": "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    "package:sklearn/datasets/images/flower.jpg": (
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638"
    ),
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package whose import fails, with a picture inside, and its distribution ``some-photos``."""
    folder = tmp_path / "somephotos"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    Image.fromarray(PIXELS).save(folder / "inner" / "street.png")
    facts = tmp_path / "some_photos-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: some-photos\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


@pytest.mark.parametrize("name", ["somephotos/inner/street.png", "some-photos/somephotos/inner/street.png"])
def test_a_file_of_a_package_is_read_and_the_package_not_imported(name: str, package: Path) -> None:
    photo = read_image(f"package:{name}")
    assert np.array_equal(photo.pixels, PIXELS)
    assert (photo.name, photo.path) == ("street", f"package:{name}")
    assert "somephotos" not in sys.modules
    assert list_images([f"package:{name}"]) == [f"package:{name}"]
    assert full_name(f"package:{name}") == f"package:{name}"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nowhere_at_all/a.png", "pip install --no-deps nowhere_at_all"),
        ("somephotos/inner/stret.png", r"the closest: street\.png"),
        ("somephotos/other/a.png", "has no file other/a.png; its files lie in"),
        ("somephotos/../somephotos/inner/street.png", "names no file"),
        ("somephotos//etc/passwd", "names no file"),
        ("somephotos", "names no file"),
        ("__main__/a.png", "no package"),
        ("../a.png", "no package"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(name: str, told: str, package: Path) -> None:
    with pytest.raises(ImageError, match=told) as error:
        read_image(f"package:{name}")
    assert "\n" not in str(error.value)


def test_the_remedy_names_the_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netviz.images.packaged.util.find_spec", lambda _: None)
    with pytest.raises(ImageError, match="pip install --no-deps scikit-learn"):
        read_image("package:sklearn/datasets/images/china.jpg")


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_the_demos_photographs_are_those_that_were_published(name: str) -> None:
    assert hashlib.sha256(locate(name).read_bytes()).hexdigest() == PUBLISHED[name]
