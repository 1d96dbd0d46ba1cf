"""What a picture says about itself: A1111's parameters, our document and the AI-content marks."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, get_type_hints
from xml.sax.saxutils import escape

from mezzotint.images.png import XMP_KEYWORD
from mezzotint.types import (
    Format,
    MetadataLevel,
    Provenance,
    Recipe,
    RequestError,
    StepRange,
)

SCHEMA = 1
PARAMETERS_KEY = "parameters"  # A1111's name for its text
DOCUMENT_KEY = "mezzotint"
XMP_KEY = XMP_KEYWORD

_AI_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_NAMESPACES = {
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "TC260": "http://www.tc260.org.cn/ns/AIGC/1.0/",
    "mezzotint": "mezzotint:ns:1/",
}
# An XMP writer may turn a property from an element into an attribute when it rewrites a packet.
_DOCUMENT = re.compile(r"""\bmezzotint:document(?:>([^<]*)<|="([^"]*)"|='([^']*)')""")
# Controls, surrogates and non-characters: JSON can escape them, XML and UTF-8 cannot hold them.
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def render(
    recipe: Recipe,
    provenance: Provenance,
    *,
    producer: str,
    level: MetadataLevel,
    content_id: str,
    format: Format = "png",
    steps_range: StepRange | None = None,
) -> dict[str, str]:
    """Write the texts a file of `format` carries, by PNG keyword: a pure function of its arguments.

    `full` is all, `minimal` the AI-content marks (which hold `content_id`), `none` nothing. Only
    a PNG has room for a text of ours; in the others the document is a property of the XMP.
    `steps_range` is what was asked where the recipe's steps are a server's choice.
    """
    if level == "none":
        return {}
    marks = {
        "Iptc4xmpExt:DigitalSourceType": _AI_SOURCE,
        "TC260:AIGC": _label(producer, content_id),
    }
    if level == "minimal":
        return {XMP_KEY: _xmp(marks)}
    texts = {PARAMETERS_KEY: _parameters(recipe, provenance, steps_range)}
    document = _document(recipe, provenance, steps_range)
    if format == "png":
        return texts | {DOCUMENT_KEY: document, XMP_KEY: _xmp(marks)}
    # First, so that no producer's name can pass for the document.
    return texts | {XMP_KEY: _xmp({"mezzotint:document": document} | marks)}


def has_document(texts: Mapping[str, str]) -> bool:
    """Whether a file's texts hold our document, sound or not."""
    return DOCUMENT_KEY in texts or bool(_document_in(texts.get(XMP_KEY, "")))


def parse(texts: Mapping[str, str]) -> tuple[Recipe, Provenance]:
    """Read back what `render` wrote at level `full`, from any format's texts.

    Raises RequestError for a missing document, an unknown schema, or a missing, unknown or
    wrongly typed field.
    """
    document = texts.get(DOCUMENT_KEY) or _document_in(texts.get(XMP_KEY, ""))
    if not document:
        raise RequestError(
            "the picture carries no Mezzotint recipe; pick one saved with metadata 'full'"
        )
    values = _object(_load(document), "document")
    if values.get("schema") != SCHEMA:
        raise RequestError(
            f"the picture's metadata has schema {values.get('schema')!r} where this version "
            f"reads {SCHEMA}; install the Mezzotint version that wrote it"
        )
    asked = {"asked"} & set(values)  # beside the recipe, where it was not the caller's alone
    _same_names(values, {"schema", "recipe", "provenance"} | asked, "document")
    recipe = _fields(Recipe, values["recipe"], "recipe")
    provenance = _fields(Provenance, values["provenance"], "provenance")
    return Recipe(**recipe), Provenance(**provenance)


