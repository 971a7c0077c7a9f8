"""``netviz draw``: a saved result or run again, without torch."""

from typing import TYPE_CHECKING

import click

from .options import debug_option, out_option
from .output import say, write

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("results", metavar="RESULT...", nargs=-1, required=True)
@click.option("--layer", "-l", help="Which layer of a run: name, alias, glob, or -1 for the last.")
@click.option(
    "--units",
    help="Which units of a run's layer: 0:16 (a range as in Python) or 3,7.  [default: the first 16 not dead; of a "
    "dissection the best; of votes those without which some class falls most]",
)
@click.option(
    "--show",
    type=click.Choice(["concepts", "units", "matrix"]),
    help="What of a dissection: how many units detect each concept; the best units of each, with patches and masks; "
    "or units against concepts.  [default: concepts]",
)
@click.option(
    "--with",
    "beside",
    type=click.Choice(["deconv", "guided"]),
    help="Of a run that netviz patches made with --deconv: below each patch what in it made the unit answer, by a "
    "deconvnet or by guided backpropagation.",
)
@out_option("Picture (.png, .svg, .pdf).  [default: the result's, layer's or run's name with .png]")
@debug_option
def draw(
    results: tuple[str, ...],
    layer: str | None,
    units: str | None,
    show: str | None,
    beside: str | None,
    out: str | None,
) -> None:
    """Draw a saved result again, or a layer of a run, or several dissections side by side.

    RESULT is an .npz that netviz wrote, or the folder that netviz patches wrote: then a sheet with the patches of
    the layer's units is drawn, cut out of the original images. Of the folder that netviz dissect wrote the detected
    concepts are drawn, of all its layers side by side if none is named; so are several RESULTs, which may be folders,
    .npz and tables of Network Dissection (.csv). Of the folder that netviz votes --images wrote the classes are drawn
    that fall without a unit.
    """
    from pathlib import Path

    out = out or _picture_name(Path(results[0]), len(results), layer, show)
    result = results[0] if len(results) == 1 else results
    write(result, out, layer=layer, units=units, show=show, beside=beside, tell=say)


def _picture_name(path: "Path", count: int, layer: str | None, show: str | None) -> str:
    """Return what a picture is called if nothing is said."""
    from pathlib import Path

    from netviz.questions.reader import open_folder

    if count > 1:
        return "comparison.png"
    suffix = f"-{show}" if show in ("units", "matrix") else ""
    if not path.is_dir():
        return f"{path.with_suffix('').name}{suffix}.png"
    run = open_folder(path)
    if run.facts["kind"] == "dissection" and not suffix and layer is None and len(run.layers) > 1:
        return f"{path.resolve().name or 'dissection'}.png"
    return f"{Path(run.choose(layer).file).stem}{suffix}.png"
