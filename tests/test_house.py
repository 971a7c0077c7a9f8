"""Rules of the house that no linter knows."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for folder in ("netviz", "cli", "gallery") for path in (ROOT / folder).rglob("*.py"))


def written(pattern, *allowed):
    """Return the files in which a pattern is written, besides those where it may be."""
    return [
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if re.search(pattern, path.read_text(encoding="utf-8")) and not {path.name, *path.parts} & {*allowed}
    ]


def test_only_capture_registers_hooks():
    pattern = r"\.register_\w*hook|TorchFunctionMode\b|TorchDispatchMode\b"
    assert written(pattern, "capture", "builders.py") == []
    assert "netviz/capture/watch.py" in written(pattern)


def test_nothing_is_unpickled_but_by_the_checkpoint_reader():
    pattern = r"pickle\.loads?\(|torch\.load\(|torch\.jit\.load\(|export\.load\(|allow_pickle=True"
    assert written(pattern, "checkpoint.py", "archive.py", "inert.py") == []
    assert "netviz/models/loading/checkpoint.py" in written(pattern)


def test_results_pictures_and_pages_load_no_torch():
    """Also those whose names the import rules cannot tell: they know no ``draw_*``. Results alone load no picture."""
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in SOURCES]
    names = [re.sub(r"^(cli|gallery)\b", r"netviz.\1", name).removesuffix(".__init__") for name in names]
    found = [
        name
        for name in names
        if re.match(r"netviz\.(results|paper|gallery)\b|netviz\..*\.(result|draw\w*)$", name)
    ]
    assert len(found) > 60
    code = f"""
import sys, netviz.results
assert not {{'matplotlib', 'jinja2', 'torch'}} & {{*sys.modules}}
for name in {found}: __import__(name)
assert not {{'torch', 'timm'}} & {{*sys.modules}}
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_commands_load_nothing_that_they_do_not_need():
    """Only torch, torchvision's networks, and Matplotlib for a picture: others take as long as all the rest."""
    heavy = {
        "torch._dynamo",
        "sympy",
        "scipy",
        "skimage",
        "numba",
        "onnx",
        "timm",
        "transformers",
        "pandas",
        "ray",
    }
    heavy |= {"matplotlib.pyplot", "matplotlib.backends.backend_pdf", "IPython", "jinja2"}
    code = f"""
import sys, warnings, numpy
import netviz
from netviz.images import Photo
from netviz.models.torchvision_import import import_torchvision
from netviz.paper.saving import encode_figure
from netviz.questions.drawing import figure
warnings.simplefilter("error", UserWarning)
assert import_torchvision() is import_torchvision()
warnings.simplefilter("ignore")
model = netviz.load("resnet18", weights="none")
netviz.layers(model)
photo = Photo("grey.png", numpy.zeros((64, 64, 3), numpy.uint8))
maps = netviz.maps(photo, layer="conv2", model=model, size=(64, 64))
encode_figure(figure(maps))
print(*sorted({heavy!r} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
