"""Whatever a step raises has a recorded outcome, which says what it proves."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from sagaledger.domain.errors import (
    AttemptTimedOut,
    DefinitionError,
    Fail,
    HeartbeatTimedOut,
    InvalidInput,
    RetryAfter,
    StepRejected,
)
from sagaledger.domain.participant import Refused
from sagaledger.domain.saga.decide import Attempt
from sagaledger.domain.saga.duration import LATEST
from sagaledger.domain.saga.error_text import ERROR_CHARACTERS_MAX, PARTS_MAX
from sagaledger.domain.saga.event_parts import Failure
from sagaledger.domain.saga.events import (
    CancelRequested,
    Direction,
    Effect,
    SagaStarted,
    StepFailed,
    StepOutcomeUnknown,
    StepStarted,
    StepSucceeded,
)
from sagaledger.domain.saga.evolve import evolve, rebuild
from sagaledger.domain.saga.outcome import UNKNOWN_OUTCOMES_MAX, failure_of, orphaned, outcome_event
from sagaledger.domain.saga.retry_policy import DELAY_SECONDS_MAX, Retry
from sagaledger.domain.saga.saga import Saga

NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)


class NotText(Exception):
    """Its text is a number."""

    def __str__(self) -> str:
        return 402  # type: ignore[return-value]  # noqa: PLE0307 -- the point of it


class Raises(Exception):
    """Its text raises what it is given."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def __str__(self) -> str:
        raise self.error


class Name(type):
    """A type that does not say its name."""

    @property
    def __name__(cls) -> str:
        raise OSError("no name")


class Nameless(Exception, metaclass=Name):
    """Of such a type."""


class Liar(Exception):
    """Claims to be of another class, and does not even do that."""

    @property
    def __class__(self) -> Any:
        raise OSError("no class")


class Lone(ExceptionGroup[Exception]):
    """A group that denies what it holds."""

    @property
    def exceptions(self) -> Any:  # type: ignore[override]
        raise OSError("not told")


