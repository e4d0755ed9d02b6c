"""The command line: quick to answer, one sentence for an error, and the wheel alone without the workflow's commands."""

import subprocess
import sys
import time

import click
import pytest
from click.testing import CliRunner
from conftest import REPOSITORY

from ferrule import cli
from ferrule.errors import DataError
from flows.commands.running import promote_command


def run_ferrule(*arguments, cwd=REPOSITORY):
    return subprocess.run(
        [sys.executable, "-c", "from ferrule.cli import main; main()", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_answers_in_under_a_second():
    times = []
    for _ in range(3):
        start = time.perf_counter()
        result = run_ferrule("--help")
        times.append(time.perf_counter() - start)
    assert result.returncode == 0
    for command in ("data", "run", "promote", "status", "ui"):
        assert command in result.stdout
    assert min(times) < 1


def test_an_expected_error_is_one_sentence_and_status_1(tmp_path):
    result = run_ferrule("status", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("ferrule: Expected a Ferrule project")
    assert "Traceback" not in result.stderr


def test_debug_shows_the_traceback(tmp_path):
    assert "Traceback" in run_ferrule("--debug", "status", cwd=tmp_path).stderr


@pytest.mark.parametrize(
    ("error", "status"),
    [(DataError("no."), 1), (click.Abort(), 130), (KeyboardInterrupt(), 130), (click.UsageError("what?"), 2)],
)
def test_exit_status_of_each_kind_of_error(error, status, monkeypatch, capsys):
    @click.command()
    def fail():
        raise error

    monkeypatch.setitem(cli.cli.commands, "fail", fail)
    with pytest.raises(SystemExit) as stop:
        cli.main(["fail"])
    assert stop.value.code == status


def test_the_wheel_alone_has_no_workflow_commands():
    """In a process that cannot import flows/, as after `pip install ferrule`, the group simply has fewer commands."""
    code = "import sys; sys.path = [p for p in sys.path if p not in ('', %r)]; sys.modules['flows'] = None\n"
    code += "from ferrule import cli; cli.main(['--help'])"
    result = subprocess.run([sys.executable, "-c", code % str(REPOSITORY)], capture_output=True, text=True, cwd="/")
    assert "status" not in result.stdout


@pytest.mark.parametrize(
    "options", [["--approve", "--refuse", "--why", "x"], ["--approve"], ["--refuse", "--why", " "], ["--why", "x"]]
)
def test_promote_takes_one_answer_with_its_reason_or_it_is_a_usage_error(options):
    result = CliRunner().invoke(promote_command, options)
    assert result.exit_code == 2
    assert "Expected one of --approve and --refuse" in result.output
