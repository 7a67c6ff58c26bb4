"""Steps over a list and conditions, rule by rule: what is decided, and what the events make of the state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from sagaledger.domain.errors import DefinitionError, InvalidInput, RetryAfter, StepRejected
from sagaledger.domain.event import Event
from sagaledger.domain.saga.asking import instead_of
from sagaledger.domain.saga.decide import advance, started
from sagaledger.domain.saga.decision import Attempt
from sagaledger.domain.saga.definition import Definition
from sagaledger.domain.saga.events import (
    COMPENSATION,
    FORWARD,
    Action,
    CancelRequested,
    ConditionNotMet,
    Direction,
    InterventionRequired,
    InterventionResolved,
    ItemsListed,
    SagaStarted,
    StepOutcomeUnknown,
    StepStarted,
    StepSucceeded,
)
from sagaledger.domain.saga.evolve import evolve, fold_all, rebuild
from sagaledger.domain.saga.for_each import ITEMS_BYTES_MAX, ITEMS_MAX, items_of, listed
from sagaledger.domain.saga.item_names import item_name, split_item_name
from sagaledger.domain.saga.outcome import Success, failure_of, orphaned, outcome_event
from sagaledger.domain.saga.payload import PAYLOAD_BYTES_MAX
from sagaledger.domain.saga.replay import replay
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import SagaState, Status
from sagaledger.domain.saga.step_context import SKIPPED, ItemOutcome, StepContext
from sagaledger.domain.saga.step_state import Progress

NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)
ONCE = Retry(attempts=1)
NO = StepRejected("no")
GONE = OSError("gone")


_RUNS: list[Run] = []


@pytest.fixture(autouse=True)
def _every_run_is_one_that_its_definition_leads_to() -> Iterator[None]:
    """A replay of the history of each saga in these tests agrees."""
    _RUNS.clear()
    yield
    for run in _RUNS:
        assert replay(run.definition, run.events, "trip-1") is None


class Run:
    """One saga, decided event by event: a test says how each attempt ends."""

    def __init__(self, saga: Saga[Any]) -> None:
        _RUNS.append(self)
        self.definition: Definition = saga.definition
        self.now = NOON
        self.events: list[Event] = []
        self.state = SagaState("trip-1")
        self.running: dict[str, Attempt] = {}
        self.asked = 0
        self.record(SagaStarted(NOON, "trip", 1, "f", Raw(b"1")))

    def record(self, *events: Event) -> None:
        self.events += events
        for event in events:
            self.state = evolve(self.state, event)
        assert self.state.version == len(self.events)
        if len(self.events) < 30:  # a longer one takes too long
            assert self.state == rebuild("trip-1", self.events)

    def go(self) -> list[str]:
        """Record all that follows; returns the names of the attempts that begin."""
        begun: list[str] = []
        for _ in range(100):
            ahead = advance(self.definition, self.state, self.now)
            self.record(*ahead.events)
            for attempt in ahead.decision.ask:
                self.asked += 1
                found = instead_of(self.definition, self.state, attempt, self.context(attempt), self.now)
                self.record(*found)
                if found:
                    break
            else:
                for attempt in ahead.decision.attempts:
                    self.record(started(self.definition, self.state, attempt, self.now))
                    self.running[attempt.step] = attempt
                    begun.append(attempt.step)
                return begun
        raise AssertionError(f"it does not end: {self.events[-4:]}")

    def ends(self, name: str, outcome: Exception | bytes = b"1") -> list[str]:
        """The attempt that runs at this name ends so; returns the names of the attempts that begin then."""
        attempt = self.running.pop(name)
        step = self.definition.step(name)
        ended = (
            Success(Raw(outcome))
            if isinstance(outcome, bytes)
            else failure_of(outcome, policies=step.policies_of(attempt.direction))
        )
        self.record(outcome_event(self.definition, self.state, attempt, ended, self.now))
        return self.go()

    def person(self, name: str, direction: Direction, action: Action, result: bytes = b"null") -> list[str]:
        """A person decides; returns the names of the attempts that begin then."""
        [waiting] = self.state.interventions
        assert (waiting.step, waiting.direction) == (name, direction)
        self.record(InterventionResolved(self.now, name, direction, action, "ann", "why", Raw(result)))
        return self.go()

    def context(self, attempt: Attempt) -> StepContext:
        return StepContext(
            "trip-1", attempt.step, attempt.direction, attempt.attempt, attempt.key, self.definition.read_result,
            self.state.steps, self.state.items,
        )  # fmt: skip

    def progress(self, name: str, direction: Direction = FORWARD) -> Progress:
        return self.state.progress_of(name, direction).progress

    def later(self) -> list[str]:
        """The time comes at which the next attempts are due."""
        self.now += timedelta(minutes=1)
        return self.go()


def _trip(
    size: int,
    *,
    parallel: int = 2,
    on_failure: str = "compensate",
    retry: Retry = ONCE,
    undo_retry: Retry = ONCE,
    past_pivot: bool = False,
    last: bool = False,
    **options: Any,
) -> Saga[int]:
    trip = Saga("trip", input=int)
    if past_pivot:
        trip.step(name="pay", pivot=True)(lambda *_: None)
    book = trip.for_each(
        name="book", items=lambda *_: range(size), parallel=parallel, on_failure=on_failure, retry=retry, **options
    )(lambda *_: None)
    if not past_pivot:
        book.compensation(lambda *_: None, retry=undo_retry)
    if last:
        trip.step(name="last", compensable=False, retry=ONCE)(lambda *_: None)
    return trip


def _items(*indexes: int) -> list[str]:
    return [item_name("book", index) for index in indexes]


def _all_succeed(run: Run, first: list[str]) -> list[str]:
    """Every item succeeds, one after the other; returns what begins after the list."""
    begun = first
    while begun and split_item_name(begun[0]):
        begun = [name for each in begun for name in run.ends(each)]
    return begun


def test_items_start_in_order_and_no_more_at_once_than_may() -> None:
    """One that is to be tried again is under way; where one ends the next begins, and the step ends with the last."""
    run = Run(_trip(5, retry=Retry(attempts=2, backoff_seconds=1.0)))

    assert run.go() == _items(0, 1)
    assert run.state.status is Status.RUNNING
    assert {name for name, _ in run.state.in_flight} == {*_items(0, 1)}
    assert run.ends("book[1]") == _items(2)
    assert run.ends("book[0]", GONE) == []
    assert run.ends("book[2]", GONE) == []
    assert run.state.status is Status.WAITING
    assert run.later() == _items(0, 2)
    assert run.ends("book[2]") == _items(3)
    assert run.ends("book[0]") == _items(4)
    assert run.ends("book[3]") == []
    assert run.progress("book") is Progress.WAITING
    assert run.ends("book[4]") == []
    assert run.state.status is Status.COMPLETED
    assert run.asked == 1


@pytest.mark.parametrize(("parallel", "size"), [(1, 130), (3, 66), (80, 70)])
def test_what_happened_is_undone_from_the_last_item_to_the_first(parallel: int, size: int) -> None:
    """However many there are, as many at once as were made at once."""
    run = Run(_trip(size, parallel=parallel, last=True))
    assert _all_succeed(run, run.go()) == ["last"]

    undone = run.ends("last", NO)
    assert len(undone) == min(parallel, size)
    for each in undone:
        undone += run.ends(each)

    assert undone == [*reversed(_items(*range(size)))]
    assert run.state.status is Status.COMPENSATED
    items = run.state.items["book"]
    assert (items.ended, items.started, len(items.open)) == (size, size, 0)


def test_only_items_that_may_have_happened_are_undone() -> None:
    """One that was refused is not, one in doubt is; what still runs ends before, and no other begins."""
    run = Run(_trip(9, parallel=4))
    assert run.go() == _items(0, 1, 2, 3)
    assert run.ends("book[0]") == _items(4)

    assert run.ends("book[2]", NO) == []
    assert run.progress("book") is Progress.FAILED
    assert run.ends("book[1]", GONE) == []
    assert run.ends("book[4]", NO) == []
    begun = run.ends("book[3]")

    assert begun == _items(3, 1, 0)
    for each in begun:
        run.ends(each)
    assert run.state.status is Status.COMPENSATED
    assert run.state.cause == "step book failed (ItemsFailed)"
    error = run.state.step("book").forward.error
    assert error is not None
    assert error.message == "item book[2] failed"


def test_a_failed_list_that_did_nothing_has_nothing_to_undo() -> None:
    """That an item failed is no doubt about the step itself."""
    run = Run(_trip(1))
    run.go()

    assert run.ends("book[0]", NO) == []
    assert run.state.status is Status.COMPENSATED
    assert not run.state.step("book").forward.possibly_executed


@pytest.mark.parametrize("action", [Action.RETRY, Action.SKIP])
def test_a_person_decides_about_the_compensation_of_an_item(action: Action) -> None:
    """Others that are under way end; then nothing begins until the person has decided, and it is undone once."""
    run = Run(_trip(70, parallel=2, last=True))
    _all_succeed(run, run.go())
    assert run.ends("last", NO) == _items(69, 68)

    assert run.ends("book[69]", GONE) == []
    assert [(i.step, i.direction) for i in run.state.interventions] == [("book[69]", COMPENSATION)]
    assert run.ends("book[68]") == []
    begun = run.person("book[69]", COMPENSATION, action)

    assert begun == (_items(69, 67) if action is Action.RETRY else _items(67, 66))
    undone = list(begun)
    for each in undone:
        undone += run.ends(each)
    assert undone == [*begun[:1], *reversed(_items(*range(int(begun[1][5:-1]) + 1)))]
    assert run.state.status is Status.COMPENSATED


def test_a_compensation_that_waits_for_its_next_attempt_keeps_its_place() -> None:
    """No more compensations are under way than may be."""
    run = Run(_trip(4, parallel=2, last=True, undo_retry=Retry(attempts=3, backoff_seconds=1.0)))
    _all_succeed(run, run.go())
    assert run.ends("last", NO) == _items(3, 2)

    assert run.ends("book[3]", GONE) == []
    assert run.ends("book[2]") == _items(1)
    assert run.ends("book[1]", GONE) == []
    assert run.later() == _items(3, 1)
    assert run.ends("book[1]") == _items(0)
    assert run.state.status is Status.COMPENSATING


def test_collected_failures_are_counted_and_undone_only_with_the_saga() -> None:
    """An item that failed in doubt is owed a compensation, one that was refused is not."""
    run = Run(_trip(4, on_failure="collect", last=True))
    run.go()

    run.ends("book[0]", GONE)
    run.ends("book[1]", NO)
    run.ends("book[2]", b'"seat"')
    assert run.ends("book[3]") == ["last"]
    assert bytes(run.state.step("book").forward.result or b"") == b'{"items":4,"failed":2,"skipped":0}'
    outcomes = run.context(run.running["last"]).outcomes("book")
    assert [(each.result, each.error and each.error.type) for each in outcomes] == [
        (None, "OSError"), (None, "StepRejected"), ("seat", None), (1, None),
    ]  # fmt: skip

    assert run.ends("last", NO) == _items(3, 2)
    assert run.ends("book[3]") == _items(0)
    run.ends("book[2]")
    run.ends("book[0]")
    assert run.state.status is Status.COMPENSATED


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (Action.RETRY, ItemOutcome(1, None)),
        (Action.RESOLVE, ItemOutcome("by hand", None)),
        (Action.SKIP, None),
    ],
)
def test_past_the_pivot_a_person_decides_about_the_item_that_failed(
    action: Action, expected: ItemOutcome | None
) -> None:
    """The others go on after that, and later steps see what became of it."""
    run = Run(_trip(4, past_pivot=True, last=True))
    run.go()
    assert run.ends("pay") == _items(0, 1)

    assert run.ends("book[1]", GONE) == []
    assert run.ends("book[0]") == []
    assert run.state.interventions[0].cause == "step book[1] gave up after attempt 1 (OSError)"
    begun = run.person("book[1]", FORWARD, action, b'"by hand"' if action is Action.RESOLVE else b"null")

    assert begun == (_items(1, 2) if action is Action.RETRY else _items(2, 3))
    assert _all_succeed(run, begun) == ["last"]
    context = run.context(run.running["last"])
    outcome = context.outcomes("book")[1]
    assert context.result("book")[1] == outcome.result
    if expected is None:
        assert (outcome.result, outcome.error and outcome.error.type) == (None, "OSError")
    else:
        assert outcome == expected
    skipped = 1 if action is Action.SKIP else 0
    assert bytes(run.state.step("book").forward.result or b"") == b'{"items":4,"failed":0,"skipped":%d}' % skipped


def test_a_person_who_retries_an_item_gives_it_all_of_its_attempts_again() -> None:
    """As with a step."""
    run = Run(_trip(1, past_pivot=True, retry=Retry(attempts=2, backoff_seconds=1.0)))
    run.go()
    run.ends("pay")
    run.ends("book[0]", GONE)
    assert run.later() == _items(0)
    run.ends("book[0]", GONE)

    assert run.person("book[0]", FORWARD, Action.RETRY) == _items(0)
    assert run.ends("book[0]", GONE) == []
    assert run.later() == _items(0)


def test_of_several_items_that_failed_the_first_is_decided_first() -> None:
    """In either direction, however their outcomes came."""
    run = Run(_trip(2, past_pivot=True))
    run.go()
    run.ends("pay")
    failed = [
        outcome_event(run.definition, run.state, run.running[item], failure_of(NO), NOON) for item in _items(1, 0)
    ]
    run.record(*failed)
    assert run.go() == []
    run.person("book[0]", FORWARD, Action.SKIP)
    assert [(i.step, i.direction) for i in run.state.interventions] == [("book[1]", FORWARD)]

    run = Run(_trip(2, last=True))
    _all_succeed(run, run.go())
    run.ends("last", NO)
    failed = [
        outcome_event(run.definition, run.state, run.running[item], failure_of(NO), NOON) for item in _items(1, 0)
    ]
    run.record(*failed)
    assert run.go() == []
    assert [(i.step, i.direction) for i in run.state.interventions] == [("book[0]", COMPENSATION)]


def test_an_abandoned_saga_with_open_items_has_ended() -> None:
    """Nothing more begins, also when an attempt that still runs has its outcome."""
    run = Run(_trip(4, past_pivot=True))
    run.go()
    run.ends("pay")
    run.ends("book[0]", GONE)

    assert run.person("book[0]", FORWARD, Action.ABANDON) == []
    assert run.ends("book[1]") == []
    assert run.state.status is Status.ABANDONED


def test_a_list_that_a_person_retries_keeps_its_items() -> None:
    """The code that makes them is not asked again: they are on record, and some may have happened."""
    run = Run(_trip(3))
    run.go()
    run.record(InterventionRequired(NOON, "book", FORWARD, "an event cannot be read"))
    values = run.state.items["book"].values

    assert run.ends("book[0]") == []
    assert run.person("book", FORWARD, Action.RETRY) == _items(2)
    assert run.ends("book[1]") == []
    assert run.ends("book[2]") == []
    assert run.state.status is Status.COMPLETED
    assert run.state.items["book"].values == values
    assert len([event for event in run.events if isinstance(event, ItemsListed)]) == 1


@pytest.mark.parametrize("collect", [False, True])
@pytest.mark.parametrize("action", [Action.RETRY, Action.RESOLVE, Action.SKIP])
def test_a_person_decides_about_an_item_of_a_worker_that_died_before_the_saga_was_parked(
    action: Action, collect: bool
) -> None:
    """The item counts once, whatever it counted as before, and is undone, because it may have happened."""
    run = Run(_trip(3, parallel=1, on_failure="collect" if collect else "compensate", last=True))
    _RUNS.remove(run)  # no definition decides that a saga is parked
    run.go()
    run.record(
        StepOutcomeUnknown(NOON, "book[0]", 1, FORWARD), InterventionRequired(NOON, "book[0]", FORWARD, "parked")
    )
    run.running.clear()

    begun = run.person("book[0]", FORWARD, action)

    assert begun == (_items(0) if action is Action.RETRY else _items(1))
    assert _all_succeed(run, begun) == ["last"]
    items = run.state.items["book"]
    assert (items.ended, items.started, len(items.open)) == (3, 3, 0)
    undone = run.ends("last", NO)
    for each in undone:
        undone += run.ends(each)
    assert undone == _items(2, 1, 0)
    assert run.state.status is Status.COMPENSATED


@pytest.mark.parametrize("collect", [False, True])
@pytest.mark.parametrize("on_unknown", ["retry", "compensate"])
def test_items_of_a_worker_that_died_are_in_doubt(on_unknown: str, collect: bool) -> None:
    """They are tried again, or given up; then they count as failed, and are undone if the saga is."""
    run = Run(_trip(3, on_unknown=on_unknown, on_failure="collect" if collect else "compensate", last=True))
    run.go()

    run.record(*orphaned(run.definition, run.state, "w", NOON))
    run.running.clear()

    begun = run.go()
    if on_unknown == "retry":
        assert begun == _items(0, 1)
        assert run.running["book[0]"].attempt == 2
    elif collect:
        assert begun == _items(2)
        assert run.ends("book[2]") == ["last"]
        assert run.ends("last", NO) == _items(2, 1)
    else:
        assert begun == _items(1, 0)


def test_cancelling_lets_the_items_that_run_end_and_undoes_them() -> None:
    """One that waits for its next attempt gets none, and is undone because it may have happened."""
    run = Run(_trip(5, parallel=3, retry=Retry(attempts=3, backoff_seconds=1.0)))
    run.go()
    run.ends("book[0]", GONE)
    assert run.ends("book[1]") == _items(3)

    run.record(CancelRequested(NOON, "ann", "why"))
    assert run.go() == []
    assert advance(run.definition, run.state, NOON).decision.unwanted == (*_items(2, 3),)
    assert run.ends("book[3]", GONE) == []
    assert run.ends("book[2]", GONE) == _items(3, 2, 1)
    assert set(run.state.in_flight) == {(name, COMPENSATION) for name in _items(1, 2, 3)}
    assert run.ends("book[1]") == _items(0)


def test_a_step_beside_a_list_ends_before_anything_is_undone() -> None:
    """As its items do."""
    trip = _trip(1)
    trip.step(name="beside", after=[], compensable=False)(lambda *_: None)
    run = Run(trip)
    run.go()

    run.record(CancelRequested(NOON, "ann", "why"))
    assert run.go() == []
    assert set(advance(run.definition, run.state, NOON).decision.unwanted) == {"book[0]", "beside"}
    assert run.ends("beside") == []
    assert run.ends("book[0]") == ["book[0]"]


def test_the_first_compensation_of_an_item_turns_the_saga_back_whatever_else_is_known() -> None:
    """A view that has only a part of the events must say so, too."""
    run = Run(_trip(2))
    run.go()
    run.ends("book[0]")
    state = run.state

    step = next(iter(run.running.values()))
    undoing = fold_all(state, [started(run.definition, state, Attempt("book[0]", COMPENSATION, 1, step.key), NOON)])

    assert not state.compensating
    assert undoing.compensating
    assert undoing.status is Status.COMPENSATING
    assert evolve(undoing, StepSucceeded(NOON, "book[1]", 1, Raw(b"1"))).compensating


def test_the_values_of_items_count_for_the_size_of_a_saga() -> None:
    """Their results do, too."""
    run = Run(_trip(3))
    run.go()
    before = run.state.size_bytes

    run.ends("book[0]", b'"' + b"x" * 98 + b'"')

    assert before == len(b"1") + 3
    assert run.state.size_bytes == before + 100


def test_the_list_of_items_is_cut_into_events_of_a_bounded_size() -> None:
    """The events hold every item once, in order, and each says whether failures are collected."""
    trip = _trip(1, on_failure="collect")
    sizes = [PAYLOAD_BYTES_MAX, 10, PAYLOAD_BYTES_MAX - 11, 5, PAYLOAD_BYTES_MAX // 2, PAYLOAD_BYTES_MAX // 2]
    items = [Raw(msgspec.json.encode("x" * (size - 2))) for size in sizes]

    start, *parts = listed(trip.definition.steps[0], items, Attempt("book", FORWARD, 1, "k"), NOON)

    assert isinstance(start, StepStarted)
    listings = [part for part in parts if isinstance(part, ItemsListed)]
    assert [(each.first, len(each.items), each.total, each.collect) for each in listings] == [
        (0, 1, 6, True), (1, 1, 6, True), (2, 2, 6, True), (4, 1, 6, True), (5, 1, 6, True),
    ]  # fmt: skip
    for each in listings[1:]:
        assert sum(len(item) + 1 for item in each.items) <= PAYLOAD_BYTES_MAX
    state = fold_all(SagaState("trip-1"), [SagaStarted(NOON, "trip", 1, "f", Raw(b"1")), start, *parts])
    assert [*state.items["book"].values] == items
    assert state.items["book"].collect


@pytest.mark.parametrize(
    ("items", "text"),
    [
        (lambda *_: count(), "step 'book' has more than the 10,000 items that it may have"),
        (lambda *_: range(ITEMS_MAX + 1), "step 'book' has more than the 10,000 items that it may have"),
        (lambda *_: "abc", "the items of step 'book' are a str: return a list"),
        (lambda *_: b"abc", "the items of step 'book' are a bytes: return a list"),
        (lambda *_: ["x" * 100_000] * (ITEMS_BYTES_MAX // 100_000 + 1), "more than the 8,388,608 bytes"),
    ],
    ids=["endless", "too many", "text", "bytes", "too large"],
)
def test_what_is_no_list_of_items_is_refused(items: Callable[..., Any], text: str) -> None:
    """Before anything is kept of it."""
    trip = Saga("trip", input=int)
    book = trip.for_each(name="book", items=items, compensable=False)(lambda *_: None)

    with pytest.raises(InvalidInput, match=text):
        items_of(book, 1, StepContext.for_test())


def test_as_many_items_as_may_be_are_taken() -> None:
    """From anything that can be iterated."""
    trip = Saga("trip", input=int)
    book = trip.for_each(name="book", items=lambda *_: iter(range(ITEMS_MAX)), compensable=False)(lambda *_: None)

    assert len(items_of(book, 1, StepContext.for_test())) == ITEMS_MAX


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("book[0]", ("book", 0)),
        ("book[9999]", ("book", 9999)),
        ("a[1][2]", ("a[1]", 2)),
        ("book", None),
        ("book[]", None),
        ("book[01]", None),
        ("book[-1]", None),
        ("book[1] ", None),
        ("[1]", None),
        ("book[" + "9" * 5_000 + "]", None),
    ],
)
def test_the_name_of_an_item_is_read_back(name: str, parts: tuple[str, int] | None) -> None:
    """And no other name is taken for one."""
    assert split_item_name(name) == parts
    assert parts is None or item_name(*parts) == name


def test_a_step_may_not_be_named_like_an_item() -> None:
    """Of a step over a list; beside any other step it may, and is a step of its own."""
    trip = _trip(1)
    trip.step(name="book[7]", compensable=False)(lambda *_: None)
    with pytest.raises(DefinitionError, match=r"'book\[7\]' is the name of an item of 'book': rename it"):
        _ = trip.definition

    other = Saga("other", input=int)
    other.step(name="book", compensable=False)(lambda *_: None)
    other.step(name="book[7]", compensable=False)(lambda *_: None)
    assert other.definition.step("book[7]").name == "book[7]"
    with pytest.raises(DefinitionError, match=r"has no step 'book\[8\]'"):
        other.definition.step("book[8]")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"parallel": 0}, "parallel=0"),
        ({"parallel": True}, "parallel=True"),
        ({"parallel": 2.0}, r"parallel=2\.0"),
        ({"on_failure": "stop"}, "on_failure='stop'"),
        ({"items": lambda _: []}, "items"),
        ({"items": 5}, "items"),
    ],
)
def test_a_list_that_cannot_work_is_refused_where_it_is_declared(options: dict[str, Any], text: str) -> None:
    """With what to change."""
    with pytest.raises(DefinitionError, match=text):
        Saga("trip", input=int).for_each(**{"items": lambda *_: [], **options})


def test_functions_that_are_asked_must_be_plain() -> None:
    """Nothing awaits them; and a pivot cannot be left out."""

    async def later(_: int, __: StepContext) -> Any: ...

    trip = Saga("trip", input=int)
    with pytest.raises(DefinitionError, match="items"):
        trip.for_each(items=later)
    with pytest.raises(DefinitionError, match="when"):
        trip.step(name="a", when=later)(lambda *_: None)
    with pytest.raises(DefinitionError, match="pivot and has a condition"):
        trip.step(name="a", pivot=True, when=lambda *_: True)(lambda *_: None)


def test_what_a_list_and_a_condition_change_in_the_structure_changes_the_fingerprint() -> None:
    """Not how many items run at once, and not what a condition says."""

    def of(**options: Any) -> str:
        return _trip(1, **options).definition.fingerprint

    def when(condition: Callable[..., bool] | None) -> str:
        trip = Saga("trip", input=int)
        trip.step(name="a", compensable=False, when=condition)(lambda *_: None)
        return trip.definition.fingerprint

    def item(type_: Any) -> str:
        def book(item: Any, _: StepContext) -> None: ...

        book.__annotations__["item"] = type_
        trip = Saga("trip", input=int)
        trip.for_each(items=lambda *_: [], name="book", compensable=False)(book)
        return trip.definition.fingerprint

    assert of() == of(parallel=7)
    assert of() != of(on_failure="collect")
    assert item(int) != item(str)
    assert when(None) != when(lambda *_: True)
    assert when(lambda *_: False) == when(lambda *_: True)


class Answers:
    """A condition that gives these answers, and counts how often it is asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers: Iterator[Any] = iter(answers)
        self.count = 0

    def __call__(self, _: int, __: StepContext) -> Any:
        self.count += 1
        answer = next(self.answers)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def _conditional(when: Answers, **options: Any) -> Saga[int]:
    trip = Saga("trip", input=int)
    trip.step(name="wrap", when=when, **options)(lambda *_: None).compensation(lambda *_: None)
    trip.step(name="last", compensable=False, retry=ONCE)(lambda *_: None)
    return trip


