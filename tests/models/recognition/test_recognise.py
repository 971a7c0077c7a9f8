"""Architectures are recognised from names and shapes, among torchvision's and timm's networks."""

import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
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
from netviz.models.recognition.index import kept_index
from netviz.models.recognition.make import names, rows
from netviz.models.recognition.recognise import recognise, recognise_as
from netviz.models.recognition.signatures import signature


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


def test_near_misses_name_the_nearest() -> None:
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


@pytest.mark.parametrize(
    "state", [{}, {"w": torch.zeros(3)}, {".": torch.zeros(1)}, {"a..b": torch.zeros(())}]
)
def test_strange_states_are_a_miss(state: dict[str, Tensor]) -> None:
    found = recognise(state)
    assert (found.builder, found.arguments, dict(found.state)) == (None, {}, {})


def check_timm(name: str) -> None:
    state = build_timm(name, meta=True, num_classes=10).state_dict()
    found = recognise(state, name)
    assert (found.builder, found.arguments) == (f"timm:{name}", {"num_classes": 10})
    assert list(found.state) == list(state)


def test_timm_is_searched_too() -> None:
    pytest.importorskip("timm")
    check_timm("resnet18d")
    grey = build_timm("resnet18d", meta=True, in_chans=1, num_classes=10).state_dict()
    assert recognise(grey).arguments == {"in_chans": 1, "num_classes": 10}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18d", "convnextv2_tiny", "seresnext50_32x4d", "inception_v4"])
def test_timm_in_full(name: str) -> None:
    pytest.importorskip("timm")
    check_timm(name)


def test_twins_are_told_apart_by_a_hint() -> None:
    """Both save the same; one pads as TensorFlow does (asymmetrically, by the input's size)."""
    pytest.importorskip("timm")
    plain, other = (
        build_timm(name, seed=0).eval() for name in ("mobilenetv3_small_075", "tf_mobilenetv3_small_075")
    )
    state = plain.state_dict()
    other.load_state_dict(state)
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert not torch.allclose(plain(image), other(image), rtol=0.1)
    found = recognise(state)
    assert (found.builder, found.twins) == ("timm:mobilenetv3_small_075", ("timm:tf_mobilenetv3_small_075",))
    # One that tells nothing does not hide the next.
    found = recognise(state, "mobilenetv3", "tf_mobilenetv3_small_075-da427f52")
    assert (found.builder, found.twins) == ("timm:tf_mobilenetv3_small_075", ("timm:mobilenetv3_small_075",))


def test_equals_are_no_twins() -> None:
    """DeiT's network is ViT's, and timm's ResNet is torchvision's; one of two with another pooling is not."""
    by_name = {known.builder: known for known in kept_index().networks if not known.arguments}
    for one, other, same in (
        ("timm:vit_tiny_patch16_224", "timm:deit_tiny_patch16_224", True),
        ("resnet50", "timm:resnet50", True),
        ("resnet50", "timm:resnetaa50", False),
        ("timm:efficientnet_b0", "timm:tf_efficientnet_b0", False),
        ("timm:vit_base_patch32_clip_224", "timm:vit_base_patch32_clip_quickgelu_224", False),
    ):
        assert by_name[one].computes_as(by_name[other]) is same, (one, other)
        shapes = [kept_index().signature(by_name[builder]).shapes for builder in (one, other)]
        assert shapes[0].keys() == shapes[1].keys()


def test_own_classifier() -> None:
    """Where the classifier was exchanged the rest is recognised: an MLP in the place of a linear layer."""
    state = meta_state("resnet18")
    own = {"fc.0.weight": torch.zeros(9, 512), "fc.0.bias": torch.zeros(9), "fc.2.weight": torch.zeros(4, 9)}
    found = recognise({**without(without(state, "fc.weight"), "fc.bias"), **own})
    assert (found.builder, found.missing) == ("resnet18", ("fc.weight", "fc.bias"))
    assert found.ignored == tuple(own)
    assert found.state["fc.weight"].shape == (1000, 512)


def test_another_kernel_is_another_network() -> None:
    """ResNets for CIFAR have a first convolution of 3×3, whose stride the file does not tell."""
    state = {**meta_state("resnet18"), "conv1.weight": torch.empty(64, 3, 3, 3, device="meta")}
    found = recognise(state)
    assert found.builder is None
    # 20 convolutions, 20 norms with four tensors each, and fc's weight and bias
    assert found.nearest[0] == (
        "resnet18 (101 of 102 tensors agree; conv1.weight is 64x3x3x3 instead of 64x3x7x7)"
    )


