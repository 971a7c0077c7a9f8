import numpy as np
import pytest
import torch
from skimage.transform import ProjectiveTransform
from torch import nn

import netviz
from netviz.errors import ImageError
from netviz.images import Photo, read_image
from netviz.models import Model, Preprocessing
from netviz.questions.places import open_layer
from netviz.questions.sift.match import METHODS, compare, describe, match, mutual
from netviz.questions.sift.warps import (
    Warp,
    inside,
    move,
    perspective,
    relight,
    rotation,
    scaling,
    warp_image,
    warps,
)

PLAIN = Preprocessing(resize=None, crop=None, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
PIXELS = read_image("skimage:astronaut").pixels[20:164, 150:306]


def opened() -> Model:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 12, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 24, 3)
    ).eval()
    return Model("net", network, network.state_dict(), PLAIN, ())


@pytest.fixture(scope="module")
def experiment():
    return match(Photo("astronaut", PIXELS), layer="conv2", model=opened(), window=5)


def test_mutual_neighbours_equal_loops():
    rng = np.random.default_rng(0)
    for first, second, size in [(30, 40, 5), (40, 7, 2), (1, 9, 3), (0, 4, 3), (4, 0, 3)]:
        one, other = rng.normal(size=(first, size)), rng.normal(size=(second, size))
        expected = []
        for i in range(first):
            if not second:
                break
            j = min(range(second), key=lambda k: np.sum((one[i] - other[k]) ** 2))
            if i == min(range(first), key=lambda k: np.sum((one[k] - other[j]) ** 2)):
                expected.append((i, j))
        assert [tuple(pair) for pair in mutual(one, other).tolist()] == expected


def test_places_follow_hand_geometry():
    shape = (101, 201)
    points = np.array([[50.0, 100.0], [50.0, 110.0], [40.0, 100.0]])
    # Counter-clockwise as seen: what was to the right is above.
    np.testing.assert_allclose(move(points, rotation(90, shape)), [[50, 100], [40, 100], [50, 90]], atol=1e-9)
    np.testing.assert_allclose(
        move(points, rotation(30, shape))[1], [50 - 5, 100 + 10 * np.sqrt(0.75)], atol=1e-9
    )
    np.testing.assert_allclose(
        move(points, scaling(1.6, shape)), [[50, 100], [50, 116], [34, 100]], atol=1e-9
    )
    corners = np.array([[0.0, 0.0], [0.0, 200.0], [100.0, 200.0], [100.0, 0.0]])
    shifts = np.random.default_rng(3).uniform(-0.1, 0.1, (4, 2)) * (201, 101)
    moved = move(corners, perspective(0.1, shape, np.random.default_rng(3)))
    np.testing.assert_allclose(moved, corners + shifts[:, ::-1], atol=1e-8)
    for warp in warps(shape, seed=1):
        transform = ProjectiveTransform(matrix=warp.homography)
        np.testing.assert_allclose(
            move(points, warp.homography), transform(points[:, ::-1])[:, ::-1], atol=1e-8
        )


@pytest.mark.parametrize("warp", warps((160, 180), seed=0), ids=lambda warp: f"{warp.kind}{warp.strength}")
def test_a_dot_comes_to_lie_at_its_true_place(warp):
    rows, columns = np.mgrid[:160, :180]
    place = np.array([[70.0, 105.0]])
    dot = 200 * np.exp(-((rows - 70) ** 2 + (columns - 105) ** 2) / (2 * 3.0**2))
    moved = warp_image(np.repeat(dot.astype(np.uint8)[..., None], 3, axis=2), warp)[..., 0].astype(float)
    weight = np.where(moved > 0.5 * moved.max(), moved, 0)
    middle = [(weight * rows).sum() / weight.sum(), (weight * columns).sum() / weight.sum()]
    np.testing.assert_allclose(middle, move(place, warp.homography)[0], atol=0.5)


def test_warps_that_change_nothing_or_move_whole_pixels():
    square = PIXELS[:140, :140]
    still = Warp("rotation", 0.0, np.eye(3))
    np.testing.assert_array_equal(warp_image(square, still), square)
    np.testing.assert_array_equal(
        warp_image(square, Warp("rotation", 90.0, rotation(90, (140, 140)))), np.rot90(square)
    )
    np.testing.assert_array_equal(relight(square, 0.0), square)
    values = np.array([[[0, 64, 255]]], dtype=np.uint8)
    dark = 255 * (2**-0.5 * (np.array([0, 64, 255]) / 255) ** 2 - 0.08)
    np.testing.assert_array_equal(relight(values, -1.0)[0, 0], np.rint(dark.clip(0)))
    assert relight(square, 1.0).mean() > square.mean() > relight(square, -1.0).mean()
    assert inside(np.array([[0.0, 0.0], [-0.1, 3], [9, 19], [9, 19.2]]), (10, 20)).tolist() == [
        True,
        False,
        True,
        False,
    ]


