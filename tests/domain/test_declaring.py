"""Functions, names and durations of a definition work as declared, or are refused when they are declared."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Never

import pytest

from sagaledger import rehearse
from sagaledger.domain.errors import DefinitionError, StepRejected
from sagaledger.domain.event import Event, event
from sagaledger.domain.participant import Command, Participant
from sagaledger.domain.saga.duration import LATEST, SECONDS_MAX, instant_after
from sagaledger.domain.saga.retry_policy import DELAY_SECONDS_MAX, Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.state import Status
from sagaledger.domain.saga.step_kind import saga_id_of, sub_saga_key
from sagaledger.infrastructure.event_store.stream_id import check_stream_id
from sagaledger.infrastructure.ledger.saga_start import SagaStart

NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)
NAN, INF = float("nan"), float("inf")
PARTS: dict[str, Any] = {
    "initial": 0,
    "state_type": int,
    "events": [],
    "commands": {},
    "decide": lambda *_: [],
    "evolve": lambda state, _: state,
}
"""What a participant has besides its category."""


async def charge(client: str, _: int, __: Any) -> str:
    """An action with a client before its arguments."""
    return f"by {client}"


def charge_now(client: str, _: int, __: Any) -> str:
    """The same, not async."""
    return f"by {client}"


class Charge:
    """A callable object, async."""

    async def __call__(self, _: int, __: Any) -> str:
        return "by it"


class ChargeNow:
    """The same, not async."""

    def __call__(self, _: int, __: Any) -> str:
        return "by it"

    def method(self, _: int, __: Any) -> str:
        return "by it"


async def in_future(_: int, __: Any) -> str:
    """Awaited below."""
    return "by it"


def promised(_: int, __: Any) -> Awaitable[str]:
    """Not a coroutine function, and returns what is awaited."""
    return in_future(1, None)


def promised_too(_: int, __: Any) -> Coroutine[Any, Any, str]:
    """The same, annotated exactly."""
    return in_future(1, None)


@functools.wraps(in_future)
def wrapped(*args: Any) -> Any:
    """A decorator's function."""
    return in_future(*args)


def never(_: int, __: Any) -> Never:
    """Never returns, so that any result type would do."""
    raise OSError("away")


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (functools.partial(charge, "acme"), "charge"),
        (functools.partial(functools.partial(charge_now, "acme")), "charge_now"),
        (Charge(), None),
        (functools.partial(ChargeNow()), None),
        (ChargeNow().method, "method"),
        (promised, "promised"),
        (promised_too, "promised_too"),
        (wrapped, "in_future"),
    ],
)
def test_any_callable_is_an_action_and_a_compensation(function: Callable[..., Any], name: str | None) -> None:
    """It takes its name from its function; an object needs one that is given."""
    saga = Saga("trip", input=int)
    if name is None:
        with pytest.raises(DefinitionError, match="has no name of its own: give it one with `name=`"):
            saga.step(compensable=False)(function)
    step = saga.step(name=None if name else "pay", compensable=False)(function)

    assert step.name == (name or "pay")
    run = rehearse(saga, 1)
    assert run.state.status is Status.COMPLETED
    assert bytes(run.state.result or b"").startswith(b'"by ')


@pytest.mark.parametrize("undo", [functools.partial(charge, "acme"), functools.partial(charge_now, "acme")])
def test_so_is_a_compensation(undo: Callable[..., Any]) -> None:
    """With three arguments."""
    saga = Saga("trip", input=int)
    saga.step(name="pay")(lambda *_: None).compensation(functools.partial(undo_with, undo))
    saga.step(name="refuse", compensable=False)(never)

    assert rehearse(saga, 1).state.status is Status.COMPENSATED


async def undo_with(undo: Callable[..., Any], value: int, _: Any, ctx: Any) -> None:
    """A compensation with one more argument."""
    outcome = undo(value, ctx)
    if not isinstance(outcome, str):
        await outcome


def yields(_: int, __: Any) -> Iterator[int]:
    """A generator."""
    yield 1


async def yields_later(_: int, __: Any) -> AsyncIterator[int]:
    """An async generator."""
    yield 1


def unreadable(_: int, __: Any) -> "list[":  # type: ignore[syntax]  # noqa: F722 -- the point of it
    """An annotation that is no type."""


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (42, "must be a function of input, context, and is an object of type int"),
        (None, "must be a function"),
        (lambda: 1, "must take 2 arguments"),
        (functools.partial(charge_now, "a", 1), "must take 2 arguments"),
        (yields, "yields"),
        (yields_later, "yields"),
        (functools.partial(yields), "yields"),
    ],
)
def test_what_cannot_be_an_action_is_refused(function: Any, says: str) -> None:
    """With what to change."""
    with pytest.raises(DefinitionError, match=says):
        Saga("trip", input=int).step(name="pay")(function)


def test_an_annotation_that_cannot_be_read_is_refused() -> None:
    """When the saga is sealed."""
    saga = Saga("trip", input=int)
    saga.step(name="pay", compensable=False)(unreadable)

    with pytest.raises(DefinitionError, match="the result of step 'pay' has an annotation that cannot be read"):
        _ = saga.definition


