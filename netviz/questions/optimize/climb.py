"""The way up: many pictures at once, each towards what its own unit wants to see."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor

from netviz.capture import Nonlinearities
from netviz.errors import ModelError
from netviz.images.preparation import normalize_batch
from netviz.models import Preprocessing
from netviz.questions.optimize import views
from netviz.questions.optimize.basis import BASES, Basis, onward
from netviz.questions.optimize.kept import Stand

RATE: Final = {"fourier": 0.05, "pixels": 0.05, "maco": 1.0}
"""Adam's learning rate, by the basis."""
_REDIRECTED: Final = 16
"""During so many steps, from the first and from any in which some picture's gradient is 0, gradients are let through
rectifiers of which nothing would pass."""

_MOMENTS: Final = ("exp_avg", "exp_avg_sq")
"""What Adam remembers beside the step."""


class Target(Protocol):
    """What a picture is to be good for; it knows the network, which it leaves as it was.

    Attributes
    ----------
    met : Nonlinearities
        Whose rule gradients follow.
    """

    @property
    def met(self) -> Nonlinearities:
        """What gradients meet."""

    def answers(self, images: Tensor) -> Tensor:
        """Return what the network gives for images, (N, C, …): a layer's maps, or scores."""


@dataclass(frozen=True)
class Wish:
    """What one picture is to become.

    Attributes
    ----------
    unit : int
        Of the target's answers; -1 for all of them.
    sign : int
        1 if it is to grow, -1 if it is to fall.
    group : int
        Pictures of one group are to differ from each other.
    seeds : tuple of int
        What its beginning is drawn by.
    """

    unit: int
    sign: int
    group: int
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Way:
    """How pictures are optimized.

    Attributes
    ----------
    basis : str
        One of `BASES`.
    steps : int
    size : (int, int)
        Height and width of a picture in pixels.
    seed : int
        Draws how pictures are shown, step by step.
    moved : bool
        Whether the network sees them moved, scaled and turned.
    centre : bool
        Whether a unit's value is that at the centre of its map, not the mean.
    preprocessing : Preprocessing
        How the network wants its images.
    start : Tensor of shape (1, C, H, W) or None
        Where all begin, in 0…1; None for noise.
    """

    basis: str
    steps: int
    size: tuple[int, int]
    seed: int
    moved: bool
    centre: bool
    preprocessing: Preprocessing
    start: Tensor | None = None

    def begin(self, wishes: Sequence[Wish], device: torch.device) -> Basis:
        """Return the pictures as they begin."""
        if self.start is not None:
            return onward(self.start.expand(len(wishes), -1, -1, -1).to(device))
        seeds = [wish.seeds for wish in wishes]
        found = BASES[self.basis](self.size, self.channels, seeds)
        return Basis(found.leaves.to(device), found.render)

    @property
    def channels(self) -> int:
        """How many channels a picture has."""
        return self.preprocessing.channels

    def shown(self, pictures: Tensor, step: int) -> Tensor:
        """Return the pictures as the network sees them in a step; of each as many views, one after the other."""
        if not self.moved:
            return pictures
        return (views.parts if self.basis == "maco" else views.whole)(pictures, self.seed, step)

    def normalized(self, pictures: Tensor) -> Tensor:
        """Return pictures, (N, C, H, W) in 0…255, as the network takes them."""
        return normalize_batch(pictures.movedim(1, 3), self.preprocessing)


