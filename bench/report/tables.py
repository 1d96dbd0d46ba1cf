"""Rows as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bench.results_table import Results
from bench.rows import Row
from bench.systems import NAMES
from bench.workload import AT_ONCE, FOUR, SINGLE
from mezzotint.measure.workload import Workload

GIB = 2**30
_SAMPLED_MS = 3000  # the driver samples its utilisation every 20 ms or more, over a second or so
OURS = {"mezzotint": "exact", "mezzotint-fp8": "fast"}
ATTENTION = {"mezzotint-fp8-attention": "fast, FP8 attention"}  # behind its own switch
TITLES = {
    "mezzotint": "**Mezzotint, exact (bf16)**",
    "mezzotint-no-graphs": "Mezzotint without graphs",
    "mezzotint-fp8": "**Mezzotint, fast (FP8)**",
    "mezzotint-fp8-attention": "Mezzotint, FP8 and FP8 attention",
    "diffusers": "diffusers, eager",
    "diffusers-compiled": "diffusers, blocks compiled",
    "diffsynth": "DiffSynth Studio",
    "cache-dit": "cache-dit (leaves out steps)",
}


PIPELINES = {
    "as it is": "three streams of one priority",
    "one stream": "one stream for all stages",
    "denoise first": "denoising has priority",
    "others first": "encoding and decoding have priority",
    "untold": "no timing events, nothing noted",
    "watched": "a page watches: frames made four times a second",
}
STARTUP = {
    "`mezzotint presets`, to its last line": "presets_s",
    "`mezzotint generate`, to the file": "generate_s",
    "`mezzotint serve`, until it answers": "answers_s",
    "until it is ready": "ready_s",
    "its first picture": "picture_s",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Markdown lines: the head, a rule, the rows."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def title_of(row: Row) -> str:
    """A system as tables call it, with its version where it is a rival's."""
    versions = row.get("versions", {})
    main = next((v for k, v in versions.items() if k in row["system"]), None)
    title = TITLES.get(row["system"], row["system"])
    return title if main is None else f"{title.replace(',', f' {main},', 1)}"


def pictures(results: Results, workload: Workload) -> Iterator[str]:
    """Everyone at one workload; ratios only to rows of one machine. Nothing measured: no lines."""
    rows = [_newest(results, system, workload.name) for system in NAMES]
    found = [row for row in rows if row is not None]
    if not found:
        return
    sizes = ("PNG bytes", "picture", "peak (held)", "GPU busy")
    head = ("", *sizes, "exact is", "fast is", "same picture")
    columns = zip(head, *(_picture_row(results, row) for row in found), strict=True)
    filled = [column for column in columns if set(column[1:]) - {"", "–"}]
    yield from table([column[0] for column in filled], zip(*(c[1:] for c in filled), strict=True))
    yield ""
    yield f"Rows: {_sources(found)}."
    for system in NAMES:
        failure = results.failure(system, workload.name)
        if failure is not None:
            yield f"{TITLES.get(system, system)} failed: {failure}."


def at_once(results: Results) -> Iterator[str]:
    """Images a second by how many are asked for together; a rival's best batch in brackets."""
    systems = [s for s in NAMES if any(results.newest(s, w.name) for w in AT_ONCE)]
    if not systems:
        return
    head = ("at once", *(TITLES.get(s, s) for s in systems))
    measured = measured_at_once(results)
    yield from table(
        head, ([str(w.at_once), *(_rate(results, s, w) for s in systems)] for w in measured)
    )


def measured_at_once(results: Results) -> list[Workload]:
    """The numbers of pictures at once that any system was asked for."""
    return [w for w in AT_ONCE if any(results.newest(s, w.name) for s in NAMES)]


def inside(results: Results) -> Iterator[str]:
    """What only the engine is asked: a forward alone, new sizes, the steady state."""
    systems = {**OURS, **(ATTENTION if any(r["system"] in ATTENTION for r in results.rows) else {})}
    head = ("", *systems.values())
    body = [
        (title, *(_cell(results, system, workload, key, form) for system in systems))
        for title, workload, key, form in (
            ("one forward at 1024², after a second's rest", "forward-1024px", "ms", "{:.1f} ms"),
            ("… straight after another", "forward-1024px", "straight_ms", "{:.1f} ms"),
            ("a new size near 1024²: first picture", "new-size-1024px", "ms", "{:.0f} ms"),
            ("… warm", "new-size-1024px", "warm_ms", "{:.0f} ms"),
            ("… first against warm", "new-size-1024px", "ratio", "{:.2f} ×"),
            ("a new size near 512²: first picture", "new-size-512px", "ms", "{:.0f} ms"),
            ("… warm", "new-size-512px", "warm_ms", "{:.0f} ms"),
            ("… first against warm", "new-size-512px", "ratio", "{:.2f} ×"),
            ("device allocations a step", "steady-1024px", "device_allocations_per_step", "{:g}"),
            ("host syncs a step", "steady-1024px", "syncs_per_step", "{:g}"),
            ("GPU idle with work queued", "steady-1024px", "idle_fraction", "{:.2%}"),
        )
    ]
    if all(cell == "–" for _, *cells in body for cell in cells):
        return
    yield from table(head, body)


