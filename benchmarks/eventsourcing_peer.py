"""The peer `eventsourcing`: its aggregates, repository and projection runner, with its own PostgreSQL recorders.

An errand is an aggregate with the ten events that a saga of four steps has; its view is one row for each errand with
its status, as the ledger's view `sagas` keeps it, beside other columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from .measuring import stopwatch
from .workload import STEPS

SAVED_AT_ONCE = 20
"""Few enough that their events fit in a socket's buffer. With more, psycopg 3.3.9 waited for ever, in the pipeline in
which the library saves them, for the reply to what it had not sent. Saving is not timed."""
EVENTS_PER_ERRAND = 2 + 2 * len(STEPS)
RUNNER_SECONDS_MAX = 3_600.0


class ErrandAggregate(Aggregate):
    """An errand as an aggregate of the library."""

    @event("Started")
    def __init__(self, definition: str, amount_minor: int) -> None:
        self.definition = definition
        self.amount_minor = amount_minor
        self.status = "running"
        self.steps: dict[str, str] = {}

    @event("StepStarted")
    def begin(self, step: str, attempt: int, key: str) -> None:  # noqa: ARG002  # an event carries its arguments
        """Record that a step began."""
        self.steps[step] = "running"

    @event("StepSucceeded")
    def succeed(self, step: str, attempt: int, result: None) -> None:  # noqa: ARG002
        """Record that a step succeeded."""
        self.steps[step] = "succeeded"

    @event("Completed")
    def complete(self, result: None) -> None:  # noqa: ARG002
        """Record that every step succeeded."""
        self.status = "completed"


class Errands(Application[UUID]):
    """An application of errands."""

    def record(self, errands: int) -> list[UUID]:
        """Record this many errands, each from start to end. Returns their ids."""
        made: list[UUID] = []
        for batch in _batches(errands):
            aggregates = [_completed() for _ in range(batch)]
            self.save(*aggregates)
            made += [aggregate.id for aggregate in aggregates]
        return made


class StatusView(PostgresTrackingRecorder):
    """A table of each errand's status, written in one transaction with the position, as the library's guide shows."""

    def __init__(self, datastore: PostgresDatastore, **kwargs: Any) -> None:
        super().__init__(datastore, **kwargs)
        table = (Identifier(datastore.schema), Identifier("errand_status"))
        self.sql_create_statements.append(
            SQL(
                "CREATE TABLE IF NOT EXISTS {}.{} (errand_id uuid PRIMARY KEY, status text, updated_at timestamptz,"
                " events bigint)"
            ).format(*table)
        )
        self._upsert = SQL(
            "INSERT INTO {}.{} AS seen VALUES (%s, %s, %s, 1) ON CONFLICT (errand_id) DO UPDATE"
            " SET status = excluded.status, updated_at = excluded.updated_at, events = seen.events + 1"
        ).format(*table)

    def put(self, errand_id: UUID, status: str, updated_at: Any, tracking: Tracking) -> None:
        """Set an errand's status."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(self._upsert, (errand_id, status, updated_at), prepare=True)


class StatusProjection(Projection[StatusView]):
    """Projects the events of errands onto their status."""

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Fold one event."""
        status = "completed" if type(domain_event).__name__ == "Completed" else "running"
        self.view.put(domain_event.originator_id, status, domain_event.timestamp, tracking)


def environment(url: str) -> dict[str, str]:
    """Return the environment from which the library reads its PostgreSQL database."""
    known = conninfo_to_dict(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(known["dbname"]),
        "POSTGRES_HOST": str(known["host"]),
        "POSTGRES_PORT": str(known.get("port", 5432)),
        "POSTGRES_USER": str(known["user"]),
        "POSTGRES_PASSWORD": str(known.get("password") or ""),
    }


def projected_events_per_second(url: str, events: int) -> float:
    """Return how many events a second a projection runner follows, from the first to the last."""
    env = environment(url)
    application = Errands(env)
    application.record(max(events // EVENTS_PER_ERRAND, 1))
    last = application.recorder.max_notification_id() or 0
    application.close()
    with (
        stopwatch() as watch,
        ProjectionRunner(
            application_class=Errands, projection_class=StatusProjection, view_class=StatusView, env=env
        ) as runner,
    ):
        runner.wait(last, timeout=RUNNER_SECONDS_MAX)
    return last / watch.seconds


def rebuilt_events_per_second(url: str, errands: int) -> float:
    """Return how many events a second the repository makes aggregates of."""
    application = Errands(environment(url))
    try:
        ids = application.record(errands)
        with stopwatch() as watch:
            for errand_id in ids:
                aggregate: ErrandAggregate = application.repository.get(errand_id)
                assert aggregate.status == "completed"
    finally:
        application.close()
    return errands * EVENTS_PER_ERRAND / watch.seconds


def _completed() -> ErrandAggregate:
    errand = ErrandAggregate("four_steps", 1999)
    for step in STEPS:
        errand.begin(step, 1, "6271f3a490e2deddea5024de7d186a7e")
        errand.succeed(step, 1, None)
    errand.complete(None)
    return errand


def _batches(total: int) -> Iterator[int]:
    return (min(SAVED_AT_ONCE, total - begun) for begun in range(0, total, SAVED_AT_ONCE))
