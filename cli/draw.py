"""``netviz draw`` and ``netviz report``: a saved result or run again, without torch."""

from typing import TYPE_CHECKING, Any

import click

from .options import debug_option, json_option, out_option
from .output import print_json, say
from .report_dissect import dissection_lines, is_dissection
from .units import units_lines

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("results", metavar="RESULT...", nargs=-1, required=True)
@click.option("--layer", "-l", help="Which layer of a run: name, alias, glob, or -1 for the last.")
@click.option(
    "--units",
    help="Which units of a run's layer: 0:16 (a range as in Python) or 3,7.  [default: the first 16 not dead; of a "
    "dissection the best]",
)
@click.option(
    "--show",
    type=click.Choice(["concepts", "units", "matrix"]),
    help="What of a dissection: how many units detect each concept; the best units of each, with patches and masks; "
    "or units against concepts.  [default: concepts]",
)
@out_option("Picture (.png, .svg, .pdf).  [default: the result's, layer's or run's name with .png]")
@debug_option
def draw(
    results: tuple[str, ...], layer: str | None, units: str | None, show: str | None, out: str | None
) -> None:
    """Draw a saved result again, or a layer of a run, or several dissections side by side.

    RESULT is an .npz that netviz wrote, or the folder that netviz patches wrote: then a sheet with the patches of
    the layer's units is drawn, cut out of the original images. Of the folder that netviz dissect wrote the detected
    concepts are drawn, of all its layers side by side if none is named; so are several RESULTs, which may be folders,
    .npz and tables of Network Dissection (.csv).
    """
    from pathlib import Path

    from netviz.render import draw as draw_result

    out = out or _picture_name(Path(results[0]), len(results), layer, show)
    result = results[0] if len(results) == 1 else results
    say(f"wrote {draw_result(result, out, layer=layer, units=units, show=show, tell=say)}")


def _picture_name(path: "Path", count: int, layer: str | None, show: str | None) -> str:
    """Return what a picture is called if nothing is said."""
    from pathlib import Path

    from netviz.results import open_dissection, open_run

    if count > 1:
        return "comparison.png"
    suffix = f"-{show}" if show in ("units", "matrix") else ""
    if not path.is_dir():
        return f"{path.with_suffix('').name}{suffix}.png"
    # Only the folder of a dissection has a run of patches inside.
    run = open_dissection(path) if (path / "patches").is_dir() else open_run(path)
    if run.facts["kind"] == "dissection" and not suffix and layer is None and len(run.layers) > 1:
        return f"{path.resolve().name or 'dissection'}.png"
    return f"{Path(run.choose(layer).file).stem}{suffix}.png"


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
    if facts.get("kind") == "units":
        return units_lines(facts)
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
