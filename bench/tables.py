"""The command line of a benchmark whose tables stand in a document, between two marks."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ferrule.documents import split_at_marks, write_between
from ferrule.errors import FerruleError


def marks(name: str, document: str) -> tuple[str, str]:
    """Return the lines between which the tables of `bench.<name>` stand in `document`."""
    return (
        f"<!-- {name}: `python -m bench.{name} --write {document}` writes what follows -->",
        f"<!-- end of {name} -->",
    )


def show_tables(
    name: str,
    document: str,
    about: str | None,
    measure: Callable[..., str],
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> int:
    """Print what `measure` makes of the project's folder, or write it into a document; return the exit status.

    `about` is the benchmark's docstring; `options` are those of its own, as argparse takes them, by the names under
    which `measure` gets them after the folder. Missing marks are told before minutes are spent.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m bench.{name}", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=Path(), help="the project's folder (default: the current one)")
    parser.add_argument("--write", type=Path, help=f"the document to write the tables into, such as {document}")
    for option, settings in (options or {}).items():
        parser.add_argument(f"--{option}", **settings)
    args = parser.parse_args()
    begin, end = marks(name, document)
    try:
        if args.write:
            split_at_marks(args.write, begin, end)
        tables = measure(args.root, **{option: getattr(args, option) for option in options or {}})
        if args.write:
            write_between(args.write, begin, end, tables)
        else:
            print(tables)
    except FerruleError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0
