"""What takes long says so before it begins."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import netviz
from netviz.capture.tape import record
from netviz.errors import NetvizWarning
from netviz.geometry.incremental.plan import Plan
from netviz.images import Photo
from netviz.questions import duration


@pytest.fixture
def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    return nn.Sequential(*layers).eval()


PHOTO = Photo("noise", np.random.default_rng(0).integers(0, 256, (18, 18, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (
            lambda network: netviz.occlusion(PHOTO, model=network, size=(18, 18), patch=2, stride=2),
            r"81 places of the patch on noise, \S+ s each, take .*; --patch 3 --stride 3 \(36 places\) takes about",
        ),
        (
            lambda network: netviz.minimal(PHOTO, model=network, size=(18, 18), segments=8),
            r"removing \d segments of noise, .* may take .*; --segments 2 at most",
        ),
        (
            lambda network: netviz.field(
                network, layer="conv1", kind="empirical", unit=1, images=[PHOTO], size=(18, 18)
            ),
            r"\d+ places of the patch on 1 images for 1 units take .* fewer --unit",
        ),
    ],
    ids=["occlusion", "minimal", "field"],
)
def test_long_work_is_told_with_numbers(network, monkeypatch, ask, said):
    monkeypatch.setattr(duration, "LONG", 0.0)
    with pytest.warns(NetvizWarning, match=said):
        ask(network)


def test_time_is_what_windows_and_whole_maps_took(network):
    """By hand: two places on windows of 4 of 16 rows and columns, then whole pooled maps."""
    tape = record(network, torch.rand(1, 3, 18, 18), keep=True)
    tape.nodes = tuple(replace(node, seconds=2.0**node.index) for node in tape.nodes)
    assert [node.name for node in tape.nodes] == [
        "conv2d",
        "relu",
        "adaptive_avg_pool2d",
        "flatten",
        "linear",
    ]
    plan = Plan(tape, tape.output, np.array([4]), np.array([4, 8]), (2, 2))
    assert plan.seconds == pytest.approx(2 * ((4 / 16) ** 2 * (1 + 2) + 4 + 8 + 16))
    whole = Plan(tape, tape.output, np.array([4]), np.array([4, 8]), (2, 2), share=0)
    assert whole.seconds == 2 * tape.seconds == 2 * 31


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.123, "0.12 s"), (75, "75 s"), (5400, "90 minutes"), (110_000, "31 hours"), (1e6, "12 days")],
)
def test_durations_are_read_at_once(seconds, words):
    assert duration.duration(seconds) == words
