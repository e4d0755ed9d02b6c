"""The monitoring flow on real stores: quiet, drift, announced once, labels, and nothing to look at."""

import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import yaml
from conftest import REPOSITORY
from monitored_project import VAL_ROWS, draw_images, write_labels, write_monitored_project, write_scored
from trained_project import write_network

from ferrule.errors import RegistryError
from ferrule.monitoring.archive import log_reference, read_reference
from ferrule.registry.aliases import CHAMPION, move_alias
from ferrule.registry.versions import register_version
from ferrule.scoring.labels import add_labels
from ferrule.scoring.scored import read_scored
from ferrule.store import open_store
from ferrule.tracking import digest_file
from flows.monitoring import FOLDER, LATEST, monitor_champion
from flows.scoring import score_inbox
from pipelines.params import load_params

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("prepared")
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    write_monitored_project(root)
    return root


@pytest.fixture
def root(prepared, tmp_path, monkeypatch):
    """Give a copy of a project whose version 1 is the champion, with a budget that tests can count on."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = shutil.copytree(prepared, tmp_path / "project")
    set_monitoring(root, period_days=36500, false_alarm_rate=0.9)  # the period began in 1970: about half is there
    return root


def set_monitoring(root, **values):
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["monitoring"] |= values
    (root / "params.yaml").write_text(yaml.safe_dump(params))


def reports(root):
    return sorted(path.name for path in (root / FOLDER).glob("*.html"))


def metrics_of(root):
    client = open_store(root)
    experiment = client.get_experiment_by_name("monitoring").experiment_id
    (run,) = client.search_runs([experiment])
    return client, run


def test_the_reference_of_the_champion_comes_from_the_store(root):
    shutil.rmtree(root / "artifacts" / "evaluate")  # whatever was trained last
    table = read_reference(root, digest_file(root / "artifacts" / "train" / "model.keras"))
    assert len(table) == VAL_ROWS
    assert set(table) >= {"label", "predicted", "confidence", "brightness", "probability_happy", "embedding"}


def test_images_like_the_reference_are_quiet_and_are_looked_at_once(root):
    write_scored(root, draw_images(300, 5))
    look = monitor_champion(root)
    assert not look.drifted
    assert "No drift in 6 tests" in look.sentence
    assert reports(root) == [look.report.name, LATEST]
    assert "<h1>No drift in 6 tests</h1>" in (root / FOLDER / LATEST).read_text()
    client, run = metrics_of(root)
    assert run.data.metrics["images"] == 300
    assert run.data.metrics["drift"] == run.data.metrics["announced"] == 0
    (effect,) = client.get_metric_history(run.info.run_id, "effect_brightness")
    assert effect.step == int(look.check.moment.timestamp())
    again = monitor_champion(root)
    assert again.check is None
    assert "Nothing new was scored or labelled since the last look" in again.sentence
    assert len(reports(root)) == 2


def test_it_reads_what_the_scoring_flow_and_the_labels_write(root):
    rows = ["pixels", *(" ".join(map(str, image.ravel())) for image in draw_images(150, 4))]
    (root / "scoring" / "inbox").mkdir(parents=True)
    (root / "scoring" / "inbox" / "new.csv").write_text("\n".join(rows) + "\n")
    score_inbox(root)
    scored = read_scored(root)
    told = scored[["pixel_hash"]].assign(label=scored["predicted"])
    told.to_csv(root / "labels.csv", index=False)
    add_labels(root, root / "labels.csv")
    check = monitor_champion(root).check
    assert (check.images, check.performance.labelled) == (150, 150)
    assert check.performance.accuracy.value == 1
    assert len(check.results) == 8


def test_drift_is_announced_once_and_then_only_reported(root):
    write_scored(root, (draw_images(300, 6) * 0.6).astype(np.uint8))
    first = monitor_champion(root)
    assert first.drifted
    assert first.announced
    assert {result.name for result in first.check.drifted} >= {"brightness", "classes", "contrast"}
    assert find_events(first.check.moment) == [{"version": "1", "images": 300}]
    write_scored(root, (draw_images(300, 7) * 0.6).astype(np.uint8))
    second = monitor_champion(root)
    assert second.drifted
    assert not second.announced
    assert "Not announced: drift of " in second.sentence
    page = (root / FOLDER / LATEST).read_text()
    assert "Not announced: drift of " in page
    assert "grey levels (darker)" in page
    assert "<h1>Drift in" in page
    assert "new.csv (600)" in page
    assert "no labels yet: `ferrule labels add`" in page
    assert len(find_events(first.check.moment, patience=2)) == 1
    quiet = monitor_champion(root)
    assert "That look found drift" in quiet.sentence
    set_monitoring(root, cool_down_days=0)
    write_scored(root, (draw_images(300, 8) * 0.6).astype(np.uint8))
    assert monitor_champion(root).announced


def test_an_announcement_that_failed_is_made_up_for_at_the_next_look(root, monkeypatch):
    write_scored(root, (draw_images(300, 6) * 0.6).astype(np.uint8))
    with monkeypatch.context() as broken:
        broken.setattr("flows.monitoring.emit_event", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            monitor_champion(root)
    write_scored(root, (draw_images(300, 7) * 0.6).astype(np.uint8))
    assert monitor_champion(root).announced


def find_events(since, patience=20):
    """Return what Prefect's server knows of drift since a time, once there is something or patience is over."""
    from prefect.client.orchestration import get_client

    query = {"filter": {"event": {"name": ["ferrule.drift"]}, "occurred": {"since": since.isoformat()}}, "limit": 9}
    deadline = time.monotonic() + patience
    with get_client(sync_client=True) as client:
        while True:
            events = client._client.post("/events/filter", json=query).json()["events"]
            if events or time.monotonic() > deadline:
                break
            time.sleep(0.3)
    assert all(event["resource"]["prefect.resource.id"] == "ferrule.model.ferrule" for event in events)
    return [{name: event["payload"][name] for name in ("version", "images")} for event in events]


