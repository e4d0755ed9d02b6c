"""The model that ships: written from a real training, checked as it is read, registered, promoted; and the shipped."""

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from conftest import REPOSITORY
from tiny_training import train_tiny
from trained_project import CLASSES, run_stages, write_network, write_trained_project

import ferrule.pretrained
from ferrule.emotions import EMOTIONS
from ferrule.errors import DataError, RegistryError, WorkflowError
from ferrule.portable.bundle import read_bundle, unpack_model
from ferrule.portable.model import PortableModel, open_pretrained
from ferrule.pretrained import CARD, FILES, FOLDER, MAX_BYTES, SEEN, WEIGHTS, load_pretrained
from ferrule.quality import hash_pixels
from ferrule.registry.bundles import fetch_bundle
from ferrule.registry.versions import (
    CHALLENGER,
    CHAMPION,
    describe_version,
    find_version,
    list_versions,
    load_version,
    move_alias,
    register_version,
)
from ferrule.samples import Samples, load_samples, save_samples
from ferrule.store import open_store
from ferrule.tracking import digest_file
from flows import cli
from flows.pretrained import PLACE, export_pretrained, import_pretrained
from flows.project import run_dvc
from pipelines.params import load_params

DVC_YAML = """
stages:
  train: {cmd: "true", params: [seed, train], outs: [artifacts/train]}
  evaluate: {cmd: "true", deps: [artifacts/train, artifacts/validate], outs: [artifacts/evaluate]}
  card: {cmd: "true", deps: [artifacts/evaluate], outs: [artifacts/card]}
"""


@pytest.fixture(autouse=True)
def _own_store(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> Path:
    """Give a project under git and DVC after evaluate, with a network that a real training made."""
    root = tmp_path_factory.mktemp("evaluated")
    write_trained_project(root, network=False)
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["train"]["network"] = "small"
    params["export"] |= {
        "int8": True,
        "calibration_images": 16,
        "max_int8_loss": 0.1,
    }  # the model has seen but 98 images
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    draw_bands(root / "artifacts" / "augment")
    history = train_tiny(root / "artifacts" / "train").history
    history.to_csv(root / "artifacts" / "train" / "history.csv", index=False)
    run_stages(root, "evaluate", "export", "card")
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text((REPOSITORY / ".dvc" / "config").read_text() + "    no_scm = true\n")
    (root / "dvc.yaml").write_text(DVC_YAML)
    (root / "dvc.lock").unlink()
    accept_artifacts(root)
    (root / "code.py").write_text("")
    git(root, "init", "-q")
    git(root, "add", "params.yaml", "dvc.yaml", "code.py")
    git(root, "commit", "-qm", "first")
    return root


@pytest.fixture(scope="module")
def exported(evaluated, tmp_path_factory) -> Path:
    """Give that project after `ferrule registry export-pretrained`."""
    root = shutil.copytree(evaluated, tmp_path_factory.mktemp("exported") / "checkout")
    with contextlib.chdir(root):
        result = CliRunner().invoke(cli.registry, ["export-pretrained"], catch_exceptions=False)
    assert result.exit_code == 0
    (root / "printed.txt").write_text(result.output)
    return root


@pytest.fixture
def root(evaluated, tmp_path):
    return shutil.copytree(evaluated, tmp_path / "checkout")


@pytest.fixture
def folder(exported, tmp_path):
    """Give a copy of the files of a model."""
    return shutil.copytree(exported / PLACE, tmp_path / "pretrained")


@pytest.fixture
def fresh(evaluated, tmp_path):
    """Give a project in which nothing was run."""
    (tmp_path / "fresh").mkdir()
    shutil.copy(evaluated / "params.yaml", tmp_path / "fresh")
    return tmp_path / "fresh"


def draw_bands(augment):
    """Draw images like those of tiny_training: the band tells the class, and some labels are wrong."""
    samples, rng = load_samples(augment), np.random.default_rng(1)
    told = samples.table["label"].map(CLASSES.index, na_action="ignore").fillna(0).to_numpy(int)
    ids = np.where(rng.random(len(told)) < 0.2, rng.integers(0, 3, len(told)), told)
    images = rng.integers(0, 120, samples.images.shape, dtype=np.uint8)
    for image, number in zip(images, ids, strict=True):
        image[16 * number : 16 * number + 16] += 60
    save_samples(Samples(images, samples.table), augment)


def accept_artifacts(root):
    """Let DVC take the artifacts for what the stages made."""
    run_dvc(root, "commit", "--force", "train", "evaluate", "card")


def git(root, *command):
    options = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *options, *command], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def look_counts(root):
    """Return the look counts of all runs, sorted."""
    runs = open_store(root).search_runs(["1"])
    return sorted(value for run in runs for name, value in run.data.metrics.items() if name.startswith("looks/"))


