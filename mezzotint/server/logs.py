"""Logs as one JSON object a line; prompts and keys are never among their fields."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import IO

import orjson

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class JsonFormatter(logging.Formatter):
    """Time, level, logger, event, what `extra` held, and the stack of an error."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        fields |= {key: value for key, value in vars(record).items() if key not in _OWN}
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        # A log line must never fail: what JSON cannot hold is written as Python would print it.
        text = orjson.dumps(_clean(fields), default=repr, option=orjson.OPT_NON_STR_KEYS)
        return text.decode()


def configure(stream: IO[str] | None = None) -> None:
    """Send our logs and uvicorn's to `stream` (stderr)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name, level in (("mezzotint", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False


def _clean(fields: dict[str, object]) -> dict[str, object]:
    """Replace lone surrogates, which UTF-8 cannot hold."""
    return {
        key: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for key, value in fields.items()
    }
