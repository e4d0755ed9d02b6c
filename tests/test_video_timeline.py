"""The timeline: well-formed, complete in words, whatever the faces and the length; and what is drawn into frames."""

import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import numpy as np
import pytest

from ferrule.answers import NO_FACE, UNCERTAIN, Answer
from ferrule.emotions import EMOTIONS
from ferrule.palette import CLASS_COLOURS
from ferrule.video import VideoResult, write_timeline
from ferrule.video.analyse import summarise_tracks
from ferrule.video.annotated import FacesInTime
from ferrule.video.timeline import draw_timeline

SVG = "{http://www.w3.org/2000/svg}"
STEP = 0.2


def say(
    track: int, seconds: float, label: str, *, classes=EMOTIONS, confidence: float = 0.7, box=(10, 20, 40, 50)
) -> Answer:
    best = classes[0] if label == UNCERTAIN else label
    rest = (1 - confidence) / (len(classes) - 1)
    probabilities = {name: confidence if name == best else rest for name in classes}
    place = {"frame": round(seconds * 25), "seconds": seconds, "box": box, "track": track}
    return Answer("clip.mp4", label=label, confidence=confidence, probabilities=probabilities, **place)


def play(track: int, begin: float, labels: str, **how) -> list[Answer]:
    """Return a look each STEP seconds, a letter a look: h happy, s surprise, n neutral, u uncertain, . away."""
    names = {"h": "happy", "s": "surprise", "n": "neutral", "u": UNCERTAIN}
    seen = [(begin + STEP * look, names.get(letter)) for look, letter in enumerate(labels)]
    return [say(track, seconds, label, **how) for seconds, label in seen if label]


def make_result(answers, *, seconds: float | None = None, classes=EMOTIONS, name: str = "clip.mp4") -> VideoResult:
    last = max((answer.seconds for answer in answers), default=0.0) if seconds is None else seconds
    return VideoResult(name, "a model", classes, 5.0, 0.3, last, 60, STEP, answers, summarise_tracks(answers), [])


def read(svg: str) -> tuple[ElementTree.Element, list[str]]:
    """Return the parsed drawing, and the texts in it."""
    root = ElementTree.fromstring(svg)
    return root, [text.text or "" for text in root.iter(f"{SVG}text")]


def test_a_timeline_tells_who_was_seen_when_and_what_was_answered(tmp_path):
    answers = play(1, 0, "n" * 10 + "h" * 20) + play(2, 2, "s" * 10 + "u" * 10)
    path = tmp_path / "timeline.svg"
    write_timeline(make_result(answers), path)
    root, texts = read(path.read_text())
    assert "Expressions in clip.mp4" in texts
    assert "5 looks a second · smoothed over 0.3 s · a model" in texts
    assert {"Face 1", "mostly happy", "0 s to 5.8 s", "Face 2", "mostly surprise", "uncertain in 50 %"} <= set(texts)
    assert set(EMOTIONS) | {UNCERTAIN} <= set(texts)
    told = [title.text for title in root.iter(f"{SVG}title")]
    assert told == ["neutral, 0.0 to 2.0 s", "happy, 2.0 to 6.0 s", "surprise, 2.0 to 4.0 s", "uncertain, 4.0 to 6.0 s"]
    assert "face 1 mostly happy" in root.get("aria-label")


def test_areas_lie_one_upon_the_other_and_fill_the_height():
    root, _ = read(draw_timeline(make_result(play(1, 0, "hhnnu"))))
    areas = [path for path in root.iter(f"{SVG}path") if path.get("class") in EMOTIONS]
    assert [area.get("class") for area in areas] == list(EMOTIONS)
    edges = [[float(pair.split()[1]) for pair in area.get("d")[1:-1].split("L")] for area in areas]
    for below, above in pairwise(edges):
        half = len(below) // 2
        assert above[:half] == below[half:][::-1]
    assert edges[0][0] - min(edges[-1]) == 72


def test_a_face_that_was_away_leaves_a_gap():
    root, _ = read(draw_timeline(make_result(play(1, 0, "hhhh......hhhh"))))
    assert [title.text for title in root.iter(f"{SVG}title")] == ["happy, 0.0 to 0.8 s", "happy, 2.0 to 2.8 s"]


