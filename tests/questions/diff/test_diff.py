"""Two checkpoints beside each other, against plain loops over the two networks."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import netviz
from netviz.errors import LayerError, ModelError
from netviz.images import Photo
from netviz.questions.diff.result import choose_drawn, in_common, most_changed
from netviz.questions.drawing import figure
from netviz.results.base import Result

SIZE = (20, 24)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 4, 1)
    )


def pruned() -> nn.Sequential:
    """The same, with unit 2 of the first layer zeroed, 4 noised and 1 turned round."""
    changed = copy.deepcopy(network())
    with torch.no_grad():
        weight, bias = changed[0].weight, changed[0].bias
        weight[2], bias[2] = 0, 0
        weight[4] += 0.1 * torch.randn(weight[4].shape)
        weight[1] *= -1
    return changed


PHOTOS = [
    Photo(f"noise{at}", np.random.default_rng(at).integers(0, 256, (*SIZE, 3), np.uint8)) for at in range(3)
]


@pytest.fixture(scope="module")
def compared() -> Result:
    return netviz.diff(network(), pruned(), images=PHOTOS, size=SIZE, top=8)


def test_distances_and_cosines_of_filters(compared):
    pairs = [
        (one.weight.detach().numpy().astype(float), other.weight.detach().numpy().astype(float))
        for one, other in zip(network(), pruned(), strict=True)
        if isinstance(one, nn.Conv2d)
    ]
    at = 0
    for before, after in pairs:
        for one, other in zip(before, after, strict=True):
            lengths = np.sqrt((one**2).sum()), np.sqrt((other**2).sum())
            distance = np.sqrt(((other - one) ** 2).sum()) / max(lengths)
            assert compared.distance[at] == pytest.approx(distance, abs=1e-12)
            if all(lengths):
                assert compared.cosine[at] == pytest.approx((one * other).sum() / np.prod(lengths))
            else:
                assert np.isnan(compared.cosine[at])
            at += 1
    assert at == len(compared.distance) == 15
    assert compared.distance[[0, 1, 2]].tolist() == [0, 2, 1]
    assert compared.zero.sum() == 0
    assert np.flatnonzero(compared.other_zero).tolist() == [2]


def test_maps_correlate_over_the_same_positions(compared):
    opened = [netviz.load(one) for one in (network(), pruned())]
    values: list[list[np.ndarray]] = [[], []]
    for kept, model in zip(values, opened, strict=True):
        for photo in PHOTOS:
            for layer in ("conv1", "conv2", "conv3"):
                kept.append(
                    netviz.maps(photo, layer=layer, model=model, size=SIZE).maps.reshape(
                        -1, SIZE[0] * SIZE[1]
                    )
                )
    at = 0
    for layer in range(3):
        one, other = (np.concatenate(kept[layer::3], axis=1) for kept in values)
        for unit in range(len(one)):
            if np.ptp(other[unit]) == 0:
                assert np.isnan(compared.correlation[at])
                assert compared.change[at] == 1
            else:
                wanted = np.corrcoef(one[unit].astype(float), other[unit].astype(float))[0, 1]
                assert compared.correlation[at] == pytest.approx(wanted, abs=1e-6)
                assert compared.change[at] == pytest.approx(1 - wanted, abs=1e-6)
            # Of all positions the strongest of each photograph is a patch, as there are no more patches than these.
            best = [side[unit].reshape(3, -1).argmax(axis=1) for side in (one, other)]
            assert compared.common[at] == (
                0 if np.isnan(compared.correlation[at]) else np.mean(best[0] == best[1])
            )
            at += 1
    assert compared.positions == 3 * SIZE[0] * SIZE[1]
    assert np.flatnonzero(compared.other_dead).tolist() == [2]
    assert (np.diff(compared.change[compared.order]) <= 0).all()


def test_what_is_in_common_is_counted_out_of_the_longer_list():
    rng = np.random.default_rng(0)
    lists = [tuple(rng.integers(0, 3, (40, 5)) for _ in range(3)) for _ in range(2)]
    there = [rng.random((40, 5)) < 0.8 for _ in range(2)]
    there[0][0] = there[1][0] = False
    found = in_common((*lists[0], there[0]), (*lists[1], there[1]))
    for unit, share in enumerate(found):
        places = [
            [tuple(int(part[unit, at]) for part in side) for at in range(5) if here[unit, at]]
            for side, here in zip(lists, there, strict=True)
        ]
        most = max(map(len, places))
        if most:
            assert share == pytest.approx(sum(one in places[1] for one in places[0]) / most)
        else:
            assert np.isnan(share)


def test_of_units_that_are_gone_a_quarter_is_drawn():
    changed = np.array([1.0, 1.0, 1.0, np.nan, 0.5, 0.4, 0.3, 0.0])
    gone = np.array([True, True, True, False, False, False, False, False])
    order = most_changed(changed)
    assert order.tolist() == [0, 1, 2, 4, 5, 6, 7, 3]
    assert choose_drawn(order, gone, 4).tolist() == [0, 4, 5, 6]
    assert choose_drawn(order, gone, 8).tolist() == [0, 1, 2, 4, 5, 6, 7, 3]
    assert choose_drawn(order, np.ones(8, bool), 3).tolist() == [0, 1, 2]


def test_what_cannot_be_compared_is_told():
    other = network()
    other[2] = nn.Conv2d(6, 5, 1)
    other[4] = nn.Identity()
    found = netviz.diff(network(), other)
    assert [part.layer for part in found.parts] == ["0"]
    assert [one.layer for one in found.unmatched] == ["2", "4"]
    assert "5×6×3×3 and 5×6×1×1" in found.unmatched[0].reason
    assert "no convolution of this name" in found.unmatched[1].reason
    with pytest.raises(ModelError, match=r"no convolution of the same name and shape.*one architecture"):
        netviz.diff(network(), nn.Sequential(nn.Conv2d(3, 4, 5)))
    with pytest.raises(LayerError):
        netviz.diff(network(), pruned(), layer="conv9")
    with pytest.raises(ValueError, match="give images"):
        netviz.diff(network(), pruned(), by="maps")


def test_the_picture_holds_both_filters_and_all_patches(compared):
    drawn = figure(compared)
    images = drawn.axes[0].images
    filled = int(compared.filled[:, :3].sum() + compared.other_filled[:, :3].sum())
    assert len(images) == 3 * len(compared.drawn) + filled
    said = [text.get_text() for text in drawn.axes[0].texts]
    assert "filter became 0" in said
    assert "never active" in said
    # The first drawn unit whose filter is a picture: before and after are those of its weights, red at full.
    at = next(
        at for at, one in enumerate(compared.drawn) if compared.place[one] == 0 and compared.unit[one] == 1
    )
    pair = compared.filters[f"filter_{at}"]
    np.testing.assert_array_equal(pair[0], network()[0].weight[1].detach().numpy())
    np.testing.assert_array_equal(pair[1], -pair[0])


def test_the_same_network_has_not_changed():
    found = netviz.diff(network(), network(), images=PHOTOS[:1], size=SIZE)
    assert not found.change.any()
    assert (found.common == 1).all()
    assert [one["changed"] for one in found.layers()] == [0, 0, 0]
