"""How the pages of photographs and the FCN page explain themselves, in plain words."""

from .manifest_images import Comparison, Cost, Fcn, Glimpse, Heat, Hypercolumn, Made, Streams, View
from .wording import counted, number, size

_NONE = {
    "concepts": "No concepts",
    "minimal": "No minimal images",
    "hypercolumns": "No hypercolumns",
    "fcn": "No streams and no dense heat maps",
}


def without_text(what: str) -> str:
    """Say which part there is none of."""
    return _NONE.get(what, f"No {what}")


def percent_of(share: float) -> str:
    """Write a share as a percentage with one digit."""
    return f"{100 * share:.1f} %"


def made_text(made: Made, name: str) -> str:
    """Name a file of numbers with its size."""
    suffix = (made.data or "").rsplit(".", 1)[-1]
    size_text = (
        f"{made.bytes / 1e6:.1f} MB" if made.bytes >= 100_000 else f"{max(1, round(made.bytes / 1e3))} kB"
    )
    what = "Its facts" if suffix == "json" else "Its numbers"
    return f"{what} ({name}.{suffix}, {size_text})"


def glimpse_alt(glimpse: Glimpse, photo: str) -> str:
    """Describe a layer's tile."""
    return f"{glimpse.title} on {photo}: unit {glimpse.unit}, {size(glimpse.shape)} positions"


def hypercolumn_note(column: Hypercolumn) -> str:
    """Say what was stacked and how much the colours hold."""
    layers = [title for title, _ in column.layers]
    stacked = ", ".join(layers[:-1]) + f" and {layers[-1]}" if len(layers) > 1 else "".join(layers)
    shares = ", ".join(percent_of(share) for share in column.explained)
    told = (
        f"What {stacked} together say of every place: places of like colour look alike to the network. Red, green "
        f"and blue are the first three principal components ({shares} of the variance)"
    )
    return f"{told}; beside them {counted(column.clusters, 'cluster')}."


def heat_note(heat: Heat) -> str:
    """Say what a heat map is and where its highest scores are."""
    rows, cols = heat.cells
    down, across = (number(step) for step in heat.stride)
    how = (
        "The classifier, made fully convolutional, over the whole photograph at once"
        if heat.cast
        else ("The network's own map over the whole photograph")
    )
    peaks = "; ".join(
        f"{peak.name} {number(peak.score)} at {peak.x:.0f}, {peak.y:.0f}" for peak in heat.peaks
    )
    return (
        f"{how}: {rows} \N{MULTIPLICATION SIGN} {cols} cells, {down} \N{MULTIPLICATION SIGN} {across} pixels apart. "
        f"Highest raw scores (and where, x, y in pixels): {peaks}."
    )


def streams_note(streams: Streams) -> str:
    """Say what the streams of a photograph are."""
    names = [view.name for view in streams.streams]
    listed = ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else "".join(names)
    if streams.form == "edges":
        what = streams.what or "edge"
        return (
            f"{listed}, coarse to fine: how likely each pixel is {'an' if what[:1] in 'aeiou' else 'a'} {what}, by "
            "the depth of the layer that says so; the last one weighs all of them."
        )
    if streams.form == "values":
        return f"{listed}: what the network gives for every pixel."
    if len(names) == 1:
        return f"{listed}: at every pixel the class with the highest score."
    return (
        f"{listed}: at every pixel the class with the highest score, each stream finer than the one before."
    )


def view_title(view: View) -> str:
    """Name a picture that can be compared."""
    if view.key == "image":
        return "photograph"
    return f"changed by {view.name}" if view.key == "changed" else view.name


def view_note(view: View, streams: Streams) -> str:
    """Say what a picture shows, in few words."""
    if view.key == "image":
        return "as the network saw it"
    if view.key == "changed":
        return f"{percent_of(view.share or 0.0)} of the pixels change class from {view.before}"
    if streams.form == "edges":
        return f"{percent_of(view.share or 0.0)} of the pixels above 0.5"
    return f"adds {view.layer}, stride {view.stride}" if view.layer else "highest class"


def view_alt(view: View, streams: Streams, photo: str) -> str:
    """Describe a picture for those who cannot see it."""
    if view.key == "image":
        return f"Photograph {photo}"
    if view.key == "changed":
        return f"{photo} faded, in colour where {view.name} has another class than {view.before}"
    what = {"classes": "class of every pixel", "edges": "edges", "values": "values"}[streams.form]
    return f"{what.capitalize()} of {photo} by {view.name}"


def cost_text(seconds: float) -> str:
    """Write a time in seconds."""
    return f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.3g}"


def ratio_text(cost: Cost) -> str:
    """Write how many times the dense pass's time a way takes."""
    return f"{cost.ratio:,.0f}" if cost.ratio >= 100 else f"{cost.ratio:.1f}"


def comparison_note(comparison: Comparison) -> str:
    """Say what is compared and how it was measured."""
    return (
        f"The score of {comparison.name} over {comparison.photo.name} by one dense pass, by the classifier on every "
        f"crop, and region by region, as R-CNN does it ({counted(comparison.regions, 'region')} measured). Dense and "
        f"sliding scores correlate by {comparison.correlation:.3f}. Measured on {comparison.where}."
    )


def fcn_text(fcn: Fcn) -> str:
    """Say what the FCN page holds."""
    parts = []
    if fcn.streams:
        names = [view.name for view in fcn.streams[0].streams]
        parts.append(f"the streams {', '.join(names)} side by side" if len(names) > 1 else "its dense output")
    if fcn.heats:
        parts.append("the classifier over whole photographs")
    if fcn.comparison is not None and fcn.comparison.rows:
        parts.append("what that saves against a sliding window and regions")
    return ", ".join(parts)


FILTERS = {
    "without_text": without_text,
    "percent_of": percent_of,
    "made_text": made_text,
    "glimpse_alt": glimpse_alt,
    "hypercolumn_note": hypercolumn_note,
    "heat_note": heat_note,
    "streams_note": streams_note,
    "view_title": view_title,
    "view_note": view_note,
    "view_alt": view_alt,
    "cost_text": cost_text,
    "ratio_text": ratio_text,
    "comparison_note": comparison_note,
    "fcn_text": fcn_text,
}
"""What the templates may call."""
