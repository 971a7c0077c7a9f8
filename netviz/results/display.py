"""How results and runs show themselves in a notebook."""

from collections.abc import Container
from importlib import import_module


class Displayed:
    """Shows its picture with its facts where a notebook asks for it; without a picture, its facts."""

    def _repr_mimebundle_(
        self, include: Container[str] | None = None, exclude: Container[str] | None = None
    ) -> dict[str, str | bytes]:
        # One drawing serves both forms; asked for each by itself, a notebook would have the picture drawn twice.
        # This room knows nothing of pictures and pages: the package, where all rooms meet, passes the question on.
        shown: dict[str, str | bytes] = import_module("netviz")._display(self)
        return shown

    def _repr_html_(self) -> str:
        return str(self._repr_mimebundle_()["text/html"])

    def _repr_png_(self) -> bytes | None:
        png = self._repr_mimebundle_().get("image/png")
        return png if isinstance(png, bytes) else None
