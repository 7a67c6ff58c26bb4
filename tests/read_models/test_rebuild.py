"""A view is rebuilt beside the live one, and replaces it in one step (G11)."""

from __future__ import annotations

from threading import Event, Thread

import pytest
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, inspect

from sagaledger.domain.recorded_event import RecordedEvent
from sagaledger.domain.shop.order import OrderCreated
from sagaledger.infrastructure.errors import Unavailable, WrongState
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.read_models import checkpoints
from sagaledger.infrastructure.read_models import rebuild as rebuilding
from sagaledger.infrastructure.read_models.drift import drift
from sagaledger.infrastructure.read_models.projector import Projector
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.infrastructure.read_models.rebuild import rebuild
from sagaledger.projections.poison_event import PoisonEvent
from sagaledger.projections.projection import Projection, Row
from sagaledger.projections.saga import sagas
from sagaledger.projections.shop import orders

from ..edits import edit
from .conftest import MakeProjector
from .shop import Shop


class Interrupted(Exception):
    """The process was told to end."""


def _turnover(*, version: int, extra: bool = False, broken: bool = False) -> Projection:
    """A view of what each customer ordered; its second version also counts the orders."""
    columns = [Column("customer_id", Text, primary_key=True), Column("total_minor", BigInteger, nullable=False)]
    if extra:
        columns.append(Column("orders", BigInteger, nullable=False))
    turnover = Projection(
        "turnover",
        version=version,
        table=Table("turnover", MetaData(), *columns),
        initial=lambda customer_id: {"customer_id": customer_id, "total_minor": 0} | ({"orders": 0} if extra else {}),
    )

    @turnover.on(OrderCreated, key=lambda recorded: recorded.event.customer_id)
    def created(row: Row, event: OrderCreated, _: RecordedEvent) -> Row:
        if broken and event.order_id == "536004":
            raise ValueError("not this one")
        counted = {"orders": row["orders"] + 1} if extra else {}
        return {**row, "total_minor": row["total_minor"] + event.total_minor, **counted}

    return turnover


def test_a_rebuilt_view_says_the_same_and_follows_the_log_again(
    shop: Shop, log: Backend, codec: Codec, projector: Projector, queries: Queries
) -> None:
    """The next generation has the rows, the position and the name of the one before."""
    head = shop.trade(20)
    projector.catch_up()
    before = queries.query("orders", limit=100)

    checkpoint = rebuild(log, codec, orders)

    assert (checkpoint.generation, checkpoint.status, checkpoint.position) == (2, "live", head)
    assert queries.query("orders", limit=100) == before
    shop.trade(5)
    projector.catch_up()
    assert len(queries.query("orders").rows) == 25
    assert drift(queries, log, codec, "orders").count == 0


def test_a_rebuild_leaves_nothing_but_the_new_generation_with_its_indexes(
    shop: Shop, log: Backend, codec: Codec, projector: Projector, queries: Queries
) -> None:
    """Tables and indexes of earlier generations are gone, however often a view is rebuilt."""
    shop.trade(3)
    projector.catch_up()

    for _ in range(3):
        rebuild(log, codec, orders)

    with log.views.reading() as connection:
        database = inspect(connection)
        assert [name for name in database.get_table_names() if name.startswith("orders")] == ["orders"]
        indexes = {index["name"] for index in database.get_indexes("orders")}
    assert indexes == {"orders_status_g4", "orders_customer_id_g4", "orders_saga_id_g4"}
    assert [s.generation for s in queries.checkpoints() if s.name == "orders"] == [4]


def test_a_rebuild_removes_what_was_edited_by_hand(
    shop: Shop, log: Backend, codec: Codec, projector: Projector, queries: Queries
) -> None:
    """The events are the truth."""
    shop.trade(10)
    projector.catch_up()
    whole = queries.query("orders", limit=100).rows
    with log.views.writing() as connection:
        connection.execute(orders.table.update().values(total_minor=1))
        connection.execute(orders.table.delete().where(orders.table.c.order_id == whole[0]["order_id"]))

    rebuild(log, codec, orders)

    assert queries.query("orders", limit=100).rows == whole


