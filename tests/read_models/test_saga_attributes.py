"""Sagas are found by what their inputs say, by the functions that their definitions declare."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from sagaledger import App, Ledger, Saga
from sagaledger.domain.errors import InvalidInput
from sagaledger.infrastructure.errors import TimedOut, WrongState
from sagaledger.infrastructure.ledger.compatibility import check_compatibility
from sagaledger.infrastructure.ledger.context import LedgerContext
from sagaledger.infrastructure.ledger.saga_listing import SagaCursor, SagaFilter, each_saga, list_sagas
from sagaledger.infrastructure.ledger.verification import verify_ledger
from sagaledger.infrastructure.ledger.view_operations import rebuild_view, upgrade_views
from sagaledger.infrastructure.read_models.drift import drift
from sagaledger.infrastructure.read_models.filter import Filter, select_rows
from sagaledger.projections.saga import sagas
from sagaledger.projections.saga.attribute_value import VALUE_CHARACTERS_MAX
from sagaledger.projections.saga.saga_attributes import VIEW

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Parcel(msgspec.Struct, frozen=True):
    """What is sent."""

    number: int
    customer: str | None = None
    pieces: int = 1
    sent_at: datetime = NOON
    labels: list[str] = []


def _app(version: int = 1, **search: Any) -> App:
    parcels = Saga("parcels", version=version, input=Parcel, key=lambda parcel: str(parcel.number), search=search)
    parcels.step(name="send", compensable=False)(lambda parcel, _: parcel.number)
    plain = Saga("plain", input=str)
    plain.step(name="send", compensable=False)(lambda value, _: value)
    return App(sagas=[parcels, plain])


SEARCHED = _app(
    customer=lambda parcel: parcel.customer,
    pieces=lambda parcel: parcel.pieces,
    sent=lambda parcel: parcel.sent_at,
    label=lambda parcel: parcel.labels,
)
PARCELS = (
    Parcel(1, "C-1", 5, NOON, ["red", "heavy"]),
    Parcel(2, "C-2", 50, NOON.replace(day=2), ["red"]),
    Parcel(3, "C-1", 500, NOON.replace(day=3), []),
    Parcel(4, None, 9, NOON.replace(day=4), ["Red"]),
    Parcel(5, "17", 10, NOON.replace(day=5), ["17.0"]),
)


def _start(ledger: Ledger, *parcels: Parcel) -> None:
    for parcel in parcels:
        ledger.start("parcels", parcel)


FOUND: tuple[tuple[list[Any], list[int]], ...] = (
    (["customer=C-1"], [1, 3]),
    (["customer=c-1"], []),
    (["customer=17"], [5]),
    (["customer=17.0"], []),
    (["customer=C-1", "label=red"], [1]),
    (["customer!=C-1"], [2, 4, 5]),
    (["customer="], [4]),
    (["customer is not null"], [1, 2, 3, 5]),
    (["customer in C-2,17"], [2, 5]),
    (["customer not in C-2,17"], [1, 3, 4]),
    (["customer like C-%"], [1, 2, 3]),
    (["customer>C-1"], [2]),
    (["label=red"], [1, 2]),
    (["label!=red"], [3, 4, 5]),
    (["label like %e%"], [1, 2, 4]),
    (["label=17"], []),
    (["pieces=10"], [5]),
    (["pieces=10.0"], [5]),
    (["pieces>9"], [2, 3, 5]),
    (["pieces<=9"], [1, 4]),
    (["pieces>9", "pieces<100"], [2, 5]),
    ([("pieces", ">=", 50)], [2, 3]),
    (["sent>2026-03-03"], [3, 4, 5]),
    (["sent=2026-03-03T13:00+01:00"], [3]),
    ([("sent", "<", NOON.replace(day=2))], [1]),
    (["sent>1d"], []),
    (["nothing=1"], []),
    (["no\0thing=1"], []),
    (["no\ud800thing!=1"], [1, 2, 3, 4, 5]),
    (["nothing="], [1, 2, 3, 4, 5]),
)


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """A ledger with sagas that can be found, and one that cannot."""
    with Ledger.open(url, SEARCHED, create=True) as opened:
        _start(opened, *PARCELS)
        opened.start("plain", "x", key="1")
        opened.projector().catch_up()
        yield opened


def _numbers(context: LedgerContext, *attributes: Any, limit: int = 100) -> list[int]:
    page = list_sagas(context, SagaFilter(attributes=list(attributes)), limit=limit)
    return sorted(int(row["saga_id"].partition("-")[2]) for row in page.rows if row["definition"] == "parcels")


def test_sagas_are_found_by_their_attributes(ledger: Ledger) -> None:
    """All conditions must hold; numbers and times are compared as such, and a list by any of its values."""
    assert [(asked, _numbers(ledger.context, *asked)) for asked, _ in FOUND] == list(FOUND)


def test_every_view_of_sagas_can_be_asked_by_them(ledger: Ledger) -> None:
    """As a filter of any view whose rows have the id of a saga, with its own columns, and page by page."""
    asked = {"attributes": {"customer": ["C-1", "C-2"]}, "where": [("saga_id", "!=", "parcels-2")]}
    whole = ledger.query("sagas", order=["-saga_id"], **asked).rows
    first = ledger.query("sagas", order=["-saga_id"], limit=1, **asked).rows
    second = ledger.query("sagas", order=["-saga_id"], limit=1, after=first[-1], **asked).rows

    assert [row["saga_id"] for row in whole] == ["parcels-3", "parcels-1"]
    assert first + second == whole
    assert ledger.query("saga_steps", attributes="customer=C-1").rows == []


def test_pages_of_the_list_put_together_are_the_whole_list(ledger: Ledger) -> None:
    """The cursor goes on within the sagas that were found."""
    wanted = SagaFilter(attributes=["pieces>5"])
    ids: list[str] = []
    after: SagaCursor | None = None
    for _ in range(10):
        page = list_sagas(ledger.context, wanted, limit=1, after=after)
        ids += [row["saga_id"] for row in page.rows]
        after = page.next
        if after is None:
            break

    with each_saga(ledger.context, wanted) as (_, rows):
        assert [row["saga_id"] for row in rows] == ids
    assert sorted(ids) == ["parcels-2", "parcels-3", "parcels-4", "parcels-5"]


def test_it_can_be_joined_with_plain_sql(ledger: Ledger) -> None:
    """As the page on views shows it."""
    statement = text(
        "SELECT s.saga_id, p.number FROM sagas s "
        "JOIN saga_attributes c ON c.saga_id = s.saga_id AND c.name = 'customer' AND c.value = 'C-1' "
        "JOIN saga_attributes p ON p.saga_id = s.saga_id AND p.name = 'pieces' ORDER BY p.number"
    )
    with ledger.backend.views.reading() as connection:
        assert [tuple(row) for row in connection.execute(statement)] == [("parcels-1", 5.0), ("parcels-3", 500.0)]


def test_a_value_is_found_in_an_index(ledger: Ledger) -> None:
    """Whatever number of sagas there are; PostgreSQL plans so, too, once its tables are large."""
    if ledger.backend.views.dialect.name != "sqlite":
        return
    with ledger.backend.views.reading() as connection:
        for attributes, index in (("customer=C-1", "_value"), ("pieces>5", "_number"), ("sent>2026-03-01", "_time")):
            asked = select_rows(sagas.table, Filter(None, ("-started_at",), attributes=attributes))
            sql = asked.compile(connection.engine, compile_kwargs={"literal_binds": True})
            plan = [step for *_, step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}")]
            assert any(f"USING INDEX saga_attributes{index}" in step for step in plan), plan
            assert any("SEARCH sagas USING INDEX" in step for step in plan), plan


def test_sagas_without_search_functions_have_no_rows(ledger: Ledger) -> None:
    """And an app without them does not even have the view."""
    rows = ledger.query(VIEW, limit=1_000).rows

    assert {row["saga_id"].partition("-")[0] for row in rows} == {"parcels"}
    assert VIEW not in {projection.name for projection in _app().projections}


def test_an_error_of_a_function_leaves_out_its_attribute_alone(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever it raises or returns; it is logged once, with the saga, the attribute and the remedy."""

    def interrupted(_: Parcel) -> str:
        raise SystemExit

    app = _app(
        customer=lambda parcel: parcel.customer,
        broken=lambda parcel: 1 // (parcel.number - 1),
        ended=interrupted,
        long=lambda parcel: "\U0001d4b6" * (VALUE_CHARACTERS_MAX + parcel.number - 1),
        odd=lambda parcel: {"number": parcel.number},
    )
    with Ledger.open(url, app, create=True) as ledger, caplog.at_level(logging.WARNING):
        _start(ledger, *PARCELS[:3])
        ledger.projector().catch_up()

        rows = ledger.query(VIEW, order=["saga_id", "name"]).rows
        checkpoint = ledger.context.queries.checkpoint(VIEW)
        again = drift(ledger.context.queries, ledger.backend, ledger.context.codec, VIEW)

    assert [(row["saga_id"], row["name"]) for row in rows] == [
        ("parcels-1", "customer"),
        ("parcels-1", "long"),
        ("parcels-2", "broken"),
        ("parcels-2", "customer"),
        ("parcels-3", "broken"),
        ("parcels-3", "customer"),
    ]
    assert (checkpoint.status, checkpoint.position) == ("live", 3)
    assert again.count == 0
    logged = [record.getMessage() for record in caplog.records]
    assert [sum(f"search attribute '{name}'" in line for line in logged) for name in ("broken", "ended", "odd")] == [
        1
    ] * 3
    assert any(
        "'broken' of 'parcels-1'" in line and "ZeroDivisionError" in line and "rebuild" in line for line in logged
    )


