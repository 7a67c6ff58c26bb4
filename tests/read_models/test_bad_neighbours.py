"""Whatever the code of one projection raises or returns stops its own view, visibly, and no other (G12)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, MetaData, String, Table, Text

from sagaledger.domain.event import Event, Registry, event
from sagaledger.domain.recorded_event import RecordedEvent
from sagaledger.domain.shop.order import OrderCreated
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.event_row import NewEvent
from sagaledger.infrastructure.read_models.checkpoints import Checkpoint
from sagaledger.infrastructure.read_models.drift import drift
from sagaledger.infrastructure.read_models.projector import Projector
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.infrastructure.read_models.rebuild import rebuild
from sagaledger.infrastructure.shop.app import APP
from sagaledger.projections.column_types import UtcDateTime
from sagaledger.projections.poison_event import PoisonEvent
from sagaledger.projections.projection import Projection, Row
from sagaledger.projections.saga import SAGA_PROJECTIONS
from sagaledger.projections.shop import inventory, orders

from .conftest import MakeProjector
from .past import rows_at
from .shop import Shop

GOOD = (*SAGA_PROJECTIONS, orders, inventory)
BAD_ORDER = "536003"
"""The order at whose creation a bad projection does what it does; it is right at every other one."""
SHARED: Row = {"region": "", "order_id": ""}


class Unshowable(Exception):
    """Its text cannot be made."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Hidden(Exception):
    """It lets nothing read any of its attributes, not even its class."""

    def __getattribute__(self, name: str) -> Any:
        raise ValueError(name)


class Strange:
    """A key that is hashable, and no value of a column."""


def _raise(error: BaseException) -> Any:
    raise error


def _shared(_: object) -> Row:
    SHARED["order_id"] = BAD_ORDER + "x"
    return SHARED


KEYS: dict[str, Callable[[], Any]] = {
    "a set": lambda: {"a"},
    "a list of sets": lambda: [("eu", "1"), {"a"}],
    "a dict": dict,
    "a generator": lambda: (key for key in ["a"]),
    "too narrow": lambda: "eu",
    "too wide": lambda: ("eu", "1", "2"),
    "an empty tuple": tuple,
    "a tuple of another type": lambda: ("eu", 1),
    "a tuple with None": lambda: ("eu", None),
    "a tuple with a list": lambda: ("eu", ["1"]),
    "an object": lambda: ("eu", Strange()),
    "SystemExit": lambda: _raise(SystemExit(3)),
    "KeyboardInterrupt": lambda: _raise(KeyboardInterrupt()),
    "GeneratorExit": lambda: _raise(GeneratorExit()),
    "RecursionError": lambda: _raise(RecursionError()),
    "an error without a text": lambda: _raise(Unshowable()),
    "an error that hides its class": lambda: _raise(Hidden()),
    "an error with a NUL": lambda: _raise(ValueError("a\0b\ud800")),
}
ROWS: dict[str, Callable[[Row], Any]] = {
    "SystemExit": lambda _: _raise(SystemExit(3)),
    "KeyboardInterrupt": lambda _: _raise(KeyboardInterrupt()),
    "CancelledError": lambda _: _raise(asyncio.CancelledError()),
    "an error without a text": lambda _: _raise(Unshowable()),
    "an error that hides its class": lambda _: _raise(Hidden()),
    "an error with a NUL": lambda _: _raise(ValueError("a\0b\ud800")),
    "an endless text": lambda _: _raise(ValueError("a" * 10_000_000)),
    "a list": lambda row: list(row.values()),
    "a text": lambda row: "x" * len(row),
    "a number": lambda _: 7,
    "a column too many": lambda row: {**row, "colour": "red"},
    "a column instead of another": lambda row: {n: v for n, v in row.items() if n != "pieces"} | {"colour": "red"},
    "names that are no text": lambda row: {**row, 7: 1, None: 2},
    "another key": lambda row: {**row, "order_id": "1"},
    "a key of another type": lambda row: {**row, "order_id": 1},
    "no key": lambda row: {**row, "order_id": None},
    "a row that others share": _shared,
    "text as a whole number": lambda row: {**row, "pieces": "many"},
    "digits as a whole number": lambda row: {**row, "pieces": "7"},
    "a fraction as a whole number": lambda row: {**row, "pieces": 0.5},
    "true as a whole number": lambda row: {**row, "pieces": True},
    "33 bits in 32": lambda row: {**row, "lines": 1 << 31},
    "65 bits in 64": lambda row: {**row, "pieces": 1 << 63},
    "thousands of bits": lambda row: {**row, "pieces": 1 << 5_000},
    "a number as text": lambda row: {**row, "note": 7},
    "bytes as text": lambda row: {**row, "note": b"x"},
    "a list as text": lambda row: {**row, "note": ["x"]},
    "too long a text": lambda row: {**row, "short": "four"},
    "not a number": lambda row: {**row, "share": float("nan")},
    "infinity": lambda row: {**row, "share": float("inf")},
    "text as a number": lambda row: {**row, "share": "0.5"},
    "text as a truth": lambda row: {**row, "gift": "true"},
    "two as a truth": lambda row: {**row, "gift": 2},
    "text as a time": lambda row: {**row, "placed_at": "2010-12-01 08:26:00+00:00"},
    "a number as a time": lambda row: {**row, "placed_at": 7},
    "an object": lambda row: {**row, "note": Strange()},
    "nothing where something must be": lambda row: {**row, "lines": None},
}