def fidelity(results: Results) -> Iterator[str]:
    """PSNR and SSIM of the bundled model over the fixed prompts."""
    rows = [results.newest(system, "fidelity-64") for system in (*OURS, *ATTENTION)]
    found = [row for row in rows if row is not None]
    if not found:
        return
    yield from table(
        ("", "against", "prompts", "PSNR, median", "worst", "SSIM, median", "worst"),
        (
            (
                TITLES[row["system"]],
                row["against"],
                str(row["prompts"]),
                decibel(row["median_psnr_db"]),
                decibel(row["worst_psnr_db"]),
                f"{row['median_ssim']:.4f}",
                f"{row['worst_ssim']:.4f}",
            )
            for row in found
        ),
    )


def ladder(rows: Sequence[Row]) -> Iterator[str]:
    """The newest row of each rung, from the bottom."""
    newest = {row["rung"]: row for row in rows if "rung" in row}
    if not newest:
        return
    ordered = sorted(newest.values(), key=lambda row: row["place"])
    names = {name for row in ordered for name in row.get("ms", {})}
    shown = [w for w in (*SINGLE, *AT_ONCE, FOUR) if w.name in names]
    head = ("", *(_short(w) for w in shown), "images/s", "peak", "PSNR to float32", "SSIM")
    yield from table(head, (_rung(row, shown) for row in ordered))


def packing(rows: Sequence[Row]) -> Iterator[str]:
    """Images a second by how much one pack may hold, newest of each."""
    found = [row for row in rows if "pack_tflop" in row]
    if not found:
        return
    newest = {(r["precision"], r["at_once"], r["pack_tflop"]): r for r in found}
    columns = sorted({(precision, count) for precision, count, _ in newest})
    limits = sorted({limit for _, _, limit in newest})
    yield from table(
        ("a pack may hold", *(f"{precision}, {count} at once" for precision, count in columns)),
        (
            (
                f"{limit:.0f} TFLOP" if limit else "one picture",
                *(
                    f"{newest[*column, limit]['images_per_s']:.2f} images/s"
                    if (*column, limit) in newest
                    else "–"
                    for column in columns
                ),
            )
            for limit in limits
        ),
    )


def packing_load(rows: Sequence[Row]) -> Iterator[str]:
    """How long pictures wait by load and by the rule for sharing, newest of each."""
    newest = {(r["precision"], r["load"], r["from"]): r for r in rows if "from" in r}
    for precision in dict.fromkeys(precision for precision, _, _ in newest):
        rules = [least for least in _RULES if (precision, None, least) in newest]
        loads = list(dict.fromkeys(load for name, load, _ in newest if name == precision))
        yield from table(
            (precision, *(_RULES[least] for least in rules)),
            (
                (
                    f"load {load:.0%}" if load else "sixteen at once",
                    *(_waits(newest[precision, load, least]) for least in rules),
                )
                for load in loads
            ),
        )
        yield ""
    if newest:
        yield (
            "From arrival to picture, mean (95th percentile), in simulated time: the engine's "
            "scheduler, random arrivals of 512², 8 steps, forwards as long as the newest rows "
            "above. A load of 100 % is all that the GPU makes one by one."
        )


_RULES = {0: "never", 2: "always", 6: "from six in hand"}  # `from` -> what it is


def _waits(row: Row) -> str:
    return f"{row['mean_s']:.2f} ({row['p95_s']:.2f}) s"


def pipeline(rows: Sequence[Row]) -> Iterator[str]:
    """Images a second of each kind of pipeline, newest of each, and against the engine as it is."""
    found = {(r["precision"], r["workload"], r["kind"]): r for r in rows if "kind" in r}
    if not found:
        return
    columns = list(dict.fromkeys((precision, workload) for precision, workload, _ in found))
    kinds = list(dict.fromkeys(kind for _, _, kind in found))
    yield from table(
        ("", *(f"{precision}, {_asked(workload)}" for precision, workload in columns)),
        (
            (PIPELINES.get(kind, kind), *(_pipeline(found.get((*c, kind))) for c in columns))
            for kind in kinds
        ),
    )
    yield ""
    yield (
        "The rate is the median of three rounds, the percentage that of each round's ratio to its "
        "first line."
    )


def startup(rows: Sequence[Row]) -> Iterator[str]:
    """What a newcomer waits for with the bundled model, by the newest row."""
    if not rows:
        return
    row = rows[-1]
    yield from table(
        ("", "time"),
        ((what, f"{row[name]:.2f} s") for what, name in STARTUP.items()),
    )
    yield ""
    yield (
        f"{row['cores']} cores, medians of {row['runs']}. The server's process holds "
        f"{row['server_bytes'] / 1e6:.0f} MB, its worker {row['worker_bytes'] / 1e6:.0f} MB "
        f"(commit {row['commit']})."
    )


