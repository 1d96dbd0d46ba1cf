"""A picture that is brought to the page shows its settings first, and applies them if wanted."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Page, expect
from site_server import Site

# Drags a file from outside over the page and lets it go.
_DROP = """
([bytes, name, type]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name, { type }));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    document.body.dispatchEvent(
      new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
  }
}
"""


def drop(page: Page, data: bytes, name: str, kind: str = "image/png") -> None:
    page.evaluate(_DROP, [list(data), name, kind])


@pytest.fixture
def picture(site: Site) -> bytes:
    """A file of this server that says how it was made."""
    job = site.make("两只蝴蝶", seed=77, steps=3, width=144, height=96, metadata="full")
    return httpx2.get(site.url + job["images"][0]["file_url"]).content


def test_our_own_file_shows_its_settings_and_changes_nothing_yet(
    page: Page, picture: bytes
) -> None:
    page.get_by_label("Prompt", exact=True).fill("mine")
    drop(page, picture, "butterflies.png")
    dialog = page.get_by_role("dialog", name="Settings in this picture")
    for text in ("两只蝴蝶", "Mezzotint", "144 × 96", "77"):
        expect(dialog.get_by_text(text, exact=True)).to_be_visible()
    dialog.get_by_role("button", name="Leave the form as it is").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("mine")
    drop(page, picture, "butterflies.png")
    dialog.get_by_role("button", name="Use all settings").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("两只蝴蝶")
    expect(page.get_by_label("Seed", exact=True)).to_have_value("77")
    expect(page.get_by_label("Width in pixels")).to_have_value("144")


def test_another_programs_file_by_the_file_button(page: Page, tmp_path: Path) -> None:
    text = (
        "a castle\nNegative prompt: fog\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 3, "
        "Size: 512x768, Model: other"
    )
    info = PngInfo()
    info.add_text("parameters", text)
    Pillow.new("RGB", (8, 8)).save(tmp_path / "a1111.png", pnginfo=info)
    page.get_by_label("Settings from a picture").set_input_files(tmp_path / "a1111.png")
    dialog = page.get_by_role("dialog", name="Settings in this picture")
    for part in ("a castle", "AUTOMATIC1111, Forge", "512 × 768", "fog"):
        expect(dialog.get_by_text(part, exact=True)).to_be_visible()
    expect(dialog.get_by_text("This server would not make it as it stands")).to_be_visible()
    dialog.get_by_role("button", name="Use prompt").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a castle")
    expect(page.get_by_label("Width in pixels")).to_have_value("128")


def test_what_is_no_picture_or_says_nothing_is_explained(page: Page, tmp_path: Path) -> None:
    drop(page, b"hello", "notes.txt", "text/plain")
    expect(page.get_by_text("This is no PNG, JPEG or WebP file")).to_be_visible()
    page.keyboard.press("Escape")
    Pillow.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    drop(page, (tmp_path / "plain.png").read_bytes(), "plain.png")
    expect(page.get_by_role("dialog").get_by_role("alert")).not_to_be_empty()
