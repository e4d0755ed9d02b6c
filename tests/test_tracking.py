"""Runs against a real SQLite store: live metrics, resumed and killed trainings, looks, a moved checkout."""

import os
import shutil
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from ferrule.errors import RegistryError
from ferrule.store import experiment_id, open_store, store_uri
from ferrule.tracking import (
    FLOW_TAG,
    FLOW_VARIABLE,
    MODEL_TAG,
    TRAINING_TAG,
    count_look,
    digest_test_set,
    find_model_run,
    log_evaluation,
    log_metrics,
    log_table,
    model_runs,
    read_table,
    search_runs,
    training_run,
)

REPOSITORY = Path(__file__).parents[1]
CACHED, TRAINED, OTHER = "c" * 32, "d" * 32, "e" * 32  # MD5s of models; the store of `root` knows the first
TEST_A, TEST_B = "a" * 32, "b" * 32  # MD5s of test images


@pytest.fixture(autouse=True)
def _own_store(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", FLOW_VARIABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def new_store(tmp_path_factory):
    """Give a checkout whose store holds one run with a file, made by another process: ours would remember its paths."""
    root = tmp_path_factory.mktemp("new")
    done = run_script(f"""
        from pathlib import Path
        from ferrule.store import open_store
        from ferrule.tracking import find_model_run
        root = Path({str(root)!r})
        open_store(root).log_text(find_model_run(root, {CACHED!r}), "written before", "note.txt")
        from mlflow.telemetry.utils import is_telemetry_disabled
        assert is_telemetry_disabled()
    """)
    assert (done.stdout, done.stderr) == ("", "")  # neither migrations nor progress bars
    return root


@pytest.fixture
def root(tmp_path, new_store):
    """Give a copy of that checkout, with a store of its own."""
    return shutil.copytree(new_store, tmp_path / "checkout")


def run_script(script):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "PYTEST"))}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=REPOSITORY, env=environment, check=True, timeout=60, capture_output=True, text=True,
    )  # fmt: skip


def training_runs(root):
    return [run for run in search_runs(open_store(root), "", deleted_too=True) if TRAINING_TAG in run.data.tags]


def test_a_training_is_logged_live_and_found_by_the_bytes_of_its_model(root, monkeypatch):
    monkeypatch.setenv(FLOW_VARIABLE, "flow-7")
    client = open_store(root)
    with training_run(root, {"train.epochs": 2}, {"ferrule.data_md5": "d"}) as log:
        log(1, {"val_accuracy": 0.25})
        run = client.get_run(log.run_id)
        assert (run.info.status, run.data.metrics) == ("RUNNING", {"val_accuracy": 0.25})  # seen before it ends
        log(2, {"val_accuracy": 0.5})
        log.finish(TRAINED, {"train_seconds": 3.5})
    run = client.get_run(find_model_run(root, TRAINED))
    assert run.info.run_id == log.run_id
    assert run.info.status == "FINISHED"
    assert run.data.params == {"train.epochs": "2"}
    assert run.data.tags["ferrule.data_md5"] == "d"
    assert run.data.tags[FLOW_TAG] == "flow-7"
    assert [(m.step, m.value) for m in client.get_metric_history(log.run_id, "val_accuracy")] == [(1, 0.25), (2, 0.5)]
    assert run.data.metrics["train_seconds"] == 3.5


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError("lost"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(1), "KILLED"), (None, "FAILED")],
)
def test_a_training_that_makes_no_model_says_so(root, error, status):
    try:
        with training_run(root, {}, {}):
            if error is not None:
                raise error
    except type(error):
        pass
    (run,) = training_runs(root)
    assert run.info.status == status
    assert MODEL_TAG not in run.data.tags


