"""Copies: each way of copying is found, other images under the same light are not, the real data counts as known."""

import time

import cv2
import numpy as np
import pandas as pd
import pytest

from ferrule import duplicates
from ferrule.duplicates import find_conflicts, find_copies, find_twins, summarise_copies
from ferrule.quality import measure_quality
from ferrule.samples import Samples
from ferrule.synthetic import draw_sample

BITS = 12


def draw_detail(count: int, seed: int, blur: float) -> np.ndarray:
    """Return smooth random fields of mean 0 and standard deviation 1, float32 (count, 48, 48)."""
    noise = np.random.default_rng(seed).normal(size=(count, 48, 48)).astype(np.float32)
    fields = np.stack([cv2.GaussianBlur(field, (0, 0), blur) for field in noise])
    return fields / fields.std(axis=(1, 2), keepdims=True)


def to_pixels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def draw_scenes(count: int, seed: int = 0) -> np.ndarray:
    """Return images with large forms (light) and small ones (features), as photographs have."""
    return to_pixels(128 + 45 * draw_detail(count, seed, 8.0) + 10 * draw_detail(count, seed + 1000, 1.2))


def as_samples(images: np.ndarray, **columns: list) -> Samples:
    table = pd.DataFrame({"sample_id": np.arange(len(images)), "label": "happy", "usage": "Training"} | columns)
    return Samples(images, table)


def find(images: np.ndarray, near_bits: int = BITS) -> duplicates.Copies:
    samples = as_samples(images)
    return find_copies(samples, measure_quality(images), near_bits=near_bits)


def recrop(image: np.ndarray) -> np.ndarray:
    """Return the image cropped by a pixel on each side and enlarged again."""
    return cv2.resize(image[1:-1, 1:-1], (48, 48), interpolation=cv2.INTER_LINEAR)


def stamp(image: np.ndarray) -> np.ndarray:
    """Return the image with a light bar over it, as a watermark lies."""
    stamped = image.copy()
    stamped[30:34, 6:42] = np.minimum(stamped[30:34, 6:42], 215) + 40
    return stamped


def compress(image: np.ndarray) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_GRAYSCALE)