class Text(str):
    """A text that does not encode."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        raise OSError("no bytes")


def nested(depth: int) -> Exception:
    error: Exception = ValueError("inmost")
    for _ in range(depth):
        error = ExceptionGroup("nested", [error])
    return error


ODD: list[Callable[[], BaseException]] = [
    lambda: NotText(),
    lambda: Raises(OSError("gone")),
    lambda: Raises(SystemExit(1)),
    lambda: Raises(KeyboardInterrupt()),
    lambda: Raises(RecursionError()),
    lambda: Raises(NotText()),
    lambda: Nameless(),
    lambda: Liar(),
    lambda: Lone("alone", [ValueError("inside")]),
    lambda: OSError(Text("away")),
    lambda: OSError("\ud800 \x00 \u202e"),
    lambda: OSError("x" * 10**6),
    lambda: type("T" * 10**6, (Exception,), {})(),
    lambda: ExceptionGroup("many", [Raises(OSError()), *[OSError(n) for n in range(2 * PARTS_MAX)]]),
    GeneratorExit,
    asyncio.CancelledError,
    lambda: SystemExit(NotText()),
    lambda: BaseExceptionGroup("base", [KeyboardInterrupt(), NotText()]),
    lambda: nested(5_000),
]


@pytest.mark.parametrize("make", ODD)
def test_whatever_is_raised_is_recorded(make: Callable[[], BaseException]) -> None:
    """As a failure whose effect is unknown, of bounded length, that can be stored and read."""
    failed = failure_of(make())

    assert failed.effect is Effect.UNKNOWN
    assert failed.retryable
    event = StepFailed(NOON, "a", 1, failed.error, failed.effect, failed.retryable)
    assert msgspec.json.decode(msgspec.json.encode(event), type=StepFailed) == event
    assert len(failed.error.type) + len(failed.error.message) < ERROR_CHARACTERS_MAX + 500


REFUSAL, OTHER, FINAL = StepRejected("declined"), OSError("away"), InvalidInput("no number")


@pytest.mark.parametrize(
    ("errors", "effect", "retryable"),
    [
        ([REFUSAL], Effect.NONE, False),
        ([REFUSAL, Refused("no stock")], Effect.NONE, False),
        ([REFUSAL, ExceptionGroup("in it", [REFUSAL])], Effect.NONE, False),
        ([REFUSAL, OTHER], Effect.UNKNOWN, False),
        ([OTHER, ExceptionGroup("in it", [REFUSAL])], Effect.UNKNOWN, False),
        ([REFUSAL, asyncio.CancelledError()], Effect.UNKNOWN, False),
        ([OTHER, asyncio.CancelledError()], Effect.UNKNOWN, True),
        ([OTHER], Effect.UNKNOWN, True),
        ([OTHER, Fail("broken")], Effect.UNKNOWN, False),
        ([REFUSAL, Fail("broken")], Effect.UNKNOWN, False),
        ([RetryAfter(1)], Effect.UNKNOWN, True),
        ([RetryAfter(1, nothing_happened=True), RetryAfter(2, nothing_happened=True)], Effect.NONE, True),
        ([RetryAfter(1, nothing_happened=True), OTHER], Effect.UNKNOWN, True),
        ([RetryAfter(1, nothing_happened=True), REFUSAL], Effect.NONE, False),
        ([RetryAfter(1), REFUSAL], Effect.UNKNOWN, False),
        ([REFUSAL, FINAL], Effect.UNKNOWN, False),
        ([FINAL], Effect.UNKNOWN, False),
    ],
)
def test_a_group_proves_what_each_of_its_exceptions_does(
    errors: list[BaseException], effect: Effect, retryable: bool
) -> None:
    """It had no effect if each of them proves that, and is final if one of them is; all refusals are a refusal."""
    failed = failure_of(BaseExceptionGroup("unhandled errors in a TaskGroup", errors))

    assert (failed.effect, failed.retryable) == (effect, retryable)
    all_refused = not any(isinstance(part, (OSError, Fail, RetryAfter, InvalidInput)) for part in errors)
    assert (failed.error.type == "StepRejected") is (all_refused and effect is Effect.NONE)
    for word in ("declined", "no stock", "away", "no number"):
        assert (word in failed.error.message) is (word in repr(errors))


def test_a_refusal_in_a_task_group_is_the_refusal_that_it_is() -> None:
    """The group does not hold the task that it cancelled: a step that refuses there says that none of it happened."""

    async def refuse() -> None:
        raise REFUSAL

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.Event().wait())
            group.create_task(refuse())

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(both())
    failed = failure_of(caught.value)

    assert (failed.error.type, failed.effect, failed.retryable) == ("StepRejected", Effect.NONE, False)


class Busy(RetryAfter):
    """A service's own error: it may say something else than a time, or nothing."""

    def __init__(self, seconds: Any) -> None:
        self.seconds = seconds
        self.nothing_happened = True


class Coy(RetryAfter):
    """Raises when it is asked for its time."""

    def __init__(self) -> None:
        pass

    @property
    def seconds(self) -> Any:
        raise SystemExit(3)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (RetryAfter(7), 7.0),
        (RetryAfter(timedelta(minutes=2), "busy"), 120.0),
        (RetryAfter(-3), 0.0),
        (RetryAfter(math.inf), DELAY_SECONDS_MAX),
        (RetryAfter(10**400), DELAY_SECONDS_MAX),
        (RetryAfter(timedelta.max), DELAY_SECONDS_MAX),
        (ExceptionGroup("both", [RetryAfter(7), RetryAfter(9), OSError()]), 9.0),
        (Busy(4.0), 4.0),
        (Busy("4"), 0.2),
        (Busy(math.nan), 0.2),
        (Busy(-1.0), 0.2),
        (Coy(), 0.2),
        (OSError("away"), 0.2),
    ],
)
def test_the_next_attempt_is_after_the_time_that_the_step_says(error: Exception, seconds: float) -> None:
    """At most a year; the policy's own wait follows if the error says no time."""
    definition = definition_of(retry=Retry(attempts=2, jitter=0.0))

    assert retry_at(definition, error) == NOON + timedelta(seconds=seconds)
    assert retry_at(definition, error, failures=1) is None  # the attempts of the policy hold all the same


@pytest.mark.parametrize("after", [math.nan, "30", None, True, NOON])
def test_a_time_that_is_none_is_refused(after: Any) -> None:
    """Where it is given, with what to use instead."""
    with pytest.raises(InvalidInput, match=r"RetryAfter\(.*\): use a number of seconds, or a timedelta"):
        RetryAfter(after)


