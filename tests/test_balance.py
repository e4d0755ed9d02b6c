"""Balancing: who gets how many children, and what a child may look like."""

from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.balance import (
    Distortions,
    count_balance,
    draw_children,
    generate_children,
    inherit_rows,
    plan_children,
)
from ferrule.errors import DataError, ParameterError

NOTHING = Distortions(flip=0, rotation=0, shift=0, zoom=0, brightness=0, contrast=0, erasing=0)
USUAL = Distortions(flip=0.5, rotation=10, shift=0.06, zoom=0.1, brightness=0.1, contrast=0.2, erasing=0.15)
CLASSES = ("happy", "sad", "fear")


def make_table(happy, sad, fear):
    labels = ["happy"] * happy + ["sad"] * sad + ["fear"] * fear
    return pd.DataFrame({"sample_id": np.arange(len(labels)) * 2 + 5, "label": labels, "usage": "Training"})


def plan_for(table, train=None, parents=None, target=1.0, seed=1):
    everyone = pd.Series(True, index=table.index)
    train = everyone if train is None else train
    return plan_children(table, train, train if parents is None else parents, classes=CLASSES, target=target, seed=seed)


def draw(images, distortions, seed=1, first_id=1000):
    return draw_children(images, np.arange(first_id, first_id + len(images)), distortions, seed=seed)


@pytest.fixture(scope="module")
def faces():
    """Give smooth random images, uint8 (60, 48, 48), no two alike and none symmetric."""
    noise = np.random.default_rng(5).normal(size=(60, 48, 48)).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(image, (0, 0), 3) for image in noise])
    return np.clip(128 + 280 * smooth, 20, 235).astype(np.uint8)


# --- the plan --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "target", "children"),
    [
        ((10, 4, 1), 1.0, (0, 6, 9)),
        ((10, 4, 1), 1.1, (1, 7, 10)),
        ((10, 10, 10), 1.0, (0, 0, 0)),
        ((10, 4, 3), 2.5, (15, 21, 22)),
    ],
)
def test_each_class_is_brought_to_the_target(rows, target, children):
    table = make_table(*rows)
    plan = plan_for(table, target=target)
    family = inherit_rows(table, plan)
    balance = count_balance(family, pd.Series(True, index=table.index), CLASSES)
    assert balance.to_dict("list") == {
        "label": list(CLASSES),
        "before": list(rows),
        "generated": list(children),
        "after": [round(target * max(rows))] * 3,
    }


@settings(deadline=None, max_examples=60)
@given(st.tuples(*[st.integers(1, 40)] * 3), st.floats(1, 4), st.integers(0, 5))
def test_parents_are_used_evenly(rows, target, seed):
    table = make_table(*rows)
    plan = plan_for(table, target=target, seed=seed)
    assert plan["sample_id"].tolist() == list(range(table.sample_id.max() + 1, table.sample_id.max() + 1 + len(plan)))
    assert (table.sample_id.to_numpy()[plan.parent_row] == plan.parent_id).all()
    uses = table.sample_id.map(plan.parent_id.value_counts()).fillna(0)
    assert (uses.groupby(table.label).agg(lambda counts: counts.max() - counts.min()) <= 1).all()


def test_only_training_rows_count_and_only_parents_have_children():
    table = make_table(6, 4, 3)
    train = pd.Series([True] * 5 + [False] + [True] * 7)
    parents = train & (table.index != 7)
    plan = plan_for(table, train, parents)
    assert count_balance(inherit_rows(table, plan), train, CLASSES)["after"].tolist() == [5, 5, 5]
    assert set(plan.parent_row) <= set(np.flatnonzero(parents))


def test_the_plan_follows_from_the_seed():
    table = make_table(50, 20, 20)
    pd.testing.assert_frame_equal(plan_for(table, target=1.3), plan_for(table, target=1.3))
    assert not plan_for(table, seed=2).equals(plan_for(table, seed=1))


def test_a_class_without_parents_is_an_error_that_names_it():
    table = make_table(6, 4, 3)
    with pytest.raises(DataError, match=r"training images of fear .* 3 more .* split.twins"):
        plan_for(table, parents=table.label != "fear")


