"""Load over HTTP: an open loop, whose arrivals wait for nobody, and a closed one of few callers.

In an open loop a latency counts from when its request was due, not from when it could be sent: a
server that stalls is charged for all who would have come meanwhile (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson

_LIMIT_S = 120


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request; seconds on one clock from the run's start."""

    due_s: float
    ended_s: float
    status: int  # 0: no answer
    read: float  # what the caller's `read` made of the body
    late_s: float = 0.0  # of the latency, how long after it was due it came to be sent

    @property
    def latency_s(self) -> float:
        return self.ended_s - self.due_s


@dataclass(slots=True)
class Caller:
    """A client with kept connections; HTTP/1.1 and answers of a known length only."""

    port: int
    path: str = "/v1/images/generations"
    headers: str = ""
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def post(self, body: object) -> tuple[int, bytes]:
        """Send JSON. -> status, body; (0, b"") when the server does not answer."""
        payload = orjson.dumps(body)
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(payload)}\r\n{self.headers}\r\n"
        )
        try:
            async with asyncio.timeout(_LIMIT_S), self._connection() as (reader, writer):
                writer.write(head.encode() + payload)
                return await _read(reader)
        except (OSError, EOFError, TimeoutError):
            return 0, b""

    def close(self) -> None:
        """Close what is open."""
        for _, writer in self._idle:
            writer.close()

    @asynccontextmanager
    async def _connection(
        self,
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        connection = await self._open()
        try:
            yield connection
        except BaseException:
            connection[1].close()
            raise
        self._idle.append(connection)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A kept connection that the server has not closed meanwhile, or a new one."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self.port, limit=2**22)


async def open_loop(
    caller: Caller,
    due_s: Sequence[float],
    body: Callable[[int], object],
    read: Callable[[bytes], float] = len,
) -> list[Answer]:
    """Send `body(i)` when it is due, whatever became of the others; wait for all answers."""
    start = time.monotonic()

    async def send(number: int, due: float) -> Answer:
        late = time.monotonic() - start - due
        status, data = await caller.post(body(number))
        ended = time.monotonic() - start
        return Answer(due, ended, status, read(data) if status == 200 else 0.0, late)

    tasks = []
    for number, due in enumerate(due_s):
        delay = start + due - time.monotonic()
        if delay > 0:
            await asyncio.sleep(delay)
        tasks.append(asyncio.create_task(send(number, due)))
    return list(await asyncio.gather(*tasks))


async def closed_loop(
    caller: Caller,
    callers: int,
    count: int,
    body: Callable[[int], object],
    read: Callable[[bytes], float] = len,
) -> list[Answer]:
    """`callers` callers send `count` requests in all, each when its last one was answered."""
    start = time.monotonic()
    numbers = itertools.count()
    answers: list[Answer] = []

    async def call() -> None:
        while (number := next(numbers)) < count:
            due = time.monotonic() - start
            status, data = await caller.post(body(number))
            ended = time.monotonic() - start
            answers.append(Answer(due, ended, status, read(data) if status == 200 else 0.0))

    await asyncio.gather(*(call() for _ in range(callers)))
    return answers


def quantile_ms(answers: Sequence[Answer], percent: int) -> float:
    """A percentile of latencies, in milliseconds."""
    return _quantile_ms([answer.latency_s for answer in answers], percent)


def late_ms(answers: Sequence[Answer], percent: int) -> float:
    """A percentile of how late the load itself was, in milliseconds; part of the latencies."""
    return _quantile_ms([answer.late_s for answer in answers], percent)


def _quantile_ms(seconds: Sequence[float], percent: int) -> float:
    return statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1] * 1e3


async def _read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    lines = head.split("\r\n")
    length = next(line for line in lines if line.startswith("content-length:"))
    return int(lines[0].split()[1]), await reader.readexactly(int(length.partition(":")[2]))
