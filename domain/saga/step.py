"""A step of a saga: an action, the compensation that undoes it, and how often each is tried."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw, Struct

from ..errors import DefinitionError
from .events import FORWARD, Direction, Wait
from .retry_policy import OnUnknown, Retry
from .state import StepState
from .step_kind import AttemptMode, StepKind

Invoked = Any | Awaitable[Any]
"""What an action or a compensation returns: a value, or an awaitable of one."""


class StepContext(Struct, frozen=True):
    """What a step may know besides its input."""

    saga_id: str
    step: str
    direction: Direction
    attempt: int
    key: str
    """The idempotency key: the same for every attempt, worker and restart. Pass it to the service you call."""
    read_result: Callable[[str, Raw], Any]
    """Decodes the recorded result of the step with this name, as the type that the step declares."""
    steps: Mapping[str, StepState]
    """The progress of each step when this attempt was decided."""

    def result(self, step: Step | str) -> Any:
        """Returns the result of an earlier step, as the type its action declares; None if it has none."""
        name = step if isinstance(step, str) else step.name
        state = self.steps.get(name)
        raw = None if state is None else state.forward.result
        return None if raw is None else self.read_result(name, raw)


class Step:
    """One step of a saga: an action, and the compensation that undoes it."""

    def __init__(
        self,
        name: str,
        action: Callable[..., Invoked],
        *,
        kind: StepKind,
        after: tuple[str, ...] | None,
        retry: Retry,
        timeout: float | None,
        pivot: bool,
        compensable: bool,
        on_unknown: OnUnknown,
    ) -> None:
        self.name = name
        self.action = action
        self.kind = kind
        self.after = after
        self.retry = retry
        self.timeout = timeout
        self.pivot = pivot
        self.compensable = compensable and kind.compensable
        self.on_unknown = on_unknown
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

        A compensation that finds nothing to undo succeeds. When its own retries are spent the saga needs a person.
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

    def mode_of(self, direction: Direction) -> AttemptMode:
        """Returns how an attempt in this direction is made."""
        return self.kind.mode if direction is FORWARD else self.kind.compensation_mode

    def retry_of(self, direction: Direction) -> Retry:
        """Returns the retry policy of the action or of the compensation."""
        return self.retry if direction is FORWARD else self.undo_retry

    def timeout_of(self, direction: Direction) -> float | None:
        """Returns how many seconds one attempt may take; None: without a limit."""
        return self.timeout if direction is FORWARD else self.undo_timeout

    def is_async(self, direction: Direction) -> bool:
        """Whether the function of this direction is a coroutine function."""
        return self._action_is_async if direction is FORWARD else self._undo_is_async

    def invoke(self, context: StepContext, value: Any) -> Invoked:
        """Call the action or the compensation; returns an awaitable if that function is async."""
        if context.direction is FORWARD:
            return self.action(value, context)
        if self.undo is None:
            raise DefinitionError(f"step {self.name!r} has no compensation to run")
        return self.undo(value, context.result(self.name), context)

    def wait(self, saga_id: str, now: datetime) -> Wait | None:
        """Returns what the step waits for if it starts now; None if it runs something."""
        return self.kind.wait(saga_id, self.name, now)

    def read_result(self, raw: Raw) -> Any:
        """Returns a recorded result, as the type that the action declares."""
        return msgspec.json.decode(raw, type=self.result_type)

    def seal(self) -> None:
        """Resolve what the action returns. Nothing can be declared on the step after this."""
        self.result_type = self.kind.result_type(self.action)
        self._sealed = True


def must_take(function: Callable[..., Any], count: int, what: str, where: str) -> None:
    """Raise `DefinitionError` unless a function can be called with so many arguments."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        raise DefinitionError(
            f"{where} must take {count} arguments ({what}): {function.__qualname__} does not"
        ) from None