def test_what_is_written_builds_the_very_network_that_was_scored(exported):
    from ferrule.inference import predict_probabilities

    model, portable = load_pretrained(exported / PLACE), PortableModel.open(exported / PLACE)
    images, test = read_test(exported)
    told, own = portable.session.ask(images), predict_probabilities(model.build(), images)
    np.testing.assert_allclose(told, own, atol=1e-5)
    found = np.array(CLASSES)[told.argmax(axis=1)]
    accuracy = model.card.scores["test"]["accuracy"]["value"]
    assert (found == test["label"].to_numpy()).mean() == pytest.approx(accuracy)
    assert accuracy > 0.7
    seen = pd.read_parquet(exported / "artifacts" / "evaluate" / "seen.parquet")
    pd.testing.assert_frame_equal(model.read_seen(), seen)


def read_test(root):
    """Return the test images of the project, and evaluate's table of them."""
    table = pd.read_parquet(root / "artifacts" / "evaluate" / "predictions.parquet")
    test = table[table["split"] == "test"]
    return load_samples(root / "artifacts" / "augment").images[test["sample_id"].to_numpy()], test


def test_the_card_tells_where_it_comes_from_and_what_it_is_worth(exported):
    model = load_pretrained(exported / PLACE)
    card, params = model.card, load_params(exported)
    assert model.classes == CLASSES
    assert (card.network, card.seed, card.recipe, card.twins) == ("small", 2013, params.recipe, "drop")
    assert card.train["dropout"] == params.train.dropout
    assert card.lineage["ferrule.git_commit"] == git(exported, "rev-parse", "HEAD")
    assert card.lineage["ferrule.git_dirty"] == "false"
    assert card.lineage["ferrule.validated"] == "true"
    assert card.lineage["ferrule.data_md5"] == "0123456789abcdef0123456789abcdef.dir"
    assert len(card.lineage["ferrule.dvc_lock"]) == 64
    assert card.looks == {"by_model": 1, "by_all": 2}  # the second by the float32 network, in evaluate
    assert look_counts(exported) == [1, 1]
    assert card.versions.keys() == {"ferrule", "python", "keras", "tensorflow", "numpy"}
    assert 0.05 < model.temperature != 1 < 20
    assert card.calibrated["val"]["log_loss"]["value"] < card.scores["val"]["log_loss"]["value"]
    assert card.calibrated["val_tta"]["log_loss"]["value"] < card.scores["val_tta"]["log_loss"]["value"]
    printed = (exported / "printed.txt").read_text()
    assert model.describe() in printed
    assert f"{100 * card.scores['test']['accuracy']['value']:.1f} %" in printed


def test_the_bundle_says_what_the_card_says(exported):
    card, facts = load_pretrained(exported / PLACE).card, read_bundle(exported / PLACE)
    assert (facts.classes, facts.temperature) == (card.classes, card.temperature)
    for name, block in facts.scores.items():
        assert block["accuracy"] == card.scores[name]["accuracy"]
        assert block["ece"] == card.calibrated[name]["ece"]
    assert facts.scores.keys() == {"test", "test_leak_free", "val"}
    assert facts.recalls["happy"] == card.scores["test"]["classes"]["happy"]["recall"]
    assert facts.data_md5 == card.lineage["ferrule.data_md5"]
    assert facts.parity["float32"]["passed"]
    assert facts.parity["int8"]["passed"]
    assert f"temperature {card.temperature:.3f}" in (exported / PLACE / "model_card.md").read_text()


def test_weights_take_16_bits_and_nothing_is_a_pickle(exported):
    assert contents(exported / PLACE).keys() == {CARD, *FILES}
    graph = onnx.load_from_string(unpack_model(exported / PLACE / WEIGHTS)).graph
    large = [tensor for tensor in graph.initializer if np.prod(tensor.dims) > 1000]
    assert {tensor.data_type for tensor in large} == {onnx.TensorProto.INT16}
    assert (exported / PLACE / SEEN).read_bytes()[:4] == b"PAR1"


