"""The lecture: the inside of networks, slide by slide, with this site's pictures and figures."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from ..manifest import Picture, Sprites, Tile
from ..panel import Panel
from ..words import command, counted, joined, number, percent_of, size, thousands
from .components import drawing_alt, drawings_note
from .fcn import (
    Comparison,
    Streams,
    comparison_note,
    cost_text,
    edges_text,
    heat_note,
    ratio_text,
    streams_note,
    view_alt,
    view_note,
    view_title,
)
from .hypercolumns import hypercolumn_note
from .layer import Layer
from .overview import Manifest, Network
from .patches import patches_alt

PAGE = "lecture.html"

_VIEWS = 4
"""Most pictures of streams on one slide."""


@dataclass(frozen=True)
class Shot:
    """A picture of the site on a slide.

    Attributes
    ----------
    picture : Picture
    alt, caption : str
    page : str
        The address that it leads to.
    figure : bool
        Whether it is a whole figure with letters, which needs the page's width.
    fine : bool
        Whether its pixels are enlarged with hard edges.
    tile : (Tile, Sprites) or None
        The part of the picture that is shown, if not all.
    """

    picture: Picture
    alt: str
    caption: str
    page: str
    figure: bool = False
    fine: bool = False
    tile: tuple[Tile, Sprites] | None = None


@dataclass(frozen=True)
class Slide:
    """One slide.

    Attributes
    ----------
    key : str
        Its id on the page, which lasts.
    title, text : str
    terms : tuple of str
        The glossary's words in the text.
    shots : tuple of Shot
    figures : tuple of str
        What was measured.
    missing : str
        The command that makes it, where this site has nothing.
    """

    key: str
    title: str
    text: str
    terms: tuple[str, ...]
    shots: tuple[Shot, ...]
    figures: tuple[str, ...]
    missing: str

    @property
    def first(self) -> str:
        """Its first sentence."""
        return f"{self.text.partition('. ')[0].rstrip('.')}."


Found = tuple[tuple[Shot, ...], tuple[str, ...]]
"""Pictures, and what was measured; both empty where the site has nothing."""

_NOTHING: Found = ((), ())


def slides(manifest: Manifest) -> tuple[Slide, ...]:
    """Return the slides in the order of the lecture."""
    told = []
    for key, title, text, terms, find, words in _SLIDES:
        shots, figures = find(manifest)
        missing = "" if shots or figures else command(*words)
        told.append(Slide(key, title, text, terms, shots, figures, missing))
    return tuple(told)


def _component(manifest: Manifest, verb: str) -> Found:
    """Show one of the components' pictures: of the deeper of two layers, whose maps say more, unless it is SIFT."""
    for network in manifest.networks:
        part = network.components
        layers = () if part is None else part.layers if verb == "sift" else part.layers[::-1]
        for layer in layers:
            drawings = layer.of(verb)
            one = next((drawing for drawing in drawings if drawing.picture), None)
            if part is None or one is None or one.picture is None:
                continue
            caption = f"{layer.title} of {network.name} on {one.photo.name}"
            shot = Shot(
                one.picture, drawing_alt(one, layer), caption, f"{part.page}#{layer.anchor}", figure=True
            )
            return (shot,), (drawings_note(drawings, layer),)
    return _NOTHING


def _looks(manifest: Manifest) -> Found:
    """Show what makes a network visible: filters, patches, and pictures made by optimization."""
    shots, figures = [], []
    for network in manifest.networks:
        first = next(
            (one for one in network.paged if one.filters and one.filters.sheet.layout == "rgb"), None
        )
        if first is not None and first.filters is not None:
            filters = first.filters
            shots.append(
                Shot(
                    filters.sheet.picture,
                    f"Filters of {first.title} of {network.name}",
                    f"{first.title} of {network.name}: the filters that read the image",
                    f"{first.page}#filters",
                    fine=True,
                )
            )
            figures.append(
                f"{first.title} of {network.name} has {counted(filters.total, 'filter')} of "
                f"{size(filters.kernel)}: {counted(len(filters.dead), 'dead filter').lower()} and "
                f"{counted(len(filters.duplicates), 'near-duplicate').lower()}."
            )
        found = _deep(network)
        shots += found
        if network.searched and any(one.patches for one in network.paged):
            units = sum(one.channels or 0 for one in network.paged if one.patches)
            figures.append(
                f"For {network.name}, {counted(network.searched, 'image')} were searched for the patches of "
                f"{counted(units, 'unit')}."
            )
        concepts = network.concepts
        if concepts is not None:
            total, detectors = (
                sum(one.total for one in concepts.layers),
                sum(one.detectors for one in concepts.layers),
            )
            figures.append(
                f"{thousands(detectors)} of {counted(total, 'unit')} of {network.name} detect a concept."
            )
        if shots:
            break
    return tuple(shots), tuple(figures)


