"""torchvision is importable through one function, whether or not its compiled operators load."""

import sys
import types

import pytest

from netviz.errors import ModelError
from netviz.models import torchvision_import
from netviz.models.torchvision_import import import_torchvision


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


@pytest.mark.usefixtures("without_torchvision")
def test_the_stand_in_of_the_compiler_is_gone_and_asks_the_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch._dynamo", "torch._dynamo.utils"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    asked = {}

    def modules() -> types.ModuleType:
        from torch._dynamo.utils import is_compile_supported

        asked["there"] = is_compile_supported
        return types.ModuleType("torchvision")

    monkeypatch.setattr(torchvision_import, "_modules", modules)
    assert torchvision_import._import().__name__ == "torchvision"
    assert not {"torch._dynamo", "torch._dynamo.utils"} & sys.modules.keys()
    real = types.ModuleType("torch._dynamo.utils")
    real.is_compile_supported = lambda device: device == "cpu"
    monkeypatch.setitem(sys.modules, "torch._dynamo", types.ModuleType("torch._dynamo"))
    monkeypatch.setitem(sys.modules, "torch._dynamo.utils", real)
    assert asked["there"]("cpu")
    assert not asked["there"]("meta")


@pytest.mark.usefixtures("without_torchvision")
def test_a_torchvision_that_wants_more_of_the_compiler_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch._dynamo", "torch._dynamo.utils"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    attempts = []

    def modules() -> types.ModuleType:
        attempts.append("torch._dynamo" in sys.modules)
        if attempts == [True]:
            raise ImportError("cannot import name 'more' from 'torch._dynamo'")
        return types.ModuleType("torchvision")

    monkeypatch.setattr(torchvision_import, "_modules", modules)
    torchvision_import._import()
    assert attempts == [True, False]
