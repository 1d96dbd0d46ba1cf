"""Settings, keys, signing in, and what a page says of the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import watch
from playwright.sync_api import Browser, Page, expect
from site_server import Site

KEY = "k-0123456789abcdef"


def test_language_and_theme_are_chosen_and_kept(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/#/settings")
    page.get_by_text("中文", exact=True).last.click()
    expect(page.get_by_role("heading", name="高级设置")).to_be_visible()
    page.get_by_text("深色", exact=True).click()
    page.reload()
    expect(page.get_by_role("heading", name="高级设置")).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    page.get_by_text("浅色", exact=True).click()
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != dark


def test_settings_say_when_they_count(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/#/settings")
    queue = page.get_by_role("spinbutton", name="Pictures accepted and not finished")
    queue.fill("128")
    queue.press("Enter")
    expect(page.get_by_text("Saved")).to_be_visible()
    names = {s["name"]: s["value"] for s in site.call("GET", "/api/v1/settings")["settings"]}
    assert names["max_queue"] == 128
    page.get_by_role("button", name="Back to 64").click()
    expect(queue).to_have_value("64")
    queue.fill("0")
    queue.press("Enter")
    expect(page.get_by_text("max_queue must be a whole number from 1 to 10000")).to_be_visible()
    producer = page.get_by_label("The producer named in the AI-content marks")
    producer.fill("me")
    producer.press("Enter")
    expect(page.get_by_text("until then: mezzotint")).to_be_visible()
    page.get_by_role("button", name="Back to mezzotint").click()
    expect(page.get_by_text("until then")).to_have_count(0)


def kept(site: Site) -> dict[str, Any]:
    return {s["name"]: s["value"] for s in site.call("GET", "/api/v1/settings")["settings"]}


def test_a_setting_is_sent_on_enter_or_by_its_button_alone(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/#/settings")
    queue = page.get_by_role("spinbutton", name="Pictures accepted and not finished")
    save = page.get_by_role("button", name="Save", exact=True)
    queue.press("ArrowUp")
    queue.press("ArrowUp")
    expect(save).to_be_visible()
    queue.blur()
    page.wait_for_timeout(300)
    assert kept(site)["max_queue"] == 64
    queue.press("Escape")
    expect(queue).to_have_value("64")
    expect(save).to_have_count(0)
    queue.fill("")
    expect(save).to_be_disabled()
    queue.fill("0")
    queue.press("Enter")
    expect(page.get_by_text("max_queue must be")).to_be_visible()
    queue.press("Escape")
    expect(page.get_by_text("max_queue must be")).to_have_count(0)
    queue.fill("66")
    save.press("Enter")
    expect(page.get_by_text("Saved")).to_be_visible()
    expect(queue).to_be_focused()
    assert kept(site)["max_queue"] == 66
    level = page.get_by_label("What files say of how they were made")
    level.focus()
    level.press("ArrowDown")
    chosen = level.input_value()
    assert kept(site)["metadata"] != chosen
    save.click()
    expect(save).to_have_count(0)
    assert kept(site)["metadata"] == chosen
    for name in ("max_queue", "metadata"):
        row = page.get_by_role("listitem").filter(has_text=name)
        row.get_by_role("button", name="Back to").press("Enter")
        expect(row.get_by_role("button")).to_have_count(0)
        expect(page.locator(f"#setting-{name}")).to_be_focused()


def test_keeping_less_asks_before_it_deletes(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/#/settings")
    pictures = page.get_by_role("spinbutton", name="Pictures kept")
    question = page.get_by_role("alertdialog", name="Pictures beyond it are deleted for good")
    try:
        pictures.press("ArrowUp")
        pictures.press("Enter")
        expect(question).to_be_visible()
        page.keyboard.press("Escape")
        expect(question).to_have_count(0)
        expect(pictures).to_be_focused()
        assert kept(site)["keep_pictures"] == 0
        page.keyboard.press("Escape")
        expect(pictures).to_have_value("0")
        pictures.fill("5000")
        page.get_by_role("button", name="Save", exact=True).click()
        question.get_by_role("button", name="Delete").click()
        expect(page.get_by_text("Saved")).to_be_visible()
        assert kept(site)["keep_pictures"] == 5000
        pictures.fill("6000")
        pictures.press("Enter")  # more than before: nothing to ask
        expect(page.get_by_role("button", name="Save", exact=True)).to_have_count(0)
        expect(pictures).to_have_value("6000")
        assert kept(site)["keep_pictures"] == 6000
    finally:
        site.call("PATCH", "/api/v1/settings", {"keep_pictures": 0})


def test_about_says_what_runs(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/#/about")
    for text in ("mezzotint-small", "Apache-2.0", "cpu"):
        expect(page.get_by_text(text).first).to_be_visible()
    with page.expect_response("**/licences.txt") as answer:
        page.get_by_role("link", name="licences").click()
    assert "SIL OPEN FONT LICENSE" in answer.value.text()


def test_a_model_that_could_not_be_loaded_is_not_said_to_be_loading(page: Page, site: Site) -> None:
    failed = {"status": "failed", "loaded": None}
    page.route("**/ready", lambda route: route.fulfill(status=503, json=failed))
    page.goto(f"{site.url}/?again")
    expect(page.get_by_text("The model could not be loaded")).to_be_visible()
    for name in ("Generate", "About"):
        page.get_by_role("link", name=name).click()
        expect(page.get_by_text("There is no model")).to_be_visible()
        expect(page.get_by_text("The model is loading")).to_have_count(0)


@pytest.fixture
def closed(browser: Browser, tmp_path: Path) -> Iterator[tuple[Site, Page]]:
    """A server that takes keys, and a page at it."""
    site = Site(tmp_path, key=KEY)
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    faults = watch(page)
    page.goto(site.url)
    yield site, page
    assert faults == []
    context.close()
    site.kill()


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_label("Key", exact=True).press("Enter")
    expect(page.get_by_role("heading", name="Sign in")).to_have_count(0)


def test_a_server_with_keys_asks_for_one(closed: tuple[Site, Page]) -> None:
    site, page = closed
    key = page.get_by_label("Key", exact=True)
    key.fill("wrong")
    key.press("Enter")
    expect(page.get_by_text("This key is not valid here")).to_be_visible()
    key.fill(KEY)
    key.press("Enter")
    expect(page.locator("form button[type=submit]")).to_have_text("Generate")
    assert page.evaluate("document.cookie") == "", "a script can read the session"
    page.get_by_label("Prompt", exact=True).fill("a cat")
    page.get_by_label("Prompt", exact=True).press("Control+Enter")
    expect(page.locator("article")).to_have_attribute("data-state", "done")

    page.goto(f"{site.url}/#/settings")
    expect(page.get_by_text("Signed in as operator")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("alice")
    page.get_by_role("button", name="Make a key").click()
    made = page.locator(".made code")
    expect(made).not_to_be_empty()
    secret = made.inner_text()
    assert site.call("GET", "/api/v1/session", key=secret)["name"] == "alice"

    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Key", exact=True).fill(secret)
    page.get_by_role("button", name="Sign in").click()
    expect(
        page.get_by_text("The server's settings and keys are for administrators")
    ).to_be_visible()
    page.goto(f"{site.url}/#/gallery")
    expect(page.get_by_text("No pictures yet")).to_be_visible()  # alice sees her own


def test_with_keys_the_page_is_no_wider_than_a_phone(closed: tuple[Site, Page]) -> None:
    site, page = closed
    for name in ("ann", "somebody of a department " * 4, "x" * 100):
        site.call("POST", "/api/v1/keys", {"name": name.strip(), "role": "user"}, KEY)
    page.set_viewport_size({"width": 390, "height": 720})
    page.goto(f"{site.url}/#/settings")
    sign_in(page, KEY)
    expect(page.get_by_role("row")).to_have_count(4)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_role("button", name="Revoke the key of ann").click()
    page.get_by_role("alertdialog", name="Revoke ann?").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("revoked")).to_be_visible()


def test_who_cannot_be_signed_out_is_told(closed: tuple[Site, Page]) -> None:
    site, page = closed
    sign_in(page, KEY)
    page.goto(f"{site.url}/#/settings")
    expect(page.get_by_text("Signed in as operator")).to_be_visible()
    site.kill()
    page.get_by_role("button", name="Sign out").click()
    own = page.locator("section").filter(has=page.get_by_role("heading", name="This browser"))
    expect(own.get_by_role("alert")).to_contain_text("The server does not answer. Try again")


def test_what_one_caller_leaves_is_not_for_the_next(closed: tuple[Site, Page]) -> None:
    site, page = closed
    body = {"name": "ann", "role": "user"}, {"name": "bob", "role": "user"}
    ann, bob = (site.call("POST", "/api/v1/keys", one, KEY)["key"] for one in body)
    prompt = page.get_by_label("Prompt", exact=True)
    sign_in(page, ann)
    prompt.fill("a cat of ann")
    prompt.press("Control+Enter")
    expect(page.locator("article")).to_have_attribute("data-state", "done")
    for who, cards, text in ((ann, 1, "a cat of ann"), (bob, 0, "")):
        page.get_by_role("link", name="Settings").click()
        page.get_by_role("button", name="Sign out").click()
        sign_in(page, who)
        page.get_by_role("link", name="Generate").click()
        expect(prompt).to_have_value(text)
        page.wait_for_timeout(300)
        expect(page.locator("article")).to_have_count(cards)
    page.reload()
    expect(prompt).to_have_value("")
