"""Declaring a saga: steps, what undoes each, and what participants are told at its start and its end.

A `Saga` collects steps as they are declared and seals itself into an immutable `Definition` when it is first used.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from ..errors import DefinitionError
from ..participant import Command
from .definition import Definition
from .events import WaitKind
from .step import Invoked, OnUnknown, Retry, Step, StepContext, Waiting, must_take

I = TypeVar("I")  # noqa: E741 -- the saga's input, as the documentation calls it


class Saga(Generic[I]):
    """A business transaction over several services, declared step by step.

    - `name`: the prefix of its ids, without `-`; `version`: raise it when the structure changes;
    - `input`: the type of its input: a msgspec struct, a dataclass, a typed dict or a builtin;
    - `key`: the business key of an input, so that starting the same one twice is one saga;
    - `deadline`: how many seconds a saga may take before it turns back; None: as long as it likes.
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
        """Declare a step that calls out: an action of the input and the context, sync or async.

        - `after`: the steps that must have succeeded; by default the one declared before. Steps that name the same
          ones run in parallel;
        - `timeout`: how many seconds one attempt may take;
        - `pivot`: once it has succeeded there is no way back, only retries forward;
        - `compensable=False`: declares that there is nothing to undo;
        - `on_unknown`: what follows when a worker died in the middle of an attempt.
        """
        return self._declare(name, after, retry, timeout, pivot, compensable, local=False, on_unknown=on_unknown)

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

        Its start, the participants' events and its success share one append: exactly once, never unknown. Both the
        action and the compensation are plain functions that return commands.
        """
        return self._declare(name, after, retry, None, pivot, compensable, local=True, on_unknown=OnUnknown.RETRY)

    def sleep(self, name: str, *, seconds: float, after: Iterable[Step | str] | None = None) -> Step:
        """Declare a step that waits, durably: for this many seconds, whatever is restarted meanwhile."""
        return self._declare_waiting(name, after, Waiting(WaitKind.TIMER, seconds=seconds))

    def wait_for(
        self,
        name: str,
        *,
        signal: str | None = None,
        timeout: float | None = None,
        after: Iterable[Step | str] | None = None,
    ) -> Step:
        """Declare a step that waits until someone sends a signal, by default of the step's name.

        Its result is the signal's payload. A refusal, or `timeout` seconds without a signal, fails the step.
        """
        return self._declare_waiting(name, after, Waiting(WaitKind.SIGNAL, signal or name, timeout))

    def sub_saga(
        self,
        saga: Saga[Any],
        *,
        name: str | None = None,
        after: Iterable[Step | str] | None = None,
        pivot: bool = False,
        compensable: bool = True,
    ) -> Callable[[Callable[..., Any]], Step]:
        """Declare a step that is a saga of its own; the function gives that saga's input.

        The step succeeds with the other saga's result when it completes, and fails when it is compensated or
        abandoned. What undoes it once it has completed is this step's compensation.
        """

        def declare(action: Callable[..., Any]) -> Step:
            return self._declare(
                name,
                after,
                None,
                None,
                pivot,
                compensable,
                local=False,
                on_unknown=OnUnknown.RETRY,
                waiting=Waiting(WaitKind.SAGA, saga=saga),
            )(action)

        return declare

    def on_started(self, commands: Callable[[I], Sequence[Command]]) -> Callable[[I], Sequence[Command]]:
        """Declare commands that are decided in the append that starts a saga."""
        self._open()
        self.started = commands
        return commands

    def on_completed(self, commands: Callable[[I], Sequence[Command]]) -> Callable[[I], Sequence[Command]]:
        """Declare commands that are decided in the append that completes a saga."""
        self._open()
        self.completed = commands
        return commands

    def on_compensated(self, commands: Callable[[I, str], Sequence[Command]]) -> Callable[[I, str], Sequence[Command]]:
        """Declare commands, given the cause, that are decided in the append that ends a saga that turned back."""
        self._open()
        self.compensated = commands
        return commands

    @property
    def definition(self) -> Definition:
        """The sealed definition. Raises `DefinitionError`, saying what to change, if the saga cannot work."""
        if self._definition is None:
            self._definition = Definition(self, self._steps)
        return self._definition

    def _open(self) -> None:
        if self._definition is not None:
            raise DefinitionError(f"saga {self.name!r} is already in use: declare everything before, or a new version")

    def _declare(
        self,
        name: str | None,
        after: Iterable[Step | str] | None,
        retry: Retry | None,
        timeout: float | None,
        pivot: bool,
        compensable: bool,
        *,
        local: bool,
        on_unknown: OnUnknown | str,
        waiting: Waiting | None = None,
    ) -> Callable[[Callable[..., Invoked]], Step]:
        self._open()
        if timeout is not None and timeout <= 0:
            raise DefinitionError(f"saga {self.name!r}: a step timeout of {timeout} seconds leaves no time to run")
        names = None if after is None else tuple(s if isinstance(s, str) else s.name for s in after)

        def declare(action: Callable[..., Invoked]) -> Step:
            step_name = name or action.__name__
            if any(step.name == step_name for step in self._steps):
                raise DefinitionError(f"saga {self.name!r} has two steps named {step_name!r}: rename one")
            must_take(action, 2, "input, context", f"step {step_name!r}")
            if local and inspect.iscoroutinefunction(action):
                raise DefinitionError(f"local step {step_name!r} is async: it only returns commands, make it plain")
            step = Step(
                step_name,
                action,
                after=names,
                retry=retry or Retry(),
                timeout=timeout,
                pivot=pivot,
                compensable=compensable,
                local=local,
                on_unknown=OnUnknown(on_unknown),
                waiting=waiting,
            )
            self._steps.append(step)
            return step

        return declare

    def _declare_waiting(self, name: str, after: Iterable[Step | str] | None, waiting: Waiting) -> Step:
        """A step that runs nothing, so that there is nothing to undo."""
        if waiting.seconds is not None and waiting.seconds <= 0:
            raise DefinitionError(f"saga {self.name!r}: step {name!r} waits {waiting.seconds} seconds: wait longer")
        declare = self._declare(
            name,
            after,
            Retry(attempts=1),
            None,
            pivot=False,
            compensable=False,
            local=False,
            on_unknown=OnUnknown.RETRY,
            waiting=waiting,
        )
        return declare(_nothing)


def _nothing(_value: Any, _context: StepContext) -> None:
    """What a step that only waits runs."""
