"""Batch production: many prompts, one bar, a zip at the end."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from playwright.sync_api import Page, expect
from site_server import Site
from test_generate import generate, set_number

LINES = "a cat\n\n一只狗\na fox\n"


def begin(page: Page, lines: str = LINES, steps: str = "1") -> None:
    page.get_by_text("Batch", exact=True).click()
    page.get_by_label("Prompts, one a line").fill(lines)
    set_number(page, "Steps", steps)


def test_prompts_times_seeds_with_one_bar_and_a_zip(page: Page, site: Site) -> None:
    begin(page)
    set_number(page, "Seeds each", "12")
    expect(page.get_by_text("3 prompts, 36 pictures")).to_be_visible()
    expect(generate(page)).to_have_text("Generate 36 pictures")
    set_number(page, "Seeds each", "2")
    page.get_by_label("Seed", exact=True).fill("100")
    generate(page).click()
    batch = page.get_by_role("region", name="Batch")
    expect(batch.get_by_text("6 of 6 pictures")).to_be_visible()
    expect(batch.get_by_role("progressbar")).to_have_js_property("value", 6)
    with page.expect_download() as download:
        batch.get_by_role("button", name="Download as zip").click()
    assert len(zipfile.ZipFile(download.value.path()).namelist()) == 6
    jobs = site.jobs()
    assert {job["request"]["prompt"] for job in jobs} == {"a cat", "一只狗", "a fox"}
    assert {image["seed"] for job in jobs for image in job["images"]} == {100, 101}
    batch.get_by_role("button", name="Dismiss").click()
    expect(batch).to_have_count(0)


def test_a_refused_line_is_named_once_by_its_number_in_the_text(page: Page) -> None:
    begin(page, "a cat\n\n" + "a red apple " * 400)
    set_number(page, "Seeds each", "12")
    generate(page).click()
    batch = page.get_by_role("region", name="Batch")
    expect(batch.get_by_text("12 not made")).to_be_visible()
    expect(batch.get_by_text("Line 3: The prompt is too long")).to_have_count(1)
    expect(batch.get_by_text("Line ")).to_have_count(1)


def test_pictures_come_before_what_waits(page: Page) -> None:
    begin(page, "\n".join(f"a cat {number}" for number in range(30)), steps="30")
    generate(page).click()
    batch = page.get_by_role("region", name="Batch")
    expect(batch.get_by_text(re.compile(r"\d+ in line"))).to_be_visible()
    expect(page.get_by_role("button", name="Open: a cat 0")).to_be_visible()
    cards = page.locator("article")
    expect(cards.first).to_have_attribute("data-state", "running")
    expect(page.locator("article[data-state=queued]")).to_have_count(0)
    waiting = page.locator(".frame.empty").first
    ground = waiting.evaluate("element => getComputedStyle(element).backgroundColor")
    assert ground != page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    batch.get_by_role("button", name="Cancel the batch").click()
    expect(batch.get_by_text("not made")).to_be_visible()
    expect(cards.first.get_by_role("button", name="Open:").first).to_be_visible()
    batch.get_by_role("button", name="Dismiss").click()
    expect(cards.first.get_by_role("button", name="Open:").first).to_be_visible()


def test_lines_outlive_other_pages_and_a_reload(page: Page) -> None:
    begin(page)
    set_number(page, "Seeds each", "3")
    lines, seeds = page.get_by_label("Prompts, one a line"), page.get_by_role("spinbutton")
    page.get_by_role("link", name="About").click()
    page.get_by_role("link", name="Generate").click()
    for _ in range(2):
        expect(lines).to_have_value(LINES)
        expect(seeds.and_(page.get_by_label("Seeds each"))).to_have_value("3")
        page.reload()


def test_one_is_no_plural(page: Page) -> None:
    begin(page, "a cat")
    expect(page.get_by_text("1 prompt, 1 picture", exact=True)).to_be_visible()
    generate(page).click()
    expect(page.locator("article").get_by_text("1 step", exact=True)).to_be_visible()
    expect(page.get_by_role("region", name="Batch").get_by_text("1 of 1 picture")).to_be_visible()


def test_prompts_come_from_a_file(page: Page, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("a cow\r\na pig\r\n", encoding="utf-8")
    page.get_by_text("Batch", exact=True).click()
    page.get_by_label("From a text file").set_input_files(tmp_path / "prompts.txt")
    expect(page.get_by_text("2 prompts, 2 pictures")).to_be_visible()


def test_a_reload_in_mid_batch_asks_for_nothing_twice(page: Page, site: Site) -> None:
    begin(page, "\n".join(f"a cat {number}" for number in range(12)), steps="12")
    generate(page).click()
    batch = page.get_by_role("region", name="Batch")
    expect(batch.get_by_text("of 12 pictures")).to_be_visible()
    page.reload()
    expect(batch.get_by_text("12 of 12 pictures")).to_be_visible()
    jobs = site.jobs()
    assert len(jobs) == 12
    assert len({job["request"]["prompt"] for job in jobs}) == 12


def test_more_than_the_queue_holds_waits_for_room(page: Page, site: Site) -> None:
    site.call("PATCH", "/api/v1/settings", {"max_queue": 2})
    try:
        begin(page, "\n".join(["a cat"] * 5))
        generate(page).click()
        batch = page.get_by_role("region", name="Batch")
        expect(batch.get_by_text("5 of 5 pictures")).to_be_visible()
    finally:
        site.call("PATCH", "/api/v1/settings", {"max_queue": 64})


def test_a_batch_is_cancelled_as_one(page: Page) -> None:
    begin(page, "\n".join(["a cat"] * 6), steps="100")
    generate(page).click()
    batch = page.get_by_role("region", name="Batch")
    batch.get_by_role("button", name="Cancel the batch").click()
    expect(batch.get_by_text("not made")).to_be_visible()
    expect(batch.get_by_role("button", name="Dismiss")).to_be_visible()


def test_another_tab_cancels_it_too(page: Page, site: Site) -> None:
    site.call("PATCH", "/api/v1/settings", {"max_queue": 2})
    try:
        begin(page, "\n".join(["a cat"] * 8), steps="60")
        generate(page).click()
        batch = page.get_by_role("region", name="Batch")
        expect(batch.get_by_text("waiting for room in the queue")).to_be_visible()
        other = page.context.new_page()
        other.goto(site.url)
        theirs = other.get_by_role("region", name="Batch")
        theirs.get_by_role("button", name="Cancel the batch").click()
        expect(batch.get_by_role("button", name="Dismiss")).to_be_visible()
        expect(theirs.get_by_role("button", name="Dismiss")).to_be_visible()
        asked = len(site.jobs())
        page.wait_for_timeout(2000)  # longer than a tab waits before it tries again
        assert len(site.jobs()) == asked < 8
        theirs.get_by_role("button", name="Dismiss").click()
        expect(batch).to_have_count(0)
    finally:
        site.call("PATCH", "/api/v1/settings", {"max_queue": 64})


def test_it_runs_in_a_browser_that_keeps_no_more(page: Page) -> None:
    page.evaluate(_FILL)
    begin(page)
    generate(page).click()
    batch = page.get_by_role("region", name="Batch")
    expect(batch.get_by_text("3 of 3 pictures")).to_be_visible()


# Takes all the room that a browser has for the page's own notes.
_FILL = """
for (let size = 2 ** 22, name = 0; size >= 1; name += 1) {
  try {
    localStorage.setItem(`filling-${name}`, "x".repeat(size))
  } catch {
    size /= 2
  }
}
"""
