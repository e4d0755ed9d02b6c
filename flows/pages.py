"""Pages that stages wrote, shown to whoever asks."""

import os
import sys
import webbrowser
from pathlib import Path

from ferrule.errors import WorkflowError

REPORT = "artifacts/report/index.html"


def show_report(root: Path) -> Path:
    """Open the report in the browser where there is one, and return where it is; WorkflowError where it is missing."""
    page = root / REPORT
    if not page.is_file():
        raise WorkflowError(f"Expected {REPORT}, which the stage report writes; it is not there; run `ferrule run`.")
    if has_screen():
        webbrowser.open(page.as_uri())
    return page


def has_screen() -> bool:
    """Tell whether a browser can show something: without a screen Python would start one in the terminal."""
    return sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))