@pytest.mark.parametrize("function", [functools.partial(charge, "acme"), Charge(), in_future, yields_later])
def test_a_local_step_or_a_hook_that_is_async_is_refused(function: Any) -> None:
    """Nothing would await it."""
    saga = Saga("trip", input=int)
    with pytest.raises(DefinitionError, match="is async: it only returns commands"):
        saga.local_step(name="reserve")(function)
    with pytest.raises(DefinitionError, match="on_compensated is async"):
        saga.on_compensated(function)
    with pytest.raises(DefinitionError, match="on_started must take 1 arguments"):
        saga.on_started(function)


# Names


@pytest.mark.parametrize("name", ["a\nb", "a\x00", "\ud800", "x" * 201])
def test_a_name_that_not_everything_can_hold_is_refused(name: str) -> None:
    """It is part of ids, of every event of a step, and of views."""
    saga = Saga("trip", input=int)
    with pytest.raises(DefinitionError, match="name"):
        Saga(name, input=int)
    with pytest.raises(DefinitionError, match="name of 1 to 200 printable characters"):
        saga.step(name=name, compensable=False)(never)
    with pytest.raises(DefinitionError, match="name of 1 to 200 printable characters"):
        saga.wait_for("it", signal=name)
    with pytest.raises(DefinitionError, match="name of 1 to 200 printable characters"):
        saga.sleep(name, seconds=1)


@event("Told")
class Told(Event, frozen=True):
    """Somebody was told."""


class Tell(Command, frozen=True):
    """Tell somebody."""


PEOPLE = Participant(
    "people",
    initial=0,
    state_type=int,
    events=[Told],
    commands={Tell: lambda _: "all"},
    decide=lambda _, __, at: [Told(at)],
    evolve=lambda state, _: state + 1,
)


@pytest.mark.parametrize("hook", ["on_completed", "on_compensated"])
@pytest.mark.parametrize("taken", [0, 1, 2])
@pytest.mark.parametrize("fails", [False, True])
def test_a_step_may_have_the_name_of_a_hook(hook: str, taken: int, fails: bool) -> None:
    """The hook's commands are decided all the same, and its failure has a name of its own."""
    names = [hook + "()" * number for number in range(taken)]
    saga = Saga("trip", input=int)
    for name in names:
        saga.step(name=name, compensable=False)(lambda *_: None)

    @saga.step(compensable=False)
    def last(_: int, __: Any) -> None:
        if hook == "on_compensated":
            raise StepRejected("no")

    def tell(_: int, __: str = "") -> Iterator[Command]:
        if fails:
            raise OSError("away")
        yield Tell()

    getattr(saga, hook)(tell)

    run = rehearse(saga, 1, participants=[PEOPLE])

    assert [stream_id for stream_id, _ in run.participant_events] == ([] if fails else ["people-all"])
    [intervention] = run.state.interventions if fails else [None]
    if intervention is not None:
        assert intervention.step not in [*names, "last"]
        assert intervention.step == hook + "()" * taken


def test_a_local_step_may_yield_its_commands() -> None:
    """All of them are decided."""
    saga = Saga("trip", input=int)

    @saga.local_step(compensable=False)
    def tell(_: int, __: Any) -> Iterator[Command]:
        yield from (Tell(), Tell())

    assert len(rehearse(saga, 1, participants=[PEOPLE]).participant_events) == 2


# Durations

BAD = [NAN, INF, -INF, -1.0, SECONDS_MAX * 1.01, 1e300, 10**400, "5", timedelta(1), True]


@pytest.mark.parametrize("seconds", [*BAD, 0])
def test_a_duration_that_no_calendar_holds_is_refused(seconds: Any) -> None:
    """Wherever one is declared."""
    saga = Saga("trip", input=int)
    step = saga.step(name="pay")(never)
    for declare in (
        lambda: Saga("trip", input=int, deadline=seconds),
        lambda: saga.step(timeout=seconds),
        lambda: saga.sleep("pause", seconds=seconds),
        lambda: saga.wait_for("word", timeout=seconds),
        lambda: step.compensation(lambda *_: None, timeout=seconds),
    ):
        with pytest.raises(DefinitionError, match="seconds: use a number, more than 0"):
            declare()


@pytest.mark.parametrize(
    "options",
    [
        *({name: value} for name in ("backoff_seconds", "multiplier", "jitter") for value in (NAN, INF, -1, "5")),
        {"backoff_seconds_max": NAN}, {"backoff_seconds_max": -1}, {"backoff_seconds": 1e12}, {"multiplier": 1e200},
        {"attempts": INF}, {"attempts": NAN}, {"attempts": 1.5}, {"attempts": 0},
    ],
)  # fmt: skip
def test_a_retry_policy_that_is_no_number_is_refused(options: dict[str, Any]) -> None:
    """Which of its parts, and what may be used."""
    [name] = options
    with pytest.raises(DefinitionError, match=rf"Retry\({name}=.*: use a (whole )?number.* \d"):
        Retry(**options)