def test_a_condition_is_asked_before_the_first_attempt_alone() -> None:
    """Not before another attempt, not after a worker died, and not before a compensation."""
    when = Answers(True)
    run = Run(_conditional(when, retry=Retry(attempts=3, backoff_seconds=1.0)))

    assert run.go() == ["wrap"]
    assert run.ends("wrap", GONE) == []
    assert run.later() == ["wrap"]
    run.record(*orphaned(run.definition, run.state, "w", run.now))
    assert run.go() == ["wrap"]
    assert run.ends("wrap") == ["last"]
    assert run.ends("last", NO) == ["wrap"]
    assert when.count == 1


def test_a_retry_that_a_person_decides_asks_again_only_if_nothing_may_have_happened() -> None:
    """A condition that failed is asked again; a step that may have been made is made whatever its condition says."""
    when = Answers(KeyError("x"), True)
    trip = Saga("trip", input=int)
    trip.step(name="pay", pivot=True)(lambda *_: None)
    trip.step(name="wrap", when=when, retry=ONCE)(lambda *_: None)
    run = Run(trip)
    run.go()

    assert run.ends("pay") == []
    assert run.person("wrap", FORWARD, Action.RETRY) == ["wrap"]
    assert run.ends("wrap", GONE) == []
    assert run.person("wrap", FORWARD, Action.RETRY) == ["wrap"]
    assert when.count == 2


