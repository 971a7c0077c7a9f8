"""A small network, and labelled images that its units tell something about."""

from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import nn

import netviz
from netviz.models import Preprocessing

PREPROCESSING = Preprocessing(resize=40, crop=(32, 36), mean=(0.5,) * 3, std=(0.25,) * 3)
QUANTILE = 0.93
CLASSES = ("sky", "road", "void", "tree")


def network():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 5, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1),
    ).eval()


def model(made=None):
    return replace(netviz.load(made or network()), name="net", preprocessing=PREPROCESSING)


def scene(rng, height, width):
    """An image whose brightness goes with its label."""
    label = rng.integers(0, 4, (height // 8 + 1, width // 8 + 1)).repeat(8, 0).repeat(8, 1)[:height, :width]
    noise = rng.integers(0, 60, (height, width, 3))
    return (np.clip(label[..., None] * 60 + noise, 0, 255)).astype(np.uint8), label.astype(np.uint8)


def make_scenes(folder):
    """Write twenty labelled images; one mask at half the resolution, one pixel not scored."""
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    rng = np.random.default_rng(0)
    for number in range(20):
        pixels, label = scene(rng, *[(60, 90), (90, 60), (40, 44), (33, 70)][number % 4])
        Image.fromarray(pixels).save(folder / "images" / f"{number:02}.png")
        if number == 2:
            label = label[::2, ::2]
        label[0, 0] = 255
        Image.fromarray(label).save(folder / "labels" / f"{number:02}.png")
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    return folder
