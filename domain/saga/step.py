"""A step of a saga: an action, the compensation that undoes it, and how often each is tried."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast, overload

from msgspec import Raw

from ..errors import DefinitionError
from .duration import check_seconds
from .event_parts import Wait
from .events import FORWARD, Direction
from .functions import declared_parameter, is_async, must_return, must_take
from .heartbeat import check_heartbeat_timeout
from .item_names import item_name
from .payload import write_payload
from .retry_policy import OnUnknown, Retry, RetryOption, RetryPolicies, policies_of
from .step_context import StepContext
from .step_kind import AttemptMode, ForEach, StepKind
from .stored_type import MsgspecType, StoredType, decoder_of

I = TypeVar("I")  # noqa: E741 -- the saga's input, as the documentation calls it
R_co = TypeVar("R_co", covariant=True)
C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)

Invoked = Any | Awaitable[Any]
"""What an action or a compensation returns: a value, or an awaitable of one."""


UNDO_RETRY: Final = Retry(attempts=10, backoff_seconds_max=30.0)
"""How often a compensation is tried unless it declares otherwise."""


class Step(Generic[I, R_co]):
    """One step of a saga: an action, and the compensation that undoes it.

    `I` is the type of the saga's input, `R_co` that of the step's result.
    """

    def __init__(
        self,
        name: str,
        action: Callable[..., Invoked],
        *,
        kind: StepKind,
        after: tuple[str, ...] | None,
        retry: RetryPolicies,
        timeout: float | None,
        pivot: bool,
        compensable: bool,
        on_unknown: OnUnknown,
        condition: Callable[..., bool] | None = None,
        heartbeat_timeout: float | None = None,
    ) -> None:
        self.name = name
        self.action = action
        self.kind = kind
        self.after = after
        self.retry = retry
        self.timeout = timeout
        self.heartbeat_timeout = heartbeat_timeout
        """How many seconds an attempt at the action may be silent; `undo_heartbeat_timeout`: at the compensation."""
        self.pivot = pivot
        self.compensable = compensable and kind.compensable
        self.on_unknown = on_unknown
        self.condition = condition
        self.asks = condition is not None or isinstance(kind, ForEach)
        """Whether the definition's code says, before the first attempt, if or for which items the step is made."""
        self.item_type: Any = Any
        self._item: StoredType = MsgspecType(Any)
        self.undo: Callable[..., Invoked] | None = None
        self.undo_retry = RetryPolicies(UNDO_RETRY)
        self.undo_timeout = timeout
        self.undo_heartbeat_timeout: float | None = None
        self.result_type: Any = Any
        self._result: StoredType = MsgspecType(Any)
        self._action_is_async = is_async(action)
        self._undo_is_async = False
        self._sealed = False

    @overload
    def compensation(
        self,
        action: Callable[[I, R_co | None, StepContext], C],
        *,
        retry: RetryOption | None = None,
        timeout: float | None = None,
        heartbeat_timeout: float | None = None,
    ) -> Callable[[I, R_co | None, StepContext], C]: ...
    @overload
    def compensation(
        self,
        *,
        retry: RetryOption | None = None,
        timeout: float | None = None,
        heartbeat_timeout: float | None = None,
    ) -> Callable[[Callable[[I, R_co | None, StepContext], C]], Callable[[I, R_co | None, StepContext], C]]: ...
    def compensation(
        self,
        action: Callable[..., Invoked] | None = None,
        *,
        retry: RetryOption | None = None,
        timeout: float | None = None,
        heartbeat_timeout: float | None = None,
    ) -> Any:
        """Declare what undoes this step: called with the input, the step's result (None: unknown) and the context.

        A compensation that finds nothing to undo succeeds. When its own retries are spent the saga needs a person.
        `timeout` is by default that of the action; a `heartbeat_timeout` is its own.
        """

        def declare(undo: Callable[..., Invoked]) -> Callable[..., Invoked]:
            if self._sealed:
                raise DefinitionError(f"step {self.name!r}: its saga is already in use; declare compensations before")
            if self.undo is not None:
                raise DefinitionError(f"step {self.name!r} has two compensations: keep one")
            where = f"the compensation of step {self.name!r}"
            must_take(undo, 3, "input, result, context", where)
            if not self.kind.plain_functions:
                must_return(undo, where)
            check_seconds(timeout, f"the timeout of {where}")
            if heartbeat_timeout is not None and self.kind.plain_functions:
                raise DefinitionError(f"{where} is local and sends no heartbeats: remove heartbeat_timeout")
            undo_timeout = timeout if timeout is not None else self.timeout
            check_heartbeat_timeout(heartbeat_timeout, undo_timeout, where)
            self.undo_retry = policies_of(retry, UNDO_RETRY, f"the retry policy of {where}")
            self.undo = undo
            self._undo_is_async = is_async(undo)
            self.undo_timeout = undo_timeout
            self.undo_heartbeat_timeout = heartbeat_timeout
            return undo

        return declare if action is None else declare(action)

    def mode_of(self, direction: Direction) -> AttemptMode:
        """Returns how an attempt in this direction is made."""
        return self.kind.mode if direction is FORWARD else self.kind.compensation_mode

    def policies_of(self, direction: Direction) -> RetryPolicies:
        """Returns the retry policies of the action or of the compensation, by the type of the error."""
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
        return self.undo(value, context.own_result, context)

    def wait(self, saga_id: str, now: datetime) -> Wait | None:
        """Returns what the step waits for if it starts now; None if it runs something."""
        return self.kind.wait(saga_id, self.name, now)

    def read_result(self, raw: Raw, /) -> R_co:
        """Returns a recorded result, as the type that the action declares."""
        result: R_co = self._result.decode(raw)
        return result

    def write_result(self, direction: Direction, result: Any) -> Raw:
        """Returns what the action or the compensation returned as JSON.

        Raises `NotSerialisable` if that is not JSON, or the action's is not read back as it was, as the type that it
        declares, and `PayloadTooLarge`.
        """
        if direction is FORWARD:
            what = f"the result of step {self.name!r}"
            return self._result.write(what, result)
        return write_payload(f"the result of the compensation of step {self.name!r}", result)

    def read_item(self, raw: Raw) -> Any:
        """Returns a recorded item of a for-each step, as the type that the action takes."""
        return self._item.decode(raw)

    def write_item(self, index: int, item: Any) -> Raw:
        """Returns an item as JSON that reads as what the action takes. Raises what `write_result` raises."""
        what = f"the item {item_name(self.name, index)}"
        return self._item.write(what, item)

    def seal(self) -> None:
        """Resolve what the action returns. Nothing can be declared on the step after this.

        Raises `DefinitionError` if the action declares a type that cannot be read back.
        """
        what = f"the result of step {self.name!r}"
        self.result_type = self.kind.result_type(self.action, what)
        self._result = decoder_of(self.result_type, what)
        if isinstance(self.kind, ForEach):
            what = f"the item that step {self.name!r} takes"
            self.item_type = declared_parameter(self.action, what)
            self._item = decoder_of(self.item_type, what)
        self._sealed = True


AnyStep: TypeAlias = Step[Any, Any]
"""A step of any saga, with a result of any type."""


class DeclaredStep(Step[I, R_co], Generic[I, R_co, C_co]):
    """A step that can be called like its action, as a test does: it returns what the action returns (`C_co`)."""

    def __call__(self, value: I, context: StepContext, /) -> C_co:
        """Call the action, and nothing else: nothing is recorded, and a coroutine is not awaited."""
        return cast("C_co", self.action(value, context))


class ConditionalStep(DeclaredStep[I, R_co, C_co]):
    """A step with a condition: where that is false the saga goes on without it, and its result is `SKIPPED`."""

    has_condition: bool = True


class ForEachStep(DeclaredStep[I, R_co, C_co]):
    """A step over a list: its functions take an item (`I`), and its result is the list of theirs."""

    has_items: bool = True
