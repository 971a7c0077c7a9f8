"""One network's share of the manifest: its pictures are drawn on the way and dropped."""

from .components import draw_components
from .concepts import draw_concepts
from .drawers import Drawer, draw_layers
from .fcn import draw_fcn
from .images import draw_images
from .layers import Job, draw_photo
from .manifest import Layer, Network
from .minimal import draw_minimal
from .origin import tell_origin, without
from .pictures import Write
from .plan import Plan
from .units_pages import Setting

MANY = 500
"""Units whose pages take longer than it takes to start processes for them."""


def draw_network(
    plan: Plan, networks: tuple[str, ...], version: str, write: Write, workers: int = 0
) -> Network:
    """Draw everything of one network, and make its units' pages.

    Parameters
    ----------
    plan : Plan
        The run and its addresses.
    networks : tuple of str
        What the networks of the site are called.
    version : str
        netviz's.
    write : callable
        Takes each file's path and bytes as soon as it is made.
    workers : int
        Processes that draw layers, where there are many units; 0 draws in this one.

    Returns
    -------
    Network
        The network's part of the manifest.

    Raises
    ------
    ResultError
        If a file of the run is missing or damaged.
    """
    run = plan.run
    photos = tuple(
        draw_photo(image, plan.photo(name), plan.small(name), write)
        for image, name in zip(run.images, plan.photos, strict=True)
    )
    concepts, detects = draw_concepts(plan, write)
    pages = iter(zip(plan.slugs, plan.units, strict=True))
    jobs = []
    for place, layer in enumerate(run.layers):
        slug, units = (None, ()) if layer.slug is None else next(pages)
        jobs.append(Job(layer, slug, units, detects.get(place)))
    page = None if concepts is None else concepts.page
    setting = Setting(version, networks, run.network, plan.folder, page)
    if sum(len(job.units) for job in jobs) < MANY:
        workers = 0
    layers: list[Layer] = []
    for drawn, files in draw_layers(Drawer(plan, photos, setting), jobs, workers):
        layers.append(drawn)
        for path, data in files:
            write(path, data)
    components = draw_components(plan, photos, tuple(layers), write)
    minimal = draw_minimal(plan, photos, write)
    fcn = draw_fcn(plan, photos, write)
    return Network(
        name=run.network,
        folder=plan.folder,
        origin=run.origin,
        parameters=run.parameters,
        input=run.input,
        photos=photos,
        layers=tuple(layers),
        components=components,
        concepts=concepts,
        minimal=minimal,
        without=without(run),
        images=draw_images(plan, photos, tuple(layers), components, minimal, fcn, write),
        fcn=fcn if fcn is not None and fcn.page is not None else None,
        made=tell_origin(run),
        searched=0 if run.patches is None else run.patches.searched,
    )