def kernels(rows: Sequence[Row]) -> Iterator[str]:
    """Every operation at the sizes of a 1024² picture, newest row of each."""
    newest = {(r["op"], r["case"]): r for r in rows if "op" in r and "fraction_of_limit" in r}
    shown = [r for (_, case), r in newest.items() if "1024px" in case]
    if not shown:
        return
    yield from table(
        ("operation", "case", "µs", "of the limit", "against plain torch"),
        (
            (
                row["op"],
                row["case"],
                f"{row['ms'] * 1e3:.1f}",
                f"{row['fraction_of_limit']:.0%}",
                f"{row['plain_ms'] / row['ms']:.1f} ×" if "plain_ms" in row else "–",
            )
            for row in shown
        ),
    )


def decibel(value: float | None) -> str:
    """None says that the pictures are equal."""
    return "equal" if value is None else f"{value:.1f} dB"


def seconds(ms: float) -> str:
    """A length as a reader takes it in."""
    return f"{ms / 1e3:.2f} s" if ms >= 3000 else f"{ms:.0f} ms"


def picture_ms(row: Row) -> float | None:
    """Up to the picture; older rows name it otherwise, or do not have it."""
    value: float | None = row.get("to_picture_ms", row.get("to_pil_ms"))
    return value


def _newest(results: Results, system: str, workload: str) -> Row | None:
    """A rival's row of a run that has one of ours, if there is any."""
    pairs = (results.pair(ours, system, workload) for ours in OURS)
    beside = next((theirs for pair in pairs if pair for theirs in pair[1:]), None)
    return results.newest(system, workload) if system in OURS or beside is None else beside


def _picture_row(results: Results, row: Row) -> list[str]:
    workload = row["workload"]
    pairs = [results.pair(ours, row["system"], workload) for ours in OURS]
    is_rival = not row["system"].startswith("mezzotint")
    exact, fast = (
        f"{pair[1]['ms'] / pair[0]['ms']:.2f} ×" if pair and is_rival else "" for pair in pairs
    )
    picture = picture_ms(row)
    busy = row.get("utilisation") if row["ms"] >= _SAMPLED_MS else None
    same = row.get("same_picture_db")
    return [
        title_of(row),
        seconds(row["ms"]),
        "–" if picture is None else seconds(picture),
        _memory(row),
        "–" if busy is None else f"{busy:.0%}",
        exact,
        fast,
        "" if same is None else decibel(same),
    ]


def _memory(row: Row) -> str:
    peak, held = row.get("peak_bytes"), row.get("reserved_bytes")
    if peak is None:
        return "–"
    return f"{peak / GIB:.1f} GiB" + ("" if held is None else f" ({held / GIB:.1f})")


def _rate(results: Results, system: str, workload: Workload) -> str:
    newest = results.newest(system, workload.name)
    if newest is None:
        return "–"
    best = results.best(system, workload.name, newest)
    batch = f" ({best['batch']})" if best.get("batch") and workload.at_once > 1 else ""
    return f"{best['images_per_s']:.2f}{batch}"


def _cell(results: Results, system: str, workload: str, key: str, form: str) -> str:
    row = results.newest(system, workload)
    return "–" if row is None else form.format(row[key])


def _asked(workload: str) -> str:
    """512px-8-x16 in words."""
    side, steps, count = workload.replace("px", "").replace("x", "").split("-")
    return f"{count} at {side}², {steps} steps"


def _pipeline(row: Row | None) -> str:
    if row is None:
        return "–"
    ratio = row["to_as_it_is"]
    beside = "" if ratio is None or row["kind"] == "as it is" else f", {ratio - 1:+.1%}"
    return f"{row['images_per_s']:.2f} images/s{beside}"


def _rung(row: Row, workloads: Sequence[Workload]) -> list[str]:
    if "error" in row:
        return [row["rung"], f"failed: {row['error']}", *[""] * (len(workloads) + 3)]
    return [
        row["rung"],
        *(seconds(row["ms"][w.name]) if w.name in row["ms"] else "–" for w in workloads),
        f"{row['images_per_s']:.2f}",
        f"{row['peak_bytes'] / GIB:.1f} GiB" if row["peak_bytes"] else "–",
        decibel(row["median_psnr_db"]),
        f"{row['median_ssim']:.4f}",
    ]


def _short(workload: Workload) -> str:
    together = f", {workload.at_once} at once" if workload.at_once > 1 else ""
    return f"{workload.width}², {workload.steps} steps{together}"


def _sources(rows: Iterable[Row]) -> str:
    return ", ".join(f"{row['where']} ({row['commit']})" for row in rows)
