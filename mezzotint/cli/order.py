"""What was asked for on the command line, as requests to an engine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mezzotint.cli.origin import Origin
from mezzotint.models.recipe import resolve
from mezzotint.models.spec import ModelSpec, Tokenize
from mezzotint.size import parse_size
from mezzotint.types import Format, MetadataLevel, Request, RequestError

_SHOWN = 40  # characters of a prompt that an error repeats


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to draw, and where it was given: "line 3 of prompts.txt"; None says itself."""

    text: str
    where: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The options that decide pixels; None was not given."""

    prompts: tuple[Prompt, ...]
    preset: str | None
    size: str | None  # WIDTHxHEIGHT, pixels
    steps: int | None
    seed: int | None
    n: int
    guidance: float | None  # diffusers' meaning: CFG - 1
    guidance_rescale: float | None
    guidance_truncation: float | None
    negative: str | None


def read_prompts(arguments: Sequence[str], file: str | None) -> tuple[Prompt, ...]:
    """The prompts given as arguments, then those of a file, one a line; blank lines are skipped."""
    alone = len(arguments) == 1
    given = [Prompt(a, None if alone else f"prompt {i}") for i, a in enumerate(arguments, 1)]
    return (*given, *(_lines(file) if file is not None else ()))


def make_requests(
    order: Order,
    origin: Origin | None,
    spec: ModelSpec,
    format: Format,
    metadata: MetadataLevel,
    open_tokenizer: Callable[[], Tokenize],
) -> list[Request]:
    """Every picture as a request, checked. RequestError names what is wrong.

    What the order leaves open comes from the picture to make again, if there is one.
    """
    from mezzotint.models.recipe import series

    if origin is not None and order.preset is not None:
        raise RequestError(
            "--from already decides what --preset would; drop one, or give single options"
        )
    prompts = order.prompts or ((Prompt(origin.recipe.prompt),) if origin else ())
    if not prompts:
        raise RequestError('no prompt was given; write it as in: mezzotint generate "a red apple"')
    recorded = asdict(origin.recipe) if origin else {}
    values = recorded | _given(order) | {"format": format, "metadata": metadata}
    requests: list[Request] = []
    for prompt in prompts:
        pictures = series(Request(**values | {"prompt": prompt.text}), order.n, spec)
        resolve(pictures[-1], spec)  # its seed is the highest
        requests += pictures
    _check_lengths(prompts, spec.limits.max_prompt_tokens, open_tokenizer)
    return requests


def _check_lengths(
    prompts: Sequence[Prompt], max_tokens: int, open_tokenizer: Callable[[], Tokenize]
) -> None:
    """Say which prompt has too many tokens; the engine would say it once the model is loaded."""
    # A token is a byte or more, so short prompts, which most are, cost no reading of a tokenizer.
    doubtful = [prompt for prompt in prompts if len(prompt.text.encode()) > max_tokens // 2]
    if not doubtful:
        return
    tokenize = open_tokenizer()
    for prompt in doubtful:
        try:
            tokenize(prompt.text)
        except RequestError as error:
            if prompt.where is None:
                raise
            start = " ".join(prompt.text.split())[:_SHOWN].rstrip()
            raise RequestError(f"{prompt.where} ({start} ...): {error}") from error


def _given(order: Order) -> dict[str, Any]:
    width, height = parse_size(order.size) if order.size is not None else (None, None)
    values = {
        "preset": order.preset,
        "width": width,
        "height": height,
        "steps": order.steps,
        "seed": order.seed,
        "guidance": order.guidance,
        "guidance_rescale": order.guidance_rescale,
        "guidance_truncation": order.guidance_truncation,
        "negative_prompt": order.negative,
    }
    return {name: value for name, value in values.items() if value is not None}


def _lines(file: str) -> list[Prompt]:
    name = "stdin" if file == "-" else file
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).expanduser().read_bytes()
        lines = data.decode("utf-8-sig").split("\n")
    except OSError as error:
        raise RequestError(
            f"{name} cannot be read ({error.strerror}); correct the path after --prompts"
        ) from error
    except UnicodeDecodeError as error:
        raise RequestError(
            f"{name} is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error
    numbered = enumerate(map(str.strip, lines), 1)
    prompts = [Prompt(line, f"line {number} of {name}") for number, line in numbered if line]
    if not prompts:
        raise RequestError(f"{name} holds no prompt; write one a line")
    return prompts
