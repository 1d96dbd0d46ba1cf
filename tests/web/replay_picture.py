"""A picture of the Performance page over a recording, for the documentation.

python tests/web/replay_picture.py tests/web/recordings/h100x2.jsonl.gz docs/images/performance.webp
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image as Pillow
from playwright.sync_api import expect, sync_playwright
from site_server import Site

FILLED_S = 26  # of the recording, by then: the timeline is full
SIZE = {"width": 1280, "height": 1000}
QUALITY = 84


def main(recording: Path, to: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = Site(Path(folder), "--replay", str(recording.resolve()))
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"),
            args=["--no-sandbox"],
        )
        try:
            page = browser.new_page(viewport=SIZE, color_scheme="dark", device_scale_factor=1)
            page.goto(f"{site.url}/#/performance")
            expect(page.locator("#timeline")).to_be_visible()
            page.wait_for_timeout(FILLED_S * 1000)
            png = page.screenshot()
        finally:
            browser.close()
            site.kill()
    Pillow.open(io.BytesIO(png)).save(to, "WEBP", quality=QUALITY, method=6)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
