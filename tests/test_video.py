"""Videos end to end, with the model that ships and the real detector: drawn people who move and change expression."""

import signal
import subprocess
import sys
from collections import Counter

import cv2
import numpy as np
import pytest

from ferrule.answers import NO_FACE, UNCERTAIN
from ferrule.errors import DataError, ParameterError
from ferrule.predictor import Predictor
from ferrule.video import analyse_video, write_timeline
from ferrule.video.example import Actor, write_clip
from ferrule.video.frames import Video

RATE = 10.0  # frames a second of the clips: fewer are drawn and read sooner


@pytest.fixture(scope="module")
def predictor():
    return Predictor("pretrained")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Give a clip of one who is happy for two seconds, then surprised, and wanders to the right."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_clip(path, [Actor(20, [(0, "happy"), (2, "surprise")], [(0, 150, 180), (4, 450, 170)])], 4.0, rate=RATE)
    return path


@pytest.fixture(scope="module")
def result(clip, predictor):
    return analyse_video(clip, predictor)


def test_a_face_that_moves_is_one_track(result):
    assert result.looks == len(result.answers) == 20
    assert {answer.track for answer in result.answers} == {1}
    assert [answer.frame for answer in result.answers] == list(range(0, 40, 2))
    assert [answer.seconds for answer in result.answers] == pytest.approx(np.arange(20) / 5)
    (track,) = result.tracks
    assert (track.number, track.first, track.looks) == (1, 0, 20)
    assert result.answers[-1].box[0] > result.answers[0].box[0] + 200


def test_a_change_of_expression_is_seen_when_it_happens(result):
    labels = [answer.label for answer in result.answers]
    changes = [
        answer.seconds for answer, before in zip(result.answers[1:], labels, strict=False) if answer.label != before
    ]
    assert (labels[0], labels[-1]) == ("happy", "surprise")
    assert changes == pytest.approx([2.0], abs=0.4)


def test_answers_are_whole(result):
    for answer in result.answers:
        assert answer.path == result.name
        assert sum(answer.probabilities.values()) == pytest.approx(1)
        assert answer.confidence == max(answer.probabilities.values())
        assert 0.9 <= answer.detection <= 1
    assert result.model == "the model that ships with Ferrule"
    assert result.notes == []


def test_smoothing_is_of_probabilities_alone(clip, predictor, result):
    plain = analyse_video(clip, predictor, smoothing=0)
    assert [answer.box for answer in plain.answers] == [answer.box for answer in result.answers]
    table, smoothed = (
        np.array([list(each.probabilities.values()) for each in told.answers]) for told in (plain, result)
    )
    assert np.abs(np.diff(smoothed, axis=0)).sum() < np.abs(np.diff(table, axis=0)).sum()


def test_uncertainty_is_decided_after_smoothing(clip, predictor):
    careful = Predictor(predictor.model, abstain=0.9, detector=predictor.detector)
    answers = analyse_video(clip, careful).answers
    threshold = careful.rule.threshold
    assert {answer.label for answer in answers} > {UNCERTAIN}
    assert all((answer.label == UNCERTAIN) == (answer.confidence < threshold) for answer in answers)


def test_faces_that_pass_each_other_keep_their_tracks(tmp_path, predictor):
    """The second stands in front of the first while they pass."""
    cast = [
        Actor(20, [(0, "happy")], [(0, 120, 180), (3, 520, 180)]),
        Actor(8, [(0, "sad")], [(0, 520, 190), (3, 120, 190)]),
    ]
    write_clip(tmp_path / "clip.avi", cast, 3.0, rate=RATE)
    answers = analyse_video(tmp_path / "clip.avi", predictor, rate=10).answers
    middles = {track: [each.box[0] for each in answers if each.track == track] for track in (1, 2)}
    ends = sorted((seen[0] < seen[-1], abs(seen[0] - seen[-1]) > 300) for seen in middles.values())
    assert ends == [(False, True), (True, True)], "one goes to the left, the other to the right"
    assert Counter(answer.track for answer in answers).keys() == {1, 2}


def test_a_face_that_leaves_and_returns_keeps_its_track(tmp_path, predictor):
    stands = [(0, 450, 180), (0.6, 450, 180), (1.4, 760, 180), (1.8, 760, 180), (2.6, 450, 180)]
    write_clip(tmp_path / "clip.mp4", [Actor(20, [(0, "happy")], stands)], 3.2, rate=RATE)
    result = analyse_video(tmp_path / "clip.mp4", predictor)
    assert [track.number for track in result.tracks] == [1]
    away = [answer for answer in result.answers if answer.track is None]
    assert away
    assert {(answer.label, answer.box, answer.reason) for answer in away} == {(NO_FACE, None, "no face was found")}


def test_a_video_without_faces(tmp_path, predictor):
    write_clip(tmp_path / "wall.mp4", [], 1.0, rate=RATE)
    result = analyse_video(tmp_path / "wall.mp4", predictor, annotate=tmp_path / "out.mp4")
    assert result.tracks == []
    assert {answer.label for answer in result.answers} == {NO_FACE}
    assert len(result.answers) == 5
    write_timeline(result, tmp_path / "timeline.svg")
    assert "No face was found" in (tmp_path / "timeline.svg").read_text()


