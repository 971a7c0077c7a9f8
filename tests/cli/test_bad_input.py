"""What is wrong is told in one line, with status 1, or as wrong usage, with status 2; nothing is written."""

import re
import shlex

import click
import numpy as np
import pytest
import torch
from PIL import Image

from netviz.cli.main import netviz as group
from support.dissection import make_dissection_run
from support.patches import make_run

NET = "squeezenet1_1 --weights none"
SMALL = f"--model {NET} --size 64"
PNET = "--model pnet --weights none"
MOBILE = "--model mobilenet_v2 --weights none"
LABELLER = "--model support.network:Labeller"
TRAIN = f"-d labelled --val labelled --backbone {NET} --strides 16,8,4 --workers 0"

USUAL = {
    "image": "photo.png",
    "images": "photo.png",
    "model": "squeezenet1_1",
    "--model": "--model squeezenet1_1",
    "--weights": "--weights none",
    "--size": "--size 64",
    "--layer": "-l conv1",
    "--layers": "-l conv1",
    "--out": "-o out.png",
}
"""What a command is given for an argument or option of that name."""

OWN = {
    "field": f"{NET} --size 64 -l conv1 -i photo.png -k effective -o out.png",
    "patches": f"{NET} --size 64 -l conv1 -i photos --workers 0 -o out",
    "diff": f"squeezenet1_1 {NET} --other-weights none --size 64 -l conv1 -i photo.png -o out.png",
    "dissect": f"{NET} --size 64 -l conv1 -d labelled --workers 0 -o out",
    "segment": f"photo.png {SMALL} -l conv1 --unit 3 --threshold 0.5 -o out.png",
    "units": f"{NET} --size 64 -l conv1 -i photos -o out.png",
    "links": f"{NET} --size 64 -l conv1 --unit 3 -o out.png",
    "dense": f"photo.png {PNET} -o out.png",
    "fcn train": f"{TRAIN} -o out",
    "fcn eval": "-d labelled --void 3,4 --model torch.nn:Identity --workers 0 -o out.npz",
    "fcn show": f"labelled/images/one.jpg {LABELLER} -o out.png",
    "gallery": f"{NET} --size 64 -l conv1 -i skimage:coins --quick -o out",
    "draw": "result.npz -o out.png",
    "report": "result.npz",
}
"""What commands are given that need something else."""


def commands(command: click.Command, name: str = "") -> dict[str, str]:
    """Return each command's arguments and options for something that can be had."""
    if isinstance(command, click.Group):
        return {
            path: line
            for key, one in command.commands.items()
            for path, line in commands(one, f"{name} {key}".strip()).items()
        }
    names = [name for one in command.params for name in one.opts]
    return {name: OWN.get(name) or " ".join(USUAL[one] for one in names if one in USUAL)}


RIGHT = commands(group)
NETWORK = r"squeezenet1_1|pnet|support\S+|torch\S+"
MISTAKES = [
    (r"photo\.png|labelled/\S+jpg", "gone.png", "no such image: "),
    (r"photo\.png|labelled/\S+jpg", "damaged.png", "damaged.png is damaged or truncated"),
    (NETWORK, "resnet19", "no file and no network 'resnet19'; the closest: resnet18"),
    (NETWORK, "junk.pth", "junk.pth is of no known format"),
    ("-l conv1", "-l conv99", "'conv99' in this network; the closest: conv9"),
    ("-d labelled", "-d gone", "gone is no folder"),
    ("-d labelled", "-d damaged", "is damaged or truncated"),
    (r"-i \S+", "-i gone.png", "no such image: gone.png"),
    (r"-i \S+", "-i damaged.png", "damaged.png is damaged or truncated"),
    (r"result\.npz", "gone.npz", "no such file: gone.npz"),
    (r"result\.npz", "damaged.npz", "cannot read damaged.npz"),
]
"""What is replaced in that by what, and what is then said."""

REFUSED = {
    f"{command} {re.sub(what, instead, line)}": said
    for command, line in RIGHT.items()
    for what, instead, said in MISTAKES
    if re.search(what, line)
}

