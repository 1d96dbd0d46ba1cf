"""One server and one browser for all tests of the page; a fresh browser profile for each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from site_server import ROOT, Site

NAMES = ("chromium", "chromium-browser", "google-chrome")
LIMIT_MS = 60_000  # machines that run tests are slow, and their neighbours busy

expect.set_options(timeout=LIMIT_MS)


def find_chromium() -> str:
    """The system's Chromium; none is ever downloaded."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.fail(
            "the page's tests drive Chromium and there is none; install it (Debian: apt-get "
            "install chromium) or name it: CHROMIUM=/path/to/chromium make test-web",
            pytrace=False,
        )
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = find_chromium()
    with sync_playwright() as playwright:
        # Without a sandbox, which root may not have; it opens pages of this machine alone.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if not (ROOT / "mezzotint" / "web" / "index.html").is_file():
        pytest.fail("the page is not built; build it with: make web", pytrace=False)
    site = Site(tmp_path_factory.mktemp("site"))
    site.wait_ready()
    yield site
    site.end()


@pytest.fixture
def site(shared_site: Site) -> Site:
    """The server, without a job or a picture."""
    shared_site.clear()
    return shared_site


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 860})
    context.set_default_timeout(LIMIT_MS)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, site: Site) -> Iterator[Page]:
    """The page as a newcomer sees it. No script of it may fail, and its policy forbid nothing."""
    page = context.new_page()
    faults = watch(page)
    page.goto(site.url)
    yield page
    assert faults == []


def watch(page: Page) -> list[str]:
    """What goes wrong on a page from now on: exceptions, and what its policy stops."""
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console",
        lambda note: (
            faults.append(note.text)
            if "Content Security Policy" in note.text or "Trusted" in note.text
            else None
        ),
    )
    return faults


def built(name: str) -> str:
    """A file of the page's tools, as text."""
    return Path(ROOT, "webui", "node_modules", name).read_text()
