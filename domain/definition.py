"""Defining a saga: its steps, what undoes each, and what happens when one fails.

A `Saga` collects steps as they are declared and seals itself into an immutable `Definition` when it is first used.
A definition that cannot work is refused with an error that says what to change.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from typing import Any, Generic, TypeVar, get_type_hints

import msgspec
from msgspec import Raw, Struct

from .errors import DefinitionError, InvalidInput
from .facts import Direction, Wait, WaitKind
from .participant import Command

I = TypeVar("I")  # noqa: E741 -- the saga's input, as the documentation calls it
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
    results: Mapping[str, Raw]

    def result(self, step: Step | str) -> Any:
        """The result of an earlier step, as the type its action declares; None if it has none."""
        name = step if isinstance(step, str) else step.name
        raw = self.results.get(name)
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
            _must_take(undo, 3, "input, result, context", f"the compensation of step {self.name!r}")
            self.undo = undo
            self.undo_retry = retry or self.undo_retry
            self.undo_timeout = timeout if timeout is not None else self.timeout
            return undo

        return declare if action is None else declare(action)

    def retry_of(self, direction: Direction) -> Retry:
        """The retry policy of its action or of its compensation."""
        return self.retry if direction is Direction.FORWARD else self.undo_retry

    def timeout_of(self, direction: Direction) -> float | None:
        """How many seconds one attempt may take; None: as long as it likes."""
        return self.timeout if direction is Direction.FORWARD else self.undo_timeout

    def invoke(self, context: StepContext, value: Any) -> Invoked:
        """Call the action or the compensation; an awaitable for an async one."""
        if context.direction is Direction.FORWARD:
            return self.action(value, context)
        if self.undo is None:
            raise DefinitionError(f"step {self.name!r} has no compensation to run")
        return self.undo(value, context.result(self.name), context)

    def is_async(self, direction: Direction) -> bool:
        """Whether that direction is a coroutine function."""
        return inspect.iscoroutinefunction(self.action if direction is Direction.FORWARD else self.undo)

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


class Definition:
    """A sealed saga definition: what `decide` and the worker go by."""

    def __init__(self, saga: Saga[Any], steps: Sequence[Step], after: Mapping[str, tuple[str, ...]]) -> None:
        self.name = saga.name
        self.version = saga.version
        self.input_type = saga.input_type
        self.key = saga.key
        self.deadline = saga.deadline
        self.started = saga.started
        self.completed = saga.completed
        self.compensated = saga.compensated
        self.steps = tuple(steps)
        self.after = dict(after)
        self._by_name = {step.name: step for step in steps}
        self.pivot = next((step.name for step in steps if step.pivot), None)
        self.dependents = _closure(self.after)
        self.nests = any(step.waiting is not None and step.waiting.kind is WaitKind.SAGA for step in steps)
        """Whether a step is a saga of its own."""
        self._decoder = msgspec.json.Decoder(self.input_type)
        self.fingerprint = self._fingerprint()

    def step(self, name: str) -> Step:
        """The step of that name. Raises `DefinitionError` if there is none."""
        try:
            return self._by_name[name]
        except KeyError:
            raise DefinitionError(
                f"saga {self.name!r} version {self.version} has no step {name!r}: its steps are {list(self._by_name)}"
            ) from None

    def saga_id(self, key: str) -> str:
        """The id of the saga with this business key."""
        return f"{self.name}-{key}"

    def write_input(self, value: Any) -> Raw:
        """An input as canonical JSON. Raises `InvalidInput` if it does not fit the declared type."""
        try:
            return Raw(msgspec.json.encode(self._decoder.decode(msgspec.json.encode(value))))
        except (msgspec.ValidationError, msgspec.MsgspecError, TypeError, ValueError) as error:
            raise InvalidInput(
                f"the input of saga {self.name!r} version {self.version} does not fit: {error}"
            ) from error

    def read_input(self, raw: Raw) -> Any:
        """A recorded input, as its type. Raises `InvalidInput` if it does not fit the declared type."""
        try:
            return self._decoder.decode(raw)
        except msgspec.DecodeError as error:
            raise InvalidInput(
                f"the input of saga {self.name!r} version {self.version} does not fit: {error}"
            ) from error

    def _fingerprint(self) -> str:
        """A hash of the structure and the input's schema; tuning of retries and timeouts does not change it."""
        try:
            schema: Any = msgspec.json.schema(self.input_type)
        except TypeError:
            schema = str(self.input_type)
        structure = [
            {
                "step": step.name,
                "after": sorted(self.after[step.name]),
                "pivot": step.pivot,
                "local": step.local,
                "compensated": step.undo is not None,
                "waits_for": None if step.waiting is None else step.waiting.kind,
            }
            for step in self.steps
        ]
        document = {"saga": self.name, "version": self.version, "steps": structure, "input": schema}
        return hashlib.sha256(msgspec.json.encode(document, order="deterministic")).hexdigest()[:16]


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
            after = self._dependencies()
            steps = self._ordered(after)
            self._check_compensations(steps, after)
            for step in steps:
                step.seal()
            self._definition = Definition(self, steps, after)
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
            _must_take(action, 2, "input, context", f"step {step_name!r}")
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

    def _dependencies(self) -> dict[str, tuple[str, ...]]:
        """What each step comes after; by default the one declared before it."""
        if not self._steps:
            raise DefinitionError(f"saga {self.name!r} has no steps: declare at least one with @{self.name}.step()")
        names = {step.name for step in self._steps}
        after: dict[str, tuple[str, ...]] = {}
        previous: tuple[str, ...] = ()
        for step in self._steps:
            after[step.name] = previous if step.after is None else step.after
            for unknown in set(after[step.name]) - names:
                raise DefinitionError(
                    f"saga {self.name!r}: step {step.name!r} comes after {unknown!r}, which is not a step: "
                    f"use one of {sorted(names)}"
                )
            previous = (step.name,)
        return after

    def _ordered(self, after: Mapping[str, tuple[str, ...]]) -> list[Step]:
        """The steps in an order that respects `after`, and otherwise that of declaration."""
        try:
            TopologicalSorter(after).prepare()
        except CycleError as error:
            circle = " -> ".join(reversed(error.args[1]))
            raise DefinitionError(
                f"saga {self.name!r}: its steps wait for each other in a circle ({circle}): remove one `after`"
            ) from error
        done: set[str] = set()
        ordered: list[Step] = []
        while len(ordered) < len(self._steps):
            step = next(s for s in self._steps if s.name not in done and done.issuperset(after[s.name]))
            done.add(step.name)
            ordered.append(step)
        return ordered

    def _check_compensations(self, steps: Sequence[Step], after: Mapping[str, tuple[str, ...]]) -> None:
        pivots = [step.name for step in steps if step.pivot]
        if len(pivots) > 1:
            raise DefinitionError(f"saga {self.name!r} has the pivots {pivots}: after the first there is no way back")
        beyond = _closure(after)[pivots[0]] if pivots else frozenset[str]()
        for step in steps:
            final = step.pivot or step.name in beyond
            where = f"saga {self.name!r}: step {step.name!r}"
            if step.undo is not None and final:
                raise DefinitionError(f"{where} is never undone (it is the pivot or after it): remove its compensation")
            if step.undo is not None and not step.compensable:
                raise DefinitionError(f"{where} has a compensation and is declared compensable=False: remove one")
            if step.local and inspect.iscoroutinefunction(step.undo):
                raise DefinitionError(f"{where} is local: its compensation only returns commands, make it plain")
            if step.undo is None and step.compensable and not final:
                raise DefinitionError(
                    f"{where} has no compensation: add @{step.name}.compensation, "
                    "or declare compensable=False if there is nothing to undo"
                )
        if pivots:
            self._check_parallel_to_pivot(steps, after, pivots[0], beyond)

    def _check_parallel_to_pivot(
        self, steps: Sequence[Step], after: Mapping[str, tuple[str, ...]], pivot: str, beyond: frozenset[str]
    ) -> None:
        dependents = _closure(after)
        for step in steps:
            if step.name != pivot and step.name not in beyond and pivot not in dependents[step.name]:
                raise DefinitionError(
                    f"saga {self.name!r}: step {step.name!r} may run beside the pivot {pivot!r}: "
                    "say with `after` whether it comes before or after it"
                )


def _nothing(_value: Any, _context: StepContext) -> None:
    """What a step that only waits runs."""


def _closure(after: Mapping[str, tuple[str, ...]]) -> dict[str, frozenset[str]]:
    """For each step, every step that comes after it, directly or not."""
    dependents: dict[str, set[str]] = {name: set() for name in after}
    for name in TopologicalSorter(after).static_order():
        reached, frontier = set[str](), list(after[name])
        while frontier:
            earlier = frontier.pop()
            if earlier not in reached:
                reached.add(earlier)
                frontier.extend(after[earlier])
                dependents[earlier].add(name)
    return {name: frozenset(later) for name, later in dependents.items()}


def _must_take(function: Callable[..., Any], count: int, what: str, where: str) -> None:
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