@pytest.mark.parametrize(
    ("error", "effect", "retryable"),
    [
        (RetryAfter(1), Effect.UNKNOWN, True),
        (RetryAfter(1, nothing_happened=True), Effect.NONE, True),
        (Fail("broken"), Effect.UNKNOWN, False),
        (REFUSAL, Effect.NONE, False),
        (Coy(), Effect.UNKNOWN, True),
    ],
)
def test_a_step_says_what_its_failure_proves(error: Exception, effect: Effect, retryable: bool) -> None:
    """`Fail` is final and may have happened; a refusal did not; the time of `RetryAfter` proves nothing by itself."""
    failed = failure_of(error)

    assert (failed.effect, failed.retryable) == (effect, retryable)


class RateLimited(ConnectionError):
    """More specific than the error that it is."""


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (ConnectionResetError(), 20),
        (RateLimited(), 5),
        (ValueError(), 4),
        (RetryAfter(0), 4),
        (asyncio.CancelledError(), 3),
        (AttemptTimedOut("no outcome in 1 s"), 1),
        (HeartbeatTimedOut("no heartbeat in 1 s"), 1),
        (TimeoutError("the library's own"), 4),
        (ExceptionGroup("both", [ConnectionResetError(), RateLimited()]), 5),
        (lambda: Nameless(), 4),
        (lambda: Liar(), 4),
    ],
)
def test_the_policy_of_the_most_specific_type_applies(error: Any, attempts: int) -> None:
    """It counts all failed attempts, whatever they failed with; of a group the fewest attempts; else the default."""
    policies = {
        Exception: Retry(attempts=4),
        ConnectionError: Retry(attempts=20),
        RateLimited: Retry(attempts=5),
        AttemptTimedOut: Retry(attempts=1),
    }
    definition = definition_of(retry=policies)

    if callable(error):  # it makes one that cannot be shown as a parameter
        error = error()
    failed = [retry_at(definition, error, failures=failures) is None for failures in range(20)]

    assert failed == [failures + 1 >= attempts for failures in range(20)]


def test_each_direction_has_policies_of_its_own() -> None:
    """An error that none names follows the default of its direction."""
    saga = Saga("trip", input=dict[str, Any])
    step = saga.step(name="flight", retry={OSError: Retry(attempts=7)})(lambda *_: None)
    step.compensation(retry={OSError: Retry(attempts=1)})(lambda *_: None)

    of = {direction: saga.definition.step("flight").policies_of(direction).of for direction in Direction}

    assert [of[direction](error).attempts for direction in Direction for error in (OSError(), ValueError())] == [
        7, 3, 1, 10,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("retry", "says"),
    [
        ({"ConnectionError": Retry()}, "use exception classes as keys"),
        ({int: Retry()}, "use exception classes as keys"),
        ({OSError("away"): Retry()}, "use exception classes as keys"),
        ({OSError: 5}, r"for OSError is 5: use Retry\(...\)"),
        ({OSError: None}, r"for OSError is None: use Retry\(...\)"),
        ({Refused: Retry()}, "for Refused: a step that raises it is never tried again"),
        ({Fail: Retry()}, "for Fail: a step that raises it is never tried again"),
        ({ExceptionGroup: Retry()}, "a group counts as the exceptions that it holds"),
        ([Retry()], r"use Retry\(...\)"),
    ],
)
def test_policies_that_cannot_apply_are_refused(retry: Any, says: str) -> None:
    """Where they are declared, for an action as for a compensation, a local one, too."""
    saga = Saga("trip", input=dict[str, Any])
    step = saga.step(name="flight")(lambda *_: None)

    for declare in (saga.step, saga.local_step, lambda retry: step.compensation(lambda *_: None, retry=retry)):
        with pytest.raises(DefinitionError, match=says):
            declare(retry=retry)


def definition_of(**options: Any) -> Any:
    """One step and a pivot behind it, and one step beyond."""
    saga = Saga("trip", input=dict[str, Any])
    saga.step(name="flight", compensable=False, **options)(lambda *_: None)
    saga.step(name="pay", pivot=True)(lambda *_: None)
    saga.step(name="mail", **options)(lambda *_: None)
    return saga.definition


