"""The local engine on 40 images against a brute-force top-k, mean and quantile over stored activations."""

import copy
import functools
import time
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from netviz.capture import index_layers
from netviz.engines import Item, Job, Tally, Units, UnitsQuery, run_local
from netviz.engines.accumulators.positions import Extent, spread
from netviz.errors import ImageError, ModelError
from netviz.models import Preprocessing
from support.network import state_of

PREPROCESSING = Preprocessing(resize=None, crop=None, mean=(0.5,) * 3, std=(0.25,) * 3)
IMAGES = 40


@dataclass(frozen=True)
class Memory:
    """Images that are already there; some cannot be read."""

    images: tuple[np.ndarray, ...]
    broken: tuple[int, ...] = ()

    def __len__(self):
        return len(self.images)

    def load(self, number):
        if number in self.broken:
            raise ImageError(f"image {number} is damaged")
        pixels = self.images[number]
        return Item(number, pixels, pixels.shape[:2])


def network():
    torch.manual_seed(3)
    made = nn.Sequential(
        nn.Conv2d(3, 6, 5, stride=2, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 5, 1),
    ).eval()
    with torch.no_grad():
        for norm in (made[1], made[4]):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
        made[4].bias[2] = -100  # dead
        made[4].bias[3] = 100  # always on
    return made


def images(count=IMAGES, side=21):
    rng = np.random.default_rng(5)
    made = [rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(count)]
    made[17] = made[4]  # equal scores in different images
    made[23] = made[4]
    made[8] = np.zeros_like(made[8])  # equal scores within an image
    return tuple(made)


def activations(net, pictures, names):
    """Plain hooks on a plain copy, one image after the other: what netviz is compared with."""
    net = copy.deepcopy(net)
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    kept = {name: [] for name in names}
    for name in names:
        net.get_submodule(name).register_forward_hook(
            lambda _, args, output, name=name: kept[name].append(output[0].numpy().astype(np.float64))
        )
    with torch.no_grad():
        for pixels in pictures:
            values = torch.from_numpy((pixels / 255 - 0.5) / 0.25).permute(2, 0, 1)[None].float()
            net(values)
    return {name: np.stack(values) for name, values in kept.items()}


def brute_force(values, top, per_image):
    """All positions of all images, sorted: score down, then image, row, column up."""
    count, units, height, width = values.shape
    for unit in range(units):
        entries = []
        for image in range(count):
            places = [
                (-values[image, unit, row, col], row, col) for row in range(height) for col in range(width)
            ]
            entries += [(score, image, row, col) for score, row, col in sorted(places)[:per_image]]
        yield sorted(entries)[:top]


def run(net, source, query, batch, **options):
    job = Job(
        network=net,
        name="net",
        preprocessing=PREPROCESSING,
        shape=(3, 21, 21),
        layers=query.layers,
        source=source,
        names=[f"image{number}.png" for number in range(len(source))],
        start=functools.partial(Units, query),
        batch=batch,
    )
    units, tally = Units(query), Tally.empty(job.chunks)
    run_local(job, units, tally, **options)
    return units, tally


def query_for(net, names=("1", "5", "7"), **options):
    index = index_layers(net, size=(21, 21))
    chosen = tuple(index.resolve(name) for name in names)
    return UnitsQuery(chosen, tuple((3, 3) for _ in chosen), **options)


