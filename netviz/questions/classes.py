"""Which class a user means, and what a network's output says of each."""

import difflib
import re
from collections.abc import Sequence

from torch import Tensor

from netviz.capture.tape import Tape
from netviz.errors import ModelError
from netviz.models import Model

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


def scores_on(model: Model, tape: Tape, question: str = "occlusion") -> tuple[Tensor, str]:
    """Return the score of every class on a taped image, and what a score is.

    Raises
    ------
    ModelError
        If the network's output is neither (N, classes) nor (N, classes, H, W).
    """
    if tape.output is None or tape.values[tape.output].ndim not in (2, 4):
        shape = "unknown" if tape.output is None else "×".join(map(str, tape.shapes[tape.output]))
        raise ModelError(
            f"{model.name} has no class scores: its main output is {shape}, not (N, classes) or (N, classes, H, W); "
            f"{question} needs a classifier"
        )
    output = tape.values[tape.output]
    if model.labels and len(model.labels) != output.shape[1]:
        raise ModelError(
            f"the main output of {model.name} has {output.shape[1]} channels, which are not its {len(model.labels)} "
            f"classes ({', '.join(model.labels[:2])}, …); {question} needs a classifier"
        )
    if output.ndim == 4 and output.shape[-2:] != (1, 1):
        height, width = output.shape[-2:]
        what = f"raw output, mean over the class's map of {height}×{width} positions"
    else:
        what = "raw output"
    return class_scores(output)[0], what


def class_scores(output: Tensor) -> Tensor:
    """Return (P, classes) of an output (P, classes) or (P, classes, H, W)."""
    return output if output.ndim == 2 else output.mean(dim=(2, 3))
