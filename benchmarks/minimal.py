"""Minimal images by incremental inference.

The whole greedy search on one photograph at 224 px, about 100 segments filled with the blurred image: every removal
judges each segment that is left. Against one forward pass for each candidate, without batching or incremental
inference (reckoned from 40 passes); against full passes in batches of 4; and netviz's way, which computes only what a
segment can change (the recorded pass, what each removal changes and the check against full passes included).
Processor time on one thread. "Multiplications" and "limit" as for occlusion, for the first removal.
"""

import argparse
import statistics
from collections.abc import Sequence

import torch
from goals import least
from occlusion import best_rate, multiplications, timed

from netviz.capture.tape import record
from netviz.geometry.incremental.regions import RegionPlan
from netviz.images import normalize, prepare, read_image
from netviz.models import load
from netviz.questions.minimal.measure import filled, segmented
from netviz.questions.minimal.search import search

PHOTOGRAPHS = ("coffee",)
SEGMENTS = 100
PASSES = 20


def compare(name: str, segments: int) -> str:
    model = load("mobilenet_v2")
    network = model.runnable().eval()
    prepared = prepare(read_image(f"skimage:{name}").pixels, model.preprocessing)
    labels = segmented(prepared.image, segments)
    image = prepared.tensor
    baseline = normalize(filled(prepared.image, "blur"), model.preprocessing)
    tape = record(network, image, keep=False)
    assert tape.output is not None
    count = int(labels.max()) + 1
    full, shared = multiplications(RegionPlan(tape, tape.output, labels, range(count)))
    with torch.no_grad():
        chosen = int(network(image)[0].argmax())
        each = [timed(lambda: network(image))[0] for _ in range(PASSES)]
    batches, expected = timed(lambda: search(network, image, baseline, labels, chosen, incremental=False))
    each += [timed(lambda: network(image))[0] for _ in range(PASSES)]
    windows, found = timed(lambda: search(network, image, baseline, labels, chosen))
    if found.why_full:
        raise SystemExit(f"no windows were used: {found.why_full}")
    plain = statistics.median(each) * found.evaluations
    limit = plain / (shared / count * found.evaluations / best_rate())
    return (
        f"| {name} | {count} | {found.evaluations:,} | {plain:.1f} s | {batches:.1f} s ({plain / batches:.1f}×) "
        f"| {windows:.1f} s | {full / shared:.1f}× | {limit:.1f}× | {least(plain / windows, 10)} "
        f"| {'yes' if found.order == expected.order else 'no'} |"
    )


def table(photographs: Sequence[str] = PHOTOGRAPHS, segments: int = SEGMENTS) -> str:
    rows = [
        "| photograph | segments | candidates | one pass each | batches of full passes | netviz | multiplications "
        "| limit | ratio | same removals |",
        "|---" * 10 + "|",
    ]
    return "\n".join([*rows, *(compare(name, segments) for name in photographs)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photographs", nargs="*", default=PHOTOGRAPHS)
    parser.add_argument("--segments", type=int, default=SEGMENTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(table(arguments.photographs, arguments.segments))


if __name__ == "__main__":
    main()
