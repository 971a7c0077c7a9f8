"""Which class a user means, and what a network's output says of each."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor, nn

from netviz.capture.outputs import OneOutput, class_output, listed, one_output
from netviz.capture.tape import Tape
from netviz.errors import ModelError
from netviz.models import Model
from netviz.models.model import unwrap
from netviz.questions.opening import Opened

_SUGGESTED = 6


def find_class(target: str | int | None, scores: Tensor, model: Model) -> int:
    """Return the index of the class that a user named.

    Raises
    ------
    ModelError
        If there is no such class, naming the closest.
    """
    count = len(scores)
    if target is None:
        return int(scores.argmax())
    text = str(target).strip()
    if text.removeprefix("-").isdecimal():
        if 0 <= int(text) < count:
            return int(text)
        raise ModelError(f"{model.name} has no class {text}: its classes are 0 to {count - 1}")
    if not model.labels:
        raise ModelError(
            f"the names of {model.name}'s classes are not known; give the index of a class, 0 to {count - 1}, "
            f"instead of {text!r}"
        )
    names = [label.casefold() for label in model.labels]
    found = [number for number, name in enumerate(names) if name == text.casefold()]
    if len(found) == 1:
        return found[0]
    if found:
        numbers = ", ".join(map(str, found))
        raise ModelError(
            f"{model.name} has {len(found)} classes {text!r}; give one of their indices: {numbers}"
        )
    raise ModelError(f"{model.name} has no class {text!r}; {_closest(text, model.labels)}")


def _closest(text: str, labels: Sequence[str]) -> str:
    """Say which labels a user may have meant: those that hold the text, whole words first, else the most alike."""
    typed = text.casefold()
    folded = {label.casefold(): label for label in labels if label}
    word = re.compile(rf"\b{re.escape(typed)}\b")
    close = difflib.get_close_matches(typed, folded, n=3, cutoff=0.6)
    whole = [name for name in folded if word.search(name)]
    within = [name for name in folded if typed in name]
    names = [folded[name] for name in dict.fromkeys(whole or [*close, *within])]
    if len(names) > _SUGGESTED:
        return f"the closest: {', '.join(names[:_SUGGESTED])} and {len(names) - _SUGGESTED} more"
    if not names:
        return f"give a label such as {labels[0]!r}, or an index from 0 to {len(labels) - 1}"
    return f"the closest: {', '.join(names)}"


def class_label(model: Model, number: int) -> str:
    """Return the name of a class; "" where names are not known."""
    return model.labels[number] if model.labels else ""


def what_is_scored(model: Model, output: str, count: int) -> str:
    """Return what an output's channels are to be called: ``"class"``, or ``"channel"`` where nothing says classes.

    That is said by their names, by the output's (``logits``, ``scores``), by an architecture of torchvision or timm,
    or by a number of classes that the network itself holds; of another, two channels may as well be a direction.

    Parameters
    ----------
    model : Model
    output : str
        The output's name; "" where the network gives one tensor.
    count : int
        How many channels it has.
    """
    if len(model.labels) == count or output.rpartition(".")[2].casefold() in ("logits", "scores"):
        return "class"
    network = unwrap(model.runnable())
    network = network.network if isinstance(network, OneOutput) else network
    if type(network).__module__.startswith(("torchvision.models.", "timm.models.")):
        return "class"
    held = [
        getattr(one, name, None) for one in (network, getattr(network, "config", None)) for name in _COUNTS
    ]
    return "class" if any(type(one) is int and one == count for one in held) else "channel"


_COUNTS = ("num_classes", "n_classes", "classes", "num_labels")


class Scored(NamedTuple):
    """Class scores among what a network returned for an image.

    Attributes
    ----------
    values : Tensor of shape (classes,)
    what : str
        What a score is, for a caption.
    output : str
        The name of the output that holds them; "" where the network gives one tensor.
    called : str
        ``"class"`` or ``"channel"``, as `what_is_scored` tells.
    """

    values: Tensor
    what: str
    output: str
    called: str


class Scores(NamedTuple):
    """A network's class scores on an image.

    Attributes
    ----------
    values, what, output, called
        As in `Scored`.
    network : nn.Module
        Gives that output alone.
    tape : Tape
        Of `network` on the image.
    """

    values: Tensor
    what: str
    output: str
    network: nn.Module
    tape: Tape
    called: str


def scored(
    model: Model, found: Mapping[str, Tensor], question: str, output: str | int | None = None
) -> Scored:
    """Return the score of every class, of what a network gave for one image.

    Parameters
    ----------
    model : Model
    found : mapping of str to Tensor
        All that it returned, by name.
    question : str
        What needs them, for a message.
    output : str or int, optional
        Name or number of the output to take, if not the one that `class_output` finds.

    Raises
    ------
    ModelError
        If no output is (N, classes) or (N, classes, H, W), none has this name, or the classifier is in no file.
    """
    model.require_classifier()
    name = class_output(found, model.name, output, len(model.labels))
    if name is None:
        raise ModelError(
            f"{model.name} has no class scores, (N, classes) or (N, classes, H, W): {listed(found)}; "
            f"{question} needs a classifier"
        )
    values = found[name]
    if model.labels and len(model.labels) != values.shape[1]:
        called = f"output {name} of" if name else "output of"
        raise ModelError(
            f"the {called} {model.name} has {values.shape[1]} channels, which are not its {len(model.labels)} "
            f"classes ({', '.join(model.labels[:2])}, …); {question} needs a classifier"
        )
    called = what_is_scored(model, name, values.shape[1])
    what = f"raw output {name}".rstrip()
    if values.ndim == 4 and values.shape[-2:] != (1, 1):
        height, width = values.shape[-2:]
        what += f", mean over the {called}'s map of {height}×{width} positions"
    return Scored(class_scores(values)[0], what, name, called)


def scores_on(
    opened: Opened, tape: Tape, question: str = "occlusion", output: str | int | None = None
) -> Scores:
    """Return the score of every class on a taped image.

    Parameters
    ----------
    opened : Opened
    tape : Tape
        Of its network on the image; it holds the outputs.
    question, output
        As for `scored`.

    Raises
    ------
    ModelError
        As `scored`.
    """
    found = {name: tape.values[number] for name, number in tape.outputs.items()}
    values, what, name, called = scored(opened.model, found, question, output)
    alone = replace(tape, output=tape.outputs[name])
    return Scores(values, what, name, one_output(opened.network, name), alone, called)


def class_scores(output: Tensor) -> Tensor:
    """Return (P, classes) of an output (P, classes) or (P, classes, H, W)."""
    return output if output.ndim == 2 else output.mean(dim=(2, 3))
