"""The ledger as recorders of the `eventsourcing` library, so that its applications can live in one.

Their events stand beside those of sagas, with the same positions and the same hash chain. What a step of a saga saves
carries the saga's id (see `current_saga`). They carry no meta, and `state` is what the library's own mapper wrote:
compressed or encrypted, if the application asks for it. `insert_events` is as strict as the library's: a conflict
raises `IntegrityError`, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast
from uuid import UUID, uuid4

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    IntegrityError,
    Notification,
    OperationalError,
    ProcessRecorder,
    StoredEvent,
    Subscription,
    Tracking,
    TrackingRecorder,
)

from ..errors import OutcomeUnknown, PositionConflict, Unavailable
from ..event_store.append_call import Append, AppendCall, Appended, CheckpointUpdate, Conflict
from ..event_store.event_log import EventLog
from ..event_store.event_row import NewEvent, StoredRow
from ..runtime.current_saga import current_saga

_SCHEMA_VERSION: Final = 1  # the library keeps the versions of its events in their state
_BEFORE_FIRST_VERSION: Final = -1  # an application of the library may count its versions from 0
_PAGE_ROWS: Final = 500
_WAIT_SECONDS: Final = 1.0
_TRACKING_ATTEMPTS_MAX: Final = 100


@contextmanager
def translated() -> Iterator[None]:
    """Translate the ledger's errors into those that the library's applications expect."""
    try:
        yield
    except (Unavailable, OutcomeUnknown) as error:
        raise OperationalError(str(error)) from error


class _Recorder:
    """Appends strictly, and moves a consumer's checkpoint in the same transaction."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def _insert(self, stored_events: Sequence[StoredEvent], tracking: Tracking | None) -> Sequence[int]:
        """Append events and move a checkpoint, both or neither. Raises `IntegrityError` on any conflict."""
        appends = [Append([_to_new_event(stored) for stored in stored_events])] if stored_events else []
        for _ in range(_TRACKING_ATTEMPTS_MAX):
            checkpoints = [] if tracking is None else [self._checkpoint(tracking)]
            try:
                with translated():
                    receipt = self._log.append(AppendCall(uuid4(), appends, checkpoints=checkpoints))
            except PositionConflict:
                continue  # another process moved it: see whether ours is still ahead
            for outcome in receipt.outcomes:
                if isinstance(outcome, Conflict):
                    raise IntegrityError(
                        f"stream {outcome.stream_id!r} ends at version {outcome.actual_version}, "
                        f"not {outcome.expected_version}"
                    )
            appended = cast("list[Appended]", receipt.outcomes)
            return [position for each in appended for position in range(each.first_position, each.last_position + 1)]
        raise IntegrityError(
            f"other processes moved the checkpoint of {tracking} {_TRACKING_ATTEMPTS_MAX} times: try again later"
        )

    def _checkpoint(self, tracking: Tracking) -> CheckpointUpdate:
        consumer = _consumer_of(tracking.application_name)
        with translated():
            position = self._log.consumer_position(consumer)
        if tracking.notification_id <= position:
            raise IntegrityError(
                f"notification {tracking.notification_id} of {tracking.application_name!r} was processed before: "
                f"its checkpoint is {position}"
            )
        return CheckpointUpdate(consumer, position, tracking.notification_id)


class LedgerAggregateRecorder(_Recorder, AggregateRecorder):
    """Streams of a ledger, without positions."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        self._insert(stored_events, None)
        return None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        with translated():
            rows = self._log.stream(str(originator_id), after=_BEFORE_FIRST_VERSION if gt is None else gt, upto=lte)
        if desc:
            rows.reverse()
        return [
            StoredEvent(originator_id=originator_id, originator_version=row.version, topic=row.topic, state=row.state)
            for row in rows[:limit]
        ]


class LedgerApplicationRecorder(LedgerAggregateRecorder, ApplicationRecorder):
    """A whole ledger, with positions as notification ids and a subscription to new events."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        return self._insert(stored_events, None)

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        after = 0 if start is None else start - 1 if inclusive_of_start else start
        with translated():
            return [_to_notification(row) for row in self._log.read(after, limit=limit, upto=stop, topics=topics)]

    def max_notification_id(self) -> int | None:
        with translated():
            return self._log.head().position or None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[ApplicationRecorder]:
        return LedgerSubscription(self, gt, topics)

    def wait_beyond(self, position: int) -> None:
        """Block until the log has grown beyond a position, for a second at most."""
        with translated():
            self._log.wait_beyond(position, _WAIT_SECONDS)


class LedgerSubscription(Subscription[LedgerApplicationRecorder]):
    """Every event beyond a position, without end: page after page, and a wait at the end of the log."""

    def __init__(self, recorder: LedgerApplicationRecorder, gt: int | None, topics: Sequence[str]) -> None:
        super().__init__(recorder, gt, topics)
        self._position = gt or 0
        self._page: Iterator[Notification] = iter(())

    def __next__(self) -> Notification:
        while not self._has_been_stopped:
            found = next(self._page, None)
            if found is not None:
                return found
            self._fetch_page()
        raise StopIteration

    def _fetch_page(self) -> None:
        """Read the next page, or wait for one; skip positions whose topics are not asked for."""
        head = self._recorder.max_notification_id() or 0
        page = self._recorder.select_notifications(
            self._position, _PAGE_ROWS, stop=head, topics=self._topics, inclusive_of_start=False
        )
        self._page = iter(page)
        if len(page) == _PAGE_ROWS:
            self._position = page[-1].id
        else:
            self._position = max(self._position, head)
        if not page:
            self._recorder.wait_beyond(self._position)


class LedgerTrackingRecorder(_Recorder, TrackingRecorder):
    """The positions up to which events of other applications were processed here."""

    def insert_tracking(self, tracking: Tracking) -> None:
        self._insert((), tracking)

    def max_tracking_id(self, application_name: str) -> int | None:
        with translated():
            return self._log.consumer_position(_consumer_of(application_name)) or None


class LedgerProcessRecorder(LedgerTrackingRecorder, LedgerApplicationRecorder, ProcessRecorder):
    """Events, and the position of the notification that caused them, in one transaction."""

    def insert_events(
        self, stored_events: Sequence[StoredEvent], tracking: Tracking | None = None, **_: Any
    ) -> Sequence[int] | None:
        return self._insert(stored_events, tracking)


def _consumer_of(application_name: str) -> str:
    return f"tracking-{application_name}"


def _to_new_event(stored: StoredEvent) -> NewEvent:
    stream_id, saga_id = str(stored.originator_id), current_saga.get()
    return NewEvent.with_digest(
        stream_id,
        stored.originator_version,
        stored.topic,
        _SCHEMA_VERSION,
        stored.state,
        None if saga_id == stream_id else saga_id,
    )


def _to_notification(row: StoredRow) -> Notification:
    return Notification(
        originator_id=row.stream_id,
        originator_version=row.version,
        topic=row.topic,
        state=row.state,
        id=row.position,
    )
