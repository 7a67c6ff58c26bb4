"""The warnings that the threads of a command log: one line each on stderr, as every other message.

An error that sagaledger does not explain has its traceback below: a worker runs for weeks, and may not meet it again.
"""

from __future__ import annotations

import logging
import os
import traceback

from ...domain.errors import SagaledgerError
from .output.answer import say
from .output.streams import write_message
from .output.text import error_text


class _OneLineHandler(logging.Handler):
    """Writes the message of a record on one line, and the traceback of an unexplained error or for debugging."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            text = f"{text}: {type(error).__name__}: {error_text(error)}"
        say(f"sagaledger: {record.levelname.lower()}: {text}")
        if error is None:
            return
        if os.environ.get("SAGALEDGER_DEBUG") == "1" or not isinstance(error, SagaledgerError):
            for line in "".join(traceback.format_exception(error)).splitlines():
                write_message(line)


def show_warnings() -> None:
    """Show the warnings that sagaledger logs."""
    logger = logging.getLogger("sagaledger")
    if not logger.handlers:
        logger.addHandler(_OneLineHandler(logging.WARNING))
        logger.propagate = False
