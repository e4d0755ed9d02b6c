"""Faces: found in drawn photos, cut out as FER-2013 frames them, and crops without one told from those with one."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY

from bench.faces import FOUND, SIDES, compare_judges, measure_found, measure_judged, place_in_photo
from bench.nonfaces import CHANGED, NONFACES
from bench.tables import marks
from ferrule.documents import split_at_marks
from ferrule.emotions import EMOTIONS
from ferrule.faces.crops import BLANK, FRAME, crop_face, judge_crops
from ferrule.faces.detector import Face, MtcnnDetector
from ferrule.faces.examples import example_photos
from ferrule.samples import Samples
from ferrule.synthetic import paint_portraits

FACES = {"portrait": ["happy"], "friends": ["surprise", "happy", "neutral"], "worry": ["sad"], "landscape": []}


@pytest.fixture(scope="module")
def detector():
    return MtcnnDetector()


@pytest.fixture(scope="module")
def photos():
    return dict(example_photos())


def test_the_faces_of_the_examples_are_found_largest_first_and_within_the_photo(detector, photos):
    assert photos.keys() == FACES.keys()
    for name, photo in photos.items():
        faces = detector.detect(photo)
        assert len(faces) == len(FACES[name])
        assert [face.area for face in faces] == sorted((face.area for face in faces), reverse=True)
        for face in faces:
            assert 0 <= face.x < face.x + face.width <= photo.shape[1]
            assert 0 <= face.y < face.y + face.height <= photo.shape[0]
            assert 0.9 <= face.confidence <= 1
            eyes, mouth = face.landmarks[:2], face.landmarks[3:]
            assert max(y for _, y in eyes) < face.landmarks[2][1] < min(y for _, y in mouth)


def test_the_model_that_ships_sees_what_the_examples_were_drawn_to_show(detector, photos):
    from ferrule.portable.model import open_pretrained

    model = open_pretrained()
    for name, photo in photos.items():
        for face, emotion in zip(detector.detect(photo), FACES[name], strict=True):
            crop = crop_face(photo, face)
            assert model.classes[model.probabilities(crop[None])[0].argmax()] == emotion
            assert judge_crops(crop[None]) == [None]


def test_the_examples_are_the_same_at_every_call_and_in_every_process(photos):
    code = (
        "from hashlib import md5; from ferrule.faces.examples import example_photos\n"
        "print(md5(b''.join(photo.tobytes() for _, photo in example_photos())).hexdigest())"
    )
    drawn = {subprocess.check_output([sys.executable, "-c", code], cwd=REPOSITORY) for _ in range(2)}
    assert len(drawn) == 1
    assert all(photo.dtype == np.uint8 and photo.shape[2] == 3 for photo in photos.values())


def test_small_and_large_photos_give_the_same_boxes(photos):
    photo = photos["friends"]
    doubled = cv2.resize(photo, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    for small, large in zip(MtcnnDetector().detect(photo), MtcnnDetector(max_side=800).detect(doubled), strict=True):
        distance = np.subtract([2 * small.x, 2 * small.y, 2 * small.width, 2 * small.height], _box(large))
        assert np.abs(distance).max() < 0.12 * large.width


def test_threshold_and_least_size_are_kept(photos):
    assert MtcnnDetector(threshold=1.01).detect(photos["friends"]) == []
    large = MtcnnDetector(min_size=195)
    assert large.detect(photos["friends"]) == []
    assert len(large.detect(photos["portrait"])) == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (10, 3000), (3000, 10), (13, 13), (20, 20), (24, 24), (31, 57)])
@pytest.mark.parametrize("kind", ["black", "white", "noise"])
def test_photos_too_small_for_a_face_have_none(detector, shape, kind):
    photo = np.full((*shape, 3), 255 if kind == "white" else 0, np.uint8)
    if kind == "noise":
        photo = np.random.default_rng(3).integers(0, 256, photo.shape, dtype=np.uint8)
    assert detector.detect(photo) == []


@pytest.mark.parametrize("sigma", [0, 1, 3, 8])
def test_noise_of_any_grain_has_no_face_and_raises_nothing(sigma):
    eager = MtcnnDetector(threshold=0.0)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        noise = rng.normal(128, 60, (*rng.integers(30, 260, 2), 3))
        blurred = cv2.GaussianBlur(noise, (0, 0), sigma) if sigma else noise
        photo = (128 + (blurred - blurred.mean()) * 60 / blurred.std()).clip(0, 255).astype(np.uint8)
        for face in eager.detect(photo):
            assert crop_face(photo, face).shape == (48, 48)
        assert MtcnnDetector().detect(photo) == []


def test_one_detector_serves_several_threads(detector, photos):
    expected = {name: detector.detect(photo) for name, photo in photos.items()}
    names = list(photos) * 6
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda name: detector.detect(photos[name]), names))
    assert found == [expected[name] for name in names]


def test_a_crop_is_the_frame_about_the_box():
    photo = np.zeros((400, 400, 3), np.uint8)
    side = round(FRAME * 100)
    photo[200 - 3 - side // 2 : 200 - 3 + side // 2, 200 - side // 2 : 200 + side // 2] = 200
    crop = crop_face(photo, Face(150, 150, 100, 100, 1.0))
    assert crop.shape == (48, 48)
    assert crop.dtype == np.uint8
    assert (crop[1:-1, 1:-1] == 200).all()


def test_a_crop_is_grey_by_the_weights_of_the_eye():
    photo = np.zeros((60, 60, 3), np.uint8)
    photo[..., 0] = 255
    assert (crop_face(photo, Face(15, 15, 30, 30, 1.0)) == 76).all()


def test_a_face_at_the_edge_is_filled_up_with_the_outermost_pixels():
    photo = np.repeat(np.arange(100, dtype=np.uint8)[None, :, None], 100, axis=0).repeat(3, axis=2)
    crop = crop_face(photo, Face(0, 20, 50, 50, 1.0))
    assert (crop[:, 0] == 0).all()
    assert crop[:, -1].max() > 50


def test_a_face_cut_by_the_edge_of_the_photo_is_found_and_cropped(detector, photos):
    (whole,) = detector.detect(photos["portrait"])
    cut = np.ascontiguousarray(photos["portrait"][:, whole.x + whole.width // 8 :])
    (face,) = detector.detect(cut)
    assert face.x <= 5
    assert judge_crops(crop_face(cut, face)[None]) == [None]


@pytest.mark.parametrize("kind", NONFACES)
def test_made_up_images_show_no_face(kind):
    images = NONFACES[kind](60, np.random.default_rng(1))
    assert images.shape == (60, 48, 48)
    assert images.dtype == np.uint8
    assert np.mean([verdict is not None for verdict in judge_crops(images)]) >= 0.8


def test_blank_images_are_blank_and_drawn_faces_are_faces():
    blank = np.full((3, 48, 48), [[[0]], [[130]], [[255]]], np.uint8)
    assert judge_crops(blank) == [BLANK] * 3
    faces = paint_portraits(np.arange(7).repeat(20), 5)
    assert np.mean([verdict is None for verdict in judge_crops(faces)]) >= 0.9


def test_judging_keeps_the_order_and_takes_none():
    face, blank = paint_portraits(np.array([3]), 5)[0], np.zeros((48, 48), np.uint8)
    assert judge_crops(np.stack([blank, face, blank])) == [BLANK, None, BLANK]
    assert judge_crops(np.zeros((0, 48, 48), np.uint8)) == []


def test_faces_import_nothing_heavy():
    code = (
        "import sys, warnings; warnings.simplefilter('error')\n"
        "import ferrule.faces.crops, ferrule.faces.photos\n"
        "from ferrule.faces.detector import MtcnnDetector; MtcnnDetector()\n"
        "heavy = {'tensorflow', 'keras', 'mlflow', 'prefect', 'dvc', 'pyarrow', 'scipy', 'matplotlib', 'pandas'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=REPOSITORY).returncode == 0


@pytest.mark.real_data
def test_faces_of_fer2013_are_found_cut_and_known_for_faces(fer2013):
    from bench.data import read_parquet
    from ferrule.portable.model import open_pretrained

    samples = read_parquet(fer2013 / "fer2013.parquet")
    public = samples.select((samples.table["usage"] == "PublicTest").to_numpy())
    for line in measure_found(public, open_pretrained(), 300):
        found, scale, up = (float(cell.split("%")[0].strip("*")) for cell in line[1:4])
        original, exact, cut = (float(cell.strip("%")) for cell in line[5:])
        assert found >= 80
        assert abs(scale - FRAME) <= 0.06
        assert abs(up) <= 0.06
        assert exact >= original - 4
        assert cut >= original - 7
    told = {line[0]: float(line[2].split("%")[0].strip("*")) for line in measure_judged(public, 100)[:-1]}
    assert told["PublicTest"] <= 1.5
    assert min(told[kind] for kind in NONFACES) >= 75


def test_the_benchmark_measures_drawn_faces_too():
    from ferrule.portable.model import open_pretrained

    expressions = np.arange(7).repeat(3)
    table = pd.DataFrame({"label": np.array(EMOTIONS)[expressions], "votes_NF": np.arange(21) % 2 * 5})
    drawn, model = Samples(paint_portraits(expressions, 5), table), open_pretrained()
    lines = measure_found(drawn, model, 12)
    assert [len(line) for line in lines] == [len(FOUND)] * len(SIDES)
    judged = {name: told for name, _, told in measure_judged(drawn, 4)}
    assert set(NONFACES) | set(CHANGED) < judged.keys()
    assert len(compare_judges(drawn, model, 4)) == 5


def test_the_document_has_the_marks_that_the_benchmark_writes_between():
    split_at_marks(REPOSITORY / "docs" / "faces.md", *marks("faces", "docs/faces.md"))


def test_an_image_placed_in_a_photo_stands_in_its_middle():
    image = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    photo = place_in_photo(image, 48)
    assert photo.shape == (96, 96, 3)
    assert (photo[24:72, 24:72, 1] == image).all()


def _box(face):
    return [face.x, face.y, face.width, face.height]
