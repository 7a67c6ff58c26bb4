"""A ledger: sagas started, audited, operated and queried, on one database.

Synchronous and safe to share between threads; the worker that drives sagas is in `worker/`, and `AsyncLedger` is for
asyncio programs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from ...domain.recorded_event import RecordedEvent
from ...domain.saga.definition import Definition
from ...domain.saga.events import Action
from ...domain.saga.saga import Saga
from ...domain.saga.state import SagaState
from ..event_store.backend import Backend
from ..event_store.connect import open_backend
from ..read_models.projector import Projector
from ..read_models.queries import Asked, QueryResult
from ..read_models.tables import install
from ..runtime.clock import SYSTEM_CLOCK, Clock
from ..runtime.observer import Observer
from . import operations, state_reader
from .app import App
from .changes import ROWS_LISTED, LedgerChanges, changes
from .context import LedgerContext
from .moment import AnyMoment
from .past_views import query_at
from .saga_start import SagaStart, Started, definition_of, request_start, start
from .schedules import Schedules

I = TypeVar("I")  # noqa: E741 -- the saga's input, as the documentation calls it


class Ledger:
    """An open ledger. Use `Ledger.open`; close it, or use it as a context manager."""

    def __init__(
        self, backend: Backend, app: App, *, clock: Clock = SYSTEM_CLOCK, observer: Observer | None = None
    ) -> None:
        self._context = LedgerContext(backend, app, clock=clock, observer=observer)

    @classmethod
    def open(
        cls, url: str, app: App | None = None, *,
        create: bool = False, must_exist: bool = False, observer: Observer | None = None,
    ) -> Self:  # fmt: skip
        """Open the ledger at a URL: `sqlite:///sagaledger.db`, or `postgresql://…`.

        A SQLite file is created when it is absent, unless it `must_exist`; on PostgreSQL `create` creates or upgrades
        the schema. `observer`: what learns of everything that is done, such as a `Telemetry`.
        Raises `Unavailable` when the database cannot be used now, `NotALedger` when it is not a ledger of this version.
        """
        ledger = cls(open_backend(url, create=create, must_exist=must_exist), app or App(), observer=observer)
        if create:
            try:
                install(ledger.backend.views, ledger.app.projections)
            except BaseException:
                ledger.close()
                raise
        return ledger

    @property
    def context(self) -> LedgerContext:
        """What everything that works on this ledger shares, such as its worker."""
        return self._context

    @property
    def app(self) -> App:
        """The app that the ledger was opened with."""
        return self._context.app

    @property
    def backend(self) -> Backend:
        """The database that holds the ledger."""
        return self._context.backend

    @property
    def schedules(self) -> Schedules:
        """The schedules of the ledger: listing them, and deciding about them as a person."""
        return Schedules(self._context)

    def close(self) -> None:
        """Release the database."""
        self._context.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Starting

    def start(
        self, saga: Saga[I] | str, value: I, *, key: str | None = None, version: int | None = None,
        actor: str | None = None, begins_at: datetime | None = None, traceparent: str | None = None,
    ) -> Started:  # fmt: skip
        """Start a saga with an input; a worker takes it from there, at once or from `begins_at` on.

        Its id is `<saga>-<key>`; the key is that of the input, as its definition says, unless one is given, and a
        random one without either. The same saga again is one saga. `traceparent` is the W3C trace context of its
        steps; with a `Telemetry`, the current span unless one is given.

        Raises `UnknownDefinition`, `DefinitionChanged`, `InvalidInput`, `PayloadTooLarge`, and `SagaConflict` when
        the id belongs to a saga with another input.
        """
        definition = self._definition(saga, version)
        saga_start = SagaStart.of(definition, value, key, begins_at=begins_at, actor=actor, traceparent=traceparent)
        return start(self._context, saga_start)

    def start_in(
        self,
        connection: Any,
        saga: Saga[I] | str,
        value: I,
        *,
        key: str | None = None,
        version: int | None = None,
        actor: str | None = None,
        begins_at: datetime | None = None,
    ) -> str:
        """Ask for a saga inside a transaction of your own, with which it is started or never was; returns its id.

        On PostgreSQL: `connection` is a psycopg Connection, or a SQLAlchemy Connection or Session, to the ledger's
        database (`AsyncLedger.start_in` takes their asynchronous kinds). A worker starts the saga once that transaction
        has committed; what cannot be started then, because its id has another input or its participants refuse, stays
        among the requests with the reason.

        Raises what `start` raises of a definition and an input, `NotALedger` for a connection to another database, and
        `NotSupported` on SQLite.
        """
        saga_start = SagaStart.of(self._definition(saga, version), value, key, begins_at=begins_at, actor=actor)
        request_start(self._context, connection, saga_start)
        return saga_start.saga_id

    # Auditing

    def history(self, saga_id: str, *, participants: bool = True, at: AnyMoment | None = None) -> list[RecordedEvent]:
        """Everything that was recorded of a saga, now or up to a moment (see `Moment`), in order.

        Unless told otherwise, this includes the events of its participants and of the sagas that are steps of it. The
        events of a choreographed saga are derived: each follows the event that means it, at that event's position.

        Raises `SagaNotFound`, also for a moment before the saga began, and `InvalidInput` for what is no moment of it.
        """
        return state_reader.history(self._context, saga_id, participants=participants, at=at)

    def state(self, saga_id: str, at: AnyMoment | None = None) -> SagaState:
        """A saga's state, rebuilt from its events: now, or at a moment (see `Moment`), such as `"v4"` or `"@1897"`.

        Raises `SagaNotFound`, also for a moment before the saga began, and `InvalidInput` for what is no moment of it.
        """
        if at is None:
            return state_reader.state_now(self._context, saga_id)
        return state_reader.state_at(self._context, saga_id, at)

    def states(self, saga_ids: Iterable[str]) -> Iterator[SagaState]:
        """The states of many sagas, in the order given: for hundreds or more, several times as fast as one by one.

        On PostgreSQL a connection is lent to it until the last one was read, or the iterator is closed: eight at most.

        Raises `SagaNotFound` for the first that does not exist, when its turn comes.
        """
        return state_reader.states(self._context, saga_ids)

    def wait(self, saga_id: str, timeout_seconds: float) -> SagaState:
        """Block until a saga has ended or needs a person; returns its state then.

        Raises `SagaNotFound`, and `TimedOut` with the saga's status at that moment.
        """
        return state_reader.wait(self._context, saga_id, timeout_seconds)

    def changes(
        self,
        since: AnyMoment,
        until: AnyMoment | None = None,
        *,
        views: Sequence[str] | None = None,
        limit: int = ROWS_LISTED,
    ) -> LedgerChanges:
        """What happened between two moments of the log (see `Moment`); the second is now, unless it is given.

        Events by type; the sagas that started, ended or changed their status; and of every view, or of `views`, the
        rows that were added, changed or removed. All are counted, and the first `limit` of each are listed. It takes
        as long as to fold the log up to the second moment.

        Raises `InvalidInput` for what is no moment of the whole log, and if the first moment is after the second.
        """
        return changes(self._context, since, until, views=views, limit=limit)

    # Operating

    def cancel(self, saga_id: str, *, actor: str, reason: str) -> int:
        """Ask a saga to turn back and undo what it did; returns the position of that event.

        One without a coordinator is aborted by the command that its choreography declares for that.

        Raises `SagaNotFound`, and `WrongState` when it has ended, already turns back, or is past its pivot.
        """
        return operations.cancel(self._context, saga_id, actor=actor, reason=reason)

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
        """Decide how a saga that needs a person goes on; returns the position of that event.

        `retry` runs the step again, `skip` goes on without it, `resolve` goes on as if it had returned `result`,
        `abandon` ends the saga as it stands. `step` is needed only when more than one needs a person.

        Raises `SagaNotFound`, and `WrongState` when no step needs a person, or not that one.
        """
        return operations.intervene(
            self._context, saga_id, action, actor=actor, reason=reason, step=step, result=result
        )

    def signal(
        self,
        saga_id: str,
        name: str,
        payload: Any = None,
        *,
        actor: str,
        reason: str | None = None,
        refused: bool = False,
        key: str | None = None,
    ) -> int:
        """Send a signal to a saga, such as an approval or its refusal; returns the position of that event.

        A signal that comes before the saga waits for it is kept. With a `key` it is recorded once: the same signal with
        the same key returns the position of the first one.

        Raises `SagaNotFound`; `NotSerialisable`, `PayloadTooLarge`, and `InvalidInput` for a payload that does not fit
        the type that the definition declares (if the app has it) and for a refusal without a reason; `WrongState` when
        the saga has ended; `SagaConflict` when the key belongs to another signal of the saga.
        """
        return operations.signal(
            self._context, saga_id, name, payload, actor=actor, reason=reason, refused=refused, key=key
        )

    def approve(
        self,
        saga_id: str,
        step: str,
        payload: Any = None,
        *,
        actor: str,
        reason: str,
        refused: bool = False,
        key: str | None = None,
    ) -> int:
        """Send the signal that a step waits for, or will: the approval, or its refusal; returns the event's position.

        Raises what `signal` raises, and `WrongState` when the step waits for no signal, or no longer, and when the
        actor may not approve it or has done so.
        """
        return operations.approve(
            self._context, saga_id, step, payload, actor=actor, reason=reason, refused=refused, key=key
        )

    # Querying

    def query(self, view: str, *, at: AnyMoment | None = None, **asked: Unpack[Asked]) -> QueryResult:
        """Rows of a view, with the position that they stand at and how far that is behind.

        - `where`: conditions on columns: `{"status": "completed"}`, or `["total_minor>100", ("status", "in", [...])]`;
        - `attributes`: conditions on the search attributes of each row's saga, in the same form;
        - `order`: names of columns, each with `-` before it for the reverse; `limit`: how many rows, 100 by default;
        - `after`: the last row of the page before, in the same order;
        - `wait_for`: a position that the rows must include, such as that of the caller's own append;
        - `timeout_seconds`: how long to wait for that, 10 by default;
        - `at`: a moment of the past (see `Moment`), which takes as long as to fold the log up to there. For a position,
          the rows that the events up to it make; for a time, the rows that the view showed then.

        Raises `InvalidInput` for a view, a column or a value that does not exist, `TimedOut` when the view does not
        reach the position in time, `WrongState` when it must be rebuilt first, `ProjectionChanged` when the app
        declares other columns than its table has, and `Unavailable`.
        """
        if at is None:
            return self._context.queries.query(view, **asked)
        return query_at(self._context, view, at, **asked)

    def projector(self) -> Projector:
        """A projector that keeps this ledger's views up with its log."""
        return self._context.projector()

    def _definition(self, saga: Saga[Any] | str, version: int | None) -> Definition:
        return definition_of(self._context, saga, version)
