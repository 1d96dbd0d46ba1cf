"""What the pool and a worker tell each other: typed values, decoded strictly, bounded in size."""

from __future__ import annotations

from numbers import Integral, Real

# msgspec: a schema is checked while decoding, in one pass, and no type outside it can be built.
import msgspec

from mezzotint.engine.plan import Largest
from mezzotint.engine.record import DeviceReport, Run
from mezzotint.types import ProgressStage, Provenance, Request, Span
from mezzotint.workers.errors import ErrorKind

MAX_FRAME_BYTES = 2**20
MAX_FILE_BYTES = 2**28  # of one encoded picture; 4096 squared in raw pixels is a fifth of it


class FrameError(Exception):
    """A peer sent what is no frame of ours, or one that cannot be true."""


class Frame(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Base of all frames; the tag is the class's name."""


class Open(Frame, frozen=True):
    """Pool to worker, first and once: what to run, in the words of the worker's own program."""

    config: str


class Submit(Frame, frozen=True):
    """Pool to worker: make this picture; its seed is drawn, so that a re-run is the same one."""

    id: int
    request: Request


class Cancel(Frame, frozen=True):
    """Pool to worker: end this request within two steps; it is answered like any other."""

    id: int


class Close(Frame, frozen=True):
    """Pool to worker: cancel what is unfinished and exit."""


class Loading(Frame, frozen=True):
    """Worker to pool: how much of the weights was read, bytes."""

    done: int
    total: int


class Ready(Frame, frozen=True):
    """Worker to pool: the weights are loaded."""

    provenance: Provenance
    largest: Largest


class Refused(Frame, frozen=True):
    """Worker to pool: the weights cannot be loaded, and why."""

    kind: ErrorKind
    message: str


class Progressed(Frame, frozen=True):
    """Worker to pool: a step of the work is done; a preview comes as a block of shared memory."""

    id: int
    stage: ProgressStage
    step: int
    steps: int
    preview: tuple[int, int] | None = None  # (height, width) in px, 3 bytes each


class Finished(Frame, frozen=True):
    """Worker to pool, with a block of shared memory: the pixels, then the file's bytes."""

    id: int
    width: int  # px
    height: int  # px
    data_bytes: int
    spans: tuple[Span, ...]


class Failed(Frame, frozen=True):
    """Worker to pool: this request ended without a picture, and why."""

    id: int
    kind: ErrorKind
    message: str


class Observed(Frame, frozen=True):
    """Worker to pool, a few times a second: what ran, and where its device stands."""

    runs: tuple[Run, ...]
    device: DeviceReport


ToWorker = Open | Submit | Cancel | Close
ToPool = Loading | Ready | Refused | Progressed | Finished | Failed | Observed


def _plain(value: object) -> str | float:
    if isinstance(value, str):  # a version is a subclass of str with a comparison of its own
        return str(value)
    if isinstance(value, Integral):  # NumPy's
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise TypeError(f"{type(value).__name__} is no part of a frame")


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_plain)
_TO_WORKER: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
_TO_POOL: msgspec.msgpack.Decoder[ToPool] = msgspec.msgpack.Decoder(ToPool)


def encode(frame: ToWorker | ToPool) -> bytes:
    """A frame's bytes. FrameError above MAX_FRAME_BYTES."""
    payload = _ENCODER.encode(frame)
    if len(payload) > MAX_FRAME_BYTES:
        raise FrameError(f"a frame has {len(payload)} bytes and the limit is {MAX_FRAME_BYTES}")
    return payload


def decode_to_worker(payload: bytes) -> ToWorker:
    """Read a frame sent to a worker. FrameError when it is none."""
    try:
        return _TO_WORKER.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FrameError(str(error)) from error


def decode_to_pool(payload: bytes) -> ToPool:
    """Read a frame sent to the pool. FrameError when it is none."""
    try:
        return _TO_POOL.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FrameError(str(error)) from error
