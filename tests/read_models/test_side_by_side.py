"""During a rolling deployment, programs of two releases share a ledger, each with its own version of a view."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, delete, insert, inspect, select, text

from sagaledger.domain.recorded_event import RecordedEvent
from sagaledger.domain.saga.events import SagaStarted
from sagaledger.domain.shop.order import OrderCreated
from sagaledger.infrastructure.errors import WrongState
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.compatibility import ViewVerdict, check_compatibility
from sagaledger.infrastructure.ledger.context import LedgerContext
from sagaledger.infrastructure.ledger.view_verification import verify_view_records
from sagaledger.infrastructure.read_models import rebuild as rebuilding
from sagaledger.infrastructure.read_models.apply_batch import View, commit, prepare
from sagaledger.infrastructure.read_models.batch_folder import BatchFolder
from sagaledger.infrastructure.read_models.drift import drift
from sagaledger.infrastructure.read_models.event_batch import EventBatchReader
from sagaledger.infrastructure.read_models.following import FOLLOWED_SECONDS, FOLLOWERS, Following
from sagaledger.infrastructure.read_models.generations import prune
from sagaledger.infrastructure.read_models.projector import Projector
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.infrastructure.read_models.rebuild import rebuild, upgrade_views
from sagaledger.infrastructure.read_models.row_store import RowStore
from sagaledger.infrastructure.runtime import failpoints
from sagaledger.projections.projection import Projection, Row
from sagaledger.projections.saga import sagas
from sagaledger.projections.shop import inventory

from .conftest import MakeProjector
from .shop import OPENING, Shop


def counts(version: int, *, broken: bool = False) -> Projection:
    """A view of each customer's orders; each version has its own column, and counts in its own steps."""
    column = f"in_{version}s"
    view = Projection(
        "counts",
        version=version,
        table=Table(
            "counts",
            MetaData(),
            Column("customer_id", Text, primary_key=True),
            Column(column, BigInteger, nullable=False, index=True),
        ),
        initial=lambda customer_id: {"customer_id": customer_id, column: 0},
    )

    @view.on(OrderCreated, key=lambda recorded: recorded.event.customer_id)
    def created(row: Row, event: OrderCreated, _: RecordedEvent) -> Row:
        if broken and event.order_id == "536004":
            raise ValueError("not this one")
        return {**row, column: row[column] + version}

    return view


OLD, NEW = counts(1), counts(2)


def orders_until(log: Backend, position: int) -> int:
    """Return how many orders the log has up to a position."""
    return sum(1 for row in log.read(0, limit=1_000_000) if row.topic == "OrderCreated" and row.position <= position)


def assert_answers(log: Backend, projection: Projection, *, at: int | None = None) -> None:
    """The view of a version says what its events say, at the position that it names."""
    answer = Queries(log, [projection]).query("counts")
    column = f"in_{projection.version}s"
    assert sum(row[column] for row in answer.rows) == orders_until(log, answer.as_of_position) * projection.version
    assert at is None or answer.as_of_position == at


def public_version(log: Backend) -> int:
    """Return the version whose table has the view's name: by what a dashboard reads there."""
    answer = Queries(log, []).query("counts")
    (column,) = {name for row in answer.rows for name in row if name != "customer_id"}
    assert sum(row[column] for row in answer.rows) == orders_until(log, answer.as_of_position) * int(column[3:-1])
    return int(column[3:-1])


def assert_sound(log: Backend, codec: Codec, *projections: Projection) -> None:
    """What is on record of the views is right, and each version equals its events."""
    for projection in projections:
        context = LedgerContext(log, App(projections=[projection]))
        assert verify_view_records(context) == []
        assert drift(Queries(log, [projection]), log, codec, "counts").count == 0


def verdict(log: Backend, projection: Projection) -> ViewVerdict:
    """Return what `sagaledger check` says of the view to an app that declares a version of it."""
    found = check_compatibility(LedgerContext(log, App(projections=[projection]))).views
    (verdict,) = (each for each in found if each.view == "counts")
    return verdict


def tables(log: Backend) -> set[str]:
    with log.views.reading() as connection:
        return {name for name in inspect(connection).get_table_names() if name.startswith("counts")}


