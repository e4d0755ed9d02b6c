"""`ferrule doctor`: each thing is broken for real, found, and found no more once the remedy was applied."""

import fcntl
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from conftest import CHAIN, REPOSITORY
from packaging.requirements import Requirement

from ferrule.registry.aliases import move_alias, reconcile
from ferrule.store import experiment_id, open_store
from flows import checks
from flows.checks import data, disk, processes, scoring, servers, settings, store, versions
from flows.checks.servers import Schedule
from flows.commands.doctor import doctor
from flows.data import FORMER, SAMPLE_MD5
from flows.doctor import CHECKS, examine
from flows.project import run_dvc

OF_THE_MACHINE = {"python", "packages", "lock", "room"}  # subjects


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """No variable of whoever runs the tests."""
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "KERAS_BACKEND", "FERRULE_WEBHOOK_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def ran(tmp_path_factory):
    """Give a project whose stages have run, with the repository's settings and without git."""
    root = tmp_path_factory.mktemp("ran")
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text((REPOSITORY / ".dvc" / "config").read_text() + "    no_scm = true\n")
    (root / "dvc.yaml").write_text(CHAIN)
    (root / "data").mkdir()
    (root / "data" / "raw.txt").write_text("raw")
    for name in ("params.yaml", "prefect.toml", "prefect.yaml", "pyproject.toml", "requirements.lock"):
        shutil.copy(REPOSITORY / name, root)
    run_dvc(root, "add", "data")
    run_dvc(root, "repro")
    return root


@pytest.fixture
def project(ran, tmp_path, monkeypatch):
    """Give a copy of that project; it becomes the current folder."""
    root = tmp_path / "project"
    shutil.copytree(ran, root)
    monkeypatch.chdir(root)
    return root


@pytest.fixture(scope="session")
def registered(tmp_path_factory):
    """Give a project with a real store and two versions: 1 the champion, 2 the challenger."""
    root = tmp_path_factory.mktemp("registered")
    shutil.copy(REPOSITORY / "params.yaml", root)
    client = open_store(root)
    client.create_registered_model("ferrule")
    for version in ("1", "2"):
        folder = root / "mlruns" / "artifacts" / f"model-{version}"
        folder.mkdir(parents=True)
        (folder / "MLmodel").write_text("flavors: {}")
        client.create_model_version("ferrule", folder.as_uri())
    move_alias(root, "ferrule", "champion", "1")
    move_alias(root, "ferrule", "challenger", "2")
    (root / "artifacts" / "register").mkdir(parents=True)
    (root / "artifacts" / "register" / "version.json").write_text('{"name": "ferrule", "version": "2"}')
    return root


@pytest.fixture
def registry(registered, tmp_path):
    """Give a copy of that project, with a store that knows that it was copied."""
    root = tmp_path / "registry"
    shutil.copytree(registered, root)
    open_store(root)
    return root


def severities(findings):
    return [finding.severity for finding in findings]


def only(findings, *words):
    """Return the one finding there is, which says all of `words`."""
    (finding,) = findings
    assert all(word in finding.sentence + finding.remedy for word in words), finding
    return finding


def commit_all(root, *names):
    """Make `root` a git checkout that holds the files `names`, or all."""
    git = ["git", "-C", str(root)]
    for command in (["init", "--quiet"], ["config", "user.name", "a"], ["config", "user.email", "a@b"]):
        subprocess.run([*git, *command], check=True)
    subprocess.run([*git, "add", "--", *(names or ["."])], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "All"], check=True)


