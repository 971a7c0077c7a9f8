"""Local contrast normalization.

The whole of it, on maps of shape (16, 256, 56, 56), float32, window 7, on the CPU, for a window that spans all maps
and for each map by itself. The peers: the direct form, convolutions by whole windows (256 × 49 weights across all
maps, 49 for each) for the mean and for the squares, renormalised at the border in the same way; and map by map with
SciPy (`correlate1d` along both axes) and scikit-image (`gaussian`). All on one thread, since these two use no more;
runs in turns; the difference is the largest, in units of the local deviation. Goal, across all maps: at least 5×
faster than any of them.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from skimage.filters import gaussian
from torch import Tensor

from netviz.questions.contrast.normalize import default_sigma, normalize

SHAPE = (16, 256, 56, 56)
WINDOW = 7
RUNS = 7
SIGMA = default_sigma(WINDOW)
WEIGHTS = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
WEIGHTS /= WEIGHTS.sum()
SQUARE = torch.from_numpy(np.outer(WEIGHTS, WEIGHTS)).float()


def convolved(maps: Tensor, groups: int) -> Tensor:
    """Normalize by convolutions with whole windows; `groups` is 1 across all maps, else their number."""
    channels = maps.shape[1]
    count = 1 if groups == 1 else channels
    kernel = SQUARE.expand(count, channels // groups, WINDOW, WINDOW) / (channels // groups)
    inside = F.conv2d(torch.ones(1, 1, *maps.shape[2:]), SQUARE[None, None], padding=WINDOW // 2)
    centred = maps - F.conv2d(maps, kernel, padding=WINDOW // 2, groups=groups) / inside
    variance = F.conv2d(centred.square(), kernel, padding=WINDOW // 2, groups=groups) / inside
    std = variance.sqrt()
    return centred / torch.maximum(std, std.mean((1, 2, 3) if groups == 1 else (2, 3), keepdim=True))


def map_by_map(maps: Tensor, across: str, blur: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """Normalize by a library's Gaussian filter, which takes one map after the other."""
    found = np.empty(maps.shape, dtype=np.float32)
    inside = blur(np.ones(maps.shape[2:], dtype=np.float32))
    for image, result in zip(maps.numpy(), found, strict=True):
        for group in [slice(None)] if across == "maps" else [slice(n, n + 1) for n in range(len(image))]:
            centred = image[group] - np.mean([blur(one) for one in image[group]], axis=0) / inside
            std = np.sqrt(np.mean([blur(one * one) for one in centred], axis=0) / inside)
            result[group] = centred / np.maximum(std, std.mean())
    return torch.from_numpy(found)


def scipy_blur(values: np.ndarray) -> np.ndarray:
    rows = ndimage.correlate1d(values, WEIGHTS, axis=0, mode="constant")
    return ndimage.correlate1d(rows, WEIGHTS, axis=1, mode="constant")


def skimage_blur(values: np.ndarray) -> np.ndarray:
    reach = (WINDOW // 2 + 0.01) / SIGMA  # the same seven weights
    return gaussian(values, SIGMA, mode="constant", truncate=reach, preserve_range=True)


def compare(runs: int) -> list[str]:
    torch.manual_seed(0)
    maps = torch.randn(SHAPE)
    rows = []
    for across in ("maps", "each"):
        actions: dict[str, Callable[[], Tensor]] = {
            "netviz": partial(normalize, maps, window=WINDOW, across=across),
            "direct": partial(convolved, maps, 1 if across == "maps" else SHAPE[1]),
            "SciPy, map by map": partial(map_by_map, maps, across, scipy_blur),
            "scikit-image, map by map": partial(map_by_map, maps, across, skimage_blur),
        }
        results = {name: action() for name, action in actions.items()}
        times: dict[str, list[float]] = {name: [] for name in actions}
        for _ in range(runs):
            for name, action in actions.items():
                start = time.perf_counter()
                action()
                times[name].append(time.perf_counter() - start)
        ours = times["netviz"]
        for name in list(actions)[1:]:
            ratios = [their / our for their, our in zip(times[name], ours, strict=True)]
            error = float((results[name] - results["netviz"]).abs().max())
            rows.append(
                f"| {across} | {name} | {1000 * statistics.median(times[name]):.0f} ms "
                f"| {1000 * statistics.median(ours):.0f} ms | {statistics.median(ratios):.1f}× "
                f"({min(ratios):.1f}–{max(ratios):.1f}) | {error:.0e} |"
            )
    return rows


def table(runs: int = RUNS) -> str:
    head = [
        f"| across | peer | peer | netviz | ratio (of {runs} runs) | difference |",
        "|---|---|---|---|---|---|",
    ]
    with torch.no_grad():
        return "\n".join([*head, *compare(runs)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(table(arguments.runs))


if __name__ == "__main__":
    main()
