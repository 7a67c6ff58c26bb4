"""What a worker's threads have to say: one line each on stderr, as every other message."""

from __future__ import annotations

import logging
import os
import traceback

from .output.output import say


class _OneLine(logging.Handler):
    """Says a record's message; its traceback only to someone who debugs."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            text = f"{text}: {type(error).__name__}: {error}"
        say(f"sagaledger: {record.levelname.lower()}: {text}")
        if error is not None and os.environ.get("SAGALEDGER_DEBUG") == "1":
            traceback.print_exception(error)


def show_warnings() -> None:
    """Show what sagaledger warns of."""
    logger = logging.getLogger("sagaledger")
    if not logger.handlers:
        logger.addHandler(_OneLine(logging.WARNING))
        logger.propagate = False
