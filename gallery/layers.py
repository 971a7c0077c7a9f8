"""One layer's share of the manifest: its pictures are drawn on the way and dropped."""

from dataclasses import dataclass

from netviz.errors import ResultError
from netviz.questions.filters.result import FiltersResult
from netviz.questions.maps.result import MapsResult

from .commands import command, sized
from .drawing import load_kind
from .manifest import Filters, Layer, Maps
from .manifest_concepts import LayerConcepts
from .manifest_parts import Photo, Picture
from .patches import Memory, draw_patches
from .pictures import Write, draw_filters, draw_maps, jpeg, png_size, thumbnail
from .plan import Plan
from .runs import RunImage, RunLayer
from .units import draw_wall


@dataclass(frozen=True)
class Job:
    """One layer to draw: which, what its files are called, the units with pages, and what they detect.

    A layer without a slug is only listed.
    """

    layer: RunLayer
    slug: str | None
    units: tuple[int, ...]
    detects: LayerConcepts | None


def draw_photo(image: RunImage, path: str, small: str, write: Write) -> Photo:
    """Copy a photograph and draw it small; its size is what its own header says.

    Raises
    ------
    ResultError
        If it is missing or damaged.
    """
    try:
        data = image.path.read_bytes()
    except OSError as error:
        raise ResultError(
            f"cannot read {image.path}: {error.strerror or error}; run the survey again"
        ) from error
    try:
        width, height = png_size(data)
    except ValueError:
        raise ResultError(f"{image.path} is no PNG; run the survey again") from None
    write(path, data)
    try:
        pixels = thumbnail(data)
    except (OSError, ValueError) as error:
        raise ResultError(f"{image.path} is damaged: {error}; run the survey again") from error
    write(small, jpeg(pixels, small=True))
    return Photo(image.name, Picture(path, width, height), Picture(small, pixels.shape[1], pixels.shape[0]))


def draw_layer(job: Job, plan: Plan, photos: tuple[Photo, ...], memory: Memory, write: Write) -> Layer:
    """Draw one layer's pictures.

    Parameters
    ----------
    job : Job
    plan : Plan
        The run and its addresses.
    photos : tuple of Photo
        All of the network's.
    memory : Memory
        Of this network.
    write : callable
        Takes each file's path and bytes as soon as it is made.

    Raises
    ------
    ResultError
        If a file of the run is missing or damaged.
    """
    layer, slug, units = job.layer, job.slug, job.units
    filters: Filters | None = None
    weights: FiltersResult | None = None
    maps: list[Maps] = []
    preview: Picture | None = None
    if slug is not None and layer.filters is not None:
        weights = load_kind(layer.filters, FiltersResult)
        # Maps tell more of a layer than its weights, save where the weights are pictures themselves.
        wanted = plan.preview(slug) if weights.sees_image or layer.maps is None or not photos else None
        filters, preview = _filters(weights, layer, plan, slug, wanted, write)
    if slug is not None and layer.maps is not None:
        for image, name, photo in zip(plan.run.images, plan.photos, photos, strict=True):
            shown = load_kind(layer.maps / f"{image.stem}.npz", MapsResult)
            wanted = None if preview else plan.preview(slug)
            sheet, made = draw_maps(shown, plan.maps(slug, name), wanted, write)
            preview = preview or made
            drawn = ",".join(str(int(unit)) for unit in shown.units)
            words = ["--model", plan.run.model, "--layer", layer.name, *sized(image.size), "--units", drawn]
            height, width = shown.maps.shape[1:]
            typed = command("maps", image.typed, *words)
            maps.append(Maps(photo, sheet, (height, width), shown.scale, shown.sort, typed))
    patches = None if slug is None else draw_patches(layer, units, slug, plan, memory, write)
    # Where there are no maps, all photographs are taken to be of the size that the layer's shape is for.
    shapes = [one.shape for one in maps] or [_map_size(layer)] * len(photos)
    wall = (
        None if slug is None else draw_wall(layer, units, slug, plan, photos, weights, patches, shapes, write)
    )
    return Layer(
        name=layer.name,
        alias=layer.alias,
        kind=layer.kind,
        channels=layer.channels,
        shape=layer.shape,
        parameters=layer.parameters,
        calls=layer.calls,
        page=None if slug is None else plan.page(slug),
        preview=preview,
        filters=filters,
        maps=tuple(maps),
        field=layer.field,
        patches=None if patches is None else patches.patches,
        concepts=job.detects,
        wall=wall,
    )


def _map_size(layer: RunLayer) -> tuple[int, int]:
    return (layer.shape[1], layer.shape[2]) if len(layer.shape) == 3 else (0, 0)


def _filters(
    result: FiltersResult, layer: RunLayer, plan: Plan, slug: str, wanted: str | None, write: Write
) -> tuple[Filters, Picture | None]:
    """Draw a layer's filters and keep what their caption says."""
    sheet, preview = draw_filters(result, plan.filters(slug), wanted, write)
    total, inputs, *kernel = result.filters.shape
    words = ["--layer", layer.name]
    words += [] if result.scale == "each" else ["--scale", result.scale]
    words += [] if result.sort == "index" else ["--sort", result.sort]
    filters = Filters(
        sheet=sheet,
        total=total,
        inputs=inputs,
        kernel=tuple(kernel),
        groups=result.groups,
        scale=result.scale,
        sort=result.sort,
        dead=result.dead,
        duplicates=result.duplicates,
        command=command("filters", plan.run.model, *words),
    )
    return filters, preview