def test_a_view_answers_and_never_goes_back_while_it_is_rebuilt_under_running_traffic(
    shop: Shop, log: Backend, codec: Codec, projector: Projector, queries: Queries
) -> None:
    """Queries see rows that belong to the position, and positions that only grow."""
    shop.trade(30)
    projector.catch_up()
    projector.start()
    done = Event()

    def trade() -> None:
        while not done.is_set():
            shop.trade(5)

    traffic = Thread(target=trade)
    traffic.start()
    rebuilding = Thread(target=lambda: [rebuild(log, codec, sagas, batch_events_max=50) for _ in range(3)])
    rebuilding.start()
    seen = []
    while rebuilding.is_alive():
        answer = queries.query("sagas", limit=10_000)
        seen.append((answer.as_of_position, sum(row["events"] for row in answer.rows)))
    done.set()
    traffic.join()
    rebuilding.join()
    projector.stop()

    assert seen == sorted(seen)
    own = [row.position for row in log.read(0, limit=1_000_000) if row.stream_id.startswith("fulfil_order-")]
    for position, events in seen:
        assert events == sum(1 for own_position in own if own_position <= position)
    assert [s.generation for s in queries.checkpoints() if s.name == "sagas"] == [4]
    assert drift(queries, log, codec, "sagas").count == 0


def test_an_interrupted_rebuild_goes_on_where_it_stopped(
    shop: Shop, log: Backend, codec: Codec, projector: Projector, queries: Queries
) -> None:
    """What was folded is kept, and the live view is as it was."""
    head = shop.trade(20)
    projector.catch_up()

    def interrupt(position: int, _: int) -> None:
        if position > head // 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        rebuild(log, codec, orders, interrupt, batch_events_max=20)
    assert {s.generation: s.status for s in queries.checkpoints() if s.name == "orders"} == {1: "live", 2: "building"}

    reached: list[int] = []
    rebuild(log, codec, orders, lambda position, _: reached.append(position), batch_events_max=20)

    assert reached[0] > head // 2 + 20 - 1
    assert reached[-1] == head
    assert drift(queries, log, codec, "orders").count == 0


def test_a_rebuild_begins_anew_where_another_version_left_off(
    shop: Shop, log: Backend, codec: Codec, make_projector: MakeProjector
) -> None:
    """The rows that the other version folded mean something else, even in a table of the same columns."""
    shop.trade(8)
    make_projector(_turnover(version=1)).catch_up()
    abandoned = _turnover(version=2, extra=True)
    create, key = abandoned._handlers[OrderCreated]
    abandoned._handlers[OrderCreated] = (
        lambda row, event, recorded: {**(create(row, event, recorded) or {}), "orders": 1_000},
        key,
    )

    def interrupt(position: int, head: int) -> None:
        if position > head // 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        rebuild(log, codec, abandoned, interrupt, batch_events_max=5)
    wanted = _turnover(version=3, extra=True)
    reached: list[int] = []

    checkpoint = rebuild(log, codec, wanted, lambda position, _: reached.append(position), batch_events_max=5)

    queries = Queries(log, [wanted])
    assert (checkpoint.version, checkpoint.generation, reached[0]) == (3, 2, 5)
    assert sum(row["orders"] for row in queries.query("turnover").rows) == 8
    assert drift(queries, log, codec, "turnover").count == 0


def test_a_rebuild_begins_anew_where_its_record_was_altered(
    url: str, shop: Shop, log: Backend, codec: Codec, projector: Projector, queries: Queries
) -> None:
    """A generation that does not follow the live one is no work of a rebuild: `verify` names it, this removes it."""
    head = shop.trade(8)
    projector.catch_up()

    def interrupt(position: int, _: int) -> None:
        if position > head // 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        rebuild(log, codec, orders, interrupt, batch_events_max=20)
    edit(url, "UPDATE projections SET generation = 7 WHERE name = 'orders' AND status = 'building'")
    reached: list[int] = []

    checkpoint = rebuild(log, codec, orders, lambda position, _: reached.append(position), batch_events_max=20)

    assert (checkpoint.generation, reached[0]) == (2, 20)
    assert drift(queries, log, codec, "orders").count == 0


