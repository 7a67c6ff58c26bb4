"""An append call as the parameters of the SQL function `append_events`, and its answer as a receipt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final

from msgspec.structs import astuple

from ..errors import SupersededWorker
from .outcome import moved
from .port import Advance, AppendCall, Appended, Conflict, DueChange, NewEvent, Outcome, Receipt
from .postgres_wire import BINARY, Parameter, Texts, bigints, boolean, byteas, instants, int8, integers

Answer = Sequence[int]
"""What `append_events` answers: a status, and what goes with it."""

APPENDED, KNOWN, SUPERSEDED, MOVED = range(4)


@cache
def statement(parameters: int) -> str:
    """The call, with the first so many of the function's parameters."""
    return f"SELECT append_events({', '.join(f'${number}' for number in range(1, parameters + 1))})"


def parameters(call: AppendCall) -> list[Parameter]:
    """What `append_events` is called with, in order, up to the last that is not as it would be without."""
    events = [new for append in call.appends for new in append.events]
    columns: Sequence[Sequence[Any]] = list(zip(*map(astuple, events), strict=True)) or _NO_COLUMNS
    streams, versions, topics, schema_versions, states, correlations, causations, metas, digests = columns
    openings, suspect = _openings(streams, versions)
    worker_id, epoch = call.epoch or (None, None)
    texts = Texts()
    required = [
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
        bigints(causations),
        texts(metas),
        (BINARY, b"".join(digests)),
    ]
    due = [(place, append.due) for place, append in enumerate(call.appends, 1) if append.due]
    nudges = [(place, nudge) for place, append in enumerate(call.appends, 1) for nudge in append.nudge]
    is_correlated = any(correlations)
    if not (due or nudges or is_correlated or call.advances):
        return required
    optional = [
        *_due_columns(due, texts),
        texts(correlations) if is_correlated else _NO_TEXTS,
        *_due_columns(nudges, texts)[:4],
        *_advance_columns(call.advances, texts),
    ]
    while optional[-1] in _DEFAULTS:
        optional.pop()
    return required + optional


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
_NO_TEXTS: Final = Texts()(())
_NO_ADVANCES: Final = [_NO_TEXTS, bigints(()), bigints(())]
_NO_CHANGES: Final = [integers(()), _NO_TEXTS, _NO_TEXTS, integers(()), instants(()), _NO_TEXTS]
_DEFAULTS: Final = {*_NO_CHANGES, *_NO_ADVANCES}
"""What the optional parameters are when they are not given."""


def receipt(call: AppendCall, answer: Answer) -> Receipt:
    """What became of each append of a call that was not known before.

    Raises `SupersededWorker` or `PositionConflict` when the whole call was refused.
    """
    status, *numbers = answer
    if status == SUPERSEDED and call.epoch is not None:
        raise SupersededWorker(*call.epoch)
    if status == MOVED:
        place, position = numbers
        raise moved(call.advances[place - 1], position)
    first_position, _, recorded_us, *refusals = numbers
    conflicts = _conflicts(call, refusals) if refusals else {}
    outcomes: list[Outcome] = []
    begin = first_position
    for index, append in enumerate(call.appends):
        if index in conflicts:
            outcomes.append(conflicts[index])
            continue
        end = begin + len(append.events)
        outcomes.append(Appended(begin, end - 1))
        begin = end
    return Receipt(outcomes, recorded_us)


def _conflicts(call: AppendCall, refusals: Sequence[int]) -> dict[int, Conflict]:
    """The appends that conflict, by their index: three numbers say of each which it is, at which event, and where that
    event's stream ends."""
    events = [new for append in call.appends for new in append.events]
    refused = zip(refusals[::3], (events[place - 1] for place in refusals[1::3]), refusals[2::3], strict=True)
    return {place - 1: Conflict(new.stream_id, new.version - 1, end) for place, new, end in refused}


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
