"""The kinds of steps: a call, a local step, a timer, a signal and a sub-saga, each with what is particular to it.

Decisions and the worker never ask which kind a step is. They ask the kind how an attempt is made, and what to wait for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final, Optional, TypeAlias

from msgspec import Raw, Struct

from .approval import Approval
from .duration import instant_after
from .event_parts import Parent, Wait, WaitKind
from .functions import declared_result


class AttemptMode(StrEnum):
    """How an attempt at a step is made."""

    CALL = "call"
    """The worker calls a function, after the start of the attempt is durable."""
    LOCAL = "local"
    """Participants of the same ledger decide commands; start, events and outcome share one append."""
    WAIT = "wait"
    """Nothing runs: the step waits for a timer, a signal or a sub-saga."""


CALL: Final = AttemptMode.CALL
LOCAL: Final = AttemptMode.LOCAL
WAIT: Final = AttemptMode.WAIT
"""Named here, because up to Python 3.11 `AttemptMode.CALL` is a search each time, and every decision asks."""


class LocalResult(Struct, frozen=True):
    """What a local step did: how many events its participants recorded."""

    events: int


class Call(Struct, frozen=True):
    """A step that calls a service: its action and its compensation run outside the ledger."""

    mode: ClassVar[AttemptMode] = CALL
    """How its action runs."""
    compensation_mode: ClassVar[AttemptMode] = CALL
    """How its compensation runs."""
    compensable: ClassVar[bool] = True
    """Whether it can have a compensation of its own."""
    plain_functions: ClassVar[bool] = False
    """Whether its functions must not be coroutine functions."""
    structure: ClassVar[Mapping[str, Any]] = {"local": False, "waits_for": None}
    """What it adds to a step in the definition's fingerprint. These keys and values are a storage format."""
    target: ClassVar[Mapping[str, Any]] = {}
    """What else it adds to the fingerprint: the signal or the saga that it waits for."""

    def result_type(self, action: Callable[..., Any], where: str) -> Any:
        """Returns the type that the action is annotated to return, or None; Any if the annotation says nothing."""
        declared = declared_result(action, where)
        return declared if declared in (Any, Raw) else Optional[declared]  # noqa: UP045 -- it may be a text

    def wait(self, saga_id: str, step: str, now: datetime) -> Wait | None:  # noqa: ARG002 -- the same for every kind
        """Returns None: it calls a function instead of waiting."""
        return None


class Local(Struct, frozen=True):
    """A step whose functions return commands for participants of the same ledger."""

    mode: ClassVar[AttemptMode] = LOCAL
    compensation_mode: ClassVar[AttemptMode] = LOCAL
    compensable: ClassVar[bool] = True
    plain_functions: ClassVar[bool] = True
    structure: ClassVar[Mapping[str, Any]] = {"local": True, "waits_for": None}
    target: ClassVar[Mapping[str, Any]] = {}

    def result_type(self, _action: Callable[..., Any], _where: str) -> Any:
        """Returns the type of what the worker records: how many events there were."""
        return LocalResult | None

    def wait(self, saga_id: str, step: str, now: datetime) -> Wait | None:  # noqa: ARG002 -- the same for every kind
        """Returns None: its commands are decided at once."""
        return None


class Timer(Struct, frozen=True):
    """A step that waits for a number of seconds."""

    mode: ClassVar[AttemptMode] = WAIT
    compensation_mode: ClassVar[AttemptMode] = CALL
    compensable: ClassVar[bool] = False
    plain_functions: ClassVar[bool] = False
    structure: ClassVar[Mapping[str, Any]] = {"local": False, "waits_for": WaitKind.TIMER}
    target: ClassVar[Mapping[str, Any]] = {}

    seconds: float

    def result_type(self, _action: Callable[..., Any], _where: str) -> Any:
        """Returns Any: the result is always null."""
        return Any

    def wait(self, _saga_id: str, _step: str, now: datetime) -> Wait | None:
        """Returns the timer that comes due after its seconds."""
        return Wait(WaitKind.TIMER, None, instant_after(now, self.seconds))


