"""The projector follows the log: each event once (G9), a poison event stops one view only, visibly (G12)."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Thread
from time import monotonic, sleep
from uuid import uuid4

import pytest
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, Text

from sagaledger.domain.commerce.order import OrderCancelled, OrderCreated
from sagaledger.domain.recorded import Recorded
from sagaledger.infrastructure.engine import writing
from sagaledger.infrastructure.log.mapper import Mapper
from sagaledger.infrastructure.log.port import Append, AppendCall, Appended, Backend, NewEvent
from sagaledger.infrastructure.projector import runner
from sagaledger.infrastructure.projector.drift import drift
from sagaledger.infrastructure.projector.positions import JOURNAL
from sagaledger.infrastructure.projector.query import Queries
from sagaledger.infrastructure.projector.runner import Projector
from sagaledger.projections import COMMERCE_PROJECTIONS, orders
from sagaledger.projections.projection import Projection, Row

from .conftest import MakeProjector
from .shop import OPENING, Shop

VIEWS = ("sagas", "saga_steps", "interventions", "findings", "dead_letters")
VIEWS += ("orders", "inventory", "payments", "shipments", "loyalty")

FOLLOW = """
import sys
from sagaledger.infrastructure.log.mapper import Mapper
from sagaledger.infrastructure.log.open import open_backend
from sagaledger.infrastructure.projector.runner import Projector
from sagaledger.infrastructure.reference import APP

backend = open_backend(sys.argv[1])
projector = Projector(backend, Mapper(APP.registry), APP.projections, batch_events_max=7)
print("following", flush=True)
while True:
    projector.run_once()
"""


def _await(condition: Callable[[], bool], timeout_seconds: float = 30.0) -> None:
    deadline = monotonic() + timeout_seconds
    while not condition():
        assert monotonic() < deadline, "it did not happen in time"
        sleep(0.005)


def _counts_order(broken: Callable[[Recorded], bool], name: str = "order_counts") -> Projection:
    """A view that counts the orders of each country, and fails on some of them."""
    counts = Projection(
        name,
        version=1,
        initial=lambda country: {"country": country, "orders": 0},
        table=Table(
            name, MetaData(), Column("country", Text, primary_key=True), Column("orders", Integer, nullable=False)
        ),
    )

    @counts.on(OrderCreated, key=lambda recorded: recorded.event.country)
    def created(row: Row, _: OrderCreated, recorded: Recorded) -> Row:
        if broken(recorded):
            raise ZeroDivisionError("no such luck")
        return {**row, "orders": row["orders"] + 1}

    return counts


def test_it_follows_what_is_written_while_it_runs(shop: Shop, projector: Projector, queries: Queries) -> None:
    """A view is behind for as long as it takes, and no longer."""
    projector.start()

    token = shop.trade(8)

    answer = queries.query("orders", wait_for=token, timeout_seconds=20)
    assert len(answer.rows) == 8
    projector.stop()


def test_a_position_moves_over_events_that_a_view_does_not_care_about(
    shop: Shop, projector: Projector, queries: Queries
) -> None:
    """Behind means behind the log, not behind the last event that mattered."""
    head = shop.trade(3)

    projector.catch_up()

    assert {standing.position for standing in queries.standings()} == {head}


def test_two_runners_count_each_event_once(
    shop: Shop, log: Backend, mapper: Mapper, make_projector: MakeProjector, queries: Queries
) -> None:
    """Both fold the same batches, and only one of them commits each."""
    head = shop.trade(40)
    runners = [make_projector(batch_events_max=11) for _ in range(2)]
    threads = [Thread(target=each.catch_up) for each in runners]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {standing.position for standing in queries.standings()} == {head}
    for view in VIEWS:
        assert drift(queries, log, mapper, view).count == 0


def test_a_runner_that_was_overtaken_writes_nothing(
    shop: Shop,
    log: Backend,
    mapper: Mapper,
    make_projector: MakeProjector,
    queries: Queries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has folded a batch, and before it commits another runner reaches the head: its rows are of the past."""
    head = shop.trade(10)
    slow, quick = make_projector(batch_events_max=11), make_projector()
    slow.standings()
    overtaken = False

    def writing_late(engine: Engine) -> AbstractContextManager[Connection]:
        nonlocal overtaken
        if engine is slow.engine and not overtaken:
            overtaken = True
            quick.catch_up()
        return writing(engine)

    monkeypatch.setattr(runner, "writing", writing_late)
    slow.run_once()

    assert overtaken
    assert {standing.position for standing in queries.standings()} == {head}
    assert [view for view in VIEWS if drift(queries, log, mapper, view).count] == []


