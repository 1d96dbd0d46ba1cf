"""Names and writing: readable names, whole files, nothing overwritten."""

from __future__ import annotations

import errno
import os
import resource
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mezzotint.cli.naming import Target, file_name, format_of, target_of
from mezzotint.cli.writing import Writer, write_file
from mezzotint.images.naming import MAX_SLUG, slug
from mezzotint.types import Image, Provenance, Recipe, RequestError, ResourceError

DATA = bytes(range(256)) * 8


def make_image(prompt: str = "a red apple", seed: int = 42) -> Image:
    recipe = Recipe(
        prompt=prompt,
        negative_prompt="",
        width=64,
        height=64,
        steps=1,
        guidance=0.0,
        guidance_rescale=0.0,
        guidance_truncation=1.0,
        seed=seed,
    )
    provenance = Provenance(model="m", weights="w", precision="fp32", device="cpu", versions=())
    return Image(np.zeros((64, 64, 3), np.uint8), DATA, "png", recipe, provenance)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a red apple on green grass", "a-red-apple-on-green-grass"),
        ("一只戴草帽的猫，在草地上。", "一只戴草帽的猫-在草地上"),
        ("../../etc/passwd", "etc-passwd"),
        ("--force; rm -rf $HOME", "force-rm-rf-home"),
        ("หมีแพนด้า", "หมีแพนด้า"),
        ("a\u202eb\x00c\nd", "a-b-c-d"),
        ("🍎🍏", "picture"),
    ],
)
def test_slug_keeps_letters_of_any_script(prompt: str, expected: str) -> None:
    assert slug(prompt) == unicodedata.normalize("NFC", expected)


@given(st.text(max_size=200))
def test_slug_is_a_safe_name(prompt: str) -> None:
    name = slug(prompt)
    assert 1 <= len(name) <= MAX_SLUG
    assert not set(name) & set('/\\:*?"<>|.\0\n\r\t ')
    assert not name.startswith("-")
    full = file_name(make_image(prompt, 2**63 - 1).recipe, 99_999, "jpeg")
    assert len(full.encode()) <= 255


def test_file_name_has_seed_and_index() -> None:
    assert file_name(make_image().recipe, 3, "jpeg") == "a-red-apple-s42-3.jpg"


@pytest.mark.parametrize(
    ("out", "kind", "format"),
    [
        ("-", "stdout", None),
        ("cat.png", "file", "png"),
        ("sub/cat.JPEG", "file", "jpeg"),
        ("cat.jpg", "file", "jpeg"),
        ("cat.webp", "file", "webp"),
        ("cats", "folder", None),
        ("cats.png/", "folder", None),
        ("v1.5", "folder", None),
    ],
)
def test_out_names_a_file_a_folder_or_stdout(out: str, kind: str, format: str | None) -> None:
    target = target_of(out)
    assert target.kind == kind
    assert format_of(target, None) == format


def test_out_that_is_a_folder_is_one_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "odd.png").mkdir()
    assert target_of(str(tmp_path / "odd.png")).kind == "folder"


def test_a_suffix_that_cannot_be_written_or_disagrees_is_refused() -> None:
    with pytest.raises(RequestError, match=r"a\.gif would be a \.gif file; choose"):
        target_of("a.gif")
    with pytest.raises(RequestError, match="named as png but --format says webp"):
        format_of(target_of("a.png"), "webp")
    assert format_of(target_of("a.png"), "png") == "png"


def test_generated_names_take_the_next_free_index(tmp_path: Path) -> None:
    target = Target("folder", tmp_path / "new" / "folder")
    first = Writer(target, force=False).save(make_image())
    writer = Writer(target, force=False)
    names = [Path(path).name for path in (first, *(writer.save(make_image()) for _ in range(2)))]
    assert names == [f"a-red-apple-s42-{i}.png" for i in range(3)]
    assert {path.read_bytes() for path in target.path.iterdir()} == {DATA}


def test_force_overwrites_older_files_but_none_of_its_own_run(tmp_path: Path) -> None:
    old = tmp_path / "a-red-apple-s42-0.png"
    old.write_bytes(b"old")
    writer = Writer(Target("folder", tmp_path), force=True)
    names = [Path(writer.save(make_image())).name for _ in range(2)]
    assert names == ["a-red-apple-s42-0.png", "a-red-apple-s42-1.png"]
    assert old.read_bytes() == DATA


@pytest.mark.parametrize("hard_links", [True, False])
def test_writers_side_by_side_never_take_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool
) -> None:
    if not hard_links:
        monkeypatch.setattr(os, "link", _no_links)
    target = Target("folder", tmp_path)
    with ThreadPoolExecutor(8) as threads:
        saves = threads.map(lambda _: Writer(target, force=False).save(make_image()), range(40))
        paths = list(saves)
    assert len(set(paths)) == 40
    assert sorted(paths) == sorted(map(str, tmp_path.iterdir()))
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {DATA}


def _no_links(source: object, target: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def test_a_named_file_is_not_overwritten_without_force(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(b"old")
    writer = Writer(Target("file", path), force=False)
    with pytest.raises(RequestError, match=r"cat\.png exists; .* --force"):
        writer.check(1)
    with pytest.raises(RequestError, match="--force"):
        writer.save(make_image())
    assert path.read_bytes() == b"old"
    Writer(Target("file", path), force=True).save(make_image())
    assert path.read_bytes() == DATA
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_to_nowhere_counts_as_existing(tmp_path: Path) -> None:
    link = tmp_path / "cat.png"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RequestError, match="exists"):
        Writer(Target("file", link), force=False).check(1)
    assert not write_file(link, DATA, overwrite=False)
    assert not (tmp_path / "elsewhere").exists()


def test_several_pictures_need_a_folder(tmp_path: Path) -> None:
    for target in (Target("file", tmp_path / "a.png"), Target("stdout", Path())):
        with pytest.raises(RequestError, match=r"2 pictures do not fit .* give a folder"):
            Writer(target, force=False).check(2)


def test_a_folder_below_a_file_is_refused_early_and_late(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    writer = Writer(Target("folder", tmp_path / "file" / "sub"), force=False)
    with pytest.raises(RequestError, match="file is not a folder"):
        writer.check(1)
    with pytest.raises(ResourceError, match="could not be written"):
        writer.save(make_image())


def test_no_room_leaves_nothing_behind(tmp_path: Path) -> None:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    try:
        with pytest.raises(ResourceError, match=r"no room for .*cat\.png \(2048 bytes.*--out"):
            write_file(tmp_path / "cat.png", DATA, overwrite=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert list(tmp_path.iterdir()) == []


def test_files_get_the_usual_permissions(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_file(tmp_path / "cat.png", DATA, overwrite=False)
    finally:
        os.umask(before)
    assert (tmp_path / "cat.png").stat().st_mode & 0o777 == 0o644
