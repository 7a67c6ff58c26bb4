"""How long work reports its progress."""

from __future__ import annotations

from collections.abc import Callable

ReportProgress = Callable[[int, int], None]
"""Called with what is done and what there is to do, in the work's own unit: positions, sagas, lines."""