def test_functions_that_are_declared_later_find_older_sagas(url: str) -> None:
    """The view is new, and folds the log from its beginning; once it exists, a rebuild or an upgrade does so."""
    with Ledger.open(url, _app(), create=True) as ledger:
        _start(ledger, *PARCELS[:2])
        ledger.projector().catch_up()
    with Ledger.open(url, _app(customer=lambda parcel: parcel.customer), create=True) as ledger:
        ledger.projector().catch_up()
        assert _numbers(ledger.context, "customer=C-1") == [1]

    with Ledger.open(url, SEARCHED, create=True) as ledger:
        _start(ledger, PARCELS[2])
        ledger.projector().catch_up()
        with pytest.raises(WrongState, match=r"other search attributes.*rebuild saga_attributes"):
            list_sagas(ledger.context, SagaFilter(attributes=["pieces=5"]), limit=1)
        rebuild_view(ledger.context, VIEW)
        assert _numbers(ledger.context, "pieces>=5") == [1, 2, 3]
        assert _numbers(ledger.context, "customer=C-1") == [1, 3]

    with Ledger.open(url, _app(weight=lambda parcel: parcel.pieces)) as ledger:
        assert upgrade_views(ledger.context).rebuilt == [VIEW]
        assert upgrade_views(ledger.context).rebuilt == []
        assert _numbers(ledger.context, "weight>=5") == [1, 2, 3]


