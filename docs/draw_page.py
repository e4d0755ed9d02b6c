"""Take the picture of the page for the documents, with drawn faces.

    python docs/draw_page.py

Needs Chromium. The model is the one that ships.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

PICTURE = Path(__file__).parent / "pictures" / "page.png"
EXAMPLE = "friends"
SIZE = {"width": 1180, "height": 800}


def main() -> int:
    """Draw the page into docs/pictures; return the exit status."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("draw_page: Expected Chromium; there is none; install it.", file=sys.stderr)
        return 1
    command = [str(Path(sys.executable).with_name("ferrule")), "serve", "--model", "pretrained", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            _take(server.stdout.readline().split()[0], chromium)
        finally:
            server.terminate()
    return 0


def _take(address: str, chromium: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, device_scale_factor=1)
        page.goto(address)
        _ask(page)
        page.screenshot(path=PICTURE)


def _ask(page: Page) -> None:
    """Choose the example, and wait until its faces are answered and their bars have grown."""
    page.click(f"[src$='{EXAMPLE}.png']")
    page.wait_for_selector(".face")
    page.check("#explain")
    page.wait_for_selector("#legend:not([hidden])")
    page.mouse.move(0, 0)
    page.evaluate("() => document.activeElement.blur()")
    page.wait_for_timeout(500)


if __name__ == "__main__":
    sys.exit(main())
