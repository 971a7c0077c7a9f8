"""Holistically-nested edge detection (Xie and Tu, ICCV 2015) on VGG-16."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STAGES = (2, 2, 3, 3, 3)

WIDTHS = (64, 128, 256, 512, 512)


class HED(nn.Module):
    """VGG-16 up to conv5_3 with a side output after each stage, and their fusion.

    ``forward`` takes (N, 3, H, W), BGR in 0…255 minus the mean, of any size, and returns the fused edge logits,
    (N, 1, H, W); :meth:`streams` returns all six. Pooling rounds its output size up, so no image size is cut.
    """

    def __init__(self) -> None:
        super().__init__()
        inputs = 3
        for stage, (count, width) in enumerate(zip(STAGES, WIDTHS, strict=True), start=1):
            for step in range(1, count + 1):
                self.add_module(f"conv{stage}_{step}", nn.Conv2d(inputs, width, 3, padding=1))
                self.add_module(f"relu{stage}_{step}", nn.ReLU())
                inputs = width
            if stage < len(STAGES):
                self.add_module(f"pool{stage}", nn.MaxPool2d(2, 2, ceil_mode=True))
        for stage, width in enumerate(WIDTHS, start=1):
            self.add_module(f"side{stage}", nn.Conv2d(width, 1, 1))
        self.fuse = nn.Conv2d(len(STAGES), 1, 1)

    def streams(self, x: Tensor) -> list[Tensor]:
        """Return the logits of side outputs 1 to 5 and the fused one, each (N, 1, H, W)."""
        size = x.shape[-2:]
        stages = []
        for stage, count in enumerate(STAGES, start=1):
            for step in range(1, count + 1):
                x = self.get_submodule(f"relu{stage}_{step}")(self.get_submodule(f"conv{stage}_{step}")(x))
            stages.append(x)
            if stage < len(STAGES):
                x = self.get_submodule(f"pool{stage}")(x)
        sides = []
        for stage, features in enumerate(stages, start=1):
            side = self.get_submodule(f"side{stage}")(features)
            if stage > 1:
                side = F.interpolate(side, size=size, mode="bilinear", align_corners=False)
            sides.append(side)
        return [*sides, self.fuse(torch.cat(sides, dim=1))]

    def forward(self, x: Tensor) -> Tensor:
        """Return the fused edge logits, (N, 1, H, W)."""
        return self.streams(x)[-1]


def keras_names() -> dict[str, str]:
    """Return, for each parameter here, the name of its data set in the Keras weight file."""
    names = {}
    for stage, count in enumerate(STAGES, start=1):
        for step in range(1, count + 1):
            layer = "conv2d" if step == 1 else f"conv2d_{step - 1}"
            names[f"conv{stage}_{step}"] = f"block{stage}/layers/{layer}/vars"
        names[f"side{stage}"] = f"dsn{stage}/vars"
    names["fuse"] = "fuse/vars"
    return {
        f"{name}.{kind}": f"{group}/{number}"
        for name, group in names.items()
        for number, kind in enumerate(("weight", "bias"))
    }
