"""A column of JSON takes the same documents on both databases, and shows them alike."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import JSON, Column, LargeBinary, MetaData, PickleType, Table, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

from sagaledger.domain.errors import DefinitionError, InvalidInput
from sagaledger.domain.recorded_event import RecordedEvent
from sagaledger.domain.shop.order import OrderCreated
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.read_models.checkpoints import STOPPED
from sagaledger.infrastructure.read_models.drift import drift
from sagaledger.infrastructure.read_models.projector import Projector
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.infrastructure.read_models.rebuild import rebuild
from sagaledger.projections.projection import Projection, Row

from .conftest import MakeProjector
from .past import rows_at
from .shop import Shop

DOCUMENTS: list[tuple[Any, Any]] = [
    ({"lines": [{"sku": "ä€", "amount": 2.5}], "paid": True, "note": None}, ...),
    ([1, 2**70, -0.5, "x", []], ...),
    ("text", ...),
    (None, None),
    (("a", ("b",)), ["a", ["b"]]),
    ({"a\0b": "c\0d \ud800"}, {"a\u2400b": "c\u2400d \ufffd"}),
    ("back\\u0000slash", ...),
]
UNFIT: list[tuple[Any, str]] = [
    (float("nan"), "takes a finite number"),
    ({"at": datetime(2026, 1, 1, tzinfo=UTC)}, "takes JSON, not a value of type datetime"),
    ([Decimal(1)], "takes JSON, not a value of type Decimal"),
    ({1: "a"}, "whose keys are text"),
]


class Tags(TypeDecorator[frozenset[str]]):
    """A user's own type, stored as JSON."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: frozenset[str] | None, _: object) -> Any:
        return None if value is None else sorted(value)

    def process_result_value(self, value: Any, _: object) -> frozenset[str] | None:
        return None if value is None else frozenset(value)


def keeping(document: Any, type_: Any = JSON) -> Projection:
    """A view that keeps a document for each order."""
    table = Table("kept", MetaData(), Column("order_id", Text, primary_key=True), Column("document", type_))
    kept = Projection("kept", version=1, table=table)

    @kept.on(OrderCreated, key=lambda recorded: recorded.event.order_id)
    def created(_: Row | None, event: OrderCreated, __: RecordedEvent) -> Row:
        return {"order_id": event.order_id, "document": document}

    return kept


@pytest.mark.parametrize(("document", "shown"), DOCUMENTS)
def test_a_document_is_kept(
    log: Backend, shop: Shop, codec: Codec, make_projector: MakeProjector, document: Any, shown: Any
) -> None:
    """The view, its rebuild, its drift and its past agree."""
    kept = keeping(document)
    head = shop.trade(2)
    make_projector(kept).catch_up()
    queries = Queries(log, [kept])

    rows = queries.query("kept").rows

    assert [row["document"] for row in rows] == [document if shown is ... else shown] * 2
    assert drift(queries, log, codec, "kept").count == 0
    assert rows_at(queries, log, codec, "kept", head) == rows
    rebuild(log, codec, kept)
    assert queries.query("kept").rows == rows


def test_a_type_of_the_user_that_is_stored_as_json_is_kept(
    log: Backend, shop: Shop, make_projector: MakeProjector
) -> None:
    """Its own conversions run on the way in and out."""
    kept = keeping(frozenset({"b", "a"}), Tags)
    shop.trade(1)
    make_projector(kept).catch_up()

    assert [row["document"] for row in Queries(log, [kept]).query("kept").rows] == [{"a", "b"}]


def test_binary_json_of_postgresql_is_kept(postgres_url: str, codec: Codec) -> None:
    """A table that only PostgreSQL can have."""
    log = open_backend(postgres_url, create=True)
    kept = keeping({"a": [1, None]}, JSONB)
    shop = Shop(log)
    shop.open()
    shop.trade(1)
    Projector(log, codec, [kept]).catch_up()

    assert [row["document"] for row in Queries(log, [kept]).query("kept").rows] == [{"a": [1, None]}]
    log.close()


@pytest.mark.parametrize(("document", "says"), UNFIT)
def test_what_json_cannot_hold_stops_the_view(
    shop: Shop, make_projector: MakeProjector, document: Any, says: str
) -> None:
    """In front of its event, with the reason."""
    projector = make_projector(keeping(document))
    shop.trade(1)
    projector.catch_up()

    [checkpoint] = projector.checkpoints()
    assert checkpoint.status == STOPPED
    assert says in (checkpoint.error or "")


def test_a_query_neither_filters_nor_orders_by_json(log: Backend, shop: Shop, make_projector: MakeProjector) -> None:
    """PostgreSQL compares no JSON; the answer is the same on SQLite."""
    kept = keeping({"a": 1})
    shop.trade(1)
    make_projector(kept).catch_up()
    queries = Queries(log, [kept])

    with pytest.raises(InvalidInput, match="'document' of view 'kept' holds JSON"):
        queries.query("kept", where={"document": "x"})
    with pytest.raises(InvalidInput, match="holds JSON"):
        queries.query("kept", order=["-document"])


@pytest.mark.parametrize("type_", [LargeBinary, PickleType])
def test_a_column_of_bytes_is_refused_when_it_is_declared(type_: Any) -> None:
    """On SQLite too, which would take it."""
    with pytest.raises(DefinitionError, match="use text or JSON"):
        keeping(b"", type_)
