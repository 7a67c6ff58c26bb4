"""A value that is written can be read as what it was; anything else is refused before it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from sagaledger.domain.errors import DefinitionError, InvalidInput, NotSerialisable, PayloadTooLarge
from sagaledger.domain.saga.event_parts import Failure, Parent
from sagaledger.domain.saga.events import (
    Action,
    Direction,
    InterventionResolved,
    SagaCompleted,
    SagaStarted,
    SignalReceived,
    StepCompensated,
    StepSucceeded,
)
from sagaledger.domain.saga.payload import DEPTH_MAX, PAYLOAD_BYTES_MAX, write_payload
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.validation import NAME_CHARACTERS_MAX
from sagaledger.infrastructure.event_store.event_row import STATE_BYTES_MAX

NAN, INF = float("nan"), float("inf")
NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)


class Ticket(msgspec.Struct):
    """One of two results that JSON cannot tell apart."""

    number: str


class Voucher(msgspec.Struct):
    """The other one."""

    code: str


class Client:
    """Nothing that JSON becomes."""


@dataclass(frozen=True)
class Price:
    """A value with a number."""

    amount: float | None


def nested(depth: int) -> Any:
    """So many lists within each other."""
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        NAN, INF, -INF, [NAN], (1, (INF,)), {"a": {"b": NAN}}, {NAN: 1}, Price(NAN), [Price(INF)],
        {"a": None, "b": Raw(b"null"), "c": NAN}, {frozenset({INF})}, Raw(b"NaN"), {"a": Raw(b"{")}, Raw(b""), object(),
        "\ud800", nested(DEPTH_MAX + 1), nested(5_000), {1j: 1}, Client(),
    ],
)  # fmt: skip
def test_a_value_that_json_lacks_is_refused(value: Any) -> None:
    """Never turned into null, and never written so that it cannot be read."""
    with pytest.raises(NotSerialisable, match="the result"):
        write_payload("the result", value)


@pytest.mark.parametrize(
    "value",
    [None, 0.0, 1e308, {"null": None}, [None], Price(None), nested(DEPTH_MAX), "NaN", Raw(b'{"a":null}'), 2**60],
)
def test_a_value_that_json_has_is_written(value: Any) -> None:
    """As msgspec writes it."""
    assert bytes(write_payload("the result", value)) == msgspec.json.encode(value)


scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(values)
def test_what_is_written_is_read_as_what_it_was(value: Any) -> None:
    """Or it is refused, if a number in it is none."""
    try:
        read = msgspec.json.decode(write_payload("the value", value))
    except NotSerialisable:
        return
    assert read == value


def step_with(result: Any) -> Any:
    """The sealed step whose action declares this result."""

    def act(_: int, __: Any) -> Any:
        return None

    act.__annotations__["return"] = result
    saga = Saga("trip", input=int)
    saga.step(name="book", compensable=False)(act)
    return saga.definition.step("book")


@pytest.mark.parametrize(
    "declared",
    [
        Ticket | Voucher, str | bytes, list[Ticket | Voucher], dict[str, Ticket | Voucher] | None, Client, list[Client],
        complex, Callable[..., int], type, list[int] | set[int], Price | Ticket,
    ],
)  # fmt: skip
def test_a_result_type_that_cannot_be_read_back_is_refused_when_the_saga_is_sealed(declared: Any) -> None:
    """Not when a compensation needs the result."""
    with pytest.raises(DefinitionError, match="the result of step 'book' has"):
        step_with(declared)


@pytest.mark.parametrize("declared", [Ticket | Voucher, Client, dict[str, Client], str | bytes])
def test_so_is_an_input_type(declared: Any) -> None:
    """A saga without a readable input could not run."""
    saga = Saga("trip", input=declared)
    saga.step(name="book", compensable=False)(lambda *_: None)

    with pytest.raises(DefinitionError, match="the input of saga 'trip' version 1 has"):
        _ = saga.definition


@pytest.mark.parametrize(
    ("declared", "fitting", "other"),
    [
        (int, 1, "1"),
        (int, None, True),
        (float, 1, "1"),
        (str, "a", 1),
        (list[int], (1, 2), ["1"]),
        (Ticket, Ticket("1"), Voucher("1")),
        (Ticket | None, {"number": "1"}, {"code": "1"}),
        (Ticket | int, 3, "3"),
        (float | None, 0.5, NAN),
        (Any, Voucher("1"), NAN),
        (None, 5, INF),
        (Raw, {"a": 1}, Raw(b"{")),
    ],
)
def test_a_result_is_checked_against_what_the_action_declares(declared: Any, fitting: Any, other: Any) -> None:
    """When it is written; a compensation may rely on its type."""
    step = step_with(declared)

    step.read_result(step.write_result(Direction.FORWARD, fitting))
    with pytest.raises(NotSerialisable, match="the result of step 'book'"):
        step.write_result(Direction.FORWARD, other)


@pytest.mark.parametrize("value", [NAN, INF])
def test_an_input_that_json_lacks_does_not_fit(value: float) -> None:
    """Even if the type has room for null."""
    saga = Saga("trip", input=float | None)  # type: ignore[arg-type]
    saga.step(name="book", compensable=False)(lambda *_: None)

    with pytest.raises(InvalidInput, match=r"the input of saga 'trip' version 1 does not fit: .*NaN"):
        saga.definition.write_input(value)


def test_one_bound_holds_for_every_payload() -> None:
    """What is accepted once fits into every event that carries it on."""
    raw = write_payload("the payload", "x" * (PAYLOAD_BYTES_MAX - 2))
    name, saga_id = "\U0001f600" * NAME_CHARACTERS_MAX, "s" * 1_024
    events = [
        SagaStarted(NOON, name, 1, "f" * 64, raw, NOON, NOON, Parent(saga_id, name, 1)),
        StepSucceeded(NOON, name, 2**31, raw, pivot=True),
        StepCompensated(NOON, name, 2**31, raw),
        SignalReceived(NOON, name, raw, "", None, True, name),
        InterventionResolved(NOON, name, Direction.COMPENSATION, Action.RESOLVE, "", "", raw, pivot=True),
        SagaCompleted(NOON, raw),
    ]

    assert max(len(msgspec.json.encode(event)) for event in events) <= STATE_BYTES_MAX
    with pytest.raises(PayloadTooLarge, match="the payload is"):
        write_payload("the payload", "x" * PAYLOAD_BYTES_MAX)
    assert Failure("a", "b")


class Bag(msgspec.Struct, frozen=True, eq=False):
    """An input without `==`."""

    goods: set[str]
    notes: dict[str, int] = {}
    prices: frozenset[Price] = frozenset()


def recorded(goods: str, notes: str = "{}", prices: str = "[]") -> Raw:
    """An input as it may have been written."""
    return Raw(f'{{"goods":{goods},"notes":{notes},"prices":{prices}}}'.encode())


BAG = recorded('["figs","plums"]', '{"a":1,"b":2}', '[{"amount":1.0},{"amount":2.0}]')


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (recorded('["plums","figs"]', '{"b":2,"a":1}', '[{"amount":2.0},{"amount":1.0}]'), True),
        (Raw(bytes(BAG).replace(b",", b" , ")), True),
        (recorded('["plums"]', '{"a":1,"b":2}', '[{"amount":1.0},{"amount":2.0}]'), False),
        (recorded('["figs","plums"]', '{"a":1,"b":3}', '[{"amount":1.0},{"amount":2.0}]'), False),
        (recorded('["figs","plums"]', '{"a":1,"b":2}', '[{"amount":1.0},{"amount":3.0}]'), False),
        (Raw(b'{"goods":7}'), False),
    ],
)
def test_an_input_is_the_same_if_its_values_are(other: Raw, same: bool) -> None:
    """Whatever the order of its sets and objects, which changes from one process to the next."""
    saga = Saga("trip", input=Bag)
    saga.step(name="book", compensable=False)(lambda *_: None)

    assert saga.definition.same_input(BAG, other) is same


def test_the_order_of_a_list_is_part_of_its_value() -> None:
    """And 1 is not true."""
    saga = Saga("trip", input=list[Any])
    saga.step(name="book", compensable=False)(lambda *_: None)

    assert not saga.definition.same_input(Raw(b"[1,2]"), Raw(b"[2,1]"))
    assert not saga.definition.same_input(Raw(b"[1]"), Raw(b"[true]"))
    assert saga.definition.same_input(Raw(b'[{"a":1,"b":2}]'), Raw(b'[{"b":2,"a":1}]'))


class Receipt(msgspec.Struct):
    """Values that can be written in several ways."""

    at: datetime | None = None
    hour: time | None = None
    amount: Decimal | None = None
    notes: dict[str, Any] = {}
    raw: Raw = Raw(b"null")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b'{"notes":{"a":1}}', b'{"notes":{"a":1.0}}', True),
        (b'{"notes":{"a":100}}', b'{"notes":{"a":1e2}}', True),
        (b'{"notes":{"a":0}}', b'{"notes":{"a":-0.0}}', True),
        (b'{"notes":{"a":9007199254740993}}', b'{"notes":{"a":9007199254740992.0}}', False),
        (b'{"notes":{"a":1}}', b'{"notes":{"a":true}}', False),
        (b'{"notes":{"a":1}}', b'{"notes":{"a":"1"}}', False),
        (b'{"notes":{"a":-1}}', b'{"notes":{"a":1}}', False),
        (b'{"notes":{"a":10}}', b'{"notes":{"a":1}}', False),
        (b'{"amount":"1.0"}', b'{"amount":"1.00"}', True),
        (b'{"amount":"1E+400"}', b'{"amount":"10E+399"}', True),
        (b'{"amount":"1.0"}', b'{"amount":"1.01"}', False),
        (b'{"at":"2020-01-01T12:00:00Z"}', b'{"at":"2020-01-01T13:00:00+01:00"}', True),
        (b'{"at":"2020-01-01T12:00:00Z"}', b'{"at":"2020-01-01T12:00:00"}', False),
        (b'{"at":"0001-01-01T00:00:00+14:00"}', b'{"at" : "0001-01-01T00:00:00+14:00"}', True),
        (b'{"at":"9999-12-31T23:00:00-12:00"}', b'{"at":"9999-12-31T22:00:00-13:00"}', True),
        (b'{"at":"9999-12-31T23:00:00-12:00"}', b'{"at":"9999-12-31T23:00:00-13:00"}', False),
        (b'{"hour":"12:00:00Z"}', b'{"hour":"13:00:00+01:00"}', True),
        (b'{"hour":"12:00:00Z"}', b'{"hour":"12:00:00+01:00"}', False),
        (b'{"raw":{"a":1,"b":[2]}}', b'{"raw":{"b":[2.0],"a":1}}', True),
        (b'{"raw":{"a":1,"b":[2]}}', b'{"raw":{"b":[3],"a":1}}', False),
    ],
)
def test_an_input_is_the_same_however_its_values_are_written(one: bytes, other: bytes, same: bool) -> None:
    """Numbers, times and JSON that is kept as it came."""
    saga = Saga("pay", input=Receipt)
    saga.step(name="go", compensable=False)(lambda *_: None)

    assert saga.definition.same_input(Raw(one), Raw(other)) is same
    assert saga.definition.same_input(Raw(other), Raw(one)) is same
