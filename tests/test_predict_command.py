"""`ferrule predict`: what it takes, what it writes where, and what it says."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import REPOSITORY
from test_predictor import CROPS, write_csv, write_pictures

from ferrule.commands.predict import predict
from ferrule.emotions import EMOTIONS
from ferrule.errors import DataError
from ferrule.faces.examples import example_photos
from ferrule.portable.model import open_pretrained


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """Every test has an empty folder for its own, and no registry."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def run(*arguments):
    result = CliRunner().invoke(predict, [str(each) for each in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def refuse(*arguments):
    """Return the sentence with which it is refused, as a wrong option."""
    result = run(*arguments)
    assert result.exit_code == 2
    return result.stderr.partition("Error: ")[2]


def run_alone(*arguments, **options):
    command = [sys.executable, "-c", "from ferrule.cli import main; main()", "predict", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, **options
    )


def best_of(crops):
    model = open_pretrained()
    return [model.classes[at] for at in model.probabilities(crops).argmax(axis=1)]


@pytest.fixture(scope="module")
def photos():
    return dict(example_photos())


def test_a_photo_gives_a_table_and_says_which_model(tmp_path, photos):
    write_pictures(tmp_path, {"photo.png": photos["friends"]})
    result = run("photo.png")
    assert result.stdout.splitlines()[0].split() == ["image", "face", "emotion", "confidence", "otherwise"]
    assert all(line.startswith("photo.png  ") for line in result.stdout.splitlines()[1:])
    assert result.stderr.startswith("Model: the model that ships with Ferrule; test accuracy ")
    assert "95 % interval" in result.stderr


def test_json_has_one_object_a_face(tmp_path, photos):
    files = {f"photos/{name}.png": photo for name, photo in photos.items()}
    write_pictures(tmp_path, files)
    lines = [json.loads(line) for line in run("photos", "--json").stdout.splitlines()]
    assert {line["path"] for line in lines} == set(files)
    assert all({"path", "box", "label", "confidence", "probabilities"} <= line.keys() for line in lines)
    assert {line["model"] for line in lines} == {"the model that ships with Ferrule"}
    labels = {line["path"]: line["label"] for line in lines}
    assert labels.pop("photos/landscape.png") == "no face"
    assert set(labels.values()) <= set(EMOTIONS)


def test_a_submission_has_the_column_emotion_in_the_order_of_the_rows(tmp_path):
    write_csv(tmp_path / "test.csv", CROPS)
    result = run("test.csv", "--out", "submission.csv")
    assert "submission.csv is a submission" in result.stderr
    assert result.stdout == ""
    table = pd.read_csv("submission.csv")
    assert list(table.columns) == ["emotion"]
    assert [EMOTIONS[number] for number in table["emotion"]] == best_of(CROPS)


def test_a_submission_has_a_number_also_where_no_face_is(tmp_path):
    images = np.concatenate([CROPS[:2], np.zeros((2, 48, 48), np.uint8)])
    write_csv(tmp_path / "test.csv", images)
    assert "Rows that show no face: 2." in run("test.csv", "--out", "submission.csv").stderr
    assert len(pd.read_csv("submission.csv")) == 4


def test_a_submission_of_rows_that_cannot_be_read_is_refused_unless_told_what_to_write(tmp_path):
    path = write_csv(tmp_path / "test.csv", CROPS[:3])
    path.write_text(path.read_text().replace("\n", "\n1 2 3\n", 2))  # rows 1 and 3
    with pytest.raises(DataError, match=r"row 1 cannot be read \(wrong pixel count.*--fill"):
        run("test.csv", "--out", "submission.csv")
    assert not (tmp_path / "submission.csv").exists()
    run("test.csv", "--out", "submission.csv", "--fill", "neutral")
    numbers = pd.read_csv("submission.csv")["emotion"].tolist()
    assert [EMOTIONS[number] for number in (numbers[1], *numbers[3:])] == best_of(CROPS[:3])
    assert EMOTIONS[numbers[0]] == EMOTIONS[numbers[2]] == "neutral"


def test_the_whole_table_where_it_is_asked_for(tmp_path):
    write_csv(tmp_path / "test.csv", CROPS)
    run("test.csv", "--out", "all.csv", "--format", "csv")
    table = pd.read_csv("all.csv")
    assert table["row"].tolist() == list(range(1, 15))
    assert table["label"].tolist() == best_of(CROPS)
    probabilities = table[[f"probability_{name}" for name in EMOTIONS]]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "parquet"])
def test_every_form_of_a_file(ending, tmp_path):
    write_pictures(tmp_path / "faces", {f"{at}.png": crop for at, crop in enumerate(CROPS[:3])})
    result = run("--crops", "faces", "--out", f"answers.{ending}")
    assert result.stdout == ""
    assert (tmp_path / f"answers.{ending}").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"answers.{ending}", "faces"]