def test_an_attempt_that_did_nothing_is_no_reason_to_ask_again() -> None:
    """The step has started: its condition was true."""
    when = Answers(True)
    run = Run(_conditional(when, retry=Retry(attempts=2)))
    run.go()

    assert run.ends("wrap", RetryAfter(1, nothing_happened=True)) == []
    assert run.later() == ["wrap"]
    assert when.count == 1


def test_a_condition_that_is_false_when_it_is_asked_again_leaves_no_attempt() -> None:
    """Later steps see that the step was left out, and not that its result is unknown."""
    trip = Saga("trip", input=int)
    trip.step(name="pay", pivot=True)(lambda *_: None)
    trip.step(name="wrap", when=Answers(KeyError("x"), False))(lambda *_: None)
    trip.step(name="last")(lambda *_: None)
    run = Run(trip)
    run.go()
    run.ends("pay")

    assert run.person("wrap", FORWARD, Action.RETRY) == ["last"]
    assert run.context(run.running["last"]).result("wrap") is SKIPPED


def test_a_step_whose_condition_is_false_counts_as_done_and_is_never_undone() -> None:
    """Its result is `SKIPPED`, which a step that a person skipped does not have."""
    run = Run(_conditional(Answers(False)))

    assert run.go() == ["last"]
    assert run.context(run.running["last"]).result("wrap") is SKIPPED
    assert run.progress("wrap") is Progress.SKIPPED
    assert run.ends("last", NO) == []
    assert run.state.status is Status.COMPENSATED
    assert isinstance(run.events[1], ConditionNotMet)