@pytest.mark.parametrize("batch", [1, 7, 64])
@pytest.mark.parametrize("per_image", [1, 4])
def test_equal_to_brute_force(batch, per_image):
    net, pictures = network(), images()
    query = query_for(net, top=9, per_image=per_image, sample=1 << 16)
    units, _ = run(net, Memory(pictures), query, batch)
    stored = activations(net, pictures, ("1", "5", "7"))
    means = units.mean()
    for layer in query.layers:
        values = stored[layer.name]
        found = units.layers[layer]
        scale = abs(values).max()
        for unit, expected in enumerate(brute_force(values, 9, per_image)):
            score, *places = np.array(expected).T
            assert np.allclose(found.top.score[unit], -score, atol=2e-6 * scale, rtol=0)
            # Scores that differ by rounding only may stand in either order: then the brute force cannot tell.
            clear = np.abs(np.diff(score)) > 1e-5 * scale
            sure = np.append(clear, True) & np.insert(clear, 0, True) | (score == 0)
            here = np.stack([found.top.image, found.top.row, found.top.col])[:, unit]
            assert np.array_equal(here[:, sure], np.array(places)[:, sure])
            assert sure.mean() > 0.3
        flat = values.transpose(1, 0, 2, 3).reshape(layer.channels, -1)
        assert np.allclose(means[layer], flat.mean(axis=1), atol=1e-5 * scale)
        assert np.allclose(found.peak, flat.max(axis=1), atol=2e-6 * scale)
        assert np.array_equal(found.nonzero, np.count_nonzero(flat, axis=1))
        # The sample holds all positions, so quantiles are those of all values.
        kept = np.sort(found.sample.sorted()[1], axis=0)
        assert np.allclose(kept, np.sort(flat, axis=1).T, atol=2e-6 * scale)
    assert units.images == IMAGES


def test_ties_go_to_the_first_image_row_and_column():
    net, pictures = network(), images()
    units, _ = run(net, Memory(pictures), query_for(net), 8)
    relu = next(layer for layer in units.query.layers if layer.name == "5")
    dead = units.layers[relu].top
    assert dead.score[2].tolist() == [0.0] * 9
    assert not np.signbit(dead.score[2]).any()
    assert dead.image[2].tolist() == list(range(9))
    assert (dead.row[2] == 0).all()
    assert (dead.col[2] == 0).all()
    for layer in units.query.layers:
        for score, image in zip(units.layers[layer].top.score, units.layers[layer].top.image, strict=True):
            twins = [number for number in image.tolist() if number in (4, 17, 23)]
            assert twins == sorted(twins)
            assert len({float(score[list(image).index(number)]) for number in twins}) <= 1


@pytest.mark.parametrize("size", [7, 300])
def test_a_smaller_sample_is_random_and_near(size):
    net, pictures = network(), images()
    query = query_for(net, sample=size)
    units, _ = run(net, Memory(pictures), query, 16)
    stored = activations(net, pictures, ("1", "5", "7"))
    for layer in query.layers:
        kept = units.layers[layer].sample
        values = stored[layer.name].transpose(1, 0, 2, 3).reshape(layer.channels, -1)
        assert kept.values.shape == (size, layer.channels)
        assert kept.seen == values.shape[1]
        if size < 100:
            continue
        # The share of values below the sample's median, against 0.5: four standard deviations.
        below = (values[:, :, None] <= np.median(kept.values, axis=0)[:, None, None]).mean(axis=(1, 2))
        live = values.min(axis=1) < np.median(values, axis=1)
        assert (abs(below - 0.5)[live] < 4 * 0.5 / np.sqrt(size)).all()


def states_equal(one, other):
    first, second = one.state(), other.state()
    return first.keys() == second.keys() and all(
        first[name].tobytes() == second[name].tobytes() for name in first
    )


def box(row, col):
    """What a position of layer 5 sees: five pixels every two, then three positions with one of padding."""
    return 2 * row - 2, 2 * col - 2, 2 * row + 7, 2 * col + 7


def chosen(values, count, height, width):
    """The largest, then the largest of which no chosen field covers a quarter or more, by the definition."""
    kept = []
    every = sorted((-score, *place) for place, score in np.ndenumerate(values))
    for score, row, col in every:
        ends = np.clip(box(row, col), 0, (height, width) * 2)
        for _, *other in kept:
            with_ends = np.clip(box(*other), 0, (height, width) * 2)
            shared = np.minimum(ends[2:], with_ends[2:]) - np.maximum(ends[:2], with_ends[:2])
            smaller = min((ends[2:] - ends[:2]).prod(), (with_ends[2:] - with_ends[:2]).prod())
            if shared.min() > 0 and 4 * shared.prod() >= smaller:
                break
        else:
            kept.append((-score, row, col))
    return kept[:count]