def _projection(
    name: str = "bad",
    *,
    keys: Callable[[], Any] | None = None,
    rows: Callable[[Row], Any] | None = None,
    finish: Callable[[Row], Row] | None = None,
) -> Projection:
    """A projection with columns of many types, which does one thing wrong at one order."""
    columns = (
        Column("region", Text, primary_key=True),
        Column("order_id", Text, primary_key=True),
        Column("lines", Integer, nullable=False),
        Column("pieces", BigInteger),
        Column("share", Float),
        Column("gift", Boolean),
        Column("note", Text),
        Column("short", String(3)),
        Column("placed_at", UtcDateTime),
    )
    bad = Projection(name, version=1, finish=finish, table=Table(name, MetaData(), *columns))

    def key(recorded: RecordedEvent) -> Any:
        order_id = recorded.event.order_id  # type: ignore[attr-defined]
        return keys() if keys is not None and order_id == BAD_ORDER else ("eu", order_id)

    @bad.on(OrderCreated, key=key)
    def created(_: Row | None, event: OrderCreated, __: RecordedEvent) -> Any:
        at = datetime(2010, 12, 1, tzinfo=UTC)
        row = {"region": "eu", "order_id": event.order_id, "lines": 1, "pieces": 2, "share": 0.5, "gift": True}
        row |= {"note": "thanks", "short": "abc", "placed_at": at}
        return rows(row) if rows is not None and event.order_id == BAD_ORDER else row

    return bad


def _finish(row: Row) -> Row:
    return _raise(SystemExit(1)) if row["order_id"] == BAD_ORDER else row  # type: ignore[no-any-return]


BAD = {
    **{
        f"its key function: {what}": _projection(f"bad_key_{n}", keys=make)
        for n, (what, make) in enumerate(KEYS.items())
    },
    **{f"its handler: {what}": _projection(f"bad_row_{n}", rows=make) for n, (what, make) in enumerate(ROWS.items())},
    "its finish: SystemExit": _projection("bad_finish", finish=_finish),
}


class Folded(NamedTuple):
    """What a thread that follows the log left of good views and of bad ones, all on one ledger."""

    head: int
    poison: int
    """The position of the event at which the bad projections do what they do."""
    checkpoints: dict[str, Checkpoint]
    rows: dict[str, list[str]]
    """The orders that each bad view has."""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def folded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Folded:
    """Good views that followed the log to its head beside every bad one."""
    url = f"sqlite:///{tmp_path_factory.mktemp('neighbours') / 'ledger.db'}"
    if request.param == "postgresql":
        server: str = request.getfixturevalue("postgres_server")
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA bad_neighbours")
        url = f"{server}&options={quote('-csearch_path=bad_neighbours')}"
    log = open_backend(url, create=True)
    shop = Shop(log)
    shop.open()
    head = shop.trade(6)
    projections = (*BAD.values(), *GOOD)
    queries = Queries(log, projections)
    projector = Projector(log, Codec(APP.registry), projections)
    projector.start()
    for view in GOOD:
        queries.wait_for(view.name, head, timeout_seconds=60)
    projector.stop()
    projector.catch_up()
    found = Folded(
        head,
        next(row.position for row in log.read(0, limit=1_000) if row.stream_id == f"order-{BAD_ORDER}"),
        {checkpoint.name: checkpoint for checkpoint in queries.checkpoints()},
        {bad.name: [row["order_id"] for row in queries.query(bad.name).rows] for bad in BAD.values()},
    )
    log.close()
    return found