def test_boxes_and_explanations_are_drawn_a_picture_each(tmp_path, photos):
    write_pictures(tmp_path, {f"photos/a/{name}.png": photo for name, photo in photos.items()})
    run("photos", "--annotate", "boxes", "--explain", "maps")
    for name, photo in photos.items():
        drawn = cv2.imread(f"boxes/a/{name}.png")
        assert drawn.shape[0] >= photo.shape[0]
        assert (tmp_path / f"maps/a/{name}.png").is_file() == (name != "landscape")
    run("photos/a/friends.png", "--annotate", "one.jpg")
    assert cv2.imread("one.jpg") is not None


def test_a_crop_is_drawn_large_enough_to_be_read(tmp_path):
    write_pictures(tmp_path, {"face.png": CROPS[3]})
    run("--crops", "face.png", "--annotate", "boxes.png", "--explain", "map.png")
    assert cv2.imread("boxes.png").shape[0] >= 480
    assert cv2.imread("map.png").shape[1] > 600


def film(path, photo, frames=6):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5, photo.shape[1::-1])
    for _ in range(frames):
        writer.write(photo[..., ::-1])
    writer.release()


def test_a_video_gives_a_line_a_face_and_all_that_is_asked_for(tmp_path, photos):
    film(tmp_path / "film.avi", photos["friends"])
    result = run("film.avi", "--annotate", "boxes.mp4", "--timeline", "time.svg", "--rate", "2")
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [["face", "seen"], *[[n, "0.0"] for n in "123"]]
    assert all(line.endswith(" 100.0 %") for line in result.stdout.splitlines()[1:])
    assert "3 faces in 1.0 s; looked at 3 frames." in result.stderr
    assert "looked at 1 frame." in run("film.avi", "--seconds", "0.1").stderr
    assert (tmp_path / "time.svg").read_text().startswith("<svg")
    assert cv2.VideoCapture("boxes.mp4").read()[0]
    run("film.avi", "--out", "looks.csv", "--seconds", "0.5")
    looks = pd.read_csv("looks.csv")
    assert set(looks["track"]) == {1, 2, 3}
    assert looks["seconds"].max() < 0.5
    lines = [json.loads(line) for line in run("film.avi", "--json").stdout.splitlines()]
    assert {"frame", "seconds", "track", "label"} <= lines[0].keys()


def test_a_video_among_pictures_is_answered_with_them(tmp_path, photos):
    write_pictures(tmp_path, {"mixed/a.png": photos["portrait"]})
    film(tmp_path / "mixed/b.avi", photos["portrait"])
    (tmp_path / "mixed/c.mp4").write_bytes(b"none")
    result = run("mixed", "--json", "--annotate", "boxes")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["path"] for line in lines[:2]] == ["mixed/a.png", "mixed/b.avi"]
    assert lines[-1]["label"] == "unreadable"
    assert [path.name for path in (tmp_path / "boxes").iterdir()] == ["a.png"]
    assert "Nothing is drawn into videos, tables and arrays among pictures: mixed/b.avi and 1 more" in result.stderr


def test_what_is_read_is_never_written_over(tmp_path):
    write_pictures(tmp_path, {"face.png": CROPS[3]})
    before = (tmp_path / "face.png").read_bytes()
    assert "Expected another place than face" in refuse("--crops", "face.png", "--annotate", "face.png")
    assert "Expected another place" in refuse("--crops", ".", "--annotate", ".")
    write_pictures(tmp_path, {"sub/face.png": CROPS[4]})
    told = refuse("--crops", "face.png", "sub/face.png", "--annotate", "sub")
    assert "Expected another place than sub/face.png" in told
    assert (tmp_path / "face.png").read_bytes() == before


@pytest.mark.parametrize("out", ["data/test.csv", "linked.csv", "hard.csv", "folder/test.csv", "data/../data/test.csv"])
@pytest.mark.parametrize("source", ["data/test.csv", "linked.csv", "data"])
def test_an_input_is_never_written_over_by_any_name(source, out, tmp_path):
    (tmp_path / "data").mkdir()
    path = write_csv(tmp_path / "data/test.csv", CROPS[:2])
    (tmp_path / "linked.csv").symlink_to("data/test.csv")
    (tmp_path / "hard.csv").hardlink_to(path)
    (tmp_path / "folder").symlink_to("data")
    before = path.read_bytes()
    for form in ([], ["--format", "csv"]):
        assert f"Expected another place than {out}, which is what is read" in refuse(source, "--out", out, *form)
    assert path.read_bytes() == before
    assert (tmp_path / "linked.csv").is_symlink()


