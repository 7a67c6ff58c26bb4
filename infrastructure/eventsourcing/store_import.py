"""Taking over a store of the `eventsourcing` library: each event once, in the order in which it was recorded.

The ledger itself says what was taken over before, so an import that was killed goes on with the first event that is
missing. Before anything is written, and again at the end, every aggregate of the source is compared with its stream.
Topics and states are taken over as bytes: whatever the application compresses, encrypts or upcasts, it does as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final, NamedTuple
from uuid import uuid4

import msgspec

from ...domain.recorded_event import ImportedFrom, Meta
from ..errors import TooContended, WrongState
from ..event_store.append_call import Append, AppendCall, Appended, Conflict
from ..event_store.event_log import EventLog
from ..event_store.event_row import NewEvent, StoredRow
from ..event_store.stream_id import check_stream_id
from ..runtime.progress import ReportProgress
from .source import EventSource, SourceEvent

PAGE_EVENTS: Final = 500
"""How many events are read, and written in one transaction."""
ROUNDS_MAX: Final = 5
"""How often events are looked for that the source got meanwhile in front of others."""
CONFLICTS_MAX: Final = 20
"""How often another program may write to the aggregates of one page meanwhile."""
APPEND_BYTES_MAX: Final = 4 * 1024 * 1024
"""The most bytes of one transaction, unless one event has more."""
_SCHEMA_VERSION: Final = 1  # the library keeps the versions of its events in their state


class ImportConflict(WrongState):
    """The ledger and the source contradict each other, or the source itself is incomplete. Nothing was overwritten."""


class StoreComparison(NamedTuple):
    """What a ledger has of a source."""

    events: int
    """How many events the source has."""
    aggregates: int
    already_there: int
    """How many of the events the ledger has."""
    first_missing: SourceEvent | None
    """The first event, in the order of the import, that it lacks."""

    @property
    def missing(self) -> int:
        """Return how many events the ledger lacks."""
        return self.events - self.already_there


class StoreImport(NamedTuple):
    """What an import did."""

    source: str
    """What the imported events name as their source."""
    before: StoreComparison
    after: StoreComparison
    imported: int
    first_position: int | None
    last_position: int | None


def compare_store(source: EventSource, log: EventLog, *, upto: int | None = None) -> StoreComparison:
    """Compare every aggregate of a source with its stream, up to a notification if one is given.

    Raises `ImportConflict` for an event that the ledger has otherwise and for a version that the source lacks, and
    `InvalidInput` for an id that no stream can have.
    """
    events = aggregates = there = 0
    first: SourceEvent | None = None
    last: SourceEvent | None = None
    while page := source.by_aggregate(last, PAGE_EVENTS, upto=upto):
        groups = [list(group) for _, group in groupby(page, key=lambda each: each.stream_id)]
        known = _known_rows(log, groups)
        for group in groups:
            continues = last is not None and last.stream_id == group[0].stream_id
            _check_versions(group, last if continues else None)
            aggregates += not continues
            for event in group:
                row = known.get((event.stream_id, event.version))
                if row is None:
                    first = event if first is None or _precedes(event, first) else first
                else:
                    _check_equal(event, row)
                    there += 1
            last = group[-1]
        events += len(page)
    return StoreComparison(events, aggregates, there, first)


def import_store(
    source: EventSource, log: EventLog, *, name: str, actor: str, report: ReportProgress = lambda _done, _total: None
) -> StoreImport:
    """Append every event of a source that the ledger lacks.

    `name` becomes the source in the meta of each event, and `actor` who imported it. Several imports at once, and an
    application that goes on writing to the source, do no harm. Raises what `compare_store` raises; then nothing was
    written if the ledger contradicted the source before, and nothing was overwritten in any case.
    """
    before = after = compare_store(source, log)
    writer = _Writer(source, log, name, actor, report)
    for _ in range(ROUNDS_MAX):
        if after.first_missing is None:
            break
        last = writer.take_over(after.first_missing)
        after = compare_store(source, log, upto=last)
    return StoreImport(name, before, after, writer.imported, writer.first_position, writer.last_position)


class _Writer:
    """Appends the events of a source."""

    def __init__(self, source: EventSource, log: EventLog, name: str, actor: str, report: ReportProgress) -> None:
        self.imported = 0
        self.first_position: int | None = None
        self.last_position: int | None = None
        self._source = source
        self._log = log
        self._name = name
        self._actor = actor
        self._report = report

    def take_over(self, first: SourceEvent) -> int | None:
        """Append what the ledger lacks from this event on, and return the last notification that was read."""
        total = self._source.count()
        last = _just_before(first)
        while page := self._source.in_order(last, PAGE_EVENTS):
            self._append_missing(page)
            last = page[-1]
            self._report(self.imported, total)
        return last.notification_id

    def _append_missing(self, page: Sequence[SourceEvent]) -> None:
        """Append the events of a page that the ledger lacks, as many in one transaction as fit."""
        by_stream: dict[str, list[SourceEvent]] = {}
        for event in page:
            by_stream.setdefault(event.stream_id, []).append(event)
        conflict: Conflict | None = None
        for _ in range(PAGE_EVENTS + CONFLICTS_MAX):
            known = _known_rows(self._log, list(by_stream.values()))
            for event in page:
                if (row := known.get((event.stream_id, event.version))) is not None:
                    _check_equal(event, row)
            missing = _fitting([event for event in page if (event.stream_id, event.version) not in known])
            if not missing:
                return
            receipt = self._log.append(AppendCall(uuid4(), [Append([self._new(event) for event in missing])]))
            (outcome,) = receipt.outcomes
            if isinstance(outcome, Appended):
                self.imported += len(missing)
                self.first_position = self.first_position or outcome.first_position
                self.last_position = outcome.last_position
            elif outcome == conflict:  # no one else is writing
                raise _incomplete(by_stream[outcome.stream_id][0], outcome.actual_version)
            else:
                conflict = outcome
        raise TooContended(f"the events from {page[0].place} on")

    def _new(self, event: SourceEvent) -> NewEvent:
        meta = Meta(
            actor=self._actor, imported=ImportedFrom(self._name, event.notification_id, _timestamp(event.state))
        )
        return NewEvent.with_digest(
            event.stream_id,
            event.version,
            event.topic,
            _SCHEMA_VERSION,
            event.state,
            meta=msgspec.json.encode(meta).decode(),
        )


def _fitting(events: Sequence[SourceEvent]) -> Sequence[SourceEvent]:
    """Return the first events, as many as one transaction takes."""
    size_bytes = 0
    for count, event in enumerate(events):
        size_bytes += len(event.state)
        if size_bytes > APPEND_BYTES_MAX and count:
            return events[:count]
    return events


def _known_rows(log: EventLog, groups: Sequence[Sequence[SourceEvent]]) -> dict[tuple[str, int], StoredRow]:
    """Return what the ledger has of these events; a group has one aggregate's, in order of version.

    Of the first and the last group, which a page may cut off, no more is read than the page has.
    """
    rows: list[StoredRow] = []
    for group in (*groups[:1], *groups[1:][-1:]):
        rows += log.stream(group[0].stream_id, after=group[0].version - 1, upto=group[-1].version)
    whole = [(group[0].stream_id, group[0].version - 1) for group in groups[1:-1]]
    if whole:
        rows += log.streams(whole)
    return {(row.stream_id, row.version): row for row in rows}


def _check_versions(group: Sequence[SourceEvent], before: SourceEvent | None) -> None:
    """Raise `ImportConflict` unless the versions follow each other, and `InvalidInput` for an id that cannot be one."""
    first = group[0]
    check_stream_id(first.stream_id, "the aggregate")
    version = before.version if before is not None else None
    for event in group:
        if event.version not in ((0, 1) if version is None else (version + 1,)):
            raise _incomplete(event, version)
        version = event.version


def _check_equal(event: SourceEvent, row: StoredRow) -> None:
    if (event.topic, event.state) != (row.topic, row.state):
        what = f"the topic {row.topic!r}, not {event.topic!r}" if event.topic != row.topic else "another state"
        raise ImportConflict(
            f"{event.place}: the ledger has another event there, at position {row.position}, with {what}: nothing was "
            "overwritten; import into another ledger, or find out which program wrote the one that is there"
        )


def _incomplete(event: SourceEvent, before: int | None) -> ImportConflict:
    after = "it is the first one" if before is None else f"the one before it is {before}"
    return ImportConflict(
        f"{event.place} does not follow: {after}, so that events of this aggregate are missing in the source, or stand "
        "in another order: mend the source, and import it again"
    )


def _precedes(event: SourceEvent, other: SourceEvent) -> bool:
    """Whether an event that was met later is imported earlier: without notifications none is."""
    return (event.notification_id or 0) < (other.notification_id or 0)


def _just_before(event: SourceEvent) -> SourceEvent:
    """Return the place after which an event is read first."""
    notification_id = None if event.notification_id is None else event.notification_id - 1
    return event._replace(notification_id=notification_id, version=event.version - 1)


def _timestamp(state: bytes) -> str | None:
    """Return the time in an event's state, in UTC; None if it is compressed, encrypted, or has none."""
    try:
        value: Any = msgspec.json.decode(state)
        value = value["timestamp"]
        text = value if isinstance(value, str) else value["_data_"]
        time = datetime.fromisoformat(text)
        return (time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)).isoformat()
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):  # msgspec's errors are of the first kind
        return None
