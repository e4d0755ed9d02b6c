"""Following an alias: another version takes over without a restart, and without a request that fails."""

import asyncio
import shutil
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import httpx
import numpy as np
import pytest
from web_server import drawn_crops, encode, serving

from ferrule.errors import RegistryError
from ferrule.portable.bundle import read_bundle, write_bundle
from ferrule.portable.model import PRETRAINED, PortableModel
from ferrule.web.app import create_app
from ferrule.web.following import Follower, Source
from ferrule.web.models import follow_model


class Registry:
    """Bundles by version, and which of them has the alias; what a registry does, from folders."""

    def __init__(self, folders):
        self.folders, self.alias, self.fault = folders, "1", None

    def find_version(self):
        if self.fault:
            raise self.fault
        return self.alias

    def open_version(self):
        version = self.alias
        return PortableModel.open(self.folders[version], title=f"faces version {version}", version=version)

    def follower(self, poll=0.02):
        return Follower(self.open_version(), Source(self.find_version, self.open_version), poll=poll)


@pytest.fixture
def registry(tmp_path):
    """Give two versions of the model that ships: the second is less sure of everything."""
    facts = read_bundle(PRETRAINED)
    for version, temperature in {"1": facts.temperature, "2": 4 * facts.temperature}.items():
        folder = tmp_path / version
        folder.mkdir()
        for name in facts.files:
            shutil.copy(PRETRAINED / name, folder / name)
        write_bundle(folder, replace(facts, temperature=temperature))
    return Registry({version: tmp_path / version for version in "12"})


def ask(address, picture):
    answer = httpx.post(f"{address}/predict?crops=true", files={"files": ("a.png", picture)}, timeout=60)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    return said["model"]["version"], said["files"][0]["faces"][0]["confidence"]


def test_a_new_champion_takes_over_under_load_and_no_answer_mixes_two(registry):
    image = drawn_crops()[0]
    models = {version: PortableModel.open(folder) for version, folder in registry.folders.items()}
    sure = {version: model.probabilities(image[np.newaxis]).max() for version, model in models.items()}
    assert sure["1"] - sure["2"] > 0.05
    with serving(create_app(registry.follower())) as address, asking(address, encode(image)) as said:
        for alias in ("2", "1", "2"):
            registry.alias = alias
            start = len(said)
            wait_until(lambda: alias in [version for version, _ in said[start + 20 :]])  # noqa: B023
    assert {version for version, _ in said} == {"1", "2"}
    for version, confidence in said:
        assert confidence == pytest.approx(sure[version], abs=1e-4)


@contextmanager
def asking(address, picture, clients=8):
    """Ask all the time, from several threads; give the growing list of answers; none may fail."""
    said, errors, done = [], [], threading.Event()

    def keep_asking():
        try:
            while not done.is_set():
                said.append(ask(address, picture))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=keep_asking) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield said
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not errors


def wait_until(reached, seconds=60):
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (RegistryError("Expected /secret/place; got nothing; go."), "does not answer"),
        (OSError("/secret/place"), "failed"),
    ],
)
def test_without_the_registry_the_model_stays_and_health_says_so_without_a_path(registry, fault, told):
    follower = registry.follower()
    with serving(create_app(follower)) as address:
        registry.fault = fault
        wait_until(lambda: follower.trouble)
        health = httpx.get(f"{address}/health")
        assert health.status_code == 200
        assert health.json()["status"] == "degraded"
        assert told in health.json()["trouble"]
        assert "/secret" not in health.text
        assert "ferrule_degraded 1.0" in httpx.get(f"{address}/metrics").text
        assert ask(address, encode(drawn_crops()[0]))[0] == "1"
        registry.fault, registry.alias = None, "2"
        wait_until(lambda: follower.model.version == "2" and not follower.trouble)
        assert httpx.get(f"{address}/health").json()["status"] == "ok"


def test_a_broken_version_does_not_take_over(registry):
    (registry.folders["2"] / "bundle.json").write_text("{}")
    follower = registry.follower()

    async def main():
        task = asyncio.create_task(follower.run())
        registry.alias = "2"
        while not follower.trouble:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert follower.model.version == "1"


def test_a_folder_is_named_without_its_path_and_follows_nothing(registry):
    follower = follow_model(str(registry.folders["1"]), root=registry.folders["1"])
    assert not follower.follows
    assert "/" not in follower.model.title


def test_auto_without_a_registry_is_the_model_that_ships(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    follower = follow_model(root=tmp_path)
    assert "ships" in follower.model.title
    assert follower.follows  # the champion that may come


@pytest.mark.slow
def test_with_a_real_registry_each_new_champion_takes_over_and_the_last_one_stays(tmp_path, monkeypatch):
    """Started before there is a registry: the model that ships, then version 1, then 2; then the registry is gone."""
    from trained_project import CLASSES, run_stages, write_network, write_trained_project

    from ferrule.registry.aliases import CHAMPION, move_alias

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("FERRULE_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "project"
    root.mkdir()
    follower = follow_model(root=root, poll=0.1)
    with serving(create_app(follower)) as address, asking(address, encode(drawn_crops()[0]), clients=2) as said:
        wait_until(lambda: said)
        write_trained_project(root, votes=False)
        run_stages(root)
        move_alias(root, "ferrule", CHAMPION, "1")
        wait_until(lambda: said[-1][0] == "1")
        write_network(root / "artifacts" / "train" / "model.keras", skill=0.5)
        run_stages(root)
        assert follower.model.version == "1"  # a challenger changes nothing
        move_alias(root, "ferrule", CHAMPION, "2")
        wait_until(lambda: said[-1][0] == "2")
        assert httpx.get(f"{address}/model").json()["classes"] == list(CLASSES)
        assert "ferrule version 2 (champion)" in httpx.get(f"{address}/metrics").text
        (root / "mlruns" / "mlflow.db").write_bytes(b"no database")
        wait_until(lambda: httpx.get(f"{address}/health").json()["status"] == "degraded")
        assert str(tmp_path) not in httpx.get(f"{address}/health").text
    assert [version for version in (None, "1", "2") if version in {version for version, _ in said}] == [None, "1", "2"]