def _deep(network: Network) -> Iterator[Shot]:
    """Show what excites a unit of the last layer that has patches, and what a deep unit wants to see."""
    for layer in reversed(network.paged):
        if layer.wall is None or layer.patches is None:
            continue
        unit = next((one for one in layer.wall.units if one.patches and not one.marks), None)
        if unit is not None and unit.patches is not None:
            name = f"unit {unit.unit} of {layer.title}"
            alt = patches_alt(unit.patches, layer.title)
            caption = f"What excites {name}, {network.name}"
            sheet = layer.patches.sheets[unit.patches.sheet]
            yield Shot(sheet.picture, alt, caption, f"{unit.page}#patches")
            break
    for layer in reversed(network.paged):
        unit = next((one for one in layer.wall.units if one.wanted), None) if layer.wall is not None else None
        if unit is not None and unit.wanted is not None:
            name = f"unit {unit.unit} of {layer.title}"
            tile = Tile(unit.unit, unit.wanted.left, unit.wanted.top)
            yield Shot(
                unit.wanted.sheet.picture,
                f"Two pictures made by optimization for {name}",
                f"What {name} wants to see, and what it does not",
                f"{unit.page}#wanted",
                tile=(tile, unit.wanted.sheet),
            )
            return


def _compared(manifest: Manifest) -> tuple[Network, Comparison] | None:
    for network in manifest.networks:
        one = None if network.fcn is None else network.fcn.comparison
        if one is not None and one.rows:
            return network, one
    return None


def _cost(one: Comparison, way: str) -> list[str]:
    return [
        f"{row.way.capitalize()}: {counted(row.evaluations, 'pass', 'passes')}, {cost_text(row.seconds)} seconds, "
        f"{ratio_text(row)} times the dense pass."
        for row in one.rows
        if way in row.way
    ]


def _windows(manifest: Manifest) -> Found:
    """Show what a sliding window costs; where that was not measured, that a layer's map is one."""
    found = _compared(manifest)
    if found is not None:
        network, one = found
        page = f"{network.fcn.page}#three" if network.fcn is not None else ""
        alt = f"Score of {one.name} by a dense pass, a sliding window and regions"
        caption = f"{one.name} over {one.photo.name}, {network.name}"
        shots = (Shot(one.picture, alt, caption, page, figure=True),) if one.picture is not None else ()
        return shots, (comparison_note(one), *_cost(one, "sliding"))
    figures = []
    for network in manifest.networks:
        layer = next((one for one in reversed(network.paged) if one.maps and _window(one)), None)
        if layer is not None:
            figures.append(f"{layer.title} of {network.name} {_window(layer)}.")
    return (), tuple(figures)


def _window(layer: Layer) -> str:
    """Say that a layer's map is a window that slides; nothing where its field is not known, or all of the input."""
    field = layer.field
    if field is None or field.size is None or field.stride is None or field.status == "global":
        return ""
    return (
        f"looks through windows of {size(tuple(map(round, field.size)))} pixels, {number(field.stride[0])} pixels "
        f"apart: its map of {size(layer.maps[0].shape)} positions holds an answer for each"
    )


def _regions(manifest: Manifest) -> Found:
    found = _compared(manifest)
    if found is None:
        return _NOTHING
    _, one = found
    return (), (
        f"{counted(one.regions, 'region')} of {one.photo.name} were measured for {one.name}, on {one.where}.",
        *_cost(one, "regions"),
    )


def _casting(manifest: Manifest) -> Found:
    for network in manifest.networks:
        part = network.fcn
        one = next((heat for heat in part.heats if heat.picture), None) if part is not None else None
        if part is None or one is None or one.picture is None:
            continue
        names = joined([peak.name for peak in one.peaks])
        shot = Shot(
            one.picture,
            f"Heat maps of {names} over {one.photo.name}",
            f"{network.name} over all of {one.photo.name}",
            f"{part.page}#d{part.heats.index(one) + 1}",
            figure=True,
        )
        return (shot,), (heat_note(one),)
    return _NOTHING


