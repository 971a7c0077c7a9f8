"""Which output of a network counts: the rule that docs/models.md tells."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from netviz.capture.outputs import class_output, dense_output, named_tensors, tensor_named
from netviz.errors import ModelError

SCORES, MAPS, FULL = torch.zeros(1, 10), torch.zeros(1, 16, 4, 4), torch.zeros(1, 5, 32, 32)
Pair = namedtuple("Pair", "embedding scores")


@dataclass
class Answer:
    loss: Tensor | None
    hidden: tuple[Tensor, ...]
    logits: Tensor


NESTED = [{"boxes": torch.zeros(7, 4), "labels": torch.zeros(7, dtype=torch.int64)}, (MAPS, SCORES)]


def test_names_lead_to_the_tensors():
    assert named_tensors(SCORES) == {"": SCORES}
    assert list(named_tensors(NESTED)) == ["0.boxes", "0.labels", "1.0", "1.1"]
    assert list(named_tensors(Answer(None, (MAPS,), SCORES))) == ["hidden.0", "logits"]
    assert list(named_tensors(Pair(MAPS, SCORES))) == ["embedding", "scores"]
    for value in (SCORES, NESTED, Answer(None, (MAPS,), SCORES), OrderedDict(a=MAPS, b=None)):
        for name, tensor in named_tensors(value).items():
            assert tensor_named(value, name) is tensor
    with pytest.raises(ModelError, match="'c' for every image"):
        tensor_named({"a": MAPS}, "c")


@pytest.mark.parametrize(
    ("value", "classes", "for_classes", "for_maps"),
    [
        (SCORES, 0, "", ""),
        (MAPS, 0, "", ""),
        ((SCORES, MAPS), 0, "0", "0"),
        ((MAPS, SCORES), 0, "1", "1"),
        ((MAPS, SCORES), 16, "1", "0"),
        (Answer(None, (MAPS,), SCORES), 0, "logits", "logits"),
        (Pair(torch.zeros(1, 3), SCORES), 0, "scores", "scores"),
        ((torch.zeros(1, 3), SCORES), 10, "1", "1"),
        ({"aux": FULL, "out": FULL}, 0, "out", "out"),
        ((FULL, SCORES), 0, "1", "0"),
        ((SCORES, FULL), 0, "0", "0"),
        ({"features": MAPS, "logits": FULL}, 0, "logits", "logits"),
        (NESTED, 0, "1.1", "1.1"),
        ({"boxes": torch.zeros(7, 4)}, 0, None, None),
        (torch.zeros(1, 5, 6), 0, None, None),
        ((), 0, None, None),
    ],
)
def test_the_output_that_counts(value, classes, for_classes, for_maps):
    found = named_tensors(value)
    assert class_output(found, "net", None, classes) == for_classes
    assert dense_output(found, "net", (32, 32), None, classes) == for_maps


@pytest.mark.parametrize(
    ("value", "asked", "name"),
    [
        (SCORES, 0, ""),
        ((SCORES, MAPS), 1, "1"),
        ((SCORES, MAPS), "-1", "1"),
        ({"colour": SCORES, "shape": SCORES}, "shape", "shape"),
        ({"colour": SCORES, "shape": SCORES}, 1, "shape"),
        ({"a": (MAPS, SCORES), "b": SCORES}, "a", "a.1"),
        ({"a": (MAPS, SCORES), "b": SCORES}, "a.0", "a.0"),
    ],
)
def test_another_can_be_asked_for(value, asked, name):
    assert class_output(named_tensors(value), "net", asked) == name


@pytest.mark.parametrize("asked", ["depth", 2, -3, "1.0", ""])
def test_a_miss_names_what_there_is(asked):
    with pytest.raises(
        ModelError, match=r"net has no output '.*'; its outputs are 0 \(1×10\), 1 \(1×16×4×4\)"
    ):
        class_output(named_tensors((SCORES, MAPS)), "net", asked)