def test_a_step_that_a_person_skipped_has_no_result() -> None:
    """It may have happened."""
    trip = Saga("trip", input=int)
    trip.step(name="pay", pivot=True)(lambda *_: None)
    trip.step(name="wrap", retry=ONCE)(lambda *_: None)
    trip.step(name="last")(lambda *_: None)
    run = Run(trip)
    run.go()
    run.ends("pay")
    run.ends("wrap", GONE)

    assert run.person("wrap", FORWARD, Action.SKIP) == ["last"]
    assert run.context(run.running["last"]).result("wrap") is None


@pytest.mark.parametrize("answer", [None, 1, "yes", [], ConnectionError("x"), StepRejected("x"), MemoryError()])
def test_a_condition_without_an_answer_fails_the_step_for_good(answer: Any) -> None:
    """It has no effect, whatever was raised."""
    run = Run(_conditional(Answers(answer)))

    assert run.go() == []
    assert run.state.status is Status.COMPENSATED
    failed = run.state.step("wrap").forward
    assert (failed.progress, failed.attempt, failed.possibly_executed) == (Progress.FAILED, 1, False)


def test_an_interrupted_condition_says_nothing_about_the_step() -> None:
    """It is asked again by the next worker."""
    with pytest.raises(KeyboardInterrupt):
        Run(_conditional(Answers(KeyboardInterrupt()))).go()


