"""Tests that a changed saga still decides what was decided: recorded histories are replayed against its new code.

Histories are kept beside the tests, in a file that `sagaledger history SAGA --json >> FILE` or `save_histories` writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from msgspec import Raw, Struct

from ...domain.errors import InvalidInput, SagaledgerError
from ...domain.event import Event, Registry
from ...domain.recorded_event import RecordedEvent
from ...domain.saga.definition import Definition
from ...domain.saga.events import SAGA_EVENTS, SagaStarted
from ...domain.saga.replay import replay
from ...domain.saga.saga import Saga
from ..ledger.context import HasContext
from ..ledger.saga_history import read_history


class RecordedSaga(NamedTuple):
    """What was recorded of one saga: its own events, in order."""

    saga_id: str
    definition: str
    version: int
    events: list[Event]


History: TypeAlias = "str | Path | RecordedSaga | Sequence[RecordedSaga] | Sequence[RecordedEvent] | Sequence[Event]"
"""A file of histories, histories that were loaded, `ledger.history(…)`, or the events of a rehearsal."""


def assert_replays(saga: Saga[Any] | Definition, history: History) -> None:
    """Raise `AssertionError` unless a saga's code would decide all that is in a history, or in each of several.

    The error names the first recorded event that the code would not have led to, and what it would do instead. Of
    several histories those of this saga and version count, and there must be one.
    """
    definition = saga if isinstance(saga, Definition) else saga.definition
    known = list(_recorded(definition, history))
    wanted = [each for each in known if (each.definition, each.version) == (definition.name, definition.version)]
    if not wanted:
        there_are = sorted({f"{each.definition} version {each.version}" for each in known})
        raise AssertionError(
            f"there is no history of saga {definition.name!r} version {definition.version} to replay: there are those "
            f"of {', '.join(there_are) or 'no saga'}"
        )
    for each in wanted:
        divergence = replay(definition, each.events, each.saga_id)
        if divergence is not None:
            raise AssertionError(f"saga {definition.name!r} version {definition.version} changed: {divergence}")


def load_histories(path: str | Path) -> list[RecordedSaga]:
    """Read a file of histories: the documents of `sagaledger history SAGA --json`, one after the other.

    Raises `InvalidInput` for a file that has anything else.
    """
    found: list[RecordedSaga] = []
    for number, line in enumerate(Path(path).read_bytes().splitlines(), 1):
        if line.strip():
            try:
                found.append(_read(msgspec.json.decode(line, type=_HistoryDocument)))
            except (msgspec.DecodeError, SagaledgerError) as error:
                raise InvalidInput(
                    f"{path}, line {number} is no history as `sagaledger history SAGA --json` writes it: {error}"
                ) from error
    return found


def save_histories(path: str | Path, ledger: HasContext, saga_ids: Iterable[str]) -> None:
    """Write what was recorded of some sagas into a file, for `load_histories`. Raises `SagaNotFound`."""
    with Path(path).open("wb") as file:
        for saga_id in saga_ids:
            entries = read_history(ledger.context, saga_id, participants=False).entries
            events = [
                _EventDocument(entry.stream_id, entry.topic, Raw(msgspec.json.encode(entry.data)), entry.schema_version)
                for entry in entries
            ]
            file.write(msgspec.json.encode(_HistoryDocument(saga_id, events)) + b"\n")


_REGISTRY: Final = Registry(SAGA_EVENTS)


class _EventDocument(Struct):
    stream_id: str
    event: str
    data: Raw
    schema_version: int = 1


class _HistoryDocument(Struct):
    saga_id: str
    events: list[_EventDocument]


def _read(document: _HistoryDocument) -> RecordedSaga:
    own = [each for each in document.events if each.stream_id == document.saga_id]
    events = [_REGISTRY.decode(each.event, each.schema_version, bytes(each.data)) for each in own]
    return _of_events(document.saga_id, events)


def _recorded(definition: Definition, history: History) -> Iterator[RecordedSaga]:
    """Yield the histories of sagas in whatever holds them."""
    if isinstance(history, (str, Path)):
        yield from load_histories(history)
        return
    if isinstance(history, RecordedSaga):
        yield history
        return
    events: list[Event] = []
    saga_id = definition.saga_id("rehearsal")
    for each in history:
        if isinstance(each, RecordedSaga):
            yield each
        elif isinstance(each, Event):
            events.append(each)
        elif not events or each.stream_id == saga_id:
            saga_id = each.stream_id
            events.append(each.event)
    if events:
        yield _of_events(saga_id, events)


def _of_events(saga_id: str, events: list[Event]) -> RecordedSaga:
    """Return a history by its events. Raises `InvalidInput` if they do not begin as those of a saga do."""
    first = events[0] if events else None
    if not isinstance(first, SagaStarted):
        raise InvalidInput(f"the history of {saga_id!r} does not begin with the start of a saga")
    return RecordedSaga(saga_id, first.definition, first.definition_version, events)