def snapshot(root):
    """Return every file below `root` with its bytes, but for DVC's own scratch."""
    files = (path for path in root.rglob("*") if path.is_file() and "tmp" not in path.relative_to(root).parts)
    return {path: path.read_bytes() for path in files}


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class TestDoctor:
    def test_a_sound_project_is_found_sound_and_left_as_it_is(self, project):
        before = snapshot(project)
        diagnosis = examine(project)
        found = {subject for subject, _ in diagnosis.findings}
        assert found <= OF_THE_MACHINE, diagnosis.as_text()
        assert snapshot(project) == before

    def test_every_check_that_there_is_is_made(self):
        modules = (data, disk, processes, scoring, servers, settings, store, versions)
        found = {getattr(module, name) for module in modules for name in dir(module) if name.startswith("check_")}
        assert {check for check in found if check.__module__.startswith("flows.")} == set(CHECKS)

    def test_exit_status_and_json_are_for_scripts(self, project, monkeypatch):
        monkeypatch.setattr("flows.doctor.CHECKS", (settings.check_params, settings.check_backend, data.check_data))
        run = CliRunner().invoke
        assert run(doctor).exit_code == 0
        assert "3 checks: 0 errors, 0 warnings, 0 notes." in run(doctor).output
        shutil.rmtree(project / ".dvc" / "cache")  # a warning
        assert run(doctor).exit_code == 0
        assert run(doctor, "--strict").exit_code == 1
        monkeypatch.setenv("KERAS_BACKEND", "torch")  # an error
        failed = run(doctor, "--json")
        assert failed.exit_code == 1
        said = json.loads(failed.output)
        assert (said["errors"], said["warnings"], said["notes"]) == (1, 1, 0)
        assert said["findings"][0]["severity"] == "error"
        assert said["findings"][0]["remedy"] == "unset KERAS_BACKEND"

    def test_a_check_that_breaks_does_not_silence_the_others(self, project, monkeypatch):
        (project / "pyproject.toml").write_text("[project")
        diagnosis = examine(project)
        broken = [subject for subject, finding in diagnosis.findings if "could not be checked" in finding.sentence]
        assert broken == ["python", "packages"]

    def test_an_empty_project_gives_findings_and_no_traceback(self, tmp_path):
        (tmp_path / "dvc.yaml").write_text("stages: {}")
        diagnosis = examine(tmp_path)
        assert {"params", "data"} <= {subject for subject, _ in diagnosis.findings}
        assert not any("could not be checked" in finding.sentence for _, finding in diagnosis.findings)
        assert [path.name for path in tmp_path.iterdir()] == ["dvc.yaml"]

    def test_a_fresh_clone_has_no_error(self, tmp_path):
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        files = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, text=True)
        if files.returncode:
            pytest.skip("not a git checkout")
        for name in filter(lambda name: (REPOSITORY / name).is_file(), files.stdout.splitlines()):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, tmp_path / name)
        commit_all(tmp_path)
        diagnosis = examine(tmp_path)
        others = [finding for subject, finding in diagnosis.findings if subject not in OF_THE_MACHINE]
        only(others, "No stage has run here yet")
        assert not subprocess.run(["git", "-C", tmp_path, "status", "--porcelain"], capture_output=True).stdout

    def test_it_is_quick(self, project):
        start = time.process_time()
        examine(project)
        assert time.process_time() - start < 2  # of our own; DVC and git run beside

    def test_a_remedy_that_is_a_ferrule_command_exists(self):
        import re

        import click

        from ferrule.cli import cli, join_commands

        join_commands(cli)
        text = "".join(path.read_text() for path in (REPOSITORY / "flows" / "checks").glob("*.py"))
        for words in set(re.findall(r'"ferrule ([a-z][a-z -]*[a-z])', text)):
            command = cli
            for word in words.split():
                if isinstance(command, click.Group) and not word.startswith("-"):
                    assert word in command.commands, words
                    command = command.commands[word]