def test_the_results_of_a_list_that_was_never_made_are_an_empty_list() -> None:
    """A step beside it that asks for them can be written for a list."""
    trip = Saga("trip", input=int)
    book = trip.for_each(items=lambda *_: [], name="book", compensable=False)(lambda *_: None)

    assert StepContext.for_test().result(book) == []
    assert StepContext.for_test(results={book: [1]}).result(book) == [1]


def test_each_compensation_finds_the_result_of_its_item() -> None:
    """Not that of another item, and none of one in doubt."""
    run = Run(_trip(3, last=True, parallel=3))
    run.go()
    run.ends("book[0]", b'"a"')
    run.ends("book[1]", b'"b"')
    run.ends("book[2]", b'"c"')
    assert run.ends("last", NO) == _items(2, 1, 0)

    assert [run.context(attempt).own_result for attempt in run.running.values()] == ["c", "b", "a"]
    assert [run.definition.read_argument(run.state, name) for name in run.running] == [2, 1, 0]


def test_a_step_that_is_named_like_an_item_has_its_own_result_beside_a_list() -> None:
    """And its own progress."""
    trip = _trip(1)
    trip.step(name="hotel[0]", after=[])(lambda *_: None).compensation(lambda *_: None)
    trip.step(name="last", after=["book", "hotel[0]"], compensable=False)(lambda *_: None)
    run = Run(trip)
    run.go()
    run.ends("book[0]")
    assert run.ends("hotel[0]", b'"room"') == ["last"]

    assert set(run.ends("last", NO)) == {"hotel[0]", "book[0]"}
    context = run.context(run.running["hotel[0]"])
    assert (context.own_result, context.last_progress) == ("room", None)


def test_a_success_is_that_of_an_item_of_a_list_alone() -> None:
    """Without a list, a step may have the name of an item."""
    events = [StepStarted(NOON, "a[0]", 1, "k"), StepSucceeded(NOON, "a[0]", 1, Raw(b"1"))]

    state = rebuild("any-1", events)

    assert not state.items
    assert state.step("a[0]").forward.progress is Progress.DONE
