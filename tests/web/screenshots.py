"""Pictures of every page in both languages and themes, of a real server at work: make screenshots.

They go to docs/images/ as WebP, small enough to be kept.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

from conftest import find_chromium
from PIL import Image as Pillow
from playwright.sync_api import Browser, Page, expect, sync_playwright
from site_server import ROOT, Site, until

TO = ROOT / "docs" / "images"
SIZE = {"width": 1280, "height": 860}
QUALITY = 82
WIDE, TALL, SQUARE = (176, 96), (96, 144), (128, 128)
GALLERY = (
    ("a castle in the mountains", WIDE, 3),
    ("two cats", SQUARE, 4),
    ("雪地里的一只企鹅", TALL, 1),
    ("a red car on the beach", WIDE, 5),
    ("an owl at night", SQUARE, 2),
    ("大海上的一艘帆船", WIDE, 8),
    ("a pizza on a table", SQUARE, 1),
    ("three yellow stars", SQUARE, 9),
    ("a cactus in the desert", TALL, 4),
    ("水下的一只海豚", SQUARE, 6),
    ("a dinosaur", SQUARE, 2),
    ("森林里的一只狐狸", TALL, 5),
    ("a house in the snow", WIDE, 7),
    ("a purple umbrella in the rain", SQUARE, 3),
    ("a blue car in the city", WIDE, 1),
    ("a sailboat at sea", SQUARE, 12),
    ("a big sunflower on a blue background", TALL, 3),
    ("一只猫和一只狗", SQUARE, 5),
    ("a panda on a pink background", SQUARE, 2),
    ("a crab on the beach", SQUARE, 4),
    ("a rocket in space", TALL, 11),
    ("a snowman at sunset", SQUARE, 6),
    ("two butterflies in the sky", WIDE, 2),
    ("a guitar in a room", SQUARE, 1),
)
PAGES = {
    "generate": "",
    "gallery": "#/gallery",
    "performance": "#/performance",
    "settings": "#/settings",
    "about": "#/about",
}
PROMPTS = {"en": "a red apple on green grass", "zh": "太空中的一枚火箭"}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = Site(Path(folder))
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        try:
            site.wait_ready()
            for prompt, (width, height), seed in GALLERY:
                site.make(prompt, width=width, height=height, seed=seed, steps=20)
            for language in ("en", "zh"):
                for theme in ("light", "dark"):
                    shoot(browser, site, language, theme)
        finally:
            browser.close()
            site.kill()


def shoot(browser: Browser, site: Site, language: str, theme: Any) -> None:
    """Every page in one language and one theme, while pictures are made."""
    locale = "zh-CN" if language == "zh" else "en-GB"
    page = browser.new_page(viewport=SIZE, locale=locale, color_scheme=theme)
    before = {job["id"] for job in site.jobs()}
    for name, path in PAGES.items():
        page.goto(f"{site.url}/{path}")
        expect(page.locator("main h1")).to_have_count(1)
        if name == "generate":
            begin(page, PROMPTS[language])
        elif name == "performance":
            site.make(PROMPTS[language], n=6, steps=12, seed=1)
        page.wait_for_timeout(1200)
        keep(page.screenshot(), f"{name}-{language}-{theme}.webp")
        forget(site, before)
    page.close()


def begin(page: Page, prompt: str) -> None:
    """Make three pictures, and stop half way through the third of them."""
    page.locator("#prompt").fill(prompt)
    page.get_by_role("spinbutton").nth(2).fill("3")
    page.get_by_role("spinbutton").nth(3).fill("110")
    page.locator("input[min='-1']").fill("7")
    page.locator("form button[type=submit]").click()
    card = page.locator("article").first
    expect(card.locator("button img")).to_have_count(2)
    expect(card.locator("img.look")).not_to_have_count(0)
    page.locator(".fields").evaluate("fields => fields.scrollTo(0, 0)")
    page.mouse.move(0, 0)


def forget(site: Site, kept: set[str]) -> None:
    """Delete the jobs that are not among `kept`."""
    site.call("POST", "/api/v1/jobs/cancel")
    until(lambda: all(job["ended_at"] is not None for job in site.jobs()))
    for job in site.jobs():
        if job["id"] not in kept:
            site.call("DELETE", f"/api/v1/jobs/{job['id']}")


def keep(png: bytes, name: str) -> None:
    """Store a picture as WebP."""
    Pillow.open(io.BytesIO(png)).save(TO / name, "WEBP", quality=QUALITY, method=6)


if __name__ == "__main__":
    main()
