"""Declaring a saga: its steps, what undoes each, and what participants do at its start and its end.

A `Saga` collects steps as they are declared, and seals itself into an immutable `Definition` at its first use.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar, Unpack, overload

from ..errors import DefinitionError
from ..names import check_prefix, check_version
from ..participant import Command
from .declaration import (
    ConditionalLocalStepDecorator,
    ConditionalStepDecorator,
    Declaration,
    ForEachDecorator,
    LocalStepDecorator,
    LocalStepOptions,
    StepDecorator,
    StepOptions,
    SubSagaDecorator,
    names_of,
    nothing,
)
from .declaring import Condition, for_each_kind
from .declaring_waits import (
    AnyTypeOptions,
    AnyWaitOptions,
    ConditionalWaitOptions,
    OneSignalOptions,
    Votes,
    WaitOptions,
    signal_kind,
)
from .definition import Definition, DefinitionSupplier
from .duration import check_seconds
from .functions import must_be_plain, must_take
from .retry_policy import OnUnknown, Retry, RetryOption
from .search import check_search
from .step import AnyStep, Step
from .step_context import StepContext
from .step_kind import Call, Local, StepKind, SubSaga, Timer

I = TypeVar("I")  # noqa: E741 -- the saga's input, as the documentation calls it
S = TypeVar("S")
T = TypeVar("T")


class Saga(Generic[I]):
    """A business transaction over several services, declared step by step.

    - `name`: the prefix of its ids, without `-`; `version`: raise it when the structure changes;
    - `input`: the type of its input: a msgspec struct, a dataclass, a pydantic model, a typed dict or a builtin;
    - `key`: the business key of an input, so that starting the same one twice is one saga;
    - `deadline`: how many seconds a saga may take before it compensates; None: without a limit;
    - `search`: attributes to find sagas by, each with its name and a function that takes the input (see
      the view `saga_attributes`).
    """

    def __init__(
        self,
        name: str,
        *,
        version: int = 1,
        input: type[I],  # noqa: A002 -- it is the input's type, and reads so where sagas are declared
        key: Callable[[I], str] | None = None,
        deadline: float | None = None,
        search: Mapping[str, Callable[[I], Any]] | None = None,
    ) -> None:
        check_prefix(name, "saga name")
        check_version(version, f"saga {name!r}")
        check_seconds(deadline, f"saga {name!r}: the deadline")
        self.name = name
        self.version = version
        self.input_type: type[I] = input
        self.key = key
        self.deadline = deadline
        self.search = check_search(search, name)
        self.started: Callable[[Any], Sequence[Command]] | None = None
        self.completed: Callable[[Any], Sequence[Command]] | None = None
        self.compensated: Callable[[Any, str], Sequence[Command]] | None = None
        self._steps: list[AnyStep] = []
        self._sub_sagas: dict[str, DefinitionSupplier] = {}
        self._definition: Definition | None = None

    @overload
    def step(self, *, when: Condition[I], **options: Unpack[StepOptions]) -> ConditionalStepDecorator[I]: ...
    @overload
    def step(self, *, when: None = None, **options: Unpack[StepOptions]) -> StepDecorator[I]: ...
    def step(
        self,
        *,
        name: str | None = None,
        after: Iterable[AnyStep | str] | None = None,
        retry: RetryOption | None = None,
        timeout: float | None = None,
        pivot: bool = False,
        compensable: bool = True,
        on_unknown: OnUnknown | str = OnUnknown.RETRY,
        heartbeat_timeout: float | None = None,
        when: Condition[I] | None = None,
    ) -> Any:
        """Declare a step that calls a service: its action takes the input and the context, and may be async.

        - `after`: the steps that must have succeeded before; by default the one declared before. Steps that name the
          same ones run in parallel;
        - `retry`: how often it is tried: a policy for every error, or a mapping from exception types to policies;
        - `timeout`: how many seconds one attempt may take;
        - `pivot`: once it has succeeded the saga no longer compensates, and only retries forward;
        - `compensable=False`: declares that there is nothing to undo;
        - `on_unknown`: what follows when a worker died in the middle of an attempt;
        - `heartbeat_timeout`: after so many seconds without `StepContext.heartbeat` an attempt has failed;
        - `when`: a plain function of the input and the context, without effects, that is called when the step's turn
          comes. If it returns False the saga goes on without the step. If it raises, the step has failed.
        """
        options = (retry, timeout, pivot, compensable, on_unknown, when, heartbeat_timeout)
        return self._declare(Declaration(self.name, Call(), name, names_of(after), *options))

    def for_each(
        self,
        *,
        items: Callable[[I, StepContext], Iterable[T]],
        name: str | None = None,
        parallel: int = 10,
        on_failure: str = "compensate",
        after: Iterable[AnyStep | str] | None = None,
        retry: RetryOption | None = None,
        timeout: float | None = None,
        compensable: bool = True,
        on_unknown: OnUnknown | str = OnUnknown.RETRY,
        heartbeat_timeout: float | None = None,
    ) -> ForEachDecorator[T]:
        """Declare a step over a list: its action takes one item and the context, and may be async.

        Each item has attempts, an idempotency key and a compensation of its own, under a name such as `book[3]`. The
        compensation takes the item, the item's result and the context. The step's result is the list of the results.

        - `items`: a plain function of the input and the context, without effects, that is called when the step's turn
          comes and returns the items, at most 10,000;
        - `parallel`: how many items are under way at once;
        - `on_failure`: `"compensate"`: the saga compensates when an item has failed; `"collect"`: the other items go
          on, and `ctx.outcomes(step)` tells how each ended. The others are as for `step`, and hold for each item.
        """
        kind = for_each_kind(items, parallel, on_failure, f"saga {self.name!r}: for_each")
        options = (retry, timeout, False, compensable, on_unknown, None, heartbeat_timeout)
        return self._declare(Declaration(self.name, kind, name, names_of(after), *options))

    @overload
    def local_step(
        self, *, when: Condition[I], **options: Unpack[LocalStepOptions]
    ) -> ConditionalLocalStepDecorator[I]: ...
    @overload
    def local_step(self, *, when: None = None, **options: Unpack[LocalStepOptions]) -> LocalStepDecorator[I]: ...
    def local_step(
        self,
        *,
        name: str | None = None,
        after: Iterable[AnyStep | str] | None = None,
        retry: RetryOption | None = None,
        pivot: bool = False,
        compensable: bool = True,
        when: Condition[I] | None = None,
    ) -> Any:
        """Declare a step whose participants live in the same ledger: it returns commands for them.

        Its start, the participants' events and its success share one append, so it happens exactly once and its outcome
        is never unknown. Both the action and the compensation are plain functions that return commands.
        """
        declaration = Declaration(
            self.name, Local(), name, names_of(after), retry, pivot=pivot, compensable=compensable, when=when
        )
        return self._declare(declaration)

    def sleep(
        self,
        name: str,
        *,
        seconds: float,
        after: Iterable[AnyStep | str] | None = None,
        when: Condition[I] | None = None,
    ) -> Step[I, None]:
        """Declare a step that waits for this many seconds. The timer is durable: restarts do not change it."""
        check_seconds(seconds, f"saga {self.name!r}: the time of step {name!r}")
        return self._wait(Timer(seconds), name, after, when)

    @overload
    def wait_for(self, name: str, *, when: Condition[I], **options: Unpack[ConditionalWaitOptions]) -> Step[I, Any]: ...
    @overload
    def wait_for(self, name: str, *, type: type[T], approvals: int, **options: Unpack[WaitOptions]) -> Votes[I, T]: ...
    @overload
    def wait_for(self, name: str, *, approvals: int, **options: Unpack[AnyTypeOptions]) -> Votes[I, Any]: ...
    @overload
    def wait_for(self, name: str, *, type: type[T], **options: Unpack[OneSignalOptions]) -> Step[I, T]: ...
    @overload
    def wait_for(self, name: str, **options: Unpack[AnyWaitOptions]) -> Step[I, Any]: ...
    def wait_for(
        self, name: str, *, signal: str | None = None, type: Any = Any,  # noqa: A002 -- as `input`
        approvals: int | None = None, excluded: Collection[str] = (), exclude_requester: bool = False,
        timeout: float | None = None, after: Iterable[AnyStep | str] | None = None, when: Condition[I] | None = None,
    ) -> Any:  # fmt: skip
        """Declare a step that waits for a signal, by default one with the step's name; the payload is its result.

        - `type`: of the payload. A refusal, or `timeout` seconds without a signal, fails the step;
        - `approvals`: how many actors have to approve, each once; the result is a list of `Approval`;
        - `excluded`: the actors who may not approve; `exclude_requester`: nor may the one who started the saga.
        """
        kind = signal_kind(self.name, name, signal, timeout, type, approvals, excluded, exclude_requester)
        return self._wait(kind, name, after, when)

    def sub_saga(
        self,
        saga: Saga[S],
        *,
        name: str | None = None,
        after: Iterable[AnyStep | str] | None = None,
        pivot: bool = False,
        compensable: bool = True,
        when: Condition[I] | None = None,
    ) -> SubSagaDecorator[I, S]:
        """Declare a step that is a saga of its own; the function returns that saga's input.

        The step succeeds with the other saga's result when that saga completes. It fails when that saga is compensated
        or abandoned. This step's compensation undoes a sub-saga that has completed.
        """
        declaration = Declaration(
            self.name, SubSaga(saga.name), name, names_of(after), pivot=pivot, compensable=compensable, when=when
        )
        return self._declare(declaration, lambda: saga.definition)

    def on_started(self, commands: Callable[[I], Sequence[Command]]) -> Callable[[I], Sequence[Command]]:
        """Declare commands that are decided in the append that starts a saga."""
        self._check_hook("on_started", commands, 1, "input")
        self.started = commands
        return commands

    def on_completed(self, commands: Callable[[I], Sequence[Command]]) -> Callable[[I], Sequence[Command]]:
        """Declare commands that are decided in the append that completes a saga."""
        self._check_hook("on_completed", commands, 1, "input")
        self.completed = commands
        return commands

    def on_compensated(self, commands: Callable[[I, str], Sequence[Command]]) -> Callable[[I, str], Sequence[Command]]:
        """Declare commands, given the cause, that are decided in the append that ends a saga as compensated."""
        self._check_hook("on_compensated", commands, 2, "input, cause")
        self.compensated = commands
        return commands

    @property
    def definition(self) -> Definition:
        """The sealed definition. Raises `DefinitionError`, which says what to change, if the saga cannot work."""
        if self._definition is None:
            self._definition = Definition(
                self.name,
                self.version,
                self.input_type,
                self._steps,
                key=self.key,
                deadline=self.deadline,
                started=self.started,
                completed=self.completed,
                compensated=self.compensated,
                sub_sagas=self._sub_sagas,
                search=self.search,
            )
        return self._definition

    def _check_open(self) -> None:
        if self._definition is not None:
            raise DefinitionError(f"saga {self.name!r} is already in use: declare everything before, or a new version")

    def _check_hook(self, name: str, commands: Callable[..., Any], count: int, what: str) -> None:
        self._check_open()
        must_take(commands, count, what, f"saga {self.name!r}: {name}")
        must_be_plain(commands, f"saga {self.name!r}: {name}")

    def _wait(
        self, kind: StepKind, name: str, after: Iterable[AnyStep | str] | None, when: Condition[I] | None
    ) -> Step[I, Any]:
        declaration = Declaration(self.name, kind, name, names_of(after), Retry(attempts=1), when=when)
        step: Step[I, Any] = self._declare(declaration)(nothing)
        return step

    def _declare(
        self, declaration: Declaration, sub_saga: DefinitionSupplier | None = None
    ) -> Callable[[Callable[..., Any]], Any]:
        self._check_open()

        def declare(action: Callable[..., Any]) -> AnyStep:
            step = declaration.step(action, self._steps)
            self._steps.append(step)
            if sub_saga is not None:
                self._sub_sagas[step.name] = sub_saga
            return step

        return declare
