"""Folders of transformers and timm answer as these libraries do, with their own processors' values and labels."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import netviz as library
from netviz.errors import MissingWeightsError, ModelError, UntrustedError
from netviz.images import prepare, read_image
from netviz.models.foreign.huggingface import from_processor
from netviz.models.torchvision_import import import_torchvision

import_torchvision()
transformers = pytest.importorskip("transformers")

LABELS = {0: "ant", 1: "bee", 2: "cat"}
SMALL = {"hidden_sizes": [4, 8], "depths": [1, 1], "id2label": LABELS}


def resnet():
    config = transformers.ResNetConfig(embedding_size=4, layer_type="basic", **SMALL)
    processor = transformers.ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=0.8)
    return transformers.ResNetForImageClassification(config), processor


def convnext():
    config = transformers.ConvNextConfig(num_stages=2, **SMALL)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    processor = transformers.ConvNextImageProcessor(
        size={"shortest_edge": 384}, image_mean=mean, image_std=std
    )
    return transformers.ConvNextForImageClassification(config), processor


def mobilenet():
    config = transformers.MobileNetV2Config(depth_multiplier=0.25, id2label=LABELS)
    processor = transformers.MobileNetV2ImageProcessor(
        size={"shortest_edge": 72}, crop_size={"height": 64, "width": 48}, do_normalize=False
    )
    return transformers.MobileNetV2ForImageClassification(config), processor


def segformer():
    config = transformers.SegformerConfig(
        num_encoder_blocks=2, num_attention_heads=[1, 1], sr_ratios=[2, 1], mlp_ratios=[2, 2],
        patch_sizes=[7, 3], strides=[4, 2], decoder_hidden_size=8, **SMALL,
    )  # fmt: skip
    processor = transformers.SegformerImageProcessor(size={"height": 48, "width": 64})
    return transformers.SegformerForSemanticSegmentation(config), processor


def saved(folder, make, **options):
    torch.manual_seed(0)
    network, processor = make()
    for buffer in network.buffers():  # statistics of images, not of nothing
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    transformers.utils.logging.disable_progress_bar()
    network.eval().save_pretrained(folder, **options)
    if processor is not None:
        processor.save_pretrained(folder)
    return network, processor


@pytest.fixture(scope="module")
def ant(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf") / "ant"
    saved(folder, resnet)
    return folder


@pytest.mark.parametrize("make", [resnet, convnext, mobilenet, segformer])
def test_answers_are_those_of_transformers(tmp_path, make):
    network, processor = saved(tmp_path, make)
    photo = read_image("skimage:chelsea")
    expected = processor(Image.fromarray(photo.pixels), return_tensors="pt")["pixel_values"]
    model = library.load(tmp_path)
    shown = prepare(photo.pixels, model.preprocessing).tensor
    # Resized by Pillow here, by torchvision there: a grey level.
    grey = 1 / 255 / min(model.preprocessing.std)
    assert (shown - expected).abs().max() < 1.01 * grey
    with torch.no_grad():
        assert torch.equal(model.network(expected).logits, network(expected).logits)
    assert model.labels == ("ant", "bee", "cat")
    assert (model.preprocessing.assumed, model.preprocessing.size_assumed, model.doubts) == (False, False, ())
    assert model.origin == f"{type(network).__name__} of transformers, from {tmp_path.name}"


def test_maps_are_what_the_layer_gives(ant, netviz, tmp_path):
    model = library.load(ant)
    found = library.maps("skimage:chelsea", layer="resnet.encoder.stages.1", model=model)
    with torch.no_grad():
        shown = prepare(read_image("skimage:chelsea").pixels, model.preprocessing).tensor
        hidden = model.network(shown, output_hidden_states=True).hidden_states
    assert np.abs(found.maps - hidden[-1][0].numpy()).max() < 1e-5
    out = tmp_path / "occlusion.npz"
    done = netviz("occlusion", "skimage:chelsea", "--model", ant, "--class", "bee", "--stride", 16, "-o", out)
    assert (done.status, done.err.count("Error")) == (0, 0)


def test_segmentation_is_dense(tmp_path):
    saved(tmp_path, segformer)
    found = library.dense("skimage:chelsea", model=tmp_path, short_side=48)
    assert tuple(found.labels) == ("ant", "bee", "cat")


def test_several_files_pickles_and_other_settings(ant, tmp_path):
    network, _ = saved(tmp_path / "parts", lambda: (resnet()[0], None), max_shard_size=3000)
    assert len(list((tmp_path / "parts").glob("model-*-of-*.safetensors"))) > 1
    model = library.load(tmp_path / "parts")
    state = network.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in model.weights.items())
    assert model.preprocessing.assumed
    index = tmp_path / "parts" / "model.safetensors.index.json"
    told = json.loads(index.read_text())
    name = sorted(told["weight_map"])[0]
    index.write_text(json.dumps({"weight_map": {**told["weight_map"], name: "../ant/model.safetensors"}}))
    with pytest.raises(ModelError, match=r"names '\.\./ant/model\.safetensors', which is not in its folder"):
        library.load(tmp_path / "parts")
    index.write_text(json.dumps({"weight_map": {**told["weight_map"], name: "gone.safetensors"}}))
    with pytest.raises(ModelError, match=r"lacks gone\.safetensors, a part of its weights"):
        library.load(tmp_path / "parts")

    old = tmp_path / "old"
    old.mkdir()
    (old / "config.json").write_bytes((ant / "config.json").read_bytes())
    with pytest.raises(ModelError, match=r"holds no weights: model\.safetensors is missing"):
        library.load(old)
    torch.save(state, old / "pytorch_model.bin")
    assert torch.equal(library.load(old).weights["classifier.1.bias"], state["classifier.1.bias"])
    torch.save({"state_dict": state, "x": resnet}, old / "pytorch_model.bin")  # code beside the weights
    with pytest.raises(UntrustedError, match="trust"):
        library.load(old)
    torch.save(
        {key: value for key, value in state.items() if "classifier" not in key}, old / "pytorch_model.bin"
    )
    model = library.load(old)
    assert "lacks 2 of its weights (classifier.1.bias, …)" in model.doubts[0]
    with pytest.raises(ModelError, match="lacks all 2 weights of classifier: there are no class scores"):
        library.occlusion("skimage:coffee", model=model)


def test_code_in_a_folder_is_not_run_without_trust(ant, tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    config = {
        "model_type": "mine",
        "architectures": ["Mine"],
        "auto_map": {"AutoConfig": "code.MyConfig", "AutoModel": "code.Mine"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    (folder / "model.safetensors").write_bytes((ant / "model.safetensors").read_bytes())
    with pytest.raises(UntrustedError, match=r"brings Python code of its own.*--trust"):
        library.load(folder)
    assert not (tmp_path / "ran").exists()


def test_what_takes_no_images_is_refused(ant, tmp_path):
    config = transformers.BertConfig(
        vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    saved(tmp_path, lambda: (transformers.BertModel(config), None))
    with pytest.raises(ModelError, match="is a BertModel: it takes input_ids, and netviz gives images"):
        library.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "nosuch"}))
    with pytest.raises(ModelError, match=r"transformers cannot open .*nosuch"):
        library.load(tmp_path)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        # By hand: (p / 127.5 - 1 - mean) / std; (p / 255 - mean) / std² ; p as it is, blue first.
        (
            {"rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": True, "image_mean": [0.5] * 3,
             "image_std": [0.25] * 3},
            lambda p: (p / 127.5 - 1 - 0.5) / 0.25,
        ),
        (
            {"do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.2] * 3, "include_top": True},
            lambda p: (p / 255 - 0.5) / 0.04,
        ),
        ({"do_rescale": False, "do_flip_channel_order": True}, lambda p: p[..., ::-1]),
        ({"do_normalize": True, "image_mean": [0.5], "image_std": [0.5]}, lambda p: (p[..., :1] / 255 - 0.5) / 0.5),
    ],
)  # fmt: skip
def test_values_of_processors(told, expected):
    grey = len(told.get("image_mean", "rgb")) == 1
    pixels = (
        np.random.default_rng(0)
        .integers(0, 256, (8, 8, 1 if grey else 3), np.uint8)
        .repeat(3 if grey else 1, 2)
    )
    preprocessing = from_processor({"do_resize": False, **told})
    found = prepare(pixels, preprocessing).tensor[0].permute(1, 2, 0).numpy()
    assert np.abs(found - expected(pixels.astype(float))).max() < 1e-3


def test_a_folder_of_timm(tmp_path):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=3).eval()
    config = {
        "architecture": "test_resnet",
        "num_classes": 3,
        "label_names": ["ant", "bee", "cat"],
        "pretrained_cfg": {
            "input_size": [3, 160, 160],
            "mean": [0.1, 0.2, 0.3],
            "std": [1, 1, 1],
            "crop_pct": 0.95,
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    from safetensors.torch import save_file

    save_file(network.state_dict(), tmp_path / "model.safetensors")
    model = library.load(tmp_path)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model.network(image), network(image))
    assert (model.labels, model.preprocessing.mean) == (("ant", "bee", "cat"), (0.1, 0.2, 0.3))
    assert model.preprocessing.crop == (160, 160)


def test_without_the_extra_filters_work(ant, monkeypatch, netviz):
    first = library.filters(ant, layer="conv1").weight
    monkeypatch.setitem(sys.modules, "transformers", None)
    key = "resnet.embedder.embedder.convolution"
    assert np.array_equal(library.filters(ant, layer=key).weight, first)
    done = netviz("maps", "skimage:coffee", "--model", ant, "--layer", "conv1")
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "needs transformers" in done.err
    assert "pip install 'netviz[hf]'" in done.err


def test_a_network_of_the_hub(ant, monkeypatch, tmp_path, netviz):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    done = netviz("layers", "hf:owner/ant")
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "hf:owner/ant is not on this machine and cannot be downloaded" in done.err
    with pytest.raises(MissingWeightsError):
        library.load("hf:owner/ant@v2", weights="none")
    with pytest.raises(ModelError, match="is no name on the hub"):
        library.load("hf:../ant")
    # As the hub's own cache keeps it.
    snapshot = tmp_path / "models--owner--ant" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (tmp_path / "models--owner--ant" / "refs").mkdir()
    (tmp_path / "models--owner--ant" / "refs" / "main").write_text("0" * 40)
    for one in ant.iterdir():
        (snapshot / one.name).write_bytes(one.read_bytes())
    model = library.load("hf:owner/ant")
    assert (model.name, model.labels) == ("hf:owner/ant", ("ant", "bee", "cat"))
    assert torch.equal(model.weights["classifier.1.bias"], library.load(ant).weights["classifier.1.bias"])
    bare = library.load("hf:owner/ant", weights="none", seed=7)
    assert bare.doubts == ("untrained weights: what the network answers to is chance",)
    assert not torch.equal(bare.weights["classifier.1.weight"], model.weights["classifier.1.weight"])


def test_a_processor_that_pads_is_doubted(ant, tmp_path):
    for one in ("config.json", "model.safetensors"):
        (tmp_path / one).symlink_to(ant / one)
    told = {"image_processor_type": "Swin2SRImageProcessor", "do_rescale": True}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(told), encoding="utf-8")
    (doubt,) = library.load(tmp_path).doubts
    assert doubt == "its processor pads images after resizing them (do_pad), which is not done here"
