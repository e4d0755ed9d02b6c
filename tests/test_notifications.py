"""Messages to a webhook: what a real receiver gets, and that no receiver, however bad, stops or slows a run."""

import json
import logging
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

import numpy as np
import pytest
from prefect import flow
from trained_project import run_stages, write_trained_project

from ferrule.errors import WorkflowError
from flows import notifications
from flows.notifications import KINDS, notify, report_failure, wanted_kinds
from flows.promotion import promote_challenger
from flows.training import train_challenger

SECRET = "T0000/B0000/a-token"  # in the address, as Slack does it


@contextmanager
def receiver(*answers, delay=0.0):
    """Give (address, messages): a server that keeps what is posted and answers by `answers` in turn, the last again."""
    answers, messages, lock = list(answers or (200,)), [], threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                messages.append(json.loads(body))
                code = answers.pop(0) if len(answers) > 1 else answers[0]
            time.sleep(delay)
            self.send_response(code)
            if code == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def do_GET(self):
            messages.append("GET")
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingTCPServer(("127.0.0.1", 0), Handler)  # an HTTPServer asks the network for its name, for seconds
    server.daemon_threads, server.block_on_close = True, False
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/{SECRET}", messages
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(notifications, "PAUSE", 0.0)
    monkeypatch.setattr(notifications, "TIMEOUT", 1.0)
    monkeypatch.delenv(notifications.URL_VARIABLE, raising=False)
    monkeypatch.delenv(notifications.KINDS_VARIABLE, raising=False)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def warnings(caplog):
    """Give a function that returns the warnings so far."""
    return lambda: [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.fixture
def use(monkeypatch):
    return lambda url: monkeypatch.setenv(notifications.URL_VARIABLE, url)


def test_nothing_is_sent_unless_a_webhook_is_named(tmp_path, warnings):
    with receiver() as (_, messages):
        notify(tmp_path, "drift", "It drifted.", {})
    assert messages == []
    assert warnings() == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_is_for_people_and_for_programs(kind, tmp_path, use, warnings):
    facts = {"version": 3, "accuracy": np.float32(0.5), "p": float("nan"), "classes": np.array([1, 2]), "at": tmp_path}
    with receiver() as (url, messages):
        use(url)
        notify(tmp_path, kind, "Version 3 <!channel> & more.", facts)
    (message,) = messages
    assert message["text"] == f"Ferrule, {tmp_path.name}, {kind}: Version 3 &lt;!channel&gt; &amp; more."
    assert (message["kind"], message["sentence"]) == (kind, "Version 3 <!channel> & more.")
    assert message["project"] == tmp_path.name
    assert message["time"].endswith("+00:00")
    assert message["facts"] == {"version": 3, "accuracy": 0.5, "p": None, "classes": [1, 2], "at": str(tmp_path)}
    assert warnings() == []


def test_a_long_text_is_cut_and_the_sentence_is_not(tmp_path, use):
    with receiver() as (url, messages):
        use(url)
        notify(tmp_path, "failure", "x" * 9000, {})
    assert len(messages[0]["text"]) == notifications.TEXT_LENGTH
    assert len(messages[0]["sentence"]) == 9000


def test_only_the_kinds_that_are_wanted_are_sent(tmp_path, use, monkeypatch):
    monkeypatch.setenv(notifications.KINDS_VARIABLE, "failure, drift")
    assert wanted_kinds() == ("failure", "drift")
    with receiver() as (url, messages):
        use(url)
        for kind in KINDS:
            notify(tmp_path, kind, "So it is.", {})
    assert [message["kind"] for message in messages] == ["failure", "drift"]


@pytest.mark.parametrize(
    ("answers", "posts", "warning"),
    [
        ((500, 204), 2, None),
        ((500,), 2, "HTTP 500"),
        ((429,), 2, "HTTP 429"),
        ((404,), 1, "HTTP 404"),  # a wrong address stays one
        ((302,), 1, "HTTP 302"),  # and nothing is lost in a GET
    ],
)
def test_a_receiver_that_refuses_is_asked_once_more_where_that_may_help(
    answers, posts, warning, tmp_path, use, warnings
):
    with receiver(*answers) as (url, messages):
        use(url)
        notify(tmp_path, "failure", "It failed.", {})
    assert len(messages) == posts
    assert "GET" not in messages
    assert len(warnings()) == (warning is not None)
    if warning:
        assert warning in warnings()[0]
        assert "a-token" not in warnings()[0]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"http://127.0.0.1:1/{SECRET}", "Connection refused"),
        (f"http://no-such-host.invalid/{SECRET}", ""),
        (f"hooks.example.com/{SECRET}", "http://"),
        (f"file:///etc/hostname?{SECRET}", "http://"),
        (f"http://[bad/{SECRET}", "ValueError"),
        (f"http://host name/{SECRET}", ""),
        (f"http://127.0.0.1:port/{SECRET}", ""),
    ],
)
def test_a_dead_or_senseless_address_is_one_warning_without_it(url, reason, tmp_path, use, warnings, caplog, capfd):
    use(url)
    notify(tmp_path, "failure", "It failed.", {})
    (warning,) = warnings()
    assert reason in warning
    assert "a-token" not in caplog.text + "".join(capfd.readouterr())


