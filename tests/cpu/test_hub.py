"""Pulling a model from a fake hub on this machine: resume, verification, mirrors, errors."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import BIG, FILES, MODEL, UNWANTED, WEIGHTS, Hub, serving

from mezzotint.models import hub, hub_file
from mezzotint.models.hub import default_folder, local_path, pull
from mezzotint.models.hub_listing import Source, endpoint
from mezzotint.types import MezzotintError, ModelError, ResourceError


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("MODELSCOPE_API_TOKEN", raising=False)
    monkeypatch.setattr(hub_file, "RETRY_WAIT_S", 0.001)
    with serving() as fake:
        for name in ("HF_ENDPOINT", "MODELSCOPE_ENDPOINT"):
            monkeypatch.setenv(name, fake.url)
        yield fake


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (hub.MANIFEST, ".mezzotint-pull.lock")
    }


def sentence(error: pytest.ExceptionInfo[MezzotintError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


SOURCES: tuple[Source, ...] = ("hf", "modelscope")


@pytest.mark.parametrize("source", SOURCES)
def test_pull_fetches_exactly_the_wanted_files(fake: Hub, source: Source) -> None:
    assert local_path(MODEL) is None
    folder = pull(MODEL, source)
    assert folder == default_folder(MODEL) == local_path(MODEL)
    assert folder.name == "Tongyi-MAI--Z-Image-Turbo"
    assert contents(folder) == FILES
    assert not {one.path for one in fake.asked} & set(UNWANTED)


@pytest.mark.parametrize("source", SOURCES)
def test_a_second_pull_asks_nothing(fake: Hub, source: Source) -> None:
    folder = pull(MODEL, source)
    fake.asked.clear()
    assert pull(MODEL, source) == folder
    assert fake.asked == []


@pytest.mark.parametrize("source", SOURCES)
def test_a_cut_file_goes_on_with_a_range(fake: Hub, source: Source) -> None:
    fake.cuts[BIG] = [1_000_000, 500_000]
    assert contents(pull(MODEL, source))[BIG] == WEIGHTS
    assert [one.range for one in fake.of(BIG)] == [None, "bytes=1000000-", "bytes=1500000-"]


@pytest.mark.parametrize("source", SOURCES)
def test_an_interrupted_pull_goes_on_in_the_next(fake: Hub, source: Source, tmp_path: Path) -> None:
    fake.cuts[BIG] = [2_000_000] + [0] * 20
    folder = tmp_path / "model"
    with pytest.raises(ModelError, match=r"stopped at 2000000 of .* goes on where") as caught:
        pull(MODEL, source, folder)
    sentence(caught)
    assert not (folder / BIG).exists()
    fake.cuts.clear()
    fake.asked.clear()
    seen: list[tuple[int, int]] = []
    pull(MODEL, source, folder, lambda done, total: seen.append((done, total)))
    assert contents(folder) == FILES
    assert [one.range for one in fake.of(BIG)] == ["bytes=2000000-"]
    assert seen[0][0] >= 2_000_000
    assert seen[-1][0] == seen[-1][1] == sum(map(len, FILES.values()))


def test_a_hub_that_ignores_ranges_starts_over(fake: Hub) -> None:
    fake.ignores_ranges = True
    fake.cuts[BIG] = [1_000_000]
    seen: list[int] = []
    folder = pull(MODEL, progress=lambda done, _: seen.append(done))
    assert contents(folder) == FILES
    assert seen[-1] == sum(map(len, FILES.values()))


def test_what_was_fetched_is_kept_and_checked(fake: Hub) -> None:
    folder = pull(MODEL)
    (folder / hub.MANIFEST).unlink()
    (folder / "model_index.json").write_bytes(b"#" * len(FILES["model_index.json"]))
    fake.asked.clear()
    assert contents(pull(MODEL)) == FILES
    assert fake.of(BIG) == []
    assert len(fake.of("model_index.json")) == 1


def test_a_model_with_a_lost_file_is_not_there(fake: Hub) -> None:
    folder = pull(MODEL)
    (folder / BIG).unlink()
    assert local_path(MODEL) is None
    fake.asked.clear()
    assert contents(pull(MODEL)) == FILES
    assert {one.path for one in fake.asked} == {"listing", "redirect", BIG}


def test_busy_hubs_are_asked_again(fake: Hub) -> None:
    fake.statuses[BIG] = [503, 429]
    assert contents(pull(MODEL)) == FILES


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("path", [BIG, "model_index.json"])
def test_other_bytes_than_listed_are_refused(fake: Hub, source: Source, path: str) -> None:
    fake.served[path] = FILES[path][:-1] + b"!"
    with pytest.raises(ModelError, match="other bytes than the hub lists") as caught:
        pull(MODEL, source)
    assert path in sentence(caught)
    assert path not in contents(default_folder(MODEL))
    assert local_path(MODEL) is None
    fake.served.clear()
    assert contents(pull(MODEL, source)) == FILES


def test_more_bytes_than_listed_are_refused(fake: Hub) -> None:
    fake.served[BIG] = WEIGHTS * 2
    with pytest.raises(ModelError, match="sends more than the"):
        pull(MODEL)


def test_the_token_stays_with_the_hub(fake: Hub) -> None:
    pull(MODEL)
    assert {one.authorization for one in fake.of("listing")} == {"Bearer hf_secret"}
    assert {one.authorization for one in fake.of("model_index.json")} == {"Bearer hf_secret"}
    assert {(one.authorization, one.cookie) for one in fake.of(BIG)} == {(None, None)}


def test_modelscope_is_told_its_own_token_only(
    fake: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pull(MODEL, "modelscope", tmp_path / "a")
    assert {(one.authorization, one.cookie) for one in fake.asked} == {(None, None)}
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", "ms")
    fake.asked.clear()
    pull(MODEL, "modelscope", tmp_path / "b")
    assert {(one.authorization, one.cookie) for one in fake.asked} == {
        ("Bearer ms", "m_session_id=ms")
    }


def test_mirrors_are_named_by_the_libraries_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_ENDPOINT", "MODELSCOPE_ENDPOINT", "MODELSCOPE_DOMAIN"):
        monkeypatch.delenv(name, raising=False)
    assert endpoint("hf") == "https://huggingface.co"
    assert endpoint("modelscope") == "https://modelscope.cn"
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    monkeypatch.setenv("MODELSCOPE_DOMAIN", "www.modelscope.ai")
    assert endpoint("hf") == "https://mirror.example"
    assert endpoint("modelscope") == "https://www.modelscope.ai"
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", "http://10.0.0.1:8080")
    assert endpoint("modelscope") == "http://10.0.0.1:8080"


@pytest.mark.parametrize("source", SOURCES)
def test_a_full_disk_is_told_before_a_byte_is_fetched(
    fake: Hub, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12, 10**6)
    )
    monkeypatch.setitem(fake.files, BIG, bytes(30_000_000))
    with pytest.raises(
        ResourceError, match=r"needs 0\.03 GB more .* 0\.00 GB free; free"
    ) as caught:
        pull(MODEL, source)
    sentence(caught)
    assert {one.path for one in fake.asked} == {"listing"}


def test_bytes_already_there_need_no_room(
    fake: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake.cuts[BIG] = [3_000_000] + [0] * 20
    with pytest.raises(ModelError):
        pull(MODEL, "hf", tmp_path)
    fake.cuts.clear()
    free = len(WEIGHTS) - 3_000_000 + 1000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, free))
    assert contents(pull(MODEL, "hf", tmp_path)) == FILES


def test_a_disk_that_fills_up_keeps_what_came(
    fake: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hub_file, "_append", full)
    with pytest.raises(ResourceError, match=r"became full while fetching .* free some space"):
        pull(MODEL, "hf", tmp_path)


@pytest.mark.parametrize("source", SOURCES)
def test_an_unknown_model_is_named(fake: Hub, source: Source) -> None:
    with pytest.raises(ModelError, match="knows no model nobody/nothing; check its spelling") as it:
        pull("nobody/nothing", source)
    sentence(it)
    assert not hub.default_folder("nobody/nothing").exists()
    assert local_path("nobody/nothing") is None


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, "RepoNotFound", "knows no model"),
        (401, "GatedRepo", "accept the model's terms .* HF_TOKEN"),
        (403, "GatedRepo", "accept the model's terms .* HF_TOKEN"),
        (500, "", "answered HTTP 500 .* pull from modelscope"),
    ],
)
def test_refusals_name_the_remedy(fake: Hub, status: int, code: str, message: str) -> None:
    fake.statuses["listing"] = [status]
    fake.error_code = code
    with pytest.raises(ModelError, match=message) as caught:
        pull(MODEL)
    sentence(caught)


@pytest.mark.parametrize(("status", "message"), [(401, "accept the model's"), (404, "has no")])
def test_refused_files_name_the_remedy(fake: Hub, status: int, message: str) -> None:
    fake.statuses[BIG] = [status]
    with pytest.raises(ModelError, match=message) as caught:
        pull(MODEL)
    sentence(caught)


@pytest.mark.parametrize("source", SOURCES)
def test_no_network_names_the_mirror_variable(
    fake: Hub, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = "HF_ENDPOINT" if source == "hf" else "MODELSCOPE_ENDPOINT"
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with pytest.raises(ModelError, match=f"out of reach .* set {variable} to a mirror") as caught:
        pull(MODEL, source)
    sentence(caught)
    assert not hub.default_folder(MODEL).exists()


@pytest.mark.parametrize("source", SOURCES)
def test_another_kind_of_server_is_noticed(
    fake: Hub, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("hf_listing", "modelscope_listing"):
        monkeypatch.setattr(fake, name, lambda: {"Data": ["hello"], "sha": "1", "siblings": [{}]})
    with pytest.raises(ModelError, match="answered with no listing"):
        pull(MODEL, source)


BAD_IDS = [
    *["", "name", "a/b/c", "../x", "a/..", "/etc/passwd", "a/b\n", "a\\b/c", "a--b/c", "a/b..c"],
    *["a b/c", "~/x", "-a/b", "a/" + "b" * 99, "https://hf.co/a/b", "a/b?x=1", "模型/名"],
]


@pytest.mark.parametrize("model_id", BAD_IDS)
def test_ids_that_name_no_model_are_refused(fake: Hub, model_id: str) -> None:
    with pytest.raises(ModelError, match="give it as organisation/name") as caught:
        pull(model_id)
    sentence(caught)
    assert local_path(model_id) is None
    assert fake.asked == []


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "path", ["../evil.json", "/etc/evil.json", "a/../../evil.json", "C:\\evil.json", "a//b.json"]
)
def test_a_hub_cannot_write_elsewhere(fake: Hub, source: Source, path: str, tmp_path: Path) -> None:
    fake.files = FILES | {path: b"{}"}
    with pytest.raises(ModelError, match="outside its folder") as caught:
        pull(MODEL, source, tmp_path / "x" / "y")
    sentence(caught)
    assert contents(tmp_path) == {}


def test_a_model_without_safe_weights_is_refused(fake: Hub) -> None:
    fake.files = {"model_index.json": b"{}", "pytorch_model.bin": b"pickle"}
    with pytest.raises(ModelError, match="no safetensors weights"):
        pull(MODEL)


def test_a_folder_with_another_model_is_left_alone(fake: Hub, tmp_path: Path) -> None:
    pull(MODEL, "hf", tmp_path)
    with pytest.raises(ModelError, match=f"holds {MODEL}; choose another folder"):
        pull("other/model", "hf", tmp_path)
    (tmp_path / hub.MANIFEST).write_text("{")
    with pytest.raises(ModelError, match="is damaged; delete it"):
        pull(MODEL, "hf", tmp_path)


def test_a_file_is_no_folder(fake: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ModelError, match="file is no folder; choose another"):
        pull(MODEL, "hf", tmp_path / "file")


def test_two_pulls_do_not_write_the_same_folder(fake: Hub, tmp_path: Path) -> None:
    with hub._writable(tmp_path), pytest.raises(ModelError, match="another pull is writing"):
        pull(MODEL, "hf", tmp_path)
    assert contents(pull(MODEL, "hf", tmp_path)) == FILES


def test_an_error_in_one_file_stops_the_others(fake: Hub, tmp_path: Path) -> None:
    shards = {f"transformer/{index:02}.safetensors": bytes([index]) * 2**20 for index in range(40)}
    fake.files = FILES | shards
    fake.statuses["model_index.json"] = [404]
    with pytest.raises(ModelError, match=r"no model_index\.json"):
        pull(MODEL, "hf", tmp_path)
    assert len(contents(tmp_path)) < len(shards)


def test_importing_needs_no_hub_library() -> None:
    code = (
        "import sys, mezzotint.models.hub\n"
        "print([name for name in ('huggingface_hub', 'httpx2', 'filelock') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr
