"""A long history, made quickly: a short one that workers really ran, and copies of it under other names.

A copy is byte for byte the original but for the mark in its names and its times, which come after those of the copy
before; so it has the sizes, the topics and the mixture of real traffic. Versions of streams that copies share, such as
an article's, go on from copy to copy.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from msgspec.structs import replace

from sagaledger import Ledger
from sagaledger.domain.shop import Order, Return
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall, Appended
from sagaledger.infrastructure.event_store.event_log import EventLog
from sagaledger.infrastructure.event_store.event_row import NewEvent, StoredRow
from sagaledger.infrastructure.event_store.hash_chain import digest
from sagaledger.infrastructure.shop.app import APP as SHOP
from sagaledger.infrastructure.shop.order_import import SLICE, read_file
from sagaledger.infrastructure.shop.run_options import RunOptions
from sagaledger.infrastructure.shop.run_orders import run_orders

from .limits import recorded
from .workload import drive

MARK = "@0@"
TERMS = RunOptions(seed=7, decline_rate=Decimal("0.1"), opening_stock=None, concurrency=1000, actor="benchmark")
CALL_EVENTS = 2_000
_MARK_BYTES = MARK.encode()

T = TypeVar("T")


@cache  # several benchmarks copy the same history
def shop_history() -> list[StoredRow]:
    """Return the events of the package's real orders in the shop; their ids contain the mark."""
    intake = read_file(SLICE)
    marked = replace(intake, invoices=tuple(_marked(invoice) for invoice in intake.invoices))
    with tempfile.TemporaryDirectory() as folder, Ledger.open(f"sqlite:///{Path(folder) / 'shop.db'}", SHOP) as ledger:
        run_orders(ledger, marked, TERMS)
        return recorded(ledger.backend)


@cache
def errand_history(sagas: int) -> list[StoredRow]:
    """Return the events of four-step sagas that all started before the first one ended; their ids contain the mark."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'errands.db'}"
        drive(url, sagas, at_once=sagas, name=f"errand{MARK}", warm_up=False)
        with Ledger.open(url) as ledger:
            return recorded(ledger.backend)


def copies(history: Sequence[StoredRow], begin: int) -> Iterator[list[NewEvent]]:
    """Yield copy after copy of a history, without an end; `begin` is the number of the first."""
    length = len(history)
    shared = Counter(row.stream_id for row in history if MARK not in row.stream_id)
    parts = [_parts(row.state) for row in history]
    lasting = max(part.at for part in parts) - min(part.at for part in parts)
    for number in count(begin):
        name, later = f"@{number}@", lasting * number
        yield [
            _digested(
                row.stream_id.replace(MARK, name),
                row.version + number * shared[row.stream_id],
                row.topic,
                row.schema_version,
                part.written(later, name.encode()),
                row.correlation_id and row.correlation_id.replace(MARK, name),
                row.causation_position and row.causation_position + number * length,
                row.meta,
            )
            for row, part in zip(history, parts, strict=True)
        ]


class _Parts(NamedTuple):
    """An event's state, divided where copies differ."""

    at: datetime
    rest: bytes

    def written(self, later: timedelta, name: bytes) -> bytes:
        """Return the state of a later copy, under another name."""
        at = (self.at + later).isoformat().removesuffix("+00:00").encode()
        return b'{"at":"' + at + b"Z" + self.rest.replace(_MARK_BYTES, name)


def _parts(state: bytes) -> _Parts:
    """Divide an event's state, which begins with its time."""
    at, _, rest = state.removeprefix(b'{"at":"').partition(b"Z")
    return _Parts(datetime.fromisoformat(at.decode()).replace(tzinfo=UTC), rest)


def _digested(*sent: Any) -> NewEvent:
    return NewEvent(*sent, digest(*sent))


def grow(log: EventLog, history: Sequence[StoredRow], events: int) -> int:
    """Append copies until the log, which has nothing else, has at least this many events. Returns how many it has."""
    has = log.head().position
    following = copies(history, has // len(history))
    while has < events:
        copy = next(following)
        for call in _chunks(copy, CALL_EVENTS):
            (outcome,) = log.append(AppendCall(uuid4(), [Append(call)])).outcomes
            assert isinstance(outcome, Appended)
            has = outcome.last_position
    return has


def _marked(invoice: Order | Return) -> Order | Return:
    if isinstance(invoice, Return):
        return replace(invoice, return_id=invoice.return_id + MARK)
    return replace(invoice, order_id=invoice.order_id + MARK)


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[begin : begin + size] for begin in range(0, len(items), size))