@pytest.mark.parametrize("count", [1, 4, 99])
def test_positions_of_one_image_are_spread(count):
    rng = np.random.default_rng(2)
    # Few different values, so that there are ties.
    maps = rng.integers(-3, 6, (2, 9, 12, 3)).astype(np.float32)
    extents = Extent.of(box, 0, 9, 21), Extent.of(box, 1, 12, 27)
    which, units = np.array([0, 1, 1]), np.array([2, 0, 1])
    found = spread(torch.from_numpy(maps), which, units, count, extents)
    for image, unit in zip(which, units, strict=True):
        mine = (found.which == image) & (found.units == unit)
        here = list(zip(found.score[mine], found.row[mine], found.col[mine], strict=True))
        assert sorted(here, key=lambda one: (-one[0], *one[1:])) == chosen(
            maps[image, ..., unit], count, 21, 27
        )


@pytest.mark.parametrize("apart", [False, True])
def test_only_positions_inside_are_kept(apart):
    net, pictures = network(), images()
    options = {"per_image": 9, "apart": True} if apart else {}
    query = query_for(net, ("5",), boxes=(box,), inside=(True,), **options)
    units, _ = run(net, Memory(pictures), query, 7)
    top = units.layers[query.layers[0]].top
    # Nine pixels from -2 on, every two: inside 21 pixels lie those of the positions 1 to 7.
    values = activations(net, pictures, ("5",))["5"][:, :, 1:8, 1:8]
    for unit in range(8):
        if apart:
            assert (
                (top.row[unit] >= 1) & (top.row[unit] <= 7) & (top.col[unit] >= 1) & (top.col[unit] <= 7)
            ).all()
        best = np.sort(values[:, unit].max(axis=(1, 2)))[::-1]
        places = 1 if apart else 9
        assert np.allclose(top.score[unit, :places], best[:places], atol=1e-5 * abs(values).max())
    everywhere, _ = run(net, Memory(pictures), query_for(net, ("5",)), 7)
    assert np.array_equal(everywhere.layers[query.layers[0]].peak, units.layers[query.layers[0]].peak)


def test_without_a_position_inside_there_are_no_patches():
    net = network()
    query = query_for(net, ("5",), boxes=(lambda row, col: (-1, -1, 99, 99),), inside=(True,))
    units, _ = run(net, Memory(images()), query, 16)
    assert (units.layers[query.layers[0]].top.image == -1).all()


@pytest.mark.parametrize("options", [{}, {"boxes": (None, box, None), "per_image": 9, "apart": True}])
@pytest.mark.parametrize("inside", [(), (None, True, None)])
def test_workers_and_interruptions_change_no_bit(options, inside):
    net, pictures = network(), images()
    options = {"boxes": (None, box, None), "inside": inside, **options}
    classes = tuple(number % 3 for number in range(IMAGES))
    query = query_for(net, per_class=2, classes=classes, sample=50, **options)
    whole, tally = run(net, Memory(pictures), query, 4)
    read_elsewhere, _ = run(net, Memory(pictures), query, 4, workers=2)
    assert states_equal(whole, read_elsewhere)
    assert tally.done.all()
    parts = Units(query)
    for chunk in (3, 0, 9, 1, 2, 8, 4, 6, 5, 7):
        done = np.ones(10, dtype=bool)
        done[chunk] = False
        job = Job(net, "net", PREPROCESSING, (3, 21, 21), query.layers, Memory(pictures), (), Units, 4)
        piece = Units(query)
        run_local(job, piece, Tally(done))
        parts.merge(piece)
    assert states_equal(whole, parts)


def test_each_class_keeps_its_own():
    net, pictures = network(), images()
    classes = tuple(number % 3 for number in range(IMAGES))
    query = query_for(net, ("1",), per_class=2, classes=classes)
    units, _ = run(net, Memory(pictures), query, 16)
    values = activations(net, pictures, ("1",))["1"]
    found = units.layers[query.layers[0]].by_class
    score, image = found.score.reshape(6, 3, 2), found.image.reshape(6, 3, 2)
    peaks = values.max(axis=(2, 3))
    for unit in range(6):
        for one in range(3):
            mine = [number for number in range(IMAGES) if classes[number] == one]
            best = sorted(mine, key=lambda number: (-np.float32(peaks[number, unit]), number))[:2]
            assert np.allclose(score[unit, one], peaks[best, unit], atol=1e-5)
            assert image[unit, one].tolist() == best


