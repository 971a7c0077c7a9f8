"""What a training run tells of itself in run.json."""

import platform
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from netviz._version import __version__
from netviz.analysis.common import ModelSpec
from netviz.analysis.runs import bytes_of, digest, full_name, weights_print
from netviz.fcn.training_data import Segmentation
from netviz.fcn.training_loop import Plan
from netviz.fcn.training_state import Standing
from netviz.models import Model
from netviz.models.builders import torchvision_names
from netviz.models.recognise import recognise
from netviz.models.skips import SkipNetwork


def builder_of(backbone: ModelSpec, model: Model) -> str:
    """Return the name by which a backbone can be built again; "" for a module that was made in Python."""
    if isinstance(backbone, nn.Module):
        return ""
    name = model.name if isinstance(backbone, Model) else str(backbone)
    if name.startswith("timm:") or name in torchvision_names():
        return name
    return recognise(model.weights).builder or ""


def run_facts(
    model: Model, network: SkipNetwork, plan: Plan, data: Segmentation, val: Segmentation
) -> dict[str, Any]:
    """Return what run.json tells."""
    options = {
        "backbone": model.name,
        "origin": model.origin,
        "taps": [asdict(tap) for tap in network.taps],
        "classes": list(data.classes),
        "learned": network.learned,
        "recipe": asdict(plan.recipe),
        "stages": [asdict(stage) for stage in plan.stages],
        "lr": plan.lr,
        "augmentation": asdict(plan.augmentation),
        "class_weights": list(plan.weights),
        "seed": plan.seed,
        "precision": plan.precision,
        "images": {"train": len(data), "val": len(val)},
    }
    parts = {
        kind: [[full_name(name), bytes_of(name)] for name in map(part.name, range(len(part)))]
        for kind, part in (("images", data), ("validation images", val))
    }
    return {
        "kind": "fcn training",
        "netviz": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": plan.device,
        "options": options,
        "fingerprint": {
            "backbone": weights_print(model),
            **{kind: digest(files) for kind, files in parts.items()},
            "options": digest(options),
        },
    }


def best_epoch(standing: Standing) -> dict[str, Any]:
    """Return the last stage's best epoch."""
    stage = standing.log[-1]["stage"]
    last = [entry for entry in standing.log if entry["stage"] == stage]
    finest = stage.rpartition("+")[2]
    return max(last, key=lambda entry: entry["mean_iu"][finest] or 0.0)
