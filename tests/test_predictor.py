"""The predictor: every kind of source, faces told from what is none, certainty, and what it leaves unimported."""

import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest

import ferrule
from ferrule.answers import NO_FACE, UNCERTAIN, UNREADABLE
from ferrule.emotions import EMOTIONS
from ferrule.errors import DataError, ParameterError, RegistryError
from ferrule.faces.examples import example_photos
from ferrule.models import open_model
from ferrule.portable.model import PRETRAINED, open_pretrained
from ferrule.predictor import Predictor
from ferrule.sources import count_items, read_items
from ferrule.synthetic import paint_portraits

CROPS = paint_portraits(np.arange(14) % 7, 3)


@pytest.fixture(scope="module")
def model():
    return open_pretrained()


@pytest.fixture(scope="module")
def of_photos(model):
    return Predictor(model)


@pytest.fixture(scope="module")
def of_crops(model):
    return Predictor(model, crops=True)


@pytest.fixture(scope="module")
def photos():
    return dict(example_photos())


def write_pictures(folder, pictures):
    for name, picture in pictures.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture[..., ::-1] if picture.ndim == 3 else picture)
    return folder


def write_csv(path, images):
    path.write_text("pixels\n" + "".join(" ".join(map(str, image.ravel())) + "\n" for image in images))
    return path


def test_the_package_gives_the_predictor():
    assert ferrule.Predictor is Predictor
    assert ferrule.Answer.__name__ == "Answer"
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = ferrule.Nothing


def test_every_face_of_a_photo_is_answered(of_photos, photos, tmp_path):
    for name, faces in {"portrait": 1, "friends": 3, "worry": 1}.items():
        photo = photos[name]
        path = write_pictures(tmp_path, {f"{name}.png": photo}) / f"{name}.png"
        answers = of_photos.predict(path)
        assert len(answers) == faces
        for answer in answers:
            x, y, width, height = answer.box
            assert min(x + width, photo.shape[1]) - max(x, 0) > 0.7 * width
            assert min(y + height, photo.shape[0]) - max(y, 0) > 0.7 * height
            assert 0 < answer.detection <= 1
            assert sum(answer.probabilities.values()) == pytest.approx(1)
            assert answer.label == max(answer.probabilities, key=answer.probabilities.get)
            assert answer.confidence == max(answer.probabilities.values())
            assert answer.path == str(path)


def test_a_path_bytes_and_an_array_give_the_same(of_photos, photos, tmp_path):
    path = write_pictures(tmp_path, {"photo.png": photos["friends"]}) / "photo.png"
    told = [
        [(a.box, a.label, a.confidence) for a in of_photos.predict(source)]
        for source in (path, str(path), path.read_bytes(), photos["friends"])
    ]
    assert told[0] == told[1] == told[2] == told[3]


def test_crops_of_every_kind_give_the_same(of_crops, tmp_path):
    write_pictures(tmp_path / "folder", {f"{at}.png": crop for at, crop in enumerate(CROPS)})
    pd.DataFrame({"pixels": [" ".join(map(str, crop.ravel())) for crop in CROPS]}).to_parquet(tmp_path / "a.parquet")
    np.save(tmp_path / "a.npy", CROPS)
    sources = [
        tmp_path / "folder",
        write_csv(tmp_path / "a.csv", CROPS),
        tmp_path / "a.parquet",
        tmp_path / "a.npy",
        CROPS,
    ]
    told = [of_crops.predict(source) for source in sources] + [of_crops.predict_crops(CROPS)]
    for answers in told:
        assert [answer.label for answer in answers] == [answer.label for answer in told[0]]
        np.testing.assert_allclose(
            [answer.confidence for answer in answers], [answer.confidence for answer in told[0]], atol=1e-6
        )
    assert [answer.row for answer in told[1]] == list(range(1, 15))
    assert {answer.row for answer in told[0]} == {None}


def test_tables_are_crops_whatever_the_predictor(of_photos, of_crops, tmp_path):
    path = write_csv(tmp_path / "a.csv", CROPS[:3])
    assert [a.label for a in of_photos.predict(path)] == [a.label for a in of_crops.predict(path)]


