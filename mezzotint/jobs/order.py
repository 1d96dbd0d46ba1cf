"""What a job asks for: a request and how many pictures of it, as it is stored."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import msgspec

from mezzotint.types import Request

MAX_PICTURES = 100


@dataclass(frozen=True, slots=True)
class Order:
    """`n` pictures of one request, with consecutive seeds from its own."""

    request: Request
    n: int = 1


def requests_of(order: Order) -> list[Request]:
    """The order's requests, one a picture; its seed must be drawn."""
    seed = order.request.seed
    if seed is None or seed < 0:
        raise ValueError("an order's seed is drawn before it is stored")
    return [replace(order.request, seed=seed + index) for index in range(order.n)]


def to_json(order: Order) -> str:
    """An order as it is stored."""
    return msgspec.json.encode(order).decode("utf-8")


def from_json(text: str) -> Order:
    """Read a stored order."""
    return msgspec.json.decode(text, type=Order)


def fingerprint(order: Order) -> str:
    """Equal for equal orders; taken before a random seed is drawn."""
    return hashlib.sha256(msgspec.json.encode(order)).hexdigest()
