"""Remarks beside an answer: how far it is behind the log, and that no worker is running."""

from __future__ import annotations

from collections.abc import Iterator

from ...ledger.freshness import Freshness, is_unattended
from ...ledger.ledger import Ledger
from ...ledger.moment import Moment, SagaMoment
from ..options import Options
from .text import counted


def freshness_remark(freshness: Freshness, options: Options) -> str:
    """Say as of which position an answer is, how far that is behind the log, and why."""
    remark = f"{freshness.view}: as of position {freshness.position}, head {freshness.head_position}, "
    if freshness.lag_events <= 0:
        return f"{remark}no lag"
    remark += f"lag {counted(freshness.lag_events, 'event')}"
    if freshness.lag_seconds is not None:
        remark += f", {freshness.lag_seconds:.1f} seconds"
    if freshness.error is not None:
        return f"{remark}; {freshness.error}"
    return f"{remark}; {no_worker(options)}" if freshness.unattended else remark


def no_worker(options: Options) -> str:
    """Say that no worker is running, and how to start one."""
    return f"no worker is running: `{options.again('worker')}` starts one"


def worker_remark(ledger: Ledger, options: Options) -> str | None:
    """Say so if no worker is running; None if one is."""
    return no_worker(options) if is_unattended(ledger.context) else None


def then_remark(at: Moment | None, then: SagaMoment | None) -> Iterator[str]:
    """Say which moment of the past a saga is shown at; nothing for the present."""
    if at is not None and then is not None:
        yield f"as it was at {at}: version {then.version} of {then.versions}, position {then.position} of the log"