def _streamed(manifest: Manifest) -> tuple[Network, Streams, str] | None:
    """Return the streams that show most: those of classes, else any, and their address."""
    found = [
        (network, one, f"{network.fcn.page}#s{place + 1}")
        for network in manifest.networks
        if network.fcn is not None
        for place, one in enumerate(network.fcn.streams)
        if one.picture is not None and one.streams
    ]
    return next((one for one in found if one[1].form == "classes"), found[0] if found else None)


def _shown(streams: Streams, page: str, keys: Sequence[str]) -> Iterator[Shot]:
    for view in streams.views:
        if view.key in keys:
            title = view_title(view)
            caption = f"{title.capitalize() if view.key == 'image' else title}: {view_note(view, streams)}"
            yield Shot(view.picture, view_alt(view, streams, streams.photo.name), caption, page)


def _upsampling(manifest: Manifest) -> Found:
    found = _streamed(manifest)
    if found is None:
        return _NOTHING
    network, streams, page = found
    coarse = streams.streams[0]
    shots = [*_shown(streams, page, ("image",)), *_shown(streams, page, ("stream",))][:2]
    step = (
        f"{coarse.name} of {network.name} has a score every {coarse.stride} pixels; all others are interpolated."
        if coarse.stride
        else f"{coarse.name} of {network.name} is the coarsest output, made as large as the photograph."
    )
    return tuple(shots), (step,)


def _skips(manifest: Manifest) -> Found:
    found = _streamed(manifest)
    if found is None or len(found[1].streams) < 2:
        return _NOTHING
    network, streams, page = found
    shots = [*_shown(streams, page, ("stream",))][-_VIEWS:]
    changed = [
        f"{view.name} changes the class of {percent_of(view.share)} of the pixels of {view.before}."
        for view in streams.views
        if view.key == "changed" and view.share is not None
    ]
    return tuple(shots), (f"{network.name} on {streams.photo.name}: {streams_note(streams)}", *changed)


def _spectrum(manifest: Manifest) -> Found:
    for network in manifest.networks:
        for page in network.images:
            one = page.hypercolumn
            if one is None or one.picture is None:
                continue
            alt = (
                f"Hypercolumns of {page.photo.name} as colours of three principal components, and as clusters"
            )
            caption = f"{network.name} on {page.photo.name}"
            shot = Shot(one.picture, alt, caption, f"{page.page}#hypercolumn", figure=True)
            return (shot,), (hypercolumn_note(one),)
    return _NOTHING


def _results(manifest: Manifest) -> Found:
    """Show what each network answers: to the photograph of which it is surest, or for every pixel."""
    shots, figures = [], []
    for network in manifest.networks:
        sure = max(
            (page for page in network.images if page.answers),
            key=lambda page: page.answers[0].probability,
            default=None,
        )
        if sure is not None:
            name, share = sure.answers[0].name, percent_of(sure.answers[0].probability)
            alt = f"Photograph {sure.photo.name} as {network.name} saw it"
            shots.append(Shot(sure.seen, alt, f"{network.name}: {name}, {share}", sure.page))
            asked = [page.answers[0].probability for page in network.images if page.answers]
            half = sum(one > 0.5 for one in asked)
            figures.append(
                f"{network.name} gives more than half to one class on {half:,} of "
                f"{counted(len(asked), 'photograph')}."
            )
        for page in network.images:
            streams = page.streams
            if streams is None or streams.picture is None or not streams.streams:
                continue
            last = streams.streams[-1]
            alt = f"{view_alt(last, streams, page.photo.name)}, {network.name}"
            shots.append(
                Shot(last.picture, alt, f"{network.name}: {page.photo.name}", f"{page.page}#streams")
            )
            if streams.shares:
                told = joined([f"{swatch.name} {percent_of(share)}" for swatch, share in streams.shares[:3]])
                figures.append(f"{network.name} on {page.photo.name}: {told} of the pixels.")
            elif streams.form == "edges":
                figures.append(f"{network.name} on {page.photo.name}: {edges_text(streams)}")
            break
    return tuple(shots), tuple(figures)


Find = Callable[[Manifest], Found]

