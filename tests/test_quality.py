"""Per-image facts: against images whose facts are known, and independent of chunks and workers."""

import numpy as np
import pytest

from ferrule import quality
from ferrule.quality import hash_pixels, measure_quality


def image(*levels: int) -> np.ndarray:
    """Return a 48 x 48 image of upright bands of equal width, one a level."""
    return np.repeat(np.array(levels, np.uint8), 48 // len(levels))[None].repeat(48, axis=0)


KNOWN = {
    "black": (image(0), {"minimum": 0, "maximum": 0, "mean": 0, "std": 0, "levels": 1, "blank": True, "faint": True}),
    "grey": (image(77), {"minimum": 77, "maximum": 77, "mean": 77, "std": 0, "levels": 1, "blank": True}),
    "white": (image(255), {"minimum": 255, "mean": 255, "std": 0, "sharpness": 0, "blank": True, "faint": True}),
    "half": (image(0, 255), {"mean": 127.5, "std": 127.5, "levels": 2, "blank": False, "faint": False}),
    "just faint": (image(100, 107), {"std": 3.5, "blank": False, "faint": True}),
    "not faint": (image(100, 108), {"std": 4.0, "blank": False, "faint": False}),
    "bands": (image(10, 20, 30, 40), {"minimum": 10, "maximum": 40, "mean": 25, "levels": 4}),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_images(name):
    pixels, expected = KNOWN[name]
    row = measure_quality(pixels[None]).iloc[0]
    assert {key: row[key] for key in expected} == expected
    assert (row["pixel_count"], row["height"], row["width"], row["dtype"]) == (2304, 48, 48, "uint8")


def test_random_images_agree_with_plain_numpy(make_samples):
    images = make_samples(50).images
    table, flat = measure_quality(images), images.reshape(50, -1)
    assert np.array_equal(table["minimum"], flat.min(axis=1))
    assert np.array_equal(table["maximum"], flat.max(axis=1))
    np.testing.assert_allclose(table["mean"], flat.mean(axis=1))
    np.testing.assert_allclose(table["std"], flat.std(axis=1))
    assert table["levels"].tolist() == [len(np.unique(pixels)) for pixels in flat]
    grey = images.astype(int)
    laplacian = (
        grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:] - 4 * grey[:, 1:-1, 1:-1]
    )
    np.testing.assert_allclose(table["sharpness"], laplacian.var(axis=(1, 2)))


def test_a_blurred_image_is_less_sharp(make_samples):
    sharp = make_samples(1).images
    blurred = ((sharp.astype(int) + np.roll(sharp, 1, axis=1) + np.roll(sharp, 1, axis=2)) // 3).astype(np.uint8)
    table = measure_quality(np.concatenate([sharp, blurred]))
    assert table["sharpness"][0] > 3 * table["sharpness"][1]


def test_hashes_tell_images_apart_by_one_pixel():
    images = np.zeros((3, 48, 48), np.uint8)
    images[2, 47, 47] = 1
    first, same, other = hash_pixels(images)
    assert first == same != other
    assert len(first) == 16
    assert int(first, 16) >= 0


def test_nothing_depends_on_chunks_or_workers(make_samples, monkeypatch):
    images = make_samples(23).images
    whole = measure_quality(images)
    monkeypatch.setattr(quality, "_CHUNK", 4)
    for workers in ("1", "3"):
        monkeypatch.setenv("FERRULE_WORKERS", workers)
        assert measure_quality(images).equals(whole)


def test_no_images_give_an_empty_table_of_the_same_columns(make_samples):
    images = make_samples(2).images
    empty, full = measure_quality(images[:0]), measure_quality(images)
    assert len(empty) == 0
    assert empty.dtypes.equals(full.dtypes)