class Signal(Struct, frozen=True):
    """A step that waits until a signal of this name arrives, or is approved by so many actors.

    It waits for so many seconds at most (None: without a limit).
    """

    mode: ClassVar[AttemptMode] = WAIT
    compensation_mode: ClassVar[AttemptMode] = CALL
    compensable: ClassVar[bool] = False
    plain_functions: ClassVar[bool] = False
    structure: ClassVar[Mapping[str, Any]] = {"local": False, "waits_for": WaitKind.SIGNAL}

    name: str
    seconds: float | None = None
    type: Any = Any
    """The type of the payload."""
    approvals: int | None = None
    """How many actors have to approve; None: one signal ends the wait."""
    excluded: tuple[str, ...] = ()
    """The actors who may not approve."""
    exclude_requester: bool = False
    """Whether the actor who started the saga may not approve either."""

    @property
    def target(self) -> Mapping[str, Any]:
        """Returns the name of the signal, and who has to approve if the definition says so."""
        target: dict[str, Any] = {"signal": self.name}
        if self.approvals is not None:
            target["approvals"] = self.approvals
        if self.excluded:
            target["excluded"] = sorted(self.excluded)
        if self.exclude_requester:
            target["exclude_requester"] = True
        return target

    def result_type(self, _action: Callable[..., Any], _where: str) -> Any:
        """Returns the type of the payload; for a number of approvals, that of their list."""
        return self.type if self.approvals is None else list[Approval[self.type]]  # type: ignore[name-defined]

    def wait(self, _saga_id: str, _step: str, now: datetime) -> Wait | None:
        """Returns the signal, when the waiting for it ends, and what it takes; without the one who started the saga."""
        due_at = None if self.seconds is None else instant_after(now, self.seconds)
        return Wait(WaitKind.SIGNAL, self.name, due_at, self.approvals, self.excluded)


class SubSaga(Struct, frozen=True):
    """A step that is a saga of its own: its action returns that saga's input, and the step waits for its end."""

    mode: ClassVar[AttemptMode] = WAIT
    compensation_mode: ClassVar[AttemptMode] = CALL
    compensable: ClassVar[bool] = True
    plain_functions: ClassVar[bool] = False
    structure: ClassVar[Mapping[str, Any]] = {"local": False, "waits_for": WaitKind.SAGA}

    saga: str
    """The name of the saga that it starts."""

    @property
    def target(self) -> Mapping[str, Any]:
        """Returns the name of the saga."""
        return {"saga": self.saga}

    def result_type(self, _action: Callable[..., Any], _where: str) -> Any:
        """Returns Any: the result is that of the other saga."""
        return Any

    def wait(self, saga_id: str, step: str, _now: datetime) -> Wait | None:
        """Returns the saga that it waits for; its id follows from the parent's id and the step's name."""
        return Wait(WaitKind.SAGA, saga_id_of(self.saga, sub_saga_key(saga_id, step)))


class ForEach(Struct, frozen=True):
    """A step over a list: each of its items is attempted, and compensated, as a call of its own."""

    mode: ClassVar[AttemptMode] = CALL
    compensation_mode: ClassVar[AttemptMode] = CALL
    compensable: ClassVar[bool] = True
    plain_functions: ClassVar[bool] = False
    structure: ClassVar[Mapping[str, Any]] = {"local": False, "waits_for": WaitKind.ITEMS}

    list_items: Callable[[Any, Any], Iterable[Any]]
    """Returns the items, from the saga's input and the context of the step."""
    parallel: int
    """How many items are under way at once."""
    collect: bool
    """Whether the step succeeds when some of its items have failed."""

    @property
    def target(self) -> Mapping[str, Any]:
        """Returns what follows if an item fails."""
        return {"collect": self.collect}

    def result_type(self, action: Callable[..., Any], where: str) -> Any:
        """Returns the type that the action is annotated to return for one item, as for a call."""
        return Call().result_type(action, where)

    def wait(self, saga_id: str, step: str, now: datetime) -> Wait | None:  # noqa: ARG002 -- the same for every kind
        """Returns None: its items are calls."""
        return None


StepKind: TypeAlias = Call | Local | Timer | Signal | SubSaga | ForEach


SUB_SAGA_KEY_CHARACTERS_MAX: Final = 200
"""A longer key of a sub-saga ends in a hash: ids stay short, however deep sagas are nested."""
_KEPT_CHARACTERS: Final = 160


def sub_saga_key(parent_id: str, step: str) -> str:
    """Returns the business key of a sub-saga: another one for each parent and step.

    The last dot ends the parent's id, because a dot in the step's name is escaped.
    """
    escaped = step.replace("%", "%25").replace(".", "%2E")
    key = f"{parent_id}.{escaped}"
    if len(key) <= SUB_SAGA_KEY_CHARACTERS_MAX:
        return key
    return f"{key[:_KEPT_CHARACTERS]}~{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def is_sub_saga(parent: Parent | None, of: str) -> bool:
    """Whether the saga that recorded this parent was started by that saga."""
    return parent is not None and parent.saga_id == of


def saga_id_of(name: str, key: str) -> str:
    """Returns the id of the saga with this name and business key."""
    return f"{name}-{key}"