_SLIDES: tuple[tuple[str, str, str, tuple[str, ...], Find, tuple[str, ...]], ...] = (
    (
        "components",
        "Components",
        "A layer is a chain of small steps. A filter looks for a pattern. A non-linearity keeps what was found. "
        "Pooling forgets a little where it was. Normalization makes answers comparable.",
        ("layer", "filter", "non-linearity", "pooling", "normalization"),
        partial(_component, verb="stages"),
        ("stages", "IMAGE", "--layer", "LAYER"),
    ),
    (
        "contrast",
        "Feature maps before and after contrast normalization",
        "In a map a strong edge drowns the faint ones. Contrast normalization compares each value with its "
        "surroundings. What stands out from them is kept.",
        ("map", "contrast normalization"),
        partial(_component, verb="contrast"),
        ("contrast", "IMAGE", "--layer", "LAYER"),
    ),
    (
        "sift",
        "SIFT",
        "Before networks were learned, descriptions of places were made by hand. SIFT takes the same steps as a "
        "layer: filtering, pooling, normalization. A network learns its filters, SIFT was given them.",
        ("SIFT", "layer", "pooling", "normalization", "filters"),
        partial(_component, verb="sift"),
        ("sift", "IMAGE", "--layer", "LAYER"),
    ),
    (
        "visualizing",
        "Visualizing networks",
        "Filters that read the image are pictures themselves. Deeper ones are not. There the patches with the "
        "largest values show what a unit looks for, and an optimized picture shows what it wants to see.",
        ("filters", "patches", "unit", "optimized picture"),
        _looks,
        ("gallery", "MODEL", "-o", "SITE"),
    ),
    (
        "windows",
        "Sliding windows and unrolling",
        "To find things, a classifier can be run on one window after another. Neighbouring windows share most "
        "pixels, so most work is done again. A convolution slides too, and does the shared work once: unroll the "
        "window over the layers, and each position of a map is one window, its receptive field.",
        ("windows", "convolution", "layers", "position", "map", "receptive field"),
        _windows,
        ("dense", "IMAGE", "--compare"),
    ),
    (
        "rcnn",
        "R-CNN",
        "R-CNN looks at fewer places. It takes about 2000 regions that may hold a thing, warps each to the size "
        "of the input, and runs the network on each. What regions share is still computed anew.",
        ("regions", "R-CNN", "network"),
        _regions,
        ("dense", "IMAGE", "--compare"),
    ),
    (
        "convolutional",
        "Becoming convolutional",
        "The last layers of a classifier are linear: they take maps of one size. The same weights, laid out as "
        "filters, make convolutions of them. Now the network takes images of any size, and its answer is a heat "
        "map.",
        ("layers", "maps", "filters", "network", "heat map"),
        _casting,
        ("dense", "IMAGE"),
    ),
    (
        "upsampling",
        "Upsampling",
        "The answer of a deep layer is coarse: one score for every stride. Upsampling makes it as large as the image "
        "again. Edges stay blurred, since what is between the scores was never computed.",
        ("layer", "score", "stride", "upsampling"),
        _upsampling,
        ("fcn", "show", "IMAGE", "--model", "fcn_camvid"),
    ),
    (
        "spectrum",
        "Spectrum of features",
        "Early layers know edges and where they are. Deep layers know things, but not exactly where. A hypercolumn "
        "stacks all of them at each pixel.",
        ("layers", "hypercolumn"),
        _spectrum,
        ("hypercolumn", "IMAGE", "--layers", "LAYER,LAYER"),
    ),
    (
        "skips",
        "Skip layers",
        "A skip adds the scores of an earlier layer to those of the deep one. What is from the deep layer, where "
        "from the early one. Each stream is finer than the one before.",
        ("skip", "scores", "layer", "stream"),
        _skips,
        ("fcn", "show", "IMAGE", "--model", "fcn_camvid"),
    ),
    (
        "results",
        "Results",
        "A classifier answers with a class for a photograph, a fully convolutional network with one for each pixel. "
        "Scores say how sure a network is. Whether it is right, only labelled images tell.",
        ("class", "fully convolutional", "scores", "network"),
        _results,
        ("gallery", "MODEL", "-o", "SITE"),
    ),
)
"""Of each slide: key, title, text, the glossary's words in it, what finds its pictures, and the command for them."""

PANEL = Panel()