def test_a_video_is_never_written_over(tmp_path, photos):
    film(tmp_path / "film.avi", photos["portrait"])
    before = (tmp_path / "film.avi").read_bytes()
    (tmp_path / "time.svg").symlink_to("film.avi")
    for output in (["--annotate", "film.avi"], ["--out", "film.avi", "--format", "csv"], ["--timeline", "time.svg"]):
        assert "which is what is read" in refuse("film.avi", *output)
    assert (tmp_path / "film.avi").read_bytes() == before


def test_two_outputs_have_two_places(tmp_path, photos):
    film(tmp_path / "film.avi", photos["portrait"])
    (tmp_path / "same").symlink_to(".")
    for place in ("a.svg", "./a.svg", "same/a.svg"):
        told = refuse("film.avi", "--timeline", "a.svg", "--out", place, "--format", "csv")
        assert "Expected two places for --out and --timeline" in told
    (tmp_path / "a.svg").write_text("before")
    (tmp_path / "b.svg").hardlink_to(tmp_path / "a.svg")
    assert "two places" in refuse("film.avi", "--timeline", "a.svg", "--out", "b.svg", "--format", "csv")
    assert (tmp_path / "a.svg").read_text() == "before"


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            ["--annotate", "new.png"],
            "Expected a folder for --annotate, as for several pictures; got new.png, which is cal",
        ),
        (
            ["--explain", "x.csv"],
            "Expected a folder for --explain, as for several pictures; got x.csv, which is a file",
        ),
        (["--out", "d.csv"], "Expected a file for --out; d.csv is a folder; name a file in it."),
        (["--out", "x.csv/answers.csv"], "x.csv"),
    ],
)
def test_an_output_of_the_wrong_kind_is_refused_before_anything_is_read(output, sentence, tmp_path):
    write_pictures(tmp_path, {"faces/1.png": CROPS[0], "faces/2.png": CROPS[1]})
    write_csv(tmp_path / "x.csv", CROPS[:1])
    (tmp_path / "d.csv").mkdir()
    assert sentence in refuse("faces", *output)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.csv", "faces", "x.csv"]


def test_a_folder_that_cannot_be_written_in_is_refused(tmp_path, monkeypatch):
    write_pictures(tmp_path, {"face.png": CROPS[0], "shut/old.png": CROPS[0]})
    allowed = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: "shut" not in str(path) and allowed(path, mode)
    )  # root may all
    for place in ("shut/a.csv", "shut/new/a.csv"):
        assert f"cannot write in {tmp_path / 'shut'}" in " ".join(refuse("face.png", "--out", place).split())


def test_pictures_as_small_as_faces_are_pointed_out(tmp_path, photos):
    write_pictures(tmp_path, {f"faces/{at}.png": crop for at, crop in enumerate(CROPS[:3])})
    hint = "Most of these pictures are as small as 48×48: if they are faces already, use --crops."
    assert hint in run("faces").stderr
    assert hint not in run("--crops", "faces").stderr
    write_pictures(tmp_path, {f"faces/{name}.png": photos[name] for name in ("portrait", "worry", "landscape")})
    assert hint not in run("faces").stderr


@pytest.mark.parametrize(
    ("sources", "places"),
    [
        (["a/x.png", "b/x.png"], ["a/x.png", "b/x.png"]),
        (["a/x.png", "a/sub/x.png"], ["sub/x.png", "x.png"]),
        (["a/sub/x.png", "a/x.png"], ["sub/x.png", "x.png"]),
        (["a", "b"], ["a/sub/x.png", "a/x.png", "b/x.png"]),
        (["a/../b/x.png", "a/x.png"], ["a/x.png", "b/x.png"]),
        (["a/x.png", "a"], ["sub/x.png", "x.png"]),
        (["a", "a"], ["sub/x.png", "x.png"]),
    ],
)
def test_pictures_of_one_name_are_drawn_to_different_places(sources, places, tmp_path):
    write_pictures(tmp_path, {"a/x.png": CROPS[3], "a/sub/x.png": CROPS[4], "b/x.png": CROPS[5]})
    result = run("--crops", *sources, "--annotate", "out", "--explain", "maps")
    for folder in (tmp_path / "out", tmp_path / "maps"):
        assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png")) == places
    assert f"{len(places)} answers" in result.stderr


def test_two_pictures_of_one_place_are_an_error(tmp_path):
    write_pictures(tmp_path, {"a/x.gif.png": CROPS[3]})
    (tmp_path / "a/x.gif").write_bytes((tmp_path / "a/x.gif.png").read_bytes())
    assert "Expected a place for each picture; got out/x.gif.png for two" in refuse("--crops", "a", "--annotate", "out")


