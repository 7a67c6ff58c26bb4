"""What becomes of each append of a call: decided from where its streams end, or recalled from the log.

Pure, and the one place that says when an append conflicts. (On PostgreSQL the same rule stands in SQL, where it is
needed only after an optimistic insert has failed; one contract suite holds both to it.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..errors import PositionConflict
from .port import Advance, Append, Appended, Conflict, NewEvent, Outcome, StoredRow


def follows(version: int, end: int | None) -> bool:
    """Whether an event of this version continues a stream that ends there (None: that has no events).

    A stream begins at 1; at 0 if an application of the `eventsourcing` library counts from there.
    """
    return version == end + 1 if end is not None else version in (0, 1)


def decide(appends: Sequence[Append], ends: Mapping[str, int], head_position: int) -> list[Outcome]:
    """The outcome of each append, in order, on streams that end at `ends` (absent: no events yet)."""
    reached = dict(ends)
    lost: Lost = {}
    position = head_position
    outcomes: list[Outcome] = []
    for append in appends:
        conflict = _conflict(append, reached, lost)
        if conflict is None:
            outcomes.append(Appended(position + 1, position + len(append.events)))
            position += len(append.events)
            reached.update((new.stream_id, new.version) for new in append.events)
        else:
            outcomes.append(conflict)
    return outcomes


Lost = dict[str, int]
"""The first version of each stream that an append of the call would have written, and did not: it conflicted.

Who counts on that version was decided on an event that never happened, even where another writer's event stands in
its place: so it conflicts, too.
"""


def _conflict(append: Append, reached: Mapping[str, int], lost: Lost) -> Conflict | None:
    """Where an append does not continue its streams, if anywhere; then what it would have written is lost."""
    ahead: dict[str, int] = {}
    for new in append.events:
        end = ahead.get(new.stream_id, reached.get(new.stream_id))
        counts_on_lost = new.version > lost.get(new.stream_id, new.version)
        if counts_on_lost or not follows(new.version, end):
            for unwritten in append.events:
                first = lost.get(unwritten.stream_id, unwritten.version)
                lost[unwritten.stream_id] = min(first, unwritten.version)
            return Conflict(new.stream_id, new.version - 1, reached.get(new.stream_id, 0))
        ahead[new.stream_id] = new.version
    return None


def recall(
    appends: Sequence[Append],
    first_position: int,
    written: Sequence[NewEvent],
    end_before: Callable[[str, int], int | None],
) -> list[Outcome]:
    """The outcomes that a call had the first time, from the events that it left in the log.

    `written` are the events from `first_position` to the call's last. Appends were decided in order, so each either
    stands whole at the place where the ones before it end, or it conflicted there: `end_before(stream_id, position)`
    is where a stream ended then.
    """
    position = first_position
    lost: Lost = {}
    outcomes: list[Outcome] = []
    for append in appends:
        begin = position - first_position
        if list(append.events) == list(written[begin : begin + len(append.events)]):
            outcomes.append(Appended(position, position + len(append.events) - 1))
            position += len(append.events)
            continue
        ends = {new.stream_id: end_before(new.stream_id, position) for new in append.events}
        conflict = _conflict(append, {stream_id: end for stream_id, end in ends.items() if end is not None}, lost)
        if conflict is None:
            raise ValueError(f"the append to {append.events[0].stream_id!r} differs from the one first sent under this id")
        outcomes.append(conflict)
    return outcomes


def as_sent(row: StoredRow) -> NewEvent:
    """A stored event as its writer sent it."""
    return NewEvent(*row[1:9], row.digest)


def moved(advance: Advance, actual_position: int) -> PositionConflict:
    """The error for a consumer that another runner moved."""
    return PositionConflict(
        f"consumer {advance.consumer!r} is at position {actual_position}, not {advance.expected}: "
        "another runner moved it; read its position again and go on from there"
    )
