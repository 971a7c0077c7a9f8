"""torchvision is importable through one function, whether or not its compiled operators load."""

import subprocess
import sys
import types

import pytest

from netviz.errors import ModelError
from netviz.models import torchvision_import
from netviz.models.torchvision_import import import_torchvision


def test_fresh_process_imports_without_a_warning() -> None:
    code = (
        "from netviz.models.torchvision_import import import_torchvision as i; tv = i(); "
        "print(tv.models.resnet18.__name__, i() is tv)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "resnet18 True"), done.stderr


@pytest.fixture
def without_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide torchvision from sys.modules; whatever a test puts there is gone afterwards."""
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "torchvision"}
    for name in kept:
        monkeypatch.delitem(sys.modules, name)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    sys.modules.update(kept)


def fake_import(monkeypatch: pytest.MonkeyPatch, outcomes: list[Exception | None]) -> list[set[str]]:
    """Make every import attempt end as told; return what torchvision modules it found on the way in."""
    seen: list[set[str]] = []

    def attempt() -> types.ModuleType:
        seen.append({name for name in sys.modules if name.partition(".")[0] == "torchvision"})
        sys.modules["torchvision"] = sys.modules["torchvision.half"] = types.ModuleType("torchvision")
        outcome = outcomes[len(seen) - 1]
        if outcome is not None:
            raise outcome
        return sys.modules["torchvision"]

    monkeypatch.setattr(torchvision_import, "_import", attempt)
    return seen


MISSING = RuntimeError("operator torchvision::nms does not exist")


@pytest.mark.usefixtures("without_torchvision")
def test_missing_operators_lead_to_a_second_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = fake_import(monkeypatch, [MISSING, None])
    assert import_torchvision().__name__ == "torchvision"
    assert seen == [set(), {"torchvision._meta_registrations"}]
    assert not hasattr(sys.modules["torchvision._meta_registrations"], "register_meta")


@pytest.mark.usefixtures("without_torchvision")
@pytest.mark.parametrize(
    ("outcomes", "attempts", "message"),
    [
        ([RuntimeError("wrong\nCUDA version")], 1, "does not fit the installed torch (wrong CUDA version)"),
        ([ImportError("No module named 'torchvision'")], 1, "pip install torchvision"),
        ([MISSING, RuntimeError("something else")], 2, "does not fit the installed torch (something else)"),
    ],
)
def test_other_errors_are_reported(
    monkeypatch: pytest.MonkeyPatch, outcomes: list[Exception | None], attempts: int, message: str
) -> None:
    seen = fake_import(monkeypatch, outcomes)
    with pytest.raises(ModelError) as caught:
        import_torchvision()
    assert message in str(caught.value)
    assert len(seen) == attempts
    assert "torchvision._meta_registrations" not in sys.modules


@pytest.mark.usefixtures("without_torchvision")
def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ModelError, match="pip install torchvision"):
        import_torchvision()
