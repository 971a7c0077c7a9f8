"""A survey's photographs, as the network saw them, and the maps of the units that are shown."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from netviz.images import Photo, Prepared, prepare, read_image
from netviz.models import Layer, Model, Preprocessing
from netviz.questions.maps.result import MapsResult
from netviz.questions.opening import run_layers
from netviz.questions.patches.run import open_run
from netviz.results.files import write_bytes
from netviz.results.names import slug
from netviz.surveys.step import Noted, Report


class Photos:
    """The photographs of a survey, read one at a time.

    Parameters
    ----------
    model : Model
    sources : sequence of str or Path
    preprocessing : Preprocessing
        How each is brought to the network.
    """

    def __init__(self, model: Model, sources: Sequence[str | Path], preprocessing: Preprocessing) -> None:
        self.model, self.sources, self.preprocessing = model, sources, preprocessing
        self.names: list[str] = []

    def read(self, number: int) -> tuple[Photo, Prepared]:
        """Return a photograph by the name that it has in the survey, and as the network sees it."""
        photo = read_image(self.sources[number])
        if number < len(self.names):
            photo = replace(photo, name=self.names[number])
        return photo, prepare(photo.pixels, self.preprocessing)

    def save(self, out: Path, size: tuple[int, int] | None, own_size: bool, report: Report) -> list[Noted]:
        """Write every photograph as the network sees it; return what ``run.json`` tells of each.

        Parameters
        ----------
        out : Path
            The survey's folder.
        size : (int, int), optional
            Input height and width in pixels, if asked for.
        own_size : bool
            Whether each is seen at a size of its own.
        report : callable
        """
        entries: list[Noted] = []
        names: list[str] = []
        for number, source in enumerate(self.sources):
            photo, prepared = self.read(number)
            photo = _named(photo, names)
            report(f"{self.model.name}: {photo.name}", number, len(self.sources))
            file = f"images/{len(names):03d}-{slug(photo.name)}.png"
            write_bytes(out / file, _png(prepared.image))
            height, width = prepared.image.shape[:2]
            # What a command has to ask for to see the image as it was seen here.
            asked = (height, width) if own_size else size
            entries.append(
                {
                    "name": photo.name,
                    "source": str(source),
                    "file": file,
                    "height": height,
                    "width": width,
                    "size": None if asked is None else list(asked),
                }
            )
        return entries

    def peaks(self, layers: list[Layer], report: Report) -> dict[Layer, NDArray[np.float32]]:
        """Run the network on every photograph; return each unit's largest value."""
        found: dict[Layer, NDArray[np.float32]] = {}
        for number in range(len(self.sources)):
            photo, prepared = self.read(number)
            report(f"{self.model.name}: {photo.name}", number, len(self.sources))
            for layer, values in run_layers(self.model, layers, prepared.tensor, photo.name, _peak).items():
                peak = np.nan_to_num(values, nan=-np.inf)
                found[layer] = np.maximum(found.get(layer, peak), peak)
        return found

    def save_maps(
        self,
        out: Path,
        entries: Sequence[Noted],
        slugs: Mapping[Layer, str],
        units: Mapping[Layer, Sequence[int]],
        report: Report,
    ) -> None:
        """Save the maps of some units of some layers on every photograph, in ``maps/`` of the survey's folder.

        A photograph whose files are all there is left out.

        Parameters
        ----------
        out : Path
        entries : sequence of dict
            What `save` returned.
        slugs : mapping of Layer to str
        units : mapping of Layer to sequence of int
            Layers without units have no maps.
        report : callable
        """
        at = {layer: torch.tensor(some) for layer, some in units.items()}
        for number, entry in enumerate(entries):
            files = {
                layer: out / "maps" / slugs[layer] / f"{Path(entry['file']).stem}.npz" for layer in units
            }
            report(f"{self.model.name}: {entry['name']}", number, len(entries))
            if all(file.is_file() for file in files.values()):
                continue
            photo, prepared = self.read(number)

            def chosen(layer: Layer, maps: Tensor) -> Tensor:
                return maps[at[layer].to(maps.device)]

            values = run_layers(self.model, list(units), prepared.tensor, photo.name, chosen)
            for layer, maps in values.items():
                _maps_result(self.model, layer, photo.name, prepared.image, maps, units[layer]).save(
                    files[layer]
                )


def patch_peaks(folder: Path, layers: Sequence[Layer]) -> dict[Layer, NDArray[np.float32]]:
    """Return each unit's largest value as a run of patches over the same images and layers has it."""
    run = open_run(folder)
    return {layer: run.result(one).max for layer, one in zip(layers, run.layers, strict=True)}


def strongest(peaks: NDArray[np.float32], most: int) -> list[int]:
    """Return the units with the largest responses, in order of their number."""
    return [int(unit) for unit in np.sort(np.argsort(-peaks, kind="stable")[:most])]


def _peak(_: Layer, maps: Tensor) -> Tensor:
    return maps.flatten(1).amax(dim=1)


def _named(photo: Photo, names: list[str]) -> Photo:
    """Give the photograph a name that no other has, and note it."""
    name, number = photo.name, 2
    while name in names:
        name, number = f"{photo.name} ({number})", number + 1
    names.append(name)
    return replace(photo, name=name)


def _png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _maps_result(
    model: Model,
    layer: Layer,
    name: str,
    image: NDArray[np.uint8],
    maps: NDArray[np.float32],
    units: Sequence[int],
) -> MapsResult:
    return MapsResult(
        maps=maps,
        image=image,
        index=np.array(units, dtype=np.int64),
        units=np.array(units, dtype=np.int64),
        network=model.name,
        layer=layer.name,
        alias=layer.alias,
        layer_kind=layer.kind,
        channels=layer.channels,
        image_name=name,
        scale="each",
        sort="index",
    )
