"""Whatever a network takes, it runs, or one line says why not, without advice that is no help."""

import json

import numpy as np
import pytest
import torch

import netviz as library
from netviz.errors import ImageError, LayerError, ModelError
from netviz.fcn.streams.measure import show
from netviz.images import Photo, prepare
from netviz.questions.drawing import figure
from support import takers
from support.pictures import texts

REFUSED = {
    "TwoInputs": r"takes 2 inputs \(left, right\), netviz gives one batch of images; wrap it",
    "Dicts": r"does not run on a batch of images, 1×3×224×224 \(it looks up 'image' in a tensor, so it takes dicts\)",
    "Methods": r"batch of images, 1×3×224×224 \('Tensor' object has no attribute 'images'\); give one whose forward",
    "WithoutOperators": r"needs torchvision's compiled operators \(nms\), which do not load",
    "Lines": "takes no images: its convolutions are of type Conv1d",
    "Volumes": "takes no images: its convolutions are of type Conv3d",
    "Lazy": "has lazy layers without weights: run the network once on an image",
}


@pytest.mark.parametrize("name", REFUSED)
def test_one_line_says_why_not(netviz, photo, name):
    with pytest.raises(ModelError, match=REFUSED[name]):
        library.layers(getattr(takers, name)().eval())
    model = f"support.takers:{name}"
    for command in (["layers", model], ["occlusion", photo, "--model", model]):
        done = netviz(*command)
        assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
        with pytest.raises(ModelError, match=REFUSED[name]):
            raise ModelError(done.err)
        assert "--size" not in done.err


@pytest.mark.parametrize(
    ("raised", "sizes", "said"),
    [
        ("no", 2, r"batch of images, 1×3×224×224 \(no\); give one"),
        ("Couldn't load custom C++ ops. …", 1, "compiled"),
    ],
)
def test_a_mistake_that_no_size_mends_is_not_tried_at_every_size(raised, sizes, said):
    runs = []

    class Counting(takers.WithoutOperators):
        def forward(self, x):
            runs.append(tuple(x.shape[2:]))
            raise RuntimeError(raised)

    with pytest.raises(ModelError, match=said):
        library.layers(Counting())
    assert len(set(runs)) == sizes


def test_a_module_that_does_not_run(netviz, photo):
    with pytest.raises(LayerError, match="aux does not run in this forward pass; it has "):
        library.maps(str(photo), model=takers.Idle(), layer="aux", size=(32, 32))
    done = netviz("maps", photo, "--model", "support.takers:Idle", "-l", "aux", "--size", 32)
    assert "aux does not run in this forward pass" in done.err
    for name in ("heads", "auxiliary"):
        with pytest.raises(LayerError, match=f"no layer '{name}' in this network"):
            library.layers(takers.Idle()).resolve(name)


@pytest.mark.parametrize(
    ("network", "channels"),
    [(takers.LateStem(), 3), (takers.LateStem(1), 1), (takers.LateStem(4), 4), (takers.Shuffled(), 3)],
)
def test_the_number_of_channels_is_found_where_the_first_convolution_does_not_read_the_image(
    network, channels
):
    index = library.layers(network, size=(32, 32))
    assert index.input_shape == (channels, 32, 32)


def test_a_late_stem_runs(netviz, photo):
    found = library.maps(str(photo), model=takers.LateStem(1), layer="stem", size=(32, 32))
    assert found.maps.shape == (8, 32, 32)
    done = netviz("maps", photo, "--model", "support.takers:LateStem", "-l", "stem", "--size", 32, "--json")
    assert json.loads(done.out)["arrays"]["maps"] == [8, 32, 32]


def test_complex_maps_are_shown_by_their_magnitude(netviz, photo, tmp_path):
    """Against NumPy's own transform of the layer before."""
    network = takers.Spectral().eval()
    before = library.maps(str(photo), model=network, layer="stem", size=(32, 32)).maps
    found = library.maps(str(photo), model=network, layer="fft", size=(32, 32))
    np.testing.assert_allclose(found.maps, np.abs(np.fft.rfft2(before)), rtol=1e-4, atol=1e-4)
    assert found.layer_kind == "spectrum, magnitude"
    stages = library.stages(str(photo), model=network, layer="stem", size=(32, 32))
    assert all(np.isrealobj(values) for values in stages.arrays().values())
    out = tmp_path / "maps.png"
    done = netviz("maps", photo, "--model", "support.takers:Spectral", "-l", "fft", "--size", 32, "-o", out)
    assert (done.status, "Warning" in done.err) == (0, False)
    assert "spectrum, magnitude" in netviz("layers", "support.takers:Spectral", "--size", 32).out


def test_sides_that_must_be_multiples(netviz, photo):
    """Maps are those of the image reflected by NumPy, cropped; where images are not continued, the remedy is said."""
    network = takers.Halving().eval()
    pixels = np.random.default_rng(0).integers(0, 256, (37, 43, 3), dtype=np.uint8)
    preprocessing = library.load(network).preprocessing
    values = prepare(pixels, preprocessing.sized(37, 43)).tensor
    with torch.no_grad():
        wanted = network(torch.from_numpy(np.pad(values, ((0, 0), (0, 0), (0, 3), (0, 5)), "reflect")))
    found = library.maps(Photo("noise", pixels), model=network, layer="-1", size=(37, 43))
    assert (found.padded, found.maps.shape) == (8, (2, 37, 43))
    shown = show(Photo("noise", pixels), model=network)
    assert shown.padded == 8
    np.testing.assert_allclose(shown.streams["out"], wanted[0, :, :37, :43], rtol=1e-5, atol=1e-5)
    for result in (found, shown, library.dense(Photo("noise", pixels), model=network)):
        assert "continued by reflection to multiples of 8 pixels" in texts(figure(result))
    with pytest.raises(ModelError, match="sides must be multiples of 8; give --size 40x48"):
        library.hypercolumn(Photo("noise", pixels), model=network, layers="conv1", size=(37, 43))
    with pytest.raises(ImageError, match="give another image"):
        show(Photo("small", pixels[:3, :3]), model=network)
    done = netviz(
        "maps", photo, "--model", "support.takers:Halving", "-l", "conv1", "--size", "37x43", "--json"
    )
    assert json.loads(done.out)["padded"] == 8
