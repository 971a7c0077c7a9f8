"""Minimal images: saved results → figures, and what the page has to say about them."""

from netviz.questions.minimal.result import MinimalResult

from .commands import command, sized
from .drawing import DAMAGED, damaged, load_kind, write_copy, write_figure
from .manifest_concepts import Minimal, Minimals
from .manifest_parts import Photo
from .pictures import Write
from .plan import Plan
from .run_concepts import RunMinimal


def draw_minimal(plan: Plan, photos: tuple[Photo, ...], write: Write) -> Minimals | None:
    """Draw the minimal images of one network; None where there are none.

    Parameters
    ----------
    plan : Plan
        The run and its addresses.
    photos : tuple of Photo
        The run's.
    write : callable
        Takes each file's path and bytes as soon as it is made.

    Raises
    ------
    ResultError
        If a file of the run is missing or damaged.
    """
    found, page = plan.run.minimal, plan.minimal
    if found is None or page is None:
        return None
    shown = tuple(_minimal(one, plan, photos[one.image], found.segments, write) for one in found.shown)
    return Minimals(page, shown, found.segments)


def _minimal(one: RunMinimal, plan: Plan, photo: Photo, segments: int, write: Write) -> Minimal:
    image = plan.run.images[one.image]
    words = [image.typed, "--model", plan.run.model, "--segments", str(segments), *sized(image.size)]
    typed = command("minimal", *words)
    if one.path is None:
        return Minimal(photo, None, one.missing, typed)
    result = load_kind(one.path, MinimalResult)
    try:
        last = result.score if not result.removed else float(result.scores[result.removed - 1])
    except DAMAGED as error:
        raise damaged(one.path) from error
    picture = write_figure(result, one.path, plan.minimal_file(one.image, "png"), write)
    kept = write_copy(one.path, plan.minimal_file(one.image, "npz"), plan, write)
    return Minimal(
        photo=photo,
        picture=picture,
        missing="",
        command=typed,
        name=result.name,
        end=result.end_name,
        share=result.share,
        kept=result.count - result.removed,
        count=result.count,
        judged=result.evaluations,
        score=result.score,
        last=last,
        flipped=result.flipped,
        data=kept,
        bytes=one.path.stat().st_size,
    )