def test_children_inherit_every_column_but_their_id():
    table = make_table(3, 1, 3).assign(group_id=[0, 0, 2, 3, 4, 5, 6], votes=np.arange(7, dtype=np.uint8))
    family = inherit_rows(table, plan_for(table))
    assert family.dtypes[table.columns].equals(table.dtypes)
    assert family.parent_id.tolist() == [*table.sample_id, 11, 11]
    assert family.iloc[-1][["label", "group_id", "votes"]].tolist() == ["sad", 3, 3]


# --- the images ------------------------------------------------------------------------------------------------------


def test_pixels_do_not_depend_on_chunks_workers_or_neighbours(faces):
    table = make_table(30, 20, 10)
    plan = plan_for(table, target=1.5)
    whole = np.concatenate(list(generate_children(faces, plan, USUAL, seed=3)))
    for chunk, workers in ((7, 3), (1, 2), (64, 1)):
        assert np.array_equal(
            np.concatenate(list(generate_children(faces, plan, USUAL, seed=3, chunk=chunk, workers=workers))), whole
        )
    some = np.array([40, 3, 4, 71])
    alone = draw_children(faces[plan.parent_row[some]], plan.sample_id.to_numpy()[some], USUAL, seed=3)
    assert np.array_equal(alone, whole[some])


def test_another_seed_or_another_id_gives_another_child(faces):
    first = draw(faces, USUAL)
    assert (first != draw(faces, USUAL, seed=2)).any(axis=(1, 2)).all()
    assert (first != draw(faces, USUAL, first_id=2000)).any(axis=(1, 2)).all()


def test_no_plan_no_children(faces):
    assert list(generate_children(faces, plan_for(make_table(2, 2, 2)), USUAL, seed=1)) == []


def test_a_flip_alone_is_the_exact_mirror_image(faces):
    assert np.array_equal(draw(faces, replace(NOTHING, flip=1.0)), faces[:, :, ::-1])
    # Where chance would leave an image as it is, it is drawn again.
    assert np.array_equal(draw(faces, replace(NOTHING, flip=0.3)), faces[:, :, ::-1])


@settings(deadline=None, max_examples=40)
@given(
    st.builds(
        Distortions,
        flip=st.floats(0, 1),
        rotation=st.floats(1, 45),
        shift=st.floats(0, 0.3),
        zoom=st.floats(0, 0.5),
        brightness=st.floats(0, 0.5),
        contrast=st.floats(0, 0.9),
        erasing=st.floats(0, 1),
    ),
    st.integers(0, 2**31 - 1),
)
def test_a_child_always_differs_from_its_parent(distortions, seed):
    parents = np.random.default_rng(seed).integers(0, 256, (20, 48, 48), dtype=np.uint8)
    children = draw(parents, distortions, seed=seed)
    assert children.dtype == np.uint8
    assert children.shape == parents.shape
    assert (children != parents).any(axis=(1, 2)).all()


@pytest.mark.parametrize(
    ("case", "distortions", "image"),
    [
        ("nothing may happen", NOTHING, np.arange(2304, dtype=np.uint8).reshape(48, 48)),
        ("a mirror image of itself", replace(NOTHING, flip=0.5), np.full((48, 48), 9, np.uint8)),
        ("one grey has no geometry", replace(USUAL, brightness=0, erasing=0), np.full((48, 48), 9, np.uint8)),
    ],
)
def test_a_child_that_cannot_differ_is_one_clear_sentence(case, distortions, image):
    with pytest.raises(ParameterError, match="image 1000 came out the same 64 times; give the augment section"):
        draw(image[None], distortions)


def blob_centres(images):
    """Return where the single bright blob of each image is, float (n, 2): x, y."""
    ys, xs = np.mgrid[:48, :48]
    weights = images.astype(float) - images.min(axis=(1, 2), keepdims=True)
    total = weights.sum(axis=(1, 2))
    return np.stack([(weights * xs).sum(axis=(1, 2)) / total, (weights * ys).sum(axis=(1, 2)) / total], axis=1)


