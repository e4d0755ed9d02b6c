"""Where stages write, a folder that appears whole or not at all, and what they read of each other."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside `folder`, and move it into its place when the block ends well.

    Where the block raises, what was written is removed and `folder` stays as it was.
    """
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def read_json(path: Path) -> dict[str, Any]:
    """Return what a stage wrote as JSON."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content
