"""Declaring a saga: its steps, what undoes each, and what participants do at its start and its end.

A `Saga` collects steps as they are declared, and seals itself into an immutable `Definition` at its first use.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from ..errors import DefinitionError
from ..participant import Command
from .definition import Definition, DefinitionSupplier
from .retry_policy import OnUnknown, Retry
from .step import Invoked, Step, StepContext, must_take
from .step_kind import Call, Local, Signal, StepKind, SubSaga, Timer

I = TypeVar("I")  # noqa: E741 -- the saga's input, as the documentation calls it


class Saga(Generic[I]):
    """A business transaction over several services, declared step by step.

    - `name`: the prefix of its ids, without `-`; `version`: raise it when the structure changes;
    - `input`: the type of its input: a msgspec struct, a dataclass, a typed dict or a builtin;
    - `key`: the business key of an input, so that starting the same one twice is one saga;
    - `deadline`: how many seconds a saga may take before it compensates; None: without a limit.
    """

    def __init__(
        self,
        name: str,
        *,
        version: int = 1,
        input: type[I],  # noqa: A002 -- it is the input's type, and reads so where sagas are declared
        key: Callable[[I], str] | None = None,
        deadline: float | None = None,
    ) -> None:
        if not name or "-" in name or not name.isprintable():
            raise DefinitionError(f"saga name {name!r}: use a printable name without '-', which ends it in a saga's id")
        if version < 1:
            raise DefinitionError(f"saga {name!r} version {version}: versions count from 1")
        if deadline is not None and deadline <= 0:
            raise DefinitionError(f"saga {name!r}: a deadline of {deadline} seconds has passed before it starts")
        self.name = name
        self.version = version
        self.input_type: type[I] = input
        self.key = key
        self.deadline = deadline
        self.started: Callable[[Any], Sequence[Command]] | None = None
        self.completed: Callable[[Any], Sequence[Command]] | None = None
        self.compensated: Callable[[Any, str], Sequence[Command]] | None = None
        self._steps: list[Step] = []
        self._sub_sagas: dict[str, DefinitionSupplier] = {}
        self._definition: Definition | None = None

    def step(
        self,
        *,
        name: str | None = None,
        after: Iterable[Step | str] | None = None,
        retry: Retry | None = None,
        timeout: float | None = None,
        pivot: bool = False,
        compensable: bool = True,
        on_unknown: OnUnknown | str = OnUnknown.RETRY,
    ) -> Callable[[Callable[..., Invoked]], Step]:
        """Declare a step that calls a service: its action takes the input and the context, and may be async.

        - `after`: the steps that must have succeeded before; by default the one declared before. Steps that name the
          same ones run in parallel;
        - `timeout`: how many seconds one attempt may take;
        - `pivot`: once it has succeeded the saga no longer compensates, and only retries forward;
        - `compensable=False`: declares that there is nothing to undo;
        - `on_unknown`: what follows when a worker died in the middle of an attempt.
        """
        if timeout is not None and timeout <= 0:
            raise DefinitionError(f"saga {self.name!r}: a step timeout of {timeout} seconds leaves no time to run")
        return self._declare(
            Call(), name, after, retry, timeout=timeout, pivot=pivot, compensable=compensable, on_unknown=on_unknown
        )

    def local_step(
        self,
        *,
        name: str | None = None,
        after: Iterable[Step | str] | None = None,
        retry: Retry | None = None,
        pivot: bool = False,
        compensable: bool = True,
    ) -> Callable[[Callable[..., Invoked]], Step]:
        """Declare a step whose participants live in the same ledger: it returns commands for them.

        Its start, the participants' events and its success share one append, so it happens exactly once and its outcome
        is never unknown. Both the action and the compensation are plain functions that return commands.
        """
        return self._declare(Local(), name, after, retry, pivot=pivot, compensable=compensable)

    def sleep(self, name: str, *, seconds: float, after: Iterable[Step | str] | None = None) -> Step:
        """Declare a step that waits for this many seconds. The timer is durable: restarts do not change it."""
        self._check_seconds(name, seconds)
        return self._declare(Timer(seconds), name, after, Retry(attempts=1))(_nothing)

    def wait_for(
        self,
        name: str,
        *,
        signal: str | None = None,
        timeout: float | None = None,
        after: Iterable[Step | str] | None = None,
    ) -> Step:
        """Declare a step that waits for a signal, by default one with the step's name.

        Its result is the signal's payload. A refusal, or `timeout` seconds without a signal, fails the step.
        """
        self._check_seconds(name, timeout)
        return self._declare(Signal(signal or name, timeout), name, after, Retry(attempts=1))(_nothing)

    def sub_saga(
        self,
        saga: Saga[Any],
        *,
        name: str | None = None,
        after: Iterable[Step | str] | None = None,
        pivot: bool = False,
        compensable: bool = True,
    ) -> Callable[[Callable[..., Any]], Step]:
        """Declare a step that is a saga of its own; the function returns that saga's input.

        The step succeeds with the other saga's result when that saga completes. It fails when that saga is compensated
        or abandoned. This step's compensation undoes a sub-saga that has completed.
        """
        declare_step = self._declare(SubSaga(saga.name), name, after, pivot=pivot, compensable=compensable)

        def declare(action: Callable[..., Any]) -> Step:
            step = declare_step(action)
            self._sub_sagas[step.name] = lambda: saga.definition
            return step

        return declare

    def on_started(self, commands: Callable[[I], Sequence[Command]]) -> Callable[[I], Sequence[Command]]:
        """Declare commands that are decided in the append that starts a saga."""
        self._check_open()
        self.started = commands
        return commands

    def on_completed(self, commands: Callable[[I], Sequence[Command]]) -> Callable[[I], Sequence[Command]]:
        """Declare commands that are decided in the append that completes a saga."""
        self._check_open()
        self.completed = commands
        return commands

    def on_compensated(self, commands: Callable[[I, str], Sequence[Command]]) -> Callable[[I, str], Sequence[Command]]:
        """Declare commands, given the cause, that are decided in the append that ends a saga as compensated."""
        self._check_open()
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
            )
        return self._definition

    def _check_open(self) -> None:
        if self._definition is not None:
            raise DefinitionError(f"saga {self.name!r} is already in use: declare everything before, or a new version")

    def _check_seconds(self, step: str, seconds: float | None) -> None:
        if seconds is not None and seconds <= 0:
            raise DefinitionError(f"saga {self.name!r}: step {step!r} waits {seconds} seconds: use more than 0")

    def _declare(
        self,
        kind: StepKind,
        name: str | None,
        after: Iterable[Step | str] | None,
        retry: Retry | None = None,
        *,
        timeout: float | None = None,
        pivot: bool = False,
        compensable: bool = True,
        on_unknown: OnUnknown | str = OnUnknown.RETRY,
    ) -> Callable[[Callable[..., Invoked]], Step]:
        self._check_open()
        names = None if after is None else tuple(s if isinstance(s, str) else s.name for s in after)

        def declare(action: Callable[..., Invoked]) -> Step:
            step_name = name or action.__name__
            if any(step.name == step_name for step in self._steps):
                raise DefinitionError(f"saga {self.name!r} has two steps named {step_name!r}: rename one")
            must_take(action, 2, "input, context", f"step {step_name!r}")
            if kind.plain_functions and inspect.iscoroutinefunction(action):
                raise DefinitionError(f"local step {step_name!r} is async: it only returns commands, make it plain")
            step = Step(
                step_name,
                action,
                kind=kind,
                after=names,
                retry=retry or Retry(),
                timeout=timeout,
                pivot=pivot,
                compensable=compensable,
                on_unknown=OnUnknown(on_unknown),
            )
            self._steps.append(step)
            return step

        return declare


def _nothing(_value: Any, _context: StepContext) -> None:
    """The action of a step that only waits."""
