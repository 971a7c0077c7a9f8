"""A network that gives a map of scores for an image of any size, whatever kind of network it was."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from netviz.capture import brief, evaluation, index_layers, network_device, stand_in, unwrap
from netviz.capture.outputs import dense_output, listed, one_output, run_once
from netviz.capture.padding import Padded, padding_multiple
from netviz.capture.tensors import tensors_in
from netviz.capture.trace import require_values
from netviz.capture.watch import forward
from netviz.errors import ImageError, ModelError, NetvizError
from netviz.fcn.casting.cast import cast as cast_network
from netviz.fcn.casting.cast import cast_field
from netviz.geometry.field import Field, geometry
from netviz.models import Model, Preprocessing
from netviz.questions.classes import what_is_scored
from netviz.questions.opening import layers, require_channels, require_memory

ENLARGED = 2
"""A classifier sees the image with a short side of this many times its own input's."""

_LARGER = 960
"""Pixels; a multiple of every usual stride."""


class ScoreMaps(nn.Module):
    """Runs a network that gives maps and hands them out, (N, C, h, w), by a layer of their own: `scores`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.scores = nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        """Return the maps."""
        found = next((one for one in tensors_in(self.network(image)) if one.ndim == 4), None)
        if found is None:
            raise RuntimeError("its output holds no maps")
        scores: Tensor = self.scores(found)
        return scores


@dataclass(frozen=True)
class DenseNetwork:
    """A network ready for whole images.

    Attributes
    ----------
    model : Model
        Its network gives the scores alone.
    maps : ScoreMaps
    channels : int
        Classes, or maps.
    native : (int, int) or None
        Height and width of the image that gives one cell; None for a network made for whole images.
    cast : bool
        Whether it is a classifier made fully convolutional.
    preprocessing : Preprocessing
        How a whole image is brought to it, at scale 1.
    output : str
        The name of the output that holds the scores; "" where the network gives one tensor.
    padded : int
        To multiples of how many pixels an image's sides are brought first; 0 if they are not.
    """

    model: Model
    maps: ScoreMaps
    channels: int
    native: tuple[int, int] | None
    cast: bool
    preprocessing: Preprocessing
    output: str = ""
    padded: int = 0

    @property
    def called(self) -> str:
        """What its channels are called: ``"class"`` or ``"channel"``."""
        return what_is_scored(self.model, self.output, self.channels)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return network_device(self.maps)

    def continued(self, size: tuple[int, int]) -> "DenseNetwork | None":
        """Return the network with images continued to multiples, if that makes it run on this height and width."""
        if self.native is not None or self.padded:
            return None
        multiple = padding_multiple(self.maps, self.model.preprocessing.channels, size)
        maps = ScoreMaps(Padded(self.maps.network, multiple))
        return replace(self, maps=maps, padded=multiple) if multiple else None

    def run(self, image: Tensor, name: str, scale: float = 1.0) -> Tensor:
        """Return the scores (C, h, w) of a normalized image (1, C, H, W).

        Raises
        ------
        ImageError
            If the network does not run on it; `name` is what the image is called.
        """
        index = next(iter(self.model.indexes.values()), None)
        require_memory(self.model, index, image, name, option="--short-side")
        with torch.no_grad(), evaluation(self.maps):
            try:
                scores: Tensor = forward(self.maps, image.to(self.device))
            except (RuntimeError, ValueError, IndexError) as error:
                remedy = (
                    "give a larger image, or another --short-side" if scale == 1 else "leave that scale out"
                )
                at = "" if scale == 1 else f"at scale {scale:g} "
                size = "×".join(map(str, image.shape[-2:]))
                raise ImageError(
                    f"{at}{self.model.name} does not run on {name}, of {size} pixels ({brief(error)}); {remedy}"
                ) from error
        return scores[0].float().cpu()

    def field(self, size: tuple[int, int]) -> Field:
        """Return the receptive field of a cell for an input of this height and width."""
        try:
            if self.cast and self.native is not None:
                # At least two cells each way, so that rows and columns are seen to move with the image's.
                tall, wide = (max(side, 2 * least) for side, least in zip(size, self.native, strict=True))
                return cast_field(self.maps.network, (tall, wide))
            index = index_layers(self.maps, size=size, channels=self.model.preprocessing.channels)
            return geometry(self.maps, index)[index.resolve("scores")]
        except (NetvizError, KeyError) as error:
            return Field.unknown(f"the forward pass ({brief(error)})")

    def steps(self) -> tuple[float, float]:
        """Return the stride of a classifier's cells, in pixels of the input, from how many a much larger image has.

        For networks whose receptive field is the whole image, so that Geometry knows no stride.
        """
        height, width = self.native or (1, 1)
        size = (height + _LARGER, width + _LARGER)
        image = torch.zeros(1, self.model.preprocessing.channels, *size, device="meta")
        maps = stand_in(self.maps)
        with torch.no_grad(), evaluation(maps):
            cells = maps(image).shape[-2:]
        return _LARGER / max(1, cells[0] - 1), _LARGER / max(1, cells[1] - 1)


def open_dense(model: Model, short_side: int | str | None, output: str | int | None = None) -> DenseNetwork:
    """Make a network that gives maps of scores.

    Parameters
    ----------
    model : Model
        A classifier is cast; a network that gives maps is taken as it is.
    short_side : int, "own" or None
        To what the image's short side is brought, in pixels. By default as a network for whole images was trained;
        for a classifier `ENLARGED` times its input's.
    output : str or int, optional
        Name or number of the output to take, if not the one that `dense_output` finds.

    Raises
    ------
    ModelError
        If the network cannot run, takes no images, or cannot be cast, or has no such output.
    ValueError
        If `short_side` is neither a positive whole number nor ``"own"``.
    """
    network = unwrap(model.runnable())
    model.require_classifier()
    require_values(network)
    if hasattr(network, "roi_heads") or hasattr(network, "anchor_generator"):
        raise ModelError(
            f"{model.name} is a detection network, whose scores belong to anchors: there are no crops to compare "
            f"them with; use a classifier"
        )
    index = layers(model)
    require_channels(model, index)
    if index.input_shape is None:
        raise ModelError(f"{model.name} does not run, so it has no maps; use a network that does")
    height, width = index.input_shape[1:]
    labels = len(model.labels)
    name, scores = _probe(model, network, (height, width), output)
    if name:
        network = one_output(network, name)
        model = replace(model, network=network)
    native: tuple[int, int] | None = None
    cast = False
    if scores.ndim == 2 or (scores.shape[-2:] == (1, 1) and (height, width) != (1, 1)):
        native = (height, width)
        cast = scores.ndim == 2 or _probe(model, network, (2 * height, 2 * width))[1].shape[-2:] == (1, 1)
    if cast:
        network = cast_network(model, input_size=(height, width))
    channels = int(scores.shape[1])
    if scores.ndim == 4 and labels and labels != channels and native is None:
        raise ModelError(
            f"{model.name} gives {channels} maps, which are not its {labels} classes "
            f"({', '.join(model.labels[:2])}, …); open it as a network of its own, by module:factory"
        )
    preprocessing = whole(model.preprocessing, native, short_side)
    return DenseNetwork(model, ScoreMaps(network), channels, native, cast, preprocessing, name)


def _probe(
    model: Model, network: nn.Module, size: tuple[int, int], asked: str | int | None = None
) -> tuple[str, Tensor]:
    """Return the scores that the network gives for black of this size, (1, C) or (1, C, h, w), and their name."""
    image = torch.zeros(1, model.preprocessing.channels, *size, device=network_device(network))
    with evaluation(network):
        try:
            found = run_once(network, image)
        except (RuntimeError, ValueError, IndexError) as error:
            raise ModelError(
                f"{model.name} does not run at {size[0]}×{size[1]} pixels ({brief(error)}); use another network"
            ) from error
    name = dense_output(found, model.name, size, asked, len(model.labels))
    if name is None:
        raise ModelError(
            f"{model.name} gives neither (N, classes) nor maps (N, C, H, W): {listed(found)}; use a classifier or a "
            f"network that gives maps"
        )
    return name, found[name]


def whole(
    preprocessing: Preprocessing, native: tuple[int, int] | None, short_side: int | str | None
) -> Preprocessing:
    """Return how a whole image is brought to a network.

    Raises
    ------
    ValueError
        If `short_side` is neither a positive whole number nor ``"own"``.
    """
    if short_side == "own":
        return replace(preprocessing, resize=None, crop=None)
    if short_side is not None:
        if not isinstance(short_side, int) or isinstance(short_side, bool) or short_side < 1:
            raise ValueError(
                f"short_side must be a positive whole number of pixels or 'own', not {short_side!r}"
            )
        return replace(preprocessing, resize=short_side, crop=None)
    if native is not None:
        return replace(preprocessing, resize=ENLARGED * min(native), crop=None)
    if isinstance(preprocessing.resize, tuple):
        return replace(preprocessing, resize=min(preprocessing.resize), crop=None)
    resize = None if preprocessing.size_assumed else preprocessing.resize
    return replace(preprocessing, resize=resize, crop=None)
