"""Nothing is lost: a reload, a second tab, a server that dies."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, Page, Route, expect
from site_server import Site, until
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
    problem = page.locator("form").get_by_role("alert")
    expect(problem).to_contain_text("The server does not answer")
    site.start()
    expect(page.get_by_text("The server does not answer. Nothing is lost")).to_have_count(0)
    expect(problem).to_contain_text("was not sent. Press Generate again")
    expect(newest(page)).to_have_attribute("data-state", "done")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a dog")
    (job,) = site.jobs()
    assert (job["state"], len(job["images"])) == ("done", 2)


def test_pages_that_are_opened_while_the_server_is_away_come_up_with_it(
    page: Page, site: Site
) -> None:
    site.make("a cat")
    expect(generate(page)).to_be_visible()
    site.kill()
    try:
        expect(page.get_by_text("The server does not answer. Nothing is lost")).to_be_visible()
        page.get_by_role("link", name="Gallery").click()
        expect(page.get_by_text("This page did not load")).to_be_visible()
    finally:
        site.start()
    expect(page.get_by_text("1 picture", exact=True)).to_be_visible()
    expect(page.get_by_text("This page did not load")).to_have_count(0)
    cell = page.locator(".cell").first  # laid out by the page's own style
    assert cell.evaluate("element => getComputedStyle(element).position") == "absolute"


def test_what_a_page_could_not_read_is_read_once_the_server_is_back(page: Page, site: Site) -> None:
    site.make("a cat")
    for name in ("Settings", "Gallery"):  # from here on they are loaded
        page.get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", level=1, name=name)).to_be_attached()
    page.get_by_role("link", name="Generate").click()
    away = page.get_by_text("The server does not answer. Nothing is lost")
    for name, there in (("Gallery", "1 picture"), ("Settings", "max_queue")):
        site.kill()
        try:
            expect(away).to_be_visible()
            page.get_by_role("link", name=name).click()
            expect(page.locator("main").get_by_role("alert").first).to_contain_text("not answer")
        finally:
            site.start()
        expect(away).to_have_count(0)
        expect(page.get_by_text(there, exact=True)).to_be_visible()
        expect(page.locator("main").get_by_role("alert")).to_have_count(0)


def test_a_notice_takes_nothing_from_the_form(page: Page, site: Site) -> None:
    def is_whole() -> bool:
        form, button, top = (
            locator.bounding_box()
            for locator in (page.locator("form.recipe"), generate(page), page.locator(".top"))
        )
        assert form is not None
        assert button is not None
        assert top is not None
        return bool(
            abs(form["y"] - top["height"]) < 0.1
            and abs(form["y"] + form["height"] - 860) < 0.1
            and button["y"] + button["height"] < 860
        )

    expect(generate(page)).to_be_visible()
    until(is_whole)
    before = page.locator("form.recipe").bounding_box()
    site.kill()
    try:
        expect(page.get_by_text("The server does not answer. Nothing is lost")).to_be_visible()
        until(is_whole)
        assert page.locator("form.recipe").bounding_box() != before
    finally:
        site.start()
    site.wait_ready()


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
    for tab in (page, other):  # what came to nothing stands behind what can be seen
        expect(tab.locator("article").last).to_have_attribute("data-state", "cancelled")
        expect(newest(tab)).to_have_attribute("data-state", "done")


def test_a_page_opened_while_the_model_loads_becomes_usable(page: Page, site: Site) -> None:
    site.end()
    site.start()
    page.reload()
    expect(page.get_by_text("Loading the model")).to_be_visible()
    expect(generate(page)).to_be_visible()


def test_over_a_slow_network_a_second_press_asks_for_nothing_more(page: Page, site: Site) -> None:
    held: list[Route] = []
    page.route("**/api/v1/jobs", lambda route: held.append(route))
    run(page, "a cat")
    expect(generate(page)).to_have_attribute("aria-busy", "true")
    generate(page).click()
    page.wait_for_timeout(500)
    (route,) = held
    with page.expect_request("**/api/v1/jobs"):
        run(page, "a dog")  # another request does not wait for it
    page.wait_for_timeout(300)
    assert len(held) == 2
    for route in held:
        route.continue_()
    expect(page.locator("article[data-state=done]")).to_have_count(2)
    expect(generate(page)).to_have_attribute("aria-busy", "false")
    assert {job["request"]["prompt"] for job in site.jobs()} == {"a cat", "a dog"}
    page.unroute("**/api/v1/jobs")
    generate(page).click()
    expect(page.locator("article[data-state=done]")).to_have_count(3)
