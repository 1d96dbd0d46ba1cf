"""What was asked for on the command line, as requests to an engine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mezzotint.cli.origin import Origin
from mezzotint.models.recipe import resolve
from mezzotint.models.spec import ModelSpec
from mezzotint.size import parse_size
from mezzotint.types import Format, MetadataLevel, Request, RequestError


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The options that decide pixels; None was not given."""

    prompts: tuple[str, ...]
    preset: str | None
    size: str | None  # WIDTHxHEIGHT, pixels
    steps: int | None
    seed: int | None
    n: int
    guidance: float | None  # diffusers' meaning: CFG - 1
    guidance_rescale: float | None
    guidance_truncation: float | None
    negative: str | None


def read_prompts(arguments: Sequence[str], file: str | None) -> tuple[str, ...]:
    """The prompts given as arguments, then those of a file, one a line; blank lines are skipped."""
    return (*arguments, *(_lines(file) if file is not None else ()))


def make_requests(
    order: Order, origin: Origin | None, spec: ModelSpec, format: Format, metadata: MetadataLevel
) -> list[Request]:
    """Every picture as a request, checked but for prompt length. RequestError names what is wrong.

    What the order leaves open comes from the picture to make again, if there is one.
    """
    from mezzotint.models.recipe import series

    if origin is not None and order.preset is not None:
        raise RequestError(
            "--from already decides what --preset would; drop one, or give single options"
        )
    prompts = order.prompts or ((origin.recipe.prompt,) if origin else ())
    if not prompts:
        raise RequestError('no prompt was given; write it as in: mezzotint generate "a red apple"')
    recorded = asdict(origin.recipe) if origin else {}
    values = recorded | _given(order) | {"format": format, "metadata": metadata}
    requests: list[Request] = []
    for prompt in prompts:
        pictures = series(Request(**values | {"prompt": prompt}), order.n, spec)
        resolve(pictures[-1], spec)  # its seed is the highest
        requests += pictures
    return requests


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


def _lines(file: str) -> list[str]:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).expanduser().read_bytes()
        lines = data.decode("utf-8-sig").split("\n")
    except OSError as error:
        raise RequestError(
            f"{file} cannot be read ({error.strerror}); correct the path after --prompts"
        ) from error
    except UnicodeDecodeError as error:
        raise RequestError(
            f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise RequestError(f"{file} holds no prompt; write one a line")
    return prompts
