"""Attribution of one image.

What `netviz.attribute` does beyond opening network and image, at 224 px: one pass forth and back, and the map brought
to the image. Against a bare pass of the same network forth and back to the image, and against Captum and
pytorch-grad-cam for the same method; processor time, medians of runs in turns in one
process, one thread. Goal: gradient methods at most 1.3 passes. Captum's guided backpropagation and deconvnet change
modules of the type `nn.ReLU` alone, so that they act on none of MobileNetV2's.

Beside a bare pass on MobileNetV2, which takes 52 ms of processor time (the least of 15 to 25 rounds), noting what
hangs on the network, and giving it back, takes 4 ms; torch's own cost of watching for writes to the network (240
operations through a dispatch mode in Python) 5 to 6 ms, of which what netviz does there is 1 ms; following a rule
at 35 rectifiers 1 ms (deconvnet) to 5 ms (guided, which takes two operations for each where ReLU6 takes one). That
is 1.2 to 1.3 passes, whatever the network does; in those rounds the medians were 1.35 (gradient), 1.32 (guided) and
1.24 (deconvnet). Beside much other work a table tells more. A larger network's operations take longer, and its
share is less.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from netviz.errors import MissingWeightsError
from netviz.images import Photo
from netviz.models import load
from netviz.models.torchvision_import import import_torchvision
from netviz.questions.attribute.measure import Settings, attributions, open_asked

SIDE = 224
RUNS = 5
NETWORKS = ("mobilenet_v2", "resnet50", "vgg16")
METHODS = ("gradient", "gradcam", "layercam", "guided", "deconvnet")


def opened(name: str) -> Any:
    try:
        return load(name)
    except MissingWeightsError:
        return load(name, weights="none")


def bare(network: nn.Module, image: Tensor, target: int) -> Tensor:
    """Run a network forth and back to the image."""
    given = image.clone().requires_grad_(True)
    found: Tensor = torch.autograd.grad(network(given)[0, target], given)[0]
    return found


def peers(network: nn.Module, layer: nn.Module, image: Tensor, target: int) -> dict[str, Callable[[], Any]]:
    """Return what others are asked, by method and name."""
    from captum.attr import Deconvolution, GuidedBackprop, LayerGradCam, Saliency

    given = image.clone().requires_grad_(True)
    found: dict[str, Callable[[], Any]] = {
        "gradient Captum": lambda: Saliency(network).attribute(given, target=target, abs=False),
        "gradcam Captum": lambda: LayerGradCam(network, layer).attribute(given, target=target),
        "guided Captum": lambda: GuidedBackprop(network).attribute(given, target=target),
        "deconvnet Captum": lambda: Deconvolution(network).attribute(given, target=target),
    }
    import_torchvision()
    from pytorch_grad_cam import GradCAM, LayerCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    targets = [ClassifierOutputTarget(target)]
    # Made once: each call then runs with its hooks.
    for name, made in (("gradcam", GradCAM(network, [layer])), ("layercam", LayerCAM(network, [layer]))):
        found[f"{name} pytorch-grad-cam"] = lambda made=made: made(input_tensor=image, targets=targets)  # type: ignore[misc]
    return found


def spent(function: Callable[[], Any]) -> float:
    """Return the processor time of a call; infinity where it raises."""
    begin = time.process_time()
    try:
        function()
    except Exception:
        return float("inf")
    return time.process_time() - begin


def measure(name: str, runs: int) -> list[str]:
    """Return the lines of a network: in passes forth and back."""
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    model = opened(name)
    asked = open_asked(Photo("noise", pixels), model, None, None, 0, None)
    network, image = asked.shown.opened.network.eval(), asked.probe.image
    attributions(asked, ["gradcam"], Settings())
    layer = network.get_submodule(asked.layer.module if asked.layer else "")
    calls: dict[str, Callable[[], Any]] = {"bare": lambda: bare(network, image, 0)}
    calls |= {f"{one} netviz": lambda one=one: attributions(asked, [one], Settings()) for one in METHODS}  # type: ignore[misc]
    calls |= peers(network, layer, image, 0)
    times: dict[str, list[float]] = {one: [] for one in calls}
    for _ in range(runs + 1):
        for one, call in calls.items():
            times[one].append(spent(call))
    # The first round warms up.
    medians = {one: statistics.median(found[1:]) for one, found in times.items()}
    one_pass = medians.pop("bare")

    def cell(method: str, who: str) -> str:
        found = medians.get(f"{method} {who}")
        return "" if found is None else "raises" if found == float("inf") else f"{found / one_pass:.2f}"

    others = ("netviz", "Captum", "pytorch-grad-cam")
    return [
        f"| {name} | {method} | {1000 * one_pass:.0f} ms | {' | '.join(cell(method, who) for who in others)} |"
        for method in METHODS
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--networks", nargs="*", default=NETWORKS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print("| network | method | one pass | netviz, passes | Captum, passes | pytorch-grad-cam, passes |")
    print("|---|---|---|---|---|---|")
    for name in asked.networks:
        for line in measure(name, asked.runs):
            print(line, flush=True)


if __name__ == "__main__":
    main()
