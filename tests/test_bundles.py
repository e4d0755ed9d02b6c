"""Bundles in a real registry: logged once, found by number or alias, downloaded whole, as good as what is served."""

import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from test_registry import ask, bare_environment
from trained_project import CLASSES, copy_project, run_stages, write_network, write_trained_project

from ferrule.errors import RegistryError
from ferrule.portable.model import PortableModel
from ferrule.registry.aliases import CHALLENGER, CHAMPION, move_alias
from ferrule.registry.bundles import BUNDLE_TAG, EXPORT_TAG, current_version, fetch_bundle, log_bundle
from ferrule.registry.versions import describe_version, load_version, register_version
from ferrule.store import open_store
from ferrule.tracking import digest_file


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """Give a project with one version, which is the champion, and its bundle."""
    root = tmp_path_factory.mktemp("registered")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_trained_project(root, votes=False)
        run_stages(root)
        move_alias(root, "ferrule", CHAMPION, "1")
    return root


@pytest.fixture
def root(registered, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("FERRULE_CACHE", str(tmp_path / "cache"))
    return copy_project(registered, tmp_path / "checkout")


@pytest.fixture
def faces():
    """Give 70 images, most of them hard to tell: noise around the grey levels of trained_project's classes."""
    rng = np.random.default_rng(3)
    levels = rng.uniform(60, 180, (70, 1, 1))
    return (levels + rng.normal(0, 30, (70, 48, 48))).clip(0, 255).astype(np.uint8)


def stored_bundles(root):
    return sorted((root / "mlruns" / "artifacts").glob("*/artifacts/bundle/*"))


def read_answers(table):
    return table["label"].tolist(), table[[f"probability_{name}" for name in CLASSES]].to_numpy(float)


def test_a_bundle_is_fetched_by_number_and_alias_with_the_card_of_its_model(root):
    place, name, version = fetch_bundle(root, None, CHAMPION)
    assert (name, version) == ("ferrule", "1")
    assert place.is_relative_to(os.environ["FERRULE_CACHE"])
    assert {"bundle.json", "model_card.md", "model_card.html"} < {path.name for path in place.iterdir()}
    assert fetch_bundle(root, "ferrule", "1")[0] == place
    assert PortableModel.open(place).classes == CLASSES
    for made in ("export", "card"):
        for path in (root / "artifacts" / made).iterdir():
            assert (place / path.name).read_bytes() == path.read_bytes()


def test_what_is_served_and_what_is_exported_give_the_same_answers(root, faces):
    """`mlflow models serve` runs the first, `ferrule serve` the second."""
    labels, served = read_answers(load_version(root, "ferrule").predict(faces))
    model = PortableModel.open(fetch_bundle(root, None, CHAMPION)[0])
    exported = model.probabilities(faces)
    assert [CLASSES[number] for number in exported.argmax(axis=1)] == labels
    np.testing.assert_allclose(exported, served, atol=1e-4)
    assert model.facts.temperature != 1  # so that an answer that is not calibrated would differ
    plain = load_version(root, "ferrule").predict(faces, params={"calibrated": False})
    assert plain["label"].tolist() == labels
    assert np.abs(read_answers(plain)[1] - served).max() > 0.01


def test_it_is_downloaded_once_and_anew_where_it_was_altered(root):
    place = fetch_bundle(root, None, CHAMPION)[0]
    path = next(place.glob("model.onnx*"))
    before, content = path.stat().st_mtime_ns, path.read_bytes()
    fetch_bundle(root, None, CHAMPION)
    assert path.stat().st_mtime_ns == before
    path.write_bytes(content[:-1])
    assert fetch_bundle(root, None, CHAMPION)[0] == place
    assert path.read_bytes() == content
    (place / "model_card.md").unlink()
    fetch_bundle(root, None, CHAMPION)
    assert (place / "model_card.md").is_file()
    assert [path.name for path in place.parent.iterdir()] == [place.name]  # nothing is left behind


def test_many_may_fetch_it_at_once(root):
    with ThreadPoolExecutor(4) as pool:
        places = list(pool.map(lambda _: fetch_bundle(root, None, CHAMPION)[0], range(4)))
    assert len(set(places)) == 1
    PortableModel.open(places[0])
    assert len(list(places[0].parent.iterdir())) == 1


def test_it_is_kept_with_the_run_once_and_a_changed_one_beside_it(root):
    (stored,) = stored_bundles(root)
    before = {path.name: path.stat().st_mtime_ns for path in stored.iterdir()}
    run_stages(root, "register")
    assert {path.name: path.stat().st_mtime_ns for path in stored.iterdir()} == before
    first = fetch_bundle(root, None, CHAMPION)[0]
    (root / "artifacts" / "card" / "model_card.md").write_text("# Another card\n")
    run_stages(root, "register")
    assert len(stored_bundles(root)) == 2
    place, _, version = fetch_bundle(root, None, CHAMPION)
    assert (place != first, version) == (True, "1")
    assert (place / "model_card.md").read_text() == "# Another card\n"


def test_an_upload_that_broke_off_is_completed(root):
    (stored,) = stored_bundles(root)
    (stored / "model_card.md").unlink()
    with pytest.raises(RegistryError, match=r"its files are lost or altered; run `ferrule run`"):
        fetch_bundle(root, None, CHAMPION)
    assert not list(Path(os.environ["FERRULE_CACHE"]).rglob("*.onnx*"))
    run_stages(root, "register")
    assert (fetch_bundle(root, None, CHAMPION)[0] / "model_card.md").is_file()


def test_a_version_of_an_older_ferrule_says_what_to_run(root):
    open_store(root).delete_model_version_tag("ferrule", "1", BUNDLE_TAG)
    with pytest.raises(RegistryError, match=r"Expected a bundle with ferrule version 1.*run `ferrule run`"):
        fetch_bundle(root, None, CHAMPION)
    run_stages(root, "register")
    assert fetch_bundle(root, None, CHAMPION)[2] == "1"


def test_a_version_whose_run_was_deleted_keeps_its_bundle(root):
    open_store(root).delete_run(describe_version(root, "ferrule", "1").run_id)
    assert fetch_bundle(root, None, CHAMPION)[2] == "1"


def test_which_model_is_meant_is_asked_where_several_have_the_alias(root):
    network = root / "artifacts" / "train" / "model.keras"
    model_md5 = digest_file(network)
    files = [*(root / "artifacts" / "export").iterdir(), *(root / "artifacts" / "card").iterdir()]
    tags = log_bundle(root, model_md5, files)
    register_version(root, "another", network, model_md5=model_md5, classes=CLASSES, temperature=1.0, tags=tags)
    with pytest.raises(RegistryError, match=r"another, ferrule have it; name one with --name"):
        fetch_bundle(root, None, CHALLENGER)
    with pytest.raises(RegistryError, match=r"another, ferrule have it; name one with --name"):
        current_version(root, None, CHALLENGER)
    assert fetch_bundle(root, "another", CHALLENGER)[1:] == ("another", "1")
    assert fetch_bundle(root, None, CHAMPION)[1] == "ferrule"


@pytest.mark.parametrize("name", [None, "ferrule", "nobody"])
def test_what_is_not_registered_is_one_sentence_and_makes_no_store(tmp_path, monkeypatch, name):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert current_version(tmp_path, name, CHAMPION) is None
    with pytest.raises(RegistryError, match="run `ferrule run` first"):
        fetch_bundle(tmp_path, name, CHAMPION)
    assert not (tmp_path / "mlruns").exists()


def test_the_current_version_follows_the_alias(root):
    write_network(root / "artifacts" / "train" / "model.keras", skill=0.5)
    run_stages(root)
    assert (current_version(root, "ferrule", CHAMPION), current_version(root, "ferrule", CHALLENGER)) == ("1", "2")
    move_alias(root, "ferrule", CHAMPION, "2")
    assert current_version(root, "ferrule", CHAMPION) == "2"
    assert current_version(root, "ferrule", "1") == "1"
    one, two = (fetch_bundle(root, None, which)[0] for which in "12")
    assert one != two
    open_store(root).delete_registered_model_alias("ferrule", CHAMPION)
    assert [current_version(root, name, CHAMPION) for name in (None, "ferrule", "nobody")] == [None] * 3
    assert current_version(root, None, CHALLENGER) == "2"


def test_an_export_that_is_not_what_the_network_is_goes_with_its_verdict(root):
    tags = describe_version(root, "ferrule", "1").tags
    assert tags[EXPORT_TAG].startswith("passed: float32: same top class on 100.00 % of 60 test images")
    folder = shutil.copytree(root / "artifacts" / "export", root / "failed")
    from ferrule.portable.bundle import read_bundle, write_bundle

    facts = read_bundle(folder)
    facts.parity["float32"] |= {"agreement": 0.5, "passed": False}
    write_bundle(folder, facts)
    tags = log_bundle(root, facts.model_md5, folder.iterdir())
    assert tags[EXPORT_TAG].startswith("failed: float32: same top class on 50.00 % of 60 test images")


@pytest.mark.slow
def test_a_tracking_server_gives_the_bundle_and_mlflow_serves_the_same_answers(root, faces, tmp_path, monkeypatch):
    """`mlflow models serve` over HTTP, in a process of its own, against the exported model from a server."""
    ports = free_port(), free_port()
    store = f"sqlite:///{root}/mlruns/mlflow.db"
    serve = ["models", "serve", "-m", "models:/ferrule@champion", "--env-manager", "local", "--port", str(ports[1])]
    commands = [["server", "--backend-store-uri", store, "--port", str(ports[0]), "--workers", "1"], serve]
    environment = bare_environment(root) | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with (tmp_path / "log").open("w") as log:
        servers = [
            subprocess.Popen(
                [sys.executable, "-m", "mlflow", *command],
                env=environment, stdout=log, stderr=log, cwd=root, start_new_session=True,
            )
            for command in commands
        ]  # fmt: skip
    try:
        content = {"inputs": faces.tolist()}
        answer = ask(f"http://127.0.0.1:{ports[1]}/invocations", content, servers[1], tmp_path / "log")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{ports[0]}")
        wait_for(f"http://127.0.0.1:{ports[0]}/health", servers[0], tmp_path / "log")
        place, name, version = fetch_bundle(tmp_path, None, CHAMPION)
        assert (name, version) == ("ferrule", "1")
        assert current_version(tmp_path, name, CHAMPION) == "1"
    finally:
        for server in servers:
            os.killpg(server.pid, 15)
            server.wait(30)
    exported = PortableModel.open(place).probabilities(faces)
    served = np.array([[row[f"probability_{name}"] for name in CLASSES] for row in answer["predictions"]])
    assert [row["label"] for row in answer["predictions"]] == [CLASSES[at] for at in exported.argmax(axis=1)]
    np.testing.assert_allclose(served, exported, atol=1e-4)


def test_a_fresh_process_without_keras_predicts_from_the_bundle(root, faces):
    np.save(root / "faces.npy", faces)
    script = f"""
        import sys, json
        from pathlib import Path
        import numpy as np
        from ferrule.portable.model import PortableModel
        model = PortableModel.open(Path({str(fetch_bundle(root, None, CHAMPION)[0])!r}))
        print(json.dumps(model.probabilities(np.load({str(root / "faces.npy")!r})).tolist()))
        heavy = {{"tensorflow", "keras", "mlflow", "prefect", "dvc", "scipy", "matplotlib"}}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    served = read_answers(load_version(root, "ferrule").predict(faces))[1]
    np.testing.assert_allclose(json.loads(done.stdout), served, atol=1e-4)


def wait_for(url, server, log):
    """Return once the server answers."""
    deadline = time.monotonic() + 150
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10):
                return
        except OSError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(log.read_text()[-2000:]) from error
            time.sleep(0.5)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
