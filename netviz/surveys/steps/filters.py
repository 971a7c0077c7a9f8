"""A survey's filters: the weights of every surveyed convolution."""

from netviz.engines import Progress
from netviz.questions.filters.measure import layer_filters
from netviz.surveys.step import Scope


def survey_filters(scope: Scope, _: Progress) -> None:
    """Save the filters of each convolution, ``filters/SLUG.npz``."""
    for layer, slug in scope.slugs.items():
        if layer.kernel is not None:
            layer_filters(scope.model, layer).save(scope.out / "filters" / f"{slug}.npz", coarse=True)