def test_the_map_around_the_position_is_kept():
    net, pictures = network(), images()
    query = query_for(net, ("1",))
    units, _ = run(net, Memory(pictures), query, 16)
    values = activations(net, pictures, ("1",))["1"]
    top = units.layers[query.layers[0]].top
    side = values.shape[-1]
    for unit in range(6):
        for image, row, col, window in zip(
            top.image[unit], top.row[unit], top.col[unit], top.carried("window")[unit], strict=True
        ):
            first, second = np.clip([row - 1, col - 1], 0, side - 3)
            expected = values[image, unit, first : first + 3, second : second + 3]
            assert np.allclose(window, np.clip(expected / values[image, unit, row, col], -1, 1), atol=2e-3)


def test_unreadable_images_are_told_and_left_out():
    net, pictures = network(), images()
    query = query_for(net)
    units, tally = run(net, Memory(pictures, broken=(0, 13)), query, 8)
    assert tally.skipped == {0: "image 0 is damaged", 13: "image 13 is damaged"}
    assert units.images == IMAGES - 2
    assert not np.isin(units.layers[query.layers[0]].top.image, (0, 13)).any()
    with pytest.raises(ImageError, match="image 0 is damaged"):
        run(net, Memory(pictures, broken=(0, 13)), query, 8, strict=True)


def test_images_of_several_sizes_are_batched_by_size():
    net, pictures = network(), list(images())
    for number in (1, 2, 30):
        pictures[number] = np.tile(pictures[number], (2, 1, 1))
    query = query_for(net, ("5",))
    units, _ = run(net, Memory(tuple(pictures)), query, 16)
    alone, _ = run(net, Memory(tuple(pictures)), query, 1)
    layer = query.layers[0]
    assert np.array_equal(units.layers[layer].top.image, alone.layers[layer].top.image)
    assert units.positions[0] == alone.positions[0]


class Sick(nn.Module):
    """Gives NaN for a dark image, infinity for a bright one."""

    def forward(self, x):
        mean = x.mean((1, 2, 3), keepdim=True)
        x = torch.where(mean < -1.9, torch.nan, x)
        return torch.where(mean > 1.9, -torch.inf, x)


@pytest.mark.parametrize("grey", [0, 255])
def test_nan_and_infinity_are_named_with_layer_and_image(grey):
    torch.manual_seed(0)
    net = nn.Sequential(Sick(), nn.Conv2d(3, 2, 1))
    pictures = list(images())
    pictures[8] = pictures[0]
    pictures[33] = np.full_like(pictures[33], grey)
    query = query_for(net, ("0",))
    with pytest.raises(ModelError, match=r"layer 0 .* gives NaN or infinity on image33.png") as error:
        run(net, Memory(tuple(pictures)), query, 16)
    assert "\n" not in str(error.value)


class Unhurried(Sick):
    """The same, slow for all but dark images."""

    def forward(self, x):
        if x.device.type != "meta" and x.mean() > -1.9:
            time.sleep(0.5)
        return super().forward(x)


def test_of_two_bad_images_the_first_is_told_though_the_other_fails_sooner():
    pictures = [np.full((21, 21, 3), 128, np.uint8)] * 4
    pictures[0] = np.full_like(pictures[0], 255)
    pictures[1] = np.zeros_like(pictures[1])
    net = nn.Sequential(Unhurried(), nn.ReLU())
    query = query_for(net, ("0",))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with pytest.raises(ModelError, match=r"on image0\.png"):
            run(net, Memory(tuple(pictures)), query, 1)
    finally:
        torch.set_num_threads(threads)


class Hungry(nn.Module):
    """Takes no more than three images at a time."""

    def forward(self, x):
        if len(x) > 3 and not x.is_meta:
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
            )
        return x


def test_the_batch_shrinks_until_memory_suffices():
    net = nn.Sequential(Hungry(), *network())
    query = query_for(net, ("2", "6"))
    units, _ = run(net, Memory(images()), query, 16)
    plain, _ = run(net, Memory(images()), query, 2)
    assert units.images == IMAGES
    for layer in query.layers:
        assert np.array_equal(units.layers[layer].top.image, plain.layers[layer].top.image)


def test_the_network_is_left_as_it_was():
    net = network().train()
    before = state_of(net)
    run(net, Memory(images()), query_for(net), 16)
    assert state_of(net) == before
