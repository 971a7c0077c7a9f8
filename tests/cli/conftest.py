from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from netviz.cli.main import run


class Done(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def netviz(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run the command line in this process."""

    def call(*args: object) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            run([str(arg) for arg in args])
        return Done(int(stop.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Noise, 64 by 80 pixels."""
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)).save(path)
    return path