UNWRITABLE = {
    f"{command} {re.sub(out, instead, line)}": said
    for command, line in RIGHT.items()
    for out, instead, said in [
        (r"-o out\b", "-o file/out", "cannot write file/out"),
        (r"-o out\.\w+", "-o folder.png", "cannot write folder.png: "),
        (r"-o out\.\w+", "-o out.jpeg", "it has the suffix '.jpeg'; use one of "),
        (r"-o out\.\w+", "-o out", "it has no suffix; use one of "),
    ]
    if re.search(out, line)
}
"""Where nothing can be written."""


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """A folder in which the command lines above find what they name."""
    folder = tmp_path_factory.mktemp("ground")
    rng = np.random.default_rng(0)

    def noise(name, *shape, high=256):
        path = folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(rng.integers(0, high, shape, dtype=np.uint8)).save(path)
        return path

    photo = noise("photo.png", 64, 80, 3)
    (folder / "damaged.png").write_bytes(photo.read_bytes()[:6000])
    noise("small.png", 40, 48, 3)
    noise("tiny.png", 9, 9, 3)
    for name in ("one", "two"):
        noise(f"labelled/images/{name}.jpg", 24, 32, 3)
        noise(f"labelled/labels/{name}.png", 24, 32, high=5)
        noise(f"photos/{name}.png", 64, 80, 3)
    Image.new("RGB", (96, 96), (90, 120, 30)).save(folder / "flat.png")
    for kind, name in (("images", "one.jpg"), ("labels", "one.png")):
        (folder / "damaged" / kind).mkdir(parents=True)
        (folder / "damaged" / kind / name).write_bytes((folder / "labelled" / kind / name).read_bytes()[:600])
    (folder / "folder.png").mkdir()
    (folder / "file").write_text("x")
    (folder / "junk.pth").write_bytes(b"\x00\x01junk" * 50)
    torch.save({"a": 1}, folder / "empty.pth")
    (folder / "damaged.npz").write_bytes(b"PK\x03\x04 no zip")
    np.savez(folder / "other.npz", a=np.zeros(3))
    make_run(folder / "run")
    dissected = make_dissection_run(folder / "dissected")
    (folder / "result.npz").write_bytes((dissected / "layers" / "features.0.npz").read_bytes())
    return folder


@pytest.fixture
def refused(netviz, ground, monkeypatch):
    """Run a command line that is refused."""
    monkeypatch.chdir(ground)

    def call(line: str, status: int, said: str) -> None:
        before = sorted(ground.rglob("*"))
        done = netviz(*shlex.split(line))
        assert done.status == status, done.err
        assert not done.out
        assert said in done.err
        assert "Traceback" not in done.err
        assert "unexpected" not in done.err
        if status == 1:
            assert done.err.startswith("netviz: ")
            assert len(done.err.splitlines()) == 1
        else:
            assert "Usage:" in done.err
        assert sorted(ground.rglob("*")) == before

    return call


@pytest.mark.parametrize(("line", "said"), REFUSED.items())
def test_what_every_command_refuses(refused, line, said):
    refused(line, 1, said)


@pytest.mark.parametrize(("line", "said"), UNWRITABLE.items())
def test_where_nothing_can_be_written_is_told_before_all_else(refused, line, said):
    for what, instead, _ in MISTAKES:
        line = re.sub(what, instead, line, count=1)
    refused(line, 1, said)


@pytest.mark.parametrize("command", RIGHT)
def test_an_option_that_is_not_there(refused, command):
    refused(f"{command} {RIGHT[command]} --no-such-option", 2, "--no-such-option")


