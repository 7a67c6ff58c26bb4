"""Questions of auditors: the seconds that each takes on a long log, beside reading that log once."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import runpy
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from sagaledger import Ledger, Moment
from sagaledger.infrastructure.audit.decisions import DecisionFilter, read_decisions, states_before
from sagaledger.infrastructure.audit.sql_questions import ask_sql, ask_sql_at
from sagaledger.infrastructure.audit.statistics import StatisticsFilter, read_statistics
from sagaledger.infrastructure.event_store.event_row import StoredRow

from .findings import Findings
from .history import MARK, grow
from .limits import recorded
from .measuring import in_turn, seconds_of
from .setting import Setting
from .workload import catch_up

EXAMPLE = Path(__file__).parents[1] / "examples" / "audited_orders.py"
ROWS = 100
OWED = """
  SELECT paid.saga_id FROM saga_steps paid JOIN sagas s ON s.saga_id = paid.saga_id
  WHERE paid.step = 'charge' AND paid.direction = 'forward' AND paid.status = 'succeeded'
    AND s.status IN ('compensating', 'compensated', 'needs_intervention', 'abandoned')
    AND NOT EXISTS (SELECT 1 FROM saga_steps back WHERE back.saga_id = paid.saga_id AND back.step = 'charge'
                    AND back.direction = 'compensation' AND back.status = 'succeeded')
"""
"""Charges of sagas that compensate or have compensated which no compensation has refunded."""


@cache
def _example() -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLE))


@cache
def _history() -> list[StoredRow]:
    """Return the events of the example; the ids of its orders contain the mark."""
    example = _example()
    placed = [replace(order, order_id=order.order_id + MARK) for order in example["ORDERS"]]
    with tempfile.TemporaryDirectory() as folder, _quiet():
        url = f"sqlite:///{Path(folder) / 'audited.db'}"
        asyncio.run(example["main"](url, placed))
        with Ledger.open(url) as ledger:
            return recorded(ledger.backend)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the example prints, and what is logged of its steps, which fail on purpose, off the screen."""
    logger = logging.getLogger("sagaledger")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def questions(setting: Setting) -> Findings:
    """Measure each question; the ratio compares statistics of all sagas with decoding every event once."""
    found = Findings()
    for backend in setting.backends:
        setting.say(f"{backend}: questions of auditors about {setting.sizes.asked_events:,} events")
        with Ledger.open(setting.databases.fresh(backend), _example()["app"], create=True) as ledger:
            grow(ledger.backend, _history(), setting.sizes.asked_events)
            catch_up(ledger)
            rounds = in_turn(_contenders(ledger), setting.sizes.rounds)
        for name in rounds:
            found.figures[f"{name}_{backend}_seconds"] = rounds.median(name)
        found.ratios[f"statistics_vs_log_{backend}"] = rounds.ratio("reading_the_log", "question_statistics")
    return found


def _contenders(ledger: Ledger) -> dict[str, Callable[[], float]]:
    context = ledger.context
    head = context.backend.head().position
    asked: dict[str, Callable[[], object]] = {
        "question_failed_steps_of_a_customer": lambda: ledger.query(
            "saga_steps", where=["status=failed", "step=charge"], attributes=["customer=C-2"], limit=ROWS
        ),
        "question_latest_decisions": lambda: states_before(
            context, read_decisions(context, DecisionFilter(), limit=ROWS).rows
        ),
        "question_statistics": lambda: read_statistics(context, StatisticsFilter()),
        "question_sql_join": lambda: _answered(ask_sql(context, OWED, limit=ROWS)),
        "question_sql_join_at_the_middle": lambda: _answered(
            ask_sql_at(context, OWED, Moment(position=head // 2), limit=ROWS)
        ),
        "reading_the_log": lambda: [context.codec.decode(row) for row in recorded(context.backend)],
    }
    return {name: partial(seconds_of, ask) for name, ask in asked.items()}


def _answered(question: Any) -> Sequence[Any]:
    with question as found:
        return list(found.rows)
