"""How a network is trained: the paper's recipe, and a modern one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """What a training run does unless it is told otherwise.

    Attributes
    ----------
    optimizer : {"sgd", "adamw"}
    lr : float
        Learning rate of the score layers; with a summed loss for an image of `SUMMED_PIXELS`.
    momentum, decay : float
        Momentum (SGD) and weight decay.
    schedule : {"fixed", "poly"}
        Whether the rate stays, or falls as (1 - done)^0.9.
    summed : bool
        Whether the loss is the sum over an image's pixels instead of their mean.
    batch, epochs : int
        Images in a step; epochs of each stage.
    in_turn : bool
        Whether streams are trained one after the other, coarse to fine, instead of all at once.
    stage_rates : tuple of float
        By how much the rate is multiplied in each stage.
    backbone_rate, bias_rate : float
        Rates of the backbone's weights, and of biases, as multiples of `lr`.
    norm : {"frozen", "running"}
        Whether batch normalization keeps the backbone's statistics or goes on measuring.
    cropped : bool
        Whether images are cut to one size, else they are whole.
    flip : bool
    scale : (float, float) or None
    jitter : float
        As in `Augmentation`.
    apart : int
        The loss is taken in every so manieth row and column, a new choice in each step: 1 for every pixel.
    ema : float
        Share of the average of the weights that a step keeps; 0: no average is kept.
    """

    optimizer: str
    lr: float
    momentum: float
    decay: float
    schedule: str
    summed: bool
    batch: int
    epochs: int
    in_turn: bool
    stage_rates: tuple[float, ...]
    backbone_rate: float
    bias_rate: float
    norm: str
    cropped: bool
    flip: bool
    scale: tuple[float, float] | None
    jitter: float
    apart: int
    ema: float


SUMMED_PIXELS = 500 * 375
"""Pixels of the images (of Pascal VOC) that the paper's rate was chosen for, with a summed loss."""

RECIPES = {
    "paper": Recipe(
        optimizer="sgd",
        lr=1e-10,
        momentum=0.99,
        decay=5e-4,
        schedule="fixed",
        summed=True,
        batch=1,
        epochs=60,
        in_turn=True,
        stage_rates=(1.0, 1e-2, 1e-4),
        backbone_rate=1.0,
        bias_rate=2.0,
        norm="frozen",
        cropped=False,
        flip=False,
        scale=None,
        jitter=0.0,
        apart=1,
        ema=0.0,
    ),
    "modern": Recipe(
        optimizer="adamw",
        lr=5e-3,
        momentum=0.9,
        decay=1e-2,
        schedule="poly",
        summed=False,
        batch=8,
        epochs=60,
        in_turn=False,
        stage_rates=(1.0, 0.3, 0.1),
        backbone_rate=0.1,
        bias_rate=1.0,
        norm="running",
        cropped=True,
        flip=True,
        scale=(0.5, 2.0),
        jitter=0.2,
        apart=2,
        ema=0.99,
    ),
}


@dataclass(frozen=True)
class Stage:
    """A part of a training run.

    Attributes
    ----------
    streams : tuple of str
        Whose losses are added, coarse to fine; the last is the one that is judged.
    rate : float
        What the recipe's rate is multiplied with.
    """

    streams: tuple[str, ...]
    rate: float

    @property
    def name(self) -> str:
        """What it is called."""
        return "+".join(self.streams)


def plan_stages(recipe: Recipe, streams: tuple[str, ...], in_turn: tuple[str, ...]) -> tuple[Stage, ...]:
    """Return the stages: one for each stream of `in_turn`, or a single one for all streams.

    Raises
    ------
    ValueError
        If a stage is no stream, or they do not go from coarse to fine.
    """
    if not in_turn:
        return (Stage(streams, 1.0),)
    places = [streams.index(name) if name in streams else -1 for name in in_turn]
    if -1 in places or places != sorted(set(places)):
        raise ValueError(
            f"stages must be among {', '.join(streams)} in this order, not {', '.join(in_turn)}; "
            "leave them out to train all at once"
        )
    last = len(recipe.stage_rates) - 1
    return tuple(Stage((streams[at],), recipe.stage_rates[min(at, last)]) for at in places)