def test_good_views_reach_the_head_beside_bad_ones(folded: Folded) -> None:
    """In the thread that follows the log."""
    assert {(folded.checkpoints[view.name].status, folded.checkpoints[view.name].position) for view in GOOD} == {
        ("live", folded.head)
    }


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_bad_projection_stops_in_front_of_its_event(folded: Folded, bad: Projection) -> None:
    """The checkpoint says what is wrong, and the events before that one count."""
    stopped, poison = folded.checkpoints[bad.name], folded.poison

    assert (stopped.status, stopped.position, stopped.stopped_at_position) == ("stopped", poison - 1, poison)
    assert f"cannot fold event {poison} (OrderCreated): " in (stopped.error or "")
    assert len(stopped.error or "") < 2_000
    assert folded.rows[bad.name] == ["536001", "536002"]


def test_an_interrupt_of_the_main_thread_is_no_fault_of_a_projection(shop: Shop, make_projector: MakeProjector) -> None:
    """Ctrl-C while a view is folded ends the program, and stops no view."""
    shop.trade(4)
    bad = _projection(rows=lambda _: _raise(KeyboardInterrupt()))
    projector = make_projector(bad)

    with pytest.raises(KeyboardInterrupt):
        projector.catch_up()

    assert projector.checkpoints()[0].status == "live"


def test_a_projection_that_fails_differently_each_time_stops_too(shop: Shop, make_projector: MakeProjector) -> None:
    """It fails at the last event that it sees, whichever that is: folding the part before does not end."""
    head = shop.trade(40)
    fickle = _projection()
    touches = fickle.touches

    def fail_at_the_last(events: Any) -> Any:
        found = touches(events)
        if found:
            raise fickle._poison(found[-1][2], ValueError("not today"))
        return found

    fickle.touches = fail_at_the_last  # type: ignore[method-assign]
    projector = make_projector(orders, fickle)

    projector.catch_up()

    found = {checkpoint.name: checkpoint for checkpoint in projector.checkpoints()}
    assert (found["orders"].position, found["bad"].status) == (head, "stopped")


def test_a_view_whose_rows_cannot_be_read_stops_alone(log: Backend, shop: Shop, make_projector: MakeProjector) -> None:
    """A table that was changed by hand concerns its own view."""
    shop.trade(2)
    make_projector(orders, inventory).catch_up()
    with log.views.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE inventory RENAME COLUMN on_hand TO in_hand")
    head = shop.trade(2)

    projector = make_projector(orders, inventory)
    projector.catch_up()

    found = {checkpoint.name: checkpoint for checkpoint in projector.checkpoints()}
    assert (found["orders"].status, found["orders"].position) == ("live", head)
    assert found["inventory"].status == "stopped"


def test_a_view_with_a_value_that_cannot_be_read_stops_alone(
    log: Backend, shop: Shop, make_projector: MakeProjector
) -> None:
    """Text where a time belongs, which SQLite keeps."""
    if log.views.dialect.name != "sqlite":
        pytest.skip("PostgreSQL has times of its own")
    latest = Projection(
        "latest",
        version=1,
        table=Table("latest", MetaData(), Column("country", Text, primary_key=True), Column("at", UtcDateTime)),
    )

    @latest.on(OrderCreated, key=lambda recorded: recorded.event.country)
    def created(_: Row | None, event: OrderCreated, __: RecordedEvent) -> Row:
        return {"country": event.country, "at": event.at}

    shop.trade(2)
    make_projector(latest, orders).catch_up()
    with log.views.writing() as connection:
        connection.exec_driver_sql("UPDATE latest SET at = 'yesterday'")
    head = shop.trade(2)

    projector = make_projector(latest, orders)
    projector.catch_up()

    found = {checkpoint.name: checkpoint for checkpoint in projector.checkpoints()}
    assert (found["orders"].status, found["orders"].position) == ("live", head)
    assert found["latest"].status == "stopped"
    assert "view latest cannot be read" in (found["latest"].error or "")


