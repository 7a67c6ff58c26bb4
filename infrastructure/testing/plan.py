"""What a rehearsal is told beforehand: failures, results, signals, decisions of people, and what it may really call.

Everything that is planned must be reached. A test whose plan was left over has not tested what it says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypedDict

from msgspec import Raw, Struct

from ...domain.errors import DefinitionError, SagaledgerError
from ...domain.event import Event
from ...domain.participant import Participant
from ...domain.saga.definition import Definition
from ...domain.saga.events import COMPENSATION, FORWARD, Action, Direction
from ...domain.saga.item_names import split_item_name
from ...domain.saga.step import AnyStep
from ...domain.saga.step_kind import LOCAL, ForEach, Signal, SubSaga, Timer
from ..event_store.instants import checked_timeout

REHEARSER: Final = "rehearsal"
NESTED_MAX: Final = 8
"""How deep sagas within sagas are looked through for the names of their steps."""

StepKey = str | tuple[str, Direction]
"""A step's action, by its name; or one direction of a step. A step of a sub-saga is `refund/return_money`, and an item
of a step over a list is `book[2]`."""
Failures = Mapping[StepKey, BaseException | Sequence[BaseException]]
"""Which attempts raise: for a step's action, or for one direction of a step, one error for every attempt, or a sequence
with one error for each of the first attempts."""
Results = Mapping[StepKey, Any]
"""Results that replace running a step's action, or its compensation."""


class PlannedSignal(Struct, frozen=True):
    """A signal that a rehearsed saga receives: an approval, or its refusal.

    - `at`: how many seconds after the saga's start; None: as soon as a step waits for it;
    - `step`: the one step that it is for, as `Ledger.approve` sends it; None: any that waits for a signal of this name;
    - `saga`: the step that is the sub-saga which receives it (`refund`); None: the rehearsed saga itself.
    """

    name: str
    payload: Any = None
    actor: str = REHEARSER
    reason: str | None = None
    refused: bool = False
    at: float | None = None
    step: str | None = None
    saga: str | None = None


class PlannedIntervention(Struct, frozen=True):
    """A decision about a step that needs a person, as soon as one does (see `Ledger.intervene`)."""

    action: Action | str
    step: str | None = None
    result: Any = None
    actor: str = REHEARSER
    reason: str = REHEARSER


def given_streams(arrangement: Arrangement) -> list[tuple[str, Sequence[Event]]]:
    """Returns what streams hold at the start of a rehearsal, each by its id."""
    given = arrangement.get("given", ())
    return list(given.items() if isinstance(given, Mapping) else given)


class Arrangement(TypedDict, total=False):
    """What a rehearsal is told besides the saga and its input (see `rehearse`)."""

    participants: Iterable[Participant[Any]]
    given: Mapping[str, Sequence[Event]] | Iterable[tuple[str, Sequence[Event]]]
    fail: Failures | None
    results: Results | None
    signals: Iterable[PlannedSignal]
    cancel_at: float | None
    interventions: Iterable[PlannedIntervention]
    until: float | None
    call: bool | Collection[str]


