"""The page docs/performance.md, section by section."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import targets
from bench.report import tables
from bench.results_table import Results
from bench.rows import RESULTS, Row, read
from bench.targets import Missing, Verdict, beyond, judge
from bench.workload import FOUR, SINGLE

NOTES = Path(__file__).with_name("notes.md")
_WORDS = {"aim": "aim reached", "floor": "floor reached", "missed": "**missed**"}
_PLOTS = {"throughput": "images/throughput.png", "ladder": "images/ladder.png"}


@dataclass(frozen=True)
class Rows:
    """All kept rows, by the file they are in."""

    pictures: tuple[Row, ...]
    ladder: tuple[Row, ...]
    packing: tuple[Row, ...]
    packing_load: tuple[Row, ...]
    kernels: tuple[Row, ...]
    pipeline: tuple[Row, ...]
    startup: tuple[Row, ...]

    @classmethod
    def of(cls, folder: Path = RESULTS) -> Rows:
        """From a folder of results; a file that is not there holds no rows."""
        names = (
            "pictures", "ladder", "packing", "packing_load", "kernels", "pipeline", "startup",
        )  # fmt: skip
        paths = [folder / f"{name}.jsonl" for name in names]
        return cls(*(tuple(read([path] if path.is_file() else [])) for path in paths))


def page(rows: Rows) -> str:
    """The whole page."""
    return "\n".join(_page(rows)) + "\n"


def _page(rows: Rows) -> Iterator[str]:
    results = Results.of(rows.pictures).on_newest_gpu(tables.OURS)
    yield "# Performance"
    yield ""
    yield "<!-- Written by `make performance` from bench/results/; edit bench/report/ instead. -->"
    yield ""
    yield from _method(rows)
    yield from _section("Targets", _targets(results), "make targets")
    yield from _pictures(results)
    yield from _engine(results, rows)
    yield from _section("Without a GPU", tables.startup(rows.startup), "python -m bench.startup")
    yield "## The figures it set out from"
    yield ""
    yield f"{targets.ORIGIN} Beside them DiffSynth against us, measured:"
    yield ""
    yield "```"
    yield from targets.origin_lines(results)
    yield "```"
    yield ""
    yield from _section("Kernels", tables.kernels(rows.kernels), "python -m bench.kernels --check")
    yield NOTES.read_text(encoding="utf-8").rstrip()


def _pictures(results: Results) -> Iterator[str]:
    """Pictures as they are asked for, beside the rivals."""
    yield "## Whole pictures, one at a time"
    yield ""
    yield (
        "*PNG bytes*: prompt in, file out. *Picture*: up to the pixels. *Exact is*, *fast is*: how "
        "many times faster than that row. *GPU busy*: by the driver's own samples, which are too "
        "few for what takes less than three seconds. *Same picture*, where one command drew "
        "with both: PSNR to ours in bf16, on the same weights."
    )
    yield ""
    for workload in (*SINGLE, FOUR):
        title = {
            "1024px-8": "1024², 8 steps",
            "512px-8": "512², 8 steps",
            "1024px-40-guided": "1024², 40 steps, guidance 4",
            FOUR.name: "Four at once: 1024², 40 steps, guidance 4 (all four)",
        }[workload.name]
        command = f"python -m bench.pictures --workloads {workload.name}"
        yield from _section(title, tables.pictures(results, workload), command, "###")
    command = "python -m bench.pictures --workloads 512px-8-x1,…,512px-8-x16"
    plot = "throughput" if len(tables.measured_at_once(results)) > 1 else None  # or no curve
    yield from _section("Images a second at 512²", tables.at_once(results), command, plot=plot)


def _engine(results: Results, rows: Rows) -> Iterator[str]:
    """What is inside, part by part."""
    command = "python -m bench.pictures --workloads forward-1024px,new-size-1024px,steady-1024px"
    yield from _section("Inside the engine", tables.inside(results), command)
    yield from _section("Fidelity", tables.fidelity(results), "mezzotint compare --a bf16 --b fp8")
    command = "python -m bench.ladder"
    yield from _section(
        "The ladder: one technique after the other", tables.ladder(rows.ladder), command,
        plot="ladder",
    )  # fmt: skip
    yield from _section(
        "Sharing a forward", tables.packing(rows.packing), "python -m bench.packing"
    )
    yield from _section(
        "When forwards are shared",
        tables.packing_load(rows.packing_load),
        "python -m bench.packing_load",
    )
    yield from _section(
        "The pipeline around a forward",
        tables.pipeline(rows.pipeline),
        "python -m bench.pipeline --precision fp8 --sides 512",
    )


def _method(rows: Rows) -> Iterator[str]:
    newest = rows.pictures[-1] if rows.pictures else {}
    yield (
        "Every figure is a row of [`bench/results/`](../bench/results), made by the command beside "
        "it, the rival in the same run and by the same timer; half a "
        "second of rest before each picture, medians. Weights are random at Z-Image-Turbo's real "
        "size and the same for all, which is right for time and memory. Memory is torch's peak of "
        "allocated bytes, in brackets of what it holds: graphs' pools are in it, and what it keeps "
        "of freed memory."
    )
    yield ""
    yield (
        f"GPU: {newest.get('gpu', 'none yet')}. The newest row: torch {newest.get('torch', '–')}, "
        f"Triton {newest.get('triton', '–')}, commit {newest.get('commit', '–')}."
    )
    yield ""


def _section(
    title: str, body: Iterable[str], command: str, level: str = "##", plot: str | None = None
) -> Iterator[str]:
    """A section, or the command that would fill it."""
    lines = list(body)
    yield f"{level} {title}"
    yield ""
    if not lines:
        yield f"Not measured yet: `{command}`."
        yield ""
        return
    yield f"`{command}`"
    yield ""
    yield from lines
    yield ""
    if plot is not None:
        yield f"![{title}]({_PLOTS[plot]})"
        yield ""


def _targets(results: Results) -> Iterator[str]:
    verdicts = [*judge(results), *beyond(results)]
    yield from tables.table(
        ("target", "mode", "measured", "floor", "aim", "verdict"), map(_target, verdicts)
    )
    if any(verdict.target.mode == "fast*" for verdict in verdicts):
        yield ""
        yield targets.FOOTNOTE.replace("fast*", r"fast\*")


def _target(verdict: Verdict) -> tuple[str, ...]:
    t, measured = verdict.target, verdict.measured
    sign = "≥" if t.wanted == ">=" else "≤"
    bounds = (f"{sign} {t.floor:g}", f"{sign} {t.aim:g}")
    if isinstance(measured, Missing):
        return (t.title, t.mode, "–", *bounds, f"not measured: {measured.reason}")
    value = f"{measured.value:.2f} {t.unit.replace('x', '×')}".strip()
    where = f"{measured.rows[0]['where']}, {measured.rows[0]['commit']}"
    note = f"; {measured.note.replace(' x ', ' × ')}" if measured.note else ""
    word = _WORDS[verdict.reached]
    mode = t.mode.replace("*", r"\*")
    return (t.title, mode, value, *bounds, f"{word} ({where}{note})")
