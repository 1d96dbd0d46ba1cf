"""The browser's Back: it closes what lies over the page, and leads to where one was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from site_server import Site
from test_generate import newest

STATE = "() => [location.hash, history.length, history.state?.over ?? 0]"


@pytest.fixture
def phone(browser: Browser, site: Site) -> Iterator[Page]:
    """The page on a phone, with two jobs."""
    site.make("a cat", n=2)
    site.make("a dog")
    context = browser.new_context(
        locale="en-GB", viewport={"width": 390, "height": 720}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.goto(site.url)
    expect(page.locator("article")).to_have_count(2)
    yield page
    context.close()


def settled(page: Page) -> list[Any]:
    """Where the history is once the browser has gone where it was told to."""
    page.wait_for_timeout(300)
    state: list[Any] = page.evaluate(STATE)
    return state


def test_back_closes_a_dialog_and_leaves_the_page_where_it_was(phone: Page) -> None:
    picture = newest(phone).get_by_role("button", name="Open: a dog")
    picture.scroll_into_view_if_needed()
    before = phone.evaluate("scrollY")
    assert before > 200
    for _ in range(2):  # the second time takes the first one's entry
        picture.click()
        expect(phone.get_by_role("dialog")).to_be_visible()
        phone.go_back()
        expect(phone.get_by_role("dialog")).to_have_count(0)
        expect(phone.locator("article")).to_have_count(2)
        assert settled(phone)[2] == 0
        assert phone.evaluate("scrollY") == before
    phone.go_forward()
    assert settled(phone)[2] == 0
    expect(phone.get_by_role("dialog")).to_have_count(0)


def test_a_dialog_that_is_closed_leaves_no_entry(phone: Page, site: Site) -> None:
    phone.goto(f"{site.url}/#/about")
    phone.goto(f"{site.url}/#/gallery")
    for close in ("Close", "Escape"):
        phone.get_by_role("button", name="a dog").click()
        assert settled(phone)[2] == 1
        if close == "Escape":
            phone.keyboard.press(close)
        else:
            phone.get_by_role("button", name=close).click()
        expect(phone.get_by_role("dialog")).to_have_count(0)
        assert settled(phone)[2] == 0
    phone.go_back()
    expect(phone.get_by_text("Apache-2.0").first).to_be_visible()


def test_after_a_reload_back_leads_away_at_once(phone: Page, site: Site) -> None:
    phone.goto(f"{site.url}/#/about")
    phone.goto(f"{site.url}/#/gallery")
    phone.get_by_role("button", name="a dog").click()
    expect(phone.get_by_role("dialog")).to_be_visible()
    phone.reload()
    expect(phone.get_by_role("button", name="a dog")).to_be_visible()
    expect(phone.get_by_role("dialog")).to_have_count(0)
    assert settled(phone)[2] == 0
    phone.go_back()
    expect(phone.get_by_text("Apache-2.0").first).to_be_visible()


def test_settings_taken_in_a_dialog_lead_on_and_back(phone: Page, site: Site) -> None:
    phone.goto(f"{site.url}/#/gallery")
    phone.get_by_role("button", name="a dog").click()
    phone.get_by_role("button", name="Use all settings").click()
    prompt = phone.get_by_label("Prompt", exact=True)
    expect(prompt).to_have_value("a dog")
    expect(prompt).to_be_focused()
    expect(prompt).to_be_in_viewport(ratio=1)
    phone.go_back()
    expect(phone.get_by_label("Search prompts")).to_be_visible()
    expect(phone.get_by_role("dialog")).to_have_count(0)
    assert settled(phone)[2] == 0
    phone.go_back()
    expect(prompt).to_be_visible()


def test_pictures_are_turned_over_on_generate(page: Page, site: Site) -> None:
    site.make("a cat", n=2)
    site.make("a dog")
    page.reload()
    page.get_by_role("button", name="Open: a dog").click()
    dialog = page.get_by_role("dialog")
    picture = dialog.locator(".plate img")
    expect(dialog.get_by_role("button", name="Previous picture")).to_have_count(0)
    sources = [picture.get_attribute("src")]
    for name in ("Next picture", "ArrowRight"):
        if name == "ArrowRight":
            page.keyboard.press(name)
        else:
            dialog.get_by_role("button", name=name).click()
        expect(picture).not_to_have_attribute("src", str(sources[-1]))
        sources.append(picture.get_attribute("src"))
    expect(dialog.get_by_role("button", name="Next picture")).to_have_count(0)
    dialog.get_by_role("button", name="Star").click()
    expect(dialog.get_by_role("button", name="Remove the star")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(dialog.get_by_role("button", name="Remove the star")).to_have_count(0)
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("button", name="Remove the star")).to_be_visible()
    dialog.get_by_role("button", name="Delete").click()
    dialog.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Open: a cat")).to_have_count(1)
    assert page.evaluate("document.activeElement !== document.body")


def test_the_gallery_is_found_again_as_it_was_left(page: Page, site: Site) -> None:
    page.set_viewport_size({"width": 900, "height": 400})
    for prompt in ("a cat", "a dog", "a cow"):
        site.make(prompt, n=10, steps=1)
    page.goto(f"{site.url}/#/gallery")
    expect(page.get_by_text("30 pictures")).to_be_visible()
    for leave in ("link", "dialog"):
        page.mouse.move(400, 300)
        page.evaluate("scrollTo(0, 600)")
        page.wait_for_timeout(300)
        place = page.evaluate("scrollY")
        assert place > 300
        if leave == "link":
            page.get_by_role("link", name="Generate").click()
        else:
            page.locator(".picture").and_(page.get_by_label("a cat")).first.click()
            place = page.evaluate("scrollY")  # where the picture is in sight
            page.get_by_role("button", name="Use prompt").click()
        expect(page.get_by_label("Prompt", exact=True)).to_be_visible()
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_timeout(300)
        page.go_back()
        expect(page.get_by_text("30 pictures")).to_be_visible()
        page.wait_for_timeout(300)
        assert page.evaluate("scrollY") == place, leave
    page.get_by_role("link", name="Generate").click()
    page.get_by_role("link", name="Gallery").click()
    expect(page.get_by_text("30 pictures")).to_be_visible()
    assert page.evaluate("scrollY") == 0  # a link leads to the newest