class Plan:
    """What is planned for a saga, and which parts of it were reached.

    Raises `DefinitionError` for a name that no step has, and for what cannot happen to that kind of step, and
    `TypeError` for a word that an arrangement does not have.
    """

    def __init__(self, definition: Definition, arrangement: Arrangement) -> None:
        for word in arrangement.keys() - Arrangement.__optional_keys__:
            raise TypeError(f"a rehearsal is given no {word!r}: it takes {sorted(Arrangement.__optional_keys__)}")
        self._steps = dict(_steps_of(definition, "", ()))
        self._saga = definition.name
        self._fail = arrangement.get("fail") or {}
        self._results = arrangement.get("results") or {}
        self._call = arrangement.get("call", True)
        self._reached: set[object] = set()
        self.signals = list(arrangement.get("signals", ()))
        """Those that were not sent yet, in their order."""
        self.interventions = list(arrangement.get("interventions", ()))
        """Those that were not made yet."""
        cancel_at = arrangement.get("cancel_at")
        self.cancel_at = None if cancel_at is None else checked_timeout(cancel_at, "cancel_at")
        """When to cancel, in seconds after the start; None from then on."""
        for key in self._fail:
            self._check(key, "failure")
        for key in self._results:
            self._check(key, "result")
        if not isinstance(self._call, bool):
            for name in self._call:
                self._step(name, "name in `call`")
        for signal in self.signals:
            self._check_signal(definition, signal)
        self._written = {self._key(key): self._write(key, value) for key, value in self._results.items()}

    def raise_planned(self, path: str, direction: Direction, attempt: int) -> None:
        """Raise the error that is planned for this attempt, if there is one."""
        for key in _keys(path, direction):
            planned = self._fail.get(key)
            if isinstance(planned, BaseException):
                self._reached.add(("fail", key))
                raise planned
            if planned is not None and attempt <= len(planned):
                self._reached.add(("fail", key, attempt))
                raise planned[attempt - 1]

    def result(self, path: str, direction: Direction) -> Raw | None:
        """Return the result that is planned for a step, as it is recorded; None if none is."""
        for key in _keys(path, direction):
            found = self._written.get(self._key(key))
            if found is not None:
                self._reached.add(("result", self._key(key)))
                return found
        return None

    def may_call(self, path: str, direction: Direction) -> bool:
        """Whether the step's own code may be called.

        A compensation that may not be called is taken to succeed. Raises `DefinitionError` for an action.
        """
        allowed = self._call
        if allowed is True or (not isinstance(allowed, bool) and {path, _without_item(path)} & set(allowed)):
            return True
        if direction is COMPENSATION:
            return False
        raise DefinitionError(
            f"step {path!r} of the rehearsed saga {self._saga!r} calls a service, and nothing is planned for it: plan "
            f"results={{{path!r}: …}} or fail={{{path!r}: …}}, or let it be called: call={{{path!r}}}"
        )

    def unreached(self, *, results: bool = True) -> list[str]:
        """Say what was planned and never reached; with or without the results of actions."""
        return [
            *(f"{what} planned for {_shown(key)}" for what, key in self._unreached_steps(results=results)),
            *(f"the signal {signal.name!r}{_at(signal.at)}" for signal in self.signals),
            *(f"the intervention {str(each.action)!r}" for each in self.interventions),
            *([] if self.cancel_at is None else [f"the cancellation{_at(self.cancel_at)}"]),
        ]

    def met_failure(self, name: str) -> bool:
        """Whether the failure that is planned for a step's action was met."""
        return ("fail", name) in self._reached

    def _unreached_steps(self, *, results: bool) -> Iterator[tuple[str, StepKey]]:
        for key, planned in self._fail.items():
            if isinstance(planned, BaseException):
                if ("fail", key) not in self._reached:
                    yield "the failure", key
            else:
                met = sum(("fail", key, attempt) in self._reached for attempt in range(1, len(planned) + 1))
                if met < len(planned):
                    yield f"{len(planned) - met} of the {len(planned)} failures", key
        for key in self._results:
            if ("result", self._key(key)) not in self._reached and (results or self._key(key)[1] is COMPENSATION):
                yield "the result", key

    def _key(self, key: StepKey) -> tuple[str, Direction]:
        return (key, FORWARD) if isinstance(key, str) else key

    def _step(self, path: str, what: str) -> AnyStep:
        found = self._steps.get(path)
        if found is None:
            found = self._steps.get(_without_item(path))
            found = found if found is not None and isinstance(found.kind, ForEach) else None
        if found is None:
            raise DefinitionError(
                f"the {what} {path!r} is for no step of the rehearsed saga {self._saga!r}: its steps are "
                f"{sorted(self._steps)}"
            )
        return found

    def _check(self, key: StepKey, what: str) -> None:
        path, direction = self._key(key)
        step = self._step(path, f"{what} planned for")
        where = f"the {what} planned for {_shown(key)}"
        if direction is COMPENSATION:
            if step.undo is None:
                raise DefinitionError(f"{where}: step {path!r} has no compensation")
            if what == "result" and step.mode_of(direction) is LOCAL:
                raise DefinitionError(f"{where}: its participants decide what it does; say what they hold by `given`")
            return
        match step.kind:
            case Timer():
                raise DefinitionError(f"{where}: it is a timer, which calls nothing; the clock jumps to its end")
            case Signal(name):
                remedy = (
                    f"PlannedSignal({name!r}, …, refused=True)" if what == "failure" else f"PlannedSignal({name!r}, …)"
                )
                raise DefinitionError(f"{where}: it waits for a signal; plan signals=[{remedy}]")
            case _ if what == "result" and step.mode_of(FORWARD) is LOCAL:
                raise DefinitionError(f"{where}: its participants decide what it does; say what they hold by `given`")

    def _check_signal(self, definition: Definition, signal: PlannedSignal) -> None:
        if signal.at is not None:
            checked_timeout(signal.at, f"when the signal {signal.name!r} is sent")
        prefix = "" if signal.saga is None else f"{signal.saga}/"
        if signal.saga is not None and not isinstance(self._step(signal.saga, "sub-saga").kind, SubSaga):
            raise DefinitionError(f"the signal {signal.name!r} is for {signal.saga!r}, which is no saga of its own")
        if signal.step is not None:
            self._step(prefix + signal.step, f"signal {signal.name!r} for")
        waiting = [
            step.kind.name
            for path, step in self._steps.items()
            if isinstance(step.kind, Signal) and path == prefix + step.name and signal.step in (None, step.name)
        ]
        if signal.name not in waiting:
            raise DefinitionError(
                f"no step of the rehearsed saga {definition.name!r} waits for the signal {signal.name!r}: they wait "
                f"for {sorted(waiting) or 'none'}"
            )

    def _write(self, key: StepKey, value: Any) -> Raw:
        path, direction = self._key(key)
        try:
            return self._step(path, "result").write_result(direction, value)
        except SagaledgerError as error:
            raise DefinitionError(f"the result planned for {_shown(key)} cannot be its result: {error}") from error


def _steps_of(definition: Definition, prefix: str, within: tuple[str, ...]) -> Iterator[tuple[str, AnyStep]]:
    """Yield the steps of a saga and of its sub-sagas, each with its path."""
    for step in definition.steps:
        yield prefix + step.name, step
        if isinstance(step.kind, SubSaga) and step.kind.saga not in within and len(within) < NESTED_MAX:
            nested = definition.sub_saga(step.name)
            yield from _steps_of(nested, f"{prefix}{step.name}/", (*within, definition.name))


def _keys(path: str, direction: Direction) -> Iterator[StepKey]:
    """Yield the keys under which something can be planned for an attempt, the closest first."""
    for name in dict.fromkeys((path, _without_item(path))):
        yield (name, direction)
        if direction is FORWARD:
            yield name


def _without_item(path: str) -> str:
    item = split_item_name(path)
    return path if item is None else item[0]


def _shown(key: StepKey) -> str:
    return f"step {key!r}" if isinstance(key, str) else f"the {key[1]} of step {key[0]!r}"


def _at(seconds: float | None) -> str:
    return "" if seconds is None else f" at {seconds:g} seconds"
