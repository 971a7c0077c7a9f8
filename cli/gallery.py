"""``netviz gallery``."""

import click

from .options import debug_option, model_options, size_option
from .output import Progress, say


@click.command()
@click.argument("models", metavar="[MODEL]...", nargs=-1)
@click.option(
    "--images",
    "-i",
    multiple=True,
    metavar="PATH",
    help="Image file or folder; may be given several times.  [default: scikit-image's photographs]",
)
@click.option(
    "--layers",
    "-l",
    "only",
    multiple=True,
    metavar="LAYER",
    help="Layer, alias or glob; may be given several times.  [default: all convolutions]",
)
@click.option(
    "--data",
    "-d",
    metavar="DIR",
    help="Labelled images, as for netviz dissect, on which it is measured which concepts the units of all layers "
    "detect.  [default: the colours of the images, of every fourth layer]",
)
@size_option
@click.option("-o", "--out", required=True, metavar="SITE", help="The folder of the site.")
@model_options
@debug_option
def gallery(
    models: tuple[str, ...],
    images: tuple[str, ...],
    only: tuple[str, ...],
    data: str | None,
    size: tuple[int, int] | None,
    out: str,
    trust: bool,
    weights: str,
    seed: int,
) -> None:
    """Make a static site in which a network can be browsed.

    It opens from disk (double-click index.html) and asks nothing of the network. MODEL is mobilenet_v2 if none is
    named; several make one site.
    """
    import tempfile
    from pathlib import Path

    from netviz.analysis import survey
    from netviz.gallery import build, check_site

    check_site(out)
    with tempfile.TemporaryDirectory(prefix="netviz-") as folder:
        runs = [
            survey(
                model,
                Path(folder) / str(number),
                images=images,
                only=only,
                data=data,
                size=size,
                trust=trust,
                weights=weights,
                seed=seed,
                progress=Progress(),
            )
            for number, model in enumerate(models or ("mobilenet_v2",))
        ]
        report = build(runs, out, progress=Progress())
    say(
        f"{len(report.written)} files written, {len(report.unchanged)} unchanged, {report.bytes / 1e6:.1f} MB"
    )
    say(f"open {report.index.resolve()}")