@pytest.mark.parametrize(
    "at", ["drop", "rename", "checkpoints.remove", "checkpoints.change", "checkpoints.record_moves"]
)
def test_a_rebuild_that_dies_while_it_switches_leaves_the_live_view_as_it_was(
    shop: Shop,
    log: Backend,
    codec: Codec,
    projector: Projector,
    queries: Queries,
    monkeypatch: pytest.MonkeyPatch,
    at: str,
) -> None:
    """Between any two of its statements: the view answers, follows the log, and can be rebuilt again."""
    head = shop.trade(6)
    projector.catch_up()
    before = queries.query("orders")
    owner, name = (checkpoints, at.partition(".")[2]) if "." in at else (rebuilding, at)
    original = getattr(owner, name)

    def die(*arguments: object, **named: object) -> None:
        original(*arguments, **named)
        raise Interrupted

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, die)
        with pytest.raises(Interrupted):
            rebuild(log, codec, orders)

    assert queries.query("orders") == before
    assert {s.generation: s.status for s in queries.checkpoints() if s.name == "orders"} == {1: "live", 2: "building"}
    shop.trade(2)
    projector.catch_up()
    assert len(queries.query("orders").rows) == 8
    checkpoint = rebuild(log, codec, orders)
    assert (checkpoint.generation, checkpoint.status) == (2, "live")
    assert checkpoint.position > head
    assert drift(queries, log, codec, "orders").count == 0


def test_two_rebuilds_of_one_view_at_once_do_not_harm_it(
    shop: Shop, log: Backend, codec: Codec, projector: Projector, queries: Queries
) -> None:
    """They fill one generation together; the later one fails with the reason, or makes the next generation."""
    head = shop.trade(30)
    projector.catch_up()
    told: list[Unavailable] = []

    def again() -> None:
        try:
            rebuild(log, codec, orders, batch_events_max=15)
        except Unavailable as error:
            told.append(error)

    threads = [Thread(target=again) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (checkpoint,) = [s for s in queries.checkpoints() if s.name == "orders"]
    assert (checkpoint.status, checkpoint.position) == ("live", head)
    assert checkpoint.generation + len(told) == 3
    assert drift(queries, log, codec, "orders").count == 0


def test_a_rebuild_that_meets_a_poison_event_leaves_the_live_view_as_it_is(
    shop: Shop, log: Backend, codec: Codec, make_projector: MakeProjector
) -> None:
    """The error names the event, and the rebuild can go on once it is understood."""
    head = shop.trade(8)
    good = _turnover(version=1)
    make_projector(good).catch_up()
    queries = Queries(log, [good])
    before = queries.query("turnover")

    with pytest.raises(PoisonEvent, match="ValueError: not this one"):
        rebuild(log, codec, _turnover(version=1, broken=True))

    assert queries.query("turnover") == before
    assert rebuild(log, codec, good).position == head


def test_a_view_whose_projection_changed_says_so_until_its_version_is_built(
    shop: Shop, log: Backend, codec: Codec, make_projector: MakeProjector
) -> None:
    """A new version has another table: queries do not return the old rows as if they were its own."""
    shop.trade(8)
    make_projector(_turnover(version=1)).catch_up()
    changed = _turnover(version=2, extra=True)
    queries = Queries(log, [changed])
    with pytest.raises(
        WrongState, match=r"version 1 .* version 2 is declared.*`sagaledger projections rebuild turnover`"
    ):
        queries.query("turnover")

    rebuild(log, codec, changed)

    assert sum(row["orders"] for row in queries.query("turnover").rows) == 8
    assert drift(queries, log, codec, "turnover").count == 0


def test_a_view_that_an_event_stopped_is_live_again_once_rebuilt_with_mended_code(
    shop: Shop, log: Backend, codec: Codec, make_projector: MakeProjector
) -> None:
    """A rebuild needs no resume."""
    head = shop.trade(8)
    projector = make_projector(_turnover(version=1, broken=True))
    projector.catch_up()
    assert projector.checkpoints()[0].status == "stopped"

    checkpoint = rebuild(log, codec, _turnover(version=1))

    assert (checkpoint.status, checkpoint.position) == ("live", head)
    assert projector.checkpoints()[0].error is None
