"""Architectures are recognised from names and shapes, among torchvision's and timm's networks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from netviz.errors import ModelError
from netviz.models.builders import (
    build_timm,
    build_torchvision,
    classification_names,
    default_weights,
    torchvision_names,
)
from netviz.models.loading.checkpoint import read_checkpoint
from netviz.models.recognition.recognise import recognise


def meta_state(name: str, **arguments: Any) -> dict[str, Tensor]:
    return build_torchvision(name, meta=True, **arguments).state_dict()


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "densenet121", "mobilenet_v3_small"])
def test_saved_file_with_other_classes_and_prefix(name: str, tmp_path: Path) -> None:
    network = build_torchvision(name, num_classes=10, seed=3)
    state = network.state_dict()
    torch.save({"epoch": 7, "state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "c.pth")
    found = recognise(read_checkpoint(tmp_path / "c.pth").state)
    assert (found.builder, found.arguments) == (name, {"num_classes": 10})
    again = build_torchvision(name, **found.arguments, seed=4)
    again.load_state_dict(found.state, strict=True)
    for key, tensor in again.state_dict().items():
        assert torch.equal(tensor, state[key]), key


CASES: list[tuple[str, dict[str, Any]]] = [
    ("googlenet", {"aux_logits": False}),
    ("googlenet", {"num_classes": 7}),
    ("inception_v3", {"aux_logits": False, "num_classes": 12}),
    ("regnet_y_400mf", {"num_classes": 2}),
    ("efficientnet_b0", {}),
    ("fcn_resnet50", {"num_classes": 5}),
    ("fcn_resnet50", {"num_classes": 5, "aux_loss": True}),
    ("deeplabv3_mobilenet_v3_large", {"aux_loss": True}),
    ("fasterrcnn_resnet50_fpn", {"num_classes": 3}),
    ("swin_t", {}),
    ("mnasnet0_5", {"num_classes": 4}),
]


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_arguments_are_found(name: str, arguments: dict[str, Any]) -> None:
    state = meta_state(name, **arguments)
    found = recognise(state)
    assert (found.builder, found.arguments) == (name, arguments)
    assert list(found.state) == list(state)
    assert not found.missing
    assert not found.ignored


@pytest.mark.parametrize("prefix", ["model.", "encoder.", "backbone.model.", "a.b.c.d."])
def test_common_prefix(prefix: str) -> None:
    found = recognise({prefix + key: value for key, value in meta_state("resnet18").items()})
    assert found.builder == "resnet18"
    assert next(iter(found.state)) == "conv1.weight"


def test_weights_of_a_loss_are_ignored_and_named() -> None:
    state = {f"model.{key}": value for key, value in meta_state("resnet18").items()}
    found = recognise({**state, "criterion.weight": torch.ones(1000)})
    assert found.builder == "resnet18"
    assert found.ignored == ("criterion.weight",)


def test_counters_may_be_missing() -> None:
    network = build_torchvision("resnet18", seed=0)
    old = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    found = recognise(old)
    assert found.builder == "resnet18"
    build_torchvision("resnet18").load_state_dict(found.state, strict=True)


def test_old_names_of_densenet() -> None:
    state = meta_state("densenet121")
    old = {key.replace("norm1", "norm.1").replace("conv2", "conv.2"): value for key, value in state.items()}
    assert old.keys() != state.keys()
    found = recognise(old)
    assert found.builder == "densenet121"
    assert list(found.state) == list(state)


def test_classifier_left_out() -> None:
    network = build_torchvision("resnet18", seed=0)
    found = recognise({key: value for key, value in network.state_dict().items() if "fc." not in key})
    assert (found.builder, found.missing) == ("resnet18", ("fc.weight", "fc.bias"))
    again = build_torchvision("resnet18")
    again.load_state_dict(found.state, strict=True)
    assert torch.equal(again.layer4[1].conv2.weight, network.layer4[1].conv2.weight)
    assert not again.fc.weight.any()


def test_mnasnet_loads_from_the_returned_state() -> None:
    # MNASNet refuses a state without the version that state_dict() notes, which files lose.
    network = build_torchvision("mnasnet0_5", seed=0)
    found = recognise(dict(network.state_dict()))
    build_torchvision("mnasnet0_5").load_state_dict(found.state, strict=True)


def without(state: Mapping[str, Tensor], key: str) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if name != key}


def test_near_misses_name_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netviz.models.recognition.recognise.timm_groups", tuple)
    state = meta_state("resnet34")
    one_missing = recognise(without(state, "layer1.0.conv1.weight"))
    assert one_missing.builder is None
    # 36 convolutions, 36 norms with four tensors each, and fc's weight and bias
    assert one_missing.nearest[0] == "resnet34 (181 of 182 tensors agree; layer1.0.conv1.weight is missing)"
    wrong = recognise({**state, "layer1.0.conv1.weight": torch.empty(32, 64, 3, 3, device="meta")})
    assert wrong.builder is None
    assert wrong.nearest[0].startswith("resnet34 (181 of 182")
    assert "32x64x3x3 instead of 64x64x3x3" in wrong.nearest[0]
    assert len(wrong.nearest) == 3
    surplus = recognise({**state, "layer1.0.gate.weight": torch.empty(1)})
    assert surplus.builder is None
    assert "layer1.0.gate.weight is too many" in surplus.nearest[0]
    third = dict(list(state.items())[: len(state) // 3])
    assert recognise(third).nearest == ()
    half_a_head = recognise(without(state, "fc.bias"))
    assert half_a_head.builder is None


@pytest.mark.parametrize(
    "state", [{}, {"w": torch.zeros(3)}, {".": torch.zeros(1)}, {"a..b": torch.zeros(())}]
)
def test_strange_states_are_a_miss(state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netviz.models.recognition.recognise.timm_groups", tuple)
    found = recognise(state)
    assert (found.builder, found.arguments, dict(found.state)) == (None, {}, {})


def check_timm(name: str) -> None:
    state = build_timm(name, meta=True, num_classes=10).state_dict()
    found = recognise(state)
    assert (found.builder, found.arguments) == (f"timm:{name}", {"num_classes": 10})
    assert list(found.state) == list(state)


def test_timm_is_searched_after_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("timm")
    groups = (("timm:vgg11",), ("timm:resnet18", "timm:resnet18d", "timm:resnet26d"))
    monkeypatch.setattr("netviz.models.recognition.recognise.timm_groups", lambda: groups)
    check_timm("resnet18d")
    grey = build_timm("resnet18d", meta=True, in_chans=1, num_classes=10).state_dict()
    assert recognise(grey).arguments == {"in_chans": 1, "num_classes": 10}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18d", "convnextv2_tiny", "seresnext50_32x4d", "inception_v4"])
def test_timm_in_full(name: str) -> None:
    pytest.importorskip("timm")
    check_timm(name)


def test_meta_networks_have_the_same_state_and_take_no_memory() -> None:
    real, meta = build_torchvision("regnet_x_400mf"), build_torchvision("regnet_x_400mf", meta=True)
    assert [(k, v.shape) for k, v in real.state_dict().items()] == [
        (k, v.shape) for k, v in meta.state_dict().items()
    ]
    assert all(parameter.is_meta for parameter in meta.parameters())


def test_seed_makes_random_weights_repeatable() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, second = (build_torchvision("squeezenet1_1", seed=1).features[0].weight for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(first, build_torchvision("squeezenet1_1", seed=2).features[0].weight)


def test_names_of_builders() -> None:
    assert {"alexnet", "vit_b_16", "fcn_resnet50", "ssd300_vgg16"} <= set(torchvision_names())
    assert not {"r3d_18", "raft_small", "quantized_resnet18", "swin3d_t"} & set(torchvision_names())
    assert not {"fcn_resnet50", "ssd300_vgg16"} & set(classification_names())
    assert default_weights("mobilenet_v2").name == "IMAGENET1K_V1"
    assert default_weights("resnet50").name == "IMAGENET1K_V2"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: build_torchvision("resnet19"), "resnet18"),
        (lambda: build_torchvision("resnet18", colours=3), "colours"),
        (lambda: build_torchvision("r3d_18"), "no network for images"),
    ],
)
def test_wrong_builders_and_arguments(build: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build()


# Equal in every name and shape: they differ only in the size that they scale images to.
AMBIGUOUS = {"fasterrcnn_mobilenet_v3_large_320_fpn": "fasterrcnn_mobilenet_v3_large_fpn"}


@pytest.mark.slow
@pytest.mark.parametrize("name", torchvision_names())
def test_every_builder_is_recognised_as_itself(name: str) -> None:
    for arguments in ({}, {"num_classes": 10}):
        found = recognise(meta_state(name, **arguments))
        assert (found.builder, found.arguments) == (AMBIGUOUS.get(name, name), arguments)
