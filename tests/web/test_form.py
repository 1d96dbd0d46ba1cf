"""The form by hand and by keyboard alone: what it refuses it shows, and sliders take steps."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect
from site_server import Site
from test_generate import APPLE, generate, newest, run, set_number

REFUSED = "A number is outside what the model takes"


def slider_facts(page: Page, name: str) -> dict[str, object]:
    """What a screen reader is told of a slider."""
    chromium = page.context.new_cdp_session(page)
    for node in chromium.send("Accessibility.getFullAXTree")["nodes"]:
        if node["role"]["value"] == "slider" and node["name"]["value"] == name:
            facts = {"value": node["value"]["value"]}
            return facts | {p["name"]: p["value"].get("value") for p in node["properties"]}
    raise AssertionError(f"no slider {name}")


@pytest.mark.parametrize(
    ("name", "value"),
    [("Seed", ""), ("Seed", "1.5"), ("Steps", "8.5"), ("Pictures", ""), ("Guidance", "")],
)
def test_a_refused_number_is_marked_and_gone_to(
    page: Page, site: Site, name: str, value: str
) -> None:
    field = page.get_by_role("spinbutton", name=name, exact=True)
    field.fill(value)
    expect(field).to_have_attribute("aria-invalid", "true")
    run(page)
    expect(page.get_by_text(REFUSED)).to_be_visible()
    expect(field).to_be_focused()
    assert site.jobs() == []
    field.fill("1")
    expect(field).to_have_attribute("aria-invalid", "false")
    expect(page.get_by_text(REFUSED)).to_have_count(0)


def test_what_is_marked_is_in_sight(page: Page) -> None:
    fields = page.locator(".fields")
    width = page.get_by_label("Width in pixels")
    width.fill("99999")
    for height in range(560, 760, 20):  # whatever the window cuts off
        page.set_viewport_size({"width": 1280, "height": height})
        page.get_by_label("Prompt", exact=True).fill(f"{APPLE} {height}")
        expect(page.get_by_text(REFUSED)).to_have_count(0)
        fields.evaluate("fields => fields.scrollTo(0, 0)")
        generate(page).click()
        expect(width).to_be_focused()
        expect(page.get_by_text(REFUSED)).to_be_visible()
        field, around = width.bounding_box(), fields.bounding_box()
        assert field is not None
        assert around is not None
        assert field["y"] >= around["y"]
        assert field["y"] + field["height"] <= around["y"] + around["height"], height


def test_a_batch_is_judged_by_the_fields_that_it_has(page: Page, site: Site) -> None:
    set_number(page, "Steps", "1")
    set_number(page, "Pictures", "")
    run(page)
    expect(page.get_by_text(REFUSED)).to_be_visible()
    page.get_by_text("Batch", exact=True).click()
    expect(page.get_by_text(REFUSED)).to_have_count(0)
    page.get_by_label("Prompts, one a line").fill(APPLE)
    set_number(page, "Seeds each", "1.5")
    generate(page).click()
    expect(page.get_by_role("spinbutton", name="Seeds each")).to_be_focused()
    set_number(page, "Seeds each", "1")
    generate(page).click()
    expect(newest(page)).to_have_attribute("data-state", "done")


def test_sliders_go_by_steps(page: Page) -> None:
    for name, presses in {
        "Pictures": [("ArrowRight", "2"), ("End", "10"), ("ArrowUp", "10"), ("ArrowLeft", "9")],
        "Steps": [("ArrowRight", "9"), ("PageUp", "19"), ("PageDown", "9"), ("Home", "1")],
        "Guidance": [("ArrowRight", "0.1"), ("PageUp", "1.1"), ("ArrowDown", "1"), ("Home", "0")],
    }.items():
        slider = page.get_by_role("slider", name=name)
        field = page.get_by_role("spinbutton", name=name, exact=True)
        for key, value in presses:
            slider.press(key)
            expect(field).to_have_value(value)
    page.get_by_role("slider", name="Pictures").press("Home")
    page.get_by_role("slider", name="Pictures").press("ArrowRight")
    facts = slider_facts(page, "Pictures")
    assert (facts["value"], facts["valuemin"], facts["valuemax"]) == (2, 1, 10)


def test_settings_taken_from_afar_bring_the_prompt_into_sight(page: Page, site: Site) -> None:
    job = site.make("a blue car", seed=11)
    page.set_viewport_size({"width": 390, "height": 720})
    page.reload()
    prompt = page.get_by_label("Prompt", exact=True)
    for use in ("Use settings", "Use all settings"):
        newest(page).scroll_into_view_if_needed()
        expect(prompt).not_to_be_in_viewport()
        if use == "Use all settings":
            page.get_by_role("button", name=f"Open: {job['request']['prompt']}").click()
        page.get_by_role("button", name=use, exact=True).click()
        expect(prompt).to_be_focused()
        expect(prompt).to_be_in_viewport(ratio=1)
        page.wait_for_timeout(300)  # nothing takes it away again
        expect(prompt).to_be_in_viewport(ratio=1)
        prompt.blur()


@pytest.mark.parametrize("touch", [False, True])
def test_keys_are_named_only_where_there_are_any(browser: Browser, site: Site, touch: bool) -> None:
    context = browser.new_context(locale="en-GB", has_touch=touch, is_mobile=touch)
    page = context.new_page()
    page.goto(site.url)
    expect(generate(page)).to_be_visible()
    expect(page.get_by_text("Esc cancels")).to_be_visible(visible=not touch)
    context.close()
