"""An append call as the parameters of the SQL function `append_events`, and its answer as a receipt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from msgspec.structs import astuple

from ...errors import SupersededWorker
from ..append_call import AppendCall, Appended, AppendOutcome, CheckpointUpdate, Conflict, Receipt
from ..conflict_rules import checkpoint_moved
from ..event_row import NewEvent
from ..work_queue import QueueEntry
from .wire_format import (
    BINARY,
    SHORT_MAX,
    Parameter,
    Texts,
    bigints,
    boolean,
    byteas,
    instants,
    int8,
    integers,
    kept_bigints,
    kept_integers,
    kept_texts,
    texts,
)

AppendReply = Sequence[int]
"""What `append_events` answers: a status, and what goes with it."""

APPENDED: Final = 0
KNOWN: Final = 1
SUPERSEDED: Final = 2
MOVED: Final = 3


@cache
def statement(count: int) -> str:
    """The call with the first so many of the function's parameters; of text it holds their numbers and nothing else."""
    return f"SELECT append_events({', '.join(f'${number}' for number in range(1, count + 1))})"


def parameters(call: AppendCall) -> list[Parameter]:
    """What `append_events` is called with, in order; those at the end that equal their defaults are left out."""
    events = [new for append in call.appends for new in append.events]
    columns: Sequence[tuple[Any, ...]] = list(zip(*map(astuple, events), strict=True)) or _NO_COLUMNS
    streams, versions, topics, schema_versions, states, correlations, causations, metas, digests = columns
    opening_streams, opening_versions, suspect = _openings(streams, versions)
    worker_id, epoch = call.token or (None, None)
    due = [(place, append.queue_entry) for place, append in enumerate(call.appends, 1) if append.queue_entry]
    nudges = [(place, notify) for place, append in enumerate(call.appends, 1) for notify in append.notify]
    longest = max(len(events), len(call.appends), len(nudges))
    encode = _SHORT if longest <= SHORT_MAX else _Encoders(Texts(), integers, bigints)
    required = [
        (BINARY, call.append_id.bytes),
        (BINARY, None if worker_id is None else worker_id.encode()),
        (BINARY, None if epoch is None else int8(epoch)),
        encode.integers(tuple([len(append.events) for append in call.appends])),
        (BINARY, boolean(suspect)),
        encode.texts(opening_streams),
        encode.bigints(opening_versions),
        encode.texts(streams),
        encode.bigints(versions),
        encode.texts(topics),
        encode.integers(schema_versions),
        byteas(states),
        bigints(causations),  # hardly ever those of another call
        encode.texts(metas),
        (BINARY, b"".join(digests)),
    ]
    is_correlated = any(correlations)
    if not (due or nudges or is_correlated or call.checkpoints):
        return required
    optional = [
        *_due_columns(due, encode),
        encode.texts(correlations) if is_correlated else _NO_TEXTS,
        *_due_columns(nudges, encode)[:4],
        *_advance_columns(call.checkpoints),
    ]
    while optional[-1] in _DEFAULTS:
        optional.pop()
    return required + optional


class _Encoders(NamedTuple):
    """What makes the columns of one call."""

    texts: Callable[[tuple[str | None, ...]], Parameter]
    integers: Callable[[tuple[int, ...]], Parameter]
    bigints: Callable[[tuple[int | None, ...]], Parameter]


_SHORT: Final = _Encoders(kept_texts, kept_integers, kept_bigints)


def _due_columns(changes: Sequence[tuple[int, QueueEntry]], encode: _Encoders) -> list[Parameter]:
    """Changes of the due work, each with the place of its append in the call."""
    if not changes:
        return _NO_CHANGES
    saga_ids, definitions, versions, due_at, worker_ids = zip(*(change for _, change in changes), strict=True)
    return [
        encode.integers(tuple([place for place, _ in changes])),
        encode.texts(saga_ids),
        encode.texts(definitions),
        encode.integers(versions),
        instants(due_at),
        encode.texts(worker_ids),
    ]


def _advance_columns(advances: Sequence[CheckpointUpdate]) -> list[Parameter]:
    """Consumers' positions."""
    if not advances:
        return _NO_ADVANCES
    consumers, expected, positions = zip(*advances, strict=True)
    return [texts(consumers), bigints(expected), bigints(positions)]


_NO_COLUMNS: Final = [()] * len(NewEvent.__struct_fields__)
_NO_TEXTS: Final = texts(())
_NO_ADVANCES: Final = [_NO_TEXTS, bigints(()), bigints(())]
_NO_CHANGES: Final = [integers(()), _NO_TEXTS, _NO_TEXTS, integers(()), instants(()), _NO_TEXTS]
_DEFAULTS: Final = {*_NO_CHANGES, *_NO_ADVANCES}
"""What the optional parameters are when they are not given."""


def receipt(call: AppendCall, answer: AppendReply) -> Receipt:
    """What became of each append of a call that was not known before.

    Raises `SupersededWorker` or `PositionConflict` when the whole call was refused.
    """
    status, *numbers = answer
    if status == SUPERSEDED and call.token is not None:
        raise SupersededWorker(*call.token)
    if status == MOVED:
        place, position = numbers
        raise checkpoint_moved(call.checkpoints[place - 1], position)
    first_position, _, recorded_us, *refusals = numbers
    conflicts = _conflicts(call, refusals) if refusals else {}
    outcomes: list[AppendOutcome] = []
    begin = first_position
    for index, append in enumerate(call.appends):
        if index in conflicts:
            outcomes.append(conflicts[index])
        else:
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


def _openings(streams: Sequence[str], versions: Sequence[int]) -> tuple[tuple[str, ...], tuple[int, ...], bool]:
    """Where each stream of a call begins in it, which is checked there; and whether the call contradicts itself."""
    reached: dict[str, int] = {}
    openings: dict[str, int] = {}
    suspect = False
    for stream_id, version in zip(streams, versions, strict=True):
        end = reached.get(stream_id)
        if end is None:
            openings[stream_id] = version
        elif version != end + 1:
            suspect = True
        reached[stream_id] = version
    return tuple(openings), tuple(openings.values()), suspect
