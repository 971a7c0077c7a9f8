import numpy as np
import pytest
import torch
from torch import nn

import netviz
from netviz.errors import ImageError, ModelError
from netviz.images import Photo, normalize
from netviz.models import Model, Preprocessing
from netviz.questions.minimal.measure import blur_width, filled, segmented
from netviz.questions.minimal.search import FullPasses, search
from support.network import state_of

PLAIN = Preprocessing(resize=None, crop=None, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def classifier(classes: int = 4, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(True), nn.MaxPool2d(2), nn.Conv2d(8, classes, 3), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ).eval()  # fmt: skip


def opened(network: nn.Module, labels: tuple[str, ...] = ()) -> Model:
    return Model("net", network, network.state_dict(), PLAIN, labels)


def blobs(height: int = 48, width: int = 64) -> Photo:
    """Coarse random colours, so that there is something to part."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3))
    return Photo("blobs", np.kron(coarse, np.ones((8, 8, 1)))[:height, :width].astype(np.uint8))


def brute_force(network, image, baseline, labels, chosen):
    """The greedy search in its plainest form: a forward pass for every candidate."""
    order, scores, predictions, evaluations = [], [], [], 0
    left = sorted(set(labels.ravel().tolist()))
    current = image.clone()
    while left:
        best = None
        for one in left:
            tried = current.clone()
            for y, x in np.argwhere(labels == one):
                tried[..., y, x] = baseline[..., y, x]
            with torch.no_grad():
                found = network(tried)[0]
            evaluations += 1
            if best is None or found[chosen] > best[1][chosen]:
                best = (one, found, tried)
        one, found, current = best
        order.append(one)
        scores.append(float(found[chosen]))
        predictions.append(int(found.argmax()))
        left.remove(one)
        if predictions[-1] != chosen:
            break
    return order, scores, predictions, evaluations


@pytest.mark.parametrize("incremental", [True, False])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_search_equals_brute_force(incremental, seed):
    network = classifier(seed=seed)
    photo = blobs()
    labels = segmented(photo.pixels, 12)
    image = normalize(photo.pixels, PLAIN)
    baseline = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        chosen = int(network(image)[0].argmax())
    order, scores, predictions, evaluations = brute_force(network, image, baseline, labels, chosen)
    found = search(network, image, baseline, labels, chosen, incremental=incremental)
    assert list(found.order) == order
    assert list(found.predictions) == predictions
    np.testing.assert_allclose(found.scores, scores, atol=1e-5)
    assert found.evaluations == evaluations
    assert found.flipped == (predictions[-1] != chosen)
    assert len(order) >= 3
    assert (found.why_full == "") == incremental


def test_a_network_that_cannot_be_followed_takes_full_passes():
    class Odd(nn.Module):
        def forward(self, x):
            return torch.stack([x.mean((1, 2, 3)), x.amax((1, 2, 3)) * float(x.min()) * 0], dim=1)

    photo = blobs(24, 24)
    labels = segmented(photo.pixels, 4)
    image = torch.from_numpy(photo.pixels / 255).permute(2, 0, 1).float()[None]
    found = search(Odd(), image, torch.zeros_like(image), labels, 0)
    assert "hands values to Python" in found.why_full
    assert not found.flipped or found.predictions[-1] == 1


def test_a_network_for_one_image_at_a_time():
    class Single(nn.Module):
        def forward(self, x):
            return x.reshape(1, 3, -1).mean(2)

    photo = blobs(24, 24)
    labels = segmented(photo.pixels, 6)
    image = torch.from_numpy(photo.pixels / 255).permute(2, 0, 1).float()[None]
    chosen = int(image.mean((2, 3))[0].argmax())
    expected = brute_force(Single(), image, torch.zeros_like(image), labels, chosen)
    found = search(Single(), image, torch.zeros_like(image), labels, chosen, incremental=False)
    assert list(found.order) == expected[0]
    # Also in the call in which it turns out: six candidates, of which four would have run together.
    judge = FullPasses(Single(), torch.zeros_like(image), labels)
    scores = judge(image, range(6))
    assert judge.batch == 1
    for segment, one in enumerate(scores):
        left = torch.where(torch.from_numpy(labels == segment), 0, image)
        torch.testing.assert_close(one, left.mean((2, 3))[0])


def test_the_result_holds_together():
    network = classifier()
    photo = blobs()
    result = netviz.minimal(photo, model=opened(network, ("a", "b", "c", "d")), segments=12, fill="mean")
    with torch.no_grad():
        clean, last = (network(normalize(one, PLAIN))[0] for one in (result.image, result.minimal))
        after = network(normalize(result.after(len(result.order)), PLAIN))[0]
    assert result.class_index == int(clean.argmax()) == int(last.argmax())
    assert result.label == "abcd"[result.class_index]
    assert result.score == pytest.approx(float(clean.max()), abs=1e-5)
    assert result.scores[-1] == pytest.approx(float(after[result.class_index]), abs=1e-5)
    assert result.end_index == int(after.argmax())
    assert result.removed == len(result.order) - int(result.flipped)
    kept = ~np.isin(result.segments, result.order[: result.removed])
    assert result.share == pytest.approx(kept.mean())
    np.testing.assert_array_equal(result.minimal[kept], photo.pixels[kept])
    mean = np.rint(photo.pixels.reshape(-1, 3).mean(axis=0))
    assert (result.minimal[~kept] == mean).all()
    assert result.count == len(np.unique(result.segments))
    assert result.score_of == "raw output"


def test_fill_mean_and_blur():
    image = blobs(20, 30).pixels
    labels = np.zeros((20, 30), dtype=np.int64)
    labels[:, 15:] = 1
    np.testing.assert_array_equal(filled(image, "mean")[3, 4], np.rint(image.astype(float).mean(axis=(0, 1))))
    assert blur_width(image) == 2.0
    # A Gaussian of 2 pixels, cut at 4 standard deviations, the border's values beyond it.
    weights = np.exp(-(np.arange(-8, 9) ** 2) / 8)
    weights /= weights.sum()
    padded = np.pad(image.astype(float), ((8, 8), (8, 8), (0, 0)), mode="edge")
    expected = np.zeros(image.shape)
    for dy in range(17):
        for dx in range(17):
            expected += weights[dy] * weights[dx] * padded[dy : dy + 20, dx : dx + 30]
    assert np.abs(filled(image, "blur") - np.rint(expected)).max() <= 1


def test_everything_removed_and_still_the_class():
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)).eval()
    with torch.no_grad():
        network[2].weight.zero_()
        network[2].bias.copy_(torch.tensor([0.0, 1.0]))
    result = netviz.minimal(blobs(), model=opened(network), segments=6)
    assert not result.flipped
    assert result.removed == result.count == len(result.order)
    assert result.share == 0
    assert (result.end_index, result.class_index) == (1, 1)
    np.testing.assert_array_equal(result.minimal, result.filling)


def test_a_set_by_class(tmp_path):
    network = classifier(seed=3)
    broken = str(tmp_path / "broken.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    photos = [f"skimage:{name}" for name in ("chelsea", "coffee", "rocket")]
    model = Model("net", network, network.state_dict(), Preprocessing(resize=40, crop=(40, 40)), ())
    result = netviz.minimal_set([*photos, broken], model=model, segments=8)
    singly = [netviz.minimal(photo, model=model, segments=8) for photo in photos]
    assert result.share.tolist() == [one.share for one in singly]
    assert result.class_index.tolist() == [one.class_index for one in singly]
    assert result.names == ("chelsea", "coffee", "rocket")
    assert result.mean_share == pytest.approx(np.mean([one.share for one in singly]))
    assert [name for name, _ in result.skipped] == [broken]
    for row in result.by_class:
        own = [one.share for one in singly if one.class_index == row["class_index"]]
        assert row["images"] == len(own)
        assert (row["mean"], row["least"], row["most"]) == pytest.approx((np.mean(own), min(own), max(own)))
    assert sum(row["images"] for row in result.by_class) == 3
    with pytest.raises(ImageError, match=r"broken\.png"):
        netviz.minimal_set([*photos, broken], model=model, segments=8, strict=True)
    with pytest.raises(ImageError, match="none of the 1 images can serve"):
        netviz.minimal_set([broken], model=model)
    with pytest.raises(ImageError, match=r"no such image: /none\.png"):
        netviz.minimal_set([*photos, "/none.png"], model=model)


def test_bad_input():
    model = opened(classifier(), ("cat", "dog", "cow", "hen"))
    for arguments, message in [
        ({"segments": 1}, "at least 2, not 1"),
        ({"fill": "black"}, "one of blur, mean, not 'black'"),
    ]:
        with pytest.raises(ValueError, match=message):
            netviz.minimal(blobs(), model=model, **arguments)
    predicted = netviz.minimal(blobs(), model=model, segments=4).class_index
    other = (predicted + 1) % 4
    with pytest.raises(
        ImageError, match=rf"predicted as '{model.labels[predicted]}' \(class {predicted}\), not as"
    ):
        netviz.minimal(blobs(), model=model, class_=other)
    with pytest.raises(ModelError, match="no class 'horse'"):
        netviz.minimal(blobs(), model=model, class_="horse")
    with pytest.raises(ImageError, match="fewer than 5000 segments"):
        netviz.minimal(blobs(), model=model, segments=5000)
    with pytest.raises(
        ModelError, match=r"4 channels, which are not its 2 classes .* the minimal image needs"
    ):
        netviz.minimal("skimage:coins", model="pnet", size=(48, 48), output=0)


def test_the_network_is_left_as_found_and_results_survive(awkward, tmp_path):
    before = state_of(awkward)
    result = netviz.minimal(blobs(24, 24), model=opened(awkward), segments=5)
    assert state_of(awkward) == before
    path = result.save(tmp_path / "a.npz")
    again = netviz.load_result(path)
    assert again.facts() == result.facts()
    assert again.save(tmp_path / "b.npz").read_bytes() == path.read_bytes()
