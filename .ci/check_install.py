"""Install the wheel and the source archive as a user would, with what netviz declares and nothing else, and use them.

They go by pip into a new environment. What netviz declares, and what that declares, is linked there from the
environment that runs this file: only so does it take seconds, and what is imported without being declared is missed.
The wheel is used; what the source archive installs must be the same files, so it has nothing more to show.
"""

import json
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

ASK = """
import contextlib, io, json, sys
from netviz.cli.main import run
told = []
for line in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            run(line.split())
        except SystemExit as stop:
            told.append((line, int(stop.code or 0), said.getvalue()))
json.dump(told, open("told.json", "w"))
"""
"""Several commands in one process, for each begins with the imports of all; what each said, and how it ended."""


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


def environment(packages: Path) -> Path:
    """Make an environment beside the linked packages, where its pip lies too; return its Python."""
    place = BUILD / "installed" / "new"
    venv.create(place, with_pip=False)
    (site,) = place.glob("lib/python*/site-packages")
    (site / "declared.pth").write_text(f"{packages}\n", encoding="utf-8")
    return place / "bin" / "python"


def install(file: Path, python: Path) -> dict[str, bytes]:
    """Install a file in the environment, in place of what is there; return the files of the package."""
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    offline = (
        ["--no-index"] if file.suffix == ".whl" else []
    )  # the archive is built with a setuptools of its own
    run([*pip, "uninstall", "--quiet", "--yes", "netviz"], BUILD)
    said = run([*pip, "install", *offline, str(file)], BUILD)
    if "Collecting" in said.replace(f"Processing {file}", ""):
        raise SystemExit(f"pip had to fetch what should have been linked:\n{said}")
    (site,) = python.parent.parent.glob("lib/python*/site-packages")
    return {
        str(path.relative_to(site)): path.read_bytes()
        for top in site.glob("netviz*")
        for path in sorted(top.rglob("*"))
        if path.is_file()
        and "__pycache__" not in path.parts
        and path.name not in ("RECORD", "direct_url.json")
    }


def use(python: Path, where: Path) -> None:
    """Ask what a new user asks, and what is refused for want of an extra."""
    where.mkdir()
    run([str(python.parent / "netviz"), "--version"], where)
    (where / "net.onnx").write_bytes(b"\x08\x07\x12\x07pytorch:\x00")
    run([str(python), "-c", ASK, json.dumps([*USES, *EXTRAS.values()])], where)
    said = json.loads((where / "told.json").read_text(encoding="utf-8"))
    told = {line: (status, text) for line, status, text in said}
    for line in USES:
        if told[line][0]:
            raise SystemExit(f"netviz {line} ended with {told[line][0]}:\n{told[line][1]}")
    for name in ("filters.png", "maps.svg", "fcn.png", "site/index.html"):
        if not (where / name).stat().st_size:
            raise SystemExit(f"{name} is empty")
    for extra, line in EXTRAS.items():
        status, text = told[line][0], told[line][1].strip()
        if status != 1 or f"netviz[{extra}]" not in text or "\n" in text:
            raise SystemExit(f"netviz {line} should name the extra {extra} in one line:\n{text}")


def main() -> None:
    """Install both, use one."""
    for name in ("installed", "home"):
        shutil.rmtree(BUILD / name, ignore_errors=True)
    packages = BUILD / "installed" / "declared"
    names = set(declared("netviz"))
    link(names | {"pip"}, packages)
    (BUILD / "home").mkdir()
    python = environment(packages)
    begun = time.monotonic()
    (wheel,), (archive,) = (BUILD / "dist").glob("*.whl"), (BUILD / "dist").glob("*.tar.gz")
    files = install(wheel, python)
    use(python, BUILD / "installed" / "work")
    again = install(archive, python)
    if again != files:
        differ = sorted(name for name in files | again if files.get(name) != again.get(name))
        raise SystemExit(f"{archive.name} installs other files than {wheel.name}: {differ}")
    run([str(python.parent / "netviz"), "--version"], BUILD)
    print(
        f"installed beside {len(names)} packages: {wheel.name}, used, and {archive.name}, "
        f"{time.monotonic() - begun:.0f} s"
    )


if __name__ == "__main__":
    main()
