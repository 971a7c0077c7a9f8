"""``netviz diff``."""

from typing import Any

import click

from .options import fit_option, images_option, result_options, size_option
from .output import Progress, deliver, print_lines, say


@click.command()
@click.argument("model")
@click.argument("other")
@click.option(
    "--layer",
    "-l",
    multiple=True,
    metavar="LAYER",
    help="Convolution, alias or glob; may be given several times.  [default: all convolutions]",
)
@images_option(
    "Image file or folder, shown to both networks; may be given several times.  [default: none, filters alone are "
    "compared]",
)
@click.option(
    "--by",
    type=click.Choice(["filter", "maps", "patches"]),
    help="Order units by the distance of their filters, the correlation of their maps, or the patches that both have."
    "  [default: maps where there are images, else filter]",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=24,
    show_default=True,
    help="How many units are drawn, those that changed most.",
)
@click.option(
    "--other-weights",
    default="default",
    show_default=True,
    metavar="default|none|FILE",
    help="As --weights, for OTHER.",
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
@result_options("diff.png")
def diff(out: str | None, as_json: bool, images: tuple[str, ...], **options: Any) -> None:
    """Tell which units changed from one checkpoint of a network to another, and how much.

    MODEL is the first, OTHER the second: before and after fine-tuning or pruning, or of another seed. Convolutions of
    the same name and shape are compared, unit by unit; the others are named.

    The NPZ holds `place`, `unit`, `distance`, `cosine`, `zero`, `other_zero`, `change` and `order` (N,) of all units,
    and with --images `correlation`, `common`, `dead`, `other_dead` (N,) and the `patches` of those drawn.
    """
    from netviz.questions.diff.measure import diff as compare

    result = compare(images=images or None, **options, progress=Progress())
    for name, reason in result.skipped:
        say(f"left out {name}: {reason}")
    if not as_json:
        print_lines(diff_lines(result.summary()))
    deliver(result, out, "diff.png", as_json)


def diff_lines(facts: dict[str, Any]) -> list[str]:
    """Return what is told of two networks: a line for each layer that changed most, and for what was not compared."""
    layers = facts["layers"]
    changed = [one for one in layers if one["changed"]]
    lines = [
        f"{facts['network']} and {facts['other']}: {len(changed)} of {len(layers)} convolutions have other filters"
    ]
    for one in sorted(changed, key=lambda one: -one["mean_distance"])[:5]:
        name = one["layer"] if one["alias"] in ("", one["layer"]) else f"{one['layer']} ({one['alias']})"
        zeroed = f", {len(one['zeroed'])} became 0" if one["zeroed"] else ""
        lines.append(
            f"  {name}: {one['changed']} of {one['channels']} filters, mean distance "
            f"{one['mean_distance']:.3g}{zeroed}"
        )
    if len(changed) > 5:
        lines.append(f"  and {len(changed) - 5} more (--json tells all)")
    lines += [f"not compared: {one[0]}: {one[1]}" for one in facts["unmatched"][:5]]
    if len(facts["unmatched"]) > 5:
        lines.append(f"and {len(facts['unmatched']) - 5} more")
    return lines