class TestVersions:
    @pytest.mark.parametrize(
        ("asked", "installed", "found"),
        [
            ("fastapi<0.151", {"fastapi": "0.150.0"}, None),
            ("fastapi<0.151", {"fastapi": "0.151.2"}, "Expected fastapi<0.151; 0.151.2 is installed."),
            ("Great_Expectations>=1.5", {"great-expectations": "1.5"}, None),
            ("mlflow>=3.10", {}, "Expected mlflow>=3.10; it is not installed."),
            ("mlflow>=3.10; python_version < '3'", {}, None),
        ],
    )
    def test_ranges(self, asked, installed, found):
        assert versions.compare_ranges([Requirement(asked)], installed) == ([found] if found else [])

    def test_pins(self):
        pins = [Requirement(line) for line in ("a==1.0", "b==2.0", "torch==2.13.0", "c==1; python_version < '3'")]
        installed = {"a": "1.1", "torch": "2.13.0+cpu", "c": "2"}
        assert versions.compare_pins(pins, installed) == ["a 1.1 (1.0)"]

    def test_a_known_bad_package_is_an_error(self, tmp_path):
        project = (REPOSITORY / "pyproject.toml").read_text()
        (tmp_path / "pyproject.toml").write_text(project.replace('"fastapi<0.151"', '"fastapi<0.1"'))
        only(versions.check_packages(tmp_path), "Expected fastapi<0.1", "requirements.lock")

    def test_python(self, tmp_path):
        (tmp_path / "pyproject.toml").write_text('[project]\nrequires-python = ">=4"')
        only(versions.check_python(tmp_path), "Expected Python >=4")


class TestSettings:
    def test_broken_files(self, project):
        (project / "params.yaml").write_text("seed: [")
        (project / "dvc.yaml").write_text("stages: {a: {deps: [b], outs: [b]}}")
        only(settings.check_params(project), "params.yaml")
        only(settings.check_dag(project), "cycle")
        assert settings.check_backend(project) == []
        only(data.check_stages(project), "not examined")
        assert store.check_aliases(project) == []

    def test_a_backend_that_is_not_installed(self, project):
        text = (project / "params.yaml").read_text()
        (project / "params.yaml").write_text(text.replace("backend: tensorflow", "backend: jax"))
        expected = [] if settings.find_spec("jax") else ["error"]
        assert severities(settings.check_backend(project)) == expected

    def test_telemetry(self, project, monkeypatch):
        assert settings.check_telemetry(project) == []
        monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
        only(settings.check_telemetry(project), "unset MLFLOW_DISABLE_TELEMETRY")
        monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY")
        (project / ".dvc" / "config").write_text("[core]\n    no_scm = true\n")
        finding = only(settings.check_telemetry(project), "DVC's analytics")
        run_dvc(project, *finding.remedy.split()[1:])
        assert settings.check_telemetry(project) == []
        (project / "prefect.toml").write_text("[server]\nanalytics_enabled = true\n")
        only(settings.check_telemetry(project), "prefect.toml")

    def test_credentials(self, project, monkeypatch, tmp_path_factory):
        monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        assert settings.check_secrets(project) == []
        local = project / ".dvc" / "config.local"
        local.write_text("['remote \"store\"']\n    secret_access_key = secret\n")
        local.chmod(0o644)
        finding = only(settings.check_secrets(project), "chmod 600")
        subprocess.run(finding.remedy, shell=True, check=True)
        assert settings.check_secrets(project) == []
        (project / ".dvc" / "config").write_text(local.read_text())
        assert severities(settings.check_secrets(project)) == ["error"]

    @pytest.mark.parametrize(
        ("address", "kinds", "severity"),
        [
            ("", "", []),
            ("https://hooks.example.com/services/T0/B0", "", []),
            ("http://127.0.0.1:8065/hooks/x", "failure", []),
            ("http://hooks.example.com/x", "", ["warning"]),
            ("hooks.example.com/x", "", ["error"]),
            ("https://host:port/x", "", ["error"]),
            ("https://", "", ["error"]),
            ("https://hooks.example.com/x", "failures,drift", ["warning"]),
        ],
    )
    def test_webhook(self, address, kinds, severity, monkeypatch, tmp_path):
        monkeypatch.setenv("FERRULE_WEBHOOK_URL", address)
        monkeypatch.setenv("FERRULE_WEBHOOK_KINDS", kinds)
        found = settings.check_webhook(tmp_path)
        assert severities(found) == severity
        assert not any("/x" in finding.sentence for finding in found)  # the token is not told


