"""Messages that the inbox rejects, and messages that come again."""

from __future__ import annotations

import pytest

from sagaledger.domain.shop.services import inventory
from sagaledger.infrastructure.choreography.nats.cloud_events import EventNotice, headers_of, read
from sagaledger.infrastructure.choreography.nats.errors import MessageRejected
from sagaledger.infrastructure.choreography.nats.inbox import NatsInbox
from sagaledger.infrastructure.event_store.event_row import STATE_BYTES_MAX, StoredRow

from .conftest import Shop, order

STREAM = "sagaledger_test"


@pytest.fixture
def placed(sqlite_shop: Shop) -> StoredRow:
    """The first event of an order."""
    sqlite_shop.place(order("1"))
    return sqlite_shop.ledger.backend.correlated("order_flow-1")[0]


def _notice(row: StoredRow) -> EventNotice:
    return read(STREAM, headers_of(STREAM, row), row.state)


def test_a_message_says_which_event_there_is(placed: StoredRow) -> None:
    """The headers have the event's attributes, the body its bytes."""
    notice = _notice(placed)

    assert notice == EventNotice(placed.position, "OrderCreated", "order_flow-1", placed.state)


def test_a_message_that_comes_again_counts_once(sqlite_shop: Shop, placed: StoredRow) -> None:
    """That holds for the same instance of the service, and for one that never saw it."""
    first, second = (NatsInbox(sqlite_shop.ledger.context, inventory) for _ in range(2))

    for inbox in (first, first, second):
        assert inbox.receive([_notice(placed), _notice(placed)]) == []

    assert sqlite_shop.topics("order_flow-1") == ["OrderCreated", "InventoryReserved"]
    assert sqlite_shop.ledger.backend.consumer_position(f"inbox:inventory:{placed.position}") == 1


@pytest.mark.parametrize(
    ("header", "value", "why"),
    [
        ("ce-specversion", "0.3", "no CloudEvent 1.0"),
        ("ce-source", "/somewhere/else", "not of this ledger"),
        ("ce-type", "", "lacks ce-type"),
        ("ce-subject", "", "lacks ce-subject"),
        ("ce-position", "-1", "no position of a log"),
        ("ce-position", "\N{FULLWIDTH DIGIT NINE}", "no position of a log"),
        ("ce-id", "another:1", "does not name position"),
    ],
)
def test_a_malformed_message_is_rejected_with_its_reason(placed: StoredRow, header: str, value: str, why: str) -> None:
    """The error names the header."""
    headers = {**headers_of(STREAM, placed), header: value}

    with pytest.raises(MessageRejected, match=why):
        read(STREAM, headers, placed.state)


def test_a_message_without_headers_is_rejected(placed: StoredRow) -> None:
    """Other programs may publish to the subject as well."""
    with pytest.raises(MessageRejected, match="no CloudEvent"):
        read(STREAM, None, placed.state)


def test_an_oversized_message_is_rejected(placed: StoredRow) -> None:
    """No event of the log is that large."""
    with pytest.raises(MessageRejected, match="more than an event may have"):
        read(STREAM, headers_of(STREAM, placed), bytes(STATE_BYTES_MAX + 1))


@pytest.mark.parametrize(
    ("forged", "why"),
    [
        ({"position": 10_000}, "no event at position 10000"),
        ({"topic": "ItRained"}, "ce-type is 'ItRained'"),
        ({"process_id": "order_flow-2"}, "ce-subject is 'order_flow-2'"),
        ({"data": b"{}"}, "its data is not that of the event"),
    ],
)
def test_a_message_that_the_log_contradicts_is_rejected(
    sqlite_shop: Shop, placed: StoredRow, forged: dict[str, object], why: str
) -> None:
    """The broker is never the source of truth, so such a message records nothing."""
    before = sqlite_shop.ledger.backend.head().position
    inbox = NatsInbox(sqlite_shop.ledger.context, inventory)

    [rejection] = inbox.receive([_notice(placed)._replace(**forged)])  # type: ignore[arg-type]

    assert why in str(rejection.error)
    assert sqlite_shop.ledger.backend.head().position == before


def test_an_earlier_event_that_was_never_delivered_is_handled_first(sqlite_shop: Shop) -> None:
    """The log says what is unhandled; the message only says which process to look at."""
    sqlite_shop.place(order("1", declined=True))
    sqlite_shop.bus.drain()
    rows = sqlite_shop.ledger.backend.correlated("order_flow-1")
    cancelled = next(row for row in rows if row.topic == "OrderCancelled")
    head = sqlite_shop.ledger.backend.head().position

    NatsInbox(sqlite_shop.ledger.context, inventory).receive([_notice(cancelled)])

    assert sqlite_shop.ledger.backend.head().position == head, "the embedded bus had handled it"


def test_the_checkpoint_moves_to_the_first_unhandled_event(sqlite_shop: Shop) -> None:
    """So the command `participants` says how far a service is, with a broker as without one."""
    sqlite_shop.place(order("1"), order("2"))
    first, second = (sqlite_shop.ledger.backend.correlated(f"order_flow-{key}")[0] for key in "12")
    inbox = NatsInbox(sqlite_shop.ledger.context, inventory)

    inbox.receive([_notice(first)])
    inbox.tick()
    position = sqlite_shop.ledger.backend.consumer_position("service:inventory")
    inbox.receive([_notice(second)])
    inbox.tick()

    assert position == second.position - 1
    assert (
        sqlite_shop.ledger.backend.consumer_position("service:inventory") == sqlite_shop.ledger.backend.head().position
    )


def test_more_events_than_one_append_may_have_are_handled_in_several(sqlite_shop: Shop) -> None:
    """Eighty orders of 150 articles arrive at once."""
    articles = {f"a{number}": 1_000 for number in range(150)}
    sqlite_shop.stock(**articles)
    orders = [order(str(number), *((sku, 1) for sku in articles)) for number in range(80)]
    sqlite_shop.place(*orders)
    rows = [sqlite_shop.ledger.backend.correlated(f"order_flow-{each.order_id}")[0] for each in orders]

    rejections = NatsInbox(sqlite_shop.ledger.context, inventory).receive([_notice(row) for row in rows])

    assert rejections == []
    assert sum(len(sqlite_shop.topics(f"order_flow-{each.order_id}")) - 1 for each in orders) == 80 * 150
