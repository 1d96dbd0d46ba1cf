"""What a job asks for: a request and how many pictures of it, as it is stored."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import msgspec

from mezzotint.models.recipe import resolve
from mezzotint.models.spec import ModelSpec
from mezzotint.types import Request

MAX_PICTURES = 100


@dataclass(frozen=True, slots=True)
class Order:
    """`n` pictures of one request, with consecutive seeds from its own."""

    request: Request
    n: int = 1
    own_preset: str | None = None  # the caller's, whose choices are in the request


def pin(order: Order, spec: ModelSpec) -> Order:
    """The order with every choice made and its seed drawn: it makes the same pictures for ever.

    Of its preset the name alone is left.

    RequestError outside the model's limits.
    """
    recipe = resolve(order.request, spec)
    request = replace(
        order.request,
        width=recipe.width,
        height=recipe.height,
        steps=recipe.steps if order.request.steps_range is None else order.request.steps,
        guidance=recipe.guidance,
        seed=recipe.seed,
        preset=order.own_preset or order.request.preset,
    )
    return replace(order, request=request, own_preset=None)


def requests_of(order: Order) -> list[Request]:
    """A pinned order's requests, one a picture; what its preset chose is in them."""
    seed = order.request.seed
    if seed is None or seed < 0:
        raise ValueError("an order's seed is drawn before it is stored")
    request = replace(order.request, preset=None)
    return [replace(request, seed=seed + index) for index in range(order.n)]


def to_json(order: Order) -> str:
    """An order as it is stored."""
    return msgspec.json.encode(order).decode("utf-8")


def from_json(text: str) -> Order:
    """Read a stored order."""
    return msgspec.json.decode(text, type=Order)


def fingerprint(asked: object) -> str:
    """Equal for what was asked in equal words; taken before anything that is open is chosen."""
    return hashlib.sha256(msgspec.json.encode(asked)).hexdigest()
