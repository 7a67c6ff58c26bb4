"""Changes within a version: sagas go on with additive ones, and a breaking one is refused by its name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, NotRequired, TypedDict

import msgspec
import psycopg
import pytest

from sagaledger import App, DefinitionChanged, Ledger, Saga, SagaConflict, StepContext
from sagaledger.infrastructure.errors import DamagedLedger
from sagaledger.infrastructure.event_store.start_requests import StartRequest
from sagaledger.infrastructure.ledger.definition_usage import VersionStatus, count_sagas
from sagaledger.infrastructure.ledger.record_verification import verify_definitions

from ..edits import edit
from ..worker.conftest import play, until, worker_on


class Trip(msgspec.Struct):
    """The input, as the first sagas were started with it."""

    city: str
    nights: int


class Journey(msgspec.Struct):
    """The input under another name, with its fields in another order, and one more that may be absent."""

    nights: int
    city: str
    guests: int = 1


class LongJourney(msgspec.Struct):
    """The input again; the new field has become a text."""

    nights: int
    city: str
    guests: str = "1"


class Tour(msgspec.Struct):
    """The input with a field more that is needed."""

    city: str
    nights: int
    guests: int


class Receipt(msgspec.Struct):
    """A result."""

    number: str


class FullReceipt(msgspec.Struct):
    """The result with a field more."""

    number: str
    total: int = 0


def book_trip(input_type: Any, result: Callable[[], Any] = lambda: Receipt("r-1"), *more: str) -> Saga[Any]:
    """A saga that books, waits for a word, and answers with what it knows."""
    saga = Saga("book_trip", input=input_type)

    def book(_trip: Any, _ctx: StepContext) -> Any:
        return result()

    book.__annotations__["return"] = type(result())
    saga.step(compensable=False)(book)
    saga.wait_for("word")

    @saga.step(compensable=False)
    def answer(trip: Any, ctx: StepContext) -> str:
        receipt = ctx.result("book")
        return f"{trip.city}, {getattr(trip, 'guests', 'no')} guests, {getattr(receipt, 'total', 'no')} total"

    for name in more:
        saga.step(name=name, compensable=False)(lambda *_: None)
    return saga


first = book_trip(Trip)


def start(url: str, key: str = "1", saga: Saga[Any] = first, **fields: Any) -> None:
    """Start a saga; no worker takes it."""
    with Ledger.open(url, App(sagas=[saga]), create=True) as ledger:
        ledger.start(saga, {"city": "Rome", "nights": 4, **fields}, key=key)


def begin(url: str, key: str = "1", saga: Saga[Any] = first, **fields: Any) -> None:
    """Start a saga, and let it come as far as it can."""
    start(url, key, saga, **fields)
    with Ledger.open(url, App(sagas=[saga])) as ledger:

        async def scene() -> None:
            async with worker_on(ledger) as worker:
                await worker.idle()

        play(scene())


def finish(url: str, saga: Saga[Any], key: str = "1") -> str:
    """Send the word to a saga, let a worker with this code finish it, and return its result."""
    with Ledger.open(url, App(sagas=[saga])) as ledger:
        ledger.signal(f"book_trip-{key}", "word", actor="ann")

        async def scene() -> str:
            async with worker_on(ledger) as worker:
                result: str = msgspec.json.decode((await worker.outcome(f"book_trip-{key}")).result or b"")
                return result

        return play(scene())


def structures(url: str) -> int:
    """How many structures are on record."""
    with Ledger.open(url) as ledger:
        return len(ledger.backend.structures().get(("book_trip", 1), {}))


def test_a_saga_goes_on_with_an_additive_change(url: str) -> None:
    """Fields that may be absent, of the input and of a result, have their defaults; the ledger verifies."""
    begin(url)
    changed = book_trip(Journey, lambda: FullReceipt("r-2", 7))

    assert finish(url, changed) == "Rome, 1 guests, 0 total"

    begin(url, "2", changed, guests=3)
    assert finish(url, changed, "2") == "Rome, 3 guests, 7 total"
    with Ledger.open(url, App(sagas=[changed])) as ledger:
        assert [version.status for version in count_sagas(ledger.context).versions] == [VersionStatus.REGISTERED]
        assert verify_definitions(ledger.context) == []


@pytest.mark.parametrize(
    ("changed", "guests", "named"),
    [
        (book_trip(Tour), {"guests": 1}, "field 'guests' of the input was added without a default"),
        (book_trip(Trip, lambda: ""), {}, "the result of step 'book' has the type string instead of object"),
        (book_trip(Trip, lambda: Receipt(""), "mail"), {}, "step 'mail' was added"),
    ],
)
def test_a_breaking_change_is_refused_with_what_changed_and_the_remedy(
    sqlite_url: str, changed: Saga[Any], guests: dict[str, Any], named: str
) -> None:
    """When a worker begins, and when a saga starts."""
    start(sqlite_url)
    with Ledger.open(sqlite_url, App(sagas=[changed])) as ledger:

        async def scene() -> None:
            async with worker_on(ledger):
                """It does not come so far."""

        with pytest.raises(DefinitionChanged) as at_work:
            play(scene())
        with pytest.raises(DefinitionChanged) as at_start:
            ledger.start("book_trip", {"city": "Rome", "nights": 4, **guests}, key="2")

    for error in (at_work.value, at_start.value):
        assert named in str(error)
        assert "register the changed one as a new version" in str(error)
        assert [difference.is_breaking for difference in error.differences] == [True]


def test_each_structure_that_was_used_counts(url: str) -> None:
    """Also one that a worker ran without starting a saga: its steps recorded results of its types."""
    begin(url)
    changed = book_trip(Journey)
    assert structures(url) == 1
    finish(url, changed)
    assert structures(url) == 2

    with Ledger.open(url, App(sagas=[book_trip(LongJourney)])) as ledger:
        with pytest.raises(DefinitionChanged, match="field 'guests' of the input has the type string instead of"):
            ledger.start("book_trip", {"city": "Rome", "nights": 4}, key="2")
        assert structures(url) == 2


def test_a_ledger_that_has_fingerprints_alone_compares_these(url: str) -> None:
    """As a ledger of an older version: any change is breaking until the unchanged code has recorded its structure."""
    changed = App(sagas=[book_trip(Journey)])
    start(url)
    edit(url, "DELETE FROM structures")

    with Ledger.open(url, changed) as ledger:
        with pytest.raises(DefinitionChanged, match="its structure changed; register") as refused:
            ledger.start("book_trip", {"city": "Rome", "nights": 4}, key="2")
        assert refused.value.differences == ()
        assert [v.status for v in count_sagas(ledger.context).versions] == [VersionStatus.CHANGED]
    start(url, "3")
    with Ledger.open(url, changed) as ledger:
        ledger.start("book_trip", {"city": "Rome", "nights": 4}, key="2")


def test_a_ledger_without_a_place_for_structures_works_as_it_did(url: str) -> None:
    """Until `init` adds the table; then the structure is recorded when a worker begins."""
    begin(url)
    older = ("DELETE FROM sagaledger_schema WHERE version >= 4", "DELETE FROM sagaledger_schema WHERE version >= 7")
    edit(url, "DROP TABLE structures", older[0] if url.startswith("sqlite") else older[1])

    begin_again = App(sagas=[first])
    with Ledger.open(url, begin_again) as ledger:
        assert ledger.backend.structures() == {}
        assert ledger.start(first, Trip("Oslo", 2), key="2").created
        with pytest.raises(DefinitionChanged):
            ledger.context.definition_versions.check([book_trip(Journey).definition])
    assert finish(url, first) == "Rome, no guests, no total"
    with Ledger.open(url, begin_again, create=True) as ledger:
        assert ledger.backend.structures() == {}
    assert finish(url, first, "2") == "Oslo, no guests, no total"
    assert structures(url) == 1


def test_a_structure_that_was_edited_is_named(url: str) -> None:
    """By what would compare with it, and by `verify`."""
    start(url)
    edit(url, "UPDATE structures SET structure = 'no structure'")

    with Ledger.open(url, App(sagas=[book_trip(Journey)])) as ledger:
        with pytest.raises(DamagedLedger, match="no structure of book_trip version 1"):
            ledger.start("book_trip", {"city": "Rome", "nights": 4}, key="2")
        problems = [problem.problem for problem in verify_definitions(ledger.context)]
    assert len(problems) == 1
    assert "table structures has a structure of book_trip version 1 that is not that of" in problems[0]


def test_the_first_saga_may_be_of_the_later_of_two_structures(url: str) -> None:
    """One program recorded its definition and died; another, which has an addition, started the first saga."""
    with Ledger.open(url, App(sagas=[first]), create=True) as ledger:
        ledger.context.definition_versions.pin_fingerprint(first.definition)
    start(url, "1", book_trip(Journey))

    with Ledger.open(url) as ledger:
        assert verify_definitions(ledger.context) == []
    edit(url, "UPDATE definitions SET fingerprint = 'x'")
    with Ledger.open(url) as ledger:
        assert len(verify_definitions(ledger.context)) == 1


def listed(ledger: Ledger) -> list[StartRequest]:
    """The requests that are open or refused."""
    requests = ledger.backend.start_requests
    assert requests is not None
    return requests.listed(limit=9)


def reasons(ledger: Ledger) -> list[str | None]:
    """Why each of the refused requests was refused."""
    return [request.reason for request in listed(ledger) if request.reason is not None]


def test_a_program_with_the_older_structure_asks_a_worker_with_the_newer_one(postgres_url: str) -> None:
    """Inside a transaction of its own; a worker with a breaking change is not asked, because it does not begin."""
    start(postgres_url)
    with Ledger.open(postgres_url, App(sagas=[first])) as asking, psycopg.connect(postgres_url) as own:
        asking.start_in(own, first, Trip("Oslo", 2), key="asked")

    with Ledger.open(postgres_url, App(sagas=[book_trip(Journey)])) as ledger:

        def refused() -> list[str | None]:
            return reasons(ledger)

        async def scene() -> None:
            async with worker_on(ledger):
                await until(lambda: bool(ledger.backend.stream("book_trip-asked")) or bool(refused()))

        play(scene())
        assert refused() == []
        assert verify_definitions(ledger.context) == []


def test_an_older_structure_is_compared_once(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many requests a program with it writes."""
    start(sqlite_url)
    newer = book_trip(Journey).definition
    with Ledger.open(sqlite_url, App(sagas=[book_trip(Journey)])) as ledger:
        versions, recorded = ledger.context.definition_versions, ledger.backend.structures()
        reads: list[int] = []

        def structures() -> Any:
            reads.append(1)
            return recorded

        monkeypatch.setattr(ledger.backend, "structures", structures)

        assert [versions.accepts(newer, first.definition.fingerprint) for _ in range(3)] == [True] * 3
        assert [versions.accepts(newer, "another") for _ in range(3)] == [False] * 3
        assert len(reads) == 4