@pytest.mark.parametrize("seconds", [0, 1e-9, 5, 1e9])
@pytest.mark.parametrize("multiplier", [1, 1.5, 5, 1e6])
@pytest.mark.parametrize("most", [0, 60, 1e12, INF])
def test_every_wait_ends(seconds: float, multiplier: float, most: float) -> None:
    """However long it multiplies, and however it varies: no wait is longer than a year."""
    policy = Retry(attempts=10**9, backoff_seconds=seconds, multiplier=multiplier, backoff_seconds_max=most)

    for attempt in (1, 2, 64, 65, 1_000, 10**9):
        for key in map(str, range(20)):
            assert 0 <= policy.delay_seconds(key, attempt) <= min(1.2 * most, DELAY_SECONDS_MAX)


def test_an_instant_beyond_the_calendar_is_the_last_one() -> None:
    """A deadline, a wait and the next attempt are never beyond it."""
    saga = Saga("trip", input=int, deadline=SECONDS_MAX)
    saga.step(name="pay", compensable=False)(never)
    late = SagaStart.of(saga.definition, 1, "1", begins_at=LATEST)

    assert late.fact(NOON).deadline == LATEST
    assert instant_after(LATEST, 1e300) == LATEST
    assert instant_after(LATEST - timedelta(seconds=1), 2) == LATEST
    assert instant_after(NOON, 1.5) == instant_after(NOON.replace(tzinfo=None), 1.5) == NOON + timedelta(seconds=1.5)


def test_a_deadline_counts_from_the_time_at_which_the_saga_begins() -> None:
    """Not from when it was asked for; one that begins in the past begins now."""
    saga = Saga("trip", input=int, deadline=60)
    saga.step(name="pay", compensable=False)(never)
    for begins_at, deadline in (
        (NOON + timedelta(days=1), timedelta(days=1, seconds=60)),
        (None, timedelta(seconds=60)),
    ):
        assert SagaStart.of(saga.definition, 1, "1", begins_at=begins_at).fact(NOON).deadline == NOON + deadline
    early = SagaStart.of(saga.definition, 1, "1", begins_at=NOON - timedelta(days=1))
    assert early.fact(NOON).deadline == NOON + timedelta(seconds=60)


@pytest.mark.parametrize("wrong", [None, 5, b"x", "", "a-b", "a\nb", "\0", "\ud800", "x" * 201, "\U0001f600" * 51])
def test_a_prefix_of_ids_that_not_everything_can_hold_is_refused(wrong: Any) -> None:
    """Of sagas and of participants: with it, each key of 200 characters must make an id."""
    with pytest.raises(DefinitionError):
        Saga(wrong, input=int)
    with pytest.raises(DefinitionError):
        Participant(wrong, **PARTS)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, None, "1", 2**31, float("nan"), float("inf")])
def test_a_version_is_a_whole_number_that_every_backend_stores(wrong: Any) -> None:
    """Of sagas, participants and events."""
    with pytest.raises(DefinitionError):
        Saga("trip", version=wrong, input=int)
    with pytest.raises(DefinitionError):
        Participant("stock", version=wrong, **PARTS)
    with pytest.raises(DefinitionError):
        event("Stocked", version=wrong, upcasters={1: lambda fields: fields})


@pytest.mark.parametrize("wrong", [None, 5, b"x", "", "a\nb", "\0", "\ud800", "x" * 201])
def test_a_name_that_not_everything_can_store_is_refused(wrong: Any) -> None:
    """Of events, of steps and of signals."""
    with pytest.raises(DefinitionError):
        event(wrong)
    saga = Saga("trip", input=int)
    if wrong:  # a step without a name has that of its function
        with pytest.raises(DefinitionError):
            saga.step(name=wrong)(lambda *_: None)
        with pytest.raises(DefinitionError):
            saga.wait_for("word", signal=wrong)


@pytest.mark.parametrize("key", ["k" * 200, "\U0001f600" * 200])
def test_a_key_of_any_length_that_is_allowed_leaves_room_for_sub_sagas(key: str) -> None:
    """With the longest names there may be, and sub-sagas of sub-sagas."""
    longest, step = "\U0001f600" * 50, "\U0001f601" * 200
    parent_id = saga_id_of(longest, key)
    for _ in range(3):
        check_stream_id(parent_id, "the id")
        parent_id = saga_id_of(longest, sub_saga_key(parent_id, step))


@pytest.mark.parametrize("wrong", [5, "often", True, {"attempts": 3}])
def test_what_is_no_retry_policy_is_refused(wrong: Any) -> None:
    """When it is declared, not when the first attempt fails."""
    saga = Saga("trip", input=int)
    with pytest.raises(DefinitionError, match="retry policy"):
        saga.step(retry=wrong)
    with pytest.raises(DefinitionError, match="retry policy"):
        saga.step(name="pay")(never).compensation(never_undone, retry=wrong)
    with pytest.raises(DefinitionError, match="use 'retry' or 'compensate'"):
        saga.step(name="go", on_unknown=wrong)(never)


def never_undone(*_: Any) -> None:
    """A compensation."""
