"""An append call as the parameters of the SQL function `append_events`, and its answer as a receipt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

from msgspec.structs import astuple

from ..errors import SupersededWorker
from .outcome import moved
from .port import Advance, AppendCall, Appended, Conflict, DueChange, NewEvent, Outcome, Receipt
from .postgres_wire import BINARY, Parameter, bigints, boolean, byteas, instants, int8, integers, texts


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


def parameters(call: AppendCall) -> list[Parameter]:
    """What `append_events` is called with, in order."""
    events = [new for append in call.appends for new in append.events]
    openings, suspect = _openings(events)
    columns: Sequence[Sequence[Any]] = list(zip(*map(astuple, events), strict=True)) or _NO_COLUMNS
    streams, versions, topics, schema_versions, states, correlations, causations, metas, digests = columns
    due = [(place, append.due) for place, append in enumerate(call.appends, 1) if append.due]
    nudges = [(place, nudge) for place, append in enumerate(call.appends, 1) for nudge in append.nudge]
    worker_id, epoch = call.epoch or (None, None)
    return [
        (BINARY, call.append_id.bytes),
        (BINARY, None if worker_id is None else worker_id.encode()),
        (BINARY, None if epoch is None else int8(epoch)),
        integers([len(append.events) for append in call.appends]),
        (BINARY, boolean(suspect)),
        texts([stream_id for stream_id, _ in openings]),
        bigints([version for _, version in openings]),
        texts(streams),
        bigints(versions),
        texts(topics),
        integers(schema_versions),
        byteas(states),
        texts(correlations) if any(correlations) else _NO_TEXTS,
        bigints(causations),
        texts(metas),
        (BINARY, b"".join(digests)),
        *_due_columns(due),
        *_due_columns(nudges)[:4],
        *_advance_columns(call.advances),
    ]


def _due_columns(changes: Sequence[tuple[int, DueChange]]) -> list[Parameter]:
    """Changes of the due work, each with the place of its append in the call."""
    if not changes:
        return _NO_CHANGES
    places: Sequence[int] = [place for place, _ in changes]
    columns: Sequence[Sequence[Any]] = list(zip(*(change for _, change in changes), strict=True))
    saga_ids, definitions, versions, due_at, worker_ids = columns
    return [
        integers(places),
        texts(saga_ids),
        texts(definitions),
        integers(versions),
        instants(due_at),
        texts(worker_ids),
    ]


def _advance_columns(advances: Sequence[Advance]) -> list[Parameter]:
    """Consumers' positions."""
    if not advances:
        return _NO_ADVANCES
    consumers, expected, positions = zip(*advances, strict=True)
    return [texts(consumers), bigints(expected), bigints(positions)]


_NO_COLUMNS: Final = [()] * len(NewEvent.__struct_fields__)
# A lone append has neither, and would spend as long on making these as on its events.
_NO_TEXTS: Final = texts(())
_NO_ADVANCES: Final = [texts(()), bigints(()), bigints(())]
_NO_CHANGES: Final = [integers(()), texts(()), texts(()), integers(()), instants(()), texts(())]


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
    """Where each stream of a call begins in it, which is checked there; and whether the call contradicts itself."""
    reached: dict[str, int] = {}
    openings: list[tuple[str, int]] = []
    suspect = False
    for new in events:
        end = reached.get(new.stream_id)
        if end is None:
            openings.append((new.stream_id, new.version))
        elif new.version != end + 1:
            suspect = True
        reached[new.stream_id] = new.version
    return openings, suspect
