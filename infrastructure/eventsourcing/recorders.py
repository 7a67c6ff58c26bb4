"""The log as recorders of the `eventsourcing` library, so that its applications can live in a ledger.

Their events stand beside those of sagas, with the same positions and the same proof. Theirs carry no meta and no
correlation; `state` is whatever their mapper wrote. `insert_events` is strict, as the library's is: a conflict raises
`IntegrityError`, and nothing is written.
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
from ..event_store.hash_chain import digest
from ..event_store.port import Append, AppendCall, Appended, Backend, CheckpointUpdate, Conflict, NewEvent, StoredRow

_BEFORE_ALL: Final = -1  # an application of the library may count its versions from 0
_PAGE: Final = 500
_WAIT_SECONDS: Final = 1.0
_TRACKING_ATTEMPTS_MAX: Final = 100


@contextmanager
def translated() -> Iterator[None]:
    """The library's applications expect the library's errors."""
    try:
        yield
    except (Unavailable, OutcomeUnknown) as error:
        raise OperationalError(str(error)) from error


class _Recorder:
    """What every recorder of a ledger does: append, strictly, and move a consumer with it."""

    def __init__(self, log: Backend) -> None:
        self._log = log

    def _insert(self, stored_events: Sequence[StoredEvent], tracking: Tracking | None) -> Sequence[int]:
        """Append events and move a consumer, both or neither. Raises `IntegrityError` on any conflict."""
        appends = [Append([_to_new(stored) for stored in stored_events])] if stored_events else []
        for _ in range(_TRACKING_ATTEMPTS_MAX):
            advances = [] if tracking is None else [self._advance(tracking)]
            try:
                with translated():
                    receipt = self._log.append(AppendCall(uuid4(), appends, advances=advances))
            except PositionConflict:
                continue  # another process moved it: look whether ours is still ahead
            for outcome in receipt.outcomes:
                if isinstance(outcome, Conflict):
                    raise IntegrityError(
                        f"stream {outcome.stream_id!r} ends at version {outcome.actual_version}, "
                        f"not {outcome.expected_version}"
                    )
            appended = cast("list[Appended]", receipt.outcomes)
            return [position for each in appended for position in range(each.first_position, each.last_position + 1)]
        raise IntegrityError(f"the position of {tracking} was moved by others {_TRACKING_ATTEMPTS_MAX} times")

    def _advance(self, tracking: Tracking) -> CheckpointUpdate:
        consumer = _consumer(tracking.application_name)
        with translated():
            position = self._log.consumer_position(consumer)
        if tracking.notification_id <= position:
            raise IntegrityError(
                f"notification {tracking.notification_id} of {tracking.application_name!r} was processed before: "
                f"its position is {position}"
            )
        return CheckpointUpdate(consumer, position, tracking.notification_id)


class LedgerAggregateRecorder(_Recorder, AggregateRecorder):
    """Streams of a ledger, without their positions."""

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
            rows = self._log.stream(str(originator_id), after=_BEFORE_ALL if gt is None else gt, upto=lte)
        if desc:
            rows.reverse()
        return [
            StoredEvent(originator_id=originator_id, originator_version=row.version, topic=row.topic, state=row.state)
            for row in rows[:limit]
        ]


class LedgerApplicationRecorder(LedgerAggregateRecorder, ApplicationRecorder):
    """A whole ledger, with positions as notification ids and a subscription to what comes."""

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
        """Block until there are events beyond a position, for a second at most."""
        with translated():
            self._log.wait_beyond(position, _WAIT_SECONDS)


class LedgerSubscription(Subscription[LedgerApplicationRecorder]):
    """Every event beyond a position, for ever: pages while there are any, and a wait at the end of the log."""

    def __init__(self, recorder: LedgerApplicationRecorder, gt: int | None, topics: Sequence[str]) -> None:
        super().__init__(recorder, gt, topics)
        self._position = gt or 0
        self._page: Iterator[Notification] = iter(())

    def __next__(self) -> Notification:
        while not self._has_been_stopped:
            found = next(self._page, None)
            if found is not None:
                return found
            self._turn()
        raise StopIteration

    def _turn(self) -> None:
        """Get the next page, or wait for one. Positions that the topics leave out are passed over."""
        head = self._recorder.max_notification_id() or 0
        page = self._recorder.select_notifications(
            self._position, _PAGE, stop=head, topics=self._topics, inclusive_of_start=False
        )
        self._page = iter(page)
        if len(page) == _PAGE:
            self._position = page[-1].id
        else:
            self._position = max(self._position, head)
        if not page:
            self._recorder.wait_beyond(self._position)


class LedgerTrackingRecorder(_Recorder, TrackingRecorder):
    """How far the ledger's consumers have come in other applications."""

    def insert_tracking(self, tracking: Tracking) -> None:
        self._insert((), tracking)

    def max_tracking_id(self, application_name: str) -> int | None:
        with translated():
            return self._log.consumer_position(_consumer(application_name)) or None


class LedgerProcessRecorder(LedgerTrackingRecorder, LedgerApplicationRecorder, ProcessRecorder):
    """Events and the position of what caused them, in one transaction."""

    def insert_events(
        self, stored_events: Sequence[StoredEvent], tracking: Tracking | None = None, **_: Any
    ) -> Sequence[int] | None:
        return self._insert(stored_events, tracking)


def _consumer(application_name: str) -> str:
    return f"tracking-{application_name}"


def _to_new(stored: StoredEvent) -> NewEvent:
    columns = (str(stored.originator_id), stored.originator_version, stored.topic, 1, stored.state, None, None, "{}")
    return NewEvent(*columns, digest(*columns))


def _to_notification(row: StoredRow) -> Notification:
    return Notification(
        originator_id=row.stream_id,
        originator_version=row.version,
        topic=row.topic,
        state=row.state,
        id=row.position,
    )
