"""A step of a saga: an action, the compensation that undoes it, and how often each is tried."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from ..errors import DefinitionError, InvalidInput
from .duration import check_seconds
from .events import FORWARD, Direction, Failure, Wait
from .functions import declared_parameter, is_async, must_return, must_take
from .item_names import item_name, split_item_name
from .items import Items
from .payload import write_payload
from .read_back import says_what_each_part_is
from .retry_policy import OnUnknown, Retry, check_retry
from .step_kind import AttemptMode, ForEach, StepKind
from .step_state import Progress, StepState
from .stored_type import decoder_of

Invoked = Any | Awaitable[Any]
"""What an action or a compensation returns: a value, or an awaitable of one."""


class Skipped(Enum):
    """The type of `SKIPPED`."""

    SKIPPED = "skipped"
    """What a step has for a result if its condition was false. It is false where a truth value is asked for."""

    def __bool__(self) -> bool:
        return False


SKIPPED: Final = Skipped.SKIPPED


class ItemOutcome(Struct, frozen=True):
    """How an item of a for-each step ended."""

    result: Any
    """What the action returned for it; None if it failed, `SKIPPED` if a person skipped it."""
    error: Failure | None
    """Why it failed; None if it succeeded."""


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
    items: Mapping[str, Items] = {}
    """The progress of the items of each for-each step."""
    read_input: Callable[[], Any] = lambda: None
    """Decodes the input of the saga."""

    @property
    def input(self) -> Any:
        """The input of the saga, also where a function takes an item of it."""
        return self.read_input()

    def result(self, step: Step | str) -> Any:
        """Returns the result of an earlier step, as the type its action declares.

        Returns `SKIPPED` for a step whose condition was false, None for a step that has no result or of which it is
        unknown, and for a for-each step the list of its items' results (None: of an item without one).
        """
        name = step if isinstance(step, str) else step.name
        items = self.items.get(name)
        if items is not None:
            return [self._result(name, state) for state in items]
        state = self.steps.get(name)
        return None if state is None else self._result(name, state)

    def outcomes(self, step: Step | str) -> list[ItemOutcome]:
        """Returns how each item of an earlier for-each step ended, in their order."""
        name = step if isinstance(step, str) else step.name
        items = self.items.get(name, ())
        return [ItemOutcome(self._result(name, state), state.forward.error) for state in items]

    @property
    def own_result(self) -> Any:
        """Returns the result of the step, or the item, that is compensated; None if it is unknown."""
        item = split_item_name(self.step) if self.items else None
        if item is None or item[0] not in self.items:
            return self.result(self.step)
        return self._result(item[0], self.items[item[0]].state(item[1]))

    def _result(self, name: str, state: StepState) -> Any:
        progress = state.forward
        if progress.progress is Progress.SKIPPED and not progress.attempt:
            return SKIPPED
        return None if progress.result is None else self.read_result(name, progress.result)


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
        condition: Callable[..., bool] | None = None,
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
        self.condition = condition
        self.asks = condition is not None or isinstance(kind, ForEach)
        """Whether the definition's code says, before the first attempt, if or for which items the step is made."""
        self.item_type: Any = Any
        self._read_item: Callable[[Raw], Any] = msgspec.json.Decoder().decode
        self._item_is_typed: bool | None = None
        self.undo: Callable[..., Invoked] | None = None
        self.undo_retry = Retry(attempts=10, backoff_seconds_max=30.0)
        self.undo_timeout = timeout
        self.result_type: Any = Any
        self._read_result: Callable[[Raw], Any] = msgspec.json.Decoder().decode
        self._result_is_typed: bool | None = None
        """Whether the declared type says what each part of a result is; None without a declared type."""
        self._action_is_async = is_async(action)
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
            where = f"the compensation of step {self.name!r}"
            must_take(undo, 3, "input, result, context", where)
            if not self.kind.plain_functions:
                must_return(undo, where)
            check_seconds(timeout, f"the timeout of {where}")
            check_retry(retry, f"the retry policy of {where}")
            self.undo = undo
            self._undo_is_async = is_async(undo)
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
        return self.undo(value, context.own_result, context)

    def wait(self, saga_id: str, now: datetime) -> Wait | None:
        """Returns what the step waits for if it starts now; None if it runs something."""
        return self.kind.wait(saga_id, self.name, now)

    def read_result(self, raw: Raw) -> Any:
        """Returns a recorded result, as the type that the action declares."""
        return self._read_result(raw)

    def write_result(self, direction: Direction, result: Any) -> Raw:
        """Returns what the action or the compensation returned as JSON.

        Raises `NotSerialisable` if that is not JSON, or the action's is not read back as it was, as the type that it
        declares, and `PayloadTooLarge`.
        """
        if direction is FORWARD:
            what = f"the result of step {self.name!r}"
            return write_payload(what, result, self._read_result, typed=self._result_is_typed)
        return write_payload(f"the result of the compensation of step {self.name!r}", result)

    def is_wanted(self, value: Any, context: StepContext) -> bool:
        """Whether the step is to be made, as its condition says. Raises what that raises, and `InvalidInput`."""
        if self.condition is None:
            return True
        wanted = self.condition(value, context)
        if not isinstance(wanted, bool):
            raise InvalidInput(f"the condition of step {self.name!r} returned {wanted!r}: return True or False")
        return wanted

    def read_item(self, raw: Raw) -> Any:
        """Returns a recorded item of a for-each step, as the type that the action takes."""
        return self._read_item(raw)

    def write_item(self, index: int, item: Any) -> Raw:
        """Returns an item as JSON that reads as what the action takes. Raises what `write_result` raises."""
        what = f"the item {item_name(self.name, index)}"
        return write_payload(what, item, self._read_item, typed=self._item_is_typed)

    def seal(self) -> None:
        """Resolve what the action returns. Nothing can be declared on the step after this.

        Raises `DefinitionError` if the action declares a type that cannot be read back.
        """
        what = f"the result of step {self.name!r}"
        self.result_type = self.kind.result_type(self.action, what)
        self._read_result = decoder_of(self.result_type, what).decode
        if self.result_type not in (Any, Raw):
            self._result_is_typed = says_what_each_part_is(self.result_type)
        if isinstance(self.kind, ForEach):
            what = f"the item that step {self.name!r} takes"
            self.item_type = declared_parameter(self.action, what)
            self._read_item = decoder_of(self.item_type, what).decode
            self._item_is_typed = None if self.item_type is Any else says_what_each_part_is(self.item_type)
        self._sealed = True
