"""A step of a saga: an action, what undoes it, and how both are tried."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec
from msgspec import Raw, Struct

from ..errors import DefinitionError
from .events import FORWARD, Direction, Wait, WaitKind
from .state import StepState

if TYPE_CHECKING:
    from .definition import Definition
    from .saga import Saga

Invoked = Any | Awaitable[Any]


class Retry(Struct, frozen=True):
    """How often a step is tried, and how long it waits in between.

    The wait before attempt n + 1 is `backoff_seconds * multiplier ** (n - 1)`, at most `backoff_seconds_max`, varied
    by up to the fraction `jitter` in a way that depends on the idempotency key and the attempt alone.
    """

    attempts: int = 3
    backoff_seconds: float = 0.2
    multiplier: float = 2.0
    backoff_seconds_max: float = 60.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise DefinitionError(f"Retry(attempts={self.attempts}): a step runs at least once, so use 1 or more")
        if self.backoff_seconds < 0 or self.backoff_seconds_max < 0 or self.multiplier < 1:
            raise DefinitionError("Retry: waits are 0 seconds or more, and the multiplier is 1 or more")
        if not 0 <= self.jitter <= 1:
            raise DefinitionError(f"Retry(jitter={self.jitter}): a fraction from 0 to 1")

    def delay_seconds(self, key: str, attempt: int) -> float:
        """How long to wait after this attempt failed: the same for the same key and attempt."""
        exponent = min(attempt - 1, 64)
        delay = min(self.backoff_seconds * self.multiplier**exponent, self.backoff_seconds_max)
        drawn = int.from_bytes(hashlib.sha256(f"{key}:{attempt}".encode()).digest()[:8], "big") / 2**64
        return delay * (1 + self.jitter * (2 * drawn - 1))


class OnUnknown(StrEnum):
    """What follows an attempt that was started and whose worker died."""

    RETRY = "retry"
    COMPENSATE = "compensate"


class Waiting(Struct, frozen=True):
    """What a step waits for, as it is defined; `seconds` None: without end."""

    kind: WaitKind
    signal: str | None = None
    seconds: float | None = None
    saga: Saga[Any] | None = None


class LocalResult(Struct, frozen=True):
    """What a local step did: how many events its participants recorded."""

    events: int


class StepContext(Struct, frozen=True):
    """What a step may know besides its input."""

    saga_id: str
    step: str
    direction: Direction
    attempt: int
    key: str
    """The idempotency key: the same for every attempt, worker and restart. Pass it to the service you call."""
    definition: Definition
    steps: Mapping[str, StepState]
    """How far each step had come when this attempt was decided."""

    def result(self, step: Step | str) -> Any:
        """The result of an earlier step, as the type its action declares; None if it has none."""
        name = step if isinstance(step, str) else step.name
        state = self.steps.get(name)
        raw = None if state is None else state.forward.result
        return None if raw is None else self.definition.step(name).read_result(raw)


class Step:
    """One step of a saga: an action, and the compensation that undoes it."""

    def __init__(
        self,
        name: str,
        action: Callable[..., Invoked],
        *,
        after: tuple[str, ...] | None,
        retry: Retry,
        timeout: float | None,
        pivot: bool,
        compensable: bool,
        local: bool,
        on_unknown: OnUnknown,
        waiting: Waiting | None = None,
    ) -> None:
        self.name = name
        self.action = action
        self.after = after
        self.retry = retry
        self.timeout = timeout
        self.pivot = pivot
        self.compensable = compensable
        self.local = local
        self.on_unknown = on_unknown
        self.waiting = waiting
        self.undo: Callable[..., Invoked] | None = None
        self.undo_retry = Retry(attempts=10, backoff_seconds_max=30.0)
        self.undo_timeout = timeout
        self.result_type: Any = Any
        self._action_is_async = inspect.iscoroutinefunction(action)
        self._undo_is_async = False
        self._sealed = False

    def compensation(
        self,
        action: Callable[..., Invoked] | None = None,
        *,
        retry: Retry | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Declare what undoes this step: called with the input, the step's result (None: unknown) and the context.

        "Nothing to undo" is a success. When its own retries are spent the saga waits for a person.
        """

        def declare(undo: Callable[..., Invoked]) -> Callable[..., Invoked]:
            if self._sealed:
                raise DefinitionError(f"step {self.name!r}: its saga is already in use; declare compensations before")
            if self.undo is not None:
                raise DefinitionError(f"step {self.name!r} has two compensations: keep one")
            must_take(undo, 3, "input, result, context", f"the compensation of step {self.name!r}")
            self.undo = undo
            self._undo_is_async = inspect.iscoroutinefunction(undo)
            self.undo_retry = retry or self.undo_retry
            self.undo_timeout = timeout if timeout is not None else self.timeout
            return undo

        return declare if action is None else declare(action)

    def retry_of(self, direction: Direction) -> Retry:
        """The retry policy of its action or of its compensation."""
        return self.retry if direction is FORWARD else self.undo_retry

    def timeout_of(self, direction: Direction) -> float | None:
        """How many seconds one attempt may take; None: as long as it likes."""
        return self.timeout if direction is FORWARD else self.undo_timeout

    def invoke(self, context: StepContext, value: Any) -> Invoked:
        """Call the action or the compensation; an awaitable for an async one."""
        if context.direction is FORWARD:
            return self.action(value, context)
        if self.undo is None:
            raise DefinitionError(f"step {self.name!r} has no compensation to run")
        return self.undo(value, context.result(self.name), context)

    def is_async(self, direction: Direction) -> bool:
        """Whether that direction is a coroutine function."""
        return self._action_is_async if direction is FORWARD else self._undo_is_async

    @property
    def nested(self) -> Saga[Any]:
        """The saga that this step is. Raises `DefinitionError` if it is none."""
        if self.waiting is None or self.waiting.saga is None:
            raise DefinitionError(f"step {self.name!r} is not a saga of its own")
        return self.waiting.saga

    def wait(self, saga_id: str, now: datetime) -> Wait | None:
        """What it waits for when it starts now; None: it runs something."""
        if self.waiting is None:
            return None
        due_at = None if self.waiting.seconds is None else now + timedelta(seconds=self.waiting.seconds)
        if self.waiting.saga is not None:
            return Wait(self.waiting.kind, self.waiting.saga.definition.saga_id(f"{saga_id}.{self.name}"), due_at)
        return Wait(self.waiting.kind, self.waiting.signal, due_at)

    def read_result(self, raw: Raw) -> Any:
        """A recorded result, as the type that the action declares."""
        return msgspec.json.decode(raw, type=self.result_type)

    def seal(self) -> None:
        """Resolve what the action returns; nothing is declared on the step after this."""
        if self.local:
            self.result_type = LocalResult | None
        elif self.waiting is None:
            hint = _returns(self.action)
            self.result_type = Any if hint in (Any, None, type(None)) else hint | None
        self._sealed = True


def must_take(function: Callable[..., Any], count: int, what: str, where: str) -> None:
    """Raise `DefinitionError` unless a function can be called with so many arguments."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        raise DefinitionError(
            f"{where} must take {count} arguments ({what}): {function.__qualname__} does not"
        ) from None


def _returns(function: Callable[..., Any]) -> Any:
    """What a function is annotated to return; Any if that cannot be resolved from its module."""
    try:
        return get_type_hints(function).get("return", Any)
    except NameError:
        return Any
