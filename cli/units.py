"""``netviz units``."""

from typing import Any

import click

from .options import fit_option, images_option, layer_option, result_options, size_option
from .output import Progress, deliver, print_lines, say


@click.command()
@click.argument("model", default="mobilenet_v2")
@layer_option("Layer: name, alias, glob, or -1 for the last with maps.")
@images_option(
    "Image file or folder; may be given several times. Of folders by class the selectivity for classes is told "
    "too.  [default: scikit-image's photographs]",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    help="How many patches of two units are compared.  [default: 9, or a third of the images]",
)
@fit_option
@size_option
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    help="Images in one forward pass.  [default: up to 16, fewer where maps are large]",
)
@click.option(
    "--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Processes that read images."
)
@click.option("--device", help="Such as cuda, mps or cpu.  [default: a CUDA GPU if there is one]")
@click.option("--strict", is_flag=True, help="Stop at an image that cannot be read, instead of naming it.")
@result_options("units.png")
def units(out: str | None, as_json: bool, **options: Any) -> None:
    """Tell what the units of a layer are like: selective for a class, sparse, correlated, with the same patches.

    The NPZ holds `selectivity`, `sparsity` and `zeros` (units,), `class_means` (units, classes), `correlation` and
    `common`, the share of patches in common (units, units), and `order`, in which correlated units are neighbours.
    Beside the units that are redundant, for their patches are others' too, stands the number that images drawn at
    random would give; where that is at least half, none is called so.
    """
    from netviz.questions.units.measure import units as tell

    result = tell(**options, progress=Progress())
    for name, reason in result.skipped:
        say(f"left out {name}: {reason}")
    if not as_json:
        print_lines(units_lines(result.summary()))
    deliver(result, out, "units.png", as_json)


def units_lines(facts: dict[str, Any]) -> list[str]:
    """Return what is told of a layer's units, a line for each thing."""
    named = (
        facts["layer"] if facts["alias"] in ("", facts["layer"]) else f"{facts['layer']} ({facts['alias']})"
    )
    lines = [
        f"{facts['network']}, {named}: {facts['channels']} units, {facts['images']} images, "
        f"{facts['samples']} of {facts['positions']} positions"
    ]
    if facts["mean_selectivity"] is not None:
        counts = facts["class_images"]
        each = f" of {min(counts)} to {max(counts)} images" if counts else ""
        single = f"; {facts['single']} with a single image left out" if facts["single"] else ""
        lines.append(
            f"class selectivity: mean {facts['mean_selectivity']:.3f} over {len(facts['classes'])} classes"
            f"{each}{single}"
        )
        lines += [f"  unit {unit}: {index:.3f} {name}" for unit, index, name in facts["most_selective"]]
    elif facts["single"] and len(facts["classes"]) < 2:
        lines.append("class selectivity: none, fewer than two classes have several images")
    elif facts["classes"]:
        lines.append("class selectivity: none, the layer is not rectified")
    else:
        lines.append("class selectivity: none, the images are not in folders by class")
    if facts["mean_sparsity"] is not None:
        lines.append(f"sparsity: mean {facts['mean_sparsity']:.3f}")
    lines.append(
        f"zeros: {facts['mean_zeros']:.1%} of all values, {len(facts['never_active'])} units never active"
    )
    lines.append("most correlated:")
    lines += [f"  units {first} and {second}: {r:+.3f}" for first, second, r in facts["most_correlated"]]
    left = sum(len(group) - 1 for group in facts["alike"])
    called = f"{left} units redundant"
    if facts["redundant"] is None:
        called = f"{left} units left over, not called redundant"
    chance = "" if facts["chance"] is None else f" ({facts['chance']:.1f} expected by chance)"
    lines.append(
        f"same patches: {len(facts['alike'])} groups of units with half of their {facts['top']} patches in common, "
        f"{called}{chance}"
    )
    if facts["images"] <= facts["top"]:
        lines.append("  these are too few images: every unit has a patch in each")
    lines += [f"  {len(group)} units: {_listed(group)}" for group in facts["alike"][:10]]
    if len(facts["alike"]) > 10:
        lines.append(f"  and {len(facts['alike']) - 10} groups more")
    if facts["skipped"]:
        lines.append(f"skipped: {len(facts['skipped'])} images")
    return lines


def _listed(group: list[int]) -> str:
    return ", ".join(map(str, group[:16])) + (", …" if len(group) > 16 else "")