@pytest.mark.parametrize(
    ("second", "statuses", "steps"),
    [({"lr": 1}, ["FINISHED"], [1, 2]), ({"lr": 2}, ["FINISHED", "KILLED"], [2])],
    ids=["the-same-goes-on", "another-marks-it-killed"],
)
def test_a_training_after_one_that_was_killed_with_9(root, second, statuses, steps):
    with pytest.raises(subprocess.CalledProcessError) as killed:
        run_script(f"""
            import os, signal
            from pathlib import Path
            from ferrule.tracking import training_run
            with training_run(Path({str(root)!r}), {{"lr": 1}}, {{}}) as log:
                log(1, {{"loss": 2.0}})
                os.kill(os.getpid(), signal.SIGKILL)
        """)
    assert killed.value.returncode == -9
    assert [run.info.status for run in training_runs(root)] == ["RUNNING"]

    with training_run(root, second, {}) as log:
        log(2, {"loss": 1.0})
        log.finish(TRAINED)
    assert [run.info.status for run in training_runs(root)] == statuses
    assert [m.step for m in open_store(root).get_metric_history(log.run_id, "loss")] == steps


def test_a_finished_training_is_not_taken_up_again(root):
    for _ in range(2):
        with training_run(root, {"lr": 1}, {}, fingerprint="same") as log:
            log.finish(TRAINED)
    assert [run.data.tags[TRAINING_TAG] for run in training_runs(root)] == ["same", "same"]
    assert find_model_run(root, TRAINED) == log.run_id  # the newest


def test_another_checkout_does_not_take_up_a_run_of_a_shared_store(root, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(root))
    mine, yours = tmp_path / "mine", tmp_path / "yours"
    with training_run(mine, {"lr": 1}, {}) as outer, training_run(yours, {"lr": 1}, {}) as inner:
        assert outer.run_id != inner.run_id
    assert not mine.exists()  # nothing is made where the store is elsewhere


def test_a_model_from_the_cache_gets_one_run_of_its_own(root):
    client = open_store(root)
    run_id = find_model_run(root, OTHER)
    assert find_model_run(root, OTHER) == run_id != find_model_run(root, CACHED)
    assert client.get_run(run_id).info.status == "FINISHED"


def test_every_look_is_counted_by_model_and_by_test_images(root):
    client = open_store(root)
    table = [(CACHED, TEST_A, 1, 1), (CACHED, TEST_A, 2, 2), (OTHER, TEST_A, 1, 3), (OTHER, TEST_B, 1, 1)]
    for model, images, by_model, by_all in table:
        looks = count_look(root, model, images)
        assert (looks.by_model, looks.by_all) == (by_model, by_all)
    client.delete_run(find_model_run(root, OTHER))  # a look cannot be taken back
    looks = count_look(root, CACHED, TEST_A)
    assert str(looks) == "look 3 at the test images by this model; 4 by all models on this data"


def test_looks_of_a_model_that_was_trained_twice_add_up(root):
    count_look(root, TRAINED, TEST_A)
    with training_run(root, {}, {}) as log:
        log.finish(TRAINED)
    assert count_look(root, TRAINED, TEST_A).by_model == 2


def test_an_evaluation_is_logged_once_and_again_where_a_file_is_lost(root, tmp_path):
    metrics = {"test": {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6}, "classes": {}}}
    table = pd.DataFrame({"pixel_hash": ["a", "b"]})
    folder = tmp_path / "evaluate"
    folder.mkdir()
    (folder / "metrics.json").write_text("{}")

    def log():
        log_evaluation(root, TRAINED, TEST_A, metrics, folder)
        run_id = find_model_run(root, TRAINED)
        history = open_store(root).get_metric_history(run_id, "test_accuracy")
        return len(history), read_table(root, run_id, "evaluate/seen.parquet")

    assert log() == (1, None)
    assert log() == (1, None)
    table.to_parquet(folder / "seen.parquet")
    for _ in range(2):
        times, seen = log()
        assert times == 2
        pd.testing.assert_frame_equal(seen, table)