def test_the_image_itself_matches_itself():
    reader = open_layer(Photo("astronaut", PIXELS), "conv2", opened())
    described = describe(reader, PIXELS, 5)
    rows, matches = compare(described, described, Warp("rotation", 0.0, np.eye(3)), PIXELS.shape[:2])
    count = len(described.keypoints.points)
    assert count > 100
    for row in rows:
        assert row["precision"] == 1.0
        assert row["keypoints"] == row["keypoints_warped"] == row["matchable"] == count
    # Every place is matched, with itself, where descriptors differ at all.
    assert [row["matches"] for row in rows] == [count] * 3
    for found in matches.values():
        np.testing.assert_array_equal(found[:, :2], found[:, 2:4])


def test_rows_and_totals(experiment):
    rows = experiment.rows
    assert len(rows) == 3 * 23
    assert [row["method"] for row in rows[:3]] == list(METHODS)
    assert len(experiment.homographies) == 23
    for row in rows:
        assert 0 <= row["right"] <= row["matches"] <= min(row["keypoints"], row["keypoints_warped"])
        assert row["right"] <= row["matchable"] <= row["keypoints"] <= experiment.keypoints
        assert row["precision"] == pytest.approx(row["right"] / row["matches"], abs=1e-4)
    for total in experiment.totals:
        some = [
            row for row in rows if row["method"] == total["method"] and total["kind"] in ("all", row["kind"])
        ]
        for name in ("matches", "right", "matchable"):
            assert total[name] == sum(row[name] for row in some)
        assert total["precision"] == pytest.approx(total["right"] / total["matches"], abs=1e-4)
    assert [total["warps"] for total in experiment.totals[::3]] == [6, 6, 6, 5, 23]


def test_light_alone_and_turns_do_not_trouble_sift(experiment):
    for row in experiment.rows:
        if row["method"] == "SIFT" and (
            row["kind"] == "rotation" or (row["kind"] == "illumination" and abs(row["strength"]) < 0.5)
        ):
            assert row["precision"] > 0.9
    by = {(row["kind"], row["strength"], row["method"]): row for row in experiment.rows}
    # A layer knows nothing of orientation.
    assert by["rotation", 90.0, "layer"]["precision"] < 0.5
    # Light moves nothing: all keypoints count.
    assert by["illumination", 0.3, "SIFT"]["keypoints"] == experiment.keypoints
    # Enlarged, what leaves the image does not.
    assert by["scale", 1.6, "SIFT"]["keypoints"] < experiment.keypoints


def test_the_drawn_pair(experiment):
    angle = np.radians(experiment.pair_strength)
    assert experiment.pair_kind == "rotation"
    middle = (np.array(PIXELS.shape[:2]) - 1) / 2
    for method, found in zip(
        METHODS, (experiment.pair_sift, experiment.pair_layer, experiment.pair_normalized), strict=True
    ):
        (row,) = [
            one
            for one in experiment.rows
            if (one["kind"], one["strength"], one["method"]) == ("rotation", 20.0, method)
        ]
        assert (len(found), found[:, 4].sum()) == (row["matches"], row["right"])
        down, across = (found[:, :2] - middle).T
        true = middle + np.stack(
            [np.cos(angle) * down - np.sin(angle) * across, np.sin(angle) * down + np.cos(angle) * across],
            axis=1,
        )
        apart = np.hypot(*(true - found[:, 2:4]).T)
        np.testing.assert_array_equal(apart <= 3.0, found[:, 4] == 1)
    assert experiment.warped.shape == PIXELS.shape


def test_seed_and_file(experiment, tmp_path):
    again = match(Photo("astronaut", PIXELS), layer="conv2", model=opened(), window=5)
    assert again.save(tmp_path / "a.npz").read_bytes() == experiment.save(tmp_path / "b.npz").read_bytes()
    loaded = netviz.load_result(tmp_path / "a.npz")
    assert loaded.facts() == experiment.facts()
    one, other = warps((100, 100), 0), warps((100, 100), 1)
    same = [np.array_equal(a.homography, b.homography) for a, b in zip(one, other, strict=True)]
    assert same == [warp.kind != "perspective" for warp in one]


def test_an_image_without_keypoints():
    with pytest.raises(ImageError, match="finds no keypoint in flat"):
        match(Photo("flat", np.full((96, 96, 3), 90, np.uint8)), layer="conv1", model=opened())
    # One that loses its keypoints only when warped gives rows without matches.
    reader = open_layer(Photo("astronaut", PIXELS), "conv1", opened())
    first, second = (describe(reader, image, 5) for image in (PIXELS, np.full_like(PIXELS, 90)))
    rows, matches = compare(first, second, Warp("illumination", 1.0, np.eye(3)), PIXELS.shape[:2])
    assert [(row["matches"], row["precision"]) for row in rows] == [(0, None)] * 3
    assert matches["SIFT"].shape == (0, 5)
