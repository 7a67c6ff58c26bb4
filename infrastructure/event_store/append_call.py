"""What a writer sends to the log in one transaction, and the outcome that it gets back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from msgspec import Struct

from .event_row import NewEvent
from .instants import instant
from .work_queue import FencingToken, QueueEntry

APPEND_EVENTS_MAX = 10_000
"""The most events that one append call may carry."""


class Append(Struct, frozen=True, gc=False):
    """One independent append: the log writes all of it, or nothing.

    The events of each stream are in version order; the version of the first one says where the writer expects the
    stream to end: just before it. The appends of one call are decided in the order given, so a later one may build on
    the versions of an earlier one; if the earlier one conflicts, so does the later one. An append may have no events.
    """

    events: Sequence[NewEvent]
    queue_entry: QueueEntry | None = None
    """The work queue's entry of the saga, from now on."""
    notify: Sequence[QueueEntry] = ()
    """Sagas to whose streams this append writes from outside. A saga that a worker holds stays with it, and the worker
    is notified; any other becomes due now, with a new entry if it has none."""


class CheckpointUpdate(NamedTuple):
    """A compare-and-set of a consumer's checkpoint, in the transaction of the append call."""

    consumer: str
    expected: int
    position: int


class AppendCall(NamedTuple):
    """One transaction. A call sent again under the same `append_id` has the outcome of the first time."""

    append_id: UUID
    appends: Sequence[Append]
    token: FencingToken | None = None
    checkpoints: Sequence[CheckpointUpdate] = ()


def check_size(call: AppendCall) -> None:
    """Raise `ValueError` for a call with more events than one transaction may have."""
    events = sum(len(append.events) for append in call.appends)
    if events > APPEND_EVENTS_MAX:
        raise ValueError(f"an append call of {events:,} events: split it into calls of at most {APPEND_EVENTS_MAX:,}")


class Appended(Struct, frozen=True, gc=False):
    """The append's events are durable, at contiguous positions in the order given."""

    first_position: int
    last_position: int


class Conflict(Struct, frozen=True, gc=False):
    """A stream did not end where the append expected; the log wrote nothing of that append."""

    stream_id: str
    expected_version: int
    """The version at which the append expected the stream to end."""
    actual_version: int
    """The version at which it ends, including what earlier appends of the same call added."""


AppendOutcome = Appended | Conflict


class Receipt(NamedTuple):
    """The outcome of an append call."""

    outcomes: list[AppendOutcome]
    """One for each append, in order."""
    recorded_us: int
    """When it was recorded, in microseconds since 1970-01-01 UTC."""

    @property
    def recorded_at(self) -> datetime:
        """Return the same time as an aware datetime."""
        return instant(self.recorded_us)


class AppendIdTaken(ValueError):
    """Other events were first sent under the id of an append call: nothing of this call was written."""


class PendingAppend(Protocol):
    """An append call that was sent, and whose receipt may not have come yet."""

    @property
    def pending(self) -> int | None:
        """The file descriptor that becomes readable when the reply comes; None once `receipt` would not block."""
        ...

    def receipt(self) -> Receipt:
        """Wait until the call is over, and return or raise what `EventLog.append` would. To be called once."""
        ...

    def abandon(self) -> None:
        """Give up the reply. The log may or may not write the call."""
        ...


class CompletedAppend(NamedTuple):
    """A `PendingAppend` of a backend that has appended by the time `send` returns."""

    completed: Receipt

    @property
    def pending(self) -> None:
        """None: `receipt` never blocks."""

    def receipt(self) -> Receipt:
        """Return the receipt."""
        return self.completed

    def abandon(self) -> None:
        """Do nothing: no reply is under way."""
