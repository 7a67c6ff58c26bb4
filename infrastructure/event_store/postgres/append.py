"""An append call as a call of the SQL function `append_events`, and the function's reply as a receipt."""

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
    TextColumns,
    bigints,
    boolean,
    byteas,
    cached_bigints,
    cached_integers,
    cached_texts,
    instants,
    int8,
    integers,
    texts,
    unpack_bigints,
)

AppendReply = Sequence[int]
"""What `append_events` returns: a status, and the numbers that go with it."""

APPENDED: Final = 0
WRITTEN_BEFORE: Final = 1
SUPERSEDED: Final = 2
CHECKPOINT_MOVED: Final = 3


class EncodedCall(NamedTuple):
    """A statement, and its parameters as they are sent."""

    statement: str
    parameters: list[Parameter]


def encode(call: AppendCall) -> EncodedCall:
    """Return the call of `append_events`. Parameters at the end that equal their defaults are left out."""
    entries = [(ordinal, append.queue_entry) for ordinal, append in enumerate(call.appends, 1) if append.queue_entry]
    notified = [(ordinal, entry) for ordinal, append in enumerate(call.appends, 1) for entry in append.notify]
    events = [new for append in call.appends for new in append.events]
    columns: Sequence[tuple[Any, ...]] = list(zip(*map(astuple, events), strict=True)) or _NO_EVENT_COLUMNS
    is_short = max(len(events), len(call.appends), len(notified)) <= SHORT_MAX
    encoders = _CACHING if is_short else _Encoders(TextColumns(), integers, bigints)
    parameters = _required(call, columns, encoders)
    correlations = columns[5]
    is_correlated = correlations.count(None) < len(correlations)
    if entries or notified or is_correlated or call.checkpoints:
        optional = [
            *_entry_columns(entries, encoders),
            encoders.texts(correlations) if is_correlated else _NO_TEXTS,
            *_entry_columns(notified, encoders)[:4],
            *_checkpoint_columns(call.checkpoints),
        ]
        while optional[-1] in _DEFAULTS:
            optional.pop()
        parameters += optional
    return EncodedCall(_statement(len(parameters)), parameters)


def decode_reply(value: bytes | None) -> AppendReply:
    """Return the function's reply from the value that the server sent."""
    return unpack_bigints(value or b"")


def receipt(call: AppendCall, reply: AppendReply) -> Receipt:
    """Return the outcome of a call that was not written before.

    Raises `SupersededWorker` or `PositionConflict` when the whole call was refused.
    """
    status, *numbers = reply
    if status == SUPERSEDED and call.token is not None:
        raise SupersededWorker(*call.token)
    if status == CHECKPOINT_MOVED:
        ordinal, position = numbers
        raise checkpoint_moved(call.checkpoints[ordinal - 1], position)
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


class _Encoders(NamedTuple):
    """What encodes the columns of one call that recur within it, or from call to call."""

    texts: Callable[[tuple[str | None, ...]], Parameter]
    integers: Callable[[tuple[int, ...]], Parameter]
    bigints: Callable[[tuple[int | None, ...]], Parameter]


_CACHING: Final = _Encoders(cached_texts, cached_integers, cached_bigints)


@cache
def _statement(parameters_number: int) -> str:
    return f"SELECT append_events({', '.join(f'${number}' for number in range(1, parameters_number + 1))})"


def _required(call: AppendCall, columns: Sequence[tuple[Any, ...]], encoders: _Encoders) -> list[Parameter]:
    streams, versions, topics, schema_versions, states, _, causations, metas, digests = columns
    opening_streams, opening_versions, suspect = _openings(streams, versions)
    worker_id, epoch = call.token or (None, None)
    return [
        (BINARY, call.append_id.bytes),
        (BINARY, None if worker_id is None else worker_id.encode()),
        (BINARY, None if epoch is None else int8(epoch)),
        encoders.integers(tuple([len(append.events) for append in call.appends])),
        (BINARY, boolean(suspect)),
        encoders.texts(opening_streams),
        encoders.bigints(opening_versions),
        encoders.texts(streams),
        encoders.bigints(versions),
        encoders.texts(topics),
        encoders.integers(schema_versions),
        byteas(states),
        bigints(causations),  # not cached: they hardly ever recur in another call
        encoders.texts(metas),
        (BINARY, b"".join(digests)),
    ]


def _openings(streams: Sequence[str], versions: Sequence[int]) -> tuple[tuple[str, ...], tuple[int, ...], bool]:
    """Return where each stream of a call begins in it, and whether the call contradicts itself."""
    ends: dict[str, int] = {}
    openings: dict[str, int] = {}
    suspect = False
    for stream_id, version in zip(streams, versions, strict=True):
        end = ends.get(stream_id)
        if end is None:
            openings[stream_id] = version
        elif version != end + 1:
            suspect = True
        ends[stream_id] = version
    return tuple(openings), tuple(openings.values()), suspect


def _entry_columns(entries: Sequence[tuple[int, QueueEntry]], encoders: _Encoders) -> list[Parameter]:
    """Return the columns of queue entries, each with the ordinal of its append."""
    if not entries:
        return _NO_ENTRIES
    saga_ids, definitions, versions, due_at, worker_ids = zip(*(entry for _, entry in entries), strict=True)
    return [
        encoders.integers(tuple([ordinal for ordinal, _ in entries])),
        encoders.texts(saga_ids),
        encoders.texts(definitions),
        encoders.integers(versions),
        instants(due_at),
        encoders.texts(worker_ids),
    ]


def _checkpoint_columns(updates: Sequence[CheckpointUpdate]) -> list[Parameter]:
    if not updates:
        return _NO_CHECKPOINTS
    consumers, expected, positions = zip(*updates, strict=True)
    return [texts(consumers), bigints(expected), bigints(positions)]


def _conflicts(call: AppendCall, refusals: Sequence[int]) -> dict[int, Conflict]:
    """Return the conflicts by the index of their append.

    Each has three numbers: the append's ordinal, its offending event's, and the version at which that stream ends.
    """
    events = [new for append in call.appends for new in append.events]
    refused = zip(refusals[::3], (events[ordinal - 1] for ordinal in refusals[1::3]), refusals[2::3], strict=True)
    return {ordinal - 1: Conflict(new.stream_id, new.version - 1, end) for ordinal, new, end in refused}


_NO_EVENT_COLUMNS: Final = [()] * len(NewEvent.__struct_fields__)
_NO_TEXTS: Final = texts(())
_NO_CHECKPOINTS: Final = [_NO_TEXTS, bigints(()), bigints(())]
_NO_ENTRIES: Final = [integers(()), _NO_TEXTS, _NO_TEXTS, integers(()), instants(()), _NO_TEXTS]
_DEFAULTS: Final = {*_NO_ENTRIES, *_NO_CHECKPOINTS}
"""The optional parameters that the function assumes when they are left out."""
