"""From an order to files and a report: check all, load the model, run, tell."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from mezzotint.cli.bundled import note_bundled
from mezzotint.cli.naming import Target, format_of, target_of
from mezzotint.cli.order import Order, make_requests
from mezzotint.cli.origin import Origin, differences, read_origin
from mezzotint.cli.tracing import check_new, write_trace
from mezzotint.cli.writing import Writer
from mezzotint.types import Request, RequestError

if TYPE_CHECKING:
    from mezzotint.cli.batch import Outcome
    from mezzotint.config import Config, LoadedConfig
    from mezzotint.models.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to: the text after --out, if any, and whether to overwrite."""

    out: str | None
    force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What to say."""

    json: bool
    profile: bool
    trace: Path | None
    quiet: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    """A checked order: nothing was loaded or written yet."""

    config: Config
    requests: list[Request]
    origin: Origin | None
    target: Target
    writer: Writer
    force: bool


def run_order(
    flags: Mapping[str, object],
    order: Order,
    from_file: Path | None,
    destination: Destination,
    report: Report,
) -> None:
    """Make, write and report the pictures of an order; typer.Exit after a signal."""
    started = time.monotonic()
    if destination.out == "-" and report.json:
        raise RequestError("--out - and --json both want stdout; give a file or leave --json out")
    plan = _plan(flags, order, from_file, destination)
    if report.trace is not None:
        check_new(report.trace, force=destination.force)
    # Imported so late because torch takes seconds that a wrong option need not cost.
    from mezzotint.cli.batch import run_batch
    from mezzotint.cli.display import make_display
    from mezzotint.engine.engine import Engine

    if not (report.quiet or report.json):
        note_bundled(plan.config.model)
    with Engine(**plan.config.model_dump()) as engine:
        ready = time.monotonic()
        if plan.origin is not None and not report.quiet:
            for difference in differences(plan.origin.provenance, engine.provenance):
                typer.echo(f"note: {difference}", err=True)
        _hint(plan.requests, engine.spec.catalogue, report)
        display = make_display(quiet=report.quiet, json=report.json)
        outcome = run_batch(engine, plan.requests, plan.writer.save, display)
        clock = engine.stats().clock
    timing = _Timing(clock, ready - started, time.monotonic() - ready)
    _tell(outcome, plan, report, timing)


@dataclass(frozen=True, slots=True)
class _Timing:
    clock: Literal["host", "device"]
    start_s: float
    run_s: float


def _plan(
    flags: Mapping[str, object], order: Order, from_file: Path | None, destination: Destination
) -> _Plan:
    """Check everything that needs no weights, first what is quick to check."""
    from mezzotint.config import load

    origin = read_origin(from_file) if from_file is not None else None
    loaded = load(flags)
    target = target_of(destination.out if destination.out is not None else loaded.config.output)
    config = _settle(loaded, target, origin)
    writer = Writer(target, force=destination.force)
    writer.check(max(len(order.prompts), 1) * order.n)
    from mezzotint.models.find import describe, open_tokenizer
    from mezzotint.models.locate import locate

    path = locate(config.model)
    spec = describe(path, config.variant)
    tokenizer = partial(open_tokenizer, path, config.variant)
    try:
        requests = make_requests(order, origin, spec, config.format, config.metadata, tokenizer)
    except RequestError as error:
        if origin is None or origin.provenance.model == spec.name:
            raise
        raise RequestError(
            f"{error}; the picture was made with {origin.provenance.model}, give it as --model"
        ) from error
    return _Plan(config, requests, origin, target, writer, destination.force)


def _settle(loaded: LoadedConfig, target: Target, origin: Origin | None) -> Config:
    """Fill in what the file to write and the picture to make again decide."""
    from mezzotint.config import make, read_precision

    config, sources = loaded.config, loaded.sources
    asked = config.format if sources["format"] == "flag" else None
    settled: dict[str, object] = {}
    by_suffix = format_of(target, asked)
    if by_suffix is not None:
        settled["format"] = by_suffix
    elif origin is not None and asked is None:
        settled["format"] = origin.format
    if origin is not None and sources["metadata"] != "flag":
        settled["metadata"] = "full"  # its file has it, or it could not be made again
    if origin is not None and sources["precision"] == "default":
        recorded = read_precision(origin.provenance.precision)
        settled["precision"] = recorded["precision"]
        if sources["attention"] == "default":  # auto, unless it was FP8
            settled["attention"] = recorded["attention"]
    return make(**config.model_dump() | settled)


def _hint(requests: list[Request], catalogue: Catalogue | None, report: Report) -> None:
    """Say which prompts name nothing that a small model knows; they are drawn all the same."""
    if catalogue is None or report.quiet or report.json:
        return
    for prompt in dict.fromkeys(request.prompt for request in requests):
        hint = catalogue.hint(prompt)
        if hint is not None:
            typer.echo(f"hint: {hint}", err=True)


def _tell(outcome: Outcome, plan: _Plan, report: Report, timing: _Timing) -> None:
    """Print the report; end with the exit code of whatever stopped the batch."""
    from mezzotint.cli.report import print_stages, to_json

    to_stdout = plan.target.kind == "stdout"
    if report.json:
        typer.echo(to_json(outcome, timing.start_s, timing.run_s))
    elif not to_stdout:
        for record in outcome.records:
            typer.echo(record.path)
    if report.profile and not report.json and outcome.records:
        file = sys.stderr if to_stdout else sys.stdout
        print_stages(outcome.records, timing.clock, timing.start_s, timing.run_s, file)
    if report.trace is not None:
        write_trace(report.trace, outcome.records, timing.clock, force=plan.force)
    if outcome.error is not None:
        raise outcome.error
    if outcome.signal is not None:
        num = len(outcome.records)
        typer.echo(f"mezzotint: stopped; {num} of {len(plan.requests)} were finished", err=True)
        raise typer.Exit(128 + outcome.signal)