def retry_at(definition: Any, error: BaseException, *, failures: int = 0) -> datetime | None:
    """Returns when the next attempt is after an error, which so many failures precede."""
    state = rebuild("trip-1", [SagaStarted(NOON, "trip", 1, "f", Raw(b"{}"))])
    for attempt in range(1, failures + 1):
        state = evolve(state, StepStarted(NOON, "flight", attempt, "k"))
        state = evolve(state, StepFailed(NOON, "flight", attempt, Failure("X", ""), Effect.UNKNOWN, True, NOON))
    state = evolve(state, StepStarted(NOON, "flight", failures + 1, "k"))
    outcome = failure_of(error, policies=definition.step("flight").policies_of(Direction.FORWARD))
    event = outcome_event(definition, state, Attempt("flight", Direction.FORWARD, 1, "k"), outcome, NOON)
    assert isinstance(event, StepFailed)
    return event.retry_at


def test_a_step_whose_workers_die_is_given_up_after_a_limit() -> None:
    """It may be what kills them."""
    definition = definition_of()
    state = rebuild("trip-1", [SagaStarted(NOON, "trip", 1, "f", Raw(b"{}"))])

    retries = []
    for attempt in range(1, UNKNOWN_OUTCOMES_MAX + 1):
        state = evolve(state, StepStarted(NOON, "flight", attempt, "k"))
        [unknown] = orphaned(definition, state, "w", NOON)
        assert isinstance(unknown, StepOutcomeUnknown)
        retries.append(unknown.retry_at)
        state = evolve(state, unknown)

    assert retries == [NOON] * (UNKNOWN_OUTCOMES_MAX - 1) + [None]


@pytest.mark.parametrize(("step", "past_pivot", "retried"), [("flight", False, False), ("mail", True, True)])
def test_an_unknown_outcome_is_compensated_as_declared_before_the_pivot_only(
    step: str, past_pivot: bool, retried: bool
) -> None:
    """Past the pivot there is only forward: the step is tried again."""
    definition = definition_of(on_unknown="compensate")
    events = [StepStarted(NOON, "pay", 1, "k"), StepSucceeded(NOON, "pay", 1, Raw(b"1"), pivot=True)]
    state = rebuild("trip-1", [SagaStarted(NOON, "trip", 1, "f", Raw(b"{}")), *(events if past_pivot else [])])
    state = evolve(state, StepStarted(NOON, step, 1, "k"))

    [unknown] = orphaned(definition, state, "w", NOON)

    assert isinstance(unknown, StepOutcomeUnknown)
    assert unknown.retry_at == (NOON if retried else None)


@pytest.mark.parametrize(("step", "retried"), [("flight", False), ("pay", True)])
def test_an_attempt_that_fails_while_its_saga_turns_back_is_not_tried_again(step: str, retried: bool) -> None:
    """No time is promised at which nothing happens; a pivot is tried again, because it has to be settled first."""
    definition = definition_of()
    before = [SagaStarted(NOON, "trip", 1, "f", Raw(b"{}")), StepStarted(NOON, step, 1, "k")]
    state = rebuild("trip-1", [*before, CancelRequested(NOON, "ann", "no time")])
    attempt = Attempt(step, Direction.FORWARD, 1, "k")

    failed = outcome_event(definition, state, attempt, failure_of(OSError("away")), NOON)

    assert isinstance(failed, StepFailed)
    assert (failed.retry_at is not None) is retried


@pytest.mark.parametrize("now", [NOON, LATEST])
def test_the_next_attempt_is_within_the_calendar(now: datetime) -> None:
    """Also of a machine whose clock is at its end."""
    definition = definition_of(retry=Retry(backoff_seconds=60.0, jitter=0.0))
    before = [SagaStarted(now, "trip", 1, "f", Raw(b"{}")), StepStarted(now, "flight", 1, "k")]
    attempt = Attempt("flight", Direction.FORWARD, 1, "k")

    failed = outcome_event(definition, rebuild("trip-1", before), attempt, failure_of(OSError("away")), now)

    assert isinstance(failed, StepFailed)
    assert failed.retry_at == min(now + timedelta(seconds=60), LATEST)
