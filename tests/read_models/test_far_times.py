"""Times at the ends of the calendar, and times without a zone, stop no view and no command that reads the log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace
from sqlalchemy import Column, MetaData, Table, Text

from sagaledger.domain.instants import EARLIEST, LATEST
from sagaledger.domain.recorded_event import RecordedEvent
from sagaledger.domain.shop.order import OrderCancelled, OrderCreated
from sagaledger.infrastructure.cli.exit_codes import ExitCode
from sagaledger.infrastructure.cli.main import run
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall, Appended
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.event_store.event_row import NewEvent
from sagaledger.infrastructure.read_models.drift import drift
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.projections.column_types import UtcDateTime
from sagaledger.projections.projection import Projection, Row
from sagaledger.projections.saga import SAGA_PROJECTIONS
from sagaledger.projections.shop import orders

from .conftest import MakeProjector
from .shop import OPENING, Shop

FIRST, LAST = "0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-12:00"


def _append(log: Backend, stream_id: str, version: int, topic: str, state: str) -> int:
    """Appends an event as version 0.1 may have stored it."""
    new = NewEvent.with_digest(stream_id, version, topic, 1, state.encode())
    outcome = log.append(AppendCall(uuid4(), [Append([new])])).outcomes[0]
    assert isinstance(outcome, Appended), outcome
    return outcome.last_position


def _write_saga(log: Backend, at: str, due_at: str) -> int:
    _append(
        log,
        "far-1",
        1,
        "SagaStarted",
        f'{{"at":"{at}","definition":"far","definition_version":1,"fingerprint":"f","input":{{}},'
        f'"deadline":"{due_at}","begins_at":"{due_at}","silence_seconds":1e9}}',
    )
    wait = f'{{"kind":"timer","due_at":"{due_at}"}}'
    _append(log, "far-1", 2, "StepStarted", f'{{"at":"{at}","step":"nap","attempt":1,"key":"k","wait":{wait}}}')
    return _append(log, "far-1", 3, "CancelRequested", f'{{"at":"{at}","actor":"ann","reason":"never"}}')


@pytest.mark.parametrize(
    ("at", "due_at", "shown_at", "shown_due_at"),
    [
        (FIRST, LAST, EARLIEST, LATEST),
        (LAST, FIRST, LATEST, EARLIEST),
        ("2010-12-01T08:26:00", "2010-12-01T08:26:00", OPENING, OPENING),
    ],
)
def test_views_show_the_nearest_time_and_go_on(
    log: Backend,
    codec: Codec,
    make_projector: MakeProjector,
    at: str,
    due_at: str,
    shown_at: datetime,
    shown_due_at: datetime,
) -> None:
    """A time without a zone is read as UTC."""
    head = _write_saga(log, at, due_at)
    projector = make_projector(*SAGA_PROJECTIONS, batch_events_max=2)

    projector.catch_up()

    assert {(found.status, found.position) for found in projector.checkpoints()} == {("live", head)}
    queries = Queries(log, SAGA_PROJECTIONS)
    [saga] = queries.query("sagas").rows
    assert (saga["started_at"], saga["deadline"], saga["begins_at"]) == (shown_at, shown_due_at, shown_due_at)
    [step] = queries.query("saga_steps", where={"started_at": at}).rows
    assert (step["started_at"], step["waits_until"], step["ended_at"]) == (shown_at, shown_due_at, shown_at)
    assert all(drift(queries, log, codec, view.name).count == 0 for view in SAGA_PROJECTIONS)


@pytest.mark.parametrize("value", [datetime.fromisoformat(FIRST), datetime.fromisoformat(LAST)])
def test_a_handler_may_return_such_a_time(
    log: Backend, shop: Shop, make_projector: MakeProjector, value: datetime
) -> None:
    """It is the nearest one that UTC can hold."""
    shop.trade(1)
    placed = Projection(
        "placed",
        version=1,
        table=Table("placed", MetaData(), Column("order_id", Text, primary_key=True), Column("at", UtcDateTime)),
    )

    @placed.on(OrderCreated, key=lambda recorded: recorded.event.order_id)
    def created(_: Row | None, event: OrderCreated, __: RecordedEvent) -> Row:
        return {"order_id": event.order_id, "at": value}

    make_projector(placed).catch_up()

    [row] = Queries(log, [placed]).query("placed").rows
    assert row["at"] == (EARLIEST if value.year == 1 else LATEST)


@pytest.mark.parametrize(
    "words",
    [
        ("show", "far-1"),
        ("history", "far-1"),
        ("state", "far-1"),
        ("list",),
        ("query", "sagas"),
        ("query", "saga_steps", "--at", "@3"),
        ("projections", "drift", "sagas"),
        ("verify",),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("json", [(), ("--json",)], ids=["text", "json"])
def test_every_command_that_reads_them_answers(
    log: Backend,
    url: str,
    make_projector: MakeProjector,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    json: tuple[str, ...],
) -> None:
    """With the nearest time."""
    if url.startswith("postgres"):
        pytest.skip("the commands read both databases through the same code")
    _write_saga(log, FIRST, LAST)
    log.record_fingerprint("far", 1, "f")  # as the saga's start does, and `verify` expects
    make_projector(*SAGA_PROJECTIONS).catch_up()
    log.close()

    code = run([*words, *json, "--db", url])

    said: Any = capsys.readouterr()
    assert code == ExitCode.OK, said.out + said.err
    if words[0] == "show":
        assert "0001-01-01T00:00:00" in said.out


@pytest.mark.parametrize("option", ["--since", "--until"])
@pytest.mark.parametrize("text", [FIRST, LAST])
def test_such_a_time_is_refused_on_the_command_line(
    log: Backend, url: str, capsys: pytest.CaptureFixture[str], option: str, text: str
) -> None:
    """As a wrong argument, not as an error of the program."""
    if url.startswith("postgres"):
        pytest.skip("the argument is read before the database")
    log.close()

    code = run(["list", option, text, "--db", url])

    assert code == ExitCode.USAGE
    assert "the years 1 to 9999 of UTC" in capsys.readouterr().err


def test_an_event_that_is_read_so_keeps_its_digest(log: Backend, codec: Codec, make_projector: MakeProjector) -> None:
    """The log is not changed by reading it."""
    good = codec.encode("order-9", 1, OrderCancelled(OPENING.astimezone(UTC), "9", "never mind"))
    state = good.state.replace(b"2010-12-01T08:26:00Z", FIRST.encode())
    assert state != good.state
    position = _append(log, "order-9", 1, "OrderCancelled", state.decode())

    [row] = log.read(position - 1, limit=1)

    assert row.state == state
    assert codec.decode(row).event == replace(OrderCancelled(OPENING, "9", "never mind"), at=EARLIEST)
    make_projector(orders)
