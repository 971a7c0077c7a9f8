"""``netviz optimize``."""

from typing import Any

import click

from .options import output_option, result_options
from .output import Progress, deliver

_DEFAULT = "optimize.png"


@click.command()
@click.argument("model", default="mobilenet_v2")
@click.option(
    "--layer", "-l", help="The layer whose units are shown: name, alias, glob, or -1 for the last with maps."
)
@click.option(
    "--units",
    help="Which of its units: 0:16 (a range as in Python) or 3,7.  [default: the first 16, of a run those not dead]",
)
@click.option(
    "--class",
    "class_",
    metavar="NAME|INDEX",
    multiple=True,
    help="In place of a layer: classes whose score is to grow, by name or index; may be given several times.",
)
@click.option(
    "--objective",
    type=click.Choice(["channel", "position", "layer"]),
    help="What grows: the mean of a unit's map, its value at the centre, or all units of the layer at once.  "
    "[default: channel]",
)
@click.option(
    "--sign",
    type=click.Choice(["+", "-", "both"]),
    default="+",
    show_default=True,
    help="Make the value large, small, or one picture for each.",
)
@click.option(
    "--diverse",
    type=click.IntRange(min=1, max=8),
    default=1,
    show_default=True,
    help="So many pictures for a large value, as different as can be.",
)
@click.option("--steps", type=click.IntRange(min=1), default=256, show_default=True, help="Steps of Adam.")
@click.option(
    "--side",
    type=click.IntRange(min=16),
    help="Side of a picture in pixels.  [default: 128, or the only one that the network takes]",
)
@click.option(
    "--basis",
    type=click.Choice(["fourier", "pixels", "maco"]),
    default="fourier",
    show_default=True,
    help="What is optimized: a spectrum, pixels, or phases alone with the magnitudes of photographs.",
)
@click.option(
    "--moved/--still",
    default=True,
    show_default=True,
    help="Show the network the picture moved, scaled and turned a little, each step anew.",
)
@click.option("--from", "image", metavar="IMAGE", help="Begin with this image.  [default: noise, by --seed]")
@click.option(
    "--run",
    metavar="RUN",
    help="A run of netviz patches on the same network: pictures are compared with what its images reach, and its "
    "patches stand beside them.",
)
@click.option(
    "--with",
    "beside",
    type=click.Choice(["deconv", "guided", "none"]),
    help="Of a run that has it (netviz patches --deconv): what in its patches made units answer, beside them.  "
    "[default: guided, where it is there]",
)
@click.option(
    "--resume", is_flag=True, help="Go on with pictures that were interrupted: what was done lies beside OUT."
)
@output_option
@result_options(_DEFAULT)
def optimize(class_: tuple[str, ...], out: str | None, as_json: bool, resume: bool, **options: Any) -> None:
    """Make pictures to which units, classes or a whole layer of MODEL answer most.

    It needs no photographs: the network's weights alone say what it looks for. What is done is kept in
    OUT.state.npz twice a minute, until OUT is written.

    The NPZ holds `pictures` (targets, columns, H, W, 3), `activation` (targets, columns), `led`, and of a run
    `quantile`, `reference` (targets, 2), `patches` and `followed`.
    """
    from netviz.questions.optimize.measure import optimize as make
    from netviz.results.ledger import state_beside

    if bool(class_) == (options["layer"] is not None):
        raise click.UsageError("give either --layer, for its units, or --class")
    state = state_beside(out or _DEFAULT, resume)
    result = make(class_=class_ or None, **options, state=state, progress=Progress())
    deliver(result, out, _DEFAULT, as_json)
    state.unlink(missing_ok=True)
