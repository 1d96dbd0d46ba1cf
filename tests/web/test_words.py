"""What the page says, in both languages and in every script."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image as Pillow
from playwright.sync_api import Page, expect
from test_generate import generate, newest, run

LONG = "a red apple " * 400


def speak_chinese(page: Page) -> None:
    page.evaluate("localStorage.setItem('mezzotint.language', 'zh')")
    page.reload()
    expect(page.get_by_label("正向提示词")).to_be_visible()


def test_a_prompt_that_is_too_long_is_refused_in_ones_own_language(page: Page) -> None:
    run(page, LONG)
    expect(page.locator("form").get_by_role("alert")).to_have_text(
        re.compile(r"^The prompt is too long: 1,\d+ tokens, and the model takes 512")
    )
    speak_chinese(page)
    generate(page).click()
    expect(page.locator("form").get_by_role("alert")).to_have_text(
        re.compile(r"^提示词过长：共 1,\d+ 个 token，模型最多支持 512 个，请缩短。$")
    )


def test_a_picture_without_settings_is_explained_in_ones_own_language(
    page: Page, tmp_path: Path
) -> None:
    plain = tmp_path / "plain.png"
    Pillow.new("RGB", (8, 8)).save(plain)
    page.get_by_label("Settings from a picture").set_input_files(plain)
    problem = page.get_by_role("dialog").get_by_role("alert")
    expect(problem).to_have_text(re.compile("^This picture carries no settings"))
    speak_chinese(page)
    page.get_by_label("从图片读取参数").set_input_files(plain)
    expect(problem).to_have_text(re.compile("^这张图片中没有生成参数"))


def test_a_prompt_is_written_from_its_own_side(page: Page) -> None:
    hebrew = "תפוח אדום"
    run(page, hebrew)
    expect(newest(page)).to_have_attribute("data-state", "done")
    for shown in (page.get_by_label("Prompt", exact=True), newest(page).locator(".prompt")):
        assert shown.evaluate("element => getComputedStyle(element).direction") == "rtl"
    newest(page).get_by_role("button", name="Open:").click()
    prompt = page.get_by_role("dialog").locator(".prompt")
    assert prompt.evaluate("element => getComputedStyle(element).direction") == "rtl"
