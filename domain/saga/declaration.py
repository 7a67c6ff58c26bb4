"""What a declaration says of a step, and the types of the functions that it takes.

Each kind of step has its decorator: what it takes as an action, and which step comes of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Protocol, TypedDict, TypeVar, overload

from msgspec import Struct

from ..errors import DefinitionError
from ..participant import Command
from .declaring import Condition, check_condition, on_unknown_of
from .duration import check_seconds
from .functions import must_be_plain, must_return, must_take, name_of
from .heartbeat import check_heartbeat_timeout
from .retry_policy import OnUnknown, Retry, RetryOption, RetryPolicies, policies_of
from .step import AnyStep, ConditionalStep, DeclaredStep, ForEachStep, Step
from .step_context import StepContext
from .step_kind import ForEach, LocalResult, StepKind
from .validation import check_name

I = TypeVar("I")  # noqa: E741 -- the saga's input, as the documentation calls it
R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")
Commands = TypeVar("Commands", bound=Iterable[Command] | None)


class StepDecorator(Protocol[I]):
    """Takes the action of a step that calls a service: its result is what the action returns, awaited."""

    @overload
    def __call__(
        self, action: Callable[[I, StepContext], Coroutine[Any, Any, R]], /
    ) -> DeclaredStep[I, R, Coroutine[object, object, R]]: ...
    @overload
    def __call__(self, action: Callable[[I, StepContext], Awaitable[R]], /) -> DeclaredStep[I, R, Awaitable[R]]: ...
    @overload
    def __call__(self, action: Callable[[I, StepContext], R], /) -> DeclaredStep[I, R, R]: ...


class ConditionalStepDecorator(Protocol[I]):
    """Takes the action of a step with a condition that calls a service."""

    @overload
    def __call__(
        self, action: Callable[[I, StepContext], Coroutine[Any, Any, R]], /
    ) -> ConditionalStep[I, R, Coroutine[object, object, R]]: ...
    @overload
    def __call__(self, action: Callable[[I, StepContext], Awaitable[R]], /) -> ConditionalStep[I, R, Awaitable[R]]: ...
    @overload
    def __call__(self, action: Callable[[I, StepContext], R], /) -> ConditionalStep[I, R, R]: ...


class ForEachDecorator(Protocol[T]):
    """Takes the action of a step over a list, which takes one item: its result is that of one item, awaited."""

    @overload
    def __call__(
        self, action: Callable[[T, StepContext], Coroutine[Any, Any, R]], /
    ) -> ForEachStep[T, R, Coroutine[object, object, R]]: ...
    @overload
    def __call__(self, action: Callable[[T, StepContext], Awaitable[R]], /) -> ForEachStep[T, R, Awaitable[R]]: ...
    @overload
    def __call__(self, action: Callable[[T, StepContext], R], /) -> ForEachStep[T, R, R]: ...


class ConditionalLocalStepDecorator(Protocol[I]):
    """Takes the action of a local step with a condition, which returns commands."""

    def __call__(
        self, action: Callable[[I, StepContext], Commands], /
    ) -> ConditionalStep[I, LocalResult, Commands]: ...


class LocalStepDecorator(Protocol[I]):
    """Takes the action of a local step, which returns commands: its result counts what they recorded."""

    def __call__(self, action: Callable[[I, StepContext], Commands], /) -> DeclaredStep[I, LocalResult, Commands]: ...


class SubSagaDecorator(Protocol[I, S]):
    """Takes the action of a step that is a saga of its own, which returns that saga's input (`S`)."""

    @overload
    def __call__(
        self, action: Callable[[I, StepContext], Coroutine[Any, Any, S]], /
    ) -> DeclaredStep[I, Any, Coroutine[object, object, S]]: ...
    @overload
    def __call__(self, action: Callable[[I, StepContext], Awaitable[S]], /) -> DeclaredStep[I, Any, Awaitable[S]]: ...
    @overload
    def __call__(self, action: Callable[[I, StepContext], S], /) -> DeclaredStep[I, Any, S]: ...


class LocalStepOptions(TypedDict, total=False):
    """What `Saga.local_step` takes beside the condition."""

    name: str | None
    after: Iterable[AnyStep | str] | None
    retry: RetryOption | None
    pivot: bool
    compensable: bool


class StepOptions(LocalStepOptions, total=False):
    """What `Saga.step` takes beside the condition."""

    timeout: float | None
    on_unknown: OnUnknown | str
    heartbeat_timeout: float | None


class Declaration(Struct, frozen=True):
    """All that is said of a step besides its action."""

    saga: str
    """The name of the saga that it is declared on."""
    kind: StepKind
    name: str | None
    """None: the step is named as its action."""
    after: tuple[str, ...] | None
    retry: RetryOption | None = None
    timeout: float | None = None
    pivot: bool = False
    compensable: bool = True
    on_unknown: OnUnknown | str = OnUnknown.RETRY
    when: Condition[Any] | None = None
    heartbeat_timeout: float | None = None

    def __post_init__(self) -> None:
        self._policies()
        check_seconds(self.timeout, f"saga {self.saga!r}: the timeout of a step")
        check_heartbeat_timeout(self.heartbeat_timeout, self.timeout, f"saga {self.saga!r}: a step")

    def step(self, action: Callable[..., Any], declared: Sequence[AnyStep]) -> DeclaredStep[Any, Any, Any]:
        """Returns the step with this action. Raises `DefinitionError` if it cannot stand beside those declared."""
        if isinstance(action, Step):  # the same function, in another saga or version
            action = action.action
        first = "item" if isinstance(self.kind, ForEach) else "input"
        must_take(action, 2, f"{first}, context", "a step" if self.name is None else f"step {self.name!r}")
        name = self.name or name_of(action, "the action")
        where = f"step {name!r}"
        check_name(name, f"saga {self.saga!r}: {where}")
        if any(step.name == name for step in declared):
            raise DefinitionError(f"saga {self.saga!r} has two steps named {name!r}: rename one")
        if self.kind.plain_functions:
            must_be_plain(action, f"local {where}")
        else:
            must_return(action, where)
        check_condition(self.when, f"saga {self.saga!r}: {where}", pivot=self.pivot)
        return self._step_type(
            name,
            action,
            kind=self.kind,
            after=self.after,
            retry=self._policies(),
            timeout=self.timeout,
            pivot=self.pivot,
            compensable=self.compensable,
            on_unknown=on_unknown_of(self.on_unknown, f"saga {self.saga!r}: {where}"),
            condition=self.when,
            heartbeat_timeout=self.heartbeat_timeout,
        )

    def _policies(self) -> RetryPolicies:
        return policies_of(self.retry, Retry(), f"saga {self.saga!r}: the retry policy of a step")

    @property
    def _step_type(self) -> type[DeclaredStep[Any, Any, Any]]:
        if isinstance(self.kind, ForEach):
            return ForEachStep
        return DeclaredStep if self.when is None else ConditionalStep


def names_of(steps: Iterable[AnyStep | str] | None) -> tuple[str, ...] | None:
    """Returns the names of steps that are given as themselves or by name; None for none given."""
    return None if steps is None else tuple(step if isinstance(step, str) else step.name for step in steps)


def nothing(_value: Any, _context: StepContext) -> None:
    """The action of a step that only waits."""
