"""Everybody can use the page, and no prompt can."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import built
from playwright.sync_api import Browser, Page, expect
from site_server import Site
from test_generate import newest

PAGES = ("", "#/gallery", "#/performance", "#/settings", "#/about")
# Serious by axe's own scale; its rules of WCAG 2.2 A and AA and its best practices.
_AXE = """
async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ")}`);
}
"""


@pytest.mark.parametrize("language", ["English", "中文"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Page, site: Site, language: str, theme: Any) -> None:
    job = site.make("a cat", n=2)
    site.call("PATCH", f"/api/v1/images/{job['images'][0]['id']}", {"starred": True})
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    other = page.get_by_role("button", name=language, exact=True)
    if other.count():
        other.click()
    page.evaluate(built("axe-core/axe.min.js"))
    for path in PAGES:
        page.evaluate("path => { location.hash = path }", path or "#/")
        expect(page.locator("main h1")).to_have_count(1)
        page.wait_for_timeout(250)  # for what the page reads from the server
        assert page.evaluate(_AXE) == [], path
    page.evaluate("location.hash = '/gallery'")
    page.locator(".picture").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.evaluate(_AXE) == []


def test_every_control_of_the_form_is_reached_by_tab_and_shows_it(page: Page) -> None:
    page.get_by_label("Prompt", exact=True).focus()
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        name, outlined = page.evaluate(
            "() => { const at = document.activeElement;"
            "  const shown = at.matches('.hidden') ? at.nextElementSibling : at;"
            "  return [at.getAttribute('aria-label') || at.labels?.[0]?.innerText || at.innerText,"
            "          getComputedStyle(shown).outlineStyle]; }"
        )
        seen.append(str(name).strip())
        assert outlined != "none", f"{name} does not show that it has the focus"
        if seen[-1] == "Generate":
            break
    for wanted in ("1:1", "Steps", "Guidance", "Seed", "PNG", "Generate"):
        assert any(wanted in name for name in seen), f"{wanted} is not reached: {seen}"


# What is smaller than WCAG 2.2 has it (24 px), but for links within a text.
_SMALL = """
() => [...document.querySelectorAll("button, input, select, textarea")]
  .filter((one) => one.checkVisibility() && !one.matches(".hidden"))
  .map((one) => [one.ariaLabel || one.innerText || one.type, one.getBoundingClientRect()])
  .filter(([, { width, height }]) => Math.min(width, height) < 24)
  .map(([name, { width, height }]) => `${name}: ${width} x ${height}`)
"""


def test_a_finger_hits_every_control(browser: Browser, site: Site) -> None:
    site.make("a cat", n=2)
    context = browser.new_context(
        locale="en-GB", viewport={"width": 390, "height": 720}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    for path in PAGES:
        page.goto(f"{site.url}/{path}")
        expect(page.locator("main h1")).to_have_count(1)
        page.wait_for_timeout(250)  # for what the page reads from the server
        assert page.evaluate("matchMedia('(pointer: coarse)').matches")
        assert page.evaluate(_SMALL) == [], path
    context.close()


XSS = json.loads(Path(__file__).with_name("xss.json").read_text(encoding="utf-8"))


def test_there_are_forty_prompts_that_try() -> None:
    assert len(set(XSS)) == 40


def test_no_prompt_becomes_a_part_of_the_page(page: Page, site: Site) -> None:
    page.expose_function("hit", lambda *_: tried.append("called"))
    tried: list[str] = []
    page.on("dialog", lambda dialog: (tried.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: "evil.example" in request.url and tried.append(request.url))
    size = {"width": 96, "height": 96, "steps": 1}
    for prompt in XSS:
        site.call("POST", "/api/v1/jobs", {"prompt": prompt, **size})
    expect(page.locator("article[data-state=done]")).to_have_count(len(XSS))
    for prompt in XSS:  # in the feed each is text, whole
        assert page.locator("article .prompt").filter(has_text=prompt).count() >= 1, prompt
    page.evaluate("location.hash = '/gallery'")
    expect(page.locator(".picture")).to_have_count(len(XSS))
    for index in range(0, len(XSS), 4):
        page.locator(".picture").nth(index).click()
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
    page.get_by_label("Search prompts").fill(XSS[0][:200])
    page.wait_for_timeout(400)
    page.evaluate("location.hash = '/'")
    newest(page).get_by_role("button", name="Use settings").click()
    assert tried == []
    strange = page.evaluate(
        "document.querySelectorAll('main script, main iframe, main object, main embed, main base,"
        " main [onerror], main [onload], main a[href^=javascript]').length"
    )
    assert strange == 0
