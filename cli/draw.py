"""``netviz draw`` and ``netviz report``: a saved result or run again, without torch."""

from typing import Any

import click

from .options import debug_option, json_option, out_option
from .output import print_json, say
from .report_dissect import dissection_lines, is_dissection


@click.command()
@click.argument("result", metavar="RESULT")
@click.option("--layer", "-l", help="Which layer of a run: name, alias, glob, or -1 for the last.")
@click.option(
    "--units",
    help="Which units of a run's layer: 0:16 (a range as in Python) or 3,7.  [default: the first 16 not dead]",
)
@out_option("Picture (.png, .svg, .pdf).  [default: the result's or layer's name with .png]")
@debug_option
def draw(result: str, layer: str | None, units: str | None, out: str | None) -> None:
    """Draw a saved result again, or a layer of a run.

    RESULT is an .npz that netviz wrote, or the folder that netviz patches wrote: then a sheet with the patches of
    the layer's units is drawn, cut out of the original images.
    """
    from pathlib import Path

    from netviz.render import draw as draw_result
    from netviz.results import open_run

    path = Path(result)
    if out is None and path.is_dir():
        out = f"{Path(open_run(path).choose(layer).file).stem}.png"
    out = out or path.with_suffix(".png").name
    say(f"wrote {draw_result(path, out, layer=layer, units=units, tell=say)}")


@click.command()
@click.argument("results", metavar="RESULT...", nargs=-1, required=True)
@json_option
@debug_option
def report(results: tuple[str, ...], as_json: bool) -> None:
    """Print the facts of a saved result (.npz), of the folder of a run, or of a table of Network Dissection (.csv).

    Of dissections units, detectors, unique detectors per category and in total are told, of several side by side.
    """
    from netviz.results import report as facts_of

    told = [(result, facts_of(result)) for result in results]
    if as_json:
        print_json(told[0][1] if len(told) == 1 else [facts for _, facts in told])
        return
    if all(is_dissection(facts) for _, facts in told):
        for line in dissection_lines(told):
            click.echo(line)
        return
    for result, facts in told:
        if len(told) > 1:
            click.echo(f"{result}:")
        for line in _lines(result, facts):
            click.echo(line)


def _lines(result: str, facts: dict[str, Any]) -> list[str]:
    from pathlib import Path

    if Path(result).is_dir():
        return run_lines(facts)
    return [f"{name}: {_plain(value)}" for name, value in facts.items()]


def run_lines(facts: dict[str, Any]) -> list[str]:
    """Return what is told of a run: its facts, then a line for each layer and each skipped image."""
    counts = facts["images"]
    lines = [
        f"network: {facts['network']} ({facts['origin']})",
        f"images: {counts['counted']} counted of {counts['listed']} listed, {counts['skipped']} skipped",
        *(f"{name}: {_option(value)}" for name, value in facts["options"].items() if name != "layers"),
        f"versions: netviz {facts['netviz']}, torch {facts['torch']}",
    ]
    head = ("layer", "alias", "kind", "units", "field", "dead", "always on", "largest", "of unit", "non-zero")
    rows = [head]
    for layer in facts["layers"]:
        size = layer["field_size"]
        field = "×".join(f"{side:g}" for side in size) if size else layer["field_status"]
        counted = (
            (str(len(layer["dead"])), str(len(layer["always_on"]))) if layer["rectified"] else ("–", "–")
        )
        rows.append(
            (
                layer["name"],
                layer["alias"],
                layer["kind"],
                str(layer["units"]),
                field,
                *counted,
                f"{layer['largest']:.4g}",
                str(layer["largest_unit"]),
                f"{layer['mean_nonzero']:.1%}",
            )
        )
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    lines.append("")
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    if facts["skipped"]:
        lines.append("")
        lines += [f"skipped {one['image']}: {one['reason']}" for one in facts["skipped"]]
    # What run.json says may come from anywhere: nothing in it steers the terminal.
    return [
        "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line.rstrip())
        for line in lines
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