def test_a_runner_killed_in_the_middle_leaves_each_event_counted_once(
    shop: Shop, log: Backend, mapper: Mapper, url: str, make_projector: MakeProjector, queries: Queries
) -> None:
    """Rows and position are one commit: there is no middle to be killed in."""
    head = shop.trade(60)
    queries.query("orders")
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", FOLLOW, url], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"following\n"
            before = queries.standing(orders).position
            _await(lambda before=before: queries.standing(orders).position > before or before == head)  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
        assert all(drift(queries, log, mapper, view).count == 0 for view in VIEWS)

    make_projector().catch_up()

    assert queries.standing(orders).position == head
    assert all(drift(queries, log, mapper, view).count == 0 for view in VIEWS)


def test_a_poison_event_stops_one_view_in_front_of_it_and_no_other(
    shop: Shop, log: Backend, make_projector: MakeProjector
) -> None:
    """What came before it counts, what comes after waits, and the row says why."""
    head = shop.trade(10)
    poison = next(row.position for row in log.read(0, limit=1000) if row.stream_id == "order-536006")
    counts = _counts_order(lambda recorded: recorded.position == poison)
    projector = make_projector(*COMMERCE_PROJECTIONS, counts)

    projector.catch_up()

    stands = {standing.name: standing for standing in projector.standings()}
    assert (stands["order_counts"].status, stands["order_counts"].position) == ("stopped", poison - 1)
    assert stands["order_counts"].stopped_at_position == poison
    assert "ZeroDivisionError: no such luck" in (stands["order_counts"].error or "")
    assert (stands["orders"].status, stands["orders"].position) == ("live", head)
    queries = Queries(log, [counts])
    assert queries.query("order_counts").rows == [{"country": "France", "orders": 5}]
    queries.close()


def test_a_stopped_view_goes_on_when_it_is_resumed_and_its_code_was_mended(
    shop: Shop, log: Backend, make_projector: MakeProjector
) -> None:
    """Nothing was skipped: it goes on with the event that stopped it."""
    shop.trade(6)
    make_projector(_counts_order(lambda recorded: recorded.event.order_id == "536003")).catch_up()  # type: ignore[attr-defined]
    mended = _counts_order(lambda _: False)
    projector = make_projector(mended)
    projector.catch_up()
    assert projector.standings()[0].status == "stopped"

    projector.resume("order_counts")
    projector.catch_up()

    queries = Queries(log, [mended])
    assert queries.query("order_counts").rows == [{"country": "France", "orders": 6}]
    assert projector.standings()[0].error is None
    queries.close()


def test_a_restart_tries_a_stopped_view_again(shop: Shop, make_projector: MakeProjector) -> None:
    """Deploying the mended code is enough."""
    head = shop.trade(6)
    make_projector(_counts_order(lambda _: True)).catch_up()

    projector = make_projector(_counts_order(lambda _: False))
    projector.start()

    _await(lambda: projector.standings()[0].position == head)


