"""Take the picture of a report for the documents: that of a run on the embedded sample, whose faces are drawn.

    python docs/draw_report.py artifacts/report/index.html

Needs Chromium.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).parent / "pictures" / "report.png"
SIZE = {"width": 1280, "height": 1160}


def main() -> int:
    """Draw the top of the page into docs/pictures; return the exit status."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None or len(sys.argv) != 2:
        print("draw_report: Expected Chromium and the path of a report; one is missing.", file=sys.stderr)
        return 1
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, device_scale_factor=1)
        page.goto(Path(sys.argv[1]).resolve().as_uri())
        page.screenshot(path=PICTURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
