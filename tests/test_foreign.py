"""`ferrule evaluate`: labels mapped and left out with counts, copies told apart, scores, and nothing else touched."""

import json
import shutil
import zipfile

import cv2
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from ingested_project import read_bytes
from trained_project import CLASSES, copy_project, run_stages, write_trained_project

from ferrule.emotions import EMOTIONS
from ferrule.errors import DataError, ParameterError
from ferrule.foreign import DROP, read_foreign, read_mapping
from ferrule.registry.versions import describe_version
from ferrule.samples import load_samples
from ferrule.seen import EXACT, NEAR, NONE, find_seen, hash_cosines, list_seen
from ferrule.store import open_experiment, open_store
from ferrule.tracking import TEST_TAG
from flows.commands.evaluating import evaluate

LEVELS = {"anger": 60, "Happy": 120, "neutral": 180, "contempt": 180}  # by which write_network tells the classes


@pytest.fixture(autouse=True)
def _own_store(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("FERRULE_CACHE", str(tmp_path / "cache"))


def draw_faces(level: int, n: int, seed: int) -> np.ndarray:
    """Return noise around a grey level with a soft pattern of its own, uint8 (n, 48, 48)."""
    rng = np.random.default_rng(seed)
    soft = [cv2.GaussianBlur(rng.normal(0, 400, (48, 48)), (0, 0), 4) for _ in range(n)]
    return np.clip(level + np.array(soft) - np.mean(soft, axis=(1, 2))[:, None, None], 0, 255).astype(np.uint8)


def write_folders(folder, counts: dict[str, int]) -> None:
    for seed, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for number, image in enumerate(draw_faces(LEVELS.get(name, 128), count, seed)):
            cv2.imwrite(str(folder / name / f"{number}.png"), image)


def read(folder, *mapping, classes=EMOTIONS):
    return read_foreign(folder, classes, read_mapping(mapping, classes))


def count(foreign) -> dict[str, tuple[str | None, int]]:
    return {each["given"]: (each["taken_as"], each["images"]) for each in foreign.classes}


# --- labels ----------------------------------------------------------------------------------------------------------


def test_contempt_is_left_out_unless_it_is_mapped(tmp_path):
    write_folders(tmp_path, {"anger": 3, "contempt": 2, "neutral": 4})
    plain = read(tmp_path)
    assert count(plain) == {"neutral": ("neutral", 4), "angry": ("angry", 3), "contempt": (None, 2)}
    assert len(plain.samples) == 7
    mapped = read(tmp_path, "Contempt=neutral")
    assert count(mapped)["contempt"] == ("neutral", 2)
    assert mapped.samples.table["label"].value_counts().to_dict() == {"neutral": 6, "angry": 3}
    assert mapped.samples.table["given"].value_counts()["contempt"] == 2


def test_folders_named_by_numbers_are_read_once_they_are_mapped(tmp_path):
    write_folders(tmp_path / "train", {"1": 2, "2": 3, "3": 1})
    with pytest.raises(DataError, match="numbers do not tell their class"):
        read(tmp_path)
    foreign = read(tmp_path, "1=surprise", "2=fear", "3=drop")
    assert count(foreign) == {"2": ("fear", 3), "1": ("surprise", 2), "3": (None, 1)}


def test_numbers_of_a_csv_can_mean_other_classes_than_in_fer2013(tmp_path):
    pixels = " ".join(["7"] * 1151 + ["9"] * 1153)
    rows = [f"{label},{pixels}" for label in (0, 1.0, 7, 7)]
    (tmp_path / "faces.csv").write_text("\n".join(["emotion,pixels", *rows]) + "\n")
    foreign = read(tmp_path / "faces.csv", "0=neutral", "7=drop")
    assert count(foreign) == {"7": (None, 2), "0": ("neutral", 1), "disgust": ("disgust", 1)}


def test_classes_that_the_model_does_not_know_are_left_out_and_may_be_mapped(tmp_path):
    write_folders(tmp_path, {"anger": 3, "fear": 2, "neutral": 4})
    assert count(read(tmp_path, classes=CLASSES))["fear"] == (None, 2)
    assert count(read(tmp_path, "scared=angry", classes=CLASSES))["fear"] == ("angry", 2)
    assert count(read(tmp_path, "angry=drop", classes=CLASSES))["angry"] == (None, 3)


@pytest.mark.parametrize("text", ["contempt", "contempt=joy", "contempt=6", "=happy", "fear=fear"])
def test_a_mapping_that_names_no_class_of_the_model_is_refused(text):
    with pytest.raises(ParameterError, match="Expected LABEL=CLASS"):
        read_mapping([text], CLASSES)


def test_an_unknown_label_and_an_unused_mapping_are_errors_that_name_it(tmp_path):
    write_folders(tmp_path, {"anger": 3, "pain": 2, "neutral": 4})
    with pytest.raises(DataError, match=r"folder 'pain' names no class \(2\).*--map LABEL=CLASS"):
        read(tmp_path)
    assert count(read(tmp_path, f"pain={DROP}"))["pain"] == (None, 2)
    with pytest.raises(ParameterError, match="got contenpt"):
        read(tmp_path, "pain=drop", "contenpt=neutral")


def test_a_set_without_any_class_of_the_model_is_an_error(tmp_path):
    write_folders(tmp_path, {"fear": 3, "sad": 2})
    with pytest.raises(DataError, match="its labels are fear 3, sad 2"):
        read(tmp_path, classes=CLASSES)


# --- copies ----------------------------------------------------------------------------------------------------------


def test_copies_are_found_saved_anew_resized_mirrored_and_others_are_not():
    images = draw_faces(128, 300, seed=1)
    ids = np.arange(200)
    split = pd.DataFrame({"sample_id": ids, "parent_id": ids, "split": "train"})
    seen = list_seen(split, images[:200])
    jpeg = [cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 0) for image in images[:200]]
    large = [
        cv2.resize(cv2.resize(image, (120, 120)), (48, 48), interpolation=cv2.INTER_AREA) for image in images[:200]
    ]
    assert set(find_seen(images[:200], seen)) == {EXACT}
    for changed in (np.array(jpeg), np.array(large), images[:200, :, ::-1], images[:200] // 2 + 40):
        assert np.mean(find_seen(np.ascontiguousarray(changed), seen) == NEAR) > 0.97
    assert set(find_seen(images[200:], seen)) == {NONE}


def test_faint_images_have_no_near_copies_and_older_tables_know_exact_ones_alone():
    images = np.stack([np.full((48, 48), level, np.uint8) for level in (90, 91, 92)])
    assert hash_cosines(images).tolist() == [0, 0, 0]
    split = pd.DataFrame({"sample_id": [0], "parent_id": [0], "split": ["val"]})
    seen = list_seen(split, images[:1])
    assert find_seen(images, seen).tolist() == [EXACT, NONE, NONE]
    faces = draw_faces(128, 1, seed=2)
    older = list_seen(split, faces)[["pixel_hash"]]
    assert find_seen(np.concatenate([faces, faces[:, :, ::-1]]), older).tolist() == [EXACT, NONE]


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """Give a project with a registered version."""
    root = tmp_path_factory.mktemp("registered")
    write_trained_project(root)
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / ".git").mkdir()  # so that no settings are written
    run_stages(root)
    return root