def test_a_collapse_of_accuracy_is_announced_though_drift_was_announced_before(root):
    rows = write_scored(root, (draw_images(300, 6) * 0.6).astype(np.uint8))
    assert monitor_champion(root).announced
    write_labels(root, rows.assign(label=np.where(rows["predicted"] == "angry", "happy", "angry"))[:200])
    look = monitor_champion(root)
    assert look.announced
    assert look.sentence.endswith("Announced.")
    assert "Images were not compared: none were scored since" in (root / FOLDER / LATEST).read_text()
    write_labels(root, rows.assign(label=np.where(rows["predicted"] == "angry", "happy", "angry"))[200:])
    assert "Not announced: drift of accuracy, calibration was announced on" in monitor_champion(root).sentence


def test_labels_that_come_later_show_what_the_images_do_not(root):
    rows = write_scored(root, draw_images(300, 9), datetime.now(UTC) - timedelta(days=2))
    assert not monitor_champion(root).drifted
    write_labels(root, rows.assign(label=np.where(rows["predicted"] == "angry", "happy", "angry"))[:200])
    look = monitor_champion(root)
    assert {result.name for result in look.check.results} == {"accuracy", "calibration"}
    assert "accuracy" in {result.name for result in look.check.drifted}
    _, run = metrics_of(root)
    assert run.data.metrics["accuracy"] == look.check.performance.accuracy.value == 0
    page = (root / FOLDER / LATEST).read_text()
    assert "Where labels arrived" in page
    assert "What was seen" not in page


@pytest.mark.parametrize(
    ("images", "words"),
    [(0, "Nothing was scored by version 1 in the last 30 days"), (40, "Waiting for more: 40 images")],
)
def test_without_enough_images_it_says_so(images, words, root):
    if images:
        write_scored(root, draw_images(images, 3))
    look = monitor_champion(root)
    assert words in look.sentence
    assert (look.check, look.report) == (None, None)


def test_without_a_champion_it_says_so(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    assert "no champion" in monitor_champion(tmp_path).sentence


def test_a_champion_without_a_reference_says_what_to_do(root):
    network = root / "artifacts" / "train" / "model.keras"
    write_network(network, skill=0.5)
    classes = load_params(root).ingest.classes
    register_version(
        root, "ferrule", network, model_md5=digest_file(network), classes=classes, temperature=1.0, tags={}
    )
    move_alias(root, "ferrule", CHAMPION, "2")
    assert "has no reference to compare with" in monitor_champion(root).sentence


def test_a_new_champion_has_what_the_last_one_left_of_the_budget(root):
    write_scored(root, draw_images(300, 5))
    first = monitor_champion(root).check
    classes, network = load_params(root).ingest.classes, root / "artifacts" / "train" / "model.keras"
    write_network(network, skill=0.5)
    model_md5 = digest_file(network)
    register_version(root, "ferrule", network, model_md5=model_md5, classes=classes, temperature=1.0, tags={})
    log_reference(root, model_md5, root / "artifacts" / "reference")
    move_alias(root, "ferrule", CHAMPION, "2")
    write_scored(root, draw_images(300, 6), model_md5=model_md5)
    second = monitor_champion(root).check
    seconds = (second.moment - first.moment).total_seconds()
    assert second.alpha == pytest.approx(0.9 * seconds / (36500 * 86400))


def test_a_store_out_of_reach_is_an_error_and_not_a_champion_without_a_reference(root):
    (stored,) = (root / "mlruns" / "artifacts").glob("*/artifacts/reference/reference.parquet")
    stored.write_bytes(b"")
    with pytest.raises(RegistryError, match="it cannot be read"):
        monitor_champion(root)


def test_the_page_needs_nothing_from_elsewhere(root):
    write_scored(root, draw_images(300, 5))
    monitor_champion(root)
    page = (root / FOLDER / LATEST).read_text()
    assert "default-src 'none'" in page
    assert not any(word in page for word in ("http://", "https://", "<script", "src=", "@import"))
    assert page.count("<svg") == 5 + 6
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


@pytest.mark.slow
def test_the_command_tells_by_its_exit_status(root):
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / ".git").mkdir()

    def monitor():
        environment = {**os.environ, "PREFECT_HOME": str(root / ".prefect"), "NO_COLOR": "1", "COLUMNS": "200"}
        environment.pop("PREFECT_API_URL", None)
        command = [sys.executable, "-c", "from ferrule.cli import main; main()", "monitor"]
        return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=240)

    nothing = monitor()
    assert (nothing.returncode, "Nothing was scored" in nothing.stdout) == (0, True), nothing.stderr
    write_scored(root, (draw_images(300, 6) * 0.5).astype(np.uint8))
    drift = monitor()
    assert drift.returncode == 3, drift.stderr
    assert "Drift in" in drift.stdout
    assert "Look at: monitoring/" in drift.stdout
    again = monitor()
    assert (again.returncode, "That look found drift" in again.stdout) == (0, True), again.stderr
    (root / "params.yaml").write_text("{}")
    assert monitor().returncode == 1
