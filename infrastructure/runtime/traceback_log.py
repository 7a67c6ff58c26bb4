"""Logging an error of the app's code with its traceback, whatever its own code or a handler does."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any


def log_traceback(
    log: logging.Logger,
    level: int,
    what: str,
    words: tuple[object, ...],
    error: BaseException | None,
    extra: Mapping[str, Any],
) -> None:
    """Log an error with its traceback; without one, or if it cannot be shown, the name of its type is in `extra`.

    Never raises.
    """
    try:
        trace = None if error is None else (type(error), error, error.__traceback__)
        log.log(level, what, *words, extra=extra, exc_info=trace)
    except BaseException:  # noqa: BLE001 -- of the exception's own code, or of a handler; Ctrl-C has its own handler
        with suppress(Exception):
            log.log(level, "%s: %s, whose traceback cannot be shown", what % words, extra["error_type"], extra=extra)