def test_the_older_goes_on_while_the_newer_is_built_beside_it_and_takes_the_name(
    shop: Shop, log: Backend, codec: Codec, make_projector: MakeProjector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interleaved, batch by batch: both answer at any time, and what the name stands for is always complete."""
    monkeypatch.setattr(rebuilding, "LOCKED_EVENTS_MAX", 5)
    shop.trade(10)
    older = make_projector(OLD)
    older.catch_up()
    newer = make_projector(NEW, batch_events_max=90)

    versions = []
    for _ in range(4):
        head = shop.trade(2)
        newer.run_once()
        older.catch_up()
        assert_answers(log, OLD, at=head)
        assert_answers(log, NEW)
        versions.append(public_version(log))
    newer.catch_up()

    assert versions == sorted(versions)
    assert set(versions) == {1, 2}
    assert tables(log) == {"counts", "counts__v1"}
    head = shop.trade(3)
    make_projector(OLD).catch_up()
    assert_answers(log, OLD, at=head)
    newer.catch_up()
    assert_answers(log, NEW, at=head)
    assert Queries(log, [OLD]).query("counts").view == "counts"
    assert_sound(log, codec, OLD, NEW)


def test_both_follow_a_busy_log_in_their_threads(
    shop: Shop, log: Backend, codec: Codec, make_projector: MakeProjector
) -> None:
    """Neither stops the other, whichever of them folds while the name changes hands; then the older one leaves."""
    shop.trade(10)
    older, newer = make_projector(OLD), make_projector(NEW, batch_events_max=40)
    older.catch_up()
    older.start()
    newer.start()
    for _ in range(6):
        shop.trade(5)
    head = shop.trade(1)
    for projection in (OLD, NEW):
        Queries(log, [projection]).wait_for("counts", head, 30.0)
    while public_version(log) != 2:
        shop.trade(1)

    (kept,) = prune(log.views).kept
    older.stop()
    (dropped,) = prune(log.views).dropped
    newer.stop()

    assert kept[0].name == dropped.name == "counts__v1"
    assert kept[1] == [older._following.follower]
    assert tables(log) == {"counts"}
    assert_sound(log, codec, NEW)
    with pytest.raises(WrongState, match="newer than version 1, declared here"):
        Queries(log, [OLD]).query("counts")
    assert prune(log.views).dropped == []


def test_a_projector_that_died_counts_as_a_follower_for_a_minute(
    shop: Shop, log: Backend, make_projector: MakeProjector
) -> None:
    """Then its generation can be dropped; the next projector that starts removes the note."""
    shop.trade(1)
    make_projector(OLD).catch_up()
    make_projector(NEW).catch_up()
    died = {"view": "counts", "follower": "host:1:1"}

    def seen(seconds_ago: float) -> None:
        seen_at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
        with log.views.writing() as connection:
            connection.execute(delete(FOLLOWERS))
            connection.execute(insert(FOLLOWERS), [{**died, "version": each, "seen_at": seen_at} for each in (1, 2)])

    seen(FOLLOWED_SECONDS - 20)
    ((_, followers),) = prune(log.views).kept
    seen(FOLLOWED_SECONDS + 1)
    (dropped,) = prune(log.views).dropped
    following = Following(log.views, [NEW])
    following.note()

    with log.views.reading() as connection:
        noted = [(row.version, row.follower) for row in connection.execute(select(FOLLOWERS))]
    assert (followers, dropped.name) == (["host:1:1"], "counts__v1")
    assert noted == [(2, following.follower)]


def test_an_older_program_that_arrives_later_finds_its_generation(
    shop: Shop, log: Backend, codec: Codec, make_projector: MakeProjector
) -> None:
    """Also by way of `init` or an explicit rebuild with the newer app: the older table is set aside, not dropped."""
    shop.trade(6)
    make_projector(OLD).catch_up()
    upgrade_views(log, codec, [NEW])
    head = shop.trade(4)
    assert_answers(log, OLD)
    assert verdict(log, OLD) == ("counts", "same", 1, 1)

    make_projector(OLD).catch_up()

    assert_answers(log, OLD, at=head)
    assert public_version(log) == 2
    make_projector(NEW).catch_up()
    assert_answers(log, NEW, at=head)
    assert_sound(log, codec, OLD, NEW)
    prune(log.views)
    assert verdict(log, OLD) == ("counts", "breaking", 2, 1)
    assert verdict(log, counts(3)) == ("counts", "additive", 2, 3)


def test_three_versions_stand_beside_each_other_and_the_newest_has_the_name(
    shop: Shop, log: Backend, codec: Codec, make_projector: MakeProjector
) -> None:
    """Whichever of them is complete first."""
    newest = counts(3)
    shop.trade(5)
    make_projector(OLD).catch_up()
    make_projector(NEW).catch_up()
    make_projector(newest).catch_up()
    head = shop.trade(5)

    for projection in (NEW, OLD, newest):
        make_projector(projection).catch_up()
        assert_answers(log, projection, at=head)

    assert public_version(log) == 3
    assert tables(log) == {"counts", "counts__v1", "counts__v2"}
    assert_sound(log, codec, OLD, NEW, newest)
    prune(log.views, "counts__v2")
    assert tables(log) == {"counts", "counts__v1"}
    prune(log.views, "counts")
    assert tables(log) == {"counts"}


def test_a_release_that_is_taken_back_takes_the_name_back_by_a_rebuild(
    shop: Shop, log: Backend, codec: Codec, make_projector: MakeProjector
) -> None:
    """And the release after it succeeds again."""
    shop.trade(5)
    make_projector(OLD).catch_up()
    make_projector(NEW).catch_up()

    rebuild(log, codec, OLD)

    assert public_version(log) == 1
    assert tables(log) == {"counts", "counts__v2"}
    head = shop.trade(3)
    make_projector(OLD).catch_up()
    assert_answers(log, OLD, at=head)
    make_projector(NEW).catch_up()
    assert public_version(log) == 2
    assert_sound(log, codec, OLD, NEW)


def test_a_batch_that_was_folded_when_the_name_changed_hands_is_not_written(
    shop: Shop, log: Backend, codec: Codec, make_projector: MakeProjector
) -> None:
    """It was meant for the older table, which has another name now; nor is the newer one stopped by what failed."""
    shop.trade(3)
    older = make_projector(OLD)
    older.catch_up()
    head = shop.trade(3)
    stale = View(OLD, RowStore(OLD.table, log.views.dialect))
    (checkpoint,) = older.checkpoints()
    with log.views.reading() as connection:
        batch = EventBatchReader(log, codec, OLD.topics).read(checkpoint.position, head)
        prepared = prepare(connection, stale, checkpoint, batch)
    make_projector(NEW).catch_up()

    with log.views.writing() as connection:
        assert commit(connection, [prepared]).moved == 0
    assert BatchFolder(log.views).fold(batch, [stale]) is False
    BatchFolder(log.views)._stop(stale, head + 1, "no column in_1s")

    assert_answers(log, NEW, at=head)
    assert Queries(log, [NEW]).checkpoint("counts").status == "live"
    older.catch_up()
    assert_answers(log, OLD, at=head)


def test_the_name_does_not_go_back_in_time(shop: Shop, log: Backend, make_projector: MakeProjector) -> None:
    """What the newer version lacks of the older one when it takes the name is folded in that moment."""
    head = shop.trade(10)
    make_projector(OLD).catch_up()

    make_projector(NEW, batch_events_max=head - 20).run_once()

    assert public_version(log) == 2
    assert_answers(log, NEW, at=head)


def test_a_table_that_was_dropped_stops_its_own_version(
    shop: Shop, log: Backend, make_projector: MakeProjector
) -> None:
    """And not the one that has the view's name."""
    shop.trade(1)
    make_projector(OLD).catch_up()
    make_projector(NEW).catch_up()
    with log.views.writing() as connection:
        connection.execute(text("DROP TABLE counts__v1"))
    head = shop.trade(1)

    make_projector(OLD).catch_up()

    stopped = Queries(log, [OLD]).checkpoint("counts")
    assert (stopped.status, stopped.version) == ("stopped", 1)
    assert "its table cannot be used" in (stopped.error or "")
    make_projector(NEW).catch_up()
    assert_answers(log, NEW, at=head)


@pytest.mark.parametrize("rebuilt", [False, True], ids=["followed", "rebuilt"])
def test_a_table_that_was_dropped_is_replaced_by_a_newer_version(
    shop: Shop, log: Backend, codec: Codec, make_projector: MakeProjector, rebuilt: bool
) -> None:
    """There is nothing to set aside, whether a worker builds the newer version or a person."""
    head = shop.trade(2)
    make_projector(OLD).catch_up()
    with log.views.writing() as connection:
        connection.execute(text("DROP TABLE counts"))

    if rebuilt:
        rebuild(log, codec, NEW)
    else:
        make_projector(NEW).catch_up()

    assert tables(log) == {"counts"}
    assert public_version(log) == 2
    assert_answers(log, NEW, at=head)
    assert_sound(log, codec, NEW)


def test_a_name_that_is_taken_keeps_the_older_version_and_harms_no_other_view(
    shop: Shop, log: Backend, make_projector: MakeProjector, caplog: pytest.LogCaptureFixture
) -> None:
    """Another table has the name under which the older one would stand; the next worker tries again."""
    shop.trade(2)
    make_projector(OLD).catch_up()
    with log.views.writing() as connection:
        connection.execute(text("CREATE TABLE counts__v1 (a INTEGER)"))

    newer = make_projector(NEW, inventory)
    newer.catch_up()
    head = shop.trade(1)
    newer.catch_up()

    assert public_version(log) == 1
    assert_answers(log, NEW, at=head)
    assert Queries(log, [inventory]).checkpoint("inventory").position == head
    (said,) = [record.getMessage() for record in caplog.records if "is not replaced" in record.getMessage()]
    assert "counts__v1" in said
    with log.views.writing() as connection:
        connection.execute(text("DROP TABLE counts__v1"))
    make_projector(NEW).run_once()
    assert public_version(log) == 2


def test_a_newer_version_that_cannot_fold_an_event_stops_alone(
    shop: Shop, log: Backend, make_projector: MakeProjector
) -> None:
    """The name stays with the older one, until the newer is mended."""
    head = shop.trade(6)
    make_projector(OLD).catch_up()

    make_projector(counts(2, broken=True)).catch_up()

    assert Queries(log, [NEW]).checkpoint("counts").status == "stopped"
    assert_answers(log, OLD, at=head)
    assert public_version(log) == 1
    mended = make_projector(NEW)
    mended.resume()
    mended.catch_up()
    assert public_version(log) == 2


def test_a_table_that_is_being_read_keeps_the_name_a_while(
    shop: Shop, log: Backend, make_projector: MakeProjector, caplog: pytest.LogCaptureFixture
) -> None:
    """On PostgreSQL a rename waits for readers, and others would wait for it: it gives up soon, and tries again."""
    if log.views.dialect.name != "postgresql":
        pytest.skip("SQLite's readers keep what they began to read, whatever it is called now")
    head = shop.trade(3)
    make_projector(OLD).catch_up()
    newer = make_projector(NEW)
    with log.views.reading() as connection:
        connection.execute(text("SELECT * FROM counts"))
        newer.catch_up()
        assert_answers(log, NEW, at=head)
        assert public_version(log) == 1
    assert "view 'counts' is not replaced by its version 2 yet" in caplog.text
    newer._succession._look_at.clear()

    newer.run_once()

    assert public_version(log) == 2


def test_the_sql_views_of_others_go_on_reading_the_name(
    shop: Shop, log: Backend, make_projector: MakeProjector
) -> None:
    """SQLite would rename what they read along with the table. On PostgreSQL they keep the table, and so it stays."""
    shop.trade(3)
    make_projector(OLD).catch_up()
    with log.views.writing() as connection:
        connection.execute(text("CREATE VIEW dashboard AS SELECT * FROM counts"))

    make_projector(NEW).catch_up()

    if log.views.dialect.name == "sqlite":
        with log.views.reading() as connection:
            assert connection.execute(text("SELECT sum(in_2s) FROM dashboard")).scalar() == 6
    else:
        with pytest.raises(WrongState, match=r"'counts__v1' cannot be dropped: .* other objects depend on it"):
            prune(log.views)
        assert_answers(log, OLD)


def test_the_past_of_a_view_is_told_across_the_change(shop: Shop, log: Backend, make_projector: MakeProjector) -> None:
    """Both programs know where the view was before, and each where its own generation was afterwards."""
    head = shop.trade(3)
    older, newer = make_projector(OLD), make_projector(NEW)
    older.catch_up()
    with log.views.reading() as connection:
        before = datetime.now(UTC)
        connection.execute(text("SELECT 1"))
    newer.catch_up()
    shop.trade(1)
    older.catch_up()

    assert Queries(log, [OLD]).position_at("counts", before) == head
    assert Queries(log, [NEW]).position_at("counts", before) == head
    assert Queries(log, [OLD]).position_at("counts", datetime.now(UTC)) > head
    assert Queries(log, [NEW]).position_at("counts", datetime.now(UTC)) == head


def test_a_view_of_sagas_is_not_built_without_the_choreography_of_a_process(
    shop: Shop, log: Backend, make_projector: MakeProjector, caplog: pytest.LogCaptureFixture
) -> None:
    """Its sagas would be missing; the older view stays as it is."""
    older = Projection("sagas", version=sagas.version - 1, table=sagas.table)
    older._handlers.update(sagas._handlers)
    make_projector(older).catch_up()
    shop.write([("order-1", "ghost-1", OrderCreated(OPENING, "1", "c1", "France", 1, 250, "GBP", OPENING))])

    with caplog.at_level(logging.WARNING):
        make_projector(sagas, NEW).catch_up()

    assert "process 'ghost-1'" in caplog.text
    assert Queries(log, [sagas]).checkpoint("sagas").version == older.version
    assert SagaStarted in sagas.events
    assert_answers(log, NEW)


DEATHS = 3
"""At how many exchanges of the deployment, spread over it, the process dies."""


def test_a_worker_that_may_not_create_tables_leaves_the_newer_version_to_the_owner(
    postgres_server: str, postgres_url: str, codec: Codec, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so, and keeps up its other views; the owner's `init` builds the version, and sets the older one aside."""
    schema = postgres_url.rpartition("%3D")[2]
    role = sql.Identifier(f"worker_of_{schema}")
    owner, restricted = open_backend(postgres_url, create=True), f"{postgres_url}%20-crole%3Dworker_of_{schema}"
    shop = Shop(owner)
    shop.trade(2)
    Projector(owner, codec, [OLD, inventory]).catch_up()
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {}").format(role))
        for granted in ("USAGE ON SCHEMA {}", "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {}"):
            grant = sql.SQL("GRANT " + granted + " TO {}")  # type: ignore[operator, arg-type]
            connection.execute(grant.format(sql.Identifier(schema), role))
    worker = open_backend(restricted)
    head = shop.trade(2)

    newer = Projector(worker, codec, [NEW, inventory])
    newer.catch_up()

    assert "version 2 of view 'counts' is not built by this process (`sagaledger init`" in caplog.text
    assert Queries(owner, [inventory]).checkpoint("inventory").position == head
    assert_answers(owner, OLD)
    upgrade_views(owner, codec, [NEW])
    Projector(worker, codec, [OLD]).catch_up()
    assert_answers(worker, OLD, at=head)
    assert_answers(owner, NEW, at=head)
    for backend in (worker, owner):
        backend.close()
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
        connection.execute(sql.SQL("DROP ROLE {}").format(role))


class Died(BaseException):
    """The process was killed."""


def _deploy(log: Backend, codec: Codec) -> None:
    """The newer program begins, builds and publishes its version; then the older one's generation is dropped."""
    projector = Projector(log, codec, [NEW], batch_events_max=50)
    while projector.run_once():
        pass
    prune(log.views)


def _crossings(run: Callable[[], None], *, die_at: int = 0) -> int:
    """Run something, and die at one of its exchanges with the database. Returns how many there were."""
    crossed = 0

    def count(name: str, _after: bool) -> None:
        nonlocal crossed
        if "rollback" not in name.lower():  # which a dead process leaves to the database
            crossed += 1
            if crossed == die_at:
                raise Died

    failpoints.set_listener(count)
    try:
        with suppress(Died):
            run()
    finally:
        failpoints.set_listener(None)
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()  # a connection that was being opened stays open here, as it would not in a dead process
    return crossed


def test_a_deployment_that_dies_at_any_exchange_with_the_database_goes_on(
    shop: Shop, log: Backend, codec: Codec, make_projector: MakeProjector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is on record is sound after every death, the older version answers, and the next start ends the work."""
    monkeypatch.setattr(rebuilding, "LOCKED_EVENTS_MAX", 10)
    head = shop.trade(4)
    make_projector(OLD).catch_up()
    crossings = _crossings(lambda: _deploy(log, codec))
    assert tables(log) == {"counts"}

    for death in range(1, crossings + 1, crossings // DEATHS):
        rebuild(log, codec, OLD)
        prune(log.views)
        assert tables(log) == {"counts"}
        _crossings(lambda: _deploy(log, codec), die_at=death)

        if public_version(log) == 1 or "counts__v1" in tables(log):
            assert_sound(log, codec, OLD)
        _deploy(log, codec)
        assert tables(log) == {"counts"}
        assert_answers(log, NEW, at=head)
        assert_sound(log, codec, NEW)