WRONG = {
    "layers": [
        ("gone.pth", 1, "gone.pth"),
        ("junk.pth", 1, "junk.pth"),
        ("empty.pth", 1, "empty.pth"),
        ("no.module:net", 1, "no.module"),
        ("alexnet --weights none --size 9", 1, "3×9×9"),
        ("alexnet --size 0x3", 2, "'0x3' is no size"),
    ],
    "filters": [("--scale other", 2, "other"), ("--max 0", 2, "0 is not in the range")],
    "maps": [
        ("", 2, "IMAGE"),
        ("photo.png", 2, "--layer"),
        ("--layer conv1", 2, "IMAGE"),
        ("file -l conv1", 1, "file"),
        ("photoo.png -l conv1", 1, "the closest: photo.png"),
        ("tiny.png -l conv1 --model pnet", 1, "9×9"),
        (f"tiny.png -l fc53 {MOBILE}", 1, "no maps"),
        (f"tiny.png -l conv1 --units 32 {MOBILE}", 1, "0 to 31"),
        (f"photo.png {SMALL} -l conv1 --normalize batch", 2, "batch"),
    ],
    "field pnet --weights none -l conv3": [
        ("--position 7", 2, "no position; write ROW,COL"),
        ("--position 900,3", 1, "position 900,3 is outside the map of layer conv3"),
        ("--position -1,3", 1, "position -1,3 is outside the map of layer conv3"),
        ("--unit 32", 1, "has no unit 32: its units are 0 to 31"),
        ("--kind real", 2, "theoretical"),
        ("--top 0", 2, "top"),
        ("--images nowhere.png", 1, "no such image"),
    ],
    "field alexnet --weights none": [("-l fc6", 1, "has no maps")],
    f"occlusion photo.png {SMALL} --patch 32 --stride 32": [
        ("--stride 0", 2, "0 is not in the range"),
        ("--patch 8 --stride 9", 2, "uncovered"),
        ("--fill black", 2, "black"),
        ("--patch 65", 1, "patch of 65 pixels is larger than photo"),
        ("--class 1000", 1, "its classes are 0 to 999"),
        ("--class 'no such thing'", 1, "no such thing"),
        ("--size 8", 1, "--size"),
    ],
    f"votes photo.png {SMALL}": [
        ("--to one", 2, "one"),
        ("--top 0", 2, "0 is not in the range"),
        ("--class 1000", 1, "its classes are 0 to 999"),
        ("-l nowhere", 1, "nowhere"),
        ("--output 3", 1, "has no output '3'"),
        ("--workers 2", 2, "--workers is for many images: give --images"),
        ("--images photos", 2, "not both"),
        ("--model hed --weights none -l fuse", 1, "the scores do not come from layer"),
    ],
    "votes": [("", 2, "name an IMAGE, or many with --images")],
    f"votes -i photos {SMALL} --workers 0": [
        ("", 2, "give the run's folder: -o OUT"),
        ("-o out --class 3", 2, "--class is for one IMAGE"),
        ("-o out --top 3", 2, "--top is for one IMAGE"),
        ("-o out --json", 2, "--json is for one IMAGE"),
        ("-o out --address auto", 2, "an address is for --engine ray"),
        ("-o photos", 1, "exists already and is not empty"),
        ("-o out -l nowhere", 1, "nowhere"),
        ("-o out -l relu*", 1, "name one of them"),
        ("-o out --output 3", 1, "has no output '3'"),
        ("-o out -i gone", 1, "gone"),
    ],
    f"contrast photo.png {SMALL} -l conv1": [
        ("--window 4", 2, "4 is even; give an odd number such as 5"),
        ("--window 0", 2, "0 is not in the range"),
        ("--sigma 0", 2, "0.0 is not in the range"),
        ("--method zca", 2, "zca"),
        ("--window 33", 1, "window 33 is larger than the maps of features.0 (conv1), 31×31"),
        ("--method batch", 1, "the network has none"),
        ("--units 64", 1, "its units are 0 to 63"),
    ],
    f"sift photo.png {SMALL}": [
        ("-l conv1 --window 6", 2, "6 is even"),
        ("-l conv1 --window 0", 2, "0 is not in the range"),
        ("-l conv1 --keypoints 31", 2, "31 is not in the range"),
        ("-l conv1 --match --keypoints 3", 2, "leave --keypoints out"),
        ("", 2, "--layer"),
        ("-l conv1 --window 99", 1, "window of 99 positions is larger than"),
        ("-l 'no such layer'", 1, "no such layer"),
        ("-l pool26", 1, "may see the same rows and columns"),
        ("--model alexnet -l fc6", 1, "has no maps"),
        ("--model alexnet -l fc6 --match", 1, "has no maps"),
    ],
    f"sift flat.png {SMALL} --size 96 -l conv1": [
        ("", 1, "SIFT finds no keypoint in flat at 96×96 pixels"),
        ("--match", 1, "SIFT finds no keypoint in flat at 96×96 pixels"),
    ],
    f"stages photo.png {SMALL}": [
        ("", 2, "--layer"),
        ("-l conv1 --pool median", 2, "'median' is none of max, sum, average"),
        ("-l conv1 --pool ,", 2, "is none of max"),
        ("-l conv1 --nonlinearity tanh,step", 2, "'step' is none of relu, tanh"),
        ("-l conv1 --window 0", 2, "0 is not in the range"),
        ("-l conv1 --step 0", 2, "0 is not in the range"),
        ("-l conv1 --pool max --window 32", 1, "larger than the maps of relu1 (features.0), 31×31"),
        ("-l relu1", 1, "is no convolution"),
        ("-l conv99", 1, "no convolution 'conv99'"),
        ("-l conv1 --units 64", 1, "its units are 0 to 63"),
    ],
    "stages photo.png --model hed --weights none": [
        ("-l side1", 1, "no stage follows layer side1 (conv14) of hed: next comes a concatenation"),
    ],
    "patches -o out": [
        ("--top 0", 2, "top"),
        ("--per-image 0", 2, "per-image"),
        ("--per-class -1", 2, "per-class"),
        ("--fit stretch", 2, "stretch"),
        ("--engine spark", 2, "spark"),
        ("--address auto", 2, "--address"),
        ("--dtype int8", 2, "int8"),
        ("--batch 0", 2, "batch"),
    ],
    "dissect -d labelled -l conv1 -o out": [
        ("--quantile 2", 2, "quantile"),
        ("--iou -1", 2, "iou"),
        ("--void sky", 2, "void"),
        ("--top 0", 2, "top"),
        ("--fit stretch", 2, "stretch"),
        ("--engine spark", 2, "spark"),
        ("--address auto", 2, "--address"),
    ],
    "dissect": [("-o out", 2, "--data")],
    f"segment photo.png {SMALL} -l conv1 --unit 3": [
        ("--threshold half", 2, "'half' is neither"),
        ("--threshold 0", 2, "above 0 and at most 1"),
        ("--threshold 0.5 --images x", 2, "leave out --images"),
        ("--run x --images y", 2, "not both"),
        ("--quantile 1", 2, "1"),
        ("--unit 64", 1, "no unit 64: its units are 0 to 63"),
        ("--layer conv999", 1, "conv999"),
        ("--layer classifier.3", 1, "may see the same rows and columns"),
        ("--run /none", 1, "holds no run"),
        ("--images /none.png", 1, "no such image"),
    ],
    f"minimal photo.png {SMALL} --segments 6": [
        ("--segments 1", 2, "1 is not in the range"),
        ("--fill black", 2, "black"),
        ("--images x", 2, "not both"),
        ("--class 1000", 1, "its classes are 0 to 999"),
        ("--segments 5000", 1, "fewer than 5000 segments"),
        ("--model hed", 1, "hed has one class only"),
        ("--model pnet --output 0", 1, "the minimal image needs a classifier"),
    ],
    "minimal": [("", 2, "IMAGE"), (f"-i gone.png {SMALL}", 1, "no such image: gone.png")],
    f"units {NET} --size 64 -i photos": [
        ("-l relu*", 1, "name one of them"),
        ("-l nowhere", 1, "nowhere"),
        ("-l relu1 --top 0", 2, "0 is not in the range"),
        ("", 2, "Missing option '--layer'"),
    ],
    f"links {NET} --size 64 -l conv1": [
        ("", 2, "Missing option '--unit'"),
        ("--unit 64", 1, "has no unit 64: its units are 0 to 63"),
        ("--unit 0 --from nowhere", 1, "nowhere"),
        ("--unit 0 --to conv4", 1, "give --through 1"),
        ("--unit 0 --from conv4", 1, "no steps that are linear, or could be taken so, lead from"),
        ("--unit 0 --through -1", 2, "-1 is not in the range"),
        ("--unit 0 --run /none", 1, "holds no run"),
    ],
    f"units {NET} --size 64 -i photo.png": [("-l -1", 1, "give more images")],
    f"hypercolumn photo.png {SMALL}": [
        ("-l conv1,none", 1, "none"),
        ("-l conv1 -k 1", 2, "2<=x<=24"),
        ("", 2, "--layers"),
    ],
    f"dense small.png {PNET}": [
        ("--pyramid 1,half", 2, "positive numbers, such as 1,0.7,0.5"),
        ("--pyramid 1,-2", 2, "'1,-2'"),
        ("--pyramid ''", 2, "positive numbers"),
        ("--pyramid nan", 2, "positive numbers"),
        ("--pyramid 0.1", 1, "leave that scale out"),
        ("--short-side 0", 2, "a number of pixels"),
        ("--short-side 8", 1, "--short-side"),
        ("--top 0", 2, "0 is not in the range"),
        ("--class fase", 1, "the closest: face"),
        ("--class 7", 1, "its classes are 0 to 1"),
        ("--compare", 1, "compare a classifier"),
        ("--compare --pyramid 1", 2, "leave --pyramid out"),
        ("--compare --class 0 --class 1", 2, "one --class"),
        ("--model squeezenet1_1", 1, "40×48, smaller than the window"),
        ("--model ssdlite320_mobilenet_v3_large --compare", 1, "detection network"),
    ],
    "fcn train": [
        (f"{TRAIN} --strides 32,16 -o out", 1, "no layer of stride 32: its strides are 2, 4, 8, 16"),
        (f"{TRAIN} -o photos", 1, "exists already and is not empty; name a new folder"),
        (f"{TRAIN} -d labelled/images -o out", 1, "no mask of class numbers"),
        ("-o out", 2, "--data"),
        ("-d a -o out --stages 32s --at-once", 2, "--at-once"),
        ("-d a -o out --strides a", 2, "--strides"),
        ("-d a -o out --stages ,", 2, "--stages"),
        ("-d a -o out --recipe old", 2, "old"),
    ],
    "fcn eval": [
        ("", 2, "--data"),
        ("-d labelled --model photos", 1, "is a folder: name a checkpoint in it"),
        (f"-d labelled/images {LABELLER}", 1, "no mask of class numbers"),
    ],
    f"fcn show labelled/images/one.jpg {LABELLER}": [
        ("--truth labelled/labels/one.png", 1, "--void"),
        ("--truth labelled/images/one.jpg", 1, "picture in colour"),
        ("--truth a.png --truth b.png", 2, "2 for 1 images"),
        ("--short-side 0", 2, "--short-side"),
        ("--void x", 2, "no list"),
        ("--model squeezenet1_1 --weights none --short-side 64", 1, "netviz dense"),
    ],
    "gallery pnet --weights none -i skimage:coins": [
        ("-o file", 1, "file"),
        ("-o labelled", 1, "labelled"),
    ],
    "gallery": [("--from gone -o out", 1, "no run.json")],
    "draw": [
        ("", 2, "RESULT"),
        ("gone.npz", 1, "no such file"),
        ("gone dissected", 1, "no such file"),
        ("run", 1, "choose one with --layer"),
        ("run -l conv9", 1, "the closest: conv2, conv1"),
        ("run -l conv1 --units 2", 1, "no unit 2"),
        ("run -l conv1 --units x", 1, "no list of units"),
        ("run -l conv1 -o a.xyz", 1, "use one of"),
        (
            "dissected --show units",
            1,
            "holds 2 layers: features.0 (conv1), features.3 (conv2); choose one with --layer",
        ),
        ("dissected -l conv1 --units 0", 1, "--units chooses for --show units and --show matrix"),
        ("dissected -l conv1 --show matrix --units 7", 1, "has no unit 7"),
        ("dissected --show everything", 2, "everything"),
        ("dissected/patches dissected", 1, "does not tell of dissection"),
    ],
    "report": [("", 2, "RESULT"), ("other.npz", 1, "other.npz"), ("gone", 1, "gone")],
    "nonsense": [("", 2, "nonsense")],
}
"""For beginnings of a command line what is wrong after them, the status, and what is said."""


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [(f"{begin} {rest}", status, said) for begin, cases in WRONG.items() for rest, status, said in cases],
)
def test_bad_input(refused, line, status, said):
    refused(line, status, said)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried …"
        ),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    ],
)
def test_no_memory_is_one_line_with_a_remedy(netviz, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("netviz.questions.opening.load", fail)
    done = netviz("layers")
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "does not fit into memory; a smaller --size" in done.err
