"""Starting a saga: its id, its canonical input, and the append that starts it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import uuid4

from msgspec import Raw

from ...domain.errors import InvalidInput
from ...domain.participant import Command, Refused
from ...domain.recorded_event import Meta, RecordedEvent
from ...domain.saga.definition import Definition
from ...domain.saga.duration import LATEST, instant_after
from ...domain.saga.event_parts import Parent
from ...domain.saga.events import SagaStarted
from ...domain.saga.saga import Saga
from ...domain.saga.step_kind import is_sub_saga
from ..errors import NotSupported, SagaConflict
from ..event_store.append_call import Append, AppendCall
from ..event_store.instants import checked_in_utc
from ..event_store.start_requests import NewStartRequest, StartRequests
from ..event_store.stream_id import check_stream_id
from ..event_store.work_queue import QueueEntry
from ..runtime.observer import NO_FACTS
from ..runtime.trace_context import check_traceparent
from .append_builder import AppendBuilder
from .context import LedgerContext
from .state_reader import saga_events
from .stream_cache import StreamCache
from .transact import call_of, last_position, transact

KEY_CHARACTERS_MAX = 200


class Started(NamedTuple):
    """A saga that was started, now or before."""

    saga_id: str
    position: int
    """Where its start stands in the log: pass it to `query(wait_for=…)` to read it."""
    created: bool
    """False: the same saga, with the same input, was already there."""


class SagaStart(NamedTuple):
    """A saga to be started: its id and its canonical input."""

    saga_id: str
    definition: Definition
    input: Raw
    begins_at: datetime | None = None
    parent: Parent | None = None
    actor: str | None = None
    """Who starts it; of a sub-saga, who started the saga that it is a step of."""
    traceparent: str | None = None
    """The W3C trace context that it starts in."""

    @classmethod
    def of(
        cls,
        definition: Definition,
        value: Any,
        key: str | None,
        *,
        begins_at: datetime | None = None,
        parent: Parent | None = None,
        actor: str | None = None,
        traceparent: str | None = None,
    ) -> SagaStart:
        """A saga start, checked.

        Raises `InvalidInput` when the input does not fit its type, the key cannot be part of an id, UTC cannot hold the
        time to begin, the trace context is none, or no actor is named and a step excludes the one who starts the saga.
        """
        if not actor and definition.needs_requester():
            raise InvalidInput(
                f"saga {definition.name!r} excludes the actor who starts it from approving: say who that is (`actor=`)"
            )
        raw = definition.write_input(value)
        if key is None:
            key = definition.key(definition.read_input(raw)) if definition.key is not None else uuid4().hex
        if not _is_key(key) or (len(key) > KEY_CHARACTERS_MAX and parent is None):
            raise InvalidInput(
                f"saga {definition.name!r}: the key {key!r} must be 1 to {KEY_CHARACTERS_MAX} printable characters"
            )
        check_stream_id(definition.saga_id(key), "the id of saga")
        checked = _checked(begins_at)
        return cls(definition.saga_id(key), definition, raw, checked, parent, actor, check_traceparent(traceparent))

    def draft(self, stream_cache: StreamCache, meta: Meta, at: datetime) -> Append:
        """The append that starts it, with what its participants record at that moment; no worker holds it yet."""
        draft = stream_cache.draft(self.saga_id, meta)
        self.record(draft, at)
        return draft.append(self.due(at, None))

    def record(self, draft: AppendBuilder, at: datetime) -> None:
        """Add its first event to an append, with what its participants record at that moment."""
        draft.record(1, self.fact(at))
        draft.handle(self.commands(), at, beginning=True)

    def fact(self, at: datetime) -> SagaStarted:
        """The event with which it starts."""
        definition = self.definition
        begins_at = at if self.begins_at is None else max(at, self.begins_at)
        deadline = None if definition.deadline is None else instant_after(begins_at, definition.deadline)
        return SagaStarted(
            at,
            definition.name,
            definition.version,
            definition.fingerprint,
            self.input,
            deadline,
            self.begins_at,
            self.parent,
            actor=self.actor,
        )

    def due(self, at: datetime, worker_id: str | None) -> QueueEntry:
        """Its entry in the work queue."""
        due_at = at if self.begins_at is None else max(at, self.begins_at)
        return QueueEntry(self.saga_id, self.definition.name, self.definition.version, due_at, worker_id)

    def commands(self) -> Sequence[Command]:
        """The commands to its participants when it starts."""
        started = self.definition.started
        return () if started is None else tuple(started(self.definition.read_input(self.input)) or ())

    def already(self, recorded: Sequence[RecordedEvent]) -> Started:
        """The saga that exists under this id.

        Raises `SagaConflict` if it was started with another input. A sub-saga of the same parent is the same saga with
        any input; a saga that the parent did not start is a conflict.
        """
        first = recorded[0]
        assert isinstance(first.event, SagaStarted)  # noqa: S101 -- every saga's stream begins so
        if self.parent is not None:
            if not is_sub_saga(first.event.parent, self.parent.saga_id):
                raise SagaConflict(foreign_saga(self.saga_id, self.parent.saga_id))
        elif not self.definition.same_input(first.event.input, self.input):
            raise SagaConflict(
                f"saga {self.saga_id!r} was started with another input at {first.recorded_at.isoformat()}: "
                f"use another key, or see `sagaledger show {self.saga_id}`"
            )
        return Started(self.saga_id, first.position, created=False)


def foreign_saga(saga_id: str, parent_id: str) -> str:
    """Why a saga under the id of a sub-saga cannot serve as that sub-saga."""
    return f"saga {saga_id!r} was not started by saga {parent_id!r}: it cannot be a step of it"


def _is_key(key: Any) -> bool:
    return isinstance(key, str) and bool(key) and key.isprintable()


def _checked(begins_at: datetime | None) -> datetime | None:
    """Returns when a saga begins; without a time zone it is in UTC. Raises `InvalidInput` beyond the calendar."""
    if begins_at is None:
        return None
    begins_at = checked_in_utc(begins_at, "begins_at")
    if begins_at > LATEST:
        raise InvalidInput(f"begins_at is {begins_at.isoformat()}, and must be before {LATEST.isoformat()}")
    return begins_at


def definition_of(context: LedgerContext, saga: Saga[Any] | str, version: int | None) -> Definition:
    """Return the definition that is meant: the saga's own, or the registered one of that name and version.

    Raises `UnknownDefinition`.
    """
    if isinstance(saga, Saga) and version is None:
        return saga.definition
    return context.app.definition(saga if isinstance(saga, str) else saga.name, version)


def start(context: LedgerContext, saga_start: SagaStart) -> Started:
    """Start a saga, or find it started with the same input.

    Raises `DefinitionChanged`, `SagaConflict` when the id belongs to a saga with another input, and `Refused` when a
    participant refuses to begin.
    """
    if context.observer is None:
        return _start(context, saga_start)
    name, saga_id = saga_start.definition.name, saga_start.saga_id
    is_repeat = context.request is not None and context.request.receipt(context.backend) is not None
    with context.observer.starts(name, saga_id, saga_start.traceparent) as traceparent:
        saga_start = saga_start._replace(traceparent=traceparent)
        started = _start(context, saga_start)
    if started.created and not is_repeat:
        fact = saga_start.fact(context.clock.now())
        context.observer.appended([(saga_id, name, None, None, [fact])], NO_FACTS)
    return started


def _start(context: LedgerContext, saga_start: SagaStart) -> Started:
    context.definition_versions.pin_fingerprint(saga_start.definition)
    stream_cache = StreamCache(context.app, context.backend, context.codec)
    meta = Meta(actor=saga_start.actor, traceparent=saga_start.traceparent)

    def exists() -> bool:
        return bool(context.backend.stream(saga_start.saga_id, upto=1))

    def decide(attempt: int) -> AppendCall | None:
        if attempt and exists():
            return None
        try:
            return call_of(stream_cache.build([partial(saga_start.draft, stream_cache, meta, context.clock.now())]))
        except Refused:  # participants that began with this saga refuse to begin again
            if exists():
                return None
            raise

    receipt = transact(context, decide, what=f"saga {saga_start.saga_id!r}", stream_cache=stream_cache)
    if receipt is None:
        return saga_start.already(saga_events(context, saga_start.saga_id))
    return Started(saga_start.saga_id, last_position(receipt), created=True)


def request_start(context: LedgerContext, connection: Any, saga_start: SagaStart) -> None:
    """Ask for a saga inside the caller's own database transaction.

    Raises `DefinitionChanged`, `InvalidInput` for an actor that no row can hold, `NotALedger` for a connection to
    another database, `NotSupported` on SQLite.
    """
    requests = shared_requests(context)
    requests.put(connection, new_request(context, saga_start))


def shared_requests(context: LedgerContext) -> StartRequests:
    """Return the ledger's start requests. Raises `NotSupported` on SQLite."""
    requests = context.backend.start_requests
    if requests is None:
        raise NotSupported(
            "a SQLite ledger cannot start a saga inside your transaction, which cannot be its own: commit, then "
            "call `start` with a key of yours (doing so again is harmless), or use a postgresql:// ledger"
        )
    return requests


def new_request(context: LedgerContext, saga_start: SagaStart) -> NewStartRequest:
    """Return the request for a saga, checked. Raises `DefinitionChanged`, `InvalidInput` for such an actor."""
    definition, actor = saga_start.definition, saga_start.actor
    context.codec.envelope(None, None, Meta(actor=actor))  # it checks the actor
    if actor is not None and "\0" in actor:
        raise InvalidInput(f"the actor {actor!r} has the character U+0000, which no text in a database may have")
    context.definition_versions.check([definition])
    return NewStartRequest(
        saga_start.saga_id,
        definition.name,
        definition.version,
        definition.fingerprint,
        bytes(saga_start.input),
        saga_start.begins_at,
        actor,
    )