def test_an_image_that_is_no_face_is_told_from_an_emotion(of_crops, of_photos, photos):
    blank = np.full((48, 48), 200, np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    answers = of_crops.predict_crops(np.stack([CROPS[0], blank, noise, CROPS[1]]))
    assert [answer.label == NO_FACE for answer in answers] == [False, True, True, False]
    assert answers[1].reason
    assert answers[1].probabilities is None
    [nothing] = of_photos.predict(photos["landscape"])
    assert (nothing.label, nothing.box, nothing.reason) == (NO_FACE, None, "no face was found")


def test_what_cannot_be_read_is_an_answer_among_the_others_in_natural_order(of_crops, tmp_path):
    folder = write_pictures(tmp_path / "f", {"2.png": CROPS[0], "10.png": CROPS[1], "sub/1.png": CROPS[2]})
    (folder / "3.jpg").write_bytes(b"\xff\xd8\xff no more")
    (folder / "notes.csv").write_text("a,b\n1,2\n")
    (folder / "4.npy").write_bytes(b"none")
    answers = of_crops.predict(folder)
    assert [answer.path.rpartition("f/")[2] for answer in answers] == [
        "2.png",
        "3.jpg",
        "4.npy",
        "10.png",
        "notes.csv",
        "sub/1.png",
    ]
    unread = {answer.path[-5:]: answer.reason for answer in answers if answer.label == UNREADABLE}
    assert unread["3.jpg"].startswith("truncated image")
    assert "numpy.save" in unread["4.npy"]
    assert "Expected a column pixels" in unread["s.csv"]


def test_bad_rows_of_a_table_keep_their_place(of_crops, tmp_path):
    path = write_csv(tmp_path / "a.csv", CROPS[:4])
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], "1 2 3", *lines[2:]]))
    answers = of_crops.predict(path)
    assert [answer.row for answer in answers] == [1, 2, 3, 4, 5]
    assert [answer.label == UNREADABLE for answer in answers] == [False, True, False, False, False]


def test_many_are_answered_in_batches_and_in_order(of_crops):
    seen = []
    images = np.concatenate([CROPS] * 20)
    answers = list(of_crops.iterate([images, CROPS[:2]], progress=seen.append))
    assert [answer.row for answer in answers] == [*range(1, 281), 1, 2]
    assert [a.label for a in answers[:14]] == [a.label for a in answers[266:280]]
    assert sum(seen) == 282


def test_uncertain_where_the_rule_says_so(model):
    rule = model.abstention(0.9)
    predictor = Predictor(model, abstain=0.9, crops=True)
    for answer in predictor.predict(CROPS):
        assert (answer.label == UNCERTAIN) == (answer.confidence < rule.threshold)
        assert answer.probabilities[answer.best] == answer.confidence
    with pytest.raises(ParameterError, match="Expected an accuracy"):
        Predictor(model, abstain=0.3)


@pytest.mark.parametrize("shape", [(0, 48, 48), (48,), (4, 50, 60), (1, 2, 3, 4, 5), (10, 10, 2)], ids=str)
def test_arrays_of_another_shape_are_one_sentence(of_crops, shape):
    with pytest.raises(DataError, match="Expected uint8 pixels"):
        of_crops.predict(np.zeros(shape, np.uint8))


def test_arrays_of_another_type_are_one_sentence(of_crops):
    with pytest.raises(DataError, match="got float64"):
        of_crops.predict(np.zeros((48, 48)))


@pytest.mark.parametrize(
    ("shape", "crops", "expected"),
    [
        ((60, 50), False, [("photo", (60, 50, 3))]),
        ((60, 50, 3), False, [("photo", (60, 50, 3))]),
        ((48, 48), False, [("photo", (48, 48, 3))]),
        ((48, 48), True, [("crop", (48, 48))]),
        ((60, 50, 3), True, [("crop", (48, 48))]),
        ((2, 60, 50, 3), False, [("photo", (60, 50, 3))] * 2),
        ((2, 48, 48, 1), False, [("crop", (48, 48))] * 2),
        ((48, 48, 3), False, [("photo", (48, 48, 3))]),
        ((60, 50, 4), False, [("photo", (60, 50, 3))]),
        ((60, 50, 1), False, [("photo", (60, 50, 3))]),
        ((48, 48, 1), False, [("photo", (48, 48, 3))]),
        ((48, 48, 1), True, [("crop", (48, 48))]),
        ((60, 50, 4), True, [("crop", (48, 48))]),
        ((2, 60, 50, 4), False, [("photo", (60, 50, 3))] * 2),
        ((2, 60, 50, 1), True, [("crop", (48, 48))] * 2),
    ],
)
def test_what_an_array_is_taken_for(shape, crops, expected):
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    items = list(read_items(array, crops=crops))
    assert count_items(array) == len(items)
    assert [("photo", i.photo.shape) if i.crop is None else ("crop", i.crop.shape) for i in items] == expected


