"""The log of a command on stderr: text for a terminal, or JSON with one object a line.

A command that answers and ends shows the warnings of its threads among its messages. One that works until it is stopped
shows the whole log, also that of the app and of its libraries.
"""

from __future__ import annotations

import logging
import os
from abc import abstractmethod
from datetime import UTC, datetime
from typing import Any, Final

from ...domain.errors import SagaledgerError
from ...domain.user_code import shown, traced
from ..runtime.observer import current_trace_id
from .output.answer import encoded, say
from .output.streams import messages_as_json, write_json_message, write_message
from .output.text import one_line, visible_json
from .output.timestamps import show_instant

FIELDS: Final = (
    "saga_id",
    "definition",
    "step",
    "direction",
    "attempt",
    "worker",
    "status",
    "duration_seconds",
    "service",
    "schedule",
    "view",
    "error_type",
    "trace_id",
)
"""The attributes that records of sagaledger may have, as they are named in JSON."""
OWN: Final = "sagaledger"
DRIVER: Final = "psycopg"
"""It warns of each connection that ended in an outage, which is logged once (see `OutageLog`)."""


class _Handler(logging.Handler):
    """Never raises into the code that logs, which may be a step of the app."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.show(record)
        except Exception:  # noqa: BLE001 -- such as of a value of the app that has no text
            self.handleError(record)

    @abstractmethod
    def show(self, record: logging.LogRecord) -> None:
        """Write a record on stderr."""


class _MessageHandler(_Handler):
    """Writes the message of a record on one line, and the traceback of an unexplained error or for debugging."""

    def show(self, record: logging.LogRecord) -> None:
        say(f"sagaledger: {record.levelname.lower()}: {_text(record)}")
        error = _error(record)
        if error is None:
            return
        if os.environ.get("SAGALEDGER_DEBUG") == "1" or not isinstance(error, SagaledgerError):
            for line in traced(error).splitlines():
                write_message(line)


class _TextHandler(_Handler):
    """Writes the time, the level and the message of a record on one line, and the traceback below."""

    def show(self, record: logging.LogRecord) -> None:
        where = "" if _is_own(record) else f"{record.name}: "
        write_message(one_line(f"{_time(record)} {record.levelname:<7} {where}{_text(record)}"))
        error = _error(record)
        if error is not None:
            for line in traced(error).splitlines():
                write_message(f"    {line}")


class _JsonHandler(_Handler):
    """Writes a record as a JSON object on one line."""

    def show(self, record: logging.LogRecord) -> None:
        write_json_message(_line(document(record)))


def show_warnings() -> None:
    """Show the warnings that sagaledger logs, unless the command shows the whole log."""
    logger = logging.getLogger(OWN)
    if not logger.handlers and not any(_is_ours(handler) for handler in logging.getLogger().handlers):
        logger.addHandler(_MessageHandler(logging.WARNING))
        logger.propagate = False


def show_logs(level: str, *, as_json: bool) -> None:
    """Show what is logged from a level on. As JSON, every other message on stderr is an object of its own, too."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if _is_ours(handler)]:
        root.removeHandler(handler)
    root.addHandler(_JsonHandler() if as_json else _TextHandler())
    root.setLevel(level.upper())
    logging.getLogger(DRIVER).setLevel(logging.INFO if level == "debug" else logging.ERROR)
    messages_as_json(_message_line if as_json else None)


def document(record: logging.LogRecord) -> dict[str, Any]:
    """Return a record as JSON has it: time, level, logger and message, and those of the other fields that it has."""
    found: dict[str, Any] = {
        "time": _time(record),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": _message(record),
    }
    found |= {name: value for name in FIELDS if (value := getattr(record, name, None)) is not None}
    trace_id = current_trace_id.get()
    if trace_id is not None:  # what a step logs itself
        found.setdefault("trace_id", trace_id)
    error = _error(record)
    if error is not None:
        found.setdefault("error_type", type(error).__name__)
        found["traceback"] = traced(error)
    return found


def _message_line(text: str) -> str:
    now = datetime.now(UTC)
    return _line({"time": show_instant(now), "level": "info", "logger": "sagaledger.cli", "message": text})


def _line(found: dict[str, Any]) -> str:
    return visible_json(encoded(found))


def _time(record: logging.LogRecord) -> str:
    return show_instant(datetime.fromtimestamp(record.created, UTC))


def _text(record: logging.LogRecord) -> str:
    error = _error(record)
    text = _message(record)
    return text if error is None else f"{text}: {type(error).__name__}: {shown(error)}"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 -- a mistake of the app's must not end the step that logs
        return f"{record.msg} (the arguments of this message do not fit it: {shown(error)})"


def _error(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


def _is_own(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] == OWN


def _is_ours(handler: logging.Handler) -> bool:
    return isinstance(handler, (_TextHandler, _JsonHandler))