def test_an_array_of_one_picture_among_others_is_answered_but_not_drawn(tmp_path):
    write_pictures(tmp_path, {"face.png": CROPS[3]})
    np.save(tmp_path / "one.npy", CROPS[4])
    result = run("--crops", "one.npy", "face.png", "--annotate", "boxes")
    assert "2 answers" in result.stderr
    assert "among pictures: one.npy;" in result.stderr
    assert [path.name for path in (tmp_path / "boxes").iterdir()] == ["face.png"]


def test_a_timeline_with_another_ending_is_refused_before_the_video_is_read(tmp_path):
    (tmp_path / "film.avi").write_bytes(b"none")
    result = run("film.avi", "--timeline", "time.png")
    assert result.exit_code == 2
    assert "Expected --timeline with a file that ends with .svg" in result.output


def test_abstain_says_what_it_rests_on_and_the_curve_is_printed(tmp_path):
    write_csv(tmp_path / "a.csv", CROPS)
    result = run("a.csv", "--abstain", "0.8")
    assert "Uncertain below a confidence of " in result.stderr
    assert "of its validation images it answers " in result.stderr
    curve = run("--curve").stdout.splitlines()
    assert curve[1].startswith("100.0 %")
    assert [line.split(" accuracy")[0] for line in curve if "accuracy" in line] == [
        "Coverage at 80.0 %",
        "Coverage at 90.0 %",
    ]


def test_the_table_shows_the_first_hundred_and_says_so(tmp_path):
    write_csv(tmp_path / "a.csv", np.concatenate([CROPS] * 8))
    result = run("a.csv")
    assert len(result.stdout.splitlines()) == 101
    assert "112 answers" in result.stderr
    assert "The first 100 are shown" in result.stderr


def test_nothing_that_can_be_read_is_an_error_and_something_is_none(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"none")
    with pytest.raises(DataError, match=r"got none of 1 \(the first: broken.png, not an image"):
        run("broken.png")
    write_pictures(tmp_path, {"face.png": CROPS[3]})
    assert "1 unreadable" in run("--crops", ".").stderr
    (tmp_path / "~nobody.png").symlink_to("nowhere.png")
    assert "2 unreadable" in run("--crops", ".").stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Expected a PATH, --webcam or --curve"),
        (["a.csv", "--webcam", "0"], "got both"),
        (["a.csv", "--timeline", "t.svg"], "with one video"),
        (["a.csv", "--format", "json"], "Expected --out FILE"),
        (["a.csv", "--fill", "sad"], "Expected --fill with a submission"),
        (["a.csv", "--out", "b.csv", "--abstain", "0.8"], "nothing but class numbers"),
        (["a.csv", "b.csv", "--out", "c.csv", "--format", "submission"], "Expected one CSV or Parquet"),
        (["a.csv", "--annotate", "boxes"], "Expected --annotate and --explain with pictures"),
        (["one.npy", "--annotate", "o.png"], "Expected --annotate and --explain with pictures"),
        (["a.csv", "b.csv", "--explain", "maps"], "Expected --annotate and --explain with pictures"),
        ([".", "--annotate", "o", "--explain", "o"], "Expected two places"),
        (["nothing.png"], "does not exist"),
        (["a.csv", "--abstain", "0.3"], "0.5<=x<=0.99"),
        (["a.csv", "--abstain", "nan"], "nan is not in the range 0.5<=x<=0.99"),
        (["a.csv", "--threshold", "nan"], "nan is not in the range 0<=x<=1"),
        (["a.csv", "--out", "a.xlsx"], "Expected a file that ends with .csv"),
        (["film.avi", "--crops"], "Expected --crops with pictures"),
        (["film.avi", "--rate", "nan"], "Expected a rate above 0"),
        (["film.avi", "--annotate", "boxes.gif"], "Expected a video that ends with"),
    ],
)
def test_options_that_do_not_go_together_are_a_usage_error(arguments, sentence, tmp_path):
    for name in ("a.csv", "b.csv"):
        write_csv(tmp_path / name, CROPS[:1])
    np.save(tmp_path / "one.npy", CROPS[0])
    (tmp_path / "film.avi").write_bytes(b"none")
    result = run(*arguments)
    assert result.exit_code == 2
    assert sentence in result.output


def test_a_reader_that_has_seen_enough_stops_it_quietly(tmp_path):
    write_csv(tmp_path / "a.csv", np.concatenate([CROPS] * 60))
    command = f'"{sys.executable}" -c "from ferrule.cli import main; main()" predict a.csv --json | head -1'
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}
    )
    assert json.loads(done.stdout)["row"] == 1
    assert "Traceback" not in done.stderr
    assert "Broken pipe" not in done.stderr


def test_errors_are_one_sentence_with_status_1(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"none")
    done = run_alone("broken.png")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ferrule: Expected at least one picture")
    assert "Traceback" not in done.stderr