def _parameters(recipe: Recipe, provenance: Provenance, steps_range: StepRange | None) -> str:
    """Write A1111's text, which people and other programs read; the exact values are in ours."""
    settings = {
        "Steps": str(recipe.steps),
        "Sampler": "Euler",
        # A1111 weighs neg + c * (pos - neg): c is our guidance plus one, and 1 turns it off.
        "CFG scale": f"{recipe.guidance + 1:g}",
        "Seed": str(recipe.seed),
        "Size": f"{recipe.width}x{recipe.height}",
        "Model hash": provenance.weights[:10],
        "Model": provenance.model,
    }
    if steps_range is not None:
        settings["Steps asked"] = f"{steps_range.min} to {steps_range.max}"
    version = dict(provenance.versions).get("mezzotint")
    if version is not None:
        settings["Version"] = f"mezzotint {version}"
    lines = [recipe.prompt]
    if recipe.negative_prompt:
        lines.append(f"Negative prompt: {recipe.negative_prompt}")
    lines.append(", ".join(f"{key}: {_quoted(value)}" for key, value in settings.items()))
    text = "\n".join(lines).replace("\r\n", "\n").replace("\r", "\n")
    return _UNPRINTABLE.sub(" ", text)


def _quoted(value: str) -> str:
    """Quote a value that A1111's reader would split, as its writer does."""
    return json.dumps(value, ensure_ascii=False) if re.search('[,:\n"]', value) else value


def _document(recipe: Recipe, provenance: Provenance, steps_range: StepRange | None) -> str:
    parts = {"recipe": asdict(recipe), "provenance": asdict(provenance)}
    if steps_range is not None:  # as the caller gave it, so perhaps in NumPy's numbers
        least, most = int(steps_range.min), int(steps_range.max)
        parts["asked"] = {"steps": {"min": least, "max": most}}
    return _dump({"schema": SCHEMA} | parts)


def _dump(value: object) -> str:
    text = json.dumps(
        value, ensure_ascii=False, sort_keys=True, allow_nan=False, separators=(",", ":")
    )
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _label(producer: str, content_id: str) -> str:
    """Write the label of GB 45438-2025; its fields keep the order of the standard."""
    label = {
        "Label": "1",
        "ContentProducer": producer,
        "ProduceID": content_id,
        "ReservedCode1": "",
        "ContentPropagator": "",
        "PropagateID": "",
        "ReservedCode2": "",
    }
    text = json.dumps(label, ensure_ascii=False, separators=(",", ":"))
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _xmp(properties: Mapping[str, str]) -> str:
    used = {name.partition(":")[0] for name in properties}
    spaces = "".join(f' xmlns:{key}="{uri}"' for key, uri in _NAMESPACES.items() if key in used)
    body = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in properties.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about=""{spaces}>{body}</rdf:Description>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )


def _document_in(xmp: str) -> str:
    """Find our document in an XMP packet; no XML parser ever sees a stranger's packet."""
    match = _DOCUMENT.search(xmp)
    return html.unescape(match[1] or match[2] or match[3] or "") if match else ""


def _load(document: str) -> object:
    try:
        return json.loads(document, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the picture's metadata is not sound JSON: {error}") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _fields(kind: type[Recipe] | type[Provenance], value: object, where: str) -> dict[str, Any]:
    values = _object(value, where)
    types = get_type_hints(kind)
    _same_names(values, {field.name for field in fields(kind)}, where)
    return {name: _typed(item, types[name], f"{where}.{name}") for name, item in values.items()}


def _same_names(values: Mapping[str, object], expected: set[str], where: str) -> None:
    if missing := expected - set(values):
        raise RequestError(f"the picture's {where} lacks {', '.join(sorted(missing))}")
    if unknown := set(values) - expected:
        raise RequestError(f"the picture's {where} has unknown {', '.join(sorted(unknown))[:200]}")


def _object(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise RequestError(f"the picture's {where} is a {type(value).__name__}, not an object")
    return value


def _typed(value: object, kind: object, where: str) -> object:
    if kind is str and isinstance(value, str):
        return value
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return _finite(value, where)
    if kind == tuple[tuple[str, str], ...] and isinstance(value, list):
        return tuple(_pair(item, where) for item in value)
    name = kind.__name__ if isinstance(kind, type) and kind in (str, int, float) else "list"
    raise RequestError(f"the picture's {where} is a {type(value).__name__}, not a {name}")


def _finite(value: float, where: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise RequestError(f"the picture's {where} is beyond the range of a number")
    return number


def _pair(value: object, where: str) -> tuple[str, str]:
    match value:
        case [str(name), str(version)]:
            return name, version
    raise RequestError(f"the picture's {where} holds something else than [name, version] pairs")
