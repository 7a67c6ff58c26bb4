"""What becomes of each append of a call: decided from where its streams end, or recalled from the log.

Pure, and the one place that says when an append conflicts. (On PostgreSQL the same rule stands in SQL, where it is
needed only for a call of which some append does; one contract suite holds both to it.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..errors import PositionConflict
from .port import Append, Appended, AppendOutcome, CheckpointUpdate, Conflict, NewEvent, StoredRow


def follows(version: int, end: int | None) -> bool:
    """Whether an event of this version continues a stream that ends there (None: that has no events).

    A stream begins at 1; at 0 if an application of the `eventsourcing` library counts from there.
    """
    return version == end + 1 if end is not None else version in (0, 1)


def decide(appends: Sequence[Append], ends: Mapping[str, int], head_position: int) -> list[AppendOutcome]:
    """The outcome of each append, in order, on streams that end at `ends` (absent: no events yet)."""
    streams = _Streams(ends)
    position = head_position
    outcomes: list[AppendOutcome] = []
    for append in appends:
        conflict = streams.conflict(append)
        if conflict is None:
            streams.write(append)
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
    """The outcomes that a call had the first time, from the events that it left in the log.

    `written` are the events from `first_position` to the call's last. Appends were decided in order, so each either
    stands whole at the place where the ones before it end, or it conflicted there: `end_before(stream_id, position)`
    is where a stream ended then.
    """
    streams = _Streams({})
    position = first_position
    outcomes: list[AppendOutcome] = []
    for append in appends:
        begin = position - first_position
        if list(append.events) == list(written[begin : begin + len(append.events)]):
            streams.write(append)
            outcomes.append(Appended(position, position + len(append.events) - 1))
            position += len(append.events)
            continue
        for stream_id in {new.stream_id for new in append.events}:
            streams.learn(stream_id, end_before(stream_id, position))
        conflict = streams.conflict(append)
        if conflict is None:
            stream_id = append.events[0].stream_id
            raise ValueError(f"other events than these of {stream_id!r} were first sent under this append id")
        outcomes.append(conflict)
    return outcomes


class _Streams:
    """Where streams end while the appends of one call are decided.

    It remembers, too, from which version on a stream lacks what an append of the call would have written, had it not
    conflicted, and none before it did. Who counts on that was decided upon an event that never happened, and conflicts
    as well, even where an event of another writer, or of a later append of the call, stands in its place.
    """

    def __init__(self, ends: Mapping[str, int]) -> None:
        self._ends = dict(ends)
        self._written: dict[str, int] = {}
        self._lacks: dict[str, int] = {}

    def learn(self, stream_id: str, end: int | None) -> None:
        """A stream is known to end there."""
        if end is not None:
            self._ends[stream_id] = end

    def write(self, append: Append) -> None:
        """The append stands."""
        for new in append.events:
            self._ends[new.stream_id] = self._written[new.stream_id] = new.version

    def conflict(self, append: Append) -> Conflict | None:
        """Where an append does not continue its streams, if anywhere."""
        ahead: dict[str, int] = {}
        for new in append.events:
            end = ahead.get(new.stream_id, self._ends.get(new.stream_id))
            counts_on_lost = new.stream_id not in ahead and new.version > self._lacks.get(new.stream_id, new.version)
            if counts_on_lost or not follows(new.version, end):
                self._lose(append)
                return Conflict(new.stream_id, new.version - 1, self._ends.get(new.stream_id, 0))
            ahead[new.stream_id] = new.version
        return None

    def _lose(self, append: Append) -> None:
        for new in append.events:
            if new.version > self._written.get(new.stream_id, -1):
                self._lacks[new.stream_id] = min(new.version, self._lacks.get(new.stream_id, new.version))


def as_sent(row: StoredRow) -> NewEvent:
    """A stored event as its writer sent it."""
    return NewEvent(*row[1:9], row.digest)


def moved(advance: CheckpointUpdate, actual_position: int) -> PositionConflict:
    """The error for a consumer that another runner moved."""
    return PositionConflict(
        f"consumer {advance.consumer!r} is at position {actual_position}, not {advance.expected}: "
        "another runner moved it; read its position again and go on from there"
    )
