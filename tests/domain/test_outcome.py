"""Whatever a step raises has a recorded outcome, which says what it proves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from sagaledger.domain.errors import InvalidInput, StepRejected
from sagaledger.domain.participant import Refused
from sagaledger.domain.saga.decide import Attempt
from sagaledger.domain.saga.duration import LATEST
from sagaledger.domain.saga.error_text import ERROR_CHARACTERS_MAX, PARTS_MAX
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
from sagaledger.domain.saga.retry_policy import Retry
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
        ([REFUSAL, OTHER], Effect.UNKNOWN, True),
        ([OTHER, ExceptionGroup("in it", [REFUSAL])], Effect.UNKNOWN, True),
        ([OTHER], Effect.UNKNOWN, True),
        ([REFUSAL, FINAL], Effect.UNKNOWN, False),
        ([FINAL], Effect.UNKNOWN, False),
    ],
)
def test_a_group_proves_what_each_of_its_exceptions_does(
    errors: list[Exception], effect: Effect, retryable: bool
) -> None:
    """One that holds nothing but refusals is a refusal."""
    failed = failure_of(ExceptionGroup("unhandled errors in a TaskGroup", errors))

    assert (failed.effect, failed.retryable) == (effect, retryable)
    assert failed.error.type == ("StepRejected" if effect is Effect.NONE else "ExceptionGroup")
    for word in ("declined", "no stock", "away", "no number"):
        assert (word in failed.error.message) is (word in repr(errors))


def definition_of(**options: Any) -> Any:
    """One step and a pivot behind it, and one step beyond."""
    saga = Saga("trip", input=dict[str, Any])
    saga.step(name="flight", compensable=False, **options)(lambda *_: None)
    saga.step(name="pay", pivot=True)(lambda *_: None)
    saga.step(name="mail", **options)(lambda *_: None)
    return saga.definition


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
