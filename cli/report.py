"""``netviz report``: the facts of a saved result or run, without torch."""

from collections.abc import Sequence
from typing import Any

import click

from .links import links_lines
from .options import debug_option, json_option
from .output import print_json, print_lines
from .units import units_lines

SHOWN = 20
"""How many concepts are listed."""


@click.command()
@click.argument("results", metavar="RESULT...", nargs=-1, required=True)
@json_option
@debug_option
def report(results: tuple[str, ...], as_json: bool) -> None:
    """Print the facts of a saved result (.npz), of the folder of a run, or of a table of Network Dissection (.csv).

    Of dissections units, detectors, unique detectors per category and in total are told, of several side by side.
    As in the tables of Network Dissection, unique detectors are for each category the different concepts that are the
    best of that category for some unit, with an IoU that passes (`unique` of --json). The different concepts among
    the units' best over all categories are fewer, and stand beside (`unique_best`).
    """
    from netviz.questions.reader import report as facts_of

    told = [(result, facts_of(result)) for result in results]
    if as_json:
        print_json(told[0][1] if len(told) == 1 else [facts for _, facts in told])
        return
    if all(is_dissection(facts) for _, facts in told):
        print_lines(dissection_lines(told))
        return
    for result, facts in told:
        if len(told) > 1:
            print_lines([f"{result}:"])
        print_lines(_lines(result, facts))


def _lines(result: str, facts: dict[str, Any]) -> list[str]:
    from pathlib import Path

    if Path(result).is_dir():
        return run_lines(facts)
    if facts.get("kind") == "units":
        return units_lines(facts)
    if facts.get("kind") == "links":
        return links_lines(facts)
    return [f"{name}: {_plain(value)}" for name, value in facts.items()]


def run_lines(facts: dict[str, Any]) -> list[str]:
    """Return what is told of a run: its facts, then a line for each layer and each skipped image."""
    lines = _run_head(facts)
    lines += votes_lines(facts) if facts["kind"] == "votes" else _unit_lines(facts)
    if facts["skipped"]:
        lines.append("")
        lines += [f"skipped {one['image']}: {one['reason']}" for one in facts["skipped"]]
    return lines


def votes_lines(facts: dict[str, Any]) -> list[str]:
    """Return for the strongest units of each layer which classes fall most without them."""
    lines = []
    for layer in facts["layers"]:
        how = "exact" if layer["exact"] else "measured"
        lines += ["", f"{layer['name']} ({layer['alias']}): {layer['channels']} units, {how}"]
        rows = [["unit", "falls most without it"]]
        for one in layer["strongest"]:
            falls = ", ".join(f"{fall['label']} {fall['change']:.4g}" for fall in one["falls"])
            rows.append([str(one["unit"]), falls or "no class falls"])
        lines += [f"{number.rjust(6)}  {said}" for number, said in rows]
    return lines


def _run_head(facts: dict[str, Any]) -> list[str]:
    counts = facts["images"]
    return [
        f"network: {facts['network']} ({facts['origin']})",
        *(f"doubt: {doubt}" for doubt in facts.get("doubts", ())),
        f"images: {counts['counted']} counted of {counts['listed']} listed, {counts['skipped']} skipped",
        *(f"{name}: {_option(value)}" for name, value in facts["options"].items() if name != "layers"),
        f"versions: netviz {facts['netviz']}, torch {facts['torch']}",
    ]


