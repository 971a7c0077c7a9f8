"""Parts of the manifest: the three receptive fields of a unit, to be drawn on one picture."""

from dataclasses import dataclass

from .manifest_parts import Photo


@dataclass(frozen=True)
class LayerFields:
    """What is the same for all units of a layer.

    Attributes
    ----------
    width : float or None
        Of the effective field, in pixels; None where there is none.
    share : float or None
        That width over the theoretical field's.
    images : int
        Over how many photographs the gradient is averaged.
    missing : str
        Why there is no effective field.
    patch, stride : int
        The occluder's side and step in pixels; 0 where nothing was measured.
    covered : int
        How many photographs were covered.
    reason : str
        Why nothing was measured.
    theory, gradient, occlusion : str
        The commands for the three; that of the last names no unit yet.
    data : str or None
        The address of what was measured, where it is small enough.
    bytes : int
        Its size.
    """

    width: float | None
    share: float | None
    images: int
    missing: str
    patch: int
    stride: int
    covered: int
    reason: str
    theory: str
    gradient: str
    occlusion: str
    data: str | None = None
    bytes: int = 0


@dataclass(frozen=True)
class UnitFields:
    """What is drawn for one unit, in pixels of the photograph, or of a sheet of paper of the input's size.

    Attributes
    ----------
    photo : Photo or None
        What lies below; None for paper.
    view : (int, int, int, int)
        Left, top, width and height of what is shown; it may reach beyond the photograph.
    box : (float, float, float, float) or None
        The theoretical field: left, top, right, bottom.
    ellipse : (float, float, float, float) or None
        The effective field: its middle, x and y, and its half axes across and down.
    region : str
        The outline of the measured field, as an SVG path.
    size : float or None
        Of the measured field; None where there is none.
    used : int
        On how many photographs it was measured.
    missing : str
        Why there is none.
    """

    photo: Photo | None
    view: tuple[int, int, int, int]
    box: tuple[float, float, float, float] | None
    ellipse: tuple[float, float, float, float] | None
    region: str = ""
    size: float | None = None
    used: int = 0
    missing: str = ""
