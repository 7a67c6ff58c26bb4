"""A ledger: sagas started, audited, operated and queried, on one database.

Synchronous and safe to share between threads; the worker that drives sagas is in `worker/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from ...domain.event import Event
from ...domain.participant import Refused
from ...domain.recorded_event import Meta, RecordedEvent
from ...domain.saga.definition import Definition
from ...domain.saga.events import (
    Action,
    SagaStarted,
    StepStarted,
    WaitKind,
)
from ...domain.saga.evolve import evolve, fold_all, rebuild
from ...domain.saga.saga import Saga
from ...domain.saga.state import SagaState
from ..errors import NotSupported, SagaConflict, SagaNotFound, TimedOut, WrongState
from ..event_store.codec import Codec
from ..event_store.connect import open_backend
from ..event_store.port import Append, AppendCall, Appended, Backend, QueueEntry
from ..event_store.start_requests import NewStartRequest
from ..read_models.projector import Projector
from ..read_models.queries import Queries, QueryResult
from ..read_models.saga_deriver import process_history
from ..runtime.clock import SYSTEM_CLOCK, Clock
from .app import App
from .definition_versions import DefinitionVersions
from .operations import Rule, approving, cancelling, intervening, signalling
from .process_cancellation import cancel_process
from .saga_start import SagaStart, Started
from .state_reader import rebuilt
from .stream_cache import StreamCache

CONFLICTS_MAX = 100
"""How often one command is decided again because others wrote to the same streams."""


class Ledger:
    """An open ledger. Use `Ledger.open`; close it, or use it as a context manager."""

    def __init__(self, backend: Backend, app: App, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.backend = backend
        self.app = app
        self.clock = clock
        self.codec = Codec(app.registry, app.choreographies)
        self.queries = Queries(backend, app.projections)
        self.versions = DefinitionVersions(backend)

    @classmethod
    def open(cls, url: str, app: App | None = None, *, create: bool = False) -> Self:
        """Open the ledger at a URL: `sqlite:///sagaledger.db`, or `postgresql://…`.

        A SQLite file is made when it is absent; on PostgreSQL `create` makes or upgrades the schema.
        Raises `Unavailable` when the database cannot be used now, `NotALedger` when it is not a ledger of this version.
        """
        return cls(open_backend(url, create=create), app or App())

    def close(self) -> None:
        """Release the database."""
        self.queries.close()
        self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Starting

    def start(
        self,
        saga: Saga[Any] | str,
        value: Any,
        *,
        key: str | None = None,
        version: int | None = None,
        actor: str | None = None,
        begins_at: datetime | None = None,
    ) -> Started:
        """Start a saga with an input; a worker takes it from there, at once or from `begins_at` on.

        Its id is `<saga>-<key>`; the key is that of the input, as its definition says, unless one is given, and a
        random one without either. The same saga again is one saga.

        Raises `UnknownDefinition`, `DefinitionChanged`, `InvalidInput`, `PayloadTooLarge`, and `SagaConflict` when
        the id belongs to a saga with another input.
        """
        saga_start = SagaStart.of(self._definition(saga, version), value, key, begins_at=begins_at)
        self.versions.pin_fingerprint(saga_start.definition)
        stream_cache = StreamCache(self.app, self.backend, self.codec)
        for _ in range(CONFLICTS_MAX):
            try:
                [append] = stream_cache.build(
                    [partial(saga_start.draft, stream_cache, Meta(actor=actor), self.clock.now())]
                )
            except Refused:  # by participants that began with this saga, if it is there already
                if not self.backend.stream(saga_start.saga_id, upto=1):
                    raise
                return saga_start.already(self._stream(saga_start.saga_id))
            receipt = self.backend.append(AppendCall(uuid4(), [append]))
            outcome = receipt.outcomes[0]
            if isinstance(outcome, Appended):
                return Started(saga_start.saga_id, outcome.last_position, created=True)
            if outcome.stream_id == saga_start.saga_id:
                return saga_start.already(self._stream(saga_start.saga_id))
            stream_cache.evict_all()
        raise SagaConflict(f"saga {saga_start.saga_id!r} could not be started: others keep writing to its participants")

    def start_in(
        self,
        connection: Any,
        saga: Saga[Any] | str,
        value: Any,
        *,
        key: str | None = None,
        version: int | None = None,
        actor: str | None = None,
        begins_at: datetime | None = None,
    ) -> str:
        """Ask for a saga inside a transaction of one's own, with which it is started or never was; gives its id.

        On PostgreSQL: `connection` is a psycopg Connection, or a SQLAlchemy Connection or Session, to the ledger's
        database. A worker starts the saga once that transaction has committed; what cannot be started then, because
        its id has another input or its participants refuse, stays among the requests with the reason.

        Raises what `start` raises of a definition and an input, `NotALedger` for a connection to another database, and
        `NotSupported` on SQLite.
        """
        if self.backend.requests is None:
            raise NotSupported(
                "a SQLite ledger cannot start a saga inside your transaction, which cannot be its own: commit, then "
                "call `start` with a key of yours (doing so again is harmless), or use a postgresql:// ledger"
            )
        definition = self._definition(saga, version)
        self.versions.check([definition])
        saga_start = SagaStart.of(definition, value, key, begins_at=begins_at)
        wanted = NewStartRequest(
            saga_start.saga_id, definition.name, definition.version, definition.fingerprint, bytes(saga_start.input),
            begins_at, actor,
        )  # fmt: skip
        self.backend.requests.put(connection, wanted)
        return saga_start.saga_id

    def _definition(self, saga: Saga[Any] | str, version: int | None) -> Definition:
        return saga.definition if isinstance(saga, Saga) and version is None else self.definition_of(saga, version)

    def definition_of(self, saga: Saga[Any] | str, version: int | None = None) -> Definition:
        """A registered definition, by name."""
        return self.app.definition(saga if isinstance(saga, str) else saga.name, version)

    # Auditing

    def history(self, saga_id: str, *, participants: bool = True) -> list[RecordedEvent]:
        """Everything that was recorded of a saga, in order; unless told otherwise with its participants' events, and
        with the sagas that are steps of it.

        Of a choreographed saga the facts are derived: each follows the event that means it, at that event's position.

        Raises `SagaNotFound`.
        """
        if self.app.choreography_of(saga_id) is not None:
            recorded = self._process(saga_id)
            return recorded if participants else [r for r in recorded if r.stream_id == saga_id]
        if not participants:
            return self._stream(saga_id)
        found: list[RecordedEvent] = []
        processes = [saga_id]
        for process in processes:
            events = [self.codec.decode(row) for row in self.backend.correlated(process)]
            found += events
            processes += filter(None, (_nested(r.event) for r in events))
        if not any(r.stream_id == saga_id for r in found):
            raise SagaNotFound(saga_id)
        return sorted(found, key=lambda r: r.position)

    def state(self, saga_id: str, at: int | datetime | None = None) -> SagaState:
        """A saga's state, rebuilt from its facts: now, or at a version, or as recorded at a time.

        Raises `SagaNotFound`, also when the saga had not begun at that time.
        """
        recorded = self._stream(saga_id)
        if isinstance(at, datetime):
            seen = [r for r in recorded if r.recorded_at <= at]
        else:
            seen = recorded if at is None else [r for r in recorded if r.version <= at]
        if not seen:
            raise SagaNotFound(saga_id, f"it began at {recorded[0].recorded_at.isoformat()} with version 1")
        return rebuild(saga_id, (r.event for r in seen))

    def states(self, saga_ids: Iterable[str]) -> Iterator[SagaState]:
        """The states of many sagas, in the order given: for hundreds or more, several times as fast as one by one.

        On PostgreSQL a connection is lent to it until the last one was read, or the iterator is closed: eight at most.

        Raises `SagaNotFound` for the first that is not there, when its turn comes.
        """
        wanted = list(saga_ids)
        states = rebuilt(self.backend, self.codec, [id_ for id_ in wanted if self.app.choreography_of(id_) is None])
        for saga_id in wanted:
            yield next(states) if self.app.choreography_of(saga_id) is None else self.state(saga_id)

    def wait(self, saga_id: str, timeout_seconds: float) -> SagaState:
        """Block until a saga has ended or needs a person; gives its state then.

        Raises `SagaNotFound`, and `TimedOut` with where it stood.
        """
        deadline = self.clock.monotonic() + timeout_seconds
        state = rebuild(saga_id, (r.event for r in self._stream(saga_id)))
        while state.end is None and not state.interventions:
            head = self.backend.head().position
            news = self._beyond(saga_id, state.version)
            if news:
                state = fold_all(state, news)
                continue
            remaining = deadline - self.clock.monotonic()
            if remaining <= 0:
                raise TimedOut(f"saga {saga_id!r} is still {state.status} after {timeout_seconds:g} seconds")
            self.backend.wait_beyond(head, min(remaining, 1.0))
        return state

    # Operating

    def cancel(self, saga_id: str, *, actor: str, reason: str) -> int:
        """Ask a saga to turn back and undo what it did; gives the position of that request.

        One without a coordinator turns by the event that its choreography declares for that.

        Raises `SagaNotFound`, and `WrongState` when it is over, already turning back, or past its pivot.
        """
        choreography = self.app.choreography_of(saga_id)
        if choreography is not None:
            return cancel_process(self.app, self.backend, self.codec, choreography, saga_id, actor=actor, reason=reason)
        return self._operate(saga_id, cancelling(actor, reason), actor)

    def intervene(
        self,
        saga_id: str,
        action: Action | str,
        *,
        actor: str,
        reason: str,
        step: str | None = None,
        result: Any = None,
    ) -> int:
        """Decide how a saga that needs a person goes on; gives the position of that decision.

        `retry` runs the step again, `skip` goes on without it, `resolve` goes on as if it had given `result`,
        `abandon` ends the saga as it stands. `step` is needed only when more than one waits.

        Raises `SagaNotFound`, and `WrongState` when nothing waits, or not that step.
        """
        return self._operate(saga_id, intervening(self.app, Action(action), step, result, actor, reason), actor)

    def signal(
        self,
        saga_id: str,
        name: str,
        payload: Any = None,
        *,
        actor: str,
        reason: str | None = None,
        refused: bool = False,
    ) -> int:
        """Tell a saga something, such as an approval or its refusal; gives the position of that fact.

        A signal that comes before the saga waits for it is kept. Raises `SagaNotFound`, `NotSerialisable`, and
        `WrongState` when the saga is over.
        """
        return self._operate(saga_id, signalling(name, payload, actor, reason, refused=refused), actor)

    def approve(
        self,
        saga_id: str,
        step: str,
        payload: Any = None,
        *,
        actor: str,
        reason: str,
        refused: bool = False,
    ) -> int:
        """Give the signal that a step waits for, or will: the approval, or its refusal; gives the fact's position.

        Raises `SagaNotFound`, `NotSerialisable`, and `WrongState` when the step waits for no signal, or not any more.
        """
        return self._operate(saga_id, approving(self.app, step, payload, actor, reason, refused=refused), actor)

    # Querying

    def query(self, view: str, **asked: Any) -> QueryResult:
        """Rows of a view, with the position they stand at and how far that is behind: see `Queries.query`."""
        return self.queries.query(view, **asked)

    def projector(self) -> Projector:
        """What keeps this ledger's views up with its log."""
        return Projector(self.backend, self.codec, self.app.projections)

    def _stream(self, saga_id: str) -> list[RecordedEvent]:
        if self.app.choreography_of(saga_id) is not None:
            return [r for r in self._process(saga_id) if r.stream_id == saga_id]
        recorded = [self.codec.decode(row) for row in self.backend.stream(saga_id)]
        if not recorded or not isinstance(recorded[0].event, SagaStarted):
            raise SagaNotFound(saga_id)
        return recorded

    def _process(self, saga_id: str) -> list[RecordedEvent]:
        """Every event of a choreographed saga, each followed by the facts that it means."""
        choreography = self.app.choreography_of(saga_id)
        rows = self.backend.correlated(saga_id)
        if choreography is None or not rows:
            raise SagaNotFound(saga_id)
        return process_history(choreography, saga_id, [self.codec.decode(row) for row in rows])

    def _beyond(self, saga_id: str, version: int) -> list[Event]:
        """A saga's facts beyond a version."""
        if self.app.choreography_of(saga_id) is not None:
            return [r.event for r in self._stream(saga_id)[version:]]
        return [self.codec.decode(row).event for row in self.backend.stream(saga_id, after=version)]

    def _operate(self, saga_id: str, rule: Rule, actor: str) -> int:
        """Append one fact to a saga from outside, and wake whoever holds it."""
        if self.app.choreography_of(saga_id) is not None:
            raise WrongState(
                f"saga {saga_id!r} is choreographed: no coordinator could act on that. `sagaledger deadletters replay` "
                "lets a service try a parked event again, `sagaledger cancel` turns the saga back"
            )
        for _ in range(CONFLICTS_MAX):
            state = rebuild(saga_id, (r.event for r in self._stream(saga_id)))
            at = self.clock.now()
            fact = rule(state, at)
            new = self.codec.encode(saga_id, state.version + 1, fact, meta=Meta(actor=actor))
            append = Append([new], None, _wake(state, fact))
            outcome = self.backend.append(AppendCall(uuid4(), [append])).outcomes[0]
            if isinstance(outcome, Appended):
                return outcome.last_position
        raise WrongState(f"saga {saga_id!r} moves too fast to be changed from outside: try again")


def _wake(state: SagaState, fact: Event) -> tuple[QueueEntry, ...]:
    """Who has to look because of this fact: the saga itself, or the one that it is a step of if it ends here."""
    if evolve(state, fact).end is None:
        return (QueueEntry(state.saga_id, state.definition, state.definition_version, fact.at, None),)
    if state.parent is None:
        return ()
    parent = state.parent
    return (QueueEntry(parent.saga_id, parent.definition, parent.definition_version, fact.at, None),)


def _nested(fact: Event) -> str | None:
    """The saga that begins with this step, if it is one."""
    wait = fact.wait if isinstance(fact, StepStarted) else None
    return wait.target if wait is not None and wait.kind is WaitKind.SAGA else None