ALTERATIONS = {
    "brighter": lambda image: to_pixels(image.astype(float) + 25),
    "flatter": lambda image: to_pixels(128 + 0.6 * (image.astype(float) - 128)),
    "one pixel aside": lambda image: np.roll(image, 1, axis=1),
    "noisy": lambda image: to_pixels(image + np.random.default_rng(5).normal(0, 4, image.shape)),
    "compressed": compress,
    "recropped": recrop,
    "stamped": stamp,
    "mirrored": lambda image: image[:, ::-1],
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_near_copies_are_found(name):
    scenes = draw_scenes(40)
    copies = find(np.concatenate([scenes, [ALTERATIONS[name](scene) for scene in scenes]]), near_bits=24)
    group = copies.groups["group_id"].to_numpy()
    assert np.mean(group[40:] == np.arange(40)) >= 0.95
    assert (group[:40] == np.arange(40)).all(), "different scenes must not be joined"
    assert (copies.groups["exact_group"] == np.arange(80)).all()
    assert (copies.pairs["mirrored"] == (name == "mirrored")).all()
    assert copies.pairs["likeness"].between(duplicates.LIKENESS, 1.0).all()


def test_other_images_under_the_same_light_are_no_copies(monkeypatch):
    light = 128 + 45 * draw_detail(30, 7, 8.0)
    images = np.concatenate([to_pixels(light + 4 * draw_detail(30, seed, 1.2)) for seed in (8, 9)])
    assert len(find(images, near_bits=20).pairs) == 0
    monkeypatch.setattr(duplicates, "LIKENESS", -1.0)
    assert len(find(images, near_bits=20).pairs) >= 15, (
        "the hash alone takes them for copies, or this test shows nothing"
    )


def test_blank_and_faint_images_have_exact_copies_only():
    blank = np.repeat(np.array([0, 0, 0, 9, 9], np.uint8), 48 * 48).reshape(5, 48, 48)
    faint = to_pixels(100 + 3.5 * draw_detail(3, 3, 0.6))
    groups = find(np.concatenate([blank, faint, faint + 1, faint[:1]]), near_bits=40).groups
    expected = [0, 0, 0, 3, 3, 5, 6, 7, 8, 9, 10, 5]
    assert groups["exact_group"].tolist() == expected
    assert groups["group_id"].tolist() == expected
    assert groups["blank"].tolist() == [True] * 5 + [False] * 7


def test_an_image_that_is_flat_in_the_middle_is_no_copy_of_everything():
    images = np.full((2, 48, 48), 60, np.uint8)
    images[:, 0], images[:, :, 0] = 255, 255
    images[1, 40, 3] = 255
    assert find(images).groups["group_id"].tolist() == [0, 1]


def test_ids_are_sample_ids_and_groups_have_the_smallest():
    scenes = draw_scenes(3)
    images = np.concatenate([scenes[[2, 0, 1, 0, 2, 2]], [ALTERATIONS["brighter"](scenes[1])]])
    samples = as_samples(images, sample_id=[4, 8, 15, 16, 23, 42, 108])
    copies = find_copies(samples, measure_quality(images), near_bits=BITS)
    assert copies.groups["sample_id"].tolist() == [4, 8, 15, 16, 23, 42, 108]
    assert copies.groups["exact_group"].tolist() == [4, 8, 15, 8, 4, 4, 108]
    assert copies.groups["group_id"].tolist() == [4, 8, 15, 8, 4, 4, 15]
    assert copies.pairs[["first", "second"]].to_numpy().tolist() == [[15, 108]], "exact copies need no evidence"


@pytest.mark.parametrize(
    ("exact", "pairs", "expected"),
    [
        ([0, 1, 2, 3], [], [0, 1, 2, 3]),
        ([0, 1, 0, 3], [(1, 3)], [0, 1, 0, 1]),
        ([0, 1, 2, 3], [(0, 1), (1, 2), (2, 3)], [0, 0, 0, 0]),
        ([0, 1, 1, 0, 4], [(0, 4), (1, 4)], [0, 0, 0, 0, 0]),
        ([0, 1, 2, 1, 4], [(2, 4)], [0, 1, 2, 1, 2]),
    ],
)
def test_groups_are_transitive(exact, pairs, expected):
    table = pd.DataFrame(pairs, columns=["first", "second"], dtype=np.int64)
    assert duplicates._join_groups(np.array(exact), table).tolist() == expected


def test_equal_hashes_are_checked_by_pixels():
    images = draw_scenes(2)[[0, 1, 0]]
    assert duplicates._match_exact(images, pd.Series(["same"] * 3)).tolist() == [0, 1, 0]


@pytest.mark.parametrize("near_bits", [0, 20, 60])
def test_the_search_agrees_with_brute_force(near_bits, monkeypatch):
    monkeypatch.setattr(duplicates, "_STRIP", 7)
    monkeypatch.setattr(duplicates, "_TILE", 11)
    scenes = draw_scenes(40)
    images = np.concatenate([scenes, scenes[:9, :, ::-1], scenes[20:30]])
    hashes, mirrored, _ = duplicates._describe_chunk(images)
    found = pd.concat(duplicates._search_strip(hashes, mirrored, near_bits, start) for start in range(0, 59, 7))
    expected = {
        (first, second, flip, bits)
        for flip, others in enumerate((hashes, mirrored))
        for first in range(59)
        for second in range(first + 1, 59)
        if (bits := sum(int(word).bit_count() for word in hashes[first] ^ others[second])) <= near_bits
    }
    assert set(zip(*(found[name] for name in ("first", "second", "mirrored", "bits")), strict=True)) == expected
    assert len(found) == len(expected) > 0


def test_nothing_depends_on_workers_or_strips(monkeypatch):
    scenes = draw_scenes(60)
    images = np.concatenate([scenes, [recrop(scene) for scene in scenes]])
    whole = find(images)
    for name, value in {"_CHUNK": 16, "_STRIP": 16, "_TILE": 32, "_PAIRS": 2}.items():
        monkeypatch.setattr(duplicates, name, value)
    for workers in ("1", "3"):
        monkeypatch.setenv("FERRULE_WORKERS", workers)
        copies = find(images)
        assert copies.groups.equals(whole.groups)
        assert copies.pairs.equals(whole.pairs)


def test_counts_of_a_small_case():
    table = pd.DataFrame(
        {
            "sample_id": range(7),
            "label": ["happy", "happy", "sad", "sad", None, "fear", "sad"],
            "usage": ["Training", "PrivateTest", "PrivateTest", "Training", "PublicTest", None, "PublicTest"],
        }
    ).astype({"label": "str", "usage": "str"})
    groups = pd.DataFrame(
        {"sample_id": range(7), "exact_group": [0, 0, 2, 0, 4, 4, 6], "group_id": [0, 0, 0, 0, 4, 4, 6]}
    )
    quality = pd.DataFrame({"blank": [False] * 6 + [True], "faint": [False] * 5 + [True] * 2})
    assert summarise_copies(table, quality, groups) == {
        "rows": 7,
        "exact_groups": 2,
        "exact_rows": 5,
        "near_groups": 2,
        "near_rows": 6,
        "largest_near_group": 4,
        "test_twins_exact": 1,
        "test_twins_near": 2,
        "twins_by_class": {
            "happy": {"held_out": 1, "exact": 1, "near": 1},
            "sad": {"held_out": 2, "exact": 0, "near": 1},
            "unlabelled": {"held_out": 1, "exact": 0, "near": 0},
        },
        "twins_by_usage": {
            "PrivateTest": {"held_out": 2, "exact": 1, "near": 2},
            "PublicTest": {"held_out": 2, "exact": 0, "near": 0},
        },
        "label_conflicts": 1,
        "blank": 1,
        "faint": 2,
    }
    assert find_conflicts(table, groups).tolist() == [0]
    assert find_twins(table, groups)["sample_id"].tolist() == [1, 2, 4, 6]


@pytest.mark.slow
@pytest.mark.parametrize("near_bits", [12, 20])
def test_exactly_the_copies_planted_in_the_sample_are_found(near_bits):
    sample = draw_sample()
    copies = find_copies(sample, measure_quality(sample.images), near_bits=near_bits)
    copy_of = sample.table["copy_of"].to_numpy()
    paired = pd.Series(copy_of).groupby(copies.groups["group_id"].to_numpy()).nunique()
    assert (paired == 1).all(), "a group holds images of two originals"
    assert copies.groups["group_id"].groupby(copy_of).nunique().max() == 1, "a copy is not in the group of its original"


@pytest.fixture(scope="module")
def real(fer2013) -> Samples:
    source = pd.read_parquet(fer2013 / "fer2013.parquet", columns=["emotion", "usage", "png"])
    images = np.stack([cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE) for png in source["png"]])
    names = np.array(duplicates.EMOTIONS)[source["emotion"]]
    return as_samples(images, label=list(names), usage=source["usage"].astype("str").tolist())


@pytest.mark.real_data
def test_the_copies_of_fer2013(real):
    start = time.perf_counter()
    quality = measure_quality(real.images)
    copies = find_copies(real, quality, near_bits=BITS)
    seconds = time.perf_counter() - start
    found = summarise_copies(real.table, quality, copies.groups)
    known = {"exact_groups": 1516, "exact_rows": 3369, "test_twins_exact": 568, "label_conflicts": 57, "blank": 12}
    assert {key: found[key] for key in known} == known
    assert found["twins_by_usage"]["PrivateTest"]["exact"] == 288
    assert found["near_groups"] == pytest.approx(2068, abs=5)
    assert found["test_twins_near"] == pytest.approx(912, abs=5)
    assert found["largest_near_group"] == 24, "a photo of a woman with her hands at her temples; no chain"
    private = find_twins(real.table, copies.groups).query("usage == 'PrivateTest'")
    assert private["near"].mean() == pytest.approx(0.13, abs=0.003)
    assert private.groupby("label")["near"].mean()[["disgust", "surprise", "happy"]].round(2).tolist() == [
        0.4,
        0.38,
        0.04,
    ]
    assert seconds < 30
