"""Picture files: pixels and metadata to bytes, and bytes back to the recipe that made them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow

from mezzotint.images.container import JPEG_XMP_PREFIX, Header, read_jpeg, read_webp
from mezzotint.images.exif import ExifTexts, read_exif
from mezzotint.images.metadata import PARAMETERS_KEY, XMP_KEY, parse, render
from mezzotint.images.png import (
    MAX_FILE_BYTES,
    MAX_TEXT_BYTES,
    TextChunk,
    encode_png,
    png_size,
    read_png_text,
)
from mezzotint.types import (
    Format,
    MetadataLevel,
    Provenance,
    Recipe,
    RequestError,
    StepRange,
)

MAX_PIXELS = 2**24  # 16.8 megapixels: 4096 squared
JPEG_QUALITY = 95
WEBP_QUALITY = 90

_EXIF_IFD = 0x8769
_USER_COMMENT = 0x9286
_MAX_JPEG_SEGMENT = 65_533 - len(JPEG_XMP_PREFIX)
_PNG_START = b"\x89PNG"
_JPEG_START = b"\xff\xd8"


def encode(
    pixels: np.ndarray,
    format: Format,
    recipe: Recipe,
    provenance: Provenance,
    producer: str,
    level: MetadataLevel,
    steps_range: StepRange | None = None,
) -> bytes:
    """Write `pixels` [H, W, 3] uint8 as a file; the same arguments give the same bytes.

    Raises RequestError where the metadata outgrows the format.
    """

    def texts() -> Iterator[TextChunk]:
        """A PNG's are asked for while its pixels are compressed: its name takes as long."""
        rendered = render(
            recipe,
            provenance,
            producer=producer,
            level=level,
            content_id="" if level == "none" else content_id(pixels),
            format=format,
            steps_range=steps_range,
        )
        for keyword, text in rendered.items():
            yield TextChunk(keyword, text)

    if format == "png":
        return encode_png(pixels, texts())
    return _with_pillow(pixels, format, {chunk.keyword: chunk.text for chunk in texts()})


@dataclass(frozen=True, slots=True)
class OpenFile:
    """What a file says before its pixels; sizes in pixels."""

    width: int
    height: int
    texts: Mapping[str, str]  # by PNG keyword; those of EXIF by the keyword a PNG has them under


def read(data: bytes) -> tuple[Recipe, Provenance]:
    """Read how a PNG, JPEG or WebP picture was made, told apart by content, decoding no pixels.

    Raises RequestError for another kind of file, for more than MAX_FILE_BYTES or MAX_PIXELS, and
    for a picture without a recipe.
    """
    return parse(open_file(data).texts)


def open_file(data: bytes) -> OpenFile:
    """Read a picture's size and texts. RequestError as in `read`, except for the recipe."""
    if len(data) > MAX_FILE_BYTES:
        raise RequestError(f"the picture has {len(data)} bytes; at most {MAX_FILE_BYTES} are read")
    if data.startswith(_PNG_START):
        width, height = png_size(data)
        _check_size(width, height)
        return OpenFile(width, height, read_png_text(data))
    header = _header_of(data)
    _check_size(header.width, header.height)
    for name, block in (("XMP", header.xmp), ("EXIF", header.exif)):
        if len(block) > MAX_TEXT_BYTES:
            raise RequestError(
                f"the picture's {name} has {len(block)} bytes; at most {MAX_TEXT_BYTES} are read"
            )
    texts = _exif_texts(read_exif(header.exif))
    if header.xmp:
        texts[XMP_KEY] = header.xmp.decode("utf-8", "replace")
    return OpenFile(header.width, header.height, texts)


def content_id(pixels: np.ndarray) -> str:
    """Name a picture by its pixels: the first 128 bits of their SHA-256, in hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()[:32]


def _with_pillow(pixels: np.ndarray, format: Format, texts: dict[str, str]) -> bytes:
    extra: dict[str, bytes] = {}
    if XMP_KEY in texts:
        extra["xmp"] = texts[XMP_KEY].encode("utf-8")
    if PARAMETERS_KEY in texts:
        extra["exif"] = _exif(texts[PARAMETERS_KEY])
    picture = Pillow.fromarray(pixels)
    file = io.BytesIO()
    if format == "jpeg":
        _check_segments(extra)
        # No chroma subsampling: it smears the saturated edges that generated pictures are full of.
        picture.save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0, **extra)
    else:
        # Lossy: PNG is there for exact pixels, and is the faster of the two. Method 2 takes a
        # third of the time of method 4, the default, for 4 % more bytes (method 0: 28 % more).
        picture.save(file, "WEBP", quality=WEBP_QUALITY, method=2, **extra)
    return file.getvalue()


def _exif(parameters: str) -> bytes:
    """Put A1111's text where A1111 does: the EXIF user comment, in the UTF-16 of its byte order."""
    exif = Pillow.Exif()  # big-endian
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = b"UNICODE\0" + parameters.encode("utf-16-be")
    return exif.tobytes()


def _check_segments(extra: dict[str, bytes]) -> None:
    for name, data in extra.items():
        if len(data) > _MAX_JPEG_SEGMENT:
            raise RequestError(
                f"the prompt's {name.upper()} block has {len(data)} bytes where a JPEG holds "
                f"{_MAX_JPEG_SEGMENT}; choose png or webp, or metadata 'minimal'"
            )


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise RequestError(
            f"the picture has {width}x{height} pixels; at most {MAX_PIXELS} in all are read"
        )


def _header_of(data: bytes) -> Header:
    if data.startswith(_JPEG_START):
        return read_jpeg(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return read_webp(data)
    raise RequestError("the file is not a PNG, JPEG or WebP picture; choose one of these")


def _exif_texts(exif: ExifTexts) -> dict[str, str]:
    """A1111 and SwarmUI write the comment; ComfyUI puts "keyword:text" where a camera's name goes,
    and SwarmUI once put its text there."""
    texts = {}
    for text in exif.described:
        keyword, found, rest = text.partition(":")
        if found and keyword.lower() in ("prompt", "workflow"):
            texts[keyword.lower()] = rest
        elif text.startswith("{"):
            texts[PARAMETERS_KEY] = text
    if exif.comment:
        texts[PARAMETERS_KEY] = exif.comment
    return texts