@pytest.mark.parametrize(
    "error", [SystemExit(1), GeneratorExit(), Unshowable()], ids=lambda error: type(error).__name__
)
def test_an_upcaster_that_fails_stops_the_views_of_its_event_alone(
    log: Backend, shop: Shop, error: BaseException
) -> None:
    """An upcaster is code of users, too."""

    @event("ParcelWeighed", version=2, upcasters={1: lambda _: _raise(error)})
    class ParcelWeighed(Event, frozen=True):
        grams: int

    weights = Projection(
        "weights", version=1, table=Table("weights", MetaData(), Column("grams", Integer, primary_key=True))
    )
    weights.on(ParcelWeighed, key=lambda recorded: recorded.event.grams)(lambda *_: {})
    new = NewEvent.with_digest("parcel-1", 1, "ParcelWeighed", 1, b'{"at":"2010-12-01T08:26:00Z","grams":7}')
    log.append(AppendCall(uuid4(), [Append([new])]))
    head = shop.trade(1)
    projector = Projector(log, Codec(Registry([*APP.registry.types, ParcelWeighed])), [orders, weights])

    projector.catch_up()

    found = {checkpoint.name: checkpoint for checkpoint in projector.checkpoints()}
    assert (found["orders"].status, found["orders"].position) == ("live", head)
    assert found["weights"].status == "stopped"
    assert type(error).__name__ in (found["weights"].error or "")


def test_the_thread_that_follows_the_log_outlives_any_error(
    shop: Shop,
    projector: Projector,
    queries: Queries,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It says what the error was, and goes on: views that nothing follows would be shown as live."""
    head = shop.trade(1)
    fold_next = projector.fold_next
    errors = iter([SystemExit(3), GeneratorExit(), ValueError("oops")])

    def fail_at_first() -> Any:
        for error in errors:
            raise error
        return fold_next()

    monkeypatch.setattr(projector, "fold_next", fail_at_first)
    projector.start()

    queries.wait_for("orders", head, timeout_seconds=30)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [
        SystemExit,
        GeneratorExit,
        ValueError,
    ]


def test_a_rebuild_and_a_comparison_name_the_event_too(log: Backend, shop: Shop, codec: Codec) -> None:
    """A value that its column does not take is an event that cannot be folded, and no error of the program."""
    shop.trade(6)
    bad = BAD["its handler: text as a whole number"]
    poison = next(row.position for row in log.read(0, limit=1_000) if row.stream_id == f"order-{BAD_ORDER}")

    with pytest.raises(PoisonEvent, match=f"cannot fold event {poison} .*'pieces' takes a whole number"):
        rebuild(log, codec, bad)
    with pytest.raises(PoisonEvent, match="'pieces' takes a whole number"):
        rows_at(Queries(log, [bad]), log, codec, bad.name, poison)


class TestARowThatAHandlerChanges:
    """A handler receives a row of its own: to change and return it is as good as to return a new one."""

    @staticmethod
    def _counts(*, in_place: bool, batch: str = "") -> Projection:
        counts = Projection(
            "counts" + batch,
            version=1,
            table=Table(
                "counts" + batch, MetaData(), Column("country", Text, primary_key=True), Column("orders", Integer)
            ),
            initial=lambda country: {"country": country, "orders": 0},
        )

        @counts.on(OrderCreated, key=lambda recorded: recorded.event.country)
        def created(row: Row, _: OrderCreated, __: RecordedEvent) -> Row:
            if not in_place:
                return {**row, "orders": row["orders"] + 1}
            row["orders"] += 1
            return row

        return counts

    @pytest.mark.parametrize("batch_events_max", [1, 7, 10_000])
    def test_counts_however_the_log_is_cut_into_batches(
        self, log: Backend, shop: Shop, codec: Codec, make_projector: MakeProjector, batch_events_max: int
    ) -> None:
        """Also where the row is the one that an earlier batch stored."""
        counts = self._counts(in_place=True)
        projector = make_projector(counts, batch_events_max=batch_events_max)
        for _ in range(3):
            shop.trade(4)
            projector.catch_up()

        queries = Queries(log, [counts])
        assert queries.query("counts").rows == [{"country": "France", "orders": 12}]
        assert drift(queries, log, codec, "counts").count == 0

    def test_is_not_the_row_that_is_there_when_the_handler_fails(
        self, log: Backend, shop: Shop, make_projector: MakeProjector
    ) -> None:
        """A change that is followed by an error, or by another row, leaves nothing behind."""
        counts = self._counts(in_place=False)
        created, key = counts._handlers[OrderCreated]

        def damage(row: Row, event: OrderCreated, recorded: RecordedEvent) -> Row:
            after = created(row, event, recorded)
            row.clear()
            if event.order_id == BAD_ORDER:
                raise ValueError("not this one")
            assert after is not None
            return after

        counts._handlers[OrderCreated] = (damage, key)
        shop.trade(5)
        make_projector(counts).catch_up()

        assert Queries(log, [counts]).query("counts").rows == [{"country": "France", "orders": 2}]
