"""`mezzotint bench` and `mezzotint compare` with the bundled model on the CPU."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mezzotint.cli.app import app
from mezzotint.measure import timing
from mezzotint.measure.prompts import MAX_PROMPTS, fidelity_prompts
from mezzotint.models.find import describe
from mezzotint.models.locate import BUNDLED

QUICK = ("--size", "96x96", "--steps", "2", "--guidance", "0", "--device", "cpu")


@pytest.fixture(autouse=True)
def _clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(timing, "REST_S", 0.0)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_bench_says_speed_memory_limit_and_fidelity() -> None:
    result = run(
        "bench", *QUICK, "--repeats", "2", "--at-once", "2", "--precision", "bf16", "--prompts", "2"
    )
    assert result.exit_code == 0, result.output
    lines = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in result.stdout.splitlines()[1:])
    assert "96x96, 2 steps, 2 at once, bf16 on cpu" in result.stdout.splitlines()[0]
    ms = float(lines["time"].split()[0])
    assert float(lines["throughput"].split()[0]) == pytest.approx(2e3 / ms, rel=0.01, abs=0.01)
    assert 0.05 < float(lines["memory"].split()[0]) < 64
    assert re.match(r"\d+% of this device's own product", lines["limit"])
    found = re.match(r"PSNR ([\d.]+) dB, worst ([\d.]+) dB; SSIM ([\d.]+)", lines["fidelity"])
    assert found is not None
    assert 25 < float(found[2]) <= float(found[1]) < 80
    assert 0.8 < float(found[3]) <= 1


def test_bench_in_json() -> None:
    result = run("bench", *QUICK, "--repeats", "1", "--json")
    row = json.loads(result.stdout)
    assert row["precision"] == "fp32"
    assert row["fidelity"] is None
    assert row["fraction_of_limit"] == pytest.approx(
        row["tflop"] * 1e15 / row["limit_flops_per_s"] / row["ms"]
    )
    assert {"encode", "denoise", "decode", "file"} <= row["stage_ms"].keys()


def test_compare_prints_medians_and_the_worst() -> None:
    result = run("compare", *QUICK, "--prompts", "3")
    assert result.exit_code == 0, result.output
    *_, psnr, similarity = result.stdout.splitlines()
    median, worst = map(float, psnr.split()[-2:])
    assert 25 < worst <= median < 90
    assert similarity.startswith("SSIM")
    assert "bf16 against fp32, 3 prompts" in result.stdout


def test_compare_of_a_precision_with_itself() -> None:
    result = run("compare", *QUICK, "--a", "fp32", "--b", "fp32", "--prompts", "2", "--json")
    found = json.loads(result.stdout)
    assert found["median_psnr_db"] is None  # equal
    assert found["worst_ssim"] == pytest.approx(1.0)
    assert [pair["prompt"] for pair in found["pairs"]] == list(fidelity_prompts(2))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("compare", "--b", "fp3"), "--b fp3 is no precision to compare"),
        (("compare", "--a", "foo"), "--a foo is no precision to compare; give fp32, bf16, fp8 or"),
        (("compare", "--b", "auto"), "auto is no precision to compare"),
        (("compare", "--size", "64x64"), "96 to 192"),
        (("compare", "--size", "big"), "WIDTHxHEIGHT"),
        (("compare", "--b", "fp8", "--device", "cuda"), "no GPU can be used"),
        (("bench", "--size", "64x64"), "96 to 192"),
        (("bench", "--random-weights", "dall-e"), "dall-e"),
        (("bench", "--random-weights", "z-image", "--model", "x"), "exclude each other"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("mezzotint: ")
    assert said in last
    assert "Traceback" not in result.output


def test_a_gpu_without_fp8_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda *_: (8, 0))
    monkeypatch.setattr("torch.cuda.get_device_name", lambda *_: "NVIDIA A100")
    result = run("compare", "--a", "bf16", "--b", "fp8")
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    assert "NVIDIA A100 (compute capability 8.0) has no fp8" in line
    assert "8.9 or newer" in line


def test_fp8_is_emulated_on_a_cpu() -> None:
    result = run("compare", *QUICK, "--a", "bf16", "--b", "fp8", "--prompts", "1", "--json")
    assert 15 < json.loads(result.stdout)["median_psnr_db"] < 70


def test_the_list_of_prompts_names_what_the_model_knows() -> None:
    prompts = fidelity_prompts(MAX_PROMPTS)
    assert len(set(prompts)) == MAX_PROMPTS
    catalogue = describe(BUNDLED).catalogue
    assert catalogue is not None
    assert [p for p in prompts if catalogue.hint(p) is not None] == []