@pytest.fixture
def elsewhere(registered, tmp_path, monkeypatch):
    """Give a labelled set with 5 copies of what the version was trained on, two of them as JPEG."""
    monkeypatch.chdir(registered)
    folder = tmp_path / "elsewhere"
    write_folders(folder, {"anger": 40, "Happy": 40, "contempt": 7})
    samples = load_samples(registered / "artifacts" / "augment")
    split = pd.read_parquet(registered / "artifacts" / "split" / "split.parquet")
    for number, row in enumerate(np.flatnonzero(split["split"] == "train")[:5]):
        name = f"copy{number}.png" if number < 3 else f"copy{number}.jpg"
        cv2.imwrite(str(folder / "anger" / name), samples.images[row], [cv2.IMWRITE_JPEG_QUALITY, 95])
    (folder / "Happy" / "broken.png").write_bytes(b"no image")
    return folder


def run(*words):
    return CliRunner().invoke(evaluate, list(map(str, words)), catch_exceptions=False)


def test_a_version_is_scored_apart_from_copies_and_logged_beside_itself(registered, elsewhere):
    before = read_bytes(registered / "artifacts") | {"params": (registered / "params.yaml").read_bytes()}
    report = json.loads(run("--data", elsewhere, "--model", "1", "--json").stdout)
    data, scores = report["data"], report["scores"]
    assert data["images"] == 85
    assert data["copies"] == {"exact": 3, "near": 2}
    assert data["rejects"] == {"not an image": 1}
    assert {each["given"]: each["images"] for each in data["classes"]} == {"angry": 45, "happy": 40, "contempt": 7}
    assert {name: block["rows"] for name, block in scores.items()} == {"new": 80, "copies": 5, "all": 85}
    assert scores["new"]["accuracy"]["value"] == 1.0
    assert scores["new"]["classes"]["happy"]["rows"] == 40
    assert report["absent"].keys() <= {"neutral"}
    assert report["home"]["rows"] == 60
    assert report["looks"] == {"by_model": 1, "by_all": 1}
    assert data["own_test"] == {"exact": 0, "near": 0}
    assert report["own_test_looks"] is None
    assert read_bytes(registered / "artifacts") | {"params": (registered / "params.yaml").read_bytes()} == before
    version = describe_version(registered, "ferrule", "1")
    [tag] = [value for name, value in version.tags.items() if name.startswith("ferrule.evaluated/")]
    assert tag == "elsewhere: accuracy 100.0 % (95.4 to 100.0) on 80 images (new)"
    assert version.metrics["test_accuracy"] == report["home"]["accuracy"]["value"]  # the run of the model is another
    client = open_store(registered)
    experiment = open_experiment(client, registered, "evaluations").experiment_id
    [logged] = client.search_runs([experiment])
    assert logged.data.metrics["new_accuracy"] == 1.0
    assert json.loads(run("--data", elsewhere, "--model", "1", "--json").stdout)["looks"]["by_model"] == 2