def _unit_lines(facts: dict[str, Any]) -> list[str]:
    """Return what the units of each layer of a run of patches do, as a table."""
    head = ("layer", "alias", "kind", "units", "field", "dead", "always on", "largest", "of unit", "non-zero")
    rows = [head]
    for layer in facts["layers"]:
        size = layer["field_size"]
        field = "×".join(f"{side:g}" for side in size) if size else layer["field_status"]
        always = str(len(layer["always_on"])) if layer["rectified"] else "–"
        rows.append(
            (
                layer["name"],
                layer["alias"],
                layer["kind"],
                str(layer["units"]),
                field,
                str(len(layer["dead"])),
                always,
                f"{layer['largest']:.4g}",
                str(layer["largest_unit"]),
                f"{layer['mean_nonzero']:.1%}",
            )
        )
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    return [
        "",
        *("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows),
    ]


def _option(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {'×'.join(map(str, shape))}" for name, shape in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(
            "/".join(map(str, one)) if isinstance(one, list | tuple) else str(one) for one in value
        )
    return str(value)


def is_dissection(facts: dict[str, Any]) -> bool:
    """Return whether facts tell of detectors."""
    return facts.get("kind") == "dissection"


def dissection_lines(named: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """Return a table of one or more dissections side by side, a column for each layer.

    Parameters
    ----------
    named : sequence of (str, dict)
        What each is called, and what `netviz.report` tells of it.
    """
    columns = [(name, facts, layer) for name, facts in named for layer in _layers(facts)]
    lines = []
    for name, facts in named:
        prefix = f"{name}: " if len(named) > 1 else ""
        lines += [prefix + line for line in _head(facts)]
    categories = list(dict.fromkeys(one for _, _, layer in columns for one in layer["by_category"]))
    rows = [["", *(_layer_name(layer) for _, _, layer in columns)]]
    if len(named) > 1:
        rows.insert(0, ["", *(name for name, _, _ in columns)])
    for told, key in (("units", "units"), ("detectors", "detectors"), ("unique detectors", "unique")):
        rows.append([told, *("–" if layer[key] is None else str(layer[key]) for _, _, layer in columns)])
    rows += [
        [f"  {category}", *(str(layer["by_category"].get(category, "–")) for _, _, layer in columns)]
        for category in categories
    ]
    rows.append(["different best concepts", *(str(layer["unique_best"]) for _, _, layer in columns)])
    lines += ["", *_table(rows)]
    found: dict[tuple[str, str], list[int]] = {}
    for at, (_, _, layer) in enumerate(columns):
        for category, label, count in layer["detected"]:
            found.setdefault((category, label), [0] * len(columns))[at] = count
    ranked = sorted(found.items(), key=lambda item: (-sum(item[1]), item[0]))
    if ranked:
        several = len(categories) > 1
        lines += ["", "units that detect"]
        lines += _table(
            [
                [f"  {label}{f' ({category})' if several else ''}", *map(str, counts)]
                for (category, label), counts in ranked[:SHOWN]
            ],
            rows,
        )
        if len(ranked) > SHOWN:
            lines.append(f"  and {len(ranked) - SHOWN} more concepts")
    for name, facts in named:
        prefix = f"{name}: " if len(named) > 1 else ""
        lines += [f"{prefix}skipped {one['image']}: {one['reason']}" for one in facts.get("skipped", ())]
    return lines


def _head(facts: dict[str, Any]) -> list[str]:
    """Return what is told of a whole run: nothing of a CSV file, which does not say."""
    lines = [f"detector: IoU > {facts['detect']:g}"]
    if "options" in facts:
        counts, options = facts["images"], facts["options"]
        lines = [
            f"network: {facts['network']} ({facts['origin']})",
            f"images: {counts['counted']} counted of {counts['listed']} listed, {counts['skipped']} skipped",
            f"labels: {facts.get('data')}; threshold: quantile {options.get('quantile')}; {lines[0]}",
        ]
    elif "network" in facts:
        lines = [f"network: {facts['network']}; images: {facts['images']}; {lines[0]}"]
    return lines


def _layers(facts: dict[str, Any]) -> list[dict[str, Any]]:
    layers = facts.get("layers")
    return list(layers) if isinstance(layers, list) else [facts]


def _layer_name(layer: dict[str, Any]) -> str:
    name, alias = layer.get("name", layer.get("layer", "")), layer.get("alias", "")
    return f"{name} ({alias})" if alias else str(name)


def _table(rows: Sequence[Sequence[str]], like: Sequence[Sequence[str]] = ()) -> list[str]:
    together = [*rows, *like]
    widths = [max(len(row[at]) for row in together) for at in range(len(together[0]))]
    widths[0] = max(widths[0], 24)
    return [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
