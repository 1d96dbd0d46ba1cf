"""Why there is no GPU: a sentence for every machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from mezzotint.cli import checks
from mezzotint.cli.app import app
from mezzotint.config import make
from mezzotint.engine import device, missing_gpu
from mezzotint.engine.device import choose_device
from mezzotint.engine.missing_gpu import GpuFacts, why_no_gpu
from mezzotint.kernels.attention import backend, cuda
from mezzotint.types import ResourceError

NONE = GpuFacts(driver=None, num_devices=0, cuda="13.0", visible=None)
OLD = GpuFacts(driver="535.129.03", num_devices=1, cuda="13.0", visible=None)
CASES = [
    (NONE, "there is no NVIDIA driver", "install it"),
    (
        OLD,
        "the NVIDIA driver 535.129.03 is too old for CUDA 13.0, which torch was built for and "
        "which needs driver 580 or newer",
        "update the driver",
    ),
    (
        GpuFacts(driver="580.1", num_devices=1, cuda=None, visible=None),
        "this torch is a CPU build",
        "install a CUDA build of torch",
    ),
    (
        GpuFacts(driver="580.1", num_devices=2, cuda="13.0", visible="-1"),
        "CUDA_VISIBLE_DEVICES is '-1', which hides every GPU",
        "unset it",
    ),
    (
        GpuFacts(driver="580.1", num_devices=0, cuda="13.0", visible=None),
        "no GPU is open to this process",
        "docker run --gpus all",
    ),
    (
        GpuFacts(driver="unknown", num_devices=1, cuda="13.0", visible=None),
        "torch sees no GPU",
        "nvidia-smi",
    ),
]


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize(("facts", "found", "fix"), CASES)
def test_every_cause_has_a_finding_and_a_remedy(facts: GpuFacts, found: str, fix: str) -> None:
    why = why_no_gpu(facts)
    assert found in why.found
    assert fix in why.fix


@pytest.mark.parametrize(("facts", "found", "fix"), CASES)
def test_a_gpu_that_was_asked_for_and_is_missing_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, facts: GpuFacts, found: str, fix: str
) -> None:
    monkeypatch.setattr(device, "read_facts", lambda: facts)
    with pytest.raises(ResourceError, match=r"^no GPU can be used: .*--device cpu$") as refused:
        choose_device(make(device="cuda"))
    assert found in str(refused.value)
    assert fix in str(refused.value)


def test_auto_takes_the_cpu_where_there_is_no_gpu_and_never_beside_one_too_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device, "read_facts", lambda: NONE)
    assert choose_device(make()).name == "cpu"
    monkeypatch.setattr(device, "read_facts", lambda: OLD)
    with pytest.raises(ResourceError, match="too old for CUDA"):
        choose_device(make())
    assert choose_device(make(device="cpu")).name == "cpu"


def test_a_gpu_without_triton_is_told_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    with pytest.raises(ResourceError, match=r"triton, which .* pip install triton, or use"):
        choose_device(make(device="cuda"))


def test_the_command_prints_the_sentence_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "read_facts", lambda: OLD)
    result = CliRunner().invoke(app, ["generate", "a cat", "--device", "cuda", "--out", "-"])
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit | ResourceError)
    assert "Traceback" not in result.output


def test_the_doctor_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing_gpu, "read_facts", lambda: OLD)
    result = CliRunner().invoke(app, ["doctor"])
    text = " ".join(result.stdout.split())
    assert result.exit_code == 1
    assert "fail gpu none, as the NVIDIA driver 535.129.03 is too old for CUDA 13.0" in text
    assert "fix: update the driver, or install torch built for an older CUDA" in text


def test_the_facts_of_this_machine_can_be_read() -> None:
    facts = missing_gpu.read_facts()
    assert facts.cuda == torch.version.cuda
    assert facts.num_devices >= 0


def test_the_doctor_names_a_faster_attention_that_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backend, "has_fa4", lambda: False)
    check = checks._attention(9)
    assert (check.status, check.fix) == ("note", "pip install 'mezzotint[fa4]'")
    assert check.found.startswith("cudnn, as flash-attn-4")
    monkeypatch.setattr(backend, "has_fa4", lambda: True)
    assert checks._attention(9).found == "fa4"
    assert checks._attention(8).found == cuda.DEFAULT[0]


def test_the_doctor_looks_for_what_triton_builds_its_launcher_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CC", "/usr/bin/cc")
    monkeypatch.setattr(checks.sysconfig, "get_path", lambda _: str(tmp_path))
    check = checks._compiler()
    assert (check.status, "Python.h is missing" in check.found) == ("fail", True)
    (tmp_path / "Python.h").touch()
    assert checks._compiler().status == "pass"
    monkeypatch.delenv("CC")
    monkeypatch.setattr(checks.shutil, "which", lambda _: None)
    check = checks._compiler()
    assert (check.status, "apt install gcc python3-dev" in check.fix) == ("fail", True)
