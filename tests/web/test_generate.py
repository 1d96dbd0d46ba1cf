"""The Generate page: from nothing to a picture, and every control of it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect
from site_server import Site, until

APPLE = "a red apple on green grass"


def run(page: Page, prompt: str = APPLE) -> None:
    """Write a prompt and press the button."""
    page.get_by_label("Prompt", exact=True).fill(prompt)
    generate(page).click()


def generate(page: Page) -> Any:
    return page.locator("form button[type=submit]")


def newest(page: Page) -> Any:
    """The newest job's card."""
    return page.locator("article").first


def set_number(page: Page, name: str, value: str) -> None:
    field = page.get_by_role("spinbutton", name=name, exact=True)
    field.fill(value)


def test_the_first_picture_takes_two_clicks(page: Page, site: Site) -> None:
    expect(page.get_by_text("The small model that comes with Mezzotint")).to_be_visible()
    page.get_by_role("button", name=APPLE).click()
    generate(page).click()
    picture = newest(page).get_by_role("button", name=f"Open: {APPLE}").locator("img")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 128
    (job,) = site.jobs()
    assert (job["state"], job["request"]["steps"], job["request"]["n"]) == ("done", 8, 1)


def test_it_shows_how_a_picture_takes_shape(page: Page) -> None:
    set_number(page, "Steps", "40")
    run(page)
    card = newest(page)
    expect(card.get_by_text(re.compile(r"step \d+ of 40"))).to_be_visible()
    expect(card.get_by_alt_text("The picture as it takes shape")).to_be_visible()
    expect(card.get_by_text(re.compile(r"\d s left|ms left"))).to_be_visible()
    expect(card.get_by_role("button", name="Open:")).to_be_visible()
    expect(card).to_have_attribute("data-state", "done")


def test_one_keeps_typing_while_it_runs_and_sees_the_queue(page: Page, site: Site) -> None:
    set_number(page, "Steps", "100")
    set_number(page, "Pictures", "5")
    for prompt in ("a cat", "a dog", "a cow"):
        run(page, prompt)
    page.get_by_label("Prompt", exact=True).fill("half of the next th")
    expect(page.get_by_text(re.compile(r"\d in line")).first).to_be_visible()
    expect(page.get_by_text("3 jobs in progress")).to_be_visible()
    page.get_by_role("button", name="Cancel all").click()
    for card in page.locator("article").all():
        expect(card).to_have_attribute("data-state", "cancelled")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("half of the next th")
    until(lambda: all(job["state"] == "cancelled" for job in site.jobs()))


def test_one_job_is_cancelled_and_the_other_goes_on(page: Page) -> None:
    set_number(page, "Steps", "120")
    set_number(page, "Pictures", "4")
    run(page, "a cat")
    expect(newest(page)).to_have_attribute("data-state", "running")
    set_number(page, "Steps", "2")
    set_number(page, "Pictures", "1")
    run(page, "a dog")
    expect(newest(page).get_by_text("a dog", exact=True)).to_be_visible()
    page.locator("article", has_text="a cat").get_by_role("button", name="Cancel").click()
    expect(page.locator("article", has_text="a cat")).to_have_attribute("data-state", "cancelled")
    expect(page.locator("article", has_text="a dog")).to_have_attribute("data-state", "done")


def test_keys_run_and_cancel(page: Page) -> None:
    set_number(page, "Steps", "100")
    prompt = page.get_by_label("Prompt", exact=True)
    prompt.fill("a cat")
    prompt.press("Enter")
    prompt.press("x")
    expect(prompt).to_have_value("a cat\nx")
    expect(page.locator("article")).to_have_count(0)
    prompt.press("Control+Enter")
    expect(newest(page)).to_have_attribute("data-state", "running")
    prompt.press("Escape")
    expect(newest(page)).to_have_attribute("data-state", "cancelled")


def test_enter_within_an_input_method_runs_nothing(page: Page, site: Site) -> None:
    prompt = page.get_by_label("Prompt", exact=True)
    prompt.click()
    chromium = page.context.new_cdp_session(page)
    chromium.send(
        "Input.imeSetComposition", {"text": "mao", "selectionStart": 3, "selectionEnd": 3}
    )
    for modifiers in (0, 2):  # Enter takes the word over, Ctrl+Enter with some input methods too
        for kind in ("rawKeyDown", "keyUp"):
            chromium.send(
                "Input.dispatchKeyEvent",
                {
                    "type": kind,
                    "key": "Enter",
                    "code": "Enter",
                    "windowsVirtualKeyCode": 229,
                    "modifiers": modifiers,
                },
            )
    chromium.send("Input.insertText", {"text": "猫"})
    expect(prompt).to_have_value("猫")
    page.wait_for_timeout(300)
    assert site.jobs() == []
    prompt.press("Control+Enter")  # the word is taken over: now it runs
    expect(newest(page).get_by_text("猫", exact=True)).to_be_visible()


def test_sizes_by_ratio_by_number_and_what_the_model_does_not_take(page: Page, site: Site) -> None:
    page.get_by_role("button", name="16:9").click()
    expect(page.get_by_label("Width in pixels")).to_have_value("176")
    page.get_by_role("button", name="Swap width and height").click()
    expect(page.get_by_role("button", name="9:16")).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Width in pixels").fill("100")
    expect(page.get_by_text("multiples of 16; the nearest is 96")).to_be_visible()
    run(page)
    expect(page.get_by_text("outside what the model takes")).to_be_visible()
    assert site.jobs() == []
    page.get_by_label("Width in pixels").fill("112")
    set_number(page, "Steps", "1")
    generate(page).click()
    expect(newest(page)).to_have_attribute("data-state", "done")
    (job,) = site.jobs()
    assert (job["images"][0]["width"], job["images"][0]["height"]) == (112, 176)


def test_a_server_short_of_memory_offers_no_size_that_it_refuses(page: Page) -> None:
    def short_of_memory(route: Route) -> None:
        said = route.fetch().json()
        said["limits"] |= {"max_pixels": 144 * 96, "max_guided_pixels": 112 * 96}
        said["sizes"] = [size for size in said["sizes"] if size["ratio"] in ("3:2", "2:3")]
        route.fulfill(json=said)

    page.route("**/api/v1/capabilities", short_of_memory)
    page.reload()
    expect(page.get_by_label("Width in pixels")).to_have_value("144")
    sizes = page.get_by_role("group", name="Size").get_by_role("button")
    expect(sizes).to_have_count(3)  # two of them, and the one that swaps
    expect(page.get_by_role("button", name="Quick preview")).to_be_disabled()  # 128 x 128
    expect(page.get_by_role("button", name="Quick preview")).to_have_attribute(
        "title", re.compile("more than the server has memory for")
    )
    set_number(page, "Guidance", "2")
    expect(
        page.get_by_text("With guidance a picture may have at most 10,752 pixels")
    ).to_be_visible()
    expect(sizes).to_have_count(1)


def test_a_negative_prompt_is_greyed_with_the_reason(page: Page, site: Site) -> None:
    negative = page.get_by_label("Negative prompt")
    expect(negative).to_be_disabled()
    expect(page.get_by_text("Without effect while guidance is 0")).to_be_visible()
    set_number(page, "Guidance", "1.5")
    expect(page.get_by_text("CFG 2.5")).to_be_visible()
    negative.fill("rain")
    set_number(page, "Steps", "2")
    run(page)
    expect(newest(page)).to_have_attribute("data-state", "done")
    request = site.jobs()[0]["request"]
    assert (request["guidance"], request["negative_prompt"]) == (1.5, "rain")
    set_number(page, "Guidance", "0")
    expect(negative).to_be_disabled()
    expect(negative).to_have_value("rain")  # kept for when guidance comes back
    generate(page).click()
    expect(page.locator("article")).to_have_count(2)
    until(lambda: site.jobs()[0]["request"]["negative_prompt"] == "")


def test_seeds_are_random_locked_and_thrown(page: Page, site: Site) -> None:
    set_number(page, "Steps", "1")
    seed = page.get_by_label("Seed", exact=True)
    expect(seed).to_have_value("-1")
    run(page)
    expect(newest(page)).to_have_attribute("data-state", "done")
    first = site.jobs()[0]["request"]["seed"]
    page.get_by_role("button", name="Keep the last picture's seed").click()
    expect(seed).to_have_value(str(first))
    generate(page).click()
    expect(page.locator("article[data-state=done]")).to_have_count(2)
    one, two = site.jobs()
    assert one["images"][0]["sha256"] == two["images"][0]["sha256"]
    page.get_by_role("button", name="Draw a seed and keep it").click()
    expect(seed).not_to_have_value(str(first))
    page.get_by_role("button", name="Another seed each time").click()
    expect(seed).to_have_value("-1")