def test_an_archive_an_exported_folder_and_files_for_who_wants_them(registered, elsewhere, tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in elsewhere.rglob("*.*"):
            archive.write(path, path.relative_to(elsewhere))
    out = tmp_path / "out"
    result = run(
        "--data", tmp_path / "set.zip", "--model", "artifacts/export", "--map", "contempt=neutral", "--out", out
    )
    assert "taken contempt as neutral (7)" in " ".join(result.stdout.split())
    report = json.loads((out / "evaluation.json").read_text())
    assert report["looks"] is None
    assert report["scores"]["new"]["rows"] == 87
    table = pd.read_csv(out / "predictions.csv")
    assert table["copy"].value_counts().to_dict() == {"none": 87, "exact": 3, "near": 2}
    assert {path.name for path in out.iterdir()} == {
        *("evaluation.json", "evaluation.md", "predictions.csv"),
        *("confusion_matrix.png", "reliability.png", "per_class.png"),
    }


def test_the_model_that_ships_answers_too_and_says_what_it_cannot_tell(elsewhere):
    report = json.loads(run("--data", elsewhere, "--model", "pretrained", "--json").stdout)
    assert report["data"]["copies"]["exact"] == 0
    assert report["scores"]["new"]["rows"] == 85
    assert report["looks"] is None
    assert report["data"]["own_test"] is None
    told = " ".join(run("--data", elsewhere, "--model", "pretrained").stdout.split())
    assert "PrivateTest of FER-2013 for the model that ships, must not be scored here again" in told


@pytest.fixture
def own(registered, tmp_path, monkeypatch):
    """Give 60 images: the version's own test images as they are, two of them with their contrast halved."""
    monkeypatch.chdir(registered)
    images = load_samples(registered / "artifacts" / "augment").images
    split = pd.read_parquet(registered / "artifacts" / "split" / "split.parquet")
    lines = []
    for number, (at, row) in enumerate(split[split["split"] == "test"].iterrows()):
        image = images[at] // 2 + 40 if number < 2 else images[at]
        lines.append(f"{row.label},{' '.join(map(str, image.ravel()))},PrivateTest")
    (tmp_path / "own.csv").write_text("\n".join(["emotion,pixels,Usage", *lines]) + "\n")
    return tmp_path / "own.csv"


def read_looks(root) -> float:
    version = describe_version(root, "ferrule", "1")
    return version.metrics[f"looks/{version.tags[TEST_TAG][:8]}"]


@pytest.mark.parametrize("model", ["1", "artifacts/export"])
def test_the_own_test_images_are_no_new_ones_and_the_look_at_them_is_counted(registered, own, model):
    before = read_looks(registered)
    report = json.loads(run("--data", own, "--model", model, "--json").stdout)
    assert report["data"]["own_test"] == {"exact": 58, "near": 2}
    assert {name: block["rows"] for name, block in report["scores"].items()} == {"own_test": 60, "all": 60}
    assert read_looks(registered) == before + 1 == report["own_test_looks"]["by_model"]
    assert "60 of the images are the model's own test images" in run("--data", own, "--model", model).stdout


def test_an_exported_folder_alone_is_known_by_its_bytes_where_there_is_a_store(registered, own, tmp_path, monkeypatch):
    alone = shutil.copytree(registered / "artifacts" / "export", tmp_path / "alone" / "export")
    before = read_looks(registered)
    report = json.loads(run("--data", own, "--model", alone, "--json").stdout)
    assert report["scores"]["own_test"]["rows"] == 60
    assert read_looks(registered) == before + 1
    (tmp_path / "empty").mkdir()
    shutil.copy(registered / "params.yaml", tmp_path / "empty")
    shutil.copy(registered / "dvc.yaml", tmp_path / "empty")
    monkeypatch.chdir(tmp_path / "empty")
    report = json.loads(run("--data", own, "--model", alone, "--json").stdout)
    assert report["data"]["own_test"] is None
    assert report["own_test_looks"] is None


def test_where_one_md5_of_them_is_left_they_are_found_whole_or_not_at_all(registered, tmp_path, monkeypatch):
    """As for the model that ships, which keeps no hashes of its test images if an older Ferrule exported it."""
    root = copy_project(registered, tmp_path / "project")
    images = load_samples(root / "artifacts" / "augment").images
    split = pd.read_parquet(root / "artifacts" / "split" / "split.parquet")
    for path in (root / "mlruns").rglob("evaluate/predictions.parquet"):
        path.unlink()
    shutil.rmtree(root / "artifacts")
    usages = {"val": "PublicTest", "test": "PrivateTest"}
    lines = [
        f"{row.label},{' '.join(map(str, images[at].ravel()))},{usages[row.split]}"
        for at, row in split[split["split"].isin(usages)].iterrows()
    ]
    (tmp_path / "own.csv").write_text("\n".join(["emotion,pixels,Usage", *lines]) + "\n")
    monkeypatch.chdir(root)
    before = read_looks(root)
    report = json.loads(run("--data", tmp_path / "own.csv", "--model", "1", "--json").stdout)
    assert report["data"]["own_test"] == {"exact": 60, "near": None}
    assert {name: block["rows"] for name, block in report["scores"].items()} == {
        "copies": 40,
        "own_test": 60,
        "all": 100,
    }
    assert read_looks(root) == before + 1
    (tmp_path / "part.csv").write_text("\n".join(["emotion,pixels,Usage", *lines[:-1]]) + "\n")
    told = run("--data", tmp_path / "part.csv", "--model", "1").stdout
    assert "own test images cannot be told" in told
    assert read_looks(root) == before + 1


def test_wrong_options_are_usage_errors(elsewhere):
    assert run("--data", elsewhere, "--model", "1", "--map", "contempt").exit_code == 2
    inside = run("--data", elsewhere, "--model", "1", "--out", elsewhere / "Happy" / "out")
    assert inside.exit_code == 2
    assert "outside the data" in inside.output
