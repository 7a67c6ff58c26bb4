"""Whatever is written reads back as what it was, or is refused before it is written: nothing stays unreadable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from sagaledger import App, Command, Event, Ledger, Participant, Saga, Status, Worker, event
from sagaledger.domain.errors import InvalidInput, NotSerialisable
from sagaledger.domain.saga.events import Direction
from sagaledger.infrastructure.errors import SagaNotFound

NAIVE = datetime(2020, 1, 1, tzinfo=UTC).replace(tzinfo=None)

WAITING: Saga[int] = Saga("waiting", input=int)
WAITING.wait_for("word")

WRONG = [None, 5, True, b"x", ["a"], {"a": 1}, 1.5, datetime(2020, 1, 1, tzinfo=UTC), object()]

OPERATIONS: dict[str, Callable[[Ledger, Any], Any]] = {
    "the actor of a cancel": lambda ledger, wrong: ledger.cancel("waiting-1", actor=wrong, reason="r"),
    "its reason": lambda ledger, wrong: ledger.cancel("waiting-1", actor="ann", reason=wrong),
    "the actor of a signal": lambda ledger, wrong: ledger.signal("waiting-1", "word", actor=wrong),
    "its name": lambda ledger, wrong: ledger.signal("waiting-1", wrong, actor="ann"),
    "its reason, if any": lambda ledger, wrong: ledger.signal("waiting-1", "word", actor="ann", reason=wrong or 5),
    "whether it is refused": lambda ledger, wrong: ledger.signal(
        "waiting-1", "word", actor="ann", refused="yes" if wrong is True else wrong
    ),
    "the reason of an approval": lambda ledger, wrong: ledger.approve(
        "waiting-1", "word", actor="ann", reason=wrong or 5
    ),
}


@pytest.fixture
def ledger(url: str) -> Any:
    """A ledger with a saga."""
    with Ledger.open(url, App(sagas=[WAITING]), create=True) as ledger:
        ledger.start(WAITING, 1, key="1")
        yield ledger


@pytest.mark.parametrize("what", OPERATIONS)
def test_an_operation_with_a_value_of_another_type_records_nothing(ledger: Ledger, what: str) -> None:
    """An event that cannot be read would keep its saga from being read, for ever."""
    for wrong in WRONG:
        with pytest.raises((InvalidInput, NotSerialisable)):
            OPERATIONS[what](ledger, wrong)

    assert ledger.state("waiting-1").version == 1


@pytest.mark.parametrize("wrong", [*WRONG, "", "\0", "\ud800", "a\nb", "x" * 3_000, "\u4e00" * 400])
def test_what_cannot_be_an_id_is_the_id_of_no_saga(ledger: Ledger, wrong: Any) -> None:
    """For every question about a saga."""
    for ask in (
        lambda: ledger.state(wrong),
        lambda: ledger.history(wrong),
        lambda: list(ledger.states([wrong])),
        lambda: ledger.wait(wrong, 0.1),
        lambda: ledger.cancel(wrong, actor="ann", reason="r"),
        lambda: ledger.signal(wrong, "word", actor="ann"),
    ):
        with pytest.raises(SagaNotFound):
            ask()


@pytest.mark.parametrize("wrong", [None, "1", float("nan"), [1]])
def test_a_time_to_wait_is_a_number(ledger: Ledger, wrong: Any) -> None:
    """A wait until NaN would never end."""
    with pytest.raises(InvalidInput, match="timeout_seconds"):
        ledger.wait("waiting-1", wrong)
    with pytest.raises(InvalidInput, match="timeout_seconds"):
        ledger.query("sagas", wait_for=10**9, timeout_seconds=wrong)


@pytest.mark.parametrize("wrong", [5, b"a", True, ["a"], "", "a\nb", "\ud800", "x" * 201])
def test_a_key_that_is_no_text_starts_nothing(ledger: Ledger, wrong: Any) -> None:
    """Given, or made by the definition."""
    keyed: Saga[Any] = Saga("keyed", input=int, key=lambda _: wrong)
    keyed.step(name="go", compensable=False)(lambda *_: None)

    with pytest.raises(InvalidInput, match="the key"):
        ledger.start(WAITING, 1, key=wrong)
    with pytest.raises(InvalidInput, match="the key"):
        ledger.start(keyed, 1)


# Events of participants


@event("ReadBackWeighed")
class Weighed(Event, frozen=True):
    """Something was weighed."""

    what: str = ""
    grams: float | None = None
    tags: tuple[str, ...] = ()
    when: datetime | None = None
    by_name: dict[str, int] | None = None
    price: Decimal | None = None


class Weigh(Command, frozen=True):
    """Weigh something."""

    fields: dict[str, Any]


def _decide(_: Any, weigh: Weigh, at: datetime) -> Sequence[Event]:
    return [Weighed(at, **weigh.fields)]


def _weighed(url: str, fields: dict[str, Any]) -> tuple[Status, list[Event], list[Any]]:
    """The status of a saga that had this recorded, the events, and the states that `evolve` made events of."""
    seen: list[Any] = []
    saga = Saga("bad", input=int)
    saga.local_step(name="go", compensable=False)(lambda *_: [Weigh(fields)])

    def evolve(count: int, weighed: Event) -> int:
        seen.append(weighed)
        return count + 1

    scale = Participant(
        "scale",
        initial=0,
        state_type=int,
        events=[Weighed],
        commands={Weigh: lambda _: "1"},
        decide=_decide,
        evolve=evolve,
    )

    async def scene(ledger: Ledger) -> Status:
        async with asyncio.timeout(30), Worker(ledger, project=False) as worker:
            return (await worker.outcome((await worker.start(saga, 1, key="1")).saga_id)).status

    with Ledger.open(url, App(sagas=[saga], participants=[scale]), create=True) as ledger:
        status = asyncio.run(scene(ledger))
        recorded = [each.event for each in ledger.history("bad-1") if each.stream_id == "scale-1"]
    return status, recorded, seen


@pytest.mark.parametrize(
    "fields",
    [
        {"what": 5}, {"what": None}, {"what": b"x"}, {"what": datetime(2020, 1, 1, tzinfo=UTC)}, {"what": "\ud800"},
        {"grams": float("nan")}, {"grams": float("inf")}, {"grams": "1"}, {"tags": ["a", 1]}, {"tags": "a"},
        {"when": 5}, {"when": "yesterday"}, {"by_name": {1: 1}}, {"by_name": {"a": 1.5}}, {"what": Decimal(1)},
        {"price": float("nan")},
    ],
    ids=str,
)  # fmt: skip
def test_an_event_that_would_be_read_as_another_fails_its_step(sqlite_url: str, fields: dict[str, Any]) -> None:
    """Recorded, it would keep its stream from being read, or say something else."""
    assert _weighed(sqlite_url, fields) == (Status.COMPENSATED, [], [])


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"what": "a\0b"}, {"grams": 1}, {"tags": ["a", "b"]}, {"tags": ("a",)}, {"by_name": {"1": 1}},
        {"when": datetime(2020, 1, 1, tzinfo=UTC)}, {"when": NAIVE}, {"price": Decimal("1.0")},
        {"grams": None},
    ],
    ids=str,
)  # fmt: skip
def test_evolve_sees_an_event_as_it_will_be_read(url: str, fields: dict[str, Any]) -> None:
    """So a state is the same whether its stream was read or is still in memory."""
    status, recorded, seen = _weighed(url, fields)

    assert status is Status.COMPLETED
    assert seen == recorded
    assert type(seen[0].tags) is tuple


# Results


def _returns(result: Any) -> Any:
    def act(_: int, __: Any) -> Any:
        return None

    act.__annotations__["return"] = result
    saga = Saga("trip", input=int)
    saga.step(name="go", compensable=False)(act)
    return saga.definition.step("go")


@pytest.mark.parametrize(
    ("declared", "given"),
    [
        (str, b"x"),
        (str, datetime(2020, 1, 1, tzinfo=UTC)),
        (str, timedelta(1)),
        (list[str], ["a", b"x"]),
        (dict[str, int], {1: 2}),
        (str | None, Decimal("1.0")),
    ],
)
def test_a_result_that_would_be_read_as_another_value_is_refused(declared: Any, given: Any) -> None:
    """Its compensation would undo something else."""
    with pytest.raises(NotSerialisable, match="read back as another value"):
        _returns(declared).write_result(Direction.FORWARD, given)


@pytest.mark.parametrize(
    ("declared", "given"),
    [
        (str, "x"),
        (tuple[str, ...], ["a"]),
        (set[int], {3, 1, 2}),
        (list[int], {3, 1, 2}),
        (Weighed, {"at": "2020-01-01T00:00:00Z"}),
        (datetime, "2020-01-01T00:00:00+00:00"),
        (dict[str, Any], {"at": datetime(2020, 1, 1, tzinfo=UTC), "of": Decimal(1)}),
        (Any, {1: b"x"}),
        (float, 1),
    ],
)
def test_a_result_of_which_nothing_is_lost_is_kept(declared: Any, given: Any) -> None:
    """Reading may make more of it."""
    step = _returns(declared)

    step.read_result(step.write_result(Direction.FORWARD, given))
