"""What is left when a process has died once and everything was brought to its end: the outcome, and what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sagaledger.domain.recorded_event import RecordedEvent
from sagaledger.domain.saga.events import CompensationStarted, StepCompensated, StepStarted, StepSucceeded
from sagaledger.infrastructure.event_store.verify import verify
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.read_models.drift import drift

from .life import SAGA_IDS, Watch, open_ledger
from .voyage import Harbour

VIEWS = ("sagas", "orders", "inventory", "payments", "loyalty")


class Outcome(NamedTuple):
    """How everything ended: the same in every run, however it was disturbed."""

    statuses: list[str]
    books: list[str]
    """What the called service did, without the order."""
    views: list[tuple[str, int]]
    """How many rows each view has."""
    stock: list[tuple[object, ...]]


def inspect(url: str, folder: Path) -> tuple[Outcome, list[str]]:
    """The outcome, and every violation."""
    with open_ledger(url, folder, Watch()) as ledger:
        events = [ledger.context.codec.decode(row) for row in ledger.backend.read(0, limit=100_000)]
        books = Harbour(folder).books
        found = [*_of_the_log(ledger), *_of_steps(events, books), *_of_views(ledger)]
        rows = {view: ledger.query(view, limit=1000).rows for view in VIEWS}
        outcome = Outcome(
            [str(ledger.state(saga_id).status) for saga_id in SAGA_IDS],
            sorted(books),
            [(view, len(rows[view])) for view in VIEWS],
            sorted(tuple(row.values()) for row in rows["inventory"]),
        )
        return outcome, found


def _of_the_log(ledger: Ledger) -> Iterator[str]:
    yield from (f"position {problem.position}: {problem.problem}" for problem in verify(ledger.backend).problems)
    yield from (f"{row.saga_id} is still due" for row in ledger.backend.entries())


def _of_steps(events: list[RecordedEvent], books: list[str]) -> Iterator[str]:
    """No success twice, one key for each step, and one entry in the service's books for each key."""
    done: Counter[tuple[str, str, str]] = Counter()
    keys: dict[tuple[str, str, str], str] = {}
    for recorded in events:
        match recorded.event:
            case StepSucceeded(step=step) | StepCompensated(step=step):
                done[recorded.stream_id, step, type(recorded.event).__name__] += 1
            case StepStarted(step=step, key=key) | CompensationStarted(step=step, key=key):
                place = (recorded.stream_id, step, type(recorded.event).__name__)
                if keys.setdefault(place, key) != key:
                    yield f"{place} has the keys {key} and {keys[place]}"
    yield from (f"{step} {times} times" for step, times in done.items() if times > 1)
    entered = Counter(line.split()[0] for line in books)
    yield from (f"{key} is {times} times in the books" for key, times in entered.items() if times > 1)
    yield from (f"{key} is in the books, and was never asked for" for key in entered.keys() - set(keys.values()))


def _of_views(ledger: Ledger) -> Iterator[str]:
    for projection in ledger.app.projections:
        found = drift(ledger.context.queries, ledger.backend, ledger.context.codec, projection.name)
        if found.count:
            yield f"view {projection.name} differs from its events: {found.differences[:2]}"
