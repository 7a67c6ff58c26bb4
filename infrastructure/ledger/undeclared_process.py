"""Choreographed processes that the app in use does not declare."""

from __future__ import annotations

from ..read_models.process_coverage import UndeclaredProcess, find_uncovered_process
from .context import LedgerContext


def find_undeclared_process(context: LedgerContext, *, after: int = 0) -> UndeclaredProcess | None:
    """Return the first process beyond a position that has no coordinator and that the app does not declare."""
    return find_uncovered_process(context.backend, context.codec, after=after)
