"""The README's table of speed, in both languages, from the same rows."""

from __future__ import annotations

from collections.abc import Iterator

from bench.report import tables
from bench.results_table import Results
from bench.rows import Row
from bench.workload import SINGLE

START, END = "<!-- speed: written by make performance -->", "<!-- /speed -->"
_RIVALS = ("diffusers", "diffusers-compiled", "diffsynth")
_WORDS = {
    "en": {
        "title": "On one {gpu}, prompt in to PNG bytes out, each rival in the same run as ours:",
        "columns": ("1024², 8 steps", "512², 8 steps", "1024², 40 steps, guidance 4"),
        "mezzotint": "Mezzotint, exact (bf16)",
        "mezzotint-fp8": "Mezzotint, fast (FP8)",
        "diffusers": "diffusers, eager",
        "diffusers-compiled": "diffusers, blocks compiled",
        "diffsynth": "DiffSynth Studio",
        "note": "In brackets: how many times faster exact · fast is. Random weights make noise, "
        "whose PNG Pillow is slow to write; with no PNG on the rival's side the first row is",
        "end": ".",
    },
    "zh": {
        "title": "一块 {gpu}，从提示词到 PNG 字节，每个对手都与我们在同一次运行中测得：",
        "columns": ("1024²，8 步", "512²，8 步", "1024²，40 步，guidance 4"),
        "mezzotint": "Mezzotint，精确（bf16）",
        "mezzotint-fp8": "Mezzotint，快速（FP8）",
        "diffusers": "diffusers，eager",
        "diffusers-compiled": "diffusers，编译 block",
        "diffsynth": "DiffSynth Studio",
        "note": "括号内：精确 · 快速模式分别快多少倍。随机权重生成的是噪声，"
        "Pillow 写这种 PNG 较慢；对手不计写 PNG 时，第一行为",
        "end": "。",
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
    gpu = next((r["gpu"] for r in reversed(results.rows) if r["system"] in tables.OURS), "GPU")
    results = Results(tuple(row for row in results.rows if row["gpu"] == gpu))  # the one it names
    yield str(words["title"]).format(gpu=gpu.removeprefix("NVIDIA "))
    yield ""
    yield from tables.table(("", *words["columns"]), _rows(results, words))
    yield ""
    yield f"{words['note']} {_without_png(results)}{words['end']}"


def _rows(results: Results, words: dict[str, object]) -> Iterator[list[str]]:
    for system in _RIVALS:
        cells = [_rival(results, system, w.name) for w in SINGLE]
        if any(cell != "–" for cell in cells):
            yield [str(words[system]), *cells]
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


def _without_png(results: Results) -> str:
    """The first rival's ratios, held against the time to its pictures."""
    found = []
    for workload in SINGLE:
        pairs = [results.pair(ours, _RIVALS[0], workload.name) for ours in tables.OURS]
        ratios = [f"{tables.picture_ms(b) / a['ms']:.2f} ×" for a, b in filter(None, pairs)]
        found.append(" · ".join(ratios) or "–")
    return ", ".join(found)


def _ours(row: Row | None) -> str:
    return "–" if row is None else f"**{tables.seconds(row['ms'])}**"
