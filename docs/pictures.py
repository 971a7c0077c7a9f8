"""The pictures of docs/pictures.md: each with the command, and the lines of Python, that made it.

``python docs/pictures.py [NAME…]`` runs the commands, keeps what they draw in docs/pictures/, and writes the page;
``--page`` writes the page alone.
"""

import os
import shlex
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Picture:
    """One picture: its title, what is to be seen, the command and the Python that make ``NAME.png``, more to read."""

    name: str
    title: str
    words: str
    shell: str
    python: str
    page: str = "cli.md"

    @property
    def lines(self) -> tuple[str, str, str]:
        """The three lines of Python."""
        return "import netviz", self.python, f'netviz.draw(result, "{self.name}.png")'


PICTURES = (
    Picture(
        "filters",
        "Filters",
        "The weights of the first convolution, sorted by hue: edges at several angles, and spots of colour.",
        "netviz filters mobilenet_v2 --sort hue -o filters.png",
        'result = netviz.filters("mobilenet_v2", sort="hue")',
    ),
    Picture(
        "maps",
        "Feature maps",
        "What each unit of a layer answers, place by place. Bright is a strong answer.",
        "netviz maps skimage:chelsea --layer conv3 -o maps.png",
        'result = netviz.maps("skimage:chelsea", layer="conv3")',
    ),
    Picture(
        "field",
        "Receptive field",
        "How much of the image one position of a layer can see at all.",
        "netviz field mobilenet_v2 --layer conv20 -o field.png",
        'result = netviz.field("mobilenet_v2", layer="conv20")',
        "fields.md",
    ),
    Picture(
        "stages",
        "Stages",
        "What really follows a convolution: normalization, non-linearity, pooling, step by step.",
        "netviz stages skimage:chelsea --layer conv1 -o stages.png",
        'result = netviz.stages("skimage:chelsea", layer="conv1")',
    ),
    Picture(
        "contrast",
        "Contrast normalization",
        "The same maps before and after local contrast normalization.",
        "netviz contrast skimage:coffee --layer conv3 -o contrast.png",
        'result = netviz.contrast("skimage:coffee", layer="conv3")',
    ),
    Picture(
        "sift",
        "SIFT and a layer",
        "SIFT's gradient histograms beside a layer's maps at the same places.",
        "netviz sift skimage:astronaut --layer relu7 -o sift.png",
        'result = netviz.sift("skimage:astronaut", layer="relu7")',
        "sift.md",
    ),
    Picture(
        "hypercolumn",
        "Hypercolumns",
        "Several depths stacked at every pixel, as three principal components and as clusters.",
        "netviz hypercolumn skimage:rocket --layers relu2,relu10,relu31 -o hypercolumn.png",
        'result = netviz.hypercolumn("skimage:rocket", layers=["relu2", "relu10", "relu31"])',
    ),
    Picture(
        "segment",
        "What one unit responds to",
        "The part of the image at which a unit answers with at least half of its maximum.",
        "netviz segment skimage:coffee --layer relu35 --unit 488 --threshold 0.5 -o segment.png",
        'result = netviz.segment("skimage:coffee", layer="relu35", unit=488, threshold=0.5)',
    ),
    Picture(
        "attribute",
        "What in the image a score comes from",
        "Grad-CAM places the class roughly, guided backpropagation shows the contours that excite it.",
        "netviz attribute skimage:chelsea --method gradcam,guided -o attribute.png",
        'result = netviz.attribute("skimage:chelsea", method=["gradcam", "guided"])',
        "attribute.md",
    ),
    Picture(
        "occlusion",
        "Occlusion",
        "How far the class score falls when a part of the image is covered.",
        "netviz occlusion skimage:chelsea --patch 48 --stride 24 -o occlusion.png",
        'result = netviz.occlusion("skimage:chelsea", patch=48, stride=24)',
    ),
    Picture(
        "dense",
        "Heat maps of classes",
        "The classifier, made fully convolutional, asked at every place of a larger image.",
        "netviz dense skimage:chelsea --short-side 300 --pyramid 1 -o dense.png",
        'result = netviz.dense("skimage:chelsea", short_side=300, pyramid=[1])',
        "fcn.md",
    ),
    Picture(
        "streams",
        "Skips of an FCN",
        "The streams of a network trained for streets: 32s, 16s and 8s, each finer than the one before.",
        "netviz fcn show skimage:rocket --model fcn_camvid -o streams.png",
        'result = netviz.fcn.show("skimage:rocket", model="fcn_camvid")',
        "fcn.md",
    ),
)


def page() -> str:
    """Return docs/pictures.md."""
    parts = [
        "# Pictures",
        "",
        "Look for the picture that you want; below each stands what makes it. Every command takes an image of yours",
        "in place of `skimage:…`, and a network of yours with `--model` (see [your own network](own.md)).",
        "",
    ]
    for one in PICTURES:
        parts += [f"## {one.title}", "", one.words, ""]
        parts += [f"![{one.title}: {one.words}](pictures/{one.name}.webp)", ""]
        parts += ["```sh", one.shell, "```", ""]
        parts += ["```python", one.lines[0], "", *one.lines[1:], "```", ""]
        more = (DOCS / one.page).read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        parts += [f"More: [{more}]({one.page})", ""]
    return "\n".join(parts)


def make(one: Picture, folder: Path) -> Path:
    """Run a picture's command in a folder and return the file that it drew."""
    from netviz.cli.main import run

    before = Path.cwd()
    os.chdir(folder)
    try:
        run(shlex.split(one.shell)[1:])
    except SystemExit as stop:
        if stop.code:
            raise
    finally:
        os.chdir(before)
    return folder / f"{one.name}.png"


def main(names: list[str]) -> None:
    """Make the pictures that are named, or all, and the page."""
    (DOCS / "pictures").mkdir(exist_ok=True)
    (DOCS / "pictures.md").write_text(page(), encoding="utf-8")
    if names == ["--page"]:
        return
    with tempfile.TemporaryDirectory() as folder:
        for one in PICTURES:
            if not names or one.name in names:
                with Image.open(make(one, Path(folder))) as drawn:
                    drawn.convert("RGB").save(DOCS / "pictures" / f"{one.name}.webp", quality=82, method=6)


if __name__ == "__main__":
    main(sys.argv[1:])
