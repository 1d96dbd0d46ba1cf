"""Where the keyboard goes on: never at the bare document; and what asks before it deletes."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect
from site_server import Site
from test_generate import newest


def test_a_dialog_gives_the_focus_back(page: Page, site: Site) -> None:
    site.make("a cat")
    page.reload()
    picture = page.get_by_role("button", name="Open: a cat")
    for close in ("Escape", "Close"):
        picture.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        if close == "Escape":
            page.keyboard.press("Escape")
        else:
            page.get_by_role("button", name="Close").press("Enter")
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(picture).to_be_focused()
    subjects = page.get_by_role("button", name=re.compile("All 716 subjects"))
    subjects.press("Enter")
    expect(page.get_by_label("Find a subject")).to_be_focused()
    page.keyboard.press("Escape")
    expect(subjects).to_be_focused()


def test_from_the_last_picture_the_keyboard_goes_back(page: Page, site: Site) -> None:
    site.make("a cat")
    site.make("a dog")
    page.goto(f"{site.url}/#/gallery")
    page.get_by_role("button", name="a dog", exact=True).press("Enter")
    forth = page.get_by_role("button", name="Next picture")
    back = page.get_by_role("button", name="Previous picture")
    forth.press("Enter")
    expect(page.get_by_role("dialog").get_by_text("a cat")).to_be_visible()
    expect(forth).to_have_count(0)
    expect(back).to_be_focused()
    page.keyboard.press("Enter")
    expect(forth).to_be_focused()
    copy = page.get_by_role("button", name="Copy prompt")
    copy.focus()
    page.keyboard.press("ArrowRight")
    expect(back).to_be_visible()
    expect(copy).to_be_focused()


def test_a_job_is_deleted_after_a_question_and_the_next_is_gone_to(page: Page, site: Site) -> None:
    site.make("a cat")
    site.make("a dog", n=2)
    page.reload()
    trash = newest(page).get_by_role("button", name="Delete these pictures")
    question = page.get_by_role("alertdialog", name="Delete 2 pictures for good?")
    keep = question.get_by_role("button", name="Keep")
    colours = "one => getComputedStyle(one).color"
    for answer in ("Escape", "Enter"):
        trash.press("Enter")
        expect(keep).to_be_focused()
        ink = page.locator("h1").first.evaluate(colours)
        assert keep.evaluate(colours) == ink
        assert question.get_by_role("button", name="Delete").evaluate(colours) != ink
        page.keyboard.press(answer)
        expect(trash).to_be_focused()
    assert len(site.jobs()) == 2
    trash.press("Enter")
    question.get_by_role("button", name="Delete").press("Enter")
    expect(page.locator("article")).to_have_count(1)
    expect(newest(page)).to_be_focused()
    newest(page).get_by_role("button", name="Delete these pictures").press("Enter")
    page.get_by_role("alertdialog").get_by_role("button", name="Delete").press("Enter")
    expect(page.locator("article")).to_have_count(0)
    expect(page.get_by_label("Prompt", exact=True)).to_be_focused()


def test_a_job_without_pictures_goes_without_a_question(page: Page, site: Site) -> None:
    site.call("POST", "/api/v1/jobs", {"prompt": "a cat", "steps": 100, "n": 2})
    site.call("POST", "/api/v1/jobs/cancel")
    page.reload()
    expect(newest(page)).to_have_attribute("data-state", "cancelled")
    newest(page).get_by_role("button", name="Take it off the list").click()
    expect(page.locator("article")).to_have_count(0)


def test_a_preset_is_named_and_deleted_by_keyboard(page: Page) -> None:
    add = page.get_by_role("button", name="Keep as a preset")
    name = page.get_by_label("Name of the preset")
    page.get_by_role("spinbutton", name="Steps", exact=True).fill("17")
    add.press("Enter")
    name.press("Escape")
    expect(add).to_be_focused()
    add.press("Enter")
    name.fill("mine")
    name.press("Enter")
    expect(add).to_be_focused()
    delete = page.get_by_role("button", name="Delete the preset mine")
    question = page.get_by_role("alertdialog", name="Delete this preset?")
    delete.press("Enter")
    page.keyboard.press("Escape")
    expect(delete).to_be_focused()
    delete.press("Enter")
    question.get_by_role("button", name="Delete").press("Enter")
    expect(page.get_by_role("button", name="mine", exact=True)).to_have_count(0)
    expect(add).to_be_focused()


def test_a_selection_that_ends_leaves_the_focus_on_a_picture(page: Page, site: Site) -> None:
    for prompt in ("a cat", "a dog", "a cow"):
        site.make(prompt)
    page.goto(f"{site.url}/#/gallery")
    dog = page.get_by_role("button", name="a dog", exact=True)
    dog.press("Space")
    page.get_by_role("button", name="Clear selection").press("Enter")
    expect(dog).to_be_focused()
    dog.press("Space")
    page.get_by_role("button", name="Delete").press("Enter")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Delete")).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("alertdialog").get_by_role("button", name="Delete").press("Enter")
    expect(dog).to_have_count(0)
    expect(page.get_by_role("button", name="a cat", exact=True)).to_be_focused()
    for _ in range(2):
        page.keyboard.press("Space")
        page.get_by_role("button", name="Delete").press("Enter")
        page.get_by_role("alertdialog").get_by_role("button", name="Delete").press("Enter")
        expect(page.get_by_role("alertdialog")).to_have_count(0)
        expect(page.get_by_text("selected")).to_have_count(0)
    expect(page.get_by_label("Search prompts")).to_be_focused()


def test_a_key_that_is_held_down_asks_once(page: Page, site: Site) -> None:
    page.get_by_label("Prompt", exact=True).fill("a cat")
    page.get_by_role("spinbutton", name="Steps", exact=True).fill("100")
    hold(page, "Enter", with_="Control")
    expect(page.locator("article")).to_have_count(1)
    steps = page.get_by_role("spinbutton", name="Steps", exact=True)
    for place in (steps, page.locator("form button[type=submit]")):
        before = len(site.jobs())
        place.focus()
        hold(page, "Enter")
        expect(page.locator("article")).to_have_count(before + 1)
    hold(page, "Escape")
    expect(newest(page)).to_have_attribute("data-state", re.compile("running|queued"))
    assert sum(job["state"] == "cancelled" for job in site.jobs()) == 1
    assert len(site.jobs()) == 3


def hold(page: Page, key: str, with_: str | None = None) -> None:
    """Press a key for so long that it repeats."""
    if with_ is not None:
        page.keyboard.down(with_)
    for _ in range(5):
        page.keyboard.down(key)
        page.wait_for_timeout(40)
    page.keyboard.up(key)
    if with_ is not None:
        page.keyboard.up(with_)
    page.wait_for_timeout(300)


def test_a_dialogs_keys_are_its_own(page: Page, site: Site) -> None:
    site.make("a cat")
    page.get_by_label("Prompt", exact=True).fill("a dog")
    page.get_by_role("button", name="Open: a cat").click()
    page.get_by_role("button", name="Copy prompt").press("Control+Enter")
    page.wait_for_timeout(300)
    assert len(site.jobs()) == 1


def test_a_question_is_of_the_picture_that_it_was_asked_of(page: Page, site: Site) -> None:
    site.make("a cat")
    site.make("a dog")
    page.goto(f"{site.url}/#/gallery")
    page.get_by_role("button", name="a dog", exact=True).press("Enter")
    page.get_by_role("button", name="Delete").press("Enter")
    expect(page.get_by_role("alertdialog")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("dialog").get_by_text("a cat")).to_be_visible()
    expect(page.get_by_role("alertdialog")).to_have_count(0)
    assert page.evaluate("document.querySelector('dialog').contains(document.activeElement)")
