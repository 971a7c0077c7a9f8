"""Refuse tracked files that a repository should not carry: over 1 MB without a reason, or a wheel."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST = 1_000_000

REASONS = {
    "netviz/models/known/data/fcn_camvid.safetensors": "the network that comes with netviz",
}


def main() -> None:
    """Look at every tracked file."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    names = [name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    for name in names:
        size = (ROOT / name).stat().st_size
        if name.endswith(".whl") or (size > MOST and name not in REASONS):
            raise SystemExit(
                f"{name} ({size / 1e6:.1f} MB) is tracked; remove it, or give a reason in {__file__}"
            )
    print(f"floor: {len(names)} tracked files")


if __name__ == "__main__":
    main()