def blobs(x, y, count=400):
    """Return `count` images of a bright round blob on black, centred at x, y."""
    ys, xs = np.mgrid[:48, :48]
    blob = 250 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / 8)
    return np.repeat(blob.astype(np.uint8)[None], count, axis=0)


def test_shifts_fill_their_range_in_both_directions():
    moved = blob_centres(draw(blobs(23, 23), replace(NOTHING, shift=0.1))) - 23
    assert np.abs(moved).max() <= 4.8 + 0.1
    assert moved.max(axis=0) == pytest.approx(4.8, abs=0.3)
    assert moved.min(axis=0) == pytest.approx(-4.8, abs=0.3)


def test_rotations_turn_about_the_centre_by_at_most_the_angle():
    centres = blob_centres(draw(blobs(35, 23.5), replace(NOTHING, rotation=20))) - 23.5
    angles = np.degrees(np.arctan2(centres[:, 1], centres[:, 0]))
    assert np.hypot(*centres.T) == pytest.approx(11.5, abs=0.3)
    assert (angles.min(), angles.max()) == (pytest.approx(-20, abs=1), pytest.approx(20, abs=1))


def test_a_flip_and_a_rotation_together_do_not_shear():
    centres = blob_centres(draw(blobs(31, 23.5), replace(NOTHING, flip=1.0, rotation=30))) - 23.5
    assert (centres[:, 0] < 0).all()
    assert np.hypot(*centres.T) == pytest.approx(7.5, abs=0.1)


def test_zoom_stretches_about_the_centre():
    distance = blob_centres(draw(blobs(35, 23.5), replace(NOTHING, zoom=0.2)))[:, 0] - 23.5
    assert (distance.min(), distance.max()) == (pytest.approx(0.8 * 11.5, abs=0.3), pytest.approx(1.2 * 11.5, abs=0.3))


def test_brightness_moves_all_pixels_alike(faces):
    change = draw(faces, replace(NOTHING, brightness=0.05)).astype(int) - faces
    assert (change.max(axis=(1, 2)) == change.min(axis=(1, 2))).all()
    assert np.abs(change).max() <= 13
    assert change.min() < -9 < 9 < change.max()


def test_grey_stops_at_black_and_white():
    images = np.concatenate([np.full((200, 48, 24), 2, np.uint8), np.full((200, 48, 24), 253, np.uint8)], axis=2)
    change = draw(images, replace(NOTHING, brightness=0.3)).astype(int) - images
    assert (change[:, :, :24].min(), change[:, :, 24:].max()) == (-2, 2)
    assert np.abs(change).max() <= 77


def test_contrast_keeps_the_mean(faces):
    children = draw(faces, replace(NOTHING, contrast=0.3)).astype(float)
    assert children.mean(axis=(1, 2)) == pytest.approx(faces.mean(axis=(1, 2)), abs=1)
    factor = children.std(axis=(1, 2)) / faces.std(axis=(1, 2))
    assert (factor.min(), factor.max()) == (pytest.approx(0.7, abs=0.05), pytest.approx(1.3, abs=0.05))


def test_erasing_fills_one_rectangle_with_one_grey(faces):
    children = draw(np.repeat(faces, 5, axis=0), replace(NOTHING, erasing=1.0))
    for parent, child in zip(np.repeat(faces, 5, axis=0), children, strict=True):
        rows, columns = np.nonzero(parent != child)
        inside = child[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert (inside == inside[0, 0]).all()
        assert 0.01 <= inside.size / 2304 <= 0.17


def test_probabilities_are_those_that_were_asked_for(faces):
    children = draw(np.repeat(faces[:1], 2000, axis=0), Distortions(0.5, 0, 0, 0, 0.2, 0, 0))
    mirrored = [np.corrcoef(child.ravel(), faces[0, :, ::-1].ravel())[0, 1] > 0.99 for child in children[:500]]
    assert np.mean(mirrored) == pytest.approx(0.5, abs=0.07)
