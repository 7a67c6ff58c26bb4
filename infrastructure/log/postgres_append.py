"""An append call as the parameters of the SQL function `append_events`, and its answer as a receipt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any, Final, NamedTuple

from msgspec.structs import astuple

from ..errors import SupersededWorker
from .outcome import moved
from .port import Advance, AppendCall, Appended, Conflict, DueChange, NewEvent, Outcome, Receipt
from .postgres_wire import BINARY, Parameter, Texts, bigints, boolean, byteas, instants, int8, integers


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
    columns: Sequence[Sequence[Any]] = list(zip(*map(astuple, events), strict=True)) or _NO_COLUMNS
    streams, versions, topics, schema_versions, states, correlations, causations, metas, digests = columns
    openings, suspect = _openings(streams, versions)
    due = [(place, append.due) for place, append in enumerate(call.appends, 1) if append.due]
    nudges = [(place, nudge) for place, append in enumerate(call.appends, 1) for nudge in append.nudge]
    worker_id, epoch = call.epoch or (None, None)
    texts = Texts()
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
        *_due_columns(due, texts),
        *_due_columns(nudges, texts)[:4],
        *_advance_columns(call.advances, texts),
    ]


def _due_columns(changes: Sequence[tuple[int, DueChange]], texts: Texts) -> list[Parameter]:
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


def _advance_columns(advances: Sequence[Advance], texts: Texts) -> list[Parameter]:
    """Consumers' positions."""
    if not advances:
        return _NO_ADVANCES
    consumers, expected, positions = zip(*advances, strict=True)
    return [texts(consumers), bigints(expected), bigints(positions)]


_NO_COLUMNS: Final = [()] * len(NewEvent.__struct_fields__)
# A lone append has neither, and would spend as long on making these as on its events.
_NO_TEXTS: Final = Texts()(())
_NO_ADVANCES: Final = [_NO_TEXTS, bigints(()), bigints(())]
_NO_CHANGES: Final = [integers(()), _NO_TEXTS, _NO_TEXTS, integers(()), instants(()), _NO_TEXTS]


def receipt(call: AppendCall, answer: Answer) -> Receipt:
    """What became of each append of a call that was not known before.

    Raises `SupersededWorker` or `PositionConflict` when the whole call was refused.
    """
    if answer.status == "superseded" and call.epoch is not None:
        raise SupersededWorker(*call.epoch)
    if answer.status == "moved":
        (advance,) = (advance for advance in call.advances if advance.consumer == answer.moved_consumer)
        raise moved(advance, answer.moved_position or 0)
    sizes = [len(append.events) for append in call.appends]
    for place in answer.conflicts:
        sizes[place - 1] = 0
    bounds = pairwise(accumulate(sizes, initial=answer.first_position))
    outcomes: list[Outcome] = [Appended(begin, end - 1) for begin, end in bounds]
    for place, conflict in zip(answer.conflicts, _conflicts(answer), strict=True):
        outcomes[place - 1] = conflict
    return Receipt(outcomes, answer.recorded_at)


def _conflicts(answer: Answer) -> Iterable[Conflict]:
    columns = (answer.conflict_streams or [], answer.conflict_expected or [], answer.conflict_actual or [])
    return (Conflict(*conflict) for conflict in zip(*columns, strict=True))


def _openings(streams: Iterable[str], versions: Iterable[int]) -> tuple[list[tuple[str, int]], bool]:
    """Where each stream of a call begins in it, which is checked there; and whether the call contradicts itself."""
    reached: dict[str, int] = {}
    openings: list[tuple[str, int]] = []
    suspect = False
    for stream_id, version in zip(streams, versions, strict=True):
        end = reached.get(stream_id)
        if end is None:
            openings.append((stream_id, version))
        elif version != end + 1:
            suspect = True
        reached[stream_id] = version
    return openings, suspect
