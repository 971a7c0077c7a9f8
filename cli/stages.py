"""``netviz stages``."""

from collections.abc import Callable
from typing import Any

import click

from .options import fit_option, layer_option, model_option, result_options, size_option, units_option
from .output import deliver

_NONLINEARITIES = ("relu", "tanh", "sigmoid", "leaky_relu", "elu", "gelu", "silu")
_POOLS = ("max", "sum", "average")


def _some_of(allowed: tuple[str, ...]) -> Callable[..., tuple[str, ...]]:
    """Return a reader of names joined by commas."""

    def read(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(",") if name.strip()) if text is not None else ()
        wrong = next((name for name in names if name not in allowed), None)
        if wrong is not None or (text is not None and not names):
            raise click.BadParameter(f"{text if wrong is None else wrong!r} is none of {', '.join(allowed)}")
        return tuple(dict.fromkeys(names))

    return read


@click.command()
@click.argument("image", metavar="IMAGE")
@layer_option("The convolution: name, alias, glob, or -1 for the last.")
@model_option
@units_option("the 8 with the largest maxima")
@click.option(
    "--nonlinearity",
    metavar="NAME,...",
    callback=_some_of(_NONLINEARITIES),
    help="What if the non-linearity were another: relu, tanh, sigmoid, leaky_relu, elu, gelu, silu.",
)
@click.option(
    "--pool",
    metavar="NAME,...",
    callback=_some_of(_POOLS),
    help="What if the pooling were another: max, sum, average.",
)
@click.option(
    "--window",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Side of the window of --pool, in positions.",
)
@click.option(
    "--step",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Step of the window of --pool; windows overlap if it is smaller than the window.",
)
@fit_option
@size_option
@result_options("stages.png")
def stages(out: str | None, as_json: bool, **options: Any) -> None:
    """Draw what follows a convolution: normalization, non-linearity, pooling, as the network runs them.

    IMAGE is a file, or skimage:NAME for a photograph that comes with scikit-image. Units are rows, stages are
    columns, the filter first. What-ifs are computed from the recorded maps: --nonlinearity from what the network's
    own first non-linearity reads (where it has none, from the convolution's output), --pool from what its own first
    pooling reads (where it has none, from the last stage's output), without padding.

    The NPZ holds the whole layer (C, h, w) after each stage under the names in its facts (`conv1`, `norm1`, `relu1`,
    `what_if_tanh`, ...), `filters` (K, I, kh, kw) and `units` (K) of the units drawn, and `image`.
    """
    from netviz.questions.stages.measure import stages as take_stages

    deliver(take_stages(**options), out, "stages.png", as_json)