def test_an_array_becomes_the_crop_that_its_file_becomes(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    path = write_pictures(tmp_path, {"a.png": picture}) / "a.png"
    [array], [file] = read_items(picture, crops=True), read_items(path, crops=True)
    assert np.abs(array.crop.astype(int) - file.crop).max() <= 1  # PNG has a way of its own to make grey


def test_a_path_that_is_not_there_is_one_sentence(of_crops, tmp_path):
    with pytest.raises(DataError, match="there is none; check the path"):
        of_crops.predict(tmp_path / "nothing.jpg")


def test_transparency_and_a_last_axis_of_one_change_nothing(of_photos, of_crops, photos):
    photo = photos["portrait"]
    clear = np.dstack([photo, np.zeros(photo.shape[:2], np.uint8)])
    assert of_photos.predict(clear) == of_photos.predict(photo) == of_photos.predict(photo[..., ::-1][..., ::-1])
    assert of_crops.predict(CROPS[0][..., np.newaxis]) == of_crops.predict(CROPS[0])


@pytest.mark.parametrize("source", [["a.png"], None, 3, {"a.png"}], ids=str)
def test_what_is_no_source_is_one_sentence(of_photos, source):
    given = type(source).__name__
    with pytest.raises(DataError, match=f"Expected a path, bytes or an array; got {given}; for several use iterate"):
        of_photos.predict(source)
    with pytest.raises(DataError, match="Expected a path, bytes or an array"):
        list(of_photos.iterate([source]))


def test_iterate_wants_several_sources(of_photos, tmp_path):
    for source in ("a.png", tmp_path / "a.png", b"png"):
        with pytest.raises(DataError, match="Expected several sources, as a list; got one"):
            list(of_photos.iterate(source))


def test_of_several_paths_one_that_is_not_there_is_an_answer(of_crops, tmp_path):
    write_pictures(tmp_path, {"a.png": CROPS[0], "b.png": CROPS[1]})
    missing = ["no.jpg", "no.csv", "no.parquet", "no.npy", "no.mp4", "no/folder"]
    answers = list(of_crops.iterate([tmp_path / name for name in ("a.png", *missing, "b.png")]))
    assert [answer.label == UNREADABLE for answer in answers] == [False, *[True] * 6, False]
    assert [answer.path for answer in answers[1:-1]] == [str(tmp_path / name) for name in missing]
    assert all(answer.reason for answer in answers[1:-1])


def test_what_is_no_crop_is_one_sentence(of_crops, photos):
    assert of_crops.explain(CROPS[0]).shape == (48, 48)
    for wrong in (photos["portrait"], CROPS[0].astype(float), CROPS[:1], CROPS[0].tolist(), None):
        with pytest.raises(DataError, match=r"Expected a crop, uint8 \(48, 48\)"):
            of_crops.explain(wrong)
        with pytest.raises(DataError, match=r"Expected a crop, uint8 \(48, 48\)"):
            of_crops.predict_crops([CROPS[0], wrong])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"abstain": "x"}, "Expected an accuracy, as 0.8, to abstain by; got 'x'"),
        ({"abstain": float("nan")}, "Expected an accuracy"),
        ({"detector": 3}, "Expected a detector with .*; got int"),
        ({"model": 3}, "Expected a model by its name or folder, or an open one; got int"),
        ({"model": None}, "got NoneType"),
    ],
)
def test_wrong_settings_are_one_sentence_at_once(settings, words):
    with pytest.raises(ParameterError, match=words):
        Predictor(**{"model": "pretrained", **settings})


def test_every_answer_says_which_model_was_asked(model, of_crops, of_photos, photos, tmp_path):
    told = [*of_photos.predict(photos["friends"]), *of_photos.predict(photos["landscape"]), *of_crops.predict(CROPS)]
    told += [*of_crops.predict_crops(CROPS[:1]), *of_crops.iterate([tmp_path / "nothing.png"])]
    assert {answer.model for answer in told} == {model.title}


def test_which_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert open_model().title == "the model that ships with Ferrule"  # no registry here, and none was made
    assert not list(tmp_path.iterdir())
    assert open_model(str(PRETRAINED)).classes == EMOTIONS
    with pytest.raises(RegistryError):
        open_model("champion")
    with pytest.raises(DataError, match=r"Expected bundle\.json in no/such/folder; there is no such folder"):
        open_model("no/such/folder")
    (tmp_path / "mine").mkdir()
    for which in ("mine", "./mine", "."):
        with pytest.raises(DataError, match=r"Expected bundle\.json in .*; this folder holds no exported model"):
            open_model(which)


def test_the_folder_of_a_model_may_be_a_path(tmp_path):
    answers = [Predictor(folder, crops=True).predict_crops(CROPS[:2]) for folder in (PRETRAINED, str(PRETRAINED))]
    assert answers[0] == answers[1]
    with pytest.raises(DataError, match="nothing"):
        Predictor(tmp_path / "nothing")


def test_several_sources_are_answered_in_the_order_they_are_named_in(of_crops, tmp_path):
    write_pictures(tmp_path, {"f/2.png": CROPS[0], "f/10.png": CROPS[1], "a.png": CROPS[2]})
    sources = [tmp_path / "f", CROPS[3], tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes()]
    names = [answer.path.rpartition("/")[2] for answer in of_crops.iterate(sources)]
    assert names == ["2.png", "10.png", "", "a.png", "a.png", ""]


def test_predicting_imports_no_heavy_library(tmp_path):
    """Nothing at all before the predictor is asked for; then nothing heavy, for a photo as for a table."""
    write_pictures(tmp_path, {"face.png": cv2.resize(CROPS[3], (300, 300))})
    write_csv(tmp_path / "a.csv", CROPS[:2])
    code = """
import sys
import ferrule
assert not {"numpy", "cv2", "onnxruntime"} & set(sys.modules)
predictor = ferrule.Predictor("pretrained")
assert len(predictor.predict("face.png") + predictor.predict("a.csv")) == 3
heavy = {"tensorflow", "keras", "mlflow", "prefect", "dvc", "pandas", "pyarrow", "scipy", "matplotlib", "fastapi"}
sys.exit(", ".join(heavy & set(sys.modules)) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
