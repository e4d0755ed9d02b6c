"""The store on a server: one that is away is told in seconds, one that comes back is waited for."""

import socket
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

import pytest

from ferrule import store
from ferrule.errors import RegistryError
from ferrule.store import open_store, server_address


class Refusing(BaseHTTPRequestHandler):
    """Some server that is not MLflow's."""

    def do_GET(self):
        self.send_error(404)

    def log_message(self, *_):
        pass


class Server(ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


@pytest.fixture
def port():
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_server_that_is_away_is_one_sentence_in_seconds(port, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "PATIENCE", 2.0)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
    start = time.monotonic()
    with pytest.raises(RegistryError, match=r"which MLFLOW_TRACKING_URI names.*ConnectionError") as caught:
        open_store(tmp_path)
    assert time.monotonic() - start < 2 + store.TIMEOUT + 5  # the import of MLflow
    assert "secret" not in str(caught.value)


def test_one_that_is_back_in_time_is_reached_and_one_that_is_not_mlflow_is_a_sentence(port, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    started = []

    def start():
        started.append(Server(("127.0.0.1", port), Refusing))
        started[0].serve_forever(0.05)

    threading.Timer(2, start).start()
    with pytest.raises(RegistryError, match=f"at http://127.0.0.1:{port}; it said: .*404"):
        open_store(tmp_path)
    started[0].shutdown()
    started[0].server_close()


def test_an_address_is_shown_without_its_password():
    assert server_address("https://me:secret@host:8/path/") == "https://host:8/path"
