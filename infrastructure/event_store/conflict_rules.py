"""The outcome of each append of a call: decided from where its streams end, or recalled from the log.

This module is pure, and every backend written in Python uses it. PostgreSQL has the same rules in SQL, in the function
`decide_appends`; one contract suite holds both to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..errors import PositionConflict
from .append_call import Append, Appended, AppendIdTaken, AppendOutcome, CheckpointUpdate, Conflict
from .event_row import NewEvent


def follows(version: int, end: int | None) -> bool:
    """Return whether an event of this version continues a stream that ends at `end` (None: it has no events).

    A stream begins at 1; at 0 if an application of the `eventsourcing` library counts from there.
    """
    return version == end + 1 if end is not None else version in (0, 1)


def decide(appends: Sequence[Append], ends: Mapping[str, int], head_position: int) -> list[AppendOutcome]:
    """Return the outcome of each append, in order, for streams that end at `ends` (absent: no events yet)."""
    streams = _StreamEnds(ends)
    position = head_position
    outcomes: list[AppendOutcome] = []
    for append in appends:
        conflict = streams.take(append)
        if conflict is None:
            outcomes.append(Appended(position + 1, position + len(append.events)))
            position += len(append.events)
        else:
            outcomes.append(conflict)
    return outcomes


def recall(
    appends: Sequence[Append],
    first_position: int,
    written: Sequence[NewEvent],
    end_before: Callable[[str, int], int | None],
) -> list[AppendOutcome]:
    """Return the outcomes that a call had the first time, derived from the events that it left in the log.

    `written` are the events from `first_position` to the call's last one. Appends were decided in order, so each one
    either stands whole right after the accepted ones before it, or it conflicted there. `end_before(stream_id,
    position)` returns where a stream ended at that time. Raises `AppendIdTaken` if other events were sent under the id.
    """
    streams = _StreamEnds({})
    position = first_position
    outcomes: list[AppendOutcome] = []
    for append in appends:
        begin = position - first_position
        if list(append.events) == list(written[begin : begin + len(append.events)]):
            streams.accept(append)
            outcomes.append(Appended(position, position + len(append.events) - 1))
            position += len(append.events)
            continue
        for stream_id in {new.stream_id for new in append.events}:
            streams.set_end(stream_id, end_before(stream_id, position))
        conflict = streams.take(append)
        if conflict is None:
            stream_id = append.events[0].stream_id
            raise AppendIdTaken(f"other events than these of {stream_id!r} were first sent under this append id")
        outcomes.append(conflict)
    return outcomes


def checkpoint_moved(update: CheckpointUpdate, actual_position: int) -> PositionConflict:
    """Return the error for a consumer whose checkpoint another runner has moved."""
    return PositionConflict(
        f"consumer {update.consumer!r} is at position {actual_position}, not {update.expected}: "
        "another runner moved it; read its position again and go on from there"
    )


class _StreamEnds:
    """Where streams end while the appends of one call are decided.

    `_missing_from` has, for a stream, the lowest version that a conflicting append of this call would have written
    there, unless an accepted append before it wrote that version. A later append beyond that version was decided upon
    an event that never happened. It conflicts too, even if another writer's event, or one of a later append of the
    call, has taken that version since.
    """

    def __init__(self, ends: Mapping[str, int]) -> None:
        self._ends = dict(ends)
        self._accepted: dict[str, int] = {}
        self._missing_from: dict[str, int] = {}

    def set_end(self, stream_id: str, end: int | None) -> None:
        """Set where a stream ends; None leaves it as it is."""
        if end is not None:
            self._ends[stream_id] = end

    def accept(self, append: Append) -> None:
        """Move the ends of an append's streams to its last events."""
        self._move({new.stream_id: new.version for new in append.events})

    def take(self, append: Append) -> Conflict | None:
        """Accept an append, or return its first conflict and remember what it would have written."""
        ends, missing_from = self._ends, self._missing_from
        ends_within: dict[str, int] = {}
        for new in append.events:
            stream_id, version = new.stream_id, new.version
            end = ends_within.get(stream_id)
            builds_on_missing = False
            if end is None:
                end = ends.get(stream_id)
                builds_on_missing = stream_id in missing_from and version > missing_from[stream_id]
            if builds_on_missing or not follows(version, end):
                self._remember_missing(append)
                return Conflict(stream_id, version - 1, self._ends.get(stream_id, 0))
            ends_within[stream_id] = version
        self._move(ends_within)
        return None

    def _move(self, ends: Mapping[str, int]) -> None:
        self._ends.update(ends)
        self._accepted.update(ends)

    def _remember_missing(self, append: Append) -> None:
        for new in append.events:
            if new.version > self._accepted.get(new.stream_id, -1):
                lowest = self._missing_from.get(new.stream_id, new.version)
                self._missing_from[new.stream_id] = min(new.version, lowest)
