"""Log lines: one event with named fields, as plain text or as one JSON object a line.

This file knows how a line looks. No field holds source or translation text unless `log_text` asks for it, and an
exception is logged by its place and type alone: its message may quote a user.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from types import TracebackType

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
ROOT = "streamtrans"


def say(log: logging.Logger, level: int, event: str, **fields: object) -> None:
    """Log `event` with its fields: in plain text `event name=value ...`."""
    if log.isEnabledFor(level):
        words = [event, *(f"{name}={value}" for name, value in fields.items())]
        log.log(level, "%s", " ".join(words), extra={"event": event, "fields": fields})


class PlainFormatter(logging.Formatter):
    """Time, level, logger and message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatException(self, ei: ExcInfo) -> str:
        return where(ei[1])


class JsonFormatter(logging.Formatter):
    """One JSON object: time (ISO 8601, UTC), level, logger, event, and the fields of the event."""

    def format(self, record: logging.LogRecord) -> str:
        event = getattr(record, "event", None)
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": event or record.getMessage(),
            **(getattr(record, "fields", {}) if event else {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__name__
            line["where"] = where(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


def where(error: BaseException | None) -> str:
    """The place and the type of an error, without what it says."""
    if error is None:
        return ""
    return "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__


def configure(log_format: str, level: str) -> None:
    """Send what the server logs to standard error, as `json` or `text`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else PlainFormatter())
    logger = logging.getLogger(ROOT)
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


def log_failure(log: logging.Logger, what: str, error: BaseException) -> None:
    """The place and the type of an error; its message may hold a user's words and stays unsaid."""
    say(log, logging.ERROR, what, error=type(error).__name__, where="\n" + where(error))
