"""The components of two convolutions: saved results → figures, and what the page has to say about them."""

from netviz.questions.contrast.result import ContrastResult
from netviz.questions.sift.result import SiftResult
from netviz.questions.stages.result import StagesResult
from netviz.results.base import Result

from .commands import command, sized
from .drawing import load_kind, write_copy, write_figure
from .manifest import Layer
from .manifest_parts import Component, Components, Drawing, Photo
from .pictures import Write
from .plan import Plan
from .run_parts import VERBS, RunComponent, RunShown

KINDS: dict[str, type[Result]] = {"stages": StagesResult, "contrast": ContrastResult, "sift": SiftResult}


def draw_components(
    plan: Plan, photos: tuple[Photo, ...], layers: tuple[Layer, ...], write: Write
) -> Components | None:
    """Draw the components of one network; None where there are none.

    Parameters
    ----------
    plan : Plan
        The run and its addresses.
    photos, layers : tuple
        All of the network's, as the run lists them.
    write : callable
        Takes each file's path and bytes as soon as it is made.

    Raises
    ------
    ResultError
        If a file of the run is missing or damaged.
    """
    found, page = plan.run.components, plan.components
    if found is None or page is None:
        return None
    made = tuple(_component(one, plan, photos, layers[one.layer], write) for one in found.layers)
    return Components(page, made, found.missing)


def _component(
    component: RunComponent, plan: Plan, photos: tuple[Photo, ...], layer: Layer, write: Write
) -> Component:
    drawings = tuple(
        _drawing(verb, component, shown, plan, photos[shown.image], layer, write)
        for verb in VERBS
        for shown in component.shown
    )
    return Component(layer.title, layer.name, layer.page, component.which, drawings)


def _drawing(
    verb: str, component: RunComponent, shown: RunShown, plan: Plan, photo: Photo, layer: Layer, write: Write
) -> Drawing:
    """Draw one result, and copy its file where that is small."""
    image = plan.run.images[shown.image]
    words = [verb, image.typed, "--model", plan.run.model, "--layer", layer.name, *sized(image.size)]
    path = shown.files.get(verb)
    if path is None:
        return Drawing(verb, photo, None, shown.missing[verb], command(*words))
    result = load_kind(path, KINDS[verb])
    picture = write_figure(result, path, plan.drawing(component, shown.image, verb), write)
    units: tuple[int, ...] = ()
    steps: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    if isinstance(result, StagesResult):
        own = [column for column in result.columns if not column.what_if]
        units = tuple(result.units.tolist())
        steps, kinds = tuple(str(column.title) for column in own), tuple(str(column.kind) for column in own)
    elif isinstance(result, ContrastResult):
        units = tuple(result.units.tolist())
        words += ["--units", ",".join(map(str, units))]
    kept = write_copy(path, plan.drawing(component, shown.image, verb, "npz"), plan, write)
    return Drawing(verb, photo, picture, "", command(*words), steps, kinds, units, kept, path.stat().st_size)
