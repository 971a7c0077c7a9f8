"""Write openerf_resnet18.npz: the effective fields that the PyPI package openerf finds.

Run it once, in an environment that has openerf, timm and netviz: ``python make_openerf.py``. Needs openerf 0.6.1.
"""

import tempfile
from pathlib import Path

import numpy as np
import openerf.erf
from PIL import Image

from netviz.models.builders import build_torchvision

SIDE = 96
LAYERS = ("layer2", "layer4")


def images() -> np.ndarray:
    """Three noise images, (3, SIDE, SIDE, 3) uint8."""
    return np.random.default_rng(7).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)


def main() -> None:
    network = build_torchvision("resnet18", seed=0).eval()
    # timm reads the transform from here; at the images' own size its resizing and cropping change nothing.
    network.pretrained_cfg = {
        "input_size": (3, SIDE, SIDE),
        "crop_pct": 1.0,
        "interpolation": "bilinear",
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
    }
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, pixels in enumerate(images()):
            Image.fromarray(pixels).save(Path(folder) / f"{number}.png")
        for layer in LAYERS:
            result = openerf.erf.compute_erf(
                network, image_dir=folder, target_layer=layer, device="cpu", show_progress=False
            )
            found[layer] = result.erf_map.astype(np.float32)
    np.savez_compressed(Path(__file__).with_name("openerf_resnet18.npz"), **found)


if __name__ == "__main__":
    main()
