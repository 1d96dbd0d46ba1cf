"""A worker's process: a runner behind a socket. `python -m mezzotint.workers.process --fd N`."""

from __future__ import annotations

import os
import queue
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NoReturn

import msgspec
import numpy as np

from mezzotint.engine.runner import Runner, Ticket
from mezzotint.models.spec import OnLoad
from mezzotint.types import Cancelled, Image, MezzotintError, Progress
from mezzotint.workers.block import write_block
from mezzotint.workers.channel import Channel
from mezzotint.workers.errors import ErrorKind, kind_of, message_of
from mezzotint.workers.frames import (
    Cancel,
    Close,
    Failed,
    Finished,
    FrameError,
    Loading,
    Open,
    Progressed,
    Ready,
    Refused,
    Submit,
    ToWorker,
    decode_to_worker,
    encode,
)
from mezzotint.workers.reporter import Reporter
from mezzotint.workers.settle import settle

MakeRunner = Callable[[str, OnLoad], Runner]

_LOAD_SHARE = 0.01
_EXIT_ORPHANED = 3
_EXIT_REFUSED = 4


def main(make_runner: MakeRunner) -> NoReturn:
    """Serve the socket named by `--fd` until told to close, or until the other side is gone."""
    descriptor = int(sys.argv[sys.argv.index("--fd") + 1])
    os.set_inheritable(descriptor, False)
    # Threads of the runner may be stuck in the device; the exit must not wait for them.
    os._exit(_serve(Channel(socket.socket(fileno=descriptor)), make_runner))


def make_engine(config: str, on_load: OnLoad) -> Runner:
    """The engine for a Config in JSON."""
    from mezzotint.engine.engine import Engine

    return Engine(on_load=on_load, **msgspec.json.decode(config, type=dict[str, Any]))


def _serve(channel: Channel, make_runner: MakeRunner) -> int:
    opened = _receive(channel)
    if not isinstance(opened, Open):
        return _EXIT_ORPHANED
    inbox: queue.SimpleQueue[ToWorker] = queue.SimpleQueue()
    ready = threading.Event()
    # It listens while the weights load, so that a pool that is gone ends the loading too.
    threading.Thread(target=_listen, args=(channel, inbox, ready), daemon=True).start()
    try:
        runner = make_runner(opened.config, _Loading(channel))
    except Exception as error:
        _tell_where(error)
        channel.send(encode(Refused(kind_of(error), message_of(error))))
        return _EXIT_REFUSED
    settle()
    channel.send(encode(Ready(runner.provenance, runner.largest)))
    ready.set()
    _Desk(channel, runner).work(inbox)
    runner.close()
    return 0


def _listen(
    channel: Channel, inbox: queue.SimpleQueue[ToWorker], ready: threading.Event
) -> NoReturn:
    while True:
        try:
            command = _receive(channel)
        except FrameError:
            command = None
        if command is None:
            os._exit(_EXIT_ORPHANED)
        if isinstance(command, Close) and not ready.is_set():
            os._exit(0)
        inbox.put(command)


def _receive(channel: Channel) -> ToWorker | None:
    payload = channel.receive()
    return None if payload is None else decode_to_worker(payload)


class _Loading:
    """Tells how far the weights are read, once a hundredth."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._told = 0.0

    def __call__(self, done: int, total: int) -> None:
        if done / total >= self._told + _LOAD_SHARE or done == total:
            self._told = done / total
            with suppress(OSError):  # the pool is gone: the listener ends this process
                self._channel.send(encode(Loading(done, total)))


class _Desk:
    """Passes requests to the runner and what becomes of them back."""

    def __init__(self, channel: Channel, runner: Runner) -> None:
        self._channel = channel
        self._runner = runner
        self._tickets: dict[int, Ticket] = {}
        self._reporter = Reporter(runner, self._send)

    def work(self, inbox: queue.SimpleQueue[ToWorker]) -> None:
        self._reporter.start()
        while not isinstance(command := inbox.get(), Close):
            if isinstance(command, Submit):
                self._submit(command)
            elif isinstance(command, Cancel):
                ticket = self._tickets.get(command.id)
                if ticket is not None:
                    ticket.cancel()
        self._reporter.stop()

    def _submit(self, command: Submit) -> None:
        number = command.id
        try:
            ticket = self._runner.submit(command.request)
        except Cancelled as error:  # nobody closed it: its thread has ended by a defect
            self._fail(number, error, "device")
            return
        except Exception as error:
            self._fail(number, error, kind_of(error))
            return
        self._tickets[number] = ticket
        self._reporter.name(ticket.id, number)
        ticket.on_progress(lambda progress: self._progress(number, progress))
        ticket.future.add_done_callback(lambda future: self._end(number, future))

    def _progress(self, number: int, progress: Progress) -> None:
        preview = progress.preview
        size = None if preview is None else (preview.shape[0], preview.shape[1])
        frame = Progressed(number, progress.stage, progress.step, progress.steps, size)
        self._send_with(encode(frame), () if preview is None else (_bytes_of(preview),))

    def _end(self, number: int, future: Future[Image]) -> None:
        self._tickets.pop(number, None)
        try:
            self._finish(number, future.result())
        except Exception as error:
            self._fail(number, error, kind_of(error))

    def _finish(self, number: int, image: Image) -> None:
        height, width, _ = image.pixels.shape
        frame = Finished(number, width, height, len(image.data), image.spans)
        self._send_with(encode(frame), (_bytes_of(image.pixels), memoryview(image.data)))

    def _fail(self, number: int, error: Exception, kind: ErrorKind) -> None:
        _tell_where(error)
        self._send(encode(Failed(number, kind, message_of(error))))

    def _send_with(self, payload: bytes, parts: tuple[memoryview, ...]) -> None:
        block = write_block(parts) if parts else None
        try:
            self._send(payload, block)
        finally:
            if block is not None:
                os.close(block)

    def _send(self, payload: bytes, block: int | None = None) -> None:
        with suppress(OSError):  # the pool is gone: the listener ends this process
            self._channel.send(payload, block)


def _bytes_of(pixels: np.ndarray) -> memoryview:
    return np.ascontiguousarray(pixels).data


def _tell_where(error: Exception) -> None:
    """Where a defect is, for the log; its text is left out, since it may quote a prompt."""
    if not isinstance(error, MezzotintError):
        traceback.print_tb(error.__traceback__)
        sys.stderr.write(f"{type(error).__name__}\n")


if __name__ == "__main__":
    main(make_engine)
