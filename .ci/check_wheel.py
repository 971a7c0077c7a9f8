"""Build the package and hold against its wheel what an editable install would hide: files, types, import rules.

The wheel is made from the source archive, so that what it holds is also in that. Both stay in ``build/dist``.
"""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
SITE = BUILD / "site"


def run(*command: str, **environment: str) -> str:
    """Run a command outside the root and return what it printed; stop if it fails."""
    import os

    done = subprocess.run(
        command, cwd=BUILD, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(done.stdout + done.stderr)
        raise SystemExit(f"failed: {' '.join(command)}")
    return done.stdout


def check_files(wheel: Path) -> int:
    """Compare the wheel's content with the sources; return how many Python files there are."""
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = set()
    for folder, prefix in (("netviz", "netviz"), ("cli", "netviz/cli"), ("gallery", "netviz/gallery")):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                wanted.add(f"{prefix}/{path.relative_to(ROOT / folder).as_posix()}")
    if packed != wanted:
        raise SystemExit(f"the wheel differs from the sources: {sorted(packed ^ wanted)}")
    return sum(name.endswith(".py") for name in wanted)


def check_types(python: str, files: int) -> None:
    """Check types and import rules of what is installed beside the root; all its files must have been read."""
    config = f"--config-file={ROOT / 'pyproject.toml'}"
    typed = run(python, "-m", "mypy", config, "-p", "netviz", MYPYPATH=str(SITE))
    found = re.search(r"in (\d+) source files", typed)
    if found is None or int(found[1]) != files:
        raise SystemExit(f"mypy should check {files} files: {typed}")
    print(f"mypy: {files} files")

    linter = str(Path(python).parent / "lint-imports")
    rules = run(linter, "--config", str(ROOT / "pyproject.toml"), "--no-cache", PYTHONPATH=str(SITE))
    print(rules[rules.find("Contracts") :].strip())


def main() -> None:
    """Build, install beside the root, check; the wheel and the archive are also installed as a user would."""
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir()
    python = sys.executable
    run(python, "-m", "build", "--outdir", str(BUILD / "dist"), str(ROOT))
    (wheel,) = (BUILD / "dist").glob("*.whl")
    files = check_files(wheel)
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(SITE), str(wheel))

    # Types need one core for as long as the installs do.
    installs = subprocess.Popen([python, str(ROOT / ".ci" / "check_install.py")])
    try:
        check_types(python, files)
    finally:
        installed = installs.wait()
    if installed:
        raise SystemExit("failed: check_install.py")

    ask = "import netviz.cli.main as cli, netviz.gallery; print(cli.__file__); cli.run(['--version'])"
    where, version = run(python, "-c", ask, PYTHONPATH=str(SITE)).splitlines()
    if not where.startswith(str(SITE)):
        raise SystemExit(f"the wheel's netviz is not the one that runs: {where}")
    print(f"wheel: {wheel.name}, {version}")


if __name__ == "__main__":
    main()