def test_an_event_that_the_database_refuses_is_found_and_stops_the_view_in_front_of_it(
    shop: Shop, log: Backend, make_projector: MakeProjector
) -> None:
    """The statement carries a whole batch; the message still names the one event."""
    shop.trade(10)
    poison = next(row.position for row in log.read(0, limit=1000) if row.stream_id == "order-536006")
    last = Projection(
        "last_orders", version=1, table=Table("last_orders", MetaData(), Column("order_id", Text, primary_key=True),
                                              Column("lines", Integer, nullable=False)),
    )  # fmt: skip

    @last.on(OrderCreated, key=lambda recorded: recorded.event.order_id)
    def created(_: Row | None, event: OrderCreated, recorded: Recorded) -> Row:
        return {"order_id": event.order_id, "lines": None if recorded.position == poison else event.lines}

    projector = make_projector(last, orders)
    projector.catch_up()

    stopped, going = sorted(projector.standings())
    assert (stopped.status, stopped.position, stopped.stopped_at_position) == ("stopped", poison - 1, poison)
    assert "IntegrityError" in (stopped.error or "")
    assert (going.name, going.status) == ("orders", "live")
    queries = Queries(log, [last])
    assert len(queries.query("last_orders").rows) == 5
    queries.close()


def test_an_unreadable_event_stops_only_the_views_that_fold_it(
    shop: Shop, log: Backend, mapper: Mapper, projector: Projector
) -> None:
    """Bytes that are no order stop `orders`; stock and payments go on."""
    shop.trade(2)
    good = mapper.to_new("order-9", 1, OrderCancelled(OPENING, "9", "never mind"))
    bad = good._replace(state=b'{"at": "yesterday"}')
    position = _append(log, bad)
    head = shop.trade(2)

    projector.catch_up()

    stands = {standing.name: standing for standing in projector.standings()}
    assert (stands["orders"].status, stands["orders"].position) == ("stopped", position - 1)
    assert "OrderCancelled" in (stands["orders"].error or "")
    assert {s.name for s in stands.values() if s.status == "live" and s.position == head} == set(VIEWS) - {"orders"}


def test_an_event_of_a_kind_that_no_view_folds_stops_nothing(shop: Shop, log: Backend, projector: Projector) -> None:
    """Nobody asked to read it."""
    foreign = NewEvent("weather-1", 1, "ItRained", 3, b"not even JSON", None, None, "{}", bytes(32))
    _append(log, foreign)
    head = shop.trade(1)

    projector.catch_up()

    assert {(standing.status, standing.position) for standing in projector.standings()} == {("live", head)}


def test_a_batch_is_bounded_by_bytes_and_still_moves(
    shop: Shop, make_projector: MakeProjector, queries: Queries
) -> None:
    """Large events make shorter batches; one larger than the bound is a batch of its own."""
    head = shop.trade(3)

    make_projector(batch_bytes_max=100).catch_up()

    assert {standing.position for standing in queries.standings()} == {head}


@pytest.mark.parametrize("orders_at_once", [1, 30])
def test_the_journal_has_every_step_of_a_view_end_to_end(
    shop: Shop, make_projector: MakeProjector, queries: Queries, orders_at_once: int
) -> None:
    """From 0 to where it stands, without a gap, each step later than the one before."""
    projector = make_projector(batch_events_max=10)
    for _ in range(3):
        head = shop.trade(orders_at_once)
        projector.catch_up()

    with writing(queries.engine) as connection:
        steps = connection.execute(
            JOURNAL.select().where(JOURNAL.c.projection == "orders").order_by(JOURNAL.c.to_position)
        ).all()

    assert [step.from_position for step in steps] == [0, *(step.to_position for step in steps[:-1])]
    assert steps[-1].to_position == head
    assert [step.committed_at for step in steps] == sorted(step.committed_at for step in steps)


def _append(log: Backend, new: NewEvent) -> int:
    outcome = log.append(AppendCall(uuid4(), [Append([new])])).outcomes[0]
    assert isinstance(outcome, Appended)
    return outcome.last_position
