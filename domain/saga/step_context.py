"""What a step may know besides its input, and what it finds there of earlier steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, Protocol, TypeVar, overload

from msgspec import Raw, Struct

from .event_parts import Failure
from .events import FORWARD, Direction
from .heartbeat import HeartbeatListener, read_progress, write_progress
from .item_names import split_item_name
from .items import Items
from .payload import NULL
from .step_state import UNTOUCHED, Progress, StepProgress, StepState

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class EarlierStep(Protocol[R_co]):
    """A step with a result of type `R_co`, as far as a context asks."""

    @property
    def name(self) -> str: ...
    def read_result(self, raw: Raw, /) -> R_co: ...


class EarlierConditionalStep(EarlierStep[R_co], Protocol[R_co]):
    """A step without which the saga may have gone on."""

    @property
    def has_condition(self) -> bool: ...


class EarlierForEachStep(EarlierStep[R_co], Protocol[R_co]):
    """A step that has a result for each item of a list."""

    @property
    def has_items(self) -> bool: ...


class Skipped(Enum):
    """The type of `SKIPPED`."""

    SKIPPED = "skipped"
    """What a step has for a result if its condition was false. It is false where a truth value is asked for."""

    def __bool__(self) -> bool:
        return False


SKIPPED: Final = Skipped.SKIPPED
"""What `ctx.result(step)` returns for a step whose condition was false. As a truth value it is false."""


class ItemOutcome(Struct, frozen=True):
    """How an item of a for-each step ended."""

    result: Any
    """What the action returned for it, or a person gave as its result; None if it failed, or a person skipped it."""
    error: Failure | None
    """Why it failed; None if it succeeded, or a person gave its result."""


def _nothing(_: Raw) -> None:
    return None


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
    read_input: Callable[[Raw], Any] = _nothing
    """Decodes the input of the saga."""
    raw_input: Raw = NULL
    """The recorded input of the saga."""
    listener: HeartbeatListener | None = None
    """Who hears the heartbeats of this attempt; None, as for a local step: no one."""
    traceparent: str | None = None
    """The W3C trace context of this attempt: pass it to the service you call, as the header `traceparent`. None if the
    saga belongs to no trace, and for a local step."""

    @property
    def input(self) -> Any:
        """The input of the saga, also where a function takes an item of it."""
        return self.read_input(self.raw_input)

    @overload
    def result(self, step: EarlierForEachStep[R]) -> list[R | None]: ...
    @overload
    def result(self, step: EarlierConditionalStep[R]) -> R | Skipped | None: ...
    @overload
    def result(self, step: EarlierStep[R]) -> R | None: ...
    @overload
    def result(self, step: str) -> Any: ...
    def result(self, step: EarlierStep[Any] | str) -> Any:
        """Returns the result of an earlier step, as the type its action declares.

        Returns `SKIPPED` for a step whose condition was false, None for a step that has no result or of which it is
        unknown, and for a for-each step the list of its items' results (None: of an item without one). That list is
        empty if the step never had items.
        """
        name = _name_of(step)
        items = self.items.get(name)
        if items is not None:
            return [self._result(name, state) for state in items]
        state = self.steps.get(name)
        found = None if state is None else self._result(name, state)
        return [] if found is None and getattr(step, "has_items", False) else found

    def outcomes(self, step: EarlierStep[Any] | str) -> list[ItemOutcome]:
        """Returns how each item of an earlier for-each step ended, in their order."""
        name = _name_of(step)
        items = self.items.get(name, ())
        return [ItemOutcome(self._result(name, state), _error_of(state)) for state in items]

    @property
    def own_result(self) -> Any:
        """Returns the result of the step, or the item, that is compensated; None if it is unknown."""
        return self._result(*self._own)

    def heartbeat(self, progress: Any = None) -> None:
        """Say that this attempt is alive, and how far it has come: any JSON value of at most 16 KB.

        It can be called from any thread, as often as the step likes, and returns at once. A progress is recorded at
        once or within seconds, the latest of those that wait; without one, the last one stays. Raises
        `AttemptCancelled` if the attempt is no longer wanted, `NotSerialisable` and `PayloadTooLarge`.
        """
        if self.listener is not None:
            self.listener.heard(write_progress(self.step, progress))

    @property
    def cancelled(self) -> bool:
        """Whether this attempt is no longer wanted: the next `heartbeat` raises `AttemptCancelled`."""
        return self.listener is not None and self.listener.cancelled

    @property
    def last_progress(self) -> Any:
        """The progress that the attempts before this one recorded last, in this direction; None if there is none."""
        _, state = self._own
        return read_progress((state.forward if self.direction is FORWARD else state.compensation).reported)

    @property
    def _own(self) -> tuple[str, StepState]:
        """The name of the step that is attempted, or whose item is, and how far that step or item has come."""
        item = split_item_name(self.step) if self.items else None
        if item is None or item[0] not in self.items:
            return self.step, self.steps.get(self.step, UNTOUCHED)
        return item[0], self.items[item[0]].state(item[1])

    def _result(self, name: str, state: StepState) -> Any:
        progress = state.forward
        if progress.progress is Progress.SKIPPED and not progress.attempt:
            return SKIPPED
        return None if progress.result is None else self.read_result(name, progress.result)

    @classmethod
    def for_test(
        cls,
        step: EarlierStep[Any] | str = "step",
        *,
        results: Mapping[Any, Any] | None = None,
        saga_id: str = "test",
        direction: Direction = FORWARD,
        attempt: int = 1,
        key: str = "test-key",
    ) -> StepContext:
        """Returns a context with which a test calls an action or a compensation itself.

        `results`: the results of earlier steps, each by the step or its name: `{charge: Receipt("r-1")}`.
        """
        values = {_name_of(earlier): value for earlier, value in (results or {}).items()}
        steps = {name: StepState(StepProgress(result=NULL)) for name in values}
        return cls(saga_id, _name_of(step), direction, attempt, key, lambda name, _: values[name], steps)


def _error_of(state: StepState) -> Failure | None:
    """Returns why an item failed; an item whose result a person gave has succeeded."""
    return None if state.forward.progress is Progress.DONE else state.forward.error


def _name_of(step: EarlierStep[Any] | str) -> str:
    return step if isinstance(step, str) else step.name