def lightning() -> dict[str, Tensor]:
    """Return what a training keeps: the network, a loss with a network, metrics, an averaged copy."""
    state = meta_state("resnet18", num_classes=7)
    vgg = {f"perceptual.{key}": value for key, value in meta_state("vgg11").items() if "features" in key}
    return {
        **{f"model.{key}": value for key, value in state.items()},
        "criterion.pos_weight": torch.ones(7),
        "val_acc.tp": torch.zeros(7),
        **vgg,
        **{f"ema_model.module.{key}": value for key, value in state.items()},
    }


def test_the_network_among_what_training_keeps() -> None:
    found = recognise(lightning())
    assert (found.builder, found.arguments) == ("resnet18", {"num_classes": 7})
    assert (found.prefix, found.parts) == ("model.", ("ema_model.module.",))
    first = {key: value for key, value in lightning().items() if not key.startswith("ema")}
    assert (recognise(first).builder, recognise(first).prefix, recognise(first).parts) == (
        "resnet18",
        "model.",
        (),
    )


def test_a_known_part_of_an_own_network_is_offered() -> None:
    trunk = {f"encoder.{key}": value for key, value in meta_state("resnet34").items() if "fc." not in key}
    found = recognise({**trunk, **{f"decoder.{n}.weight": torch.zeros(n + 1) for n in range(40)}})
    assert (found.builder, found.offers[0]) == (None, ("encoder.", "resnet34"))


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("vgg11", lambda network: network.features),
        ("resnet18", lambda network: torch.nn.Sequential(*list(network.children())[:-1])),
    ],
)
def test_other_names_in_the_same_order_are_offered(name: str, part: Any) -> None:
    state = part(build_torchvision(name, meta=True)).state_dict()
    found = recognise(state)
    assert (found.builder, found.offers) == (None, (("", name),))
    named = recognise_as(name, state)
    assert named is not None
    assert named.missing == tuple(key for key in meta_state(name) if key.startswith(("fc.", "classifier.")))
    assert recognise_as("alexnet", state) is None


def test_a_named_network_takes_another_number_of_classes() -> None:
    found = recognise_as("resnet50", meta_state("resnet50", num_classes=10))
    assert found is not None
    assert found.arguments == {"num_classes": 10}
    assert recognise_as("resnet50", meta_state("resnet34")) is None


def test_a_library_that_differs_from_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found is built and compared again before it is used."""
    state = meta_state("resnet34")
    monkeypatch.setattr(
        "netviz.models.recognition.recognise.signature",
        lambda builder, arguments: signature("resnet18" if builder == "resnet34" else builder, arguments),
    )
    found = recognise(state)
    assert found.builder == "timm:resnet34" if find_spec("timm") else found.builder is None


def check_kept(builder: str) -> None:
    """Compare what the index says with a network that is built now."""
    kept = {repr(known.arguments): known for known in kept_index().networks if known.builder == builder}
    made = rows(builder)
    assert [repr(known.arguments) for known, _, _ in made] == list(kept)
    for known, heads, does in made:
        entry = kept[repr(known.arguments)]
        found = kept_index().signature(entry)
        assert list(found.shapes.items()) == list(known.shapes.items())
        assert (found.classes, found.transient) == (known.classes, known.transient)
        assert (entry.heads, entry.behaviour) == (heads, does)


def same_versions(builder: str) -> bool:
    library = "timm" if builder.startswith("timm:") else "torchvision"
    return bool(find_spec(library)) and version(library) == kept_index().versions[library]


@pytest.mark.parametrize("builder", ["googlenet", "squeezenet1_0", "timm:resnet18d", "timm:test_vit"])
def test_the_index_is_that_of_the_installed_libraries(builder: str) -> None:
    """If this fails, make it anew: python -m netviz.models.recognition.make."""
    if not same_versions(builder):
        pytest.skip("another version")
    check_kept(builder)


@pytest.mark.slow
def test_the_whole_index() -> None:
    kept = [known.builder for known in kept_index().networks]
    assert not set(names()) ^ set(kept)
    for builder in dict.fromkeys(kept):
        if same_versions(builder):
            check_kept(builder)


def test_no_library_is_imported_for_an_unknown_file(tmp_path: Path) -> None:
    torch.save(
        {"0.weight": torch.zeros(4, 3, 3, 3), "2.weight": torch.zeros(4, 4, 3, 3)}, tmp_path / "own.pt"
    )
    code = (
        "import sys, netviz; netviz.filters('own.pt'); netviz.layers('own.pt')\n"
        "print([name for name in ('torchvision', 'timm') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "[]"


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
