"""Views: where each pixel goes."""

import cv2
import numpy as np
import pytest

from ferrule.views import ALL, FLIP, PLAIN, Distortion, View, distort, look

IMAGES = np.random.default_rng(1).integers(0, 256, (6, 48, 48), dtype=np.uint8)
SMOOTH = np.stack([cv2.GaussianBlur(image, (0, 0), 3) for image in IMAGES])
STILL = Distortion(flip=0, rotation=0, zoom=0, aspect=0, shift=0, erasing=0)


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (View(), IMAGES),
        (View(flip=True), IMAGES[:, :, ::-1]),
        (View(shift=(2 / 48, 0)), np.roll(IMAGES, -2, axis=2)),
        (View(shift=(0, 2 / 48)), np.roll(IMAGES, -2, axis=1)),
        (View(rotation=90), np.rot90(IMAGES, k=1, axes=(1, 2))),
    ],
    ids=["same", "flip", "x", "y", "rotation"],
)
def test_a_view_moves_pixels_as_it_says(view, expected):
    inside = np.s_[:, 3:-3, 3:-3]
    assert np.array_equal(look(IMAGES, view)[inside], expected[inside])


def test_zoom_shows_the_middle_larger():
    dot = np.zeros((1, 48, 48), np.uint8)
    dot[0, 20:28, 20:28] = 255
    larger, smaller = (look(dot, View(zoom=zoom)).mean() for zoom in (1.5, 0.75))
    assert smaller < dot.mean() < larger


@pytest.mark.parametrize("size", [24, 40])
def test_a_smaller_size_shows_the_whole_image(size):
    small = look(SMOOTH, View(), size)
    assert small.shape == (6, size, size)
    expected = np.stack([cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in SMOOTH])
    assert np.abs(small.astype(int) - expected).mean() < 2


def test_nothing_is_distorted_where_nothing_is_asked():
    assert np.array_equal(distort(IMAGES, STILL, 48, np.random.default_rng(0)), IMAGES)


@pytest.mark.parametrize(
    "change", [{"flip": 1}, {"rotation": 8}, {"zoom": 0.1}, {"aspect": 0.1}, {"shift": 0.1}, {"erasing": 1}], ids=str
)
def test_each_distortion_changes_images_and_repeats_with_its_seed(change):
    distortion = Distortion(**{"flip": 0, "rotation": 0, "zoom": 0, "aspect": 0, "shift": 0, "erasing": 0} | change)
    first, again = (distort(IMAGES, distortion, 48, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, again)
    assert (first != IMAGES).any(axis=(1, 2)).all()


def test_distorted_images_stay_as_sharp_as_the_others():
    """Else a network learns to know generated or distorted images by their blur, which test images lack."""
    strong = Distortion(flip=0.5, rotation=8, zoom=0.1, aspect=0.05, shift=0.06, erasing=0)
    faces = np.stack([cv2.GaussianBlur(image, (0, 0), 0.8) for image in IMAGES])
    sharpness = [
        np.mean([cv2.Laplacian(image, cv2.CV_32F).var() for image in images])
        for images in (faces, distort(faces, strong, 48, np.random.default_rng(0)))
    ]
    assert sharpness[1] > 0.8 * sharpness[0]


def test_averaged_views_hold_the_plain_one_and_each_with_its_mirror():
    assert PLAIN[0] in ALL
    assert set(FLIP) <= set(ALL)
    assert len(set(ALL)) == len(ALL) == 2 * sum(view.flip for view in ALL)
