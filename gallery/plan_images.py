"""Where everything about single photographs goes on the site, and the FCN page."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .run_images import RunOn

if TYPE_CHECKING:
    from .plan import Plan

FCN = "fcn"
"""What the FCN page is called."""


def image_page(plan: "Plan", image: int) -> str:
    """Return the address of a photograph's page."""
    return f"{plan.folder}/images/{plan.photos[image]}.html"


def glimpses(plan: "Plan", image: int) -> str:
    """Return the address of a photograph's maps by layer, one of each."""
    return f"{plan.folder}/glimpses/{plan.photos[image]}.jpg"


def has_glimpses(plan: "Plan") -> bool:
    """Return whether any layer has maps."""
    return any(layer.maps is not None for layer in plan.paged)


def hypercolumn(plan: "Plan", image: int, suffix: str) -> str:
    """Return the address of the picture of a hypercolumn, or of its data."""
    return f"{plan.folder}/hypercolumns/{plan.photos[image]}.{suffix}"


def fcn_page(plan: "Plan") -> str | None:
    """Return the address of the FCN page, if there is one."""
    found = plan.run.fcn
    return f"{plan.folder}/{FCN}.html" if found is not None and (found.streams or found.dense) else None


def fcn_file(plan: "Plan", image: int, name: str) -> str:
    """Return the address of a file of the FCN page: ``dense.jpg``, ``compare.npz``, ``0.jpg``."""
    return f"{plan.folder}/{FCN}/{plan.photos[image]}-{name}"


def view_file(plan: "Plan", one: RunOn, view: int) -> str:
    """Return the address of a picture of streams: classes are exact, what is shaded may be less so."""
    return fcn_file(plan, one.image, f"{view}.{'png' if one.form == 'classes' else 'jpg'}")


def image_files(plan: "Plan") -> Iterator[str]:
    """Yield the address of every file, pages last, in the order in which they are made."""
    run = plan.run
    for one in run.hypercolumns.shown if run.hypercolumns is not None else ():
        if one.path is not None:
            yield hypercolumn(plan, one.image, "jpg")
            if plan.is_small(one.path):
                yield hypercolumn(plan, one.image, "npz")
    if run.fcn is not None:
        yield from _fcn_files(plan, run.fcn.streams, "streams")
        yield from _fcn_files(plan, run.fcn.dense, "dense")
        yield from _fcn_files(plan, () if run.fcn.compare is None else (run.fcn.compare,), "compare")
    for image in range(len(run.images)):
        if has_glimpses(plan):
            yield glimpses(plan, image)
        yield image_page(plan, image)
    page = fcn_page(plan)
    if page is not None:
        yield page


def _fcn_files(plan: "Plan", shown: tuple[RunOn, ...], name: str) -> Iterator[str]:
    for one in shown:
        if one.path is None:
            continue
        yield fcn_file(plan, one.image, f"{name}.jpg")
        if name == "streams":
            # Of so many pixels and classes the arrays are large: the facts go onto the site.
            yield fcn_file(plan, one.image, "streams.json")
            yield fcn_file(plan, one.image, "0.jpg")
            yield from (view_file(plan, one, view) for view in range(1, one.views + 1))
        elif plan.is_small(one.path):
            yield fcn_file(plan, one.image, f"{name}.npz")
