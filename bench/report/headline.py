"""The README's table of speed, in both languages, from the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.report import tables
from bench.results_table import Results
from bench.rows import Row
from bench.workload import SINGLE

START, END = "<!-- speed: written by make performance -->", "<!-- /speed -->"
_RIVALS = ("diffusers", "diffusers-compiled", "diffsynth")
_WORDS: dict[str, dict[str, Any]] = {
    "en": {
        "title": "On one {gpu} (torch {torch}, Triton {triton}, flash-attn-4), prompt in to PNG "
        "bytes out, each rival in the same run and by the same timer as ours:",
        "columns": ("1024², 8 steps", "512², 8 steps", "1024², 40 steps, guidance 4"),
        "mezzotint": "Mezzotint, exact (bf16)",
        "mezzotint-fp8": "Mezzotint, fast (FP8)",
        "diffusers": "diffusers, eager",
        "diffusers-compiled": "diffusers, blocks compiled",
        "diffsynth": "DiffSynth Studio",
        "note": "In brackets: how many times faster exact · fast is. Random weights make noise, "
        "whose PNG Pillow is slow to write. With no PNG on the rival's side: ",
        "of": {"diffusers": "eager ", "diffusers-compiled": "compiled "},
        "marks": (" and ", "; ", "."),
    },
    "zh": {
        "title": "一块 {gpu}（torch {torch}，Triton {triton}，flash-attn-4），从提示词到 PNG 字节，"
        "每个对手都与我们在同一次运行中、用同一个计时器测得：",
        "columns": ("1024²，8 步", "512²，8 步", "1024²，40 步，guidance 4"),
        "mezzotint": "Mezzotint，精确（bf16）",
        "mezzotint-fp8": "Mezzotint，快速（FP8）",
        "diffusers": "diffusers，eager",
        "diffusers-compiled": "diffusers，编译 block",
        "diffsynth": "DiffSynth Studio",
        "note": "括号内：精确 · 快速模式分别快多少倍。随机权重生成的是噪声，"
        "Pillow 写这种 PNG 较慢。对手不计写 PNG 时：",
        "of": {"diffusers": "eager 为 ", "diffusers-compiled": "编译后为 "},
        "marks": ("、", "；", "。"),
    },
}


def headline(results: Results, language: str) -> str:
    """The lines between the markers, markers included."""
    return "\n".join((START, *_lines(results, language), END))


def put(text: str, lines: str) -> str:
    """A README with these lines between its markers. ValueError if it has no markers."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"the README lacks {START} and {END}; put them where the table belongs")
    return before + lines + after


def _lines(results: Results, language: str) -> Iterator[str]:
    words = _WORDS[language]
    results = results.on_newest_gpu(tables.OURS)
    newest = results.last_of(tables.OURS)
    gpu, torch, triton = (newest.get(key, "–") for key in ("gpu", "torch", "triton"))
    yield words["title"].format(gpu=gpu.removeprefix("NVIDIA "), torch=torch, triton=triton)
    yield ""
    yield from tables.table(("", *words["columns"]), _rows(results, words))
    yield ""
    yield f"{words['note']}{_without_png(results, words)}"


def _rows(results: Results, words: dict[str, Any]) -> Iterator[list[str]]:
    for system in _RIVALS:
        cells = [_rival(results, system, w.name) for w in SINGLE]
        if any(cell != "–" for cell in cells):
            yield [words[system], *cells]
    for system in tables.OURS:
        rows = [_beside_a_rival(results, system, w.name) for w in SINGLE]
        if any(rows):
            yield [f"**{words[system]}**", *map(_ours, rows)]


def _beside_a_rival(results: Results, system: str, workload: str) -> Row | None:
    """The row that the ratios above it are of, or the newest."""
    pairs = (results.pair(system, rival, workload) for rival in _RIVALS)
    found = next((pair for pair in pairs if pair is not None), None)
    return results.newest(system, workload) if found is None else found[0]


def _rival(results: Results, system: str, workload: str) -> str:
    pairs = [results.pair(ours, system, workload) for ours in tables.OURS]
    found = [pair for pair in pairs if pair is not None]
    if not found:
        return "–"
    ratios = " · ".join(f"{b['ms'] / a['ms']:.2f} ×" for a, b in found)
    return f"{tables.seconds(found[0][1]['ms'])} ({ratios})"


def _without_png(results: Results, words: dict[str, Any]) -> str:
    """Rivals' ratios, held against the time to their pictures."""
    between, after, end = words["marks"]
    told = []
    for rival, name in words["of"].items():
        found = []
        for workload in SINGLE:
            pairs = [results.pair(ours, rival, workload.name) for ours in tables.OURS]
            ratios = [f"{tables.picture_ms(b) / a['ms']:.2f} ×" for a, b in filter(None, pairs)]
            found += [" · ".join(ratios)] if ratios else []
        told += [name + between.join(found)] if found else []
    return after.join(told) + end


def _ours(row: Row | None) -> str:
    return "–" if row is None else f"**{tables.seconds(row['ms'])}**"