class TestData:
    def test_data_that_differs_and_stages_behind_it(self, project):
        assert data.check_stages(project) == []
        (project / "data" / "raw.txt").write_text("other")
        found = data.check_stages(project)
        assert severities(found) == ["error", "warning"]
        assert "changed: ingest; behind: split" in found[1].sentence
        run_dvc(project, "checkout", "--force", "data.dvc")
        assert data.check_stages(project) == []

    def test_data_that_cannot_be_had(self, project):
        assert data.check_data(project) == []
        shutil.move(project / "data", project / FORMER)
        finding = only(data.check_data(project), "interrupted")
        subprocess.run(finding.remedy, shell=True, check=True, cwd=project)
        shutil.rmtree(project / ".dvc" / "cache")
        finding = only(data.check_data(project), "only copy")
        run_dvc(project, *finding.remedy.split()[1:])
        assert data.check_data(project) == []
        shutil.rmtree(project / ".dvc" / "cache")
        shutil.rmtree(project / "data")
        assert only(data.check_data(project), "ferrule data use").severity == "error"
        (project / ".dvc" / "config.local").write_text("['remote \"store\"']\n    url = /nowhere\n")
        assert only(data.check_data(project), "dvc pull").severity == "warning"
        (project / "data.dvc").write_text(f"outs:\n- md5: {SAMPLE_MD5}\n  path: data\n")
        assert data.check_data(project) == []  # it is drawn again
        (project / "data.dvc").write_text("outs: []")
        only(data.check_data(project), "git checkout data.dvc")
        (project / "data.dvc").unlink()
        only(data.check_data(project), "ferrule data sample")

    def test_a_cache_elsewhere_is_looked_into(self, project):
        shutil.move(project / ".dvc" / "cache", project / "elsewhere")
        assert severities(data.check_data(project)) == ["warning"]
        (project / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {project / 'elsewhere'}\n")
        assert data.check_data(project) == []

    def test_a_lock_file_with_a_conflict(self, project):
        (project / "dvc.lock").write_text("<<<<<<< HEAD\nschema: '2.0'\n=======\n")
        only(data.check_stages(project), "git checkout dvc.lock")

    def test_without_git_dvc_is_not_asked_before_it_knows(self, project):
        (project / ".dvc" / "config").write_text((REPOSITORY / ".dvc" / "config").read_text())
        assert only(data.check_stages(project), "there is no git").severity == "note"
        run_dvc(project, "config", "--local", "core.no_scm", "true")  # what the remedy does first
        assert data.check_stages(project) == []

    def test_what_git_does_not_hold(self, project):
        assert data.check_commits(project) == []  # no git
        commit_all(project, "dvc.yaml", "params.yaml", "data.dvc")
        (project / "params.yaml").write_text((project / "params.yaml").read_text() + "\n")
        finding = only(data.check_commits(project), "dvc.lock", "params.yaml")
        subprocess.run(finding.remedy, shell=True, check=True, cwd=project, stdout=subprocess.DEVNULL)
        assert data.check_commits(project) == []


class TestStore:
    def test_a_sound_registry_has_no_finding(self, registry):
        for check in (
            store.check_database,
            store.check_experiment,
            store.check_aliases,
            store.check_files,
            store.check_promotions,
        ):
            assert check(registry) == []

    def test_before_anything_was_registered_there_is_no_finding(self, tmp_path):
        shutil.copy(REPOSITORY / "params.yaml", tmp_path)
        for check in (store.check_database, store.check_experiment, store.check_aliases, store.check_files):
            assert check(tmp_path) == []
        assert not (tmp_path / "mlruns").exists()

    @pytest.mark.parametrize("damage", [b"", b"no database", None])
    def test_a_damaged_or_lost_database(self, damage, registry):
        database = registry / "mlruns" / "mlflow.db"
        database.unlink() if damage is None else database.write_bytes(damage)
        assert severities(store.check_database(registry)) == ["error"]
        assert store.check_aliases(registry) == store.check_files(registry) == []

    def test_a_database_with_a_torn_page(self, registry):
        database = registry / "mlruns" / "mlflow.db"
        content = bytearray(database.read_bytes())
        content[4096 * 20 : 4096 * 40] = os.urandom(4096 * 20)
        database.write_bytes(content)
        only(store.check_database(registry), "damaged")

    def test_a_database_that_is_being_written(self, registry):
        with sqlite3.connect(registry / "mlruns" / "mlflow.db", isolation_level=None) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            only(store.check_database(registry), "is locked")
            connection.execute("ROLLBACK")
        assert store.check_database(registry) == []

    def test_the_schema_of_another_mlflow(self, registry):
        known, newest = store.read_migrations()
        assert newest in known
        older = next(iter(known - {newest}))
        for schema, word in ((older, "older"), ("fedcba987654", "newer")):
            with sqlite3.connect(registry / "mlruns" / "mlflow.db") as connection:
                connection.execute("UPDATE alembic_version SET version_num = ?", (schema,))
            only(store.check_database(registry), word)

    def test_a_deleted_experiment(self, registry):
        client = open_store(registry)
        client.delete_experiment(experiment_id(client))
        only(store.check_experiment(registry), "was deleted")
        open_store(registry)  # what the remedy does
        assert store.check_experiment(registry) == []

    def test_a_moved_project(self, registry, tmp_path_factory):
        moved = tmp_path_factory.mktemp("moved") / "here"
        shutil.move(registry, moved)
        only(store.check_experiment(moved), "moved or copied")
        assert store.check_files(moved) == []
        open_store(moved)
        assert store.check_experiment(moved) == []

    def test_aliases_of_a_version_that_is_gone_and_no_champion(self, registry):
        open_store(registry).delete_model_version("ferrule", "2")
        only(store.check_aliases(registry), "registered version 2", "ferrule run")  # MLflow took the alias with it
        with sqlite3.connect(registry / "mlruns" / "mlflow.db") as connection:
            connection.execute("DELETE FROM model_versions WHERE version = 1")
        found = store.check_aliases(registry)
        assert "champion means version 1, which does not exist" in found[0].sentence
        assert found[0].severity == "error"
        open_store(registry).delete_registered_model_alias("ferrule", "champion")

    def test_no_champion(self, registry):
        open_store(registry).delete_registered_model_alias("ferrule", "champion")
        only(store.check_aliases(registry), "No version is the champion", "ferrule promote")

    def test_a_ledger_that_disagrees(self, registry):
        open_store(registry).set_registered_model_alias("ferrule", "champion", "2")  # behind its back
        only(store.check_promotions(registry), "champion", "ferrule registry reconcile")
        reconcile(registry, "ferrule")
        assert store.check_promotions(registry) == []

    def test_a_version_without_its_files(self, registry):
        shutil.rmtree(registry / "mlruns" / "artifacts" / "model-1")
        assert only(store.check_files(registry), "Version 1 (champion) has lost its files").severity == "error"

    def test_a_damaged_file_of_predictions(self, tmp_path):
        assert scoring.check_scoring(tmp_path) == []
        path = tmp_path / "scoring" / "predictions" / "date=2026-01-02" / "0123.parquet"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
        (finding,) = scoring.check_scoring(tmp_path)
        assert finding.severity == "error"
        assert finding.remedy == "rm scoring/predictions/date=2026-01-02/0123.parquet"

    def test_a_registry_on_a_server(self, registry, serve_json, monkeypatch):
        (registry / "mlruns" / "mlflow.db").unlink()
        model = {"registered_model": {"aliases": [{"alias": "champion", "version": "7"}]}}
        address = serve_json(
            {
                "/health": "OK",
                "/api/2.0/mlflow/registered-models/get": model,
                "/api/2.0/mlflow/model-versions/search": {"model_versions": [{"version": "2"}]},
            }
        )
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert servers.check_mlflow(registry) == store.check_database(registry) == store.check_files(registry) == []
        assert "champion means version 7" in store.check_aliases(registry)[0].sentence


class TestProcesses:
    def test_notes_of_dvc(self, project):
        assert processes.check_holds(project) == []
        rwlock = project / ".dvc" / "tmp" / "rwlock"
        gone = subprocess.Popen(["true"])
        gone.wait()
        for pid, severity in ((gone.pid, "note"), (os.getppid(), "error")):
            rwlock.write_text(json.dumps({"write": {str(project / "data"): {"pid": pid, "cmd": "dvc repro"}}}))
            finding = only(processes.check_holds(project), f"rm {Path('.dvc/tmp/rwlock')}")
            assert finding.severity == severity
        rwlock.write_text("{")
        finding = only(processes.check_holds(project), "broken")
        subprocess.run(finding.remedy, shell=True, check=True, cwd=project)
        assert processes.check_holds(project) == []
        assert data.check_stages(project) == []

    def test_a_lock_that_is_held(self, project):
        (project / "mlruns").mkdir()
        lock = project / "mlruns" / "mlflow.db.lock"
        lock.touch()
        assert processes.check_lock_files(project) == []
        with lock.open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            only(processes.check_lock_files(project), str(lock))
        assert processes.check_lock_files(project) == []

    def test_a_worker_whose_parent_is_gone(self, project):
        sleeper = project / "sleeper.py"
        sleeper.write_text("import time\ntime.sleep(60)\n")
        start = f"{sys.executable} {sleeper} prefect worker start > {os.devnull} 2>&1 & echo $!"
        pid = int(subprocess.run(["sh", "-c", start], cwd=project, stdout=subprocess.PIPE, text=True).stdout)
        try:
            wait_for(lambda: processes.check_leftovers(project))
            finding = only(processes.check_leftovers(project), f"kill {pid}", "prefect worker start")
            assert processes.check_leftovers(REPOSITORY) == []
        finally:
            os.kill(pid, signal.SIGTERM)
        assert finding.severity == "warning"
        wait_for(lambda: not processes.check_leftovers(project))


class TestDisk:
    def test_no_room(self, project, monkeypatch):
        monkeypatch.setattr(disk, "LEAST", 2**60)
        only(disk.check_room(project), "are free", "dvc gc")

    def test_what_has_outgrown_its_use(self, project, monkeypatch):
        (project / "artifacts" / ".train-checkpoints").mkdir()
        (project / "artifacts" / ".train-checkpoints" / "state").write_bytes(bytes(2000))
        monkeypatch.setattr(disk, "LARGE_CHECKPOINTS", 1000)
        finding = only(disk.check_checkpoints(project), "Checkpoints")
        (project / ".dvc" / "cache" / "former").write_bytes(bytes(10**5))
        monkeypatch.setattr(disk, "LEAST", 1000)
        only(disk.check_cache(project), "dvc gc")
        subprocess.run(finding.remedy, shell=True, check=True, cwd=project)
        assert disk.check_checkpoints(project) == []


@pytest.fixture
def serve_json():
    """Give a function that starts a server which answers each path by JSON, and returns its address."""
    import threading
    from http.server import BaseHTTPRequestHandler
    from socketserver import ThreadingTCPServer

    started = []

    def serve(answers, *, ahead=0.0):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path = self.path.partition("?")[0]
                body = json.dumps(answers.get(path)).encode()
                self.send_response_only(200 if path in answers else 404)
                self.send_header("Date", format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        started.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield serve
    for server in started:
        server.shutdown()
        server.server_close()


class TestServers:
    @pytest.mark.parametrize(
        ("variable", "check"),
        [("MLFLOW_TRACKING_URI", servers.check_mlflow), ("PREFECT_API_URL", servers.check_prefect)],
    )
    def test_one_that_does_not_answer(self, variable, check, tmp_path, monkeypatch):
        monkeypatch.setenv(variable, "http://me:secret@127.0.0.1:1/api")
        finding = only(check(tmp_path), f"unset {variable}")
        assert finding.severity == "error"
        assert "secret" not in finding.sentence

    def test_another_version_and_another_clock(self, tmp_path, serve_json, monkeypatch):
        answers = {"/api/health": True, "/api/admin/version": "2.20.1"}
        monkeypatch.setenv("PREFECT_API_URL", f"{serve_json(answers)}/api")
        only(servers.check_prefect(tmp_path), "of version 2.20.1")
        monkeypatch.setenv("PREFECT_API_URL", f"{serve_json(answers, ahead=-600)}/api")
        only(servers.check_prefect(tmp_path), "seconds behind")

    def test_what_keeps_schedules_from_running(self):
        sound = Schedule("training", "pool")
        assert servers.judge_schedules(["training"], [sound], {"pool": 1}) == []
        only(servers.judge_schedules(["training", "scoring"], [sound], {"pool": 1}), "scoring", "ferrule deploy")
        assert only(servers.judge_schedules(["training"], [sound], {}), "No worker").severity == "error"
        poor = Schedule("training", "pool", paused=True, stopped=("an-id",), late=3)
        paused, stopped, late = servers.judge_schedules(["training"], [poor], {"pool": 1})
        assert "deployment training is paused" in paused.sentence
        assert stopped.remedy == "prefect deployment schedule resume training/training an-id"
        assert "3 runs of training" in late.sentence

    def test_schedules_by_another_clock(self):
        schedule = Schedule("training", "pool", times=(("0 3 * * 0", "UTC"),))
        assert servers.compare_zones([schedule], UTC) == []
        only(servers.compare_zones([schedule], timezone(timedelta(hours=2), "CEST")), "0 3 * * 0 in UTC", "CEST")

    @pytest.mark.usefixtures("prefect_server")
    def test_a_real_server(self, tmp_path, monkeypatch):
        """Deploy a paused flow in a pool without a worker, on a real server, with a run that is late."""
        from prefect import flow
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.actions import WorkPoolCreate
        from prefect.client.schemas.schedules import CronSchedule
        from prefect.settings import PREFECT_API_URL
        from prefect.states import Late

        monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value())
        names = [{"name": name, "entrypoint": "ward.py:patient"} for name in ("doctored", "absent")]
        (tmp_path / "ward.py").write_text("@flow\ndef patient(): ...\n")
        (tmp_path / "prefect.yaml").write_text(yaml.safe_dump({"deployments": names}))

        @flow
        def patient():
            pass

        with get_client(sync_client=True) as client:
            client.create_work_pool(WorkPoolCreate(name="ward", type="process"))
            made = client.create_deployment(client.create_flow(patient), "doctored", work_pool_name="ward", paused=True)
            client.create_deployment_schedules(made, [(CronSchedule(cron="0 3 * * 0"), False)])
            client.create_flow_run_from_deployment(made, state=Late(scheduled_time=datetime.now(UTC)))
        assert servers.check_prefect(tmp_path) == []
        found = " ".join(finding.sentence for finding in servers.check_schedules(tmp_path))
        assert "does not know absent" in found
        assert "No worker of the pool ward" in found
        assert "The deployment doctored is paused" in found
        assert "A schedule of doctored is paused" in found
        assert "1 run of doctored" in found


def test_a_finding_has_one_of_the_severities_and_a_remedy():
    assert checks.SEVERITIES == ("error", "warning", "note")
