"""Answers drawn into photos: every answer is seen, faces stay visible, whatever the size of the photo."""

from dataclasses import replace

import numpy as np
import pytest

from ferrule.annotation import annotate, bars_size, draw_answers
from ferrule.answers import UNCERTAIN, Answer
from ferrule.drawing import colour_of
from ferrule.emotions import EMOTIONS

GREY = 128


def answer(box, label="happy", confidence=0.7):
    rest = (1 - confidence) / 6
    return Answer(
        box=box,
        label=label,
        confidence=confidence,
        probabilities={name: confidence if name == "happy" else rest for name in EMOTIONS},
    )


def photo(width, height):
    return np.full((height, width, 3), GREY, np.uint8)


@pytest.mark.parametrize(("width", "height"), [(48, 48), (97, 33), (640, 480), (4000, 3000)])
@pytest.mark.parametrize("faces", [0, 1, 30])
def test_a_photo_of_any_size_with_any_number_of_faces(width, height, faces):
    side = max(4, min(width, height) // 8)
    boxes = [(side * (at % 7), side * (at // 7), side - 1, side - 1) for at in range(faces)]
    drawn = draw_answers(photo(width, height), [answer(box) for box in boxes])
    assert drawn.shape == (height, width, 3)
    assert drawn.dtype == np.uint8
    shown = annotate(photo(width, height), [answer(box) for box in boxes])
    assert max(shown.shape[:2]) >= 720
    assert (shown != GREY).any() == bool(faces)


def test_boxes_have_the_colour_of_their_label_and_the_photo_is_left_alone():
    given = photo(800, 600)
    drawn = draw_answers(given, [answer((100, 200, 120, 160)), answer((500, 200, 120, 160), UNCERTAIN)])
    assert (given == GREY).all()
    assert tuple(drawn[300, 100]) == colour_of("happy")
    assert tuple(drawn[300, 500]) == colour_of(UNCERTAIN)
    assert (drawn[230:330, 130:190] == GREY).all()  # the face itself


def test_bars_hide_no_other_face():
    boxes = [(200, 200, 150, 180), (380, 200, 150, 180)]
    drawn = draw_answers(photo(1200, 800), [answer(box) for box in boxes])
    for x, y, width, height in boxes:
        assert (drawn[y + 10 : y + height - 10, x + 10 : x + width - 10] == GREY).all()
    assert (drawn[400:, :360] != GREY).any()  # below the first
    assert (drawn[:, 545:] != GREY).any()  # to the right of the second


def test_a_long_label_at_the_right_edge_stays_within_the_photo():
    face = replace(answer((560, 200, 70, 90), UNCERTAIN), track=2)
    drawn = draw_answers(photo(640, 480), [face])
    label = (drawn[:198] == colour_of(UNCERTAIN)).all(axis=2).any(axis=0).nonzero()[0]
    assert label.min() < 560  # it has moved to the left
    assert label.max() == 639
    assert (drawn[180:196, 636:] == colour_of(UNCERTAIN)).all(axis=2).any()  # its margin on the right


def test_a_face_that_fills_the_photo_gets_ground_beside_it():
    face = answer((0, 0, 800, 800))
    shown = annotate(photo(800, 800), [face])
    assert shown.shape[1] > 800 + bars_size(12, face)[0]
    assert (shown[400, 300:500] == GREY).all()


def test_a_crowd_gets_strips_and_a_legend():
    boxes = [(20 + 60 * column, 30 + 75 * row, 40, 50) for column in range(20) for row in range(10)]
    shown = annotate(photo(1240, 800), [answer(box) for box in boxes])
    assert shown.shape[0] > 800
    strip = shown[81:86, 22:46].reshape(-1, 3)
    assert (strip == colour_of("happy")).all(axis=1).mean() > 0.5


def test_a_photo_without_a_face_says_so():
    shown = annotate(photo(900, 600), [Answer(reason="no face was found")])
    assert (shown[:100, :300] != GREY).any()
    assert (shown[100:] == GREY).all()