def test_a_check_does_not_refuse_an_app_with_other_attributes(ledger: Ledger, url: str) -> None:
    """`init` builds its version, and which of two hashes is greater means nothing."""
    directions = set()
    for name in "abcdefgh":
        with Ledger.open(url, _app(**{name: lambda parcel: parcel.pieces})) as other:
            found = check_compatibility(other.context)
        (view,) = (each for each in found.views if each.view == VIEW)
        directions.add(view.recorded_version < view.declared_version)
        assert (view.verdict, found.is_breaking) == ("additive", False)

    assert directions == {True, False}
    assert ledger.context.queries.checkpoint(VIEW).status == "live"


def test_programs_with_other_functions_leave_the_view_alone(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each saga has the attributes of one declaration; no program stops the view, and the other says so once."""
    other = _app(weight=lambda parcel: parcel.pieces)
    with Ledger.open(url, SEARCHED, create=True) as ledger:
        _start(ledger, *PARCELS[:2])
        ledger.projector().catch_up()
        made = ledger.query(VIEW).rows
    with caplog.at_level(logging.WARNING):
        for app in (other, App()):
            with Ledger.open(url, app, create=True) as ledger:
                projector = ledger.projector()
                projector.catch_up()
                projector.catch_up()
                assert ledger.query("sagas").as_of_position == 2
                with ledger.backend.views.reading() as connection:
                    assert connection.execute(text("SELECT count(*) FROM saga_attributes")).scalar() == len(made)
                verified = verify_ledger(ledger.context, expect=None, progress=lambda _: nullcontext(lambda *_: None))
                assert (verified.problems, verified.views_not_compared) == ([], [VIEW])
    with Ledger.open(url, SEARCHED) as ledger:
        _start(ledger, PARCELS[2])
        ledger.projector().catch_up()
        assert _numbers(ledger.context, "customer=C-1") == [1, 3]
        assert ledger.context.queries.checkpoint(VIEW).status == "live"

    assert ["other search attributes" in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.usefixtures("ledger")
def test_no_app_is_needed_to_find_sagas(url: str) -> None:
    """The table has it all; where no app has declared attributes, the error says what to do."""
    with Ledger.open(url) as without:
        assert _numbers(without.context, "customer=C-1", "pieces>5", "sent>2026-03-02") == [3]
        assert _numbers(without.context, ("pieces", "=", 5)) == [1]


def test_a_ledger_without_attributes_says_what_to_declare(url: str) -> None:
    """Rather than to answer with nothing."""
    with Ledger.open(url, _app(), create=True) as ledger, pytest.raises(InvalidInput, match=r"Saga\(search=…\)"):
        list_sagas(ledger.context, SagaFilter(attributes=["customer=C-1"]), limit=1)


def test_an_answer_has_the_position_of_the_view_that_is_further_behind(ledger: Ledger, url: str) -> None:
    """A saga may be in one of the two and not in the other yet."""
    with Ledger.open(url) as without:  # it follows `sagas` only
        ledger.start("parcels", Parcel(6, "C-1"))
        without.projector().catch_up()
        page = list_sagas(without.context, SagaFilter(attributes=["customer=C-1"]), limit=10)
        plain = list_sagas(without.context, SagaFilter(), limit=10)

    assert (page.view, page.position, page.head_position) == (VIEW, 6, 7)
    assert (plain.view, plain.position) == ("sagas", 7)
    assert len(page.rows) == 2


def test_a_position_is_awaited_in_both_views(ledger: Ledger, url: str) -> None:
    """Whether the rows are returned or streamed; the error names the view that is behind."""
    queries = ledger.context.queries
    with Ledger.open(url) as without:  # it follows `sagas` only
        ledger.start("parcels", Parcel(6, "C-1"))
        without.projector().catch_up()

    with pytest.raises(TimedOut, match="view 'saga_attributes' is at position 6, and did not reach 7"):
        queries.query("sagas", attributes=["customer=C-1"], wait_for=7, timeout_seconds=0.01)
    streamed = queries.rows("sagas", Filter(attributes=["customer=C-1"]), wait_for=7, timeout_seconds=0.01)
    with pytest.raises(TimedOut, match="view 'saga_attributes'"), streamed:
        pass
    assert queries.query("sagas", wait_for=7, timeout_seconds=0.01).as_of_position == 7


def test_an_input_that_cannot_be_read_has_no_attributes(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """That of a version that the app has no more; or one that was erased, or is of another type by now."""
    with Ledger.open(url, SEARCHED, create=True) as ledger:
        _start(ledger, PARCELS[0])

    class Other(msgspec.Struct):
        weight: float

    changed = Saga("parcels", input=Other, search={"weight": lambda other: other.weight})
    changed.step(name="send", compensable=False)(lambda other, _: other)
    for app in (_app(2, customer=lambda parcel: parcel.customer), App(sagas=[changed])):
        with Ledger.open(url, app) as ledger, caplog.at_level(logging.WARNING):
            rebuild_view(ledger.context, VIEW)
            assert ledger.query(VIEW).rows == []
            assert ledger.context.queries.checkpoint(VIEW).status == "live"

    assert ["the input of 'parcels-1'" in record.getMessage() for record in caplog.records] == [True]
