"""Start-up of the command line.

Whole processes in turn, the least of several. `netviz --help` and `netviz report` against an interpreter that does
nothing (`python -c pass`), wall time. `netviz layers resnet50 --weights none` against an import of torch and
torchvision, and `netviz maps` against a script that does the same by hand with torch, torchvision and Matplotlib, in
processor time and wall time. Where torchvision's compiled operators do not fit torch, the peers import it as netviz
does, without their shape rules. The peers import torch's compiler, since torchvision does; netviz puts that off.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from goals import most

RUNS = 7

IMPORT = """
import sys, types
import torch
try:
    import torchvision
except RuntimeError:
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    sys.modules["torchvision._meta_registrations"] = types.ModuleType("rules")
    import torchvision
"""

BY_HAND = (
    IMPORT
    + """
import matplotlib
matplotlib.use("agg")
from matplotlib import pyplot
from PIL import Image
image, weights, out = sys.argv[1:]
network = torchvision.models.mobilenet_v2(weights=None)
network.load_state_dict(torch.load(weights, weights_only=True))
network.eval()
T = torchvision.transforms
prepare = T.Compose([T.Resize(256), T.CenterCrop(224), T.ToTensor(),
                     T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
kept = []
network.features[1].conv[1].register_forward_hook(lambda module, args, output: kept.append(output))
with torch.no_grad():
    network(prepare(Image.open(image).convert("RGB"))[None])
figure, axes = pyplot.subplots(4, 4, figsize=(8, 8))
for at, axis in enumerate(axes.flat):
    axis.imshow(kept[0][0, at])
    axis.set_axis_off()
figure.savefig(out)
"""
)


def seconds(command: list[str]) -> tuple[float, float]:
    """Return processor time and wall time of a process and its children."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    # As anywhere but in a test: what is imported twice is compiled once.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall


def least(commands: dict[str, list[str]], runs: int) -> dict[str, tuple[float, float]]:
    """Run commands in turns, the first time unmeasured; return the least of each one's times."""
    found: dict[str, tuple[float, float]] = {}
    for run in range(runs + 1):
        for name, command in commands.items():
            taken = seconds(command)
            if run:
                best = found.get(name, taken)
                found[name] = min(best[0], taken[0]), min(best[1], taken[1])
    return found


def main(runs: int) -> str:
    """Measure, and return the tables."""
    from PIL import Image
    from skimage import data

    from netviz.models.known.networks import PACKAGED_BUILDERS

    netviz_command = str(Path(sys.executable).with_name("netviz"))
    with tempfile.TemporaryDirectory() as folder:
        result, image, out = (f"{folder}/{name}" for name in ("f.npz", "cat.png", "maps.png"))
        subprocess.run(
            [netviz_command, "filters", "mobilenet_v2", "-o", result], check=True, capture_output=True
        )
        Image.fromarray(data.chelsea()).save(image)
        weights = str(PACKAGED_BUILDERS["mobilenet_v2"].locate())
        found = least(
            {
                "python -c pass": [sys.executable, "-c", "pass"],
                "netviz --help": [netviz_command, "--help"],
                "netviz maps --help": [netviz_command, "maps", "--help"],
                "netviz report RESULT.npz": [netviz_command, "report", result],
            },
            runs,
        )
        pairs = least(
            {
                "import torch, torchvision": [sys.executable, "-c", IMPORT],
                "netviz layers resnet50": [netviz_command, "layers", "resnet50", "--weights", "none"],
                "maps by hand": [sys.executable, "-c", BY_HAND, image, weights, out],
                "netviz maps": [netviz_command, "maps", image, "--layer", "features.1.conv.1", "-o", out],
            },
            runs,
        )
    base = found["python -c pass"][1]
    rows = ["| command | least | more than `python -c pass` |", "|---|---|---|"]
    for name, (_, wall) in found.items():
        told = most(wall - base, 0.25, " s", 3) if name.endswith("--help") else f"{wall - base:+.3f} s"
        rows.append(f"| `{name}` | {wall:.3f} s | {told} |")
    rows += [
        "",
        "| command | over | processor s | ratio | wall s | ratio |",
        "|---" * 6 + "|",
    ]
    for name, peer, goal in (
        ("netviz layers resnet50", "import torch, torchvision", 1.3),
        ("netviz maps", "maps by hand", 1.15),
    ):
        (own, other), (wall, other_wall) = zip(pairs[name], pairs[peer], strict=True)
        rows.append(
            f"| `{name}` | {peer} | {own:.2f} over {other:.2f} | {most(own / other, goal)} "
            f"| {wall:.2f} over {other_wall:.2f} | {most(wall / other_wall, goal)} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    print(main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS))