def climb(
    target: Target,
    network: torch.nn.Module,
    wishes: Sequence[Wish],
    way: Way,
    device: torch.device,
    *,
    of: str = "the network",
    stood: Stand | None = None,
    tell: Callable[[Callable[[], Stand]], None] = lambda stand: None,
) -> Stand:
    """Optimize pictures together.

    Parameters
    ----------
    target : Target
    network : nn.Module
        What the target runs.
    wishes : sequence of Wish
        A picture for each.
    way : Way
    device : torch.device
    of : str
        What the target is, for messages.
    stood : dict of str to Tensor, optional
        How far they had come, as `tell` was told.
    tell : callable, optional
        Called after each step with what returns how far they have come: a tensor's memory is used again in the next.

    Returns
    -------
    dict of str to Tensor
        ``pictures``, uint8, shape (N, H, W, C); ``values``, float32, shape (N,): what the network gives for each of
        these pictures as it stands there, not moved: the largest value of the unit's map (the smallest where it was
        to fall), that at its centre, the score, or of a layer the mean square; ``led``, bool, shape (N,): whether
        anything ever led anywhere, False for a unit whose gradient was 0 in all steps.

    Raises
    ------
    ModelError
        If no gradient flows to the pictures, or the network gives NaN or infinity.
    """
    basis = way.begin(wishes, device)
    leaves = basis.leaves.requires_grad_(True)
    adam = torch.optim.Adam([leaves], lr=RATE[way.basis])
    led = torch.zeros(len(wishes), dtype=torch.bool, device=device)
    # The functions of TorchScript cannot be made to follow a rule.
    scripted = any(isinstance(one, torch.jit.ScriptModule) for one in network.modules())
    redirected = 0 if scripted else _REDIRECTED
    begun = 0
    if stood is not None:
        begun, redirected = (int(one) for one in stood["steps"])
        leaves.data.copy_(stood["leaves"])
        led.copy_(stood["led"])
        moments = {name: stood[name].to(device) for name in _MOMENTS}
        adam.state[leaves] = {"step": torch.tensor(float(begun)), **moments}

    def stand() -> Stand:
        steps = torch.tensor([step + 1, redirected])
        moments = {name: adam.state[leaves][name] for name in _MOMENTS}
        return {"steps": steps, "leaves": leaves, "led": led, **moments}

    for step in range(begun, way.steps):
        target.met.rule = rule = "redirected" if step < redirected else "gradient"
        with torch.enable_grad():
            seen = way.shown(basis.pictures(), step)
            answers = target.answers(way.normalized(seen * 255))
            worth = _worth(answers, wishes, len(seen) // len(wishes), way.centre)
            if not worth.requires_grad:
                raise ModelError(
                    f"no gradient flows from {of} to the picture, so nothing tells how to make it; give the "
                    "network as it was before it was quantized, or without no_grad"
                )
            (gradient,) = torch.autograd.grad(worth.sum(), leaves)
        leads = gradient.flatten(1).any(1)
        led |= leads
        if rule == "gradient" and not scripted and not bool(leads.all()):
            redirected = step + 1 + _REDIRECTED
        leaves.grad = -gradient
        adam.step()
        tell(stand)
    with torch.no_grad():
        pictures = basis.pictures().mul(255).round().to(torch.uint8)
        answers = target.answers(way.normalized(pictures)).detach()
        values = [reached(answer, wish, way.centre) for answer, wish in zip(answers, wishes, strict=True)]
    if not all(bool(value.isfinite()) for value in values):
        raise ModelError(f"{of} gives NaN or infinity; check the network's weights")
    return {
        "pictures": pictures.movedim(1, 3).contiguous().cpu(),
        "values": torch.stack(values).float().cpu(),
        "led": led.cpu(),
    }


def _worth(answers: Tensor, wishes: Sequence[Wish], seen: int, centre: bool) -> Tensor:
    """Return what each picture is worth, (N,), the mean over its views; less where a group's pictures are alike."""
    units = torch.tensor([wish.unit for wish in wishes for _ in range(seen)], device=answers.device)
    signs = torch.tensor([float(wish.sign) for wish in wishes], device=answers.device)
    if (units < 0).all():
        worth = answers.flatten(1).square().mean(1)
    else:
        of_unit = answers[torch.arange(len(answers), device=answers.device), units]
        worth = _centre(of_unit) if centre else of_unit.flatten(1).mean(1) if of_unit.ndim > 1 else of_unit
    worth = worth.reshape(len(wishes), seen).mean(1)
    groups: dict[int, list[int]] = {}
    for number, wish in enumerate(wishes):
        groups.setdefault(wish.group, []).append(number)
    total = worth * signs
    for members in groups.values():
        if len(members) > 1 and answers.ndim == 4:
            alike = _alike(
                answers.reshape(len(wishes), seen, *answers.shape[1:])[members].transpose(1, 2).flatten(2)
            )
            # By how much is measured by what they are worth: no scale of the network's decides how different.
            total = total - alike * worth[members].detach().abs().sum() / len(wishes)
    return total


def _alike(maps: Tensor) -> Tensor:
    """Return how alike pictures are in a layer, (K, C, P): the mean cosine of their Gram matrices, two by two."""
    grams = torch.nn.functional.normalize((maps @ maps.transpose(1, 2)).flatten(1), dim=1)
    cosines = grams @ grams.T
    count = len(maps)
    return (cosines.sum() - cosines.diagonal().sum()) / (count * (count - 1))


def _centre(maps: Tensor) -> Tensor:
    return maps[..., maps.shape[-2] // 2, maps.shape[-1] // 2] if maps.ndim > 2 else maps


def reached(answer: Tensor, wish: Wish, centre: bool) -> Tensor:
    """Return what the network gives for a picture; see `climb`."""
    if wish.unit < 0:
        return answer.square().mean()
    of_unit = answer[wish.unit]
    if centre and of_unit.ndim == 2:
        return of_unit[of_unit.shape[0] // 2, of_unit.shape[1] // 2]
    return of_unit.max() if wish.sign > 0 else of_unit.min()
