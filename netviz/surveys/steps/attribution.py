"""A survey's attributions: what each place of its first photographs has to do with their likeliest classes."""

from functools import partial

from netviz.engines import Progress
from netviz.questions.attribute.measure import attribute
from netviz.results.survey import AttributionOnImage, AttributionRecord, Missing
from netviz.surveys.step import Scope, made
from netviz.surveys.steps.images import TOLD, likeliest

ASKED = (*(("gradcam", rank) for rank in range(TOLD)), ("guided", 0))
"""Methods, and of which of the likeliest classes. Guided backpropagation looks much the same for all."""


def survey_attribution(scope: Scope, report: Progress) -> AttributionRecord | Missing:
    """Attribute the likeliest classes of the first photographs, ``attribution/IMAGE-METHOD-RANK.npz``."""
    model, photos, shown = scope.model, scope.photos(), []
    for photo, place, stem, size in photos:
        report(f"{model.name}: attribution on {photo.name}", place, len(photos))
        classes = [number for number, _ in likeliest(model, scope.read(place)[1].tensor)]
        for method, rank in ASKED:
            if rank < len(classes):
                file, missing = made(
                    scope,
                    partial(attribute, photo, model=model, method=method, class_=classes[rank], size=size),
                    scope.out / f"attribution/{stem}-{method}-{rank}.npz",
                )
                shown.append(AttributionOnImage(place, file, missing, rank=rank, method=method))
    if not shown:
        return Missing(f"{model.name} gives no score for each class of an image")
    return AttributionRecord(tuple(shown))
