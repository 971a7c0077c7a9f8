"""What cannot be cast says why, in one line."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from netviz.errors import ModelError
from netviz.fcn.casting.cast import cast
from support.casting import CLASSES, NATIVE, make, wide


def attend(m: Any, x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    return m.fc(m.attention(tokens, tokens, tokens)[0].mean(1))


REFUSED: dict[str, tuple[Callable[..., Any], dict[str, Callable[[], nn.Module]], str]] = {
    "attention": (
        attend,
        {"attention": lambda: nn.MultiheadAttention(8, 2, batch_first=True)},
        "layer attention.*attention",
    ),
    "products": (
        lambda m, x: m.fc(torch.einsum("nchw,nkhw->nck", x, x).mean(2)),
        {},
        "einsum in its forward weighs all positions",
    ),
    "adaptive": (
        lambda m, x: m.wide(m.odd(x).flatten(1)),
        {"odd": lambda: nn.AdaptiveAvgPool2d(3), "wide": lambda: nn.Linear(72, CLASSES)},
        "odd.*4×4 to 3×3.*choose an input size",
    ),
    "columns": (
        lambda m, x: m.fc(m.row(x).mean((2, 3))),
        {"row": lambda: nn.Linear(4, 4)},
        "row.*each column",
    ),
    "statistics": (lambda m, x: m.fc(x.std((2, 3))), {}, "std in its forward measures all rows and columns"),
    "no end": (lambda m, x: x.flatten(1), {}, "ends in flattened maps of 4×4"),
    "one answer": (
        lambda m, x: m.wide(x[:, :, :4, :4].flatten(1)),
        {"wide": wide},
        "still gives one answer",
    ),
    "position": (
        lambda m, x: m.fc((x + m.place.weight.view(1, 1, 4, 4)).mean((2, 3))),
        {"place": lambda: nn.Linear(16, 1)},
        "does not run on 28×28",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_cast_says_why(name: str) -> None:
    head, layers, message = REFUSED[name]
    with pytest.raises(ModelError, match=message) as caught:
        cast(make(head, **layers), input_size=NATIVE)
    assert "Head cannot be cast: " in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("size", [0, (14, -1), (14, 14, 14), (14.5, 14), "14"])
def test_wrong_sizes(size: Any) -> None:
    network = make(lambda m, x: m.fc(m.pool(x).flatten(1)))
    with pytest.raises(ValueError, match="input_size must be one or two positive whole numbers"):
        cast(network, input_size=size)


def test_too_small_a_size() -> None:
    with pytest.raises(ModelError, match="does not run"):
        cast(make(lambda m, x: m.fc(m.pool(x).flatten(1))), input_size=3)
