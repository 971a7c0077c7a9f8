"""The steps of a training run: from the same seed the same weights, interrupted or not."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from netviz.capture import duplicate
from netviz.engines import Progress
from netviz.errors import ModelError
from netviz.fcn.data import Augmentation, Examples, Segmentation, batches, load_batches
from netviz.fcn.evaluation.measure import autocast, confusions
from netviz.fcn.metrics import VOID, metrics
from netviz.fcn.training.recipes import Recipe, Stage
from netviz.fcn.training.state import Standing, read_facts, read_weights, write_state
from netviz.images import normalize_batch
from netviz.models import Preprocessing
from netviz.models.known.skips.network import SkipNetwork


@dataclass(frozen=True)
class Setup:
    """Everything that decides what a training run gives.

    Attributes
    ----------
    recipe : Recipe
        With what was asked for in place of its own.
    stages : tuple of Stage
    lr : float
        Of the score layers in the first stage.
    augmentation : Augmentation
    weights : tuple of float
        Of the classes in the loss; empty if all count the same.
    preprocessing : Preprocessing
    seed : int
    device, precision : str
    workers : int
    """

    recipe: Recipe
    stages: tuple[Stage, ...]
    lr: float
    augmentation: Augmentation
    weights: tuple[float, ...]
    preprocessing: Preprocessing
    seed: int
    device: str
    precision: str
    workers: int


class Trainer:
    """Trains a network with skips, stage by stage.

    Parameters
    ----------
    network : SkipNetwork
        On its device; it is changed.
    setup : Setup
    data, val : Segmentation
        To learn from, and to choose by.
    folder : Path
        Where the run's state is kept.
    fingerprint : dict of str to str
        What makes the run what it is.
    every : float
        Seconds between two states inside an epoch.
    begun : callable
        Called when a stage begins, with a state in the folder from which the run can be resumed.
    finished : callable
        Told after each epoch: the standing, the network to be judged, and whether it is the best one so far.
    progress : callable, optional

    Attributes
    ----------
    kept : bool
        Whether some steps are done in the state that was written last.
    """

    def __init__(
        self,
        network: SkipNetwork,
        setup: Setup,
        data: Segmentation,
        val: Segmentation,
        *,
        folder: Path,
        fingerprint: dict[str, str],
        every: float,
        begun: Callable[[], None],
        finished: Callable[[Standing, SkipNetwork, bool], None],
        progress: Progress | None,
    ) -> None:
        self.network, self.setup, self.data, self.val = network, setup, data, val
        self.folder, self.fingerprint, self.every = folder, fingerprint, every
        self.begun, self.finished, self.progress = begun, finished, progress
        self.kept = False
        self.device = torch.device(setup.device)
        self.average = duplicate(network).eval() if setup.recipe.ema else None
        self.standing = Standing()
        self.steps = max(1, len(data) // min(setup.recipe.batch, len(data)))
        self._weights = torch.tensor(setup.weights, device=self.device) if setup.weights else None
        self._begun = 0
        self._saved = time.monotonic()
        self._told = ""

    def run(self, resume: bool) -> SkipNetwork:
        """Train until the end and return the network that is judged: the average, if one is kept."""
        found = read_facts(self.folder, self.fingerprint) if resume else None
        self.standing = found or self.standing
        devices = [self.device] if self.device.type == "cuda" else []
        self._begun = self._done()
        with torch.random.fork_rng(devices=devices):
            for number, stage in enumerate(self.setup.stages):
                if number < self.standing.stage:
                    continue
                optimizer = self._optimizer()
                scaler = torch.amp.GradScaler(self.device.type, enabled=self.setup.precision == "float16")
                if found is not None:
                    read_weights(self.folder, self.network, self.average, optimizer)
                    with suppress(RuntimeError):  # a scale that is not in use has no state
                        scaler.load_state_dict(self.standing.scaler)
                    found = None
                elif not self._done():
                    self._save(optimizer)
                self.begun()
                self._stage(stage, optimizer, scaler)
        return self.average or self.network

    def _stage(self, stage: Stage, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
        now, recipe = self.standing, self.setup.recipe
        first = now.epoch
        keys = [
            key
            for epoch in range(first, recipe.epochs)
            for key in batches(
                len(self.data),
                recipe.batch,
                self.setup.seed,
                now.stage * recipe.epochs + epoch,
                now.step if epoch == first else 0,
            )
        ]
        examples = Examples(self.data, self.setup.augmentation, self.setup.seed)
        for pixels, truth in load_batches(examples, keys, self.setup.workers):
            started = time.monotonic()
            if now.step == 0:
                now.loss, now.seconds = 0.0, 0.0
            now.loss += self._step(stage, optimizer, scaler, pixels, truth)
            now.step += 1
            now.scaler = scaler.state_dict()
            now.seconds += time.monotonic() - started
            self._tell(stage)
            if now.step == self.steps:
                self._epoch(stage, optimizer)
            elif time.monotonic() - self._saved >= self.every:
                self._save(optimizer)
        now.stage, now.epoch, now.best = now.stage + 1, 0, -1.0

    def _step(
        self,
        stage: Stage,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        pixels: Tensor,
        truth: Tensor,
    ) -> float:
        """Learn from a batch and return its loss, the mean over pixels and streams."""
        now, recipe = self.standing, self.setup.recipe
        step = now.epoch * self.steps + now.step
        # Each step has random numbers of its own, so that a run can go on from any of them.
        torch.manual_seed(
            int(np.random.SeedSequence([self.setup.seed, now.stage, step]).generate_state(1)[0])
        )
        fall = (1 - step / (recipe.epochs * self.steps)) ** 0.9 if recipe.schedule == "poly" else 1.0
        for group in optimizer.param_groups:
            group["lr"] = self.setup.lr * stage.rate * fall * group["scale"]
        image = normalize_batch(pixels.to(self.device), self.setup.preprocessing)
        first = int(torch.randint(recipe.apart, ()))
        grid = first, recipe.apart
        target = truth[:, first :: recipe.apart, first :: recipe.apart].to(self.device).long()
        _train_mode(self.network, recipe.norm)
        with autocast(self.device, self.setup.precision):
            streams = self.network(image.contiguous(memory_format=torch.channels_last), stage.streams, grid)
        losses = [
            functional.cross_entropy(scores, target, weight=self._weights, ignore_index=VOID, reduction="sum")
            for scores in streams.values()
        ]
        total = torch.stack(losses).sum() * recipe.apart**2
        counted = target[target != VOID]
        weight = counted.numel() if self._weights is None else self._weights[counted].sum()
        mean = total / torch.clamp(torch.as_tensor(weight, device=self.device) * recipe.apart**2, min=1)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(total if recipe.summed else mean).backward()  # type: ignore[no-untyped-call]
        value = float(mean.detach()) / len(losses)
        if not math.isfinite(value):
            raise ModelError(
                f"the loss is {value} in stage {stage.name}, epoch {now.epoch + 1}, step {now.step + 1}; "
                "choose a smaller --lr"
            )
        scaler.step(optimizer)
        scaler.update()
        self._follow(now.stage * recipe.epochs * self.steps + step)
        return value

    def _follow(self, step: int) -> None:
        """Let the average follow the weights."""
        if self.average is None:
            return
        # At first the average is short: it must not drag the untrained weights along.
        keep = min(self.setup.recipe.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            mine, theirs = self.average.state_dict(), self.network.state_dict()
            for name, value in mine.items():
                if value.is_floating_point():
                    value.lerp_(theirs[name], 1 - keep)
                else:
                    value.copy_(theirs[name])

    def _epoch(self, stage: Stage, optimizer: torch.optim.Optimizer) -> None:
        """Measure, note and keep what an epoch gave."""
        now = self.standing
        judged = self.average or self.network.eval()
        started = time.monotonic()
        tables = confusions(
            judged,
            self.val,
            self.setup.preprocessing,
            device=self.device,
            precision=self.setup.precision,
            workers=self.setup.workers,
        )
        found = {name: metrics(table.result(), self.data.classes) for name, table in tables.items()}
        score = found[stage.streams[-1]]["mean_iu"] or 0.0
        now.epoch += 1
        now.log.append(
            {
                "stage": stage.name,
                "epoch": now.epoch,
                "loss": now.loss / self.steps,
                "mean_iu": {name: one["mean_iu"] for name, one in found.items()},
                "pixel_accuracy": {name: one["pixel_accuracy"] for name, one in found.items()},
                "lr": optimizer.param_groups[-1]["lr"] / optimizer.param_groups[-1]["scale"],
                "seconds": round(now.seconds, 2),
                "validation_seconds": round(time.monotonic() - started, 2),
            }
        )
        now.step = 0
        best = score > now.best
        now.best = max(score, now.best)
        self._told = "  val " + " ".join(
            f"{name} {100 * (one['mean_iu'] or 0):.1f}" for name, one in found.items()
        )
        self.finished(now, judged, best)
        self._save(optimizer)

    def _save(self, optimizer: torch.optim.Optimizer) -> None:
        write_state(self.folder, self.standing, self.network, self.average, optimizer, self.fingerprint)
        self._saved = time.monotonic()
        self.kept = self._done() > 0

    def _done(self) -> int:
        now, epochs = self.standing, self.setup.recipe.epochs
        return (now.stage * epochs + now.epoch) * self.steps + now.step

    def _tell(self, stage: Stage) -> None:
        if self.progress is None:
            return
        now, recipe = self.standing, self.setup.recipe
        total = len(self.setup.stages) * recipe.epochs * self.steps
        text = (
            f"{stage.name} epoch {now.epoch + 1}/{recipe.epochs}  loss {now.loss / now.step:.3f}{self._told}"
        )
        # Counted from where this process began: that is what the rate is about.
        self.progress(text, self._done() - self._begun, total - self._begun)

    def _optimizer(self) -> torch.optim.Optimizer:
        """Return the recipe's optimizer; each group has its rate, as a multiple of the run's, as ``scale``."""
        recipe = self.setup.recipe
        groups: list[dict[str, Any]] = []
        parts: tuple[tuple[float, float, Sequence[nn.Parameter]], ...] = (
            (recipe.backbone_rate, recipe.decay, list(self.network.backbone.parameters())),
            (1.0, 0.0, list(self.network.step.parameters())),  # interpolation sums to 1: it does not decay
            (1.0, recipe.decay, list(self.network.score.parameters())),
        )
        for rate, decay, parameters in parts:
            kernels = [one for one in parameters if one.ndim > 1]
            others = [one for one in parameters if one.ndim <= 1]  # nor do biases and normalizations
            groups.append({"params": others, "scale": rate * recipe.bias_rate, "weight_decay": 0.0})
            groups.append({"params": kernels, "scale": rate, "weight_decay": decay})
        groups = [group for group in groups if group["params"]]
        if recipe.optimizer == "adamw":
            return torch.optim.AdamW(groups, lr=self.setup.lr)
        return torch.optim.SGD(groups, lr=self.setup.lr, momentum=recipe.momentum)


def _train_mode(network: SkipNetwork, norm: str) -> None:
    """Bring a network into training mode, but for batch normalization that keeps its statistics."""
    network.train()
    if norm == "frozen":
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