def test_several_pictures_in_another_format(page: Page, site: Site) -> None:
    set_number(page, "Steps", "1")
    set_number(page, "Pictures", "3")
    page.get_by_text("WEBP").click()
    expect(generate(page)).to_have_text("Generate 3 pictures")
    run(page)
    expect(newest(page).get_by_role("button", name="Open:")).to_have_count(3)
    images = site.jobs()[0]["images"]
    assert {image["format"] for image in images} == {"webp"}
    assert [image["seed"] - images[0]["seed"] for image in images] == [0, 1, 2]


def test_scenes_and_presets_of_ones_own(page: Page) -> None:
    steps = page.get_by_role("spinbutton", name="Steps", exact=True)
    page.get_by_role("button", name="High fidelity").click()
    expect(steps).to_have_value("20")
    expect(page.get_by_role("button", name="High fidelity")).to_have_attribute(
        "aria-pressed", "true"
    )
    steps.fill("17")
    page.get_by_role("button", name="Keep as a preset").click()
    page.get_by_label("Name of the preset").fill("我的 preset")
    page.get_by_label("Name of the preset").press("Enter")
    mine = page.get_by_role("button", name="我的 preset", exact=True)
    expect(mine).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Model's own").click()
    expect(steps).to_have_value("8")
    mine.click()
    expect(steps).to_have_value("17")
    page.reload()
    expect(mine).to_be_visible()
    page.get_by_role("button", name="Delete the preset 我的 preset").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
    expect(mine).to_have_count(0)


def test_steps_are_left_to_the_moment(page: Page, site: Site) -> None:
    page.get_by_label("Fewer steps when others wait").check()
    set_number(page, "Steps, at most", "6")
    set_number(page, "Steps, at least", "2")
    run(page)
    expect(newest(page)).to_have_attribute("data-state", "done")
    expect(newest(page).get_by_text("2–6 steps")).to_be_visible()
    assert site.jobs()[0]["request"]["steps_asked"] == {"min": 2, "max": 6}
    page.get_by_label("Fewer steps when others wait").uncheck()
    newest(page).get_by_role("button", name="Use settings").click()
    expect(page.get_by_role("spinbutton", name="Steps, at least")).to_have_value("2")


def test_it_says_what_the_small_model_does_not_know(page: Page) -> None:
    page.get_by_label("Prompt", exact=True).fill("a portrait of a lady")
    expect(page.get_by_text("knows no subject in this prompt")).to_be_visible()
    page.get_by_role("button", name=re.compile("All 716 subjects")).click()
    page.get_by_label("Find a subject").fill("butterf")
    page.get_by_role("button", name="butterfly", exact=True).click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("butterfly")
    expect(page.get_by_text("knows no subject in this prompt")).to_have_count(0)


def test_a_prompt_that_is_too_long_is_explained(page: Page, site: Site) -> None:
    run(page, "apple " * 600)
    expect(page.get_by_role("alert").filter(has_text="token")).to_be_visible()
    assert site.jobs() == []
    run(page, "")
    expect(page.get_by_text("Write a prompt first")).to_be_visible()


def test_settings_of_an_earlier_job_are_used_again(page: Page, site: Site) -> None:
    site.make("a blue car", width=144, height=96, seed=11, n=2)
    page.reload()
    newest(page).get_by_role("button", name="Use settings").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a blue car")
    expect(page.get_by_label("Seed", exact=True)).to_have_value("11")
    expect(page.get_by_role("spinbutton", name="Pictures")).to_have_value("2")
    newest(page).get_by_role("button", name="Delete these pictures").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
    expect(page.locator("article")).to_have_count(0)
    assert site.jobs() == []


@pytest.mark.parametrize("width", [320, 390])
def test_on_a_phone_nothing_is_cut(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 720})
    for language in ("English", "中文"):
        if page.get_by_role("button", name=language).count():
            page.get_by_role("button", name=language).click()
        for path in ("", "#/gallery", "#/settings", "#/about"):
            page.goto(page.url.partition("#")[0] + path)
            page.wait_for_timeout(150)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{path} in {language} is {wide} px wide"
            for link in page.locator("nav a").all():
                expect(link).to_be_in_viewport(ratio=1)
