"""Nothing is lost: a reload, a second tab, a server that dies."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, Page, expect
from site_server import Site
from test_generate import generate, newest, run, set_number


def test_a_reload_in_mid_run_goes_on_where_it_was(page: Page, site: Site) -> None:
    set_number(page, "Steps", "60")
    set_number(page, "Pictures", "2")
    run(page, "a cat")
    expect(newest(page)).to_have_attribute("data-state", "running")
    page.get_by_label("Prompt", exact=True).fill("what I was typing")
    page.reload()
    expect(newest(page)).to_have_attribute("data-state", "running")
    expect(newest(page).get_by_text("a cat", exact=True)).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("what I was typing")
    expect(page.get_by_role("spinbutton", name="Steps", exact=True)).to_have_value("60")
    expect(newest(page)).to_have_attribute("data-state", "done")
    assert len(site.jobs()) == 1


def test_a_server_that_is_killed_goes_on_and_so_does_the_page(page: Page, site: Site) -> None:
    set_number(page, "Steps", "50")
    set_number(page, "Pictures", "2")
    run(page, "a cat")
    expect(newest(page)).to_have_attribute("data-state", "running")
    site.kill()
    expect(page.get_by_text("The server does not answer. Nothing is lost")).to_be_visible()
    page.get_by_label("Prompt", exact=True).fill("a dog")
    generate(page).click()
    expect(page.get_by_text("goes on by itself once it does")).to_be_visible()
    site.start()
    expect(page.get_by_text("The server does not answer. Nothing is lost")).to_have_count(0)
    expect(newest(page)).to_have_attribute("data-state", "done")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a dog")
    (job,) = site.jobs()
    assert (job["state"], len(job["images"])) == ("done", 2)


def test_two_tabs_show_the_same(page: Page, site: Site, context: BrowserContext) -> None:
    other = context.new_page()
    other.goto(site.url)
    expect(generate(other)).to_be_visible()
    set_number(page, "Steps", "30")
    run(page, "a cat")
    expect(newest(other).get_by_text("a cat", exact=True)).to_be_visible()
    expect(newest(other)).to_have_attribute("data-state", "done")
    set_number(other, "Steps", "100")
    run(other, "a dog")
    expect(newest(page).get_by_text("a dog", exact=True)).to_be_visible()
    newest(page).get_by_role("button", name="Cancel").click()
    for tab in (page, other):
        expect(newest(tab)).to_have_attribute("data-state", "cancelled")


def test_a_page_opened_while_the_model_loads_becomes_usable(page: Page, site: Site) -> None:
    site.end()
    site.start()
    page.reload()
    expect(page.get_by_text("Loading the model")).to_be_visible()
    expect(generate(page)).to_be_visible()