def test_all_frames_are_looked_at_where_more_are_asked_for(clip, predictor):
    result = analyse_video(clip, predictor, rate=100, max_seconds=0.5)
    assert result.looks == 5
    assert result.seconds == pytest.approx(0.4)
    assert result.step == pytest.approx(0.1)


@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_the_annotated_copy_has_every_frame_with_what_is_known(ending, clip, predictor, tmp_path):
    told = []
    out = tmp_path / f"out{ending}"
    analyse_video(clip, predictor, max_seconds=1.0, annotate=out, progress=lambda *seconds: told.append(seconds))
    with Video.open(clip) as before, Video.open(out) as after:
        pairs = list(zip(before.frames(1.0), after.frames(), strict=True))
    assert len(pairs) == 10
    for original, drawn in pairs:
        assert drawn.seconds == pytest.approx(original.seconds, abs=0.002)
        assert drawn.image.shape == original.image.shape
        assert np.abs(drawn.image.astype(int) - original.image).max() > 100, "a box"
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    assert told[0] == (0.0, 1.0)
    assert len(told) == 5 + 10


def test_a_webcam_is_looked_at_until_ctrl_c(clip, predictor, tmp_path):
    """A file stands for the camera; its frames are kept until the copy is drawn, and then gone."""

    def press(seconds, total):
        if total is None and seconds > 0.5:  # there is no end to a webcam, but one to the copy
            signal.raise_signal(signal.SIGINT)

    camera = Video(cv2.VideoCapture(str(clip)), "webcam 0", live=True)
    result = analyse_video(camera, predictor, rate=1000, annotate=tmp_path / "out.avi", progress=press)
    assert 0 < result.looks <= 40
    assert result.answers[0].path == "webcam 0"
    assert {answer.track for answer in result.answers} == {1}
    with Video.open(tmp_path / "out.avi") as out:
        assert abs(list(out.frames())[-1].seconds - result.seconds) < 0.5
    assert [path.name for path in tmp_path.iterdir()] == ["out.avi"]


def test_ctrl_c_stops_a_file_and_leaves_nothing(clip, predictor, tmp_path):
    def press(seconds, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analyse_video(clip, predictor, annotate=tmp_path / "out.mp4", progress=press)
    assert not list(tmp_path.iterdir())


def test_a_file_that_ends_early_is_said_and_answered(tmp_path, predictor):
    write_clip(tmp_path / "clip.avi", [], 2.0, rate=RATE)
    data = (tmp_path / "clip.avi").read_bytes()
    (tmp_path / "clip.avi").write_bytes(data[: len(data) // 2])
    result = analyse_video(tmp_path / "clip.avi", predictor)
    assert "ends early" in result.notes[0]
    assert result.answers


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rate": 0}, "a rate above 0"),
        ({"rate": float("nan")}, "a rate above 0"),
        ({"smoothing": -1}, "smoothing over 0 seconds or more"),
        ({"max_seconds": 0}, "more than 0 seconds"),
        ({"annotate": "out.gif"}, "a video that ends with"),
    ],
)
def test_settings_out_of_range_are_one_sentence(settings, words, clip, predictor, tmp_path):
    if "annotate" in settings:
        settings = {"annotate": tmp_path / settings["annotate"]}
    with pytest.raises(ParameterError, match=words):
        analyse_video(clip, predictor, **settings)


def test_a_video_is_not_written_over_itself(clip, predictor):
    before = clip.read_bytes()
    with pytest.raises(ParameterError, match="another place"):
        analyse_video(clip, predictor, annotate=clip)
    assert clip.read_bytes() == before


def test_what_is_no_video_is_one_sentence(tmp_path, predictor):
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(DataError, match="an empty file"):
        analyse_video(tmp_path / "clip.mp4", predictor)
    for source in (None, 1.5, [tmp_path / "clip.mp4"]):
        with pytest.raises(DataError, match="Expected the path of a video, or the number of a webcam; got"):
            analyse_video(source, predictor)


def test_paths_may_be_text(clip, predictor, tmp_path):
    out, timeline = str(tmp_path / "out.avi"), str(tmp_path / "timeline.svg")
    result = analyse_video(str(clip), predictor, max_seconds=0.3, annotate=out)
    assert (result.name, result.answers[0].model) == (str(clip), predictor.model.title)
    write_timeline(result, timeline)
    assert {path.name for path in tmp_path.iterdir()} == {"out.avi", "timeline.svg"}
    with pytest.raises(ParameterError, match="another place"):
        analyse_video(str(clip), predictor, annotate=str(clip))


def test_videos_need_no_heavy_library():
    heavy = {"tensorflow", "keras", "mlflow", "prefect", "dvc", "pyarrow", "scipy", "matplotlib"}
    code = f"import sys, ferrule.video; sys.exit(str({heavy} & set(sys.modules) or ''))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr in ("", "\n")
