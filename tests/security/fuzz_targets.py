"""Every parser of ours that reads what strangers send, with the one error that it may raise."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from mezzotint.images.comfy import parse_comfy
from mezzotint.images.container import read_jpeg, read_webp
from mezzotint.images.exif import read_exif
from mezzotint.images.file import read
from mezzotint.images.infotext import parse_infotext
from mezzotint.images.inspect import inspect
from mezzotint.images.metadata import parse
from mezzotint.images.png import read_png_text
from mezzotint.models.safetensors_file import open_safetensors
from mezzotint.types import ModelError, RequestError
from mezzotint.workers.frames import FrameError, decode_to_pool, decode_to_worker

INFOTEXT = b'a fox\nNegative prompt: rain\nSteps: 20, CFG scale: 7, Seed: 1, Size: 8x8, M: "a, b"'


def words(data: bytes) -> str:
    """Bytes as a text; those that are none become halves of characters, as JSON can spell them."""
    return data.decode("utf-8", "surrogateescape")


def mended(data: bytes) -> bytes:
    """A PNG whose checksums are right, so that noise in its chunks is looked at."""
    parts, place = [data[:8]], 8
    while place + 12 <= len(data):
        length = min(int.from_bytes(data[place : place + 4], "big"), len(data) - place - 12)
        body = data[place + 4 : place + 8 + length]
        parts.append(length.to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big"))
        place += 12 + length
    return b"".join(parts)


def weights(data: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        file.write(data)
        file.flush()
        open_safetensors(Path(file.name))


def header_of(body: bytes) -> bytes:
    return len(body).to_bytes(8, "little") + body


def picture(format: str) -> bytes:
    file = io.BytesIO()
    exif = Pillow.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + INFOTEXT.decode().encode("utf-16-be")
    info = PngInfo()
    info.add_text("parameters", INFOTEXT.decode())
    extra = {"pnginfo": info} if format == "PNG" else {"exif": exif.tobytes()}
    pixels = np.zeros((8, 8, 3), np.uint8)
    Pillow.fromarray(pixels).save(file, format, **extra)
    return file.getvalue()


GRAPH = {
    "1": {"inputs": {"seed": 1, "steps": 2, "cfg": 3, "positive": ["2", 0], "model": ["2", 0]}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["1", 0]}},
}
TARGETS: dict[str, tuple[Callable[[bytes], object], type[Exception], list[bytes]]] = {
    "inspect": (inspect, RequestError, [picture(f) for f in ("PNG", "JPEG", "WEBP")]),
    "png": (read_png_text, RequestError, [picture("PNG")]),
    "png, sums mended": (lambda d: inspect(mended(d)), RequestError, [picture("PNG")]),
    "jpeg": (read_jpeg, RequestError, [picture("JPEG")]),
    "webp": (read_webp, RequestError, [picture("WEBP")]),
    "exif": (read_exif, RequestError, [b"MM\0*\0\0\0\x08\0\x01\x01\x0f\0\x02\0\0\0\x01a\0\0\0"]),
    "recipe": (read, RequestError, [picture("PNG")]),
    "document": (lambda d: parse({"mezzotint": words(d)}), RequestError, [b'{"schema":1}']),
    "xmp": (
        lambda d: parse({"XML:com.adobe.xmp": words(d)}),
        RequestError,
        [b"<mezzotint:document>{}</mezzotint:document>"],
    ),
    "infotext": (lambda d: parse_infotext(words(d)), RequestError, [INFOTEXT]),
    "comfy": (lambda d: parse_comfy(words(d)), RequestError, [json.dumps(GRAPH).encode()]),
    "safetensors": (
        weights,
        ModelError,
        [header_of(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}') + bytes(4)],
    ),
    "frames from workers": (decode_to_pool, FrameError, [b"\x82\xa4type\xa5Ready"]),
    "frames to workers": (decode_to_worker, FrameError, [b"\x82\xa4type\xa4Open"]),
}


def one(data: bytes, name: str) -> None:
    """Give a parser some bytes; whatever it raises beyond its own error is a defect."""
    target, expected, _ = TARGETS[name]
    with contextlib.suppress(expected):
        target(data)
