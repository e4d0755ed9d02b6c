"""Tracks: a face keeps its number while it moves, is hidden for a moment or passes another; cuts end all."""

import numpy as np
import pytest

from ferrule.synthetic import paint_portraits
from ferrule.video.tracks import PATIENCE, Tracker

STEP = 0.2
FACES = paint_portraits(np.full(6, 6), 3)  # six neutral people


def follow(scene, *, cuts=()) -> list[dict[int, int]]:
    """Return person -> number for each look at `scene`: (person, x, y, side) of those who are seen."""
    tracker, numbers = Tracker(), []
    for look, seen in enumerate(scene):
        boxes = [(round(x - side / 2), round(y - side / 2), side, side) for _, x, y, side in seen]
        crops = FACES[[person for person, *_ in seen]] if seen else np.empty((0, 48, 48), np.uint8)
        found = tracker.update(look * STEP, boxes, crops, cut=look in cuts)
        numbers.append({person: number for (person, *_), number in zip(seen, found, strict=True)})
    return numbers


def test_a_face_that_moves_keeps_its_number():
    scene = [[(0, 100 + 25 * look, 100 + 5 * look, 60)] for look in range(20)]
    assert follow(scene) == [{0: 1}] * 20


def test_a_face_that_comes_nearer_keeps_its_number():
    assert follow([[(0, 200, 200, round(40 * 1.2**look))] for look in range(12)]) == [{0: 1}] * 12


def test_faces_keep_their_numbers_in_whatever_order_they_are_found():
    rng = np.random.default_rng(0)
    scene = []
    for _ in range(30):
        seen = [(person, 80 + 120 * person + rng.normal(0, 4), 100 + rng.normal(0, 4), 60) for person in range(5)]
        scene.append([seen[place] for place in rng.permutation(5)])
    numbers = follow(scene)
    assert sorted(numbers[0].values()) == [1, 2, 3, 4, 5]
    assert all(look == numbers[0] for look in numbers)


@pytest.mark.parametrize("speed", [15, 25, 40])
@pytest.mark.parametrize("hidden", [False, True])
def test_two_faces_that_pass_each_other_keep_their_numbers(speed, hidden):
    """The one behind is not found while it is hidden."""
    scene = []
    for look in range(-10, 11):
        left, right = (0, 300 + speed * look, 100, 60), (1, 305 - speed * look, 104, 60)
        scene.append([right] if hidden and abs(2 * speed * look) < 40 else [left, right])
    numbers = follow(scene)
    assert all(look.items() <= numbers[0].items() for look in numbers)


def test_a_face_that_is_gone_for_a_moment_keeps_its_number_and_one_that_is_gone_for_long_does_not():
    away = round(PATIENCE / STEP)
    here = [[(0, 100, 100, 60)]] * 3
    assert follow([*here, *[[]] * (away - 2), *here])[-1] == {0: 1}
    assert follow([*here, *[[]] * (away + 1), *here])[-1] == {0: 2}


def test_a_face_that_turns_up_elsewhere_or_in_another_size_is_another():
    assert follow([[(0, 100, 100, 60)], [(0, 400, 100, 60)]]) == [{0: 1}, {0: 2}]
    assert follow([[(0, 100, 100, 60)], [(0, 100, 100, 150)]]) == [{0: 1}, {0: 2}]


def test_after_a_cut_all_faces_are_new():
    scene = [[(0, 100, 100, 60), (1, 300, 100, 60)]] * 4
    assert follow(scene, cuts={2}) == [{0: 1, 1: 2}] * 2 + [{0: 3, 1: 4}] * 2


def test_where_two_could_be_it_the_one_that_looks_like_it_is():
    """One of two faces is left, in the middle between where both were."""
    scene = [[(0, 100, 100, 60), (1, 140, 100, 60)]] * 3
    for person in (0, 1):
        assert follow([*scene, [(person, 120, 100, 60)]])[-1] == {person: person + 1}


def test_a_crowd_that_wanders_keeps_its_numbers():
    """Six people walk about at random and some are not found now and then; few ever change their number."""
    changes = looks = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        places, speeds = rng.uniform(0, 800, (6, 2)), rng.normal(0, 8, (6, 2))
        scene = []
        for _ in range(50):
            speeds = 0.9 * speeds + rng.normal(0, 3, (6, 2))
            places = places + speeds
            scene.append([(n, *places[n], 60) for n in range(6) if rng.random() > 0.1])
        last: dict[int, int] = {}
        for seen in follow(scene):
            changes += sum(last.get(person, number) != number for person, number in seen.items())
            looks += len(seen)
            last |= seen
    assert changes / looks < 0.005
