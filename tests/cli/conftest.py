from collections.abc import Callable
from typing import NamedTuple

import pytest

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
