"""``netviz gallery``."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from .options import MODEL_OPTIONS, debug_option, fit_option, model_options, size_option
from .output import WholeProgress, say

if TYPE_CHECKING:
    from netviz.gallery.build import BuildReport
    from netviz.results.survey import Form

SURVEYING = ("images", "only", "data", "form", "optimize", "resume", "no_site", "size", "fit", *MODEL_OPTIONS)
"""Options that say how runs are made: they mean nothing where only the site is built."""

_OPTIMIZE: "dict[Form, float | None]" = {"quick": 0.0, "standard": 40.0, "full": None}
"""How many seconds pictures of what units want to see may take, by the form."""


@click.command()
@click.argument("models", metavar="[MODEL]...", nargs=-1)
@click.option(
    "--images",
    "-i",
    multiple=True,
    metavar="PATH",
    help="Image file or folder, or package:NAME/FILE for one in an installed package; may be given several times. "
    "All are searched for patches, the first 16 are shown.  "
    "[default: scikit-image's photographs]",
)
@click.option(
    "--layers",
    "-l",
    "only",
    multiple=True,
    metavar="LAYER",
    help="Layer, alias or glob; may be given several times.  [default: all convolutions, and blocks of tokens]",
)
@click.option(
    "--data",
    "-d",
    metavar="DIR",
    help="Labelled images, as for netviz dissect, on which it is measured which concepts the units of all layers "
    "detect.  [default: the colours of the images, of every fourth layer]",
)
@click.option(
    "--quick",
    "form",
    flag_value="quick",
    help="Only what forward passes give: filters, the patches of all units, and maps of the first four images.",
)
@click.option(
    "--full",
    "form",
    flag_value="full",
    help="Show all units (otherwise 16 of each layer), look for concepts in all layers, cut images finer for minimal "
    "images, average fields over more images, and measure what dense evaluation saves.",
)
@click.option(
    "--optimize",
    type=click.FloatRange(min=0, max=1e6),
    metavar="SECONDS",
    help="How long one core may make pictures of what units want to see, as reckoned beforehand: the same SECONDS "
    "give the same pictures. 0 for none.  [default: 40; in the full form as long as it takes]",
)
@click.option(
    "--resume", is_flag=True, help="Go on with an interrupted gallery of the same SITE and options."
)
@click.option(
    "--no-site",
    is_flag=True,
    help="Only measure, into SITE.runs: a later --add or --from shows it.",
)
@click.option(
    "--from",
    "runs",
    multiple=True,
    metavar="RUN...",
    help="Only build, from folders that an earlier gallery left in SITE.runs.",
)
@click.option(
    "--add",
    "added",
    multiple=True,
    metavar="RUN",
    help="Also show the network of such a folder; may be given several times.",
)
@click.option(
    "--compare",
    is_flag=True,
    help="Hold the first network beside each of the others, unit by unit: checkpoints of one architecture.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    metavar="N",
    help="Processes that draw; the site is the same for any number.  [default: one for each core]",
)
@fit_option
@size_option
@click.option("-o", "--out", required=True, metavar="SITE", help="The folder of the site.")
@model_options
@debug_option
@click.pass_context
def gallery(
    ctx: click.Context,
    /,
    models: tuple[str, ...],
    images: tuple[str, ...],
    only: tuple[str, ...],
    data: str | None,
    form: "Form | None",
    optimize: float | None,
    resume: bool,
    no_site: bool,
    runs: tuple[str, ...],
    added: tuple[str, ...],
    compare: bool,
    workers: int | None,
    fit: str,
    size: tuple[int, int] | None,
    out: str,
    **options: Any,
) -> None:
    """Make a static site in which a network can be browsed.

    It opens from disk (double-click index.html) and asks nothing of the network. MODEL is mobilenet_v2 if none is
    named; several make one site.

    What was measured is kept beside the site, in SITE.runs, a folder for each network. The same command again
    measures nothing twice; after an interruption, --resume goes on with what is finished. `netviz gallery --from
    RUN... -o SITE` builds from such folders alone, without running a network.
    """
    from netviz.gallery.build import build
    from netviz.gallery.panels.changed import unlike
    from netviz.gallery.site import check_site
    from netviz.results.survey import read_survey

    check_site(out)
    for one in added:
        read_survey(one)
    if compare and len((*(runs or models), *added, *(models if runs else ()))) < 2:
        raise click.UsageError("--compare holds networks beside each other; name two or more")
    if workers is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        workers = cores if cores > 1 else 0
    if fit == "full" and size is not None:
        raise click.UsageError(
            "--fit full shows images at their own aspect, --size brings all to one; leave one out"
        )
    if runs:
        _refuse_surveying(ctx)
        # What a shell makes of SITE.runs/* are several words, of which only the first belongs to --from.
        folders = [Path(run) for run in (*runs, *models, *added)]
        with WholeProgress([1]) as progress:
            report = build(folders, out, workers=workers, compare=compare, progress=progress.part(0))
        _tell(report)
        return

    from netviz.errors import ModelError
    from netviz.models import load
    from netviz.surveys.survey import open_scope, survey

    specs = models or ("mobilenet_v2",)
    folders = run_folders(out, specs)
    told: list[tuple[str, set[tuple[str, int]]]] = []
    for spec, folder in list(zip(specs, folders, strict=True))[0 if compare else 1 :]:
        # A mistake in the last MODEL is told before the first is measured.
        scope = open_scope(load(spec, **options), folder, images=images, only=only, data=data, size=size)
        told.append((scope.model.name, {(layer.name, layer.channels) for layer in scope.chosen}))
    for name, layers in told[1:] if compare else ():
        if layers.isdisjoint(told[0][1]):
            raise ModelError(unlike(told[0][0], name))
    # Building takes about as long as measuring.
    with WholeProgress([*[1] * len(specs), *([] if no_site else [len(specs)])]) as progress:
        for number, (spec, folder) in enumerate(zip(specs, folders, strict=True)):
            survey(
                spec,
                folder,
                images=images,
                only=only,
                data=data,
                size=size,
                fit=fit,
                form=form or "standard",
                optimize=_OPTIMIZE[form or "standard"] if optimize is None else optimize,
                resume=resume,
                **options,
                progress=progress.part(number),
            )
        folders += map(Path, added)
        built: BuildReport | None = None
        if not no_site:
            part = progress.part(len(specs))
            built = build(folders, out, workers=workers, compare=compare, progress=part)
    if built is not None:
        _tell(built)
    beside = ["--compare"] if compare else []
    again = shlex.join(["netviz", "gallery", "--from", *map(str, folders), *beside, "-o", out])
    say(f"what was measured is kept in {folders[0].parent}; to build{'' if no_site else ' again'}: {again}")


def run_folders(out: str, models: Sequence[str]) -> list[Path]:
    """Return where the run of each MODEL is kept, beside the site."""
    from netviz.results.names import slug, unique_name

    site = Path(out)
    # A site that is called "." or ".." has a name all the same.
    site = site if site.name not in ("", "..") else site.resolve()
    runs, taken = site.with_name(f"{site.name}.runs"), set[str]()
    return [runs / unique_name(slug(Path(model).name), taken) for model in models]


def _refuse_surveying(ctx: click.Context) -> None:
    given = [
        option.opts[0]
        for option in ctx.command.params
        if option.name in SURVEYING and ctx.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(f"--from takes runs as they are; leave out {' and '.join(given)}")


def _tell(report: "BuildReport") -> None:
    say(
        f"{len(report.written)} files written, {len(report.unchanged)} unchanged, {report.bytes / 1e6:.1f} MB"
    )
    say(f"open {report.index.resolve()}")
