"""The hand-written call of `append_events` does what psycopg does with ordinary parameters."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any, NamedTuple
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagaledger.domain.errors import SagaledgerError
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall, AppendOutcome, CheckpointUpdate
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.event_row import NewEvent
from sagaledger.infrastructure.event_store.work_queue import FencingToken, QueueEntry

from . import plain_append

EXAMPLES = count(1)

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12)
bigints = st.integers(-(2**63), 2**63 - 1)
instants = st.datetimes(datetime(1901, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
names = st.sampled_from("abc")
events = st.builds(
    NewEvent.with_digest,
    stream_id=names,
    version=st.sampled_from([1, 1, 1, 2, 2, 3, 0, 5]),  # most begin a stream, or continue it
    topic=texts,
    schema_version=st.integers(1, 2**31 - 1),
    state=st.binary(max_size=40),
    correlation_id=st.none() | texts,
    causation_position=st.none() | bigints,
    meta=texts,
)
entries = st.builds(
    QueueEntry,
    saga_id=names,
    definition=texts,
    definition_version=st.integers(-(2**31), 2**31 - 1),
    due_at=st.none() | instants,
    worker_id=st.none() | texts,
)
appends = st.builds(
    Append,
    events=st.lists(events, max_size=6),
    queue_entry=st.none() | entries,
    notify=st.lists(entries, max_size=2),
)
updates = st.builds(CheckpointUpdate, names, st.sampled_from([0, 0, 0, 7]), bigints)
checkpoints = st.lists(updates, max_size=2, unique_by=lambda update: update.consumer)
tokens = st.sampled_from([None, None, FencingToken("h-1-1", 1), FencingToken("h-1-1", 2)])
calls = st.builds(
    AppendCall,
    append_id=st.none(),
    appends=st.lists(appends, max_size=5),
    token=tokens,
    checkpoints=checkpoints,
)


class Twins(NamedTuple):
    """Two ledgers that are given the same calls."""

    encoded: Backend
    plain: Backend
    connection: psycopg.Connection[Any]
    """To the plain one's schema."""


@pytest.fixture
def twins(postgres_server: str, postgres_url: str) -> Iterator[Twins]:
    schema = "plain_twin"
    with psycopg.connect(postgres_server, autocommit=True) as server:
        server.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        server.execute(f"CREATE SCHEMA {schema}")
    plain_url = f"{postgres_server}&options=-csearch_path%3D{schema}"
    encoded, plain = open_backend(postgres_url, create=True), open_backend(plain_url, create=True)
    for ledger in (encoded, plain):
        assert ledger.register(host="h", pid=1, lease_seconds=600) == FencingToken("h-1-1", 1)
    with psycopg.connect(plain_url, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        yield Twins(encoded, plain, connection)
    encoded.close()
    plain.close()


@given(st.lists(calls, min_size=1, max_size=4))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_ways_write_the_same(twins: Twins, sent: list[AppendCall]) -> None:
    """Events, queue entries, checkpoints, conflicts and refusals, for any values that the columns take."""
    before = twins.plain.head().position
    example = next(EXAMPLES)  # streams, sagas and consumers of its own for each example, in the same two ledgers
    for call in (renamed(call, str(example)) for call in sent):
        by_encoding = outcomes(lambda call=call: twins.encoded.append(call).outcomes)
        plainly = outcomes(lambda call=call: plain_append.append(twins.connection, call).outcomes)
        assert by_encoding == plainly

    assert contents(twins.encoded, before) == contents(twins.plain, before)


def renamed(call: AppendCall, prefix: str) -> AppendCall:
    """Return the call under a new id, with a prefix before the names of streams, sagas and consumers."""

    def entry(of: QueueEntry) -> QueueEntry:
        return of._replace(saga_id=prefix + of.saga_id)

    return call._replace(
        append_id=uuid4(),
        appends=[
            Append(
                [
                    NewEvent.with_digest(
                        prefix + new.stream_id, new.version, new.topic, new.schema_version, new.state,
                        new.correlation_id, new.causation_position, new.meta,
                    )
                    for new in append.events
                ],
                None if append.queue_entry is None else entry(append.queue_entry),
                [entry(notified) for notified in append.notify],
            )
            for append in call.appends
        ],
        checkpoints=[update._replace(consumer=prefix + update.consumer) for update in call.checkpoints],
    )  # fmt: skip


def outcomes(append: Any) -> list[AppendOutcome] | str:
    """Return the outcomes of a call, or why it was refused."""
    try:
        found: list[AppendOutcome] = append()
    except SagaledgerError as error:
        return repr(error)
    return found


CONSUMERS = "SELECT consumer, position, append_id FROM consumers ORDER BY consumer"
ENTRIES = """
SELECT saga_id, definition, definition_version, worker_id, nudged,
       CASE WHEN abs(extract(epoch FROM due_at - now())) > 3600 THEN due_at END
FROM due ORDER BY saga_id
"""


def contents(ledger: Backend, after: int) -> tuple[object, ...]:
    """Return what a ledger holds, except for the times that its clock gave."""
    rows = [row._replace(recorded_at=None) for row in ledger.read(after, limit=1_000)]  # type: ignore[arg-type]
    with ledger._database.transaction() as connection:  # type: ignore[attr-defined]
        return rows, connection.execute(ENTRIES).fetchall(), connection.execute(CONSUMERS).fetchall()