def test_a_table_stays_with_the_run_of_its_model_and_leaves_no_copies(root, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    table = pd.DataFrame({"predicted": ["happy", "sad"]})
    log_table(root, TRAINED, "rescore/a", "predictions.parquet", table)
    (run,) = model_runs(open_store(root), TRAINED)
    pd.testing.assert_frame_equal(read_table(root, run.info.run_id, "rescore/a/predictions.parquet"), table)
    assert read_table(root, run.info.run_id, "rescore/b/predictions.parquet") is None
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_store_that_fails_is_not_a_store_without_the_file(root):
    log_table(root, TRAINED, "rescore/a", "predictions.parquet", pd.DataFrame({"predicted": ["happy"]}))
    (run,) = model_runs(open_store(root), TRAINED)
    assert read_table(root, "0" * 32, "rescore/a/predictions.parquet") is None  # no such run
    (stored,) = (root / "mlruns").rglob("predictions.parquet")
    stored.write_bytes(b"")
    with pytest.raises(RegistryError, match=r"rescore/a/predictions\.parquet .* it cannot be read"):
        read_table(root, run.info.run_id, "rescore/a/predictions.parquet")


def test_the_digest_of_a_test_set_knows_neither_order_nor_file_but_images_and_labels():
    table = pd.DataFrame({"sample_id": range(4), "split": ["test"] * 3 + ["val"], "pixel_hash": list("abcd")})
    table["label"] = ["happy", "sad", "happy", "fear"]
    digest = digest_test_set(table)
    assert digest_test_set(table.iloc[[2, 0, 1]].assign(sample_id=7)) == digest
    assert digest_test_set(table.assign(pixel_hash=list("abed"))) != digest
    assert digest_test_set(table.assign(label=["sad", "happy", "happy", "fear"])) != digest
    assert digest_test_set(table[1:]) != digest


def test_more_metrics_than_one_call_takes_all_arrive(root):
    client = open_store(root)
    run_id = find_model_run(root, CACHED)
    log_metrics(client, run_id, {f"m{i}": i for i in range(1001)})
    assert len(client.get_run(run_id).data.metrics) == 1001


def test_runs_beyond_one_page_are_found(root):
    client = open_store(root)
    for _ in range(3):
        client.create_run(experiment_id(client))
    assert len(search_runs(client, "", page_size=2)) == 4


@pytest.mark.parametrize("name", ["plain", "with space", "größe #1 100%"])
def test_a_moved_checkout_keeps_its_files(new_store, tmp_path, name):
    old = shutil.copytree(new_store, tmp_path / "old")
    new = tmp_path / name
    open_store(old)
    old.rename(new)
    client = open_store(new)
    run_id = find_model_run(new, CACHED)
    assert client.get_run(run_id).info.artifact_uri.startswith(new.as_uri())
    assert Path(client.download_artifacts(run_id, "note.txt")).read_text() == "written before"
    client.log_text(client.create_run(experiment_id(client)).info.run_id, "after", "note.txt")
    assert not old.exists()
    assert {path.name for path in (new / "mlruns").iterdir()} == {"mlflow.db", "artifacts"}
    assert len(list((new / "mlruns" / "artifacts").iterdir())) == 2


def test_a_store_with_files_elsewhere_is_left_alone(root):
    client = open_store(root)
    client.create_experiment("other", "s3://bucket/mlruns/artifacts")
    open_store(root.rename(root.with_name("moved")))
    other = open_store(root.with_name("moved")).get_experiment_by_name("other")
    assert other.artifact_location == "s3://bucket/mlruns/artifacts"


def test_an_experiment_deleted_in_the_ui_comes_back(root):
    client = open_store(root)
    client.delete_experiment(experiment_id(client))
    with training_run(root, {}, {}) as log:
        log.finish(TRAINED)
    assert client.get_experiment(experiment_id(client)).lifecycle_stage == "active"


def test_stages_that_open_a_new_store_at_once_share_it(tmp_path):
    with ThreadPoolExecutor(4) as executor:
        clients = list(executor.map(open_store, [tmp_path] * 4))
    assert len({experiment_id(client) for client in clients}) == 1


def test_the_library_imports_no_mlflow_by_itself():
    run_script("import sys, ferrule.store, ferrule.tracking; assert 'mlflow' not in sys.modules")


def test_the_store_may_be_elsewhere(tmp_path, monkeypatch):
    assert store_uri(tmp_path) == f"sqlite:///{tmp_path.resolve()}/mlruns/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert store_uri(tmp_path) == "http://tracking:5000"
