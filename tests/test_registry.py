"""Versions in a real registry: what is served alone and over HTTP, aliases, idempotence, moved checkouts."""

import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from trained_project import CLASSES, write_network

from ferrule.calibration import apply_temperature
from ferrule.errors import RegistryError
from ferrule.promotion.evidence import measure, read_candidate, read_rescored, rescore
from ferrule.registry import packaging, versions
from ferrule.registry.aliases import CHALLENGER, CHAMPION, move_alias
from ferrule.registry.versions import (
    VALIDATED_TAG,
    describe_version,
    find_version,
    list_versions,
    load_version,
    register_version,
)
from ferrule.store import open_store, store_uri
from ferrule.tracking import BACKEND_TAG, TEST_TAG, digest_file, find_model_run, training_run

_OWN = ("KERAS", "MLFLOW", "PYTHON", "PYTEST")  # beginnings of variables that this process may have set
COLUMNS = ["label", "confidence", *(f"probability_{name}" for name in CLASSES)]


@pytest.fixture(autouse=True)
def _own_store(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def register(root, skill=1.0, temperature=2.0, **tags):
    network = root / f"model{skill}.keras"
    write_network(network, skill=skill)
    return register_version(
        root,
        "ferrule",
        network,
        model_md5=digest_file(network),
        classes=CLASSES,
        temperature=temperature,
        tags={VALIDATED_TAG: "true", **tags},
    )


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """Give a checkout with one version, which is the champion."""
    root = tmp_path_factory.mktemp("registered")
    move_alias(root, "ferrule", CHAMPION, register(root).version)
    return root


@pytest.fixture
def root(registered, tmp_path):
    return shutil.copytree(registered, tmp_path / "checkout")


@pytest.fixture
def faces():
    """Give one image of each class of trained_project."""
    return np.repeat(np.uint8([60, 120, 180]), 48 * 48).reshape(3, 48, 48)


def bare_environment(root):
    """Return the environment of a process that knows where the store is, and nothing of this checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
    return kept | {"MLFLOW_TRACKING_URI": store_uri(root), "MLFLOW_DISABLE_TELEMETRY": "true"}


def test_the_champion_predicts_in_a_process_without_ferrule(root, tmp_path):
    script = """
        import sys

        class Refuse:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {"ferrule", "flows", "pipelines", "prefect", "dvc", "great_expectations"}:
                    raise ImportError(f"{name} is not there")

        sys.meta_path.insert(0, Refuse())
        import mlflow
        import numpy as np
        model = mlflow.pyfunc.load_model("models:/ferrule@champion")
        faces = np.repeat(np.uint8([60, 120, 180]), 48 * 48).reshape(3, 48, 48)
        print(model.predict(faces).to_json(orient="columns"))
    """
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(script)],
        cwd=tmp_path, env=bare_environment(root), capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    table = pd.DataFrame(json.loads(done.stdout))
    assert list(table.columns) == COLUMNS
    assert table["label"].tolist() == list(CLASSES)
    np.testing.assert_allclose(table[COLUMNS[2:]].sum(axis=1), 1, atol=1e-5)


def test_what_is_logged_says_what_it_takes_gives_and_needs(root):
    model = load_version(root, "ferrule", CHAMPION)
    (tensor,) = model.metadata.signature.inputs.inputs
    assert (tensor.type, tensor.shape) == (np.uint8, (-1, 48, 48))
    assert model.metadata.signature.outputs.input_names() == COLUMNS
    folder = Path(model.metadata.artifact_path.removeprefix("file://"))
    needed = (folder / "requirements.txt").read_text().split()
    assert {line.partition("==")[0] for line in needed} == {"mlflow", "keras", "tensorflow", "numpy", "pandas"}
    assert f"numpy=={np.__version__}" in needed
    assert (folder / "input_example.json").is_file()
    assert "ferrule" not in (folder / "served.py").read_text().replace("Ferrule", "")


def test_the_served_table_has_a_row_an_image(root, faces):
    model = load_version(root, "ferrule")
    table = model.predict(faces)
    assert list(table.columns) == COLUMNS
    assert table["label"].tolist() == list(CLASSES)
    assert (table["confidence"] == table[COLUMNS[2:]].max(axis=1)).all()
    assert len(model.predict(faces[:0])) == 0
    many = model.predict(np.concatenate([faces] * 200))  # more than a batch
    assert many["label"].tolist() == list(CLASSES) * 200
    for wrong in (faces.astype(float), faces[:, :40], faces[0]):
        with pytest.raises(Exception, match="schema"):
            model.predict(wrong)


def test_the_same_bytes_are_one_version_and_other_bytes_another(root):
    first = describe_version(root, "ferrule", CHAMPION)
    again = register(root, extra="new")
    assert (again.version, again.aliases) == (first.version, (CHALLENGER, CHAMPION))
    assert again.tags["extra"] == "new"
    other = register(root, skill=0.5)
    assert int(other.version) == int(first.version) + 1
    assert other.aliases == (CHALLENGER,)
    assert describe_version(root, "ferrule", CHAMPION).version == first.version
    assert register(root).aliases == (CHALLENGER, CHAMPION)  # going back
    assert [info.version for info in list_versions(root, "ferrule")] == ["2", "1"]
    assert len(list((root / "mlruns" / "artifacts" / "models").iterdir())) == 2


def test_the_same_network_with_other_serving_code_is_another_version(root, tmp_path, monkeypatch):
    changed = tmp_path / "served.py"
    changed.write_text(packaging.SERVED.read_text() + "# changed\n")
    for module in (packaging, versions):
        monkeypatch.setattr(module, "SERVED", changed)
    assert register(root).version == "2"
    assert register(root).version == "2"


def test_what_is_served_is_calibrated_unless_one_asks_otherwise(root, faces):
    """The network of trained_project is a softmax, so that dividing its logits by 2 takes the root of odds."""
    model = load_version(root, "ferrule")
    (parameter,) = model.metadata.signature.params
    assert (parameter.name, parameter.default) == ("calibrated", True)
    served, plain = model.predict(faces), model.predict(faces, params={"calibrated": False})
    assert served["label"].tolist() == plain["label"].tolist() == list(CLASSES)
    shares = [table[COLUMNS[2:]].to_numpy(float) for table in (served, plain)]
    np.testing.assert_allclose(shares[0], apply_temperature(shares[1], 2.0), atol=1e-6)
    assert np.abs(shares[0] - shares[1]).max() > 0.05
    assert (served["confidence"] < plain["confidence"]).all()


def test_the_same_network_at_another_temperature_is_another_version(root, faces):
    before = load_version(root, "ferrule", "1").predict(faces)
    assert register(root, temperature=1.0).version == "2"
    assert register(root, temperature=2.0).version == "1"
    now = load_version(root, "ferrule", "2").predict(faces)
    assert (now["confidence"] > before["confidence"]).all()
    raw = load_version(root, "ferrule", "1").predict(faces, params={"calibrated": False})
    pd.testing.assert_frame_equal(now, raw, atol=1e-6)


def test_a_version_knows_its_run_its_classes_and_its_scores(root):
    info = describe_version(root, "ferrule", "1")
    assert info.run_id == find_model_run(root, info.model_md5)
    assert info.classes == CLASSES
    for name, value in (("test_accuracy", 0.5), ("test_accuracy_low", 0.4), ("test_accuracy_high", 0.6)):
        open_store(root).log_metric(info.run_id, name, value)
    described = describe_version(root, "ferrule", CHAMPION).as_dict()
    assert described["test"] == {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6}}
    json.dumps(described)


def test_a_version_whose_bytes_were_made_again_has_the_scores_of_the_newest_scored_run(root):
    info = describe_version(root, "ferrule", CHAMPION)
    with training_run(root, {}, {TEST_TAG: "of some images"}) as log:
        log.finish(info.model_md5, {"test_accuracy": 0.7})
    with training_run(root, {}, {}) as unscored:  # DVC evaluates no model of the same bytes again
        unscored.finish(info.model_md5)
    assert find_model_run(root, info.model_md5) == unscored.run_id
    assert describe_version(root, "ferrule", CHAMPION).metrics["test_accuracy"] == 0.7
    assert read_candidate(root, describe_version(root, "ferrule", CHAMPION)).accuracy == 0.7
    open_store(root).delete_run(unscored.run_id)
    open_store(root).delete_run(log.run_id)
    open_store(root).delete_run(info.run_id)
    assert describe_version(root, "ferrule", CHAMPION).run_id == info.run_id  # a deleted run is still known


@pytest.mark.parametrize("which", ["nobody", "99"])
@pytest.mark.parametrize("name", ["ferrule", "another"])
def test_what_is_not_registered_is_none_or_one_sentence(root, name, which):
    assert find_version(root, name, which) is None
    for ask in (describe_version, load_version):
        with pytest.raises(RegistryError, match=f"Expected {which} among the versions of '{name}'"):
            ask(root, name, which)


def test_a_moved_checkout_still_loads_its_champion(root, faces):
    moved = root.rename(root.with_name("moved elsewhere"))
    assert load_version(moved, "ferrule").predict(faces)["label"].tolist() == list(CLASSES)
    assert not root.exists()


def test_loading_leaves_the_global_store_as_it_was(root, monkeypatch, tmp_path):
    import mlflow

    before = mlflow.get_tracking_uri()
    load_version(root, "ferrule")
    assert mlflow.get_tracking_uri() == before
    assert "MLFLOW_TRACKING_URI" not in os.environ
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlruns/mlflow.db")
    load_version(tmp_path / "anywhere", "ferrule")
    assert os.environ["MLFLOW_TRACKING_URI"] == f"sqlite:///{root}/mlruns/mlflow.db"


def test_a_version_is_scored_on_other_images_by_what_is_served(root, faces):
    info = describe_version(root, "ferrule", CHAMPION)
    assert read_candidate(root, info).predictions is None
    test = pd.DataFrame({"split": "test", "pixel_hash": list("abc"), "label": CLASSES, "predicted": "happy"})
    assert read_rescored(root, info, test_md5="a" * 32) is None
    table = rescore(root, info, test, faces, test_md5="a" * 32)
    assert table["predicted"].tolist() == list(CLASSES)
    plain = load_version(root, "ferrule").predict(faces, params={"calibrated": False})  # as in evaluate's predictions
    np.testing.assert_array_equal(table.filter(like="probability_"), plain.filter(like="probability_"))
    with training_run(root, {}, {}) as again:
        again.finish(info.model_md5)  # what was kept is found with the older run too
    pd.testing.assert_frame_equal(read_rescored(root, info, test_md5="a" * 32), table)
    assert read_rescored(root, info, test_md5="b" * 32) is None
    assert open_store(root).get_run(info.run_id).data.metrics == {"looks/aaaaaaaa": 1}


def test_a_version_is_measured_by_what_is_served_and_one_that_does_not_load_has_no_speed(root):
    info = describe_version(root, "ferrule", CHAMPION)
    whole = measure(root, {"a": (info, read_candidate(root, info))})["a"]
    assert 10_000 < whole.size < 1_000_000
    assert 0 < whole.speed.batch < whole.speed.single
    next((root / "mlruns" / "artifacts" / "models").rglob("*.keras")).unlink()
    broken = measure(root, {"a": (info, read_candidate(root, info))})["a"]
    assert (broken.size, broken.speed) == (None, None)


def test_a_version_names_the_backend_it_was_trained_with_and_runs_on_the_one_in_use(root):
    network = root / "model0.7.keras"
    write_network(network, skill=0.7)
    with training_run(root, {}, {BACKEND_TAG: "jax"}) as log:
        log.finish(digest_file(network))
    with training_run(root, {}, {}) as cached:
        cached.finish(digest_file(network))
    version = register(root, skill=0.7).version
    model = load_version(root, "ferrule", version)
    folder = Path(model.metadata.artifact_path.removeprefix("file://"))
    flavors = yaml.safe_load((folder / "MLmodel").read_text())["flavors"]
    assert flavors["python_function"]["config"]["backend"] == "jax"
    needed = {line.partition("==")[0] for line in (folder / "requirements.txt").read_text().split()}
    assert needed == {"mlflow", "keras", "jax", "numpy", "pandas"}
    script = f"""
        from pathlib import Path
        import numpy as np
        from ferrule.registry.versions import load_version
        faces = np.repeat(np.uint8([60, 120, 180]), 48 * 48).reshape(3, 48, 48)
        print(*load_version(Path({str(root)!r}), "ferrule", "{version}").predict(faces)["label"])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=Path(versions.__file__).parents[2], env=bare_environment(root),
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout.split() == list(CLASSES)


@pytest.mark.slow
def test_mlflow_serves_it_over_http(root, faces):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["models", "serve", "-m", "models:/ferrule@champion", "--env-manager", "local", "--port", str(port)]
    environment = bare_environment(root) | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    log = root / "serve.log"
    with log.open("w") as stream:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command], env=environment, stdout=stream, stderr=stream, cwd=root,
            start_new_session=True,
        )  # fmt: skip
    try:
        answer = ask(f"http://127.0.0.1:{port}/invocations", {"inputs": faces.tolist()}, server, log)
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)
    assert [row["label"] for row in answer["predictions"]] == list(CLASSES)
    assert set(answer["predictions"][0]) == set(COLUMNS)


def ask(url, content, server, log):
    """Post JSON until the server is up; return its answer."""
    request = urllib.request.Request(url, json.dumps(content).encode(), {"Content-Type": "application/json"})
    deadline = time.monotonic() + 150
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.URLError as error:
            if isinstance(error, urllib.error.HTTPError):
                raise AssertionError(error.read()) from error
            if server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(log.read_text()[-2000:]) from error
            time.sleep(0.5)
