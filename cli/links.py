"""``netviz links``."""

from typing import Any

import click

from .options import layer_option, result_options, size_option
from .output import deliver, print_lines


@click.command()
@click.argument("model", default="mobilenet_v2")
@layer_option("The unit's layer: name, alias, glob, or -1 for the last with maps.")
@click.option("--unit", "-u", type=int, required=True, help="Number of the unit; -1 is the last.")
@click.option(
    "--run",
    metavar="RUN",
    help="A run of netviz patches: shows patches of every unit, and links by typical activation too.",
)
@click.option(
    "--from",
    "before",
    metavar="LAYER",
    help="From which layer's units it is built.  [default: the nearest that linear steps join to it]",
)
@click.option(
    "--to",
    "after",
    metavar="LAYER",
    help="Which layer's units it feeds.  [default: the nearest that linear steps join to it]",
)
@click.option(
    "--through",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="How many non-linearities on a way are taken as open, as if they were not there.",
)
@click.option(
    "--top", type=click.IntRange(min=1), default=10, show_default=True, help="How many links of each kind."
)
@size_option
@result_options("links.png")
def links(out: str | None, as_json: bool, **options: Any) -> None:
    """Tell what a unit is built from and what it feeds, by its weights: no image is needed.

    The weights between units are multiplied out over what lies between them, as long as it is linear: convolutions,
    batch normalization, sums, concatenations, mean pooling. Of a unit that linear steps join to the class scores, the
    classes that it raises and lowers are told.

    The NPZ holds `before_norms` and `before_sums` (C,) of all units of the layer before, `before_units` (K,) and
    `before_kernels` (K, kh, kw) of those shown, the same of the layer `after`, and `class_weights` (classes,).
    """
    from netviz.questions.links.measure import links as find

    result = find(**options)
    if not as_json:
        print_lines(links_lines(result.summary()))
    deliver(result, out, "links.png", as_json)


def links_lines(facts: dict[str, Any]) -> list[str]:
    """Return what is told of a unit's links, a line for each kind."""
    lines = [
        f"{facts['network']}, {_named(facts['layer'], facts['alias'])}: unit {facts['unit']} of {facts['channels']}"
    ]
    for side, verb in (("before", "built from"), ("after", "feeds")):
        told = facts[side]
        if told is None:
            if side == "before" or "class_links" not in facts:
                lines.append(f"{verb}: {facts[f'{side}_missing']}")
            continue
        count = f"{told['channels']} unit{'' if told['channels'] == 1 else 's'}"
        head = f"{verb} {_named(told['layer'], told['alias'])}, {count}"
        if told["opened"]:
            head += f", as if {', '.join(told['opened'])} were not there"
        lines.append(f"{head}:")
        strongest = facts.get(f"{side}_strongest", ())
        lines.append("  " + ", ".join(_link(one, told["labels"]) for one in strongest))
        weighed = facts.get(f"{side}_strongest_by_typical", ())
        if weighed:
            lines.append("  by activation: " + ", ".join(_link(one, told["labels"]) for one in weighed))
    for word in ("raised", "lowered"):
        some = facts["class_links"][word] if "class_links" in facts else ()
        if some:
            lines.append(f"{word}: " + ", ".join(_class(one) for one in some))
    return lines


def _named(layer: str, alias: str) -> str:
    return layer if alias in ("", layer) else f"{layer} ({alias})"


def _link(link: dict[str, Any], labels: list[str]) -> str:
    name = labels[link["unit"]] if labels else str(link["unit"])
    if link["share"] is None or link["sum"] is None:
        return f"{name} NaN"
    return f"{name} {'-' if link['sum'] < 0 else '+'}{link['share']:.1%}"


def _class(one: dict[str, Any]) -> str:
    weight = "NaN" if one["weight"] is None else f"{one['weight']:+.3g}"
    return f"{one['name'] or one['number']} {weight}"
