"""Install the wheel and the source archive as a user would, with what netviz declares and nothing else, and use them.

Each goes by pip into a new environment. What netviz declares, and what that declares, is linked there from the
environment that runs this file: only so does it take seconds, and what is imported without being declared is missed.
"""

import os
import shutil
import subprocess
import time
import venv
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"

USES = (
    "--version",
    "doctor",
    "filters mobilenet_v2 --weights none -o filters.png",
    "maps skimage:chelsea --layer conv3 --weights none --size 96 -o maps.npz",
    "draw maps.npz -o maps.svg",
    "maps skimage:coffee --layer conv3 --model fcn_camvid --size 96 -o fcn.png",
    "gallery fcn_camvid --quick --images skimage:coins --layers conv1 --size 64 -o site",
)
"""What needs no download: a network without weights, the one that comes with netviz, scikit-image's photographs."""

EXTRAS = {
    "timm": "layers timm:resnet18",
    "onnx": "layers net.onnx",
    "hf": "layers hf:owner/name",
    "ray": "patches mobilenet_v2 --weights none -l conv1 -i skimage:coins --engine ray -o run",
}
"""What each extra adds: without it one line names it."""


def declared(name: str, extras: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the distributions that one needs here, and what those need."""
    for line in metadata.requires(name) or ():
        needed = Requirement(line)
        if needed.marker is None or any(needed.marker.evaluate({"extra": one}) for one in {"", *extras}):
            yield needed.name
            yield from declared(needed.name, frozenset(needed.extras))


def link(names: set[str], folder: Path) -> None:
    """Link all that distributions consist of into a folder."""
    folder.mkdir(parents=True)
    for name in sorted(names):
        found = metadata.distribution(name)
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            place, target = folder / top, Path(str(found.locate_file(top)))
            if not place.exists() and target.exists():
                place.symlink_to(target)


def run(command: list[str], where: Path, status: int = 0) -> str:
    """Run a command as a new user has it, without settings of this checkout, and return what it says."""
    home = BUILD / "home"
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("PYTHON", "NETVIZ"))}
    done = subprocess.run(
        command,
        cwd=where,
        env={**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home), "TORCH_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != status:
        raise SystemExit(
            f"{' '.join(command)} ended with {done.returncode}, not {status}:\n{done.stdout}{done.stderr}"
        )
    return done.stdout + done.stderr


def install(file: Path, packages: Path) -> Path:
    """Install a file in a new environment beside what it declares; return the environment's programs."""
    place = BUILD / "installed" / ("wheel" if file.suffix == ".whl" else "source")
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    # Until Python 3.11 an environment begins with an old setuptools, which would hide the declared one.
    run([str(python), "-m", "pip", "uninstall", "--quiet", "--yes", "setuptools"], place)
    (site,) = place.glob("lib/python*/site-packages")
    (site / "declared.pth").write_text(f"{packages}\n", encoding="utf-8")
    offline = (
        ["--no-index"] if file.suffix == ".whl" else []
    )  # the archive is built with a setuptools of its own
    said = run([str(python), "-m", "pip", "install", *offline, str(file)], place)
    if "Collecting" in said.replace(f"Processing {file}", ""):
        raise SystemExit(f"pip had to fetch what should have been linked:\n{said}")
    return python.parent


def use(programs: Path, where: Path) -> None:
    """Ask what a new user asks, and what is refused for want of an extra."""
    where.mkdir()
    netviz = str(programs / "netviz")
    for line in USES:
        run([netviz, *line.split()], where)
    for name in ("filters.png", "maps.svg", "fcn.png", "site/index.html"):
        if not (where / name).stat().st_size:
            raise SystemExit(f"{name} is empty")
    (where / "net.onnx").write_bytes(b"\x08\x07\x12\x07pytorch:\x00")
    for extra, line in EXTRAS.items():
        said = run([netviz, *line.split()], where, status=1).strip()
        if f"netviz[{extra}]" not in said or "\n" in said:
            raise SystemExit(f"netviz {line} should name the extra {extra} in one line:\n{said}")


def main() -> None:
    """Install both, use both."""
    for name in ("installed", "home"):
        shutil.rmtree(BUILD / name, ignore_errors=True)
    packages = BUILD / "installed" / "declared"
    names = set(declared("netviz"))
    link(names, packages)
    (BUILD / "home").mkdir()
    for pattern in ("*.whl", "*.tar.gz"):
        (file,) = (BUILD / "dist").glob(pattern)
        begun = time.monotonic()
        programs = install(file, packages)
        use(programs, programs.parent / "work")
        print(
            f"installed beside {len(names)} packages and used: {file.name}, {time.monotonic() - begun:.0f} s"
        )


if __name__ == "__main__":
    main()
