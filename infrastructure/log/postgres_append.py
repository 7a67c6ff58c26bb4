"""An append call as the parameters of the SQL function `append_events`, and its answer as a receipt.

Arrays of text and bytes go in binary; arrays of integers as array literals, whose type does not change with the
largest element, so that the server keeps one prepared statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from ..errors import SupersededWorker
from .outcome import moved
from .port import AppendCall, Appended, Conflict, NewEvent, Outcome, Receipt
from .postgres_work import due_columns


class Answer(NamedTuple):
    """The one row that `append_events` returns."""

    status: str
    first_position: int
    last_position: int
    recorded_at: Any
    conflicts: list[int]
    """The places in the call, from 1, of the appends that conflicted."""
    conflict_streams: list[str] | None
    conflict_expected: list[int] | None
    conflict_actual: list[int] | None
    moved_consumer: str | None
    moved_position: int | None


def parameters(call: AppendCall) -> list[object]:
    """What `append_events` is called with, in order."""
    events = [new for append in call.appends for new in append.events]
    openings, suspect = _openings(events)
    columns: Sequence[Sequence[Any]] = list(zip(*events, strict=True)) or [()] * len(NewEvent._fields)
    streams, versions, topics, schema_versions, states, correlations, causations, metas, digests = columns
    due = [(place, append.due) for place, append in enumerate(call.appends, 1) if append.due]
    nudges = [(place, nudge) for place, append in enumerate(call.appends, 1) for nudge in append.nudge]
    return [
        call.append_id,
        *(call.epoch or (None, None)),
        _literal(len(append.events) for append in call.appends),
        suspect,
        [stream_id for stream_id, _ in openings],
        _literal(version for _, version in openings),
        list(streams),
        _literal(versions),
        list(topics),
        _literal(schema_versions),
        list(states),
        [correlation or "" for correlation in correlations],
        _literal(causations),
        list(metas),
        b"".join(digests),
        _literal(place for place, _ in due),
        *due_columns([change for _, change in due]),
        _literal(place for place, _ in nudges),
        *due_columns([nudge for _, nudge in nudges])[:3],
        [advance.consumer for advance in call.advances],
        _literal(advance.expected for advance in call.advances),
        _literal(advance.position for advance in call.advances),
    ]


def receipt(call: AppendCall, answer: Answer) -> Receipt:
    """What became of each append of a call that was not known before.

    Raises `SupersededWorker` or `PositionConflict` when the whole call was refused.
    """
    if answer.status == "superseded" and call.epoch is not None:
        raise SupersededWorker(*call.epoch)
    if answer.status == "moved":
        (advance,) = (advance for advance in call.advances if advance.consumer == answer.moved_consumer)
        raise moved(advance, answer.moved_position or 0)
    refused = dict(zip(answer.conflicts, _conflicts(answer), strict=True))
    sizes = [0 if place in refused else len(append.events) for place, append in enumerate(call.appends, 1)]
    outcomes: list[Outcome] = [
        refused.get(place) or Appended(answer.first_position + end - size, answer.first_position + end - 1)
        for place, (size, end) in enumerate(zip(sizes, accumulate(sizes), strict=True), 1)
    ]
    return Receipt(outcomes, answer.recorded_at)


def _conflicts(answer: Answer) -> Iterable[Conflict]:
    columns = (answer.conflict_streams or [], answer.conflict_expected or [], answer.conflict_actual or [])
    return (Conflict(*conflict) for conflict in zip(*columns, strict=True))


def _openings(events: Iterable[NewEvent]) -> tuple[list[tuple[str, int]], bool]:
    """Where each stream of a call begins in it, unless at version 1; and whether the call contradicts itself.

    The function checks that each opening continues its stream. At version 1 it begins one, or the key finds out.
    """
    reached: dict[str, int] = {}
    openings: list[tuple[str, int]] = []
    suspect = False
    for new in events:
        end = reached.get(new.stream_id)
        if end is not None:
            suspect |= new.version != end + 1
        elif new.version != 1:
            openings.append((new.stream_id, new.version))
        reached[new.stream_id] = new.version
    return openings, suspect


def _literal(integers: Iterable[int | None]) -> str:
    return "{" + ",".join("NULL" if integer is None else str(integer) for integer in integers) + "}"
