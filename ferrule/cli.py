"""The command `ferrule`: one group, to which each floor adds its commands.

The library brings what uses a model. A floor above joins through the entry-point group `ferrule.commands`, so that the
library imports nothing upward; where only the wheel is installed, those commands are simply not there.
"""

import os
import signal
import sys
import traceback
from importlib.metadata import entry_points
from types import FrameType

import click

from ferrule import __version__
from ferrule.commands.predict import predict
from ferrule.commands.serve import serve
from ferrule.errors import FerruleError

_PIPE_CLOSED = 128 + 13  # as the shell tells of a program that SIGPIPE ended


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="ferrule")
@click.option("--debug", is_flag=True, help="Show the traceback behind an error.")
def cli(debug: bool) -> None:
    """Facial expression recognition one can trust: from raw FER-2013 to a registered, promoted model, and its use."""


cli.add_command(predict)
cli.add_command(serve)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; an expected error is one sentence on standard error and exit status 1."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not _is_own(arguments):
        join_commands(cli)
    signal.signal(signal.SIGTERM, _exit_cleanly)
    try:
        status = cli.main(args=arguments, prog_name="ferrule", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter would say it again
        status = _PIPE_CLOSED
    except (FerruleError, OSError) as error:
        if "--debug" in arguments:
            traceback.print_exc()
        advice = "" if isinstance(error, FerruleError) else "; free or allow what it names."  # a full disk, say
        click.echo(f"ferrule: {error}{advice}", err=True)
        status = 1
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("ferrule: stopped.", err=True)
        status = 130
    sys.exit(status)


def join_commands(group: click.Group) -> None:
    """Add what the entry points of `ferrule.commands` name: each is a sequence of click commands."""
    for entry in entry_points(group="ferrule.commands"):
        try:
            commands = entry.load()
        except ModuleNotFoundError as error:
            if error.name != entry.module.partition(".")[0]:
                raise
            continue  # the wheel alone: the floor that brings these commands is not installed
        for command in commands:
            group.add_command(command)


def _is_own(arguments: list[str]) -> bool:
    """Tell whether a command of the library is asked for, which needs no other floor: importing those takes time."""
    return next((word for word in arguments if not word.startswith("-")), None) in cli.commands


def _exit_cleanly(number: int, frame: FrameType | None) -> None:
    """Leave by way of SystemExit, so that what was started (Prefect's temporary server) is stopped too."""
    sys.exit(128 + number)
