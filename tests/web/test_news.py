"""What becomes of one's jobs, for who hears the page and for who looks at another tab."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect
from site_server import Site, until
from test_generate import generate, newest, run, set_number

_HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
_HEAR = """() => {
  window.heard = [];
  const status = document.querySelector("body p.hidden[role=status]");
  new MutationObserver(() => window.heard.push(status.textContent))
    .observe(status, { childList: true, characterData: true, subtree: true });
}"""


def test_a_round_is_told_by_ear_and_not_every_step(page: Page) -> None:
    set_number(page, "Steps", "40")
    set_number(page, "Pictures", "3")
    expect(generate(page)).to_be_visible()
    page.evaluate(_HEAR)
    run(page)
    expect(page).to_have_title("(1) Generate · Mezzotint")
    expect(newest(page)).to_have_attribute("data-state", "done")
    expect(page).to_have_title("Generate · Mezzotint")
    until(lambda: page.evaluate("window.heard.at(-1)") == "Done: 3 pictures")
    assert page.evaluate("window.heard.length") <= 3
    page.get_by_role("link", name="About").click()  # it is told on every page
    expect(page.locator("p.hidden[role=status]")).to_have_text("Done: 3 pictures")


def test_a_tab_that_nobody_looks_at_says_when_all_is_done(page: Page) -> None:
    set_number(page, "Steps", "60")
    run(page)
    expect(page).to_have_title("(1) Generate · Mezzotint")
    page.evaluate(_HIDE, True)
    expect(page).to_have_title("✓ Generate · Mezzotint")
    page.evaluate(_HIDE, False)
    expect(page).to_have_title("Generate · Mezzotint")


def test_a_tab_that_is_long_hidden_still_learns_of_the_end(page: Page, site: Site) -> None:
    page.clock.install()
    page.reload()
    set_number(page, "Steps", "60")
    set_number(page, "Pictures", "3")
    run(page)
    expect(page).to_have_title(re.compile(r"^\(1\)"))
    page.evaluate(_HIDE, True)
    page.clock.fast_forward(21_000)  # its stream is left to other tabs
    until(lambda: site.jobs()[0]["state"] == "done")
    assert page.title().startswith("(1)")
    page.clock.fast_forward(16_000)
    expect(page).to_have_title("✓ Generate · Mezzotint")
    page.evaluate(_HIDE, False)
    expect(newest(page).get_by_role("button", name="Open:")).to_have_count(3)


def test_a_batch_that_ended_while_hidden_is_over(page: Page, site: Site) -> None:
    page.clock.install()
    page.reload()
    page.get_by_text("Batch", exact=True).click()
    page.get_by_label("Prompts, one a line").fill("\n".join(["a cat"] * 50))
    set_number(page, "Steps", "5")
    generate(page).click()
    until(lambda: len(site.jobs()) == 50)
    page.evaluate(_HIDE, True)
    page.clock.fast_forward(21_000)
    until(lambda: all(job["state"] == "done" for job in site.jobs()))
    page.evaluate(_HIDE, False)
    batch = page.get_by_role("region", name="Batch")
    expect(batch.get_by_text("50 of 50 pictures")).to_be_visible()