def test_a_face_that_was_missed_once_does_not():
    root, _ = read(draw_timeline(make_result(play(1, 0, "hhhh.hhhh"))))
    assert [title.text for title in root.iter(f"{SVG}title")] == ["happy, 0.0 to 1.8 s"]


def test_a_video_without_faces_says_so():
    answers = [Answer("clip.mp4", seconds=STEP * look, label=NO_FACE) for look in range(10)]
    _, texts = read(draw_timeline(make_result(answers)))
    assert "No face was found." in texts


def test_one_look_is_a_timeline():
    read(draw_timeline(make_result(play(1, 0, "h"))))


def test_names_are_text():
    _, texts = read(draw_timeline(make_result(play(1, 0, "hh"), name='a/<b> & "c".mp4')))
    assert 'Expressions in <b> & "c".mp4' in texts
    _, texts = read(draw_timeline(make_result(play(1, 0, "hh"), name=f"\x01{'long ' * 30}.mp4")))
    assert texts[0].endswith("long .mp4")
    assert len(texts[0]) < 90


def test_of_many_faces_those_are_shown_that_were_seen_longest():
    answers = [each for track in range(1, 21) for each in play(track, track, "h" * (30 - track))]
    _, texts = read(draw_timeline(make_result(answers)))
    assert [text for text in texts if text.startswith("Face ")] == [f"Face {number}" for number in range(1, 13)]
    assert any(text.startswith("the 12 of 20 faces that were seen longest") for text in texts)


def test_an_hour_is_thinned():
    rng = np.random.default_rng(0)
    labels = "".join(rng.choice(list("hsnu"), 18_000))
    svg = draw_timeline(make_result(play(1, 0, labels)))
    assert len(svg) < 150_000
    _, texts = read(svg)
    assert {"0 s", "10:00", "60:00"} <= set(texts)


def test_a_model_of_three_classes_has_three_colours():
    classes = ("happy", "surprise", "neutral")
    svg = draw_timeline(make_result(play(1, 0, "hsn", classes=classes), classes=classes))
    _, texts = read(svg)
    assert not {"angry", "fear"} & set(texts)
    assert CLASS_COLOURS["angry"] not in svg


def test_nothing_comes_from_elsewhere():
    svg = draw_timeline(make_result(play(1, 0, "hsn")))
    assert svg.count("http") == 1, "the namespace"
    assert "<script" not in svg
    assert "prefers-color-scheme: dark" in svg


def test_boxes_move_between_looks_and_answers_hold():
    answers = [say(1, 0.0, "happy", box=(0, 0, 40, 40)), say(1, 0.2, "neutral", box=(20, 10, 44, 40))]
    faces = FacesInTime(answers, STEP)
    (middle,) = faces.at(0.1)
    assert middle.box == (10, 5, 42, 40)
    assert middle.label == "happy"
    assert faces.at(0.25) == [answers[1]]
    assert faces.at(0.41) == []


@pytest.mark.parametrize(("gap", "seen"), [(0.4, True), (1.5, False)])
def test_a_box_waits_for_a_face_that_was_missed_and_not_for_one_that_was_away(gap, seen):
    faces = FacesInTime([say(1, 1.0, "happy"), say(1, 1.0 + gap, "happy")], STEP)
    assert faces.at(0.9) == []
    assert bool(faces.at(1.3)) is seen
    assert faces.at(1.0 + gap)


def test_frames_without_a_face_have_nothing_drawn_into_them():
    assert FacesInTime([Answer("clip.mp4", seconds=0.0, label=NO_FACE)], STEP).at(0.0) == []


def test_a_track_is_summed_up():
    answers = play(1, 1, "hhhsuu") + play(2, 1, "uu")
    first, second = summarise_tracks(answers)
    assert (first.number, first.first, first.looks, first.label) == (1, 1, 6, "happy")
    assert first.last == pytest.approx(2.0)
    assert first.uncertain == pytest.approx(2 / 6)
    assert sum(first.probabilities.values()) == pytest.approx(1)
    assert second.label == UNCERTAIN
    assert second.uncertain == 1