def test_a_start_after_an_additive_change_is_the_same_saga(url: str) -> None:
    """An input that was recorded without the field is the one with its default; another value is a conflict."""
    start(url)
    changed = book_trip(Journey)

    with Ledger.open(url, App(sagas=[changed])) as ledger:
        assert not ledger.start(changed, Journey(4, "Rome"), key="1").created
        with pytest.raises(SagaConflict, match="another input"):
            ledger.start(changed, Journey(4, "Rome", 2), key="1")


class Stay(TypedDict):
    """An input whose parts can be written in several ways."""

    tags: set[str]
    until: datetime
    price: float
    day: NotRequired[date]


stay = Saga("stay", input=Stay)
stay.wait_for("word")
STAY = {"tags": {"a", "b", "c"}, "until": datetime(2026, 3, 1, 12, tzinfo=UTC), "price": 2.0}
SAME: list[dict[str, Any]] = [
    {"price": 2, "until": datetime(2026, 3, 1, 13, tzinfo=timezone(timedelta(hours=1))), "tags": {"c", "b", "a"}},
    {"tags": ["b", "a", "c"], "until": "2026-03-01T12:00:00+00:00", "price": 2.0},
    {"tags": ["c", "a", "b"], "until": "2026-03-01T06:00:00.000-06:00", "price": 2},
]
OTHER: list[dict[str, Any]] = [
    {**STAY, "price": 2.5},
    {**STAY, "tags": {"a", "b"}},
    {**STAY, "until": datetime(2026, 3, 1, 13, tzinfo=UTC)},
    {**STAY, "day": "2026-03-01"},
]


def test_the_same_input_in_another_form_is_the_same_saga(url: str) -> None:
    """Sets and objects in another order, times in other zones, whole numbers as floats; and no other value."""
    with Ledger.open(url, App(sagas=[stay]), create=True) as ledger:
        ledger.start(stay, STAY, key="1")

        for value in SAME:
            assert not ledger.start(stay, value, key="1").created
        for value in OTHER:
            with pytest.raises(SagaConflict, match="another input"):
                ledger.start(stay, value, key="1")


def test_a_request_for_the_same_input_in_another_form_is_the_same_saga(postgres_url: str) -> None:
    """In transactions of other programs; a request with another input is refused with the reason."""
    with Ledger.open(postgres_url, App(sagas=[stay]), create=True) as ledger:
        ledger.start(stay, STAY, key="1")
        with psycopg.connect(postgres_url) as own:
            for value in (*SAME, OTHER[0]):
                ledger.start_in(own, stay, value, key="1")

        async def scene() -> list[str | None]:
            async with worker_on(ledger):
                await until(lambda: len(reasons(ledger)) == len(listed(ledger)))
            return reasons(ledger)

        [reason] = play(scene())

    assert reason is not None
    assert "another input" in reason