def test_a_slow_receiver_holds_a_run_for_seconds_only(tmp_path, use, warnings):
    with receiver(delay=30) as (url, _):
        use(url)
        start = time.monotonic()
        notify(tmp_path, "failure", "It failed.", {})
        assert time.monotonic() - start < 2 * notifications.TIMEOUT + 2
    assert len(warnings()) == 1


def test_facts_that_no_json_can_hold_are_a_warning_too(tmp_path, use, warnings):
    with receiver() as (url, messages):
        use(url)
        notify(tmp_path, "failure", "It failed.", {("a", "tuple"): 1})
    assert messages == []
    assert len(warnings()) == 1


@pytest.mark.usefixtures("prefect_server")
class TestFlows:
    """Real flow runs."""

    def test_a_failed_training_is_told(self, toy_project, use):
        root = toy_project("stages: {left: {cmd: echo no such pixels && exit 3, deps: [data], outs: [left]}}")
        with receiver() as (url, messages):
            use(url)
            with pytest.raises(WorkflowError):
                train_challenger(root)
        (message,) = messages
        assert message["kind"] == "failure"
        assert message["sentence"].startswith("The flow training failed: WorkflowError: Stage left failed")
        assert "no such pixels" in message["text"]
        assert message["facts"]["flow"] == "training"
        assert message["facts"]["state"] == "Failed"
        assert message["facts"]["run_id"] in message["facts"]["url"]

    def test_a_failed_promotion_is_told(self, tmp_path, use):
        with receiver() as (url, messages):
            use(url)
            with pytest.raises(Exception, match=r"params.yaml"):
                promote_challenger(tmp_path)
        assert messages[0]["facts"]["flow"] == "promotion"

    @pytest.mark.slow
    def test_promotions_and_refusals_are_told(self, tmp_path, use, monkeypatch):
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_trained_project(tmp_path, votes=False)
        run_stages(tmp_path)
        text = (tmp_path / "params.yaml").read_text()
        with receiver() as (url, messages):
            use(url)
            (tmp_path / "params.yaml").write_text(text.replace("min_accuracy: 0.55", "min_accuracy: 0.99"))
            refused = promote_challenger(tmp_path)
            (tmp_path / "params.yaml").write_text(text)
            promoted = promote_challenger(tmp_path)
            promote_challenger(tmp_path)  # it is the champion already: nothing to tell
        assert [message["kind"] for message in messages] == ["refusal", "promotion"]
        assert [message["sentence"] for message in messages] == [refused.sentence, promoted.sentence]
        for message in messages:
            assert message["facts"]["model"] == "ferrule"
            assert (message["facts"]["version"], message["facts"]["champion_before"]) == ("1", None)

    @pytest.mark.parametrize(("error", "told"), [(KeyboardInterrupt, 0), (SystemExit, 1), (ValueError, 1)])
    def test_what_a_person_stopped_is_not_told(self, error, told, use):
        @flow(on_failure=[report_failure], on_crashed=[report_failure])
        def stopped():
            raise error

        with receiver() as (url, messages):
            use(url)
            with pytest.raises(error):
                stopped()
        assert len(messages) == told

    def test_a_lost_message_is_in_the_log_of_the_run_and_does_not_change_its_end(self, tmp_path, use, warnings):
        @flow
        def quiet():
            notify(tmp_path, "drift", "It drifted.", {})
            return "done"

        use(f"http://127.0.0.1:1/{SECRET}")
        assert quiet() == "done"
        assert len([warning for warning in warnings() if "drift" in warning]) == 1