def test_the_same_run_gives_the_same_files(exported, tmp_path):
    root = shutil.copytree(exported, tmp_path / "again")
    before = contents(root / PLACE)
    assert export_pretrained(root).card.looks == {"by_model": 2, "by_all": 3}
    after = contents(root / PLACE)
    assert [name for name in before if before[name] != after[name]] == [CARD]  # whose looks are one more


def test_the_card_is_read_without_keras(folder):
    code = f"""
import sys
from pathlib import Path
from ferrule.pretrained import load_pretrained
print(load_pretrained(Path({str(folder)!r})).describe())
sys.exit(bool({{"keras", "tensorflow", "scipy", "mlflow", "pandas", "onnx"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "small network, 3 classes" in done.stdout


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_changed_file_is_one_sentence(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(
        DataError, match=rf"{name} with the SHA-256.*; got another; install Ferrule again.*git checkout"
    ):
        load_pretrained(folder)
    (folder / name).unlink()
    with pytest.raises(DataError, match=rf"Expected {name} .*missing; install Ferrule again"):
        load_pretrained(folder)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"temperature": ', '"temperature": 1', "was altered"),
        ('"recipe": ', '"cook": ', "was altered"),
        ('"format": 2', '"format": 1', "Expected format 2"),
        ("{", "", "is damaged"),
        ('"checksum"', '"sum"', "is damaged"),
    ],
)
def test_an_altered_card_is_one_sentence(folder, old, new, words):
    card = folder / CARD
    card.write_text(card.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=words):
        load_pretrained(folder)


def test_where_none_ships_it_says_how_to_make_one(tmp_path):
    with pytest.raises(DataError, match=r"Expected a pretrained model.*ferrule registry export-pretrained"):
        load_pretrained(tmp_path)


def test_more_than_may_ship_is_refused_and_what_was_there_stays(exported, tmp_path, monkeypatch):
    root = shutil.copytree(exported, tmp_path / "large")
    before = contents(root / PLACE)
    monkeypatch.setattr(ferrule.pretrained, "MAX_BYTES", 1_000_000)
    with pytest.raises(DataError, match=r"at most 0\.9 MB to ship; .* take \d\.\d MB"):
        export_pretrained(root)
    assert contents(root / PLACE) == before
    assert look_counts(root) == [1, 1]


def test_changes_that_no_commit_holds_are_refused_unless_allowed(root):
    (root / "code.py").write_text("changed")
    with pytest.raises(WorkflowError, match=r"without changes.*--allow-dirty"):
        export_pretrained(root)
    assert not (root / PLACE).exists()
    assert export_pretrained(root, allow_dirty=True).card.lineage["ferrule.git_dirty"] == "true"


def without_git(root):
    shutil.rmtree(root / ".git")


def not_validated(root):
    (root / "artifacts" / "validate" / "result.json").write_text('{"success": false}')
    accept_artifacts(root)


def another_network(root):
    write_network(root / "artifacts" / "train" / "model.keras")


def other_settings(root):
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("seed: 2013", "seed: 2014"))


def no_single_network(root):
    another_network(root)
    accept_artifacts(root)


def other_predictions(root):
    path = root / "artifacts" / "evaluate" / "predictions.parquet"
    table = pd.read_parquet(path)
    table.loc[0, "predicted_tta"] = "another"
    table.to_parquet(path)
    accept_artifacts(root)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without_git, "--allow-dirty"),
        (not_validated, "passed validation"),
        (another_network, "evaluate is (changed|behind); run `ferrule run`"),
        (other_settings, "evaluate is (changed|behind); run `ferrule run`"),
        (no_single_network, "Expected one small network in .*; it holds reader"),
        (other_predictions, r"of 99\.9% of the held-out images.*they do of 99\.00%"),
    ],
)
def test_a_run_that_is_not_one_to_ship_is_refused_without_a_look(root, change, words):
    change(root)
    with pytest.raises(WorkflowError, match=words):
        export_pretrained(root)
    assert not (root / PLACE).exists() or not contents(root / PLACE)
    assert look_counts(root) == [1]


def test_a_project_where_nothing_was_run_imports_it_once(fresh, folder):
    first = import_pretrained(fresh, folder)
    again = import_pretrained(fresh, folder)
    assert (first.version, again.version, len(list_versions(fresh, "ferrule"))) == ("1", "1", 1)
    card = load_pretrained(folder).card
    assert card.lineage.items() <= first.tags.items()
    assert first.tags["ferrule.pretrained"] == "true"
    assert first.aliases == (CHALLENGER,)
    assert again.metrics["test_accuracy"] == card.scores["test"]["accuracy"]["value"]
    assert look_counts(fresh) == [1]  # the one that the card tells of
    run = open_store(fresh).get_run(first.run_id).data
    assert (run.params["seed"], run.params["train.network"]) == ("2013", "small")


def test_the_imported_version_serves_what_the_card_scored(fresh, folder, exported, tmp_path, monkeypatch):
    import_pretrained(fresh, folder)
    images, test = read_test(exported)
    served = load_version(fresh, "ferrule", CHALLENGER).predict(images)
    accuracy = load_pretrained(folder).card.scores["test"]["accuracy"]["value"]
    assert (served["label"].to_numpy() == test["label"].to_numpy()).mean() == pytest.approx(accuracy)
    monkeypatch.setenv("FERRULE_CACHE", str(tmp_path / "cache"))
    bundle, name, version = fetch_bundle(fresh, None, CHALLENGER)
    assert (name, version) == ("ferrule", "1")
    told = PortableModel.open(bundle).probabilities(images)
    np.testing.assert_allclose(told.max(axis=1), served["confidence"], atol=1e-5)
    assert not (fresh / "artifacts").exists()


def test_the_project_that_made_it_knows_it_by_the_same_run(exported, tmp_path):
    root = shutil.copytree(exported, tmp_path / "made")
    import_pretrained(root, root / PLACE)
    assert look_counts(root) == [1, 1]


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.slow
def test_the_gate_judges_an_imported_model_like_any_other(fresh, folder):
    from flows.promotion import promote_challenger

    import_pretrained(fresh, folder)
    promoted = promote_challenger(fresh)
    assert promoted.outcome == "promoted", promoted.sentence
    assert find_version(fresh, "ferrule", CHAMPION).version == "1"
    import_pretrained(fresh, folder)
    assert promote_challenger(fresh).outcome == "unchanged"

    network = fresh / "other.keras"
    write_network(network)
    other = register_version(
        fresh, "ferrule", network, model_md5=digest_file(network), classes=CLASSES, temperature=1.0, tags={}
    )
    move_alias(fresh, "ferrule", CHAMPION, other.version)
    import_pretrained(fresh, folder)
    refused = promote_challenger(fresh)
    assert refused.outcome == "refused"
    assert "the model that ships comes without" in refused.sentence


def test_a_project_of_other_classes_does_not_import_it(fresh, folder):
    params = yaml.safe_load((fresh / "params.yaml").read_text())
    params["ingest"]["classes"] = ["angry", "happy"]
    (fresh / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(RegistryError, match=r"Expected a model of the classes.*angry, happy; the pretrained one knows"):
        import_pretrained(fresh, folder)
    with pytest.raises(RegistryError):
        describe_version(fresh, "ferrule", CHALLENGER)


@pytest.fixture(scope="module")
def shipped():
    """Give the model in ferrule/pretrained/, if there is one."""
    if not (FOLDER / CARD).is_file():
        pytest.skip(f"no model ships yet: {FOLDER.name}/{CARD} is not there")
    return load_pretrained()


def test_what_ships_is_small_and_whole(shipped):
    others = {path.name for path in FOLDER.iterdir()} - {CARD, *FILES}
    assert others <= {"__init__.py", "__pycache__"}
    assert shipped.size <= MAX_BYTES
    assert shipped.classes == EMOTIONS
    assert shipped.card.lineage["ferrule.validated"] == "true"
    assert shipped.build().output_shape == (None, 7)
    assert open_pretrained("int8").probabilities(np.zeros((2, 48, 48), np.uint8)).shape == (2, 7)


@pytest.mark.real_data
def test_what_ships_reaches_the_accuracy_of_its_card_on_public_test(shipped, fer2013):
    table = pd.read_parquet(fer2013 / "fer2013.parquet", columns=["usage", "emotion", "png"])
    table = table[table["usage"] == "PublicTest"]
    images = np.stack([decode(png) for png in table["png"]])
    val = np.isin(
        hash_pixels(images), shipped.read_seen()["pixel_hash"]
    )  # the others are blank or twins of test images
    scores = shipped.card.scores["val"]
    assert val.sum() == scores["rows"]
    labels, facts = table["emotion"][val].to_numpy(), read_bundle(FOLDER)
    for precision in facts.parity:
        told = open_pretrained(precision).probabilities(images[val])
        allowed = 0.001 if precision == "float32" else 0.01
        assert (told.argmax(axis=1) == labels).mean() == pytest.approx(scores["accuracy"]["value"], abs=allowed)


def decode(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
